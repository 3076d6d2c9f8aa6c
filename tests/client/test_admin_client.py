"""Name servers with fail-over, routes, and what several brokers' answers make together."""

from __future__ import annotations

import pytest
from scripted_peers import NAME_SERVER, ScriptedPeers, fails, ok, refused, route_of

from client import AdminClient, AnswerError, ClientError, NotFound, parse_name_servers, routing
from client.admin import parse_properties
from client.remote import Remote
from client.routes import Routes
from remoting.errors import ConnectError, RemotingError
from remoting.protocol.admin_body import ClusterInfo
from remoting.protocol.body import MessageQueue
from remoting.protocol.request_code import RequestCode
from remoting.protocol.route import TopicRouteData

ROUTE = RequestCode.GET_ROUTEINFO_BY_TOPIC


def admin_of(peers: ScriptedPeers, *name_servers: str) -> AdminClient:
    """An admin client whose requests go to the scripted peers."""
    return AdminClient(name_servers or (NAME_SERVER,), client=peers)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a:9876;b:9877", ("a:9876", "b:9877")),
        ("a; b:1 ;a:9876;", ("a:9876", "b:1")),
        ("[::1]:1;[::1]", ("[::1]:1", "[::1]:9876")),
    ],
)
def test_name_server_lists(text: str, expected: tuple[str, ...]) -> None:
    assert parse_name_servers(text) == expected


@pytest.mark.parametrize("text", ["", " ; ", "a:x", "a:0", "a:65536", ":9876"])
def test_what_is_no_name_server_list(text: str) -> None:
    with pytest.raises(ClientError, match="name server"):
        parse_name_servers(text)


async def test_the_next_name_server_is_asked_and_kept() -> None:
    peers = ScriptedPeers()
    peers.on("one:1", ROUTE, fails(ConnectError("down")))
    peers.on("two:1", ROUTE, ok(body=route_of(a=1)))
    routes = Routes(peers.remote("one:1", "two:1"))
    await routes.route("T")
    await routes.route("U")
    assert [address for address, _ in peers.asked] == ["one:1", "two:1", "two:1"]


async def test_a_refusal_is_an_answer_and_ends_the_search() -> None:
    peers = ScriptedPeers()
    peers.on("one:1", ROUTE, refused(1, "broken"))
    with pytest.raises(AnswerError, match="one:1 answered code 1: broken"):
        await Routes(peers.remote("one:1", "two:1")).route("T")
    assert len(peers.asked) == 1


async def test_no_name_server_answers() -> None:
    peers = ScriptedPeers()
    for address in ("one:1", "two:1"):
        peers.on(address, ROUTE, fails(ConnectError(f"{address} is down")))
    with pytest.raises(ConnectError, match="two:1 is down"):
        await Routes(peers.remote("one:1", "two:1")).route("T")
    with pytest.raises(RemotingError):
        await Remote(peers, ()).ask_name_server(ROUTE)  # type: ignore[arg-type]


async def test_routes_are_remembered_for_half_a_minute() -> None:
    peers = ScriptedPeers()
    now = 0.0
    peers.on(NAME_SERVER, ROUTE, ok(body=route_of(a=1)))
    routes = Routes(peers.remote(), clock=lambda: now)
    await routes.route("T")
    now = 29.0
    await routes.route("T")
    assert len(peers.asked) == 1
    now = 31.0
    await routes.route("T")
    await routes.route("T", fresh=True)
    routes.forget("T")
    await routes.route("T")
    assert len(peers.asked) == 4


async def test_a_topic_that_is_gone_is_forgotten() -> None:
    peers = ScriptedPeers()
    peers.on(NAME_SERVER, ROUTE, ok(body=route_of(a=1)), refused(17))
    routes = Routes(peers.remote())
    await routes.route("T")
    for _ in range(2):
        with pytest.raises(NotFound, match="no name server has a route for topic T"):
            await routes.route("T", fresh=True)


def route(**changes: object) -> TopicRouteData:
    return TopicRouteData.from_json_object(route_of(a=2, b=1) | changes)


