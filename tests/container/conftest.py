"""What the tests of the container share."""

from __future__ import annotations

import random
import socket

import pytest


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


@pytest.fixture
def free_port() -> int:
    """A port that is free together with those two below and above it.

    From below the range that the system gives to outgoing connections, so it stays free.
    """
    return _free_ports(1)[0]


@pytest.fixture
def free_ports() -> list[int]:
    """Several ports as `free_port`, far enough from each other for a broker each."""
    return _free_ports(5)


def _free_ports(count: int) -> list[int]:
    candidates = random.sample(range(20_000, 30_000, 10), 200)
    steps = (-2, 0, 1, 2)
    return [port for port in candidates if all(_is_free(port + step) for step in steps)][:count]
