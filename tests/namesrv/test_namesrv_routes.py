"""The routing tables as a pure state machine: registration, liveness, acting masters, zones."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from namesrv.register_body import RegisterBody
from namesrv.routes import Registration, RegistrationResult, RouteInfoManager, filter_by_zone
from remoting.protocol.route import QueueData

BASE = RegisterBody().data_version
TOPICS = ("TopicTest", "TBW102", "SELF_TEST_TOPIC")


def version(counter: int = 1, state: int = 0) -> Any:
    return msgspec.structs.replace(BASE, counter=counter, state_version=state, timestamp=1)


def queue(broker: str, perm: int = 6, flags: int = 0, nums: int = 4) -> QueueData:
    return QueueData(
        broker_name=broker, read_queue_nums=nums, write_queue_nums=nums, perm=perm, topic_sys_flag=flags
    )


def registration(
    name: str = "broker-a", broker_id: int = 0, topics: tuple[str, ...] = TOPICS, **more: Any
) -> Registration:
    values: dict[str, Any] = {
        "cluster": "DefaultCluster",
        "broker_addr": f"{name}-{broker_id}:10911",
        "broker_name": name,
        "broker_id": broker_id,
        "ha_server_addr": f"{name}-{broker_id}:10912",
        "enable_acting_master": True,
        "data_version": version(),
        "queues": {topic: queue(name) for topic in topics},
    }
    return Registration(**{**values, **more})


def routes(**switches: bool) -> RouteInfoManager:
    return RouteInfoManager(**{name: (lambda on=on: on) for name, on in switches.items()})


def addrs(manager: RouteInfoManager, topic: str = "TopicTest") -> dict[str, dict[int, str]]:
    route = manager.route(topic)
    return {} if route is None else {b.broker_name: b.broker_addrs for b in route.broker_datas}


def perms(manager: RouteInfoManager, topic: str = "TopicTest") -> dict[str, int]:
    route = manager.route(topic)
    return {} if route is None else {q.broker_name: q.perm for q in route.queue_datas}


def test_a_registered_master_is_routed() -> None:
    manager = routes()
    assert manager.register(registration(), "c1", 0) == RegistrationResult()
    assert addrs(manager) == {"broker-a": {0: "broker-a-0:10911"}}
    assert perms(manager) == {"broker-a": 6}
    assert manager.route("Unknown") is None
    assert sorted(manager.topics()) == sorted(TOPICS)
    assert manager.clusters() == {"DefaultCluster": ["broker-a"]}
    assert manager.member_addrs("broker-a") == {0: "broker-a-0:10911"}
    assert manager.member_addrs("nobody") == {}


def test_a_slave_is_told_its_master_and_changes_no_queues() -> None:
    manager = routes()
    manager.register(registration(), "c1", 0)
    slave = registration(broker_id=1, topics=("A", "B"))
    assert manager.register(slave, "c2", 0) == RegistrationResult("broker-a-0:10911", "broker-a-0:10912")
    assert manager.route("A") is None
    assert addrs(manager) == {"broker-a": {0: "broker-a-0:10911", 1: "broker-a-1:10911"}}


def test_a_first_registration_of_one_topic_is_refused_without_a_trace() -> None:
    manager = routes()
    assert manager.register(registration(topics=("A",)), "c1", 0) is None
    assert manager.statistics() == routes().statistics()
    manager.register(registration(), "c1", 0)
    assert manager.register(registration(topics=("A",), data_version=version(2)), "c1", 0) is not None
    assert sorted(manager.topics()) == sorted([*TOPICS, "A"])


def test_unchanged_data_versions_change_nothing_but_missing_topics() -> None:
    manager = routes()
    manager.register(registration(), "c1", 0)
    manager.wipe_write_perm("broker-a")
    manager.delete_topic("TBW102")
    manager.register(registration(), "c1", 0)
    assert perms(manager) == {"broker-a": 4}
    assert perms(manager, "TBW102") == {"broker-a": 6}
    manager.register(registration(data_version=version(2)), "c1", 0)
    assert perms(manager) == {"broker-a": 6}


def test_permissions_are_wiped_and_added_for_all_topics_of_a_broker() -> None:
    manager = routes()
    manager.register(registration(), "c1", 0)
    manager.register(registration("broker-b"), "c2", 0)
    assert manager.wipe_write_perm("broker-a") == 3
    assert perms(manager) == {"broker-a": 4, "broker-b": 6}
    assert manager.add_write_perm("broker-a") == 3
    assert perms(manager) == {"broker-a": 6, "broker-b": 6}
    assert manager.wipe_write_perm("nobody") == 0


def test_unregistering_the_last_broker_removes_everything_it_held() -> None:
    manager = routes()
    mapping = {"Static": {"bname": "broker-a", "topic": "Static", "totalQueues": 4}}
    manager.register(registration(mappings=mapping, filter_servers=("f:1",)), "c1", 0)
    manager.register(registration(broker_id=1), "c2", 0)
    manager.unregister("DefaultCluster", "broker-a-0:10911", "broker-a")
    assert addrs(manager) == {"broker-a": {1: "broker-a-1:10911"}}
    manager.unregister("DefaultCluster", "broker-a-1:10911", "broker-a")
    assert manager.statistics() == routes().statistics()
    assert manager.clusters() == {}
    manager.unregister("DefaultCluster", "broker-a-1:10911", "broker-a")


def test_a_goodbye_under_a_wrong_name_takes_nothing_away() -> None:
    manager = routes()
    manager.register(registration("broker-a"), "c1", 0)
    manager.register(registration("broker-b"), "c2", 0)
    manager.unregister("DefaultCluster", "broker-a-0:10911", "broker-b")
    manager.connection_closed("c1")
    assert addrs(manager) == {"broker-b": {0: "broker-b-0:10911"}}


def test_a_broker_that_comes_back_under_another_name_leaves_no_route_of_the_old_one() -> None:
    manager = routes()
    manager.register(registration("broker-a"), "c1", 0)
    manager.register(registration("broker-b", broker_addr="broker-a-0:10911"), "c2", 0)
    manager.connection_closed("c1")
    assert addrs(manager) == {"broker-b": {0: "broker-a-0:10911"}}
    assert manager.statistics().live_brokers == 1
    manager.connection_closed("c2")
    assert manager.statistics() == routes().statistics()


def test_a_closed_connection_removes_all_its_brokers_and_no_others() -> None:
    manager = routes()
    for name in ("broker-a", "broker-b"):
        manager.register(registration(name), "shared", 0)
    manager.register(registration("broker-c"), "own", 0)
    manager.connection_closed("shared")
    assert list(addrs(manager)) == ["broker-c"]
    manager.connection_closed("shared")


def test_the_end_of_an_old_connection_does_not_touch_a_broker_that_came_back() -> None:
    manager = routes()
    manager.register(registration(), "old", 0)
    manager.register(registration(), "new", 1)
    manager.connection_closed("old")
    assert addrs(manager) == {"broker-a": {0: "broker-a-0:10911"}}


def test_silent_brokers_expire_and_only_unused_connections_are_closed() -> None:
    manager = routes()
    manager.register(registration("broker-a"), "shared", 0)
    manager.register(registration("broker-b", heartbeat_timeout_ms=1000), "shared", 0)
    manager.register(registration("broker-c", heartbeat_timeout_ms=1000), "own", 0)
    assert manager.scan(1000) == ((), ())
    manager.touch("DefaultCluster", "broker-c-0:10911", 500)
    assert manager.scan(1001) == ((), ())
    assert sorted(addrs(manager)) == ["broker-a", "broker-c"]
    assert manager.scan(1501)[1] == ("own",)
    assert manager.scan(120_000) == ((), ())
    assert manager.scan(120_001)[1] == ("shared",)
    manager.touch("DefaultCluster", "broker-a-0:10911", 0)


def test_an_address_has_one_id_only() -> None:
    manager = routes()
    manager.register(registration(broker_id=1, broker_addr="h:1"), "c1", 0)
    manager.register(registration(broker_id=0, broker_addr="h:1"), "c1", 0)
    assert manager.member_addrs("broker-a") == {0: "h:1"}


def test_an_older_state_version_does_not_take_over_an_id() -> None:
    manager = routes()
    manager.register(registration(data_version=version(1, 5)), "c1", 0)
    late = registration(broker_addr="other:10911", data_version=version(9, 4))
    assert manager.register(late, "c2", 0) == RegistrationResult()
    assert addrs(manager) == {"broker-a": {0: "broker-a-0:10911"}}
    manager.register(registration(broker_addr="other:10911", data_version=version(1, 5)), "c2", 0)
    assert addrs(manager) == {"broker-a": {0: "other:10911"}}


def test_topics_missing_from_a_registration_go_only_if_told_so() -> None:
    for delete, expected in ((False, sorted([*TOPICS, "New"])), (True, ["New", "TBW102"])):
        manager = routes(delete_topics=delete)
        manager.register(registration(), "c1", 0)
        manager.register(registration(topics=("New", "TBW102"), data_version=version(2)), "c1", 0)
        assert sorted(manager.topics()) == expected


def test_an_acting_master_is_shown_as_master_for_reading_only() -> None:
    manager = routes(support_acting_master=True)
    manager.register(registration(), "c1", 0)
    manager.register(registration(broker_id=1), "c2", 0)
    manager.register(registration(broker_id=2), "c3", 0)
    assert perms(manager) == {"broker-a": 6}
    manager.connection_closed("c1")
    assert addrs(manager) == {"broker-a": {0: "broker-a-1:10911", 2: "broker-a-2:10911"}}
    assert perms(manager) == {"broker-a": 4}
    assert manager.member_addrs("broker-a") == {1: "broker-a-1:10911", 2: "broker-a-2:10911"}
    manager.register(registration(broker_id=1, data_version=version(2)), "c2", 0)
    assert perms(manager) == {"broker-a": 4}
    manager.register(registration(), "c4", 0)
    assert addrs(manager)["broker-a"][0] == "broker-a-0:10911"
    assert perms(manager) == {"broker-a": 6}


def test_no_acting_master_without_support_or_for_member_sync_or_old_brokers() -> None:
    sync = "rmq_sys_SYNC_BROKER_MEMBER_broker-a"
    manager = routes(support_acting_master=True)
    manager.register(registration(topics=(sync, "TopicTest")), "c1", 0)
    manager.register(registration(broker_id=1), "c2", 0)
    manager.connection_closed("c1")
    assert addrs(manager, sync) == {"broker-a": {1: "broker-a-1:10911"}}
    for switches, acting in (({}, True), ({"support_acting_master": True}, None)):
        manager = routes(**switches)
        manager.register(registration(enable_acting_master=acting), "c1", 0)
        manager.register(registration(broker_id=1, enable_acting_master=acting), "c2", 0)
        manager.connection_closed("c1")
        assert addrs(manager) == {"broker-a": {1: "broker-a-1:10911"}}


def test_a_change_of_the_least_id_is_told_to_the_others() -> None:
    manager = routes()
    manager.register(registration(), "c0", 0)
    manager.register(registration(broker_id=1), "c1", 0)
    manager.register(registration(broker_id=2), "c2", 0)
    (lost,) = manager.connection_closed("c0")
    assert (lost.min_broker_id, lost.min_broker_addr) == (1, "broker-a-1:10911")
    assert (lost.offline_broker_addr, lost.ha_broker_addr) == ("broker-a-0:10911", None)
    assert lost.notify == ("broker-a-1:10911", "broker-a-2:10911")
    back = manager.register(registration(), "c0", 0)
    assert back is not None
    (found,) = back.effects
    assert (found.min_broker_id, found.ha_broker_addr) == (0, "broker-a-0:10912")
    assert found.notify == ("broker-a-1:10911", "broker-a-2:10911")
    assert manager.connection_closed("c2") == ()


def test_zones_keep_their_own_brokers_and_masterless_groups() -> None:
    manager = routes()
    manager.register(registration("broker-a", zone_name="Z1"), "c1", 0)
    manager.register(registration("broker-b", zone_name="Z2"), "c2", 0)
    manager.register(registration("broker-c", zone_name="Z2", filter_servers=("f:1",)), "c3", 0)
    manager.register(registration("broker-c", 1, zone_name="Z2"), "c4", 0)
    manager.connection_closed("c3")
    route = manager.route("TopicTest")
    assert route is not None
    kept = filter_by_zone(route, "z1")
    assert sorted(b.broker_name for b in kept.broker_datas) == ["broker-a", "broker-c"]
    assert sorted(q.broker_name for q in kept.queue_datas) == ["broker-a", "broker-c"]


def test_filter_servers_are_listed_by_address() -> None:
    manager = routes()
    manager.register(registration(filter_servers=("f:1", "f:2")), "c1", 0)
    manager.register(registration(filter_servers=None), "c1", 0)
    route = manager.route("TopicTest")
    assert route is not None
    assert route.filter_server_table == {"broker-a-0:10911": ["f:1", "f:2"]}
    manager.register(registration(filter_servers=()), "c1", 0)
    route = manager.route("TopicTest")
    assert route is not None
    assert route.filter_server_table == {}


def test_topics_by_cluster_unit_and_name() -> None:
    manager = routes()
    flags = {"plain": 0, "unit": 1, "sub": 2, "both": 3}
    queues = {topic: queue("broker-a", flags=flag) for topic, flag in flags.items()}
    manager.register(registration(queues=queues), "c1", 0)
    manager.register(registration("broker-b", cluster="Other", topics=("x", "y")), "c2", 0)
    assert sorted(manager.topics_of_cluster("Other")) == ["x", "y"]
    assert manager.topics_of_cluster("None") == []
    assert manager.unit_topics(unit=True) == ["unit", "both"]
    assert manager.unit_topics(unit_sub=True) == ["sub", "both"]
    assert manager.unit_topics(unit=False, unit_sub=True) == ["sub"]
    names, some = manager.system_topics()
    assert names == ["DefaultCluster", "broker-a", "Other", "broker-b"]
    assert some == "broker-a-0:10911"


def test_deleting_a_topic_of_one_cluster_leaves_the_others() -> None:
    manager = routes()
    manager.register(registration(), "c1", 0)
    manager.register(registration("broker-b", cluster="Other"), "c2", 0)
    manager.delete_topic("TopicTest", "Other")
    assert list(addrs(manager)) == ["broker-a"]
    manager.delete_topic("TopicTest", "None")
    manager.delete_topic("TopicTest", "DefaultCluster")
    assert manager.route("TopicTest") is None
    manager.delete_topic("TBW102")
    assert manager.route("TBW102") is None


def test_a_topic_may_be_registered_by_name() -> None:
    manager = routes()
    manager.register(registration(), "c1", 0)
    manager.register_topic("Named", [queue("broker-a", perm=4)])
    assert perms(manager, "Named") == {"broker-a": 4}
    manager.register_topic("Other", [queue("broker-a"), queue("nobody")])
    assert manager.route("Other") is None
    manager.register_topic("Empty", [])
    assert "Empty" not in manager.topics()


@settings(max_examples=60, stateful_step_count=40, deadline=None)
class Tables(RuleBasedStateMachine):
    """Whatever happens in whatever order, the tables agree with each other."""

    def __init__(self) -> None:
        super().__init__()
        self.manager = routes(support_acting_master=True, delete_topics=True)
        self.now = 0

    @rule(
        name=st.sampled_from("ab"),
        broker_id=st.integers(0, 2),
        port=st.integers(1, 3),
        cluster=st.sampled_from(["c1", "c2"]),
        topics=st.sets(st.sampled_from("tuvw"), max_size=4),
        connection=st.integers(1, 3),
        counter=st.integers(1, 2),
        state=st.integers(0, 1),
        acting=st.sampled_from([True, False, None]),
    )
    def register(
        self,
        name: str,
        broker_id: int,
        port: int,
        cluster: str,
        topics: set[str],
        connection: int,
        counter: int,
        state: int,
        acting: bool | None,
    ) -> None:
        self.manager.register(
            registration(
                name,
                broker_id,
                tuple(topics),
                broker_addr=f"h:{port}",
                cluster=cluster,
                data_version=version(counter, state),
                enable_acting_master=acting,
            ),
            connection,
            self.now,
        )

    @rule(connection=st.integers(1, 3))
    def close(self, connection: int) -> None:
        self.manager.connection_closed(connection)

    @rule(name=st.sampled_from("ab"), port=st.integers(1, 3), cluster=st.sampled_from(["c1", "c2"]))
    def unregister(self, name: str, port: int, cluster: str) -> None:
        self.manager.unregister(cluster, f"h:{port}", name)

    @rule(passed=st.integers(0, 130_000))
    def scan(self, passed: int) -> None:
        self.now += passed
        self.manager.scan(self.now)

    @rule(topic=st.sampled_from("tuvw"), cluster=st.sampled_from([None, "c1", "c2"]))
    def delete(self, topic: str, cluster: str | None) -> None:
        self.manager.delete_topic(topic, cluster)

    @invariant()
    def tables_agree(self) -> None:
        groups = self.manager.brokers()
        assert all(group.broker_addrs for group in groups.values())
        named = {name for names in self.manager.clusters().values() for name in names}
        assert named == set(groups)
        for topic in self.manager.topics():
            route = self.manager.route(topic)
            assert route is not None
            assert {q.broker_name for q in route.queue_datas} <= set(groups)


TestTables = Tables.TestCase


@pytest.mark.parametrize("count", [0, 2])
def test_a_first_registration_may_have_any_number_of_topics_but_one(count: int) -> None:
    assert routes().register(registration(topics=TOPICS[:count]), "c1", 0) is not None
