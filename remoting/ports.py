"""Listening ports, taken before anything else is opened: all that belong together, or none.

A reserved port is bound and listens with the smallest backlog, because only a listening socket keeps another
process off; it accepts nobody until it is served.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from remoting.errors import ReservationError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

FAST_PORT_DISTANCE = 2
"""Java's VIP ("fast") port is the listening port minus this."""

_PAIR_ATTEMPTS = 64


class PortReservation:
    """Ports that belong to this process until `close`, in the order they were asked for.

    A port that is served belongs to its server from then on; `close` closes the others. Usable as a context
    manager.
    """

    def __init__(self, sockets: Sequence[socket.socket]) -> None:
        self._sockets: list[socket.socket | None] = list(sockets)
        self.ports: tuple[int, ...] = tuple(taken.getsockname()[1] for taken in sockets)
        """The real numbers, also where 0 was asked for."""

    def __repr__(self) -> str:
        return f"<PortReservation {', '.join(map(str, self.ports))}>"

    def take(self, index: int) -> socket.socket:
        """Hands the listening socket over to the one who serves it.

        Raises:
            ValueError: taken before, or closed.
        """
        taken = self._sockets[index]
        if taken is None:
            raise ValueError(f"port {self.ports[index]} is not reserved any more")
        self._sockets[index] = None
        return taken

    def close(self) -> None:
        """Frees the ports that nobody has taken. Can be called again."""
        for index, reserved in enumerate(self._sockets):
            if reserved is not None:
                reserved.close()
                self._sockets[index] = None

    def __enter__(self) -> PortReservation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def reserve_ports(bind_address: str, ports: Sequence[int]) -> PortReservation:
    """Takes all ports or none.

    Args:
        bind_address: an IPv4 or IPv6 address or a host name; `::` listens on IPv4 as well.
        ports: numbers; 0 takes any free one.

    Raises:
        ReservationError: names the port that could not be taken and why.
    """
    taken: list[socket.socket] = []
    try:
        for port in ports:
            taken.append(_listen(bind_address, port))  # noqa: PERF401 - all must be closed if one fails
    except ReservationError:
        for reserved in taken:
            reserved.close()
        raise
    return PortReservation(taken)


def reserve_port_pair(bind_address: str, listen_port: int) -> PortReservation:
    """Takes `listen_port` and the fast port two below it; `ports` has them in this order.

    Args:
        bind_address: as for `reserve_ports`.
        listen_port: 0 takes any free pair with that distance.

    Raises:
        ReservationError: one of the two could not be taken; then none is.
    """
    if listen_port:
        if listen_port <= FAST_PORT_DISTANCE:
            raise ReservationError(bind_address, listen_port, "there is no port two below it")
        return reserve_ports(bind_address, (listen_port, listen_port - FAST_PORT_DISTANCE))
    failure: ReservationError | None = None
    for _ in range(_PAIR_ATTEMPTS):
        main = _listen(bind_address, 0)
        port = main.getsockname()[1]
        try:
            return PortReservation((main, _listen(bind_address, port - FAST_PORT_DISTANCE)))
        except ReservationError as error:
            main.close()
            failure = error
    raise ReservationError(bind_address, 0, f"no free pair of ports: {failure}")


def _listen(bind_address: str, port: int) -> socket.socket:
    try:
        family, address = _resolve(bind_address, port)
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise ReservationError(bind_address, port, _reason(error)) from error
    try:
        listener.setblocking(False)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            with suppress(OSError):
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(address)
        listener.listen(0)
    except (OSError, OverflowError) as error:
        listener.close()
        raise ReservationError(bind_address, port, _reason(error)) from error
    return listener


def _resolve(bind_address: str, port: int) -> tuple[socket.AddressFamily, tuple[str, int]]:
    host = bind_address.strip().strip("[]") or "0.0.0.0"  # noqa: S104 - Java's default
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        host = str(socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_STREAM)[0][4][0])
        version = 4
    return (socket.AF_INET6 if version == 6 else socket.AF_INET), (host, port)


def _reason(error: OSError | OverflowError) -> str:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return "the port is in use by another process"
    if isinstance(error, OSError) and error.errno == errno.EADDRNOTAVAIL:
        return "the address does not belong to this machine"
    if isinstance(error, OSError) and error.errno == errno.EACCES:
        return "this user may not listen there"
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return str(error)
