"""The server side: one transport for the process, one sub-server for each port.

The transport owns what all ports share: the config, the TLS context and the cork. A sub-server owns its port:
processor table, hooks, limits, connections. It can be drained and closed without any other noticing.
"""

from __future__ import annotations

import errno
import logging
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

import attrs
import trio

from remoting.config import ConnectionLimits, RemotingServerConfig, serialize_type_of
from remoting.connection import Connection
from remoting.owner import ConnectionStatistics, Cork, Load, RequestHook
from remoting.ports import PortReservation, reserve_broker_ports, reserve_port_pair, reserve_ports
from remoting.processors import ProcessorTable
from remoting.sockets import set_socket_options
from remoting.tls import TlsMode, TlsSettings

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager


__all__ = [
    "ChannelListener",
    "Connection",
    "PortReservation",
    "ProcessorTable",
    "SubServer",
    "SubServerStatistics",
    "Transport",
    "TransportStatistics",
    "reserve_port_pair",
    "reserve_ports",
]

log = logging.getLogger("rocketmq.remoting")

HANDSHAKE_TIMEOUT_S = 10.0
SILENCE_S = 0.1
"""Time without traffic after which nobody is taken to be sending to a port that drains."""
SILENCE_LIMIT_S = 1.0
"""Longest wait for that: clients who do not know 1500 go on sending."""
_ACCEPT_BATCH = 64
_NO_MORE_FILES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)
_TLS_FIRST_BYTE = b"\x16"


class ChannelListener:
    """Told about the connections of a port. All methods are synchronous; override what is of interest."""

    def on_connect(self, connection: Connection) -> None:
        """The connection was accepted."""

    def on_close(self, connection: Connection) -> None:
        """The connection has ended, for whatever reason. Comes once, and always after `on_connect`."""

    def on_exception(self, connection: Connection, error: BaseException) -> None:
        """An error ends the connection; `on_close` follows."""

    def on_idle(self, connection: Connection) -> None:
        """The connection was idle for too long; `on_close` follows."""


class _Listener(Protocol):
    def on_connect(self, connection: Connection) -> None: ...
    def on_close(self, connection: Connection) -> None: ...
    def on_exception(self, connection: Connection, error: BaseException) -> None: ...
    def on_idle(self, connection: Connection) -> None: ...


@attrs.frozen(kw_only=True)
class SubServerStatistics:
    """Counters of one port since it is served; sums include connections that have ended."""

    name: str
    port: int
    draining: bool
    connections: int
    accepted_connections: int
    rejected_connections: int
    idle_closed_connections: int
    in_flight_requests: int
    held_requests: int
    queued_bytes: int
    received_bytes: int
    received_requests: int
    refused_requests: int
    sent_bytes: int
    sent_frames: int
    blocked_writes: int


@attrs.frozen(kw_only=True)
class TransportStatistics:
    """The ports of the process."""

    ports: tuple[SubServerStatistics, ...]

    @property
    def connections(self) -> int:
        return sum(port.connections for port in self.ports)


