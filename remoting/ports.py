"""Listening ports, taken before anything else is opened: all that belong together, or none.

A reserved port is bound and listens with the smallest backlog, because only a listening socket keeps another
process off; it accepts nobody until it is served. A port that nobody serves yet (a broker's HA port) is bound
without listening, so that whoever connects is refused at once instead of waiting for an answer.
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
    from collections.abc import Callable, Sequence
    from types import TracebackType

FAST_PORT_DISTANCE = 2
"""Java's VIP ("fast") port is the listening port minus this."""

HA_PORT_DISTANCE = 1
"""Java's containers have the port of the replication link one above the listening port."""

_ATTEMPTS = 64
_LAST_PORT = 65_535


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
        """Hands the socket over to the one who serves it.

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
        return reserve_ports(bind_address, (listen_port, fast_port_of(bind_address, listen_port)))
    return _any_with_neighbours(
        bind_address, lambda main: [_listen(bind_address, fast_port_of(bind_address, main))]
    )


def reserve_broker_ports(
    bind_address: str, listen_port: int, *, fast_port: int | None = None, ha_port: int | None = None
) -> PortReservation:
    """Takes the three ports of a broker, or none; `ports` has them in the order of the arguments.

    The HA port is bound but does not listen.

    Args:
        bind_address: as for `reserve_ports`.
        listen_port: 0 takes any free one.
        fast_port: two below `listen_port` when None; 0 takes any free one.
        ha_port: one above `listen_port` when None; 0 takes any free one.

    Raises:
        ReservationError: one of the three could not be taken; then none is.
    """

    def others(main: int) -> list[socket.socket]:
        fast_number = fast_port_of(bind_address, main) if fast_port is None else fast_port
        ha_number = ha_port_of(bind_address, main) if ha_port is None else ha_port
        purposes = {main: "listening port"}
        for number, purpose in ((fast_number, "fast port"), (ha_number, "HA port")):
            if number and purposes.setdefault(number, purpose) is not purpose:
                reason = f"it cannot be the {purpose} and the {purposes[number]}"
                raise ReservationError(bind_address, number, reason)
        fast = _listen(bind_address, fast_number, "fast port")
        try:
            return [fast, _bind_only(bind_address, ha_number, "HA port")]
        except BaseException:
            fast.close()
            raise

    if listen_port == 0:
        return _any_with_neighbours(bind_address, others)
    main = _listen(bind_address, listen_port)
    try:
        return PortReservation((main, *others(listen_port)))
    except BaseException:
        main.close()
        raise


def fast_port_of(bind_address: str, listen_port: int) -> int:
    """The fast port of a listening port.

    Raises:
        ReservationError: there is no such number.
    """
    if listen_port <= FAST_PORT_DISTANCE:
        raise ReservationError(bind_address, listen_port, "there is no port two below it")
    return listen_port - FAST_PORT_DISTANCE


def ha_port_of(bind_address: str, listen_port: int) -> int:
    """The HA port of a listening port.

    Raises:
        ReservationError: there is no such number.
    """
    if listen_port >= _LAST_PORT:
        raise ReservationError(bind_address, listen_port, "there is no port above it for replication")
    return listen_port + HA_PORT_DISTANCE


def _any_with_neighbours(
    bind_address: str, others: Callable[[int], Sequence[socket.socket]]
) -> PortReservation:
    """Any free port together with those that `others` opens for it."""
    failure: ReservationError | None = None
    for _ in range(_ATTEMPTS):
        main = _listen(bind_address, 0)
        try:
            return PortReservation((main, *others(main.getsockname()[1])))
        except ReservationError as error:
            main.close()
            failure = error
        except BaseException:
            main.close()
            raise
    raise ReservationError(bind_address, 0, f"no free ports that belong together: {failure}")


def _bind_only(bind_address: str, port: int, purpose: str) -> socket.socket:
    """A bound socket that does not listen and still keeps others off.

    Two sockets that allow the reuse of their address may both be bound, so this one does not allow it. Only
    where what is left of old connections is in the way it must; a listener would be refused all the same.
    """
    try:
        return _bound(bind_address, port, purpose, reuse=False)
    except ReservationError:
        if not port:
            raise
        _listen(bind_address, port, purpose).close()
        return _bound(bind_address, port, purpose, reuse=True)


def _listen(bind_address: str, port: int, purpose: str = "") -> socket.socket:
    listener = _bound(bind_address, port, purpose, reuse=True)
    try:
        listener.listen(0)
    except OSError as error:
        listener.close()
        raise ReservationError(bind_address, port, _reason(error, purpose)) from error
    return listener


def _bound(bind_address: str, port: int, purpose: str, *, reuse: bool) -> socket.socket:
    try:
        family, address = _resolve(bind_address, port)
        bound = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise ReservationError(bind_address, port, _reason(error, purpose)) from error
    try:
        bound.setblocking(False)
        if reuse:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            with suppress(OSError):
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        bound.bind(address)
    except (OSError, OverflowError) as error:
        bound.close()
        raise ReservationError(bind_address, port, _reason(error, purpose)) from error
    return bound


def _resolve(bind_address: str, port: int) -> tuple[socket.AddressFamily, tuple[str, int]]:
    host = bind_address.strip().strip("[]") or "0.0.0.0"  # noqa: S104 - Java's default
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        host = str(socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_STREAM)[0][4][0])
        version = 4
    return (socket.AF_INET6 if version == 6 else socket.AF_INET), (host, port)


def _reason(error: OSError | OverflowError, purpose: str) -> str:
    port = f"the {purpose}" if purpose else "the port"
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return f"{port} is in use by another process"
    if isinstance(error, OSError) and error.errno == errno.EADDRNOTAVAIL:
        return "the address does not belong to this machine"
    if isinstance(error, OSError) and error.errno == errno.EACCES:
        return "this user may not listen there"
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return str(error)
