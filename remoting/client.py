"""The client side: one connection to each address, made at first use and again after it was lost.

Requests to an address share its connection and are matched by `opaque`. What the server asks of the client
(codes 40, 220, 221, 307, ...) is served by the client's own processor table.
"""

from __future__ import annotations

import logging
import socket
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import attrs
import trio

from remoting.config import ConnectionLimits, RemotingClientConfig, serialize_type_of
from remoting.connection import Connection
from remoting.errors import ConnectError, LocalFault, RemotingError, TimeoutError_
from remoting.owner import ConnectionStatistics, Cork, Load, RequestHook
from remoting.processors import ProcessorTable
from remoting.protocol.response_code import ResponseCode
from remoting.sockets import failure_reason, set_socket_options, split_address
from remoting.tls import TlsSettings

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from remoting.command import RemotingCommand

log = logging.getLogger("rocketmq.remoting")


@attrs.frozen(kw_only=True)
class ClientStatistics:
    """Counters of one client since it was opened."""

    connections: tuple[ConnectionStatistics, ...]
    connects: int
    failed_connects: int
    lost_connections: int
    timeouts: int


class _Channel:
    """The way to one address: its connection, and the lock of those who want to make it."""

    __slots__ = ("connection", "lock")

    def __init__(self) -> None:
        self.connection: Connection | None = None
        self.lock = trio.Lock()


