"""The routing tables: which brokers there are, which queues of which topic they hold, and who is alive.

Pure state: no I/O, no clock. Every operation that needs the time gets it as `now_ms`, from any clock that
only goes forward. Connections are opaque keys: whoever owns them tells when one is closed, and does what the
returned effects say. Mirrors `RouteInfoManager`; where this class does better, its docstrings say so.

Rules worth knowing (protocol reference 2.4, container reference 2.7):

- A broker lives as long as its connection, and as long as it registers, asks for its data version or sends
  heartbeats within its time-out. Java forgets only one broker per closed connection; here all of them go.
- Only the master of a group, or its acting master (the slave with the least id, if it is new enough to say
  whether it may act), changes queue data; what an acting master registers loses the permission to write.
- The first registration of a broker id that carries exactly one topic is refused: it is an increment to
  something this name server never had. Nothing is kept of a refused registration.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import attrs
import msgspec

from remoting.protocol.message import SYNC_BROKER_MEMBER_GROUP_PREFIX
from remoting.protocol.route import BrokerData, QueueData, TopicRouteData

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping

    from remoting.protocol.body import DataVersion

__all__ = [
    "MASTER_ID",
    "MinBrokerIdChange",
    "Registration",
    "RegistrationResult",
    "RouteInfoManager",
    "RouteStatistics",
]

MASTER_ID = 0
PERM_WRITE = 2
PERM_READ = 4
DEFAULT_EXPIRY_MS = 120_000
_UNIT = 1
_UNIT_SUB = 2

log = logging.getLogger("rocketmq.namesrv")


@attrs.frozen(kw_only=True)
class Registration:
    """What a broker says of itself (REGISTER_BROKER, 103)."""

    cluster: str
    broker_addr: str
    broker_name: str
    broker_id: int
    ha_server_addr: str = ""
    zone_name: str | None = None
    heartbeat_timeout_ms: int | None = None
    """How long it may be silent; None is 120 s."""
    enable_acting_master: bool | None = None
    """Whether its slaves may act as master; None comes from brokers that do not know of it."""
    data_version: DataVersion
    queues: Mapping[str, QueueData]
    """Queues by topic."""
    mappings: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict)
    """Static topic mapping information by topic, as its JSON object."""
    filter_servers: tuple[str, ...] | None = None
    """None keeps what an earlier registration said."""


@attrs.frozen
class MinBrokerIdChange:
    """An effect: the least broker id of a group changed; tell `notify` (NOTIFY_MIN_BROKER_ID_CHANGE, 905)."""

    notify: tuple[str, ...]
    """Addresses of brokers, `host:port`."""
    broker_name: str
    min_broker_id: int
    min_broker_addr: str
    offline_broker_addr: str | None
    ha_broker_addr: str | None


@attrs.frozen
class RegistrationResult:
    """What a registered slave is told of its master, and what to tell other brokers."""

    master_addr: str | None = None
    ha_server_addr: str | None = None
    effects: tuple[MinBrokerIdChange, ...] = ()


@attrs.frozen
class RouteStatistics:
    """Sizes of the tables."""

    clusters: int
    broker_names: int
    live_brokers: int
    topics: int


@attrs.define
class _Group:
    """The brokers of one name."""

    cluster: str
    enable_acting_master: bool = False
    zone_name: str | None = None
    addrs: dict[int, str] = attrs.field(factory=dict)

    @property
    def min_id(self) -> int:
        return min(self.addrs)

    def data(self, name: str) -> BrokerData:
        return BrokerData(
            cluster=self.cluster,
            broker_name=name,
            broker_addrs=dict(self.addrs),
            zone_name=self.zone_name,
            enable_acting_master=self.enable_acting_master,
        )


@attrs.define
class _Live:
    """One living broker."""

    broker_name: str
    last_update_ms: int
    expiry_ms: int
    data_version: DataVersion
    connection: Hashable
    ha_server_addr: str


class RouteInfoManager:
    """The tables of one name server.

    Args:
        support_acting_master: asked at each route.
        delete_topics: asked at each registration: does it remove the topics it does not list?
    """

    def __init__(
        self,
        *,
        support_acting_master: Callable[[], bool] = lambda: False,
        delete_topics: Callable[[], bool] = lambda: False,
    ) -> None:
        self.generation = 0
        """Grows with every operation that may change a route."""
        self._support_acting_master = support_acting_master
        self._delete_topics = delete_topics
        self._clusters: dict[str, set[str]] = {}
        self._groups: dict[str, _Group] = {}
        self._live: dict[tuple[str, str], _Live] = {}
        self._queues: dict[str, dict[str, QueueData]] = {}
        self._mappings: dict[str, dict[str, Mapping[str, Any]]] = {}
        self._filter_servers: dict[tuple[str, str], tuple[str, ...]] = {}

    def __repr__(self) -> str:
        return f"<RouteInfoManager {self.statistics()}>"

    def statistics(self) -> RouteStatistics:
        """Sizes of the tables at this moment."""
        return RouteStatistics(len(self._clusters), len(self._groups), len(self._live), len(self._queues))

    # Registration

    def register(
        self, registration: Registration, connection: Hashable, now_ms: int
    ) -> RegistrationResult | None:
        """Take in a registration (103).

        Returns:
            What to answer, or None if it is refused. A broker whose id has another address with a newer
            state version is answered but not taken in, as in Java.
        """
        self.generation += 1
        name, address, broker_id = registration.broker_name, registration.broker_addr, registration.broker_id
        key = (registration.cluster, address)
        group = self._groups.get(name)
        addrs = {} if group is None else group.addrs
        if self._is_outdated(registration, addrs.get(broker_id)):
            log.warning("registration of %s %s ignored: %s is newer", name, address, addrs.get(broker_id))
            self._live.pop(key, None)
            return RegistrationResult()
        is_new = broker_id not in addrs
        if is_new and len(registration.queues) == 1:
            log.warning(
                "registration of %s %d %s refused: one topic only, at first", name, broker_id, address
            )
            return None

        before = self._live.get(key)
        renamed: tuple[MinBrokerIdChange, ...] = ()
        if before is not None and before.broker_name != name:
            renamed = self.unregister(registration.cluster, address, before.broker_name)
        if group is None:
            group = self._groups[name] = _Group(registration.cluster)
        self._clusters.setdefault(registration.cluster, set()).add(name)
        group.enable_acting_master = bool(registration.enable_acting_master)
        group.zone_name = registration.zone_name
        effects: tuple[MinBrokerIdChange, ...] = ()
        is_least = bool(group.addrs) and broker_id < group.min_id
        for other in [other for other, addr in group.addrs.items() if addr == address and other != broker_id]:
            del group.addrs[other]
        group.addrs[broker_id] = address

        is_acting = (
            registration.enable_acting_master is not None
            and broker_id != MASTER_ID
            and broker_id == group.min_id
        )
        if broker_id == MASTER_ID or is_acting:
            previous = self._live.get(key)
            changed = is_new or previous is None or previous.data_version != registration.data_version
            self._take_queues(registration, changed, read_only=is_acting and group.enable_acting_master)
        if key not in self._live:
            log.info("new broker registered: %s %s id %d", name, address, broker_id)
        self._live[key] = _Live(
            broker_name=name,
            last_update_ms=now_ms,
            expiry_ms=(
                DEFAULT_EXPIRY_MS
                if registration.heartbeat_timeout_ms is None
                else registration.heartbeat_timeout_ms
            ),
            data_version=registration.data_version,
            connection=connection,
            ha_server_addr=registration.ha_server_addr,
        )
        if registration.filter_servers:
            self._filter_servers[key] = registration.filter_servers
        elif registration.filter_servers is not None:
            self._filter_servers.pop(key, None)
        if is_least:
            effects = self._min_id_change(name, None, registration.ha_server_addr)
        effects += renamed
        master_addr = group.addrs.get(MASTER_ID) if broker_id != MASTER_ID else None
        master = None if master_addr is None else self._live.get((registration.cluster, master_addr))
        if master is None:
            return RegistrationResult(effects=effects)
        return RegistrationResult(master_addr, master.ha_server_addr, effects)

    def _is_outdated(self, registration: Registration, old_addr: str | None) -> bool:
        if old_addr is None or old_addr == registration.broker_addr:
            return False
        old = self._live.get((registration.cluster, old_addr))
        return old is not None and old.data_version.state_version > registration.data_version.state_version

    def _take_queues(self, registration: Registration, changed: bool, *, read_only: bool) -> None:
        name = registration.broker_name
        if self._delete_topics() and not registration.mappings:
            for topic in [t for t, q in self._queues.items() if name in q and t not in registration.queues]:
                self._drop_queue(topic, name)
        for topic, queue in registration.queues.items():
            queues = self._queues.get(topic)
            if not changed and queues is not None and name in queues:
                continue
            if read_only:
                queue = msgspec.structs.replace(queue, perm=queue.perm & ~PERM_WRITE)
            if queues is None:
                log.info("new topic registered: %s %s", topic, queue)
                self._queues[topic] = {name: queue}
            elif queues.get(name) != queue:
                log.info("topic changed: %s %s, was %s", topic, queue, queues.get(name))
                queues[name] = queue
        if changed:
            for topic, mapping in registration.mappings.items():
                self._mappings.setdefault(topic, {})[str(mapping.get("bname") or name)] = mapping

    def unregister(self, cluster: str, broker_addr: str, broker_name: str) -> tuple[MinBrokerIdChange, ...]:
        """Forget a broker (104): its address, and what only it held.

        Unknown ones are no error. A name that is not the one which lives at that address takes nothing away.
        """
        key = (cluster, broker_addr)
        live = self._live.get(key)
        if live is not None and live.broker_name != broker_name:
            log.warning("%s is not unregistered as %s: it is %s", broker_addr, broker_name, live.broker_name)
            return ()
        self.generation += 1
        known = self._live.pop(key, None) is not None
        self._filter_servers.pop(key, None)
        log.info("broker unregistered: %s %s%s", broker_name, broker_addr, "" if known else " (not alive)")
        group = self._groups.get(broker_name)
        if group is None:
            return ()
        ids = [broker_id for broker_id, addr in group.addrs.items() if addr == broker_addr]
        was_least = bool(ids) and min(ids) == group.min_id
        for broker_id in ids:
            del group.addrs[broker_id]
        if not group.addrs:
            self._drop_group(broker_name, group)
            return ()
        if group.enable_acting_master and group.min_id != MASTER_ID:
            self._set_perm(broker_name, lambda perm: perm & ~PERM_WRITE)
        return self._min_id_change(broker_name, broker_addr, None) if was_least else ()

    def connection_closed(self, connection: Hashable) -> tuple[MinBrokerIdChange, ...]:
        """Forget every broker whose last registration came over this connection."""
        gone = [key for key, live in self._live.items() if live.connection == connection]
        return tuple(self._forget(gone))

    def scan(self, now_ms: int) -> tuple[tuple[MinBrokerIdChange, ...], tuple[Hashable, ...]]:
        """Forget brokers that were silent for too long.

        Returns:
            Effects, and the connections to close: those of forgotten brokers that no living broker uses (Java
            closes them in any case, and forgets the others with them).
        """
        gone = [key for key, live in self._live.items() if live.last_update_ms + live.expiry_ms < now_ms]
        connections = {self._live[key].connection for key in gone}
        for key in gone:
            log.warning("broker expired: %s %s after %d ms", *key, self._live[key].expiry_ms)
        effects = tuple(self._forget(gone))
        connections.difference_update(live.connection for live in self._live.values())
        return effects, tuple(connections)

    def _forget(self, keys: Iterable[tuple[str, str]]) -> Iterable[MinBrokerIdChange]:
        for key in keys:
            yield from self.unregister(*key, self._live[key].broker_name)

    # Liveness and versions

    def touch(self, cluster: str, broker_addr: str, now_ms: int) -> None:
        """A broker that is known showed that it lives (904, 322)."""
        live = self._live.get((cluster, broker_addr))
        if live is not None:
            live.last_update_ms = now_ms

    def data_version(self, cluster: str, broker_addr: str) -> DataVersion | None:
        """The data version of the broker's last registration (322)."""
        live = self._live.get((cluster, broker_addr))
        return None if live is None else live.data_version

    # Topics

    def register_topic(self, topic: str, queues: Iterable[QueueData]) -> None:
        """Add queues to a topic (217); none at all if one of them names an unknown broker."""
        taken: dict[str, QueueData] = {}
        for queue in queues:
            if queue.broker_name not in self._groups:
                log.warning("topic %s not registered: unknown broker %s", topic, queue.broker_name)
                return
            taken[queue.broker_name] = queue
        if taken:
            self.generation += 1
            self._queues.setdefault(topic, {}).update(taken)

    def delete_topic(self, topic: str, cluster: str | None = None) -> None:
        """Drop the route of a topic (216), of one cluster's brokers or altogether."""
        self.generation += 1
        if not cluster:
            self._queues.pop(topic, None)
            self._mappings.pop(topic, None)
            return
        for name in self._clusters.get(cluster, ()):
            self._drop_queue(topic, name)

    def wipe_write_perm(self, broker_name: str) -> int:
        """Take the permission to write from all topics of a group (205); the number of topics."""
        return self._set_perm(broker_name, lambda perm: perm & ~PERM_WRITE)

    def add_write_perm(self, broker_name: str) -> int:
        """Allow to read and write all topics of a group (327); the number of topics."""
        return self._set_perm(broker_name, lambda perm: PERM_READ | PERM_WRITE)

    def route(self, topic: str) -> TopicRouteData | None:
        """The route of a topic (105), acting masters shown with id 0; None if it has no living broker."""
        queues = self._queues.get(topic)
        if not queues:
            return None
        found = {name: self._groups[name].data(name) for name in queues if name in self._groups}
        if not found:
            return None
        if self._support_acting_master() and not topic.startswith(SYNC_BROKER_MEMBER_GROUP_PREFIX):
            for name, broker in found.items():
                _show_acting_master(broker, queues[name])
        servers = {
            addr: list(self._filter_servers[key])
            for name, broker in found.items()
            for addr in broker.broker_addrs.values()
            if (key := (self._groups[name].cluster, addr)) in self._filter_servers
        }
        return TopicRouteData(
            broker_datas=list(found.values()),
            queue_datas=list(queues.values()),
            filter_server_table=servers,
            topic_queue_mapping_by_broker=self._mappings.get(topic),
        )

    # Lists

    def topics(self) -> list[str]:
        """All topics (206)."""
        return list(self._queues)

    def topics_of_cluster(self, cluster: str) -> list[str]:
        """The topics that a broker of the cluster holds (224); none of an unknown cluster."""
        names = self._clusters.get(cluster, set())
        return [topic for topic, queues in self._queues.items() if not names.isdisjoint(queues)]

    def system_topics(self) -> tuple[list[str], str | None]:
        """Names of clusters and groups, which are topics as well, and the address of some broker (304)."""
        names = [name for cluster, groups in self._clusters.items() for name in (cluster, *sorted(groups))]
        some = next((group.addrs[group.min_id] for group in self._groups.values()), None)
        return list(dict.fromkeys(names)), some

    def unit_topics(self, *, unit: bool | None = None, unit_sub: bool | None = None) -> list[str]:
        """Topics by the flags of their queues (311–313); None does not care."""

        def matches(flags: int) -> bool:
            return (unit is None or bool(flags & _UNIT) == unit) and (
                unit_sub is None or bool(flags & _UNIT_SUB) == unit_sub
            )

        return [
            t for t, queues in self._queues.items() if matches(next(iter(queues.values())).topic_sys_flag)
        ]

    def clusters(self) -> dict[str, list[str]]:
        """The group names of each cluster (106)."""
        return {cluster: sorted(names) for cluster, names in self._clusters.items()}

    def brokers(self) -> dict[str, BrokerData]:
        """Every group by name (106)."""
        return {name: group.data(name) for name, group in self._groups.items()}

    def member_addrs(self, broker_name: str) -> dict[int, str]:
        """Addresses of a group by broker id (901); empty if unknown."""
        group = self._groups.get(broker_name)
        return {} if group is None else dict(group.addrs)

    # Inside

    def _set_perm(self, broker_name: str, change: Callable[[int], int]) -> int:
        self.generation += 1
        count = 0
        for queues in self._queues.values():
            queue = queues.get(broker_name)
            if queue is not None:
                queues[broker_name] = msgspec.structs.replace(queue, perm=change(queue.perm))
                count += 1
        return count

    def _drop_queue(self, topic: str, broker_name: str) -> None:
        queues = self._queues.get(topic)
        if queues is not None and queues.pop(broker_name, None) is not None and not queues:
            del self._queues[topic]
        mappings = self._mappings.get(topic)
        if mappings is not None and mappings.pop(broker_name, None) is not None and not mappings:
            del self._mappings[topic]

    def _drop_group(self, broker_name: str, group: _Group) -> None:
        del self._groups[broker_name]
        for cluster in [cluster for cluster, names in self._clusters.items() if broker_name in names]:
            self._clusters[cluster].discard(broker_name)
            if not self._clusters[cluster]:
                del self._clusters[cluster]
        for topic in list(self._queues.keys() | self._mappings.keys()):
            self._drop_queue(topic, broker_name)
        log.info("last broker of %s in %s is gone", broker_name, group.cluster)

    def _min_id_change(
        self, broker_name: str, offline_addr: str | None, ha_addr: str | None
    ) -> tuple[MinBrokerIdChange, ...]:
        group = self._groups[broker_name]
        if not group.enable_acting_master and offline_addr is not None:
            return ()
        least = group.min_id
        to_all = offline_addr is not None or len(group.addrs) == 1
        notify = tuple(addr for broker_id, addr in group.addrs.items() if to_all or broker_id != least)
        return (MinBrokerIdChange(notify, broker_name, least, group.addrs[least], offline_addr, ha_addr),)


def filter_by_zone(route: TopicRouteData, zone_name: str) -> TopicRouteData:
    """The part of a route for one zone: groups of the zone, and groups without a broker of id 0."""
    zone = zone_name.lower()
    kept = [
        broker
        for broker in route.broker_datas
        if MASTER_ID not in broker.broker_addrs or (broker.zone_name or "").lower() == zone
    ]
    names = {broker.broker_name for broker in kept}
    addrs = {addr for broker in kept for addr in broker.broker_addrs.values()}
    return msgspec.structs.replace(
        route,
        broker_datas=kept,
        queue_datas=[queue for queue in route.queue_datas if queue.broker_name in names],
        filter_server_table={a: s for a, s in (route.filter_server_table or {}).items() if a in addrs},
    )


def _show_acting_master(broker: BrokerData, queue: QueueData) -> None:
    addrs = broker.broker_addrs
    if addrs and MASTER_ID not in addrs and broker.enable_acting_master and not queue.perm & PERM_WRITE:
        addrs[MASTER_ID] = addrs.pop(min(addrs))