def test_queues_to_write_need_permission_and_a_master() -> None:
    json_route = route_of(a=2, b=1, c=1)
    json_route["queueDatas"][1]["perm"] = 4
    json_route["brokerDatas"][2]["brokerAddrs"] = {1: "c:1"}
    both = TopicRouteData.from_json_object(json_route)
    assert routing.publish_queues("T", both) == [MessageQueue("T", "a", 0), MessageQueue("T", "a", 1)]
    assert [queue.broker_name for queue in routing.subscribe_queues("T", both)] == ["a", "a", "b", "c"]


def test_an_order_configuration_names_the_queues() -> None:
    ordered = route(orderTopicConf="b:2;a:1")
    assert routing.publish_queues("T", ordered) == [
        MessageQueue("T", "b", 0),
        MessageQueue("T", "b", 1),
        MessageQueue("T", "a", 0),
    ]


CLUSTERS = ClusterInfo.from_json_object(
    {
        "brokerAddrTable": {
            "a": {"brokerAddrs": {0: "a:1", 1: "a:2"}, "brokerName": "a", "cluster": "C"},
            "b": {"brokerAddrs": {1: "b:2"}, "brokerName": "b", "cluster": "C"},
        },
        "clusterAddrTable": {"C": ["b", "a"], "Empty": ["b"]},
    }
)


def test_masters_of_a_cluster() -> None:
    assert routing.master_addresses(CLUSTERS, "C") == ["a:1"]
    with pytest.raises(NotFound, match=r"there is no cluster X \(known: C, Empty\)"):
        routing.master_addresses(CLUSTERS, "X")
    with pytest.raises(NotFound, match="no broker of cluster Empty has a master"):
        routing.master_addresses(CLUSTERS, "Empty")


def test_names_and_addresses() -> None:
    assert routing.broker_name_at(CLUSTERS, "b:2") == "b"
    with pytest.raises(NotFound, match="no broker is registered at z:1"):
        routing.broker_name_at(CLUSTERS, "z:1")
    assert routing.clusters_of_topic(CLUSTERS, route()) == ["C", "Empty"]


async def test_stats_of_all_brokers_together() -> None:
    peers = ScriptedPeers()
    peers.on(NAME_SERVER, ROUTE, ok(body=route_of(a=1, b=1)))
    for name, tps in (("a", 1.5), ("b", 2.0)):
        body = (
            f'{{"offsetTable":{{{{"brokerName":"{name}","queueId":0,"topic":"T"}}:'
            f'{{"lastUpdateTimestamp":5,"maxOffset":3,"minOffset":1}}}},"topicPutTps":{tps}}}'
        )
        peers.on(f"{name}:10911", RequestCode.GET_TOPIC_STATS_INFO, ok(raw=body.encode()))
    stats = await admin_of(peers).topic_stats("T")
    assert set(stats.offset_table) == {MessageQueue("T", "a", 0), MessageQueue("T", "b", 0)}
    assert stats.topic_put_tps == 3.5


async def test_a_group_without_offsets_is_explained() -> None:
    peers = ScriptedPeers()
    peers.on(NAME_SERVER, ROUTE, ok(body=route_of(a=1)))
    peers.on("a:10911", RequestCode.GET_CONSUME_STATS, ok(raw=b'{"consumeTps":0.0,"offsetTable":{}}'))
    peers.on(
        "a:10911",
        RequestCode.GET_CONSUMER_CONNECTION_LIST,
        refused(206, "offline"),
        ok(
            raw=b'{"connectionSet":[{"clientAddr":"x:1","clientId":"x","language":"GO","version":1}],'
            b'"consumeFromWhere":"CONSUME_FROM_LAST_OFFSET","consumeType":"CONSUME_PASSIVELY",'
            b'"messageModel":"BROADCASTING","subscriptionTable":{}}'
        ),
    )
    admin = admin_of(peers)
    with pytest.raises(AnswerError, match="no consumer online") as offline:
        await admin.consume_stats("G")
    with pytest.raises(AnswerError, match="broadcasts") as broadcast:
        await admin.consume_stats("G")
    assert (offline.value.code, broadcast.value.code) == (206, 213)


def test_properties_are_read_as_brokers_write_them() -> None:
    text = "a=1\n# comment\n\nb = x=y \nempty=\npath=C:\\dir\n"
    assert parse_properties(text) == {"a": "1", "b": "x=y", "empty": "", "path": "C:\\dir"}
