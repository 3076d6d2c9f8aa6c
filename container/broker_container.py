"""The container: one trio run, one transport, many brokers that know nothing of each other.

    process ─ BrokerContainer.run
              ├─ embedded name server                 (first up, last down)
              ├─ container port and its fast port     (codes 25, 26, 902, 903, 20902)
              └─ BrokerSupervisor ─ one task per broker ─ InnerBroker.run ─ the broker's own nursery

A broker comes up in three steps. *Reserve*: identity, ports and directories are claimed in the book of the
container, all or nothing, before anything is opened. *Build*: the broker's own task reserves sockets and
store locks, recovers and starts. *Commit*: it serves, is registered, and the container's file names it. What
fails gives back everything and leaves a reason behind. Removal is the same road backwards.

Brokers start side by side and stop side by side, slaves before masters. Mirrors RIP-31's `IBrokerContainer`.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

import attrs
import trio

from broker.broker import Broker
from broker.own_address import own_ip
from container.broker_plan import BrokerPlan, plan_broker
from container.broker_requests import BrokerRequests
from container.claims import ClaimConflictError, Claims
from container.container_status import container_status, share_warnings_of
from container.inner_broker import BrokerState, InnerBroker, sentence
from container.processor import ContainerProcessor
from container.refusal import BootRefusedError
from container.saved_brokers import SavedBrokers
from container.settings import name_server_list
from container.supervisor import BrokerSupervisor
from namesrv import NameServer
from remoting.errors import ReservationError
from remoting.loop_stalls import watched_loop
from remoting.processors import ProcessorTable
from remoting.server import Transport
from store import SystemClock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.config import BrokerConfig
    from container.config import BrokerContainerConfig
    from container.inner_broker import BootHook, InnerBrokerStatistics
    from container.saved_brokers import Added
    from container.settings import ContainerSettings, NamesrvSettings
    from container.supervisor import FailedBroker
    from logs.identity import BrokerIdentity
    from remoting.config import RemotingClientConfig, RemotingServerConfig
    from remoting.protocol.container_body import ContainerStatus
    from remoting.server import PortReservation, SubServer
    from remoting.tls import TlsSettings
    from store import Clock, FileSystem, MessageStoreConfig

__all__ = ["BrokerContainer", "ContainerStatistics"]

_log = logging.getLogger("rocketmq.container")

EVERY_ADDRESS = ("0.0.0.0", "::", "")  # noqa: S104 - compared, not bound

_STOP_SHARE = 0.8
"""Of the time of a removal is for clients and name servers; the rest is for the disk, before the answer."""

SHARES_LOOK_DELAY_S = 0.1
"""Brokers that come within this time are looked at together for shares of a disk that do not fit."""

OWN_DRAIN_S = 1.0
"""Longest time that answers of the container's own ports get when it stops."""


def local_host(bind_address: str) -> str:
    """How this process itself reaches what listens on `bind_address`."""
    return "127.0.0.1" if bind_address in EVERY_ADDRESS else bind_address


@attrs.frozen(kw_only=True)
class ContainerStatistics:
    """What an operator asks about a container."""

    brokers: tuple[InnerBrokerStatistics, ...]
    failed: tuple[InnerBrokerStatistics, ...]
    """Brokers of the container that are down, the newest last."""