class Transport:
    """What all ports of the process share.

    Attributes:
        config: limits and socket options of accepted connections.
        tls: TLS mode and keys.
        cork: holds answers back while a pass is under way.
        serialize_type: of the headers that all ports send.
    """

    def __init__(self, config: RemotingServerConfig | None = None, tls: TlsSettings | None = None) -> None:
        """
        Raises:
            TlsConfigError: keys or certificates that cannot be used.
        """
        self.config = config or RemotingServerConfig()
        self.tls = tls or TlsSettings()
        self.cork = Cork()
        self.serialize_type = serialize_type_of(self.config)
        self._tls_context: ssl.SSLContext | None = None
        if self.tls.mode is not TlsMode.DISABLED and not self.tls.test_mode:
            self._tls_context = self.tls.server_context()
        self._sub_servers: list[SubServer] = []

    def corked(self) -> AbstractContextManager[None]:
        """Collects the answers of a synchronous block, to send them with one call for each connection."""
        return self.cork.corked()

    async def tls_context(self) -> ssl.SSLContext:
        """The server context; a self-signed one is made in a worker thread for the first peer that asks."""
        if self._tls_context is None:
            context = await trio.to_thread.run_sync(self.tls.server_context)
            if self._tls_context is None:
                self._tls_context = context
        return self._tls_context

    def reserve_ports(self, bind_address: str, ports: Sequence[int]) -> PortReservation:
        """See `remoting.ports.reserve_ports`."""
        return reserve_ports(bind_address, ports)

    def reserve_port_pair(self, bind_address: str, listen_port: int) -> PortReservation:
        """See `remoting.ports.reserve_port_pair`."""
        return reserve_port_pair(bind_address, listen_port)

    def reserve_broker_ports(
        self, bind_address: str, listen_port: int, *, fast_port: int | None = None, ha_port: int | None = None
    ) -> PortReservation:
        """See `remoting.ports.reserve_broker_ports`."""
        return reserve_broker_ports(bind_address, listen_port, fast_port=fast_port, ha_port=ha_port)

    def sub_server(
        self,
        name: str,
        reservation: PortReservation,
        index: int,
        table: ProcessorTable,
        *,
        limits: ConnectionLimits | None = None,
        max_connections: int | None = None,
        hooks: Sequence[RequestHook] = (),
        listeners: Sequence[ChannelListener] = (),
    ) -> SubServer:
        """A server for one reserved port. It does nothing before `SubServer.serve`.

        Args:
            name: for logs and statistics.
            reservation: whose port it is; the sub-server takes it over.
            index: which of its ports.
            table: the processors of this port.
            limits: of each connection; the config's unless given.
            max_connections: the config's unless given.
            hooks: see `RequestHook`.
            listeners: see `ChannelListener`.

        Raises:
            ValueError: the port is taken or closed.
        """
        sub_server = SubServer(
            self,
            name,
            reservation.take(index),
            table,
            limits=limits or ConnectionLimits.of_server(self.config),
            max_connections=self.config.max_connections if max_connections is None else max_connections,
            hooks=hooks,
            listeners=listeners,
        )
        self._sub_servers.append(sub_server)
        return sub_server

    def forget(self, sub_server: SubServer) -> None:
        """Called by a sub-server that has ended."""
        if sub_server in self._sub_servers:
            self._sub_servers.remove(sub_server)

    def statistics(self) -> TransportStatistics:
        """The counters of now."""
        return TransportStatistics(ports=tuple(each.statistics() for each in self._sub_servers))


