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
import math
import os
import traceback
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import attrs
import trio

from broker.assembly import build_context, processor_tables
from broker.config import fill_ports
from broker.fresh_root import FreshRoot
from broker.housekeeping import ClientHousekeeping
from broker.own_address import own_ip
from broker.services import Services
from broker.stats import SAMPLE_INTERVAL_S
from configuration import Configuration
from logs.identity import BrokerIdentity, bound
from remoting.client import RemotingClient
from remoting.config import RemotingClientConfig
from remoting.errors import ReservationError
from store import MessageStore, OsFileSystem, StoreCorruptError, StoreError, SystemClock
from store.worker_threads import in_service_thread, own_request_threads

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from broker.config import BrokerConfig
    from broker.context import BrokerContext
    from broker.pull_hold import HoldStatistics
    from broker.registration import RegistrationStatistics
    from broker.saved_table import SavedTable
    from remoting.server import PortReservation, SubServer, Transport
    from store import Clock, FileSystem, MessageStoreConfig

__all__ = ["Broker", "BrokerState", "BrokerStatistics"]

_log = logging.getLogger("rocketmq.broker")

_FIRST_REGISTRATION_S = 3.0
_DRAIN_S = 5.0
_DRAIN_SHARE = 0.5
"""Of the time of a stop: what is left is for the name servers."""
_QUEUE_ENTRY_BYTES = 20

