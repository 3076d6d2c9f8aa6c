"""What the tests of the container share."""

from __future__ import annotations

import pytest

from tests.ports import lease_broker_port


@pytest.fixture
def free_port() -> int:
    """A port that nobody but this test uses, with the fast port below and the HA port above."""
    return lease_broker_port()


@pytest.fixture
def free_ports() -> list[int]:
    """Several ports as `free_port`, for a broker each."""
    return [lease_broker_port() for _ in range(5)]
