"""Ports that one test process uses and no other, whatever suites and benchmarks run beside it.

A port is leased by a lock on the byte of its number, in one file that all processes of a user share. The lock
ends with the process, however that ends. Nothing of others is left on a port when it is leased: no listener,
no bound socket, and no connection in TIME_WAIT, which would keep a plain `bind` off for up to a minute.
"""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["NoPortLeftError", "PortLeases", "can_bind", "lease_broker_port", "lease_port"]

# Below the range that Linux gives to outgoing connections and to those who bind port 0.
_PORTS = range(20_000, 32_000)
_FAST_PORT, _HA_PORT = -2, 1


class NoPortLeftError(Exception):
    """Every port of the range is leased or in use."""


class PortLeases:
    """The leases of this process in one file; none is given back before the process ends.

    Args:
        path: The file; made if it is not there, never written. Nobody else in the process may open it:
            closing any descriptor of a file ends all locks of the process on it.
        ports: What may be leased.
    """

    def __init__(self, path: Path, ports: range) -> None:
        self._ports = ports
        self._given: set[int] = set()
        self._chance = random.Random()  # not the shared one, which tests seed
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def lease(self, *offsets: int) -> int:
        """A port that from now on belongs to this process, as does each `port + offset`.

        Raises:
            NoPortLeftError: There is none.
        """
        for port in self._chance.sample(self._ports, len(self._ports)):
            wanted = [port, *(port + offset for offset in offsets)]
            if self._given.isdisjoint(wanted) and self._take(wanted):
                self._given.update(wanted)
                return port
        raise NoPortLeftError(f"no port of {self._ports} is left")

    def _take(self, ports: Sequence[int]) -> bool:
        """Locks all of `ports` or none."""
        locked: list[int] = []
        for port in ports:
            if not self._lock(port):
                break
            locked.append(port)
            if not can_bind(port):
                break
        else:
            return True
        for port in locked:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, port)
        return False

    def _lock(self, port: int) -> bool:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
        except OSError:
            return False
        return True


def can_bind(port: int) -> bool:
    """Whether nothing at all is left on `port`, on any address: the strictest probe, without SO_REUSEADDR."""
    with socket.socket() as probe:
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True


_leases = PortLeases(Path(tempfile.gettempdir()) / f"mqbrokercontainer-ports-{os.getuid()}", _PORTS)


def lease_port(*offsets: int) -> int:
    """A port of this machine for this process alone, with each `port + offset`.

    Raises:
        NoPortLeftError: There is none.
    """
    return _leases.lease(*offsets)


def lease_broker_port() -> int:
    """A listen port with the broker's two others: the fast port two below and the HA port one above.

    Raises:
        NoPortLeftError: There are none.
    """
    return _leases.lease(_FAST_PORT, _HA_PORT)
