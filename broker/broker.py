"""One broker, whole: built from its configuration, run as one cancellable task.

:meth:`Broker.run` walks one road. Forward: reserve the ports and the store's paths, load the store in a
worker thread, start the services, serve both ports, register. Backward, when it is cancelled: take no new
requests, drain, unregister, save the tables, close the store, release. The way back runs shielded from the
cancellation that asked for it, and the part of it that depends on other machines has a time limit. A failure
anywhere goes the same way back as far as it had come, and leaves as an exception.
"""

from __future__ import annotations

import enum
import logging
import os
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import attrs
import trio

from broker import (
    admin,
    client_manage,
    message_query,
    offset_query,
    pull,
    rebalance_lock,
    send_back,
)
from broker.clients import ConsumerManager, ProducerManager
from broker.context import BrokerContext
from broker.groups import SubscriptionGroupManager
from broker.housekeeping import ClientHousekeeping
from broker.offset_journal import OffsetJournal
from broker.offsets import ConsumerOffsetManager
from broker.own_address import own_ip
from broker.pull_hold import PullRequestHold
from broker.rebalance_lock import RebalanceLockManager
from broker.registration import Registration
from broker.schedule import ScheduleMessageService
from broker.send import SendMessageProcessor
from broker.stats import SAMPLE_INTERVAL_S, BrokerStatsManager
from broker.topics import TopicConfigManager
from configuration import Configuration
from logs.identity import BrokerIdentity, bound
from remoting.client import RemotingClient
from remoting.config import RemotingClientConfig
from remoting.processors import ProcessorTable
from store import ConfigTable, MessageStore, OsFileSystem, StoreError, SystemClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from broker.config import BrokerConfig
    from broker.pull_hold import HoldStatistics
    from broker.registration import RegistrationStatistics
    from broker.saved_table import SavedTable
    from remoting.server import PortReservation, SubServer, Transport
    from store import Clock, FileSystem, MessageStoreConfig

__all__ = ["Broker", "BrokerState", "BrokerStatistics"]

_log = logging.getLogger("rocketmq.broker")

_FIRST_REGISTRATION_S = 3.0
_DRAIN_S = 5.0
_FAST_PORT_DISTANCE = 2


class BrokerState(enum.Enum):
    """Where a broker is on its road."""

    NEW = "new"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


@attrs.frozen(kw_only=True)
class BrokerStatistics:
    """A broker at one moment."""

    state: BrokerState
    address: str
    connections: int
    topics: int
    groups: int
    consumer_groups_online: int
    producer_groups_online: int
    held_pulls: HoldStatistics | None
    registration: RegistrationStatistics | None