class RemotingClient:
    """Sends requests to addresses "host:port". An async context manager; not usable outside of it.

    Attributes:
        config: time-outs and limits.
        table: serves what peers request of us; a code that it does not have is answered with 3.
        on_close: called with each connection that has ended.
    """

    def __init__(
        self,
        config: RemotingClientConfig | None = None,
        *,
        processors: ProcessorTable | None = None,
        tls: TlsSettings | None = None,
        hooks: Sequence[RequestHook] = (),
        limits: ConnectionLimits | None = None,
    ) -> None:
        self.config = config or RemotingClientConfig()
        self.table = processors if processors is not None else ProcessorTable()
        self.hooks = tuple(hooks)
        self.limits = limits or ConnectionLimits.of_client(self.config)
        self.load = Load()
        self.cork = Cork()
        self.serialize_type = serialize_type_of(self.config)
        self.draining = False
        self.on_close: Callable[[Connection], None] | None = None
        self._tls = tls or TlsSettings()
        self._tls_context: ssl.SSLContext | None = None
        self._channels: dict[str, _Channel] = {}
        self._connections: dict[Connection, str] = {}
        self._nursery: trio.Nursery | None = None
        self._stack = AsyncExitStack()
        self._connects = 0
        self._failed_connects = 0
        self._lost_connections = 0
        self._timeouts = 0

    def __repr__(self) -> str:
        return f"<RemotingClient to {', '.join(self._connections.values()) or 'nobody'}>"

    async def __aenter__(self) -> RemotingClient:
        if self.config.use_tls or self._tls.enabled:
            self._tls_context = await trio.to_thread.run_sync(self._tls.client_context)
        await self._stack.__aenter__()
        self._nursery = await self._stack.enter_async_context(trio.open_nursery())
        self._nursery.start_soon(self._watch_idle)
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()
        for connection in list(self._connections):
            connection.close("the client was closed")
        try:
            # An error of the block stays what it is: the nursery, if it saw it, would put it into a group.
            await self._stack.__aexit__(None, None, None)
        finally:
            self._nursery = None
            for connection in list(self._connections):
                connection.close("the client was closed")

    # Requests.

    async def invoke(self, address: str, request: RemotingCommand, timeout_ms: float) -> RemotingCommand:
        """Sends a request and waits for its answer.

        A server that goes away (1500) is asked once more over a new connection, as
        `enableReconnectForGoAway` says.

        Args:
            address: "host:port"; an IPv6 host may stand in brackets.
            request: sent as it is; its `opaque` must not be in use on that connection.
            timeout_ms: for everything: connecting, sending, waiting.

        Raises:
            ConnectError: no connection within `connectTimeoutMillis`.
            SendError: the connection ended before the answer.
            TimeoutError_: no answer in time.
            TooMuchRequest: too many requests wait there.
            LocalFault: the request cannot be encoded, or the client is not open.
        """
        deadline = trio.current_time() + timeout_ms / 1000
        connection = await self._connection_before(address, deadline)
        response = await self._ask(connection, request, deadline)
        if response.code == ResponseCode.GO_AWAY and self.config.enable_reconnect_for_go_away:
            self._forget(address, connection)
            connection = await self._connection_before(address, deadline)
            response = await self._ask(connection, request, deadline)
        return response

    async def oneway(self, address: str, request: RemotingCommand, timeout_ms: float) -> None:
        """Sends a request that gets no answer; returns when it is handed to the system.

        Raises:
            ConnectError: no connection.
            SendError: the connection has just ended.
            LocalFault: the request cannot be encoded, or the client is not open.
        """
        connection = await self._connection_before(address, trio.current_time() + timeout_ms / 1000)
        connection.oneway(request)

    def invoke_callback(
        self,
        address: str,
        request: RemotingCommand,
        timeout_ms: float,
        callback: Callable[[RemotingCommand | RemotingError], None],
    ) -> None:
        """As `invoke`, but returns at once; `callback` gets the answer or the error, in the trio thread.

        Raises:
            LocalFault: the client is not open.
        """
        if self._nursery is None:
            raise LocalFault("the client is not open")
        self._nursery.start_soon(self._invoke_for_callback, address, request, timeout_ms, callback)

    async def _invoke_for_callback(
        self,
        address: str,
        request: RemotingCommand,
        timeout_ms: float,
        callback: Callable[[RemotingCommand | RemotingError], None],
    ) -> None:
        result: RemotingCommand | RemotingError
        try:
            result = await self.invoke(address, request, timeout_ms)
        except RemotingError as error:
            result = error
        try:
            callback(result)
        except Exception:
            log.exception("a callback for code %s to %s", request.code, address)

    async def _ask(
        self, connection: Connection, request: RemotingCommand, deadline: float
    ) -> RemotingCommand:
        asked_at = trio.current_time()
        try:
            return await connection.invoke(request, max(0.0, deadline - asked_at) * 1000)
        except TimeoutError_:
            self._timeouts += 1
            if self.config.client_close_socket_if_timeout and connection.last_active <= asked_at:
                connection.close("an answer is overdue and nothing else arrives")
            raise

    # Connections.

    async def connection(self, address: str) -> Connection:
        """The open connection to an address, made if there is none.

        Raises:
            ConnectError: no connection within `connectTimeoutMillis`.
            LocalFault: the client is not open.
        """
        channel = self._channels.get(address)
        if channel is not None and channel.connection is not None and not channel.connection.closed:
            return channel.connection
        if channel is None:
            channel = self._channels[address] = _Channel()
        async with channel.lock:
            if channel.connection is None or channel.connection.closed:
                channel.connection = await self._connect(address)
            return channel.connection

    def close_connection(self, address: str) -> None:
        """Closes the connection to an address, if there is one; the next use makes a new one."""
        channel = self._channels.get(address)
        if channel is not None and channel.connection is not None:
            channel.connection.close("closed by the client")

    async def _connection_before(self, address: str, deadline: float) -> Connection:
        channel = self._channels.get(address)
        if channel is not None and channel.connection is not None and not channel.connection.closed:
            return channel.connection
        with trio.move_on_at(deadline):
            return await self.connection(address)
        raise ConnectError(f"no connection to {address} in time")

    def _forget(self, address: str, connection: Connection) -> None:
        """Takes a connection out of use; what waits on it may still be answered."""
        channel = self._channels.get(address)
        if channel is not None and channel.connection is connection:
            channel.connection = None

    async def _connect(self, address: str) -> Connection:
        if self._nursery is None or self._nursery.cancel_scope.cancel_called:
            raise LocalFault("the client is not open")
        try:
            host, port = split_address(address)
            with trio.move_on_after(self.config.connect_timeout_millis / 1000):
                return await self._adopt(address, await trio.open_tcp_stream(host, port))
            raise OSError(f"not within {self.config.connect_timeout_millis} ms")
        except (OSError, ValueError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            self._failed_connects += 1
            raise ConnectError(f"cannot connect to {address}: {failure_reason(error)}") from error

    async def _adopt(self, address: str, stream: trio.SocketStream) -> Connection:
        # The connection reads and writes without trio's socket object.
        connected = socket.socket(fileno=stream.socket.detach())
        try:
            connected.setblocking(False)
            set_socket_options(
                connected, self.config.client_socket_snd_buf_size, self.config.client_socket_rcv_buf_size
            )
            connection = Connection(self, connected)
            if self._tls_context is not None:
                encrypted = trio.SSLStream(
                    trio.SocketStream(trio.socket.from_stdlib_socket(connected)),
                    self._tls_context,
                    server_hostname=split_address(address)[0],
                    https_compatible=True,
                )
                await encrypted.do_handshake()
                connection.use_stream(encrypted)
        except BaseException:
            trio.lowlevel.notify_closing(connected)
            connected.close()
            raise
        self._connects += 1
        self._connections[connection] = address
        self.start_soon(connection.run)
        return connection

    async def _watch_idle(self) -> None:
        idle_s = self.limits.idle_s
        while True:
            await trio.sleep(idle_s / 4)
            limit = trio.current_time() - idle_s
            for connection in [each for each in self._connections if each.last_active <= limit]:
                connection.close(f"idle for {idle_s:g} s")

    # The side that connections see.

    def start_soon(self, function: Callable[..., object], *args: object) -> None:
        """Runs an async function in the client's nursery; does nothing when the client is closed."""
        if self._nursery is not None and not self._nursery.cancel_scope.cancel_called:
            self._nursery.start_soon(function, *args)  # type: ignore[arg-type]

    def connection_quiet(self, connection: Connection) -> None:
        """Clients do not drain."""

    def connection_failed(self, connection: Connection, error: BaseException) -> None:
        """The connection logs it."""

    def connection_closed(self, connection: Connection, reason: str) -> None:
        """A connection has ended."""
        address = self._connections.pop(connection, None)
        if address is None:
            return
        self._forget(address, connection)
        self._lost_connections += 1
        if self.on_close is not None:
            try:
                self.on_close(connection)
            except Exception:
                log.exception("on_close for %s", connection.remote_address)

    def statistics(self) -> ClientStatistics:
        """The counters of now."""
        return ClientStatistics(
            connections=tuple(connection.statistics() for connection in self._connections),
            connects=self._connects,
            failed_connects=self._failed_connects,
            lost_connections=self._lost_connections,
            timeouts=self._timeouts,
        )