class BrokerContainer:
    """One process's brokers.

    Args:
        settings: the container's own configuration.
        plans: the brokers to start with.
        namesrv: starts a name server in this process; brokers use it unless `settings` name others.
        listen: open the container's own port pair. False for a broker that is alone (`mqbroker`).
        tls: of all ports of the process.
        clock: the time of the container and its brokers.
        files: where the brokers' stores and tables live; the operating system's by default.
        hooks: told of every broker.

    Raises:
        TlsConfigError: keys or certificates that cannot be used.

    Usage: :meth:`run` is the container's whole life; :func:`container.open_container` wraps it for programs.
    """

    def __init__(
        self,
        settings: ContainerSettings,
        plans: Sequence[BrokerPlan] = (),
        *,
        namesrv: NamesrvSettings | None = None,
        listen: bool = True,
        tls: TlsSettings | None = None,
        hooks: Sequence[BootHook] = (),
        clock: Clock | None = None,
        files: FileSystem | None = None,
    ) -> None:
        self.settings = settings
        self.hooks = list(hooks)
        self._plans = list(plans)
        self._namesrv = namesrv
        self._listen = listen
        self._clock = clock or SystemClock()
        self._transport = Transport(settings.server_config, tls)
        self._files = files
        self._warned: set[str] = set()
        self._shares_to_look_at = trio.Event()
        self._claims = Claims()
        self._stopping = trio.Event()
        self._closed = trio.Event()
        self._servers: list[SubServer] = []
        self._ports: PortReservation | None = None
        self._namesrv_ports: PortReservation | None = None
        self._name_servers = name_server_list(settings.config.namesrv_addr)
        self._supervisor = BrokerSupervisor(
            settings.config, self._claims, build=self._build, commit=self._commit, hooks=self.hooks
        )
        configuration = settings.configuration()
        self.saved = SavedBrokers(settings, configuration)
        """The list of brokers in the container's file."""
        self.processor = ContainerProcessor(
            configuration,
            BrokerRequests(
                settings.config,
                self._supervisor,
                self.saved,
                base=None if settings.source is None else settings.source.parent,
                remove=self.remove_broker,
            ),
            clock_ms=self._clock.now_ms,
            on_update=self._adopt_update,
            status=partial(container_status, self),
        )

    def __repr__(self) -> str:
        return f"<BrokerContainer {self.broker_container_addr} {self._supervisor!r}>"

    # Life

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """The container's life: name server, own ports, brokers; until :meth:`shutdown` or cancellation.

        Reports started when every broker of the start either serves or has failed. Cancellation is an orderly
        stop: it takes as long as the brokers need to save everything.

        Raises:
            BootRefusedError: a port of the container itself is taken; a broker failed and `exitOnBootFailure`
                is set; or all brokers that were asked for failed. Everything is closed by then.
        """
        refused: BootRefusedError | None = None
        async with trio.open_nursery() as watch:
            watch.start_soon(self._stop_when_cancelled)
            with trio.CancelScope(shield=True), watched_loop(self._stall_warn_millis):
                try:
                    await self._live(task_status)
                except BootRefusedError as error:
                    refused = error
            watch.cancel_scope.cancel()
        if refused is not None:
            raise refused

    async def shutdown(self) -> None:
        """Asks :meth:`run` for an orderly stop and returns when it is done."""
        self._stopping.set()
        await self._closed.wait()

    def _stall_warn_millis(self) -> int:
        return self.settings.server_config.event_loop_stall_warn_millis

    async def _stop_when_cancelled(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            self._stopping.set()

    async def _live(self, task_status: trio.TaskStatus[None]) -> None:
        refused: BootRefusedError | None = None
        try:
            self.settings.report.log(_log)
            self._reserve_own_ports()
            async with trio.open_nursery() as services:
                refused = await self._start_services(services)
                if refused is None:
                    refused = await self._run_brokers(task_status)
                for server in self._servers:
                    await server.drain(OWN_DRAIN_S)
                services.cancel_scope.cancel()
        finally:
            self._release_own_ports()
            self._closed.set()
        if refused is not None:
            raise refused

    async def _run_brokers(self, task_status: trio.TaskStatus[None]) -> BootRefusedError | None:
        refused: BootRefusedError | None = None

        async def boot_and_wait() -> None:
            nonlocal refused
            refused = await self._boot()
            if refused is None:
                task_status.started()
                await self._stopping.wait()
            await self._stop_brokers()

        await self._supervisor.run(boot_and_wait)
        return refused

    def _reserve_own_ports(self) -> None:
        server = self.settings.server_config
        owner = "name server"
        try:
            if self._namesrv is not None:
                wanted = self.settings.config.embedded_namesrv_listen_port
                self._namesrv_ports = self._transport.reserve_ports(server.bind_address, [wanted])
                (port,) = self._namesrv_ports.ports
                self._namesrv.server_config.listen_port = port
                self._claims.claim(owner, ports={port: "embeddedNamesrvListenPort"}, paths={})
                self._name_servers = self._name_servers or [f"{local_host(server.bind_address)}:{port}"]
            owner = "container"
            if self._listen:
                address = self.settings.config.container_bind_address or server.bind_address
                self._ports = self._transport.reserve_port_pair(address, server.listen_port)
                port, fast = self._ports.ports
                self._claims.claim(owner, ports={port: "listenPort", fast: "fast port"}, paths={})
        except ReservationError as error:
            raise BootRefusedError(f"{owner}: {error}") from error
        except ClaimConflictError as conflict:
            raise BootRefusedError(str(conflict)) from conflict

    def _release_own_ports(self) -> None:
        for reservation in (self._ports, self._namesrv_ports):
            if reservation is not None:
                reservation.close()

    async def _start_services(self, services: trio.Nursery) -> BootRefusedError | None:
        if self._namesrv is not None and self._namesrv_ports is not None:
            name_server = NameServer(self._namesrv.config, configuration=self._namesrv.configuration())
            self._namesrv.report.log(_log)
            try:
                await services.start(partial(name_server.serve, self._transport, self._namesrv_ports))
            except OSError as error:
                return BootRefusedError(f"name server: {sentence(error)}")
        if self._ports is not None:
            table = ProcessorTable()
            self.processor.register(table)
            for index, name in enumerate(("container", "container.fast")):
                server = self._transport.sub_server(name, self._ports, index, table)
                await services.start(server.serve)
                self._servers.append(server)
        return None

    # Boot

    async def _boot(self) -> BootRefusedError | None:
        """Starts the brokers of the start side by side; what comes back ends the process."""
        started = [self._supervisor.add_or_remember(plan) for plan in self._plans]
        async with trio.open_nursery() as waiting:
            waiting.start_soon(self._cancel_when_stopping, waiting.cancel_scope)
            async with trio.open_nursery() as starts:
                for inner in started:
                    starts.start_soon(self._wait_started, inner, waiting.cancel_scope)
            waiting.cancel_scope.cancel()
        failed = [inner for inner in started if inner.state is BrokerState.FAILED]
        all_failed = len(failed) == len(started) and not self.settings.config.restart_failed_brokers
        if failed and (all_failed or self.settings.config.exit_on_boot_failure):
            return BootRefusedError("; ".join(f"{inner.identity.name}: {inner.reason}" for inner in failed))
        return None

    async def _wait_started(self, inner: InnerBroker, boot: trio.CancelScope) -> None:
        await inner.wait_settled()
        if inner.state is BrokerState.FAILED and self.settings.config.exit_on_boot_failure:
            boot.cancel()  # the others need not recover first

    async def _cancel_when_stopping(self, scope: trio.CancelScope) -> None:
        await self._stopping.wait()
        scope.cancel()

    def _build(self, inner: InnerBroker) -> Broker:
        plan = inner.plan
        return Broker(
            plan.config,
            plan.store_config,
            transport=self._transport,
            client_config=self.settings.client_config,
            name_servers=self._name_servers,
            configuration=plan.configuration(),
            clock=self._clock,
            progress=inner.show_recovery,
            has_neighbours=self._somebody_serves,
            files=self._files,
        )

    async def _commit(self, inner: InnerBroker) -> None:
        """`inner` serves: from here on it belongs to the container, and is there after a restart."""
        self._tell_name_servers(inner)
        if inner.save:
            added = await self.saved.add(inner.plan.source, instead_of=inner.former_sources)
            try:
                await trio.lowlevel.checkpoint_if_cancelled()  # removed or dead while the file was written
            except trio.Cancelled:
                with trio.CancelScope(shield=True):
                    await self._take_back(inner, added)
                raise
            inner.unsaved = added.trouble
            if inner.unsaved is not None and inner.plan.source is not None:
                _log.warning("broker %s is not there after a restart: %s", inner.identity, inner.unsaved)
        self._supervisor.in_background(self._warn_of_shares)

    async def _take_back(self, inner: InnerBroker, added: Added) -> None:
        """The list as it was before `inner`, which is not going to serve."""
        source = inner.plan.source
        if source is None or not added.is_new:
            return
        if not inner.belongs:
            await self.saved.remove([source])
        elif added.left and not inner.stop_asked:  # who removes it takes all its files off the list
            await self.saved.add(added.left[-1], instead_of=[source])

    def _somebody_serves(self) -> bool:
        """Called in worker threads."""
        return any(inner.state is BrokerState.RUNNING for inner in self.get_broker_controllers())

    async def _warn_of_shares(self) -> None:
        """No part of an add: a neighbour's disk may keep it waiting. Many adds at a time are one look."""
        if self._shares_to_look_at.is_set():
            return
        self._shares_to_look_at.set()
        with trio.move_on_after(SHARES_LOOK_DELAY_S):
            await self._stopping.wait()
        self._shares_to_look_at = trio.Event()
        for warning in await share_warnings_of(self.get_broker_controllers()):
            if warning not in self._warned:
                self._warned.add(warning)
                _log.warning("%s", warning)

    def _adopt_update(self) -> None:
        """Name servers that were changed by request count at once, for all brokers; so do restarts."""
        self._supervisor.reconsider_failed()
        name_servers = name_server_list(self.settings.config.namesrv_addr)
        if not name_servers or name_servers == self._name_servers:
            return
        self._name_servers = name_servers
        for inner in self._supervisor.brokers.values():
            self._tell_name_servers(inner)

    def _tell_name_servers(self, inner: InnerBroker) -> None:
        """Those of now; a broker that still recovers is told when it serves."""
        if inner.broker is not None and inner.broker.context is not None:
            inner.broker.context.registration.set_name_servers(self._name_servers)

    # Stop

    async def _stop_brokers(self) -> None:
        within_s = self.settings.server_config.shutdown_wait_time_seconds
        self._supervisor.refuse_more()
        await self._supervisor.stop_all(self.get_slave_brokers(), within_s)
        await self._supervisor.stop_all(self.get_broker_controllers(), within_s)

    @property
    def name_servers(self) -> list[str]:
        """`host:port` of the name servers that brokers register with."""
        return list(self._name_servers)

    @property
    def namesrv_address(self) -> str:
        """The name servers as clients take them: `host:port`, several separated by `;`."""
        return ";".join(self._name_servers)

    @property
    def broker_addresses(self) -> dict[str, str]:
        """Name to `host:port` of the brokers that run now; of several in one group the first."""
        found: dict[str, str] = {}
        for inner in self.get_broker_controllers():
            if inner.broker is not None and inner.state is BrokerState.RUNNING:
                found.setdefault(inner.identity.name, inner.broker.address)
        return found

    @property
    def namesrv_port(self) -> int | None:
        """Port of the embedded name server, None when there is none."""
        return None if self._namesrv_ports is None else self._namesrv_ports.ports[0]

    # What RocketMQ's IBrokerContainer offers

    async def add_broker(self, broker_config: BrokerConfig, store_config: MessageStoreConfig) -> InnerBroker:
        """Reserves, builds and commits one more broker; returns when it serves.

        When cancelled the broker is stopped in order and nothing of it is left.

        Raises:
            BootRefusedError: it cannot be, or it failed; the text says why, and nothing of it is left.
            ConfigError: keys contradict each other.
        """
        try:
            inner = self._supervisor.add(plan_broker(broker_config, store_config))
        except ClaimConflictError as conflict:
            raise BootRefusedError(str(conflict)) from conflict
        try:
            await inner.wait_settled()
        except trio.Cancelled:
            inner.stop()
            with trio.CancelScope(shield=True):
                await inner.wait_closed()
            raise
        if inner.state is BrokerState.FAILED:
            raise BootRefusedError(f"{inner.identity}: {inner.reason}")
        if inner.running_since is None:
            raise BootRefusedError(f"{inner.identity} was stopped before it had started")
        return inner

    async def remove_broker(self, identity: BrokerIdentity) -> InnerBroker | None:
        """Stops the broker in order and takes it off the container's list; its data stays on disk.

        One that still starts is stopped in the middle of that. One that has failed is not started again.
        Clients and name servers get most of `removeBrokerTimeoutMillis`. When cancelled the broker stops and
        leaves the list all the same, only nobody waits for it.

        Returns:
            The closed broker, None when there is no such broker.
        """
        inner = self._supervisor.brokers.get(identity)
        known = [failed.inner for failed in self._supervisor.forget_failed(identity)]
        if inner is not None:
            known.append(inner)
            inner.stop(self.settings.config.remove_broker_timeout_millis / 1000 * _STOP_SHARE)
        if not known:
            return None

        async def take_off_the_list() -> None:
            unsaved = await self.saved.remove([source for one in known for source in one.sources])
            if unsaved is not None:
                _log.warning("broker %s comes back when the container starts again: %s", identity, unsaved)

        await self._supervisor.finish(take_off_the_list)
        await known[-1].wait_closed()
        return known[-1]

    def get_broker(self, identity: BrokerIdentity) -> InnerBroker | None:
        """The broker that is up or on its way, None for one that failed or never was."""
        return self._supervisor.brokers.get(identity)

    def get_broker_controllers(self) -> list[InnerBroker]:
        """All brokers, in the order of their addition."""
        return list(self._supervisor.brokers.values())

    def get_master_brokers(self) -> list[InnerBroker]:
        """Brokers whose configuration makes them masters, in the order of their addition."""
        return [inner for inner in self._supervisor.brokers.values() if inner.plan.is_master]

    def get_slave_brokers(self) -> list[InnerBroker]:
        """Brokers with the role SLAVE, in the order of their addition."""
        return [inner for inner in self._supervisor.brokers.values() if not inner.plan.is_master]

    def get_dledger_brokers(self) -> list[InnerBroker]:
        """Members of Raft groups; none, as a broker that wants to be one is refused."""
        return [inner for inner in self._supervisor.brokers.values() if inner.plan.is_dledger]

    def peek_master_broker(self) -> InnerBroker | None:
        """The first master that runs, None when there is none."""
        masters = self.get_master_brokers()
        return next((inner for inner in masters if inner.state is BrokerState.RUNNING), None)

    @property
    def failed_brokers(self) -> list[FailedBroker]:
        """Brokers of the container that are down, with their reasons, the newest last."""
        return list(self._supervisor.failed)

    @property
    def config(self) -> BrokerContainerConfig:
        """The container's own keys, live."""
        return self.settings.config

    @property
    def server_config(self) -> RemotingServerConfig:
        """The transport's keys, live."""
        return self.settings.server_config

    @property
    def client_config(self) -> RemotingClientConfig:
        """Keys of the connections to name servers, live."""
        return self.settings.client_config

    @property
    def remoting_server(self) -> Transport:
        """The transport that all ports of the process share."""
        return self._transport

    @property
    def broker_container_addr(self) -> str | None:
        """`ip:port` of the container itself, None while it does not listen."""
        if self._ports is None:
            return None
        config = self.settings.config
        bind_address = config.container_bind_address or self.settings.server_config.bind_address
        host = config.broker_container_ip or (own_ip() if bind_address in EVERY_ADDRESS else bind_address)
        return f"{host}:{self._ports.ports[0]}"

    async def status(self) -> ContainerStatus:
        """What `mqadmin containerStatus` shows: the process and its brokers, with ports, disk and load."""
        return await container_status(self)

    def statistics(self) -> ContainerStatistics:
        """The brokers' states at this moment; cheap."""
        return ContainerStatistics(
            brokers=tuple(inner.statistics() for inner in self._supervisor.brokers.values()),
            failed=tuple(failed.inner.statistics() for failed in self._supervisor.failed),
        )