class Broker:
    """One broker of a process.

    Args:
        config, store_config: this broker's own. Addresses that are not set and relative paths are filled in
            in place, so that everybody sees what is in force.
        transport: shared by all brokers of the process; its `bind_address` is honoured.
        client_config: for the broker's own connections to name servers.
        name_servers: `host:port` each; by default those of `config.namesrv_addr`.
        configuration: the same config objects with their file, for the codes 25 and 26; by default made here.
        clock: the broker's time.
        progress: called with (bytes done, bytes in all) while a long recovery goes on, in a worker thread.
        files: where the store and the tables live.
    """

    def __init__(
        self,
        config: BrokerConfig,
        store_config: MessageStoreConfig,
        *,
        transport: Transport,
        client_config: RemotingClientConfig | None = None,
        name_servers: Sequence[str] | None = None,
        configuration: Configuration | None = None,
        clock: Clock | None = None,
        progress: Callable[[int, int], None] | None = None,
        files: FileSystem | None = None,
    ) -> None:
        root = os.path.expanduser(store_config.store_path_root_dir)
        store_config.store_path_root_dir = os.path.abspath(root)
        config.broker_ip1 = config.broker_ip1 or own_ip()
        config.broker_ip2 = config.broker_ip2 or config.broker_ip1
        self.config = config
        self.store_config = store_config
        self.identity = BrokerIdentity(config.broker_cluster_name, config.broker_name, config.broker_id)
        self.state = BrokerState.NEW
        self.failure: BaseException | None = None
        """Why the broker failed, once `state` is FAILED."""
        self.context: BrokerContext | None = None
        """Everything of the broker; None before its ports are reserved and after it has stopped."""
        self.listen_port = config.listen_port
        self._transport = transport
        self._client_config = client_config or RemotingClientConfig()
        self._name_servers = _split(config.namesrv_addr) if name_servers is None else list(name_servers)
        self._configuration = configuration
        self._clock = clock or SystemClock()
        self._progress = progress
        self._files = files or OsFileSystem()
        self._servers: list[SubServer] = []
        self._stop = trio.Event()

    def __repr__(self) -> str:
        return f"<Broker {self.identity} {self.state.value} on {self.address}>"

    @property
    def address(self) -> str:
        """`ip:port` given to clients; the port is the real one from the reservation on."""
        return f"{self.config.broker_ip1}:{self.listen_port}"

    @property
    def ports(self) -> tuple[int, int]:
        """The listening port and the fast port (without pulls)."""
        return self.listen_port, self.listen_port - _FAST_PORT_DISTANCE

    def statistics(self) -> BrokerStatistics:
        """The broker at this moment; cheap."""
        context = self.context
        return BrokerStatistics(
            state=self.state,
            address=self.address,
            connections=sum(len(server.connections) for server in self._servers),
            topics=len(context.topics.table) if context else 0,
            groups=len(context.groups.table) if context else 0,
            consumer_groups_online=len(context.consumers.table) if context else 0,
            producer_groups_online=len(context.producers.table) if context else 0,
            held_pulls=context.hold.statistics() if context else None,
            registration=context.registration.statistics() if context else None,
        )

    async def run(self, *, task_status: trio.TaskStatus[Broker] = trio.TASK_STATUS_IGNORED) -> None:
        """Run the broker until cancelled; `started` comes when it serves and was offered to its name servers.

        A broker runs once; build another one to start again.

        Cancellation: the broker stops in order (see the module), which takes up to shutdownTimeoutMills for
        the network plus the time its disk needs; then `Cancelled` is raised on.

        Raises:
            ReservationError: a port is in use.
            StoreError: the store's paths are in use, unreadable or full.
            ExceptionGroup: a service failed later.
        """
        if self.state is not BrokerState.NEW:
            raise RuntimeError(f"{self!r} cannot run twice")
        self.state = BrokerState.STARTING
        with bound(self.identity):
            try:
                async with self._loaded() as context, trio.open_nursery() as nursery:
                    ready = trio.Event()
                    try:
                        nursery.start_soon(self._serve, context, ready)
                        await ready.wait()
                        with trio.move_on_after(_FIRST_REGISTRATION_S):
                            await context.registration.settled()
                        self.state = BrokerState.RUNNING
                        _log.info("broker %s is ready on %s", self.identity, self.address)
                        task_status.started(self)
                        await trio.sleep_forever()
                    finally:
                        self._stop.set()
            except BaseException as error:
                if _is_cancellation(error):
                    self.state = BrokerState.STOPPED
                    _log.info("broker %s has stopped", self.identity)
                else:
                    self.state = BrokerState.FAILED
                    self.failure = error
                    _log.exception("broker %s failed", self.identity)
                raise
            finally:
                self.context = None

    # Forward

    @asynccontextmanager
    async def _loaded(self) -> AsyncIterator[BrokerContext]:
        """Everything reserved and read; released when the block is left, however that is."""
        root = self.store_config.store_path_root_dir
        async with AsyncExitStack() as undo:
            reservation = self._transport.reserve_port_pair(
                self._transport.config.bind_address, self.config.listen_port
            )
            undo.callback(reservation.close)
            self.listen_port = reservation.ports[0]
            store = MessageStore(
                self.store_config,
                broker_name=self.config.broker_name,
                store_host=(str(self.config.broker_ip1), self.listen_port),
                files=self._files,
                clock=self._clock,
            )
            await trio.to_thread.run_sync(store.reserve)
            undo.callback(store.release)
            undo.push_async_callback(self._shut_down, store)
            client = RemotingClient(self._client_config, tls=self._transport.tls)
            context = self._build(root, store, client)
            await trio.to_thread.run_sync(self._load, context)
            context.topics.on_change = context.registration.notify_change
            client.on_close = context.registration.connection_closed
            await _save(context.offsets.file)  # begins the journal of the commits to come
            self._make_servers(context, reservation)
            for server in self._servers:
                undo.callback(server.close)
            self.context = context
            yield context

    def _build(self, root: str, store: MessageStore, client: RemotingClient) -> BrokerContext:
        config, clock_ms = self.config, self._clock.now_ms

        def table(name: str) -> ConfigTable:
            return ConfigTable(f"{root}/config/{name}.json", self._files)

        topics = TopicConfigManager(config, table("topics"), clock_ms=clock_ms)
        context = BrokerContext(
            config=config,
            store_config=self.store_config,
            identity=self.identity,
            address=self.address,
            clock_ms=clock_ms,
            configuration=self._configuration or self._own_configuration(),
            transport=self._transport,
            client=client,
            store=store,
            topics=topics,
            groups=SubscriptionGroupManager(config, table("subscriptionGroup"), clock_ms=clock_ms),
            offsets=ConsumerOffsetManager(
                table("consumerOffset"),
                clock_ms=clock_ms,
                journal=OffsetJournal(f"{root}/config/consumerOffset.journal", self._files),
                version_step=lambda: config.consumer_offset_update_version_step,
            ),
            producers=ProducerManager(config, clock_ms=clock_ms),
            consumers=ConsumerManager(config, clock_ms=clock_ms),
            stats=BrokerStatsManager(
                config.broker_cluster_name, clock_ms=clock_ms, is_system=topics.is_system
            ),
            registration=Registration(
                config=config,
                identity=self.identity,
                address=self.address,
                ha_address=f"{config.broker_ip2}:{self.store_config.ha_listen_port}",
                topics=topics,
                client=client,
                name_servers=self._name_servers,
                clock_ms=clock_ms,
            ),
        )
        context.sends = SendMessageProcessor(context)
        context.hold = PullRequestHold(context)
        context.locks = RebalanceLockManager(context)
        context.schedule = ScheduleMessageService(context, table("delayOffset"))
        return context

    def _own_configuration(self) -> Configuration:
        return Configuration(
            [self.config, self.store_config],
            path=self.config.broker_config_path,
            always_forbidden=("brokerConfigPath", "rocketmqHome", "configBlackList"),
            black_list=lambda: self.config.config_black_list,
        )

    def _load(self, context: BrokerContext) -> None:
        """Read tables and store. Blocks, for as long as recovery takes."""
        context.topics.load()
        context.groups.load()
        context.offsets.load()
        context.store.load(self._progress)
        context.schedule.load()

    def _make_servers(self, context: BrokerContext, reservation: PortReservation) -> None:
        main, fast = ProcessorTable(), ProcessorTable()
        for table in (main, fast):
            for processor in (send_back, message_query, offset_query, client_manage, rebalance_lock, admin):
                processor.register(table, context)
            context.sends.register(table)
        pull.register(main, context)
        name = self.identity.canonical_name
        housekeeping = ClientHousekeeping(context)
        self._servers = [
            self._transport.sub_server(name, reservation, 0, main),
            self._transport.sub_server(f"{name}-fast", reservation, 1, fast),
        ]
        for server in self._servers:
            server.add_listener(housekeeping)
        self._servers[0].add_listener(context.hold)

    async def _serve(self, context: BrokerContext, ready: trio.Event) -> None:
        """Run everything until told to stop; feels no cancellation from outside, to stop in order."""
        with trio.CancelScope(shield=True):
            async with context.client, trio.open_nursery() as nursery:
                await nursery.start(context.store.run)
                try:
                    await self._serve_clients(context, ready)
                finally:
                    with trio.CancelScope(shield=True):
                        await self._leave(context)
                nursery.cancel_scope.cancel()

    @staticmethod
    async def _shut_down(store: MessageStore) -> None:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(store.shutdown)

    async def _serve_clients(self, context: BrokerContext, ready: trio.Event) -> None:
        async with trio.open_nursery() as services:
            await self._start_services(context, services)
            ready.set()
            await self._stop.wait()
            self.state = BrokerState.STOPPING
            _log.info("broker %s stops", self.identity)
            with trio.move_on_after(self.config.shutdown_timeout_mills / 1000) as limit:
                async with trio.open_nursery() as drains:
                    for server in self._servers:
                        drains.start_soon(server.drain, _DRAIN_S)
            if limit.cancelled_caught:
                _log.warning("requests were not finished within shutdownTimeoutMills")
            services.cancel_scope.cancel()

    async def _start_services(self, context: BrokerContext, services: trio.Nursery) -> None:
        context.store.on_arrival += [context.schedule.on_arrival, context.hold.on_arrival]
        services.start_soon(context.topics.file.run)
        services.start_soon(context.groups.file.run)
        services.start_soon(
            context.offsets.file.run, lambda: self.config.flush_consumer_offset_interval / 1000
        )
        services.start_soon(self._keep_house, context)
        await services.start(context.hold.run)
        await services.start(context.schedule.run)
        for server in self._servers:
            await services.start(server.serve)
        services.start_soon(context.registration.run)

    async def _keep_house(self, context: BrokerContext) -> None:
        """What is looked at every now and then: statistics, clients without heartbeat."""
        next_s = trio.current_time()
        while True:
            next_s += SAMPLE_INTERVAL_S
            await trio.sleep_until(next_s)
            context.stats.sample()
            context.consumers.flush_notifications()
            for connection in {*context.consumers.scan_expired(), *context.producers.scan_expired()}:
                connection.close("no heartbeat")

    # Backward

    async def _leave(self, context: BrokerContext) -> None:
        """Away from the name servers, and every table to disk; one that fails keeps no other back."""
        with trio.move_on_after(self.config.shutdown_timeout_mills / 1000):
            await context.registration.unregister()
        for table in (context.topics.file, context.groups.file, context.offsets.file):
            await _save(table)
        if not context.offsets.file.dirty:
            await trio.to_thread.run_sync(context.offsets.close)


async def _save(table: SavedTable) -> None:
    """Write a table if the disk lets us: a full one must keep no broker from starting or stopping."""
    try:
        await table.saved()
    except StoreError:
        _log.exception("a table is not saved")


def _split(addresses: str | None) -> list[str]:
    return [each.strip() for each in (addresses or "").split(";") if each.strip()]


def _is_cancellation(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(map(_is_cancellation, error.exceptions))
    return isinstance(error, trio.Cancelled)