"""Recoveries take no worker thread away from the brokers that serve already."""


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
    fast_port: int
    ha_port: int
    connections: int
    topics: int
    groups: int
    consumer_groups_online: int
    producer_groups_online: int
    held_pulls: HoldStatistics | None
    registration: RegistrationStatistics | None
    messages_put: int
    """Since the start."""
    put_tps: float
    """Messages stored per second, over the last 10 s."""
    get_tps: float
    """Messages given to consumers per second, over the last 10 s."""
    buffered_bytes: int
    """What the broker keeps in memory for others: answers that are not sent, sends that wait for their flush,
    entries of consume queues that are not written."""


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
        has_neighbours: asked there whether others of this process serve; a recovery makes room for them then.
        files: where the store and the tables live.

    Attributes:
        listen_port, fast_port, ha_port: the real numbers from the reservation on, before it those asked for
            (0: any free one).
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
        has_neighbours: Callable[[], bool] = lambda: False,
        files: FileSystem | None = None,
    ) -> None:
        root = os.path.expanduser(store_config.store_path_root_dir)
        store_config.store_path_root_dir = os.path.abspath(root)
        config.broker_ip1 = config.broker_ip1 or own_ip()
        config.broker_ip2 = config.broker_ip2 or config.broker_ip1
        fill_ports(config, store_config)
        self.config = config
        self.store_config = store_config
        self.identity = BrokerIdentity(config.broker_cluster_name, config.broker_name, config.broker_id)
        self.state = BrokerState.NEW
        self.failure: BaseException | None = None
        """Why the broker failed, once `state` is FAILED."""
        self.context: BrokerContext | None = None
        """Everything of the broker; None before its ports are reserved and after it has stopped."""
        self.listen_port = config.listen_port
        self.fast_port = config.fast_listen_port or 0
        self.ha_port = store_config.ha_listen_port or 0
        self._transport = transport
        self._client_config = client_config or RemotingClientConfig()
        self._name_servers = _split(config.namesrv_addr) if name_servers is None else list(name_servers)
        self._configuration = configuration
        self._clock = clock or SystemClock()
        self._progress = progress
        self._has_neighbours = has_neighbours
        self._files = files or OsFileSystem()
        self._servers: list[SubServer] = []
        self._stop = trio.Event()
        self._services = Services(self._stop)
        self._has_run = False
        self._stop_timeout_s: float | None = None
        self._stop_deadline = math.inf
        self._stop_step: trio.CancelScope | None = None

    def __repr__(self) -> str:
        return f"<Broker {self.identity} {self.state.value} on {self.address}>"

    @property
    def address(self) -> str:
        """`ip:port` given to clients; the port is the real one from the reservation on."""
        return f"{self.config.broker_ip1}:{self.listen_port}"

    @property
    def ports(self) -> tuple[int, int, int]:
        """The listening port, the fast port (without pulls) and the HA port, which is only reserved."""
        return self.listen_port, self.fast_port, self.ha_port

    def stop_within(self, timeout_s: float) -> None:
        """Bounds how long a stop waits for clients and name servers together; shutdownTimeoutMills otherwise.

        The time that the broker's own disk needs is not bounded. Call it before the broker is cancelled; once
        it stops, a call can only shorten the wait.
        """
        self._stop_timeout_s = timeout_s
        if self._stop_deadline < math.inf:
            self._stop_deadline = min(self._stop_deadline, trio.current_time() + timeout_s)
            if self._stop_step is not None:
                self._stop_step.deadline = min(self._stop_step.deadline, self._stop_deadline)

    def undo_start(self) -> None:
        """Takes a start back that has just succeeded; call it before the broker is cancelled.

        What the start made on disk goes again, as after a start that failed, unless a message is stored.
        """
        self._has_run = False

    def statistics(self) -> BrokerStatistics:
        """The broker at this moment; cheap."""
        context = self.context
        ports = [server.statistics() for server in self._servers]
        store = context.store.statistics() if context else None
        buffered_bytes = sum(port.queued_bytes for port in ports)
        if context is not None and store is not None:
            buffered_bytes += context.sends.waiting_bytes
            buffered_bytes += store.write_behind.unwritten * _QUEUE_ENTRY_BYTES
        return BrokerStatistics(
            state=self.state,
            address=self.address,
            fast_port=self.fast_port,
            ha_port=self.ha_port,
            connections=sum(port.connections for port in ports),
            topics=len(context.topics.table) if context else 0,
            groups=len(context.groups.table) if context else 0,
            consumer_groups_online=len(context.consumers.table) if context else 0,
            producer_groups_online=len(context.producers.table) if context else 0,
            held_pulls=context.hold.statistics() if context else None,
            registration=context.registration.statistics() if context else None,
            messages_put=store.messages_put if store else 0,
            put_tps=store.put_tps if store else 0.0,
            get_tps=store.get_tps if store else 0.0,
            buffered_bytes=buffered_bytes,
        )

    async def run(self, *, task_status: trio.TaskStatus[Broker] = trio.TASK_STATUS_IGNORED) -> None:
        """Run the broker until cancelled; `started` comes when it serves and was offered to its name servers.

        A broker runs once; build another one to start again.

        Cancellation: a start is undone; a recovery gives up within moments and is done again by the next
        start. A broker that serves stops in order (see the module), which takes up to shutdownTimeoutMills
        (or what `stop_within` said) for the network plus the time its disk needs; then `Cancelled` is raised
        on.

        Raises:
            ReservationError: a port is in use.
            StoreError: the store's paths are in use, unreadable or full.
            ExceptionGroup: a service failed later, or the device of the commit log (`StoreError`). The broker
                has stopped in the same order by then, as far as the failure lets it: what waited for the
                device was answered that it failed.
        """
        if self.state is not BrokerState.NEW:
            raise RuntimeError(f"{self!r} cannot run twice")
        self.state = BrokerState.STARTING
        with bound(self.identity, lambda: self.config.isolate_log_enable), own_request_threads():
            try:
                async with self._loaded() as context, trio.open_nursery() as nursery:
                    ready = trio.Event()
                    try:
                        nursery.start_soon(self._serve, context, ready)
                        await ready.wait()
                        with trio.move_on_after(_FIRST_REGISTRATION_S):
                            await context.registration.settled()
                        if not self._stop.is_set():
                            self.state, self._has_run = BrokerState.RUNNING, True
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
                    if isinstance(error, (ReservationError, StoreCorruptError)):  # the sentence says it all
                        _log.error("broker %s failed: %s", self.identity, error)
                    else:
                        _log.exception("broker %s failed", self.identity)
                    _let_go(error)
                raise
            finally:
                self.context = None

    # Forward

    @asynccontextmanager
    async def _loaded(self) -> AsyncIterator[BrokerContext]:
        """Everything reserved and read; released when the block is left, however that is."""
        async with AsyncExitStack() as undo:
            reservation = self._transport.reserve_broker_ports(
                self._transport.config.bind_address,
                self.config.listen_port,
                fast_port=self.config.fast_listen_port,
                ha_port=self.store_config.ha_listen_port,
            )
            undo.callback(reservation.close)
            self.listen_port, self.fast_port, self.ha_port = reservation.ports
            store = MessageStore(
                self.store_config,
                broker_name=self.config.broker_name,
                store_host=(str(self.config.broker_ip1), self.listen_port),
                files=self._files,
                clock=self._clock,
            )
            before = await in_service_thread(
                FreshRoot, store.root, store.commit_log_paths, store.consume_queue_path, self._files
            )
            undo.push_async_callback(self._forget_start, before.remove_directories, store)
            await in_service_thread(store.reserve)
            undo.callback(store.release)
            undo.push_async_callback(self._forget_start, before.remove_files, store)
            undo.push_async_callback(_in_thread, store.shutdown)
            context = build_context(
                config=self.config,
                configuration=self._configuration or self._own_configuration(),
                identity=self.identity,
                address=self.address,
                ha_address=f"{self.config.broker_ip2}:{self.ha_port}",
                name_servers=self._name_servers,
                transport=self._transport,
                client=RemotingClient(self._client_config, tls=self._transport.tls),
                store=store,
                files=self._files,
                clock_ms=self._clock.now_ms,
            )
            undo.callback(context.offsets.release)
            await in_service_thread(self._load, context)
            context.topics.on_change = context.registration.notify_change
            context.client.on_close = context.registration.connection_closed
            await _save(context.offsets.file)  # begins the journal of the commits to come
            undo.push_async_callback(self._close_journal, context)
            self._make_servers(context, reservation, undo)
            self.context = context
            yield context

    def _own_configuration(self) -> Configuration:
        return Configuration(
            [self.config, self.store_config],
            path=self.config.broker_config_path,
            always_forbidden=("brokerConfigPath", "rocketmqHome", "configBlackList"),
            black_list=lambda: self.config.config_black_list,
        )

    def _load(self, context: BrokerContext) -> None:
        """Read tables and store. Blocks, as long as recovery takes; gives up when the broker is stopped."""
        loads = (context.topics.load, context.groups.load, context.offsets.load, context.registration.load)
        for load in loads:
            load()
            trio.from_thread.check_cancelled()
        context.store.load(self._recovers, self._has_neighbours)
        context.schedule.load()

    def _recovers(self, done_bytes: int, total_bytes: int) -> None:
        """Called every few milliseconds of a recovery: the place where a stop interrupts it."""
        trio.from_thread.check_cancelled()
        if self._progress is not None:
            self._progress(done_bytes, total_bytes)

    def _make_servers(
        self, context: BrokerContext, reservation: PortReservation, undo: AsyncExitStack
    ) -> None:
        name = self.identity.canonical_name
        housekeeping = ClientHousekeeping(context)
        for index, (suffix, table) in enumerate(zip(("", "-fast"), processor_tables(context), strict=True)):
            server = self._transport.sub_server(name + suffix, reservation, index, table)
            undo.callback(server.close)
            server.add_listener(housekeeping)
            self._servers.append(server)
        self._servers[0].add_listener(context.hold)

    async def _serve(self, context: BrokerContext, ready: trio.Event) -> None:
        """Run everything until told to stop; feels no cancellation from outside, to stop in order."""
        with trio.CancelScope(shield=True):
            async with context.client, trio.open_nursery() as nursery:
                await self._services.start(nursery, context.store.run)
                try:
                    await self._serve_clients(context, ready)
                finally:
                    with trio.CancelScope(shield=True):
                        await self._leave(context)
                nursery.cancel_scope.cancel()
            self._services.raise_failures()

    async def _serve_clients(self, context: BrokerContext, ready: trio.Event) -> None:
        async with trio.open_nursery() as nursery:
            await self._start_services(context, nursery)
            ready.set()
            await self._stop.wait()
            self.state = BrokerState.STOPPING
            _log.info("broker %s stops", self.identity)
            await self._drain()
            nursery.cancel_scope.cancel()

    async def _start_services(self, context: BrokerContext, nursery: trio.Nursery) -> None:
        context.store.on_arrival += [context.schedule.on_arrival, context.hold.on_arrival]
        services, config = self._services, self.config
        services.start_soon(nursery, context.topics.file.run)
        services.start_soon(nursery, context.groups.file.run)
        services.start_soon(
            nursery, context.offsets.file.run, lambda: config.flush_consumer_offset_interval / 1000
        )
        services.start_soon(nursery, self._keep_house, context)
        await services.start(nursery, context.hold.run)
        await services.start(nursery, context.schedule.run)
        for server in self._servers:
            await services.start(nursery, server.serve)
        services.start_soon(nursery, context.registration.run)

    async def _keep_house(self, context: BrokerContext) -> None:
        """What is looked at every now and then: statistics, clients without heartbeat."""
        next_s = trio.current_time()
        while True:
            next_s += SAMPLE_INTERVAL_S
            await trio.sleep_until(next_s)
            for _ in context.stats.sampling():
                await trio.lowlevel.checkpoint()
            context.consumers.flush_notifications()
            for connection in {*context.consumers.scan_expired(), *context.producers.scan_expired()}:
                connection.close("no heartbeat")

    # Backward

    async def _drain(self) -> None:
        """No new requests; those under way are answered, and who waits is told to go elsewhere."""
        timeout_s = self._stop_timeout_s
        if timeout_s is None:
            timeout_s = self.config.shutdown_timeout_mills / 1000
        now = trio.current_time()
        self._stop_deadline = now + timeout_s
        drain_s = min(_DRAIN_S, timeout_s * _DRAIN_SHARE)
        with self._stop_step_until(now + timeout_s) as step:
            async with trio.open_nursery() as drains:
                for server in self._servers:
                    drains.start_soon(server.drain, drain_s)
        if step.cancelled_caught:
            _log.warning("requests were not finished within the time of the stop")

    async def _leave(self, context: BrokerContext) -> None:
        """Away from the name servers, and every table to disk; one that fails keeps no other back."""
        with self._stop_step_until(self._stop_deadline):
            await context.registration.unregister()
        for table in (context.topics.file, context.groups.file, context.offsets.file):
            await _save(table)

    @contextmanager
    def _stop_step_until(self, deadline: float) -> Iterator[trio.CancelScope]:
        """A part of the stop that others may keep waiting; `stop_within` can shorten it."""
        with trio.CancelScope(deadline=deadline) as self._stop_step:
            yield self._stop_step
        self._stop_step = None

    async def _close_journal(self, context: BrokerContext) -> None:
        """Nothing commits any more. The journal stays as long as it knows more than the table."""
        if context.offsets.file.dirty:
            return
        try:
            await _in_thread(context.offsets.close)
        except StoreError:
            _log.exception("the journal of offsets stays, without effect")

    async def _forget_start(self, forget: Callable[[], None], store: MessageStore) -> None:
        """Undo what a failed start made on a disk where nothing was, unless somebody may have used it."""
        was_used = store.max_phy_offset > 0 or any(
            server.statistics().accepted_connections for server in self._servers
        )
        if self._has_run or was_used:
            return
        try:
            await _in_thread(forget)
        except StoreError:
            _log.exception("files of a start that failed are left behind")


async def _in_thread(function: Callable[[], None]) -> None:
    """Call what blocks and must be done, also when the broker is cancelled."""
    with trio.CancelScope(shield=True):
        await in_service_thread(function)


async def _save(table: SavedTable) -> None:
    """Write a table if the disk lets us: a full one must keep no broker from starting or stopping."""
    try:
        await table.saved()
    except StoreError as error:
        _log.error("a table is not saved: %s", error)


def _let_go(error: BaseException) -> None:
    """Empty the frames of a failure: whoever keeps it would keep mapped files of the broker open with it."""
    seen: set[int] = set()
    left: list[BaseException | None] = [error]
    while left:
        one = left.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        traceback.clear_frames(one.__traceback__)
        left += [one.__cause__, one.__context__]
        if isinstance(one, BaseExceptionGroup):
            left += one.exceptions


def _split(addresses: str | None) -> list[str]:
    return [each.strip() for each in (addresses or "").split(";") if each.strip()]


def _is_cancellation(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(map(_is_cancellation, error.exceptions))
    return isinstance(error, trio.Cancelled)