class SubServer:
    """One listening port with its processors and connections. Made by `Transport.sub_server`.

    Attributes:
        name: for logs and statistics.
        port: the real number.
        connections: the open ones.
        table, hooks, limits, load, cork, serialize_type: what its connections work with.
        draining: whether `drain` was called.
    """

    def __init__(
        self,
        transport: Transport,
        name: str,
        listener: socket.socket,
        table: ProcessorTable,
        *,
        limits: ConnectionLimits,
        max_connections: int,
        hooks: Sequence[RequestHook],
        listeners: Sequence[ChannelListener],
    ) -> None:
        self.name = name
        self.port: int = listener.getsockname()[1]
        self.table = table
        self.hooks = tuple(hooks)
        self.limits = limits
        self.max_connections = max_connections
        self.load = Load(transport.config.port_max_in_flight_requests, transport.config.port_max_queued_bytes)
        self.cork = transport.cork
        self.serialize_type = transport.serialize_type
        self.draining = False
        self.connections: set[Connection] = set()
        self._transport = transport
        self._listener = listener
        self._channel_listeners: list[_Listener] = list(listeners)
        self._nursery: trio.Nursery | None = None
        self._accepting = trio.CancelScope()
        self._quiet = trio.Event()
        self._finished = trio.Event()
        self._ended = _Totals()
        self._accepted = 0
        self._rejected = 0
        self._idle_closed = 0
        self._newest = trio.Event()

    def __repr__(self) -> str:
        state = "draining" if self.draining else "closed" if self._finished.is_set() else "open"
        return f"<SubServer {self.name} port {self.port}, {state}, {len(self.connections)} connections>"

    def add_listener(self, listener: ChannelListener) -> None:
        """Tells `listener` about all connections from now on."""
        self._channel_listeners.append(listener)

    # Serving.

    async def serve(self, *, task_status: trio.TaskStatus[SubServer] = trio.TASK_STATUS_IGNORED) -> None:
        """Accepts and serves connections until it is cancelled or drained.

        Can be called once. When it returns or raises, the port and all its connections are closed and the
        tasks of its requests have ended.
        """
        self._listener.listen(self._transport.config.server_socket_backlog)
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(self._accept)
                nursery.start_soon(self._watch_idle)
                task_status.started(self)
                await self._finished.wait()
                nursery.cancel_scope.cancel()
        finally:
            self._nursery = None
            self._finished.set()
            self._close_listener()
            for connection in list(self.connections):
                connection.close("the server ended")
            self._transport.forget(self)

    def close(self) -> None:
        """Closes the port and all connections at once. `serve`, if it runs, returns soon after."""
        self._finished.set()
        self._close_listener()
        for connection in list(self.connections):
            connection.close("the server was closed")
        self._transport.forget(self)

    async def drain(self, timeout_s: float) -> None:
        """Ends the service in order; then `serve` returns.

        From now on no connection is accepted and requests of newer clients (above V5_3_1) are answered with
        1500 (GO_AWAY); older clients, who do not know that code, are served on. When nothing is in flight any
        more, or after `timeout_s`, the held requests of newer clients get 1500 as well. When all is silent
        and the answers are sent out, the connections are closed.

        Cancellation leaves the port draining; closing it is then up to the caller.
        """
        self.draining = True
        self._accepting.cancel()
        self._close_listener()
        deadline = trio.current_time() + timeout_s
        with trio.move_on_at(deadline):
            await self._until_none(lambda connection: connection.in_flight)
        with self.cork.corked():
            for connection in list(self.connections):
                connection.send_away()
        with trio.move_on_at(min(deadline, trio.current_time() + SILENCE_LIMIT_S)):
            await self._until_silent()
        with trio.move_on_at(deadline):
            await self._until_none(lambda connection: connection.queued_bytes)
        left = sum(connection.in_flight for connection in self.connections)
        if left:
            log.warning("%s port %d closes with %d requests in flight", self.name, self.port, left)
        for connection in list(self.connections):
            connection.close("the server goes away")
        self._finished.set()

    async def _until_silent(self) -> None:
        """Returns when no connection had traffic for a moment: who sends has had a 1500 by then and is away.

        A request that is under way when its connection closes may be lost on its caller. Java's client even
        forgets it when another of its threads is the first to notice the end, and waits out its time limit.
        """
        while self.connections:
            silent_at = max(connection.last_active for connection in self.connections) + SILENCE_S
            if trio.current_time() >= silent_at:
                return
            await trio.sleep_until(silent_at)

    async def _until_none(self, left: Callable[[Connection], int]) -> None:
        while any(left(connection) for connection in self.connections):
            self._quiet = trio.Event()
            await self._quiet.wait()

    async def _accept(self) -> None:
        with self._accepting, suppress(trio.ClosedResourceError):
            while self._listener.fileno() >= 0:
                await trio.lowlevel.wait_readable(self._listener)
                for _ in range(_ACCEPT_BATCH):
                    try:
                        accepted, _address = self._listener.accept()
                    except BlockingIOError:
                        break
                    except OSError as error:
                        if error.errno not in _NO_MORE_FILES:
                            continue
                        log.error("%s port %d cannot accept: %s", self.name, self.port, error.strerror)
                        await trio.sleep(0.1)
                        break
                    self._welcome(accepted)

    def _welcome(self, accepted: socket.socket) -> None:
        if len(self.connections) >= self.max_connections:
            self._rejected += 1
            log.warning(
                "%s port %d has %d connections, the limit; closing a new one",
                self.name,
                self.port,
                len(self.connections),
            )
            accepted.close()
            return
        try:
            config = self._transport.config
            accepted.setblocking(False)
            set_socket_options(accepted, config.server_socket_snd_buf_size, config.server_socket_rcv_buf_size)
            connection = Connection(self, accepted)
        except OSError:
            accepted.close()
            return
        self._accepted += 1
        self.connections.add(connection)
        self._newest.set()
        self._tell("on_connect", lambda listener: listener.on_connect(connection))
        self.start_soon(self._run_connection, connection, accepted)

    async def _run_connection(self, connection: Connection, accepted: socket.socket) -> None:
        try:
            if self._transport.tls.mode is not TlsMode.DISABLED:
                await self._secure(connection, accepted)
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError) as error:
            reason = f"TLS handshake failed: {error.__cause__ or str(error) or 'too slow'}"
            if not connection.closed:
                log.warning("%s: %s", connection.remote_address, reason)
                self.connection_failed(connection, error)
            connection.close(reason)
            return
        except BaseException:
            connection.close("cancelled")
            raise
        await connection.run()

    async def _secure(self, connection: Connection, accepted: socket.socket) -> None:
        """Encrypts the connection if the peer begins with a TLS handshake."""
        first = b""
        while not first:
            await trio.lowlevel.wait_readable(accepted)
            with suppress(BlockingIOError, InterruptedError):
                first = accepted.recv(1, socket.MSG_PEEK)
                if not first:
                    return
        if first != _TLS_FIRST_BYTE:
            if self._transport.tls.mode is TlsMode.ENFORCING:
                raise ConnectionAbortedError("a plain text connection, but TLS is enforced")
            return
        stream = trio.SSLStream(
            trio.SocketStream(trio.socket.from_stdlib_socket(accepted)),
            await self._transport.tls_context(),
            server_side=True,
            https_compatible=True,
        )
        with trio.fail_after(HANDSHAKE_TIMEOUT_S):
            await stream.do_handshake()
        connection.last_active = trio.current_time()
        connection.use_stream(stream)

    async def _watch_idle(self) -> None:
        """Sleeps until the connection that is longest without traffic may have become idle."""
        idle_s = self.limits.idle_s
        while True:
            if not self.connections:
                self._newest = trio.Event()
                await self._newest.wait()
            oldest = min(
                (connection.last_active for connection in self.connections), default=trio.current_time()
            )
            await trio.sleep_until(max(oldest + idle_s, trio.current_time() + idle_s / 100))
            limit = trio.current_time() - idle_s
            for connection in [each for each in self.connections if each.last_active <= limit]:
                self._close_idle(connection)

    def _close_idle(self, connection: Connection) -> None:
        self._idle_closed += 1
        log.info("%s is idle for %g s, closing", connection.remote_address, self.limits.idle_s)
        self._tell("on_idle", lambda listener: listener.on_idle(connection))
        connection.close(f"idle for {self.limits.idle_s:g} s")

    # The side that connections see.

    def start_soon(self, function: Callable[..., object], *args: object) -> None:
        """Runs an async function in the nursery of `serve`; does nothing outside its life."""
        if self._nursery is not None and not self._nursery.cancel_scope.cancel_called:
            self._nursery.start_soon(function, *args)  # type: ignore[arg-type]

    def connection_quiet(self, connection: Connection) -> None:
        """A connection has nothing in flight, or nothing to send, any more."""
        self._quiet.set()

    def connection_failed(self, connection: Connection, error: BaseException) -> None:
        """An error is about to end a connection."""
        self._tell("on_exception", lambda listener: listener.on_exception(connection, error))

    def connection_closed(self, connection: Connection, reason: str) -> None:
        """A connection has ended."""
        if connection in self.connections:
            self.connections.remove(connection)
            self._ended.add(connection.statistics())
            self._quiet.set()
            self._tell("on_close", lambda listener: listener.on_close(connection))

    def _tell(self, event: str, call: Callable[[_Listener], None]) -> None:
        for listener in self._channel_listeners:
            try:
                call(listener)
            except Exception:
                log.exception("a listener of %s port %d failed in %s", self.name, self.port, event)

    def _close_listener(self) -> None:
        if self._listener.fileno() >= 0:
            with suppress(RuntimeError):  # outside of trio nothing waits for it
                trio.lowlevel.notify_closing(self._listener)
            self._listener.close()

    def statistics(self) -> SubServerStatistics:
        """The counters of now."""
        totals = attrs.evolve(self._ended)
        live = [connection.statistics() for connection in self.connections]
        for each in live:
            totals.add(each)
        return SubServerStatistics(
            name=self.name,
            port=self.port,
            draining=self.draining,
            connections=len(live),
            accepted_connections=self._accepted,
            rejected_connections=self._rejected,
            idle_closed_connections=self._idle_closed,
            in_flight_requests=sum(each.in_flight_requests for each in live),
            held_requests=sum(each.held_requests for each in live),
            queued_bytes=sum(each.queued_bytes for each in live),
            received_bytes=totals.received_bytes,
            received_requests=totals.received_requests,
            refused_requests=totals.refused_requests,
            sent_bytes=totals.sent_bytes,
            sent_frames=totals.sent_frames,
            blocked_writes=totals.blocked_writes,
        )


@attrs.define
class _Totals:
    received_bytes: int = 0
    received_requests: int = 0
    refused_requests: int = 0
    sent_bytes: int = 0
    sent_frames: int = 0
    blocked_writes: int = 0

    def add(self, one: ConnectionStatistics) -> None:
        self.received_bytes += one.received_bytes
        self.received_requests += one.received_requests
        self.refused_requests += one.refused_requests
        self.sent_bytes += one.sent_bytes
        self.sent_frames += one.sent_frames
        self.blocked_writes += one.blocked_writes
