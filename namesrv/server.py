"""One name server: its tables, its files, the port it serves, and who it tells what.

Runs alone or inside a container: :meth:`NameServer.serve` takes a port that the caller reserved on the
caller's transport, so an embedded name server shares accept loop settings, TLS and limits with the brokers.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import trio

from configuration import Configuration, wait_configured
from namesrv.kv_config import KVConfigManager
from namesrv.processor import ALWAYS_FORBIDDEN, NameServerProcessor
from namesrv.routes import MinBrokerIdChange, RouteInfoManager, RouteStatistics
from remoting.client import RemotingClient
from remoting.command import RemotingCommand
from remoting.config import RemotingClientConfig
from remoting.errors import RemotingError
from remoting.processors import ProcessorTable
from remoting.protocol.headers import NotifyMinBrokerIdChangeRequestHeader
from remoting.protocol.request_code import RequestCode
from remoting.server import ChannelListener

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from namesrv.config import NamesrvConfig
    from remoting.connection import Connection
    from remoting.server import PortReservation, Transport
    from remoting.tls import TlsSettings

__all__ = ["NameServer", "NameServerStatistics"]

_NOTIFY_TIMEOUT_MS = 300
_WAITING_NOTICES = 1000

log = logging.getLogger("rocketmq.namesrv")


@attrs.frozen
class NameServerStatistics:
    """State of a name server."""

    port: int | None
    """Where it serves, or None."""
    routes: RouteStatistics
    notices_sent: int
    """NOTIFY_MIN_BROKER_ID_CHANGE requests sent."""
    notices_dropped: int
    """Such requests not sent: too many waiting, or the broker could not be reached."""


class NameServer:
    """A name server.

    Args:
        config: its keys; those marked `runtime` may change while it runs.
        clock_ms: milliseconds on a clock that only goes forward; trio's when not given.
        configuration: what codes 318 and 319 change and show, with the file it is kept in; the config object
            alone, in its `configStorePath`, when not given.
    """

    def __init__(
        self,
        config: NamesrvConfig,
        *,
        clock_ms: Callable[[], int] | None = None,
        configuration: Configuration | None = None,
    ) -> None:
        self.config = config
        self.configuration = configuration or Configuration(
            [config],
            path=Path(config.config_store_path).expanduser(),
            always_forbidden=ALWAYS_FORBIDDEN,
            black_list=lambda: config.config_black_list,
        )
        self.kv = KVConfigManager(config.kv_config_path)
        self.routes = RouteInfoManager(
            support_acting_master=lambda: config.support_acting_master,
            delete_topics=lambda: config.delete_topic_with_broker_registration,
        )
        self.port: int | None = None
        self._clock_ms = clock_ms or _trio_clock_ms
        self._notices_sent = 0
        self._notices_dropped = 0
        self._notices: trio.MemorySendChannel[MinBrokerIdChange] | None = None

    def __repr__(self) -> str:
        return f"<NameServer port {self.port} {self.routes.statistics()}>"

    def statistics(self) -> NameServerStatistics:
        """The state at this moment."""
        return NameServerStatistics(
            self.port, self.routes.statistics(), self._notices_sent, self._notices_dropped
        )

    def register(self, table: ProcessorTable) -> None:
        """Enter this name server's request codes into a port's table; once, when its clock is running."""
        NameServerProcessor(
            self.config, self.configuration, self.routes, self.kv, self._clock_ms, self._take_effects
        ).register(table)

    async def serve(
        self,
        transport: Transport,
        reservation: PortReservation,
        *,
        index: int = 0,
        task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Read the key-value file, then serve until cancelled.

        Args:
            transport: of the process.
            reservation: holds the port; stays the caller's to close.
            index: which of the reserved ports.
            task_status: is started with the port's number once it serves.

        Raises:
            OSError: the key-value file is there but cannot be read.

        Cancellation closes the port and its connections; the files are up to date at any time.
        """
        await trio.to_thread.run_sync(self.kv.load)
        table = ProcessorTable()
        self.register(table)
        server = transport.sub_server(
            "namesrv", reservation, index, table, listeners=[_BrokerCloses(self._connection_closed)]
        )
        send, receive = trio.open_memory_channel[MinBrokerIdChange](_WAITING_NOTICES)
        async with trio.open_nursery() as nursery:
            self._notices = send
            nursery.start_soon(self._scan_loop)
            nursery.start_soon(self._notify_loop, receive, transport.tls)
            await nursery.start(server.serve)
            self.port = server.port
            log.info("the name server serves on port %d", server.port)
            task_status.started(server.port)
            try:
                await trio.sleep_forever()
            finally:
                self.port = None
                self._notices = None

    def _connection_closed(self, connection: Connection) -> None:
        self._take_effects(self.routes.connection_closed(connection))

    # Time and notices

    async def _scan_loop(self) -> None:
        while True:
            await wait_configured(lambda: self.config.scan_not_active_broker_interval / 1000)
            effects, connections = self.routes.scan(self._clock_ms())
            self._take_effects(effects)
            for connection in connections:
                connection.close("its broker expired")  # type: ignore[attr-defined]

    def _take_effects(self, effects: Iterable[MinBrokerIdChange]) -> None:
        if not self.config.notify_min_broker_id_changed or self._notices is None:
            return
        for effect in effects:
            try:
                self._notices.send_nowait(effect)
            except trio.WouldBlock:
                self._notices_dropped += len(effect.notify)

    async def _notify_loop(
        self, notices: trio.MemoryReceiveChannel[MinBrokerIdChange], tls: TlsSettings
    ) -> None:
        async with RemotingClient(RemotingClientConfig(), tls=tls) as client:
            async for notice in notices:
                async with trio.open_nursery() as nursery:
                    for address in notice.notify:
                        nursery.start_soon(self._notify, client, address, notice)

    async def _notify(self, client: RemotingClient, address: str, notice: MinBrokerIdChange) -> None:
        header = NotifyMinBrokerIdChangeRequestHeader(
            min_broker_id=notice.min_broker_id,
            broker_name=notice.broker_name,
            min_broker_addr=notice.min_broker_addr,
            offline_broker_addr=notice.offline_broker_addr,
            ha_broker_addr=notice.ha_broker_addr,
        )
        request = RemotingCommand.request(RequestCode.NOTIFY_MIN_BROKER_ID_CHANGE, header.encode())
        try:
            await client.oneway(address, request, _NOTIFY_TIMEOUT_MS)
        except RemotingError as wrong:
            self._notices_dropped += 1
            log.warning("%s not told of the new least broker id: %s", address, wrong)
        else:
            self._notices_sent += 1


class _BrokerCloses(ChannelListener):
    def __init__(self, forget: Callable[[Connection], None]) -> None:
        self._forget = forget

    def on_close(self, connection: Connection) -> None:
        """Forget the brokers that registered over this connection."""
        self._forget(connection)


def _trio_clock_ms() -> int:
    return int(trio.current_time() * 1000)
