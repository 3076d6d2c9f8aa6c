"""A name server on a real socket, asked by the real client, and its files."""

from __future__ import annotations

import json
import zlib
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import trio

from namesrv import NameServer, NamesrvConfig
from remoting.client import RemotingClient
from remoting.command import RemotingCommand
from remoting.config import RemotingClientConfig, RemotingServerConfig
from remoting.json_dialect import loads
from remoting.processors import ProcessorTable
from remoting.server import ChannelListener, Transport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from remoting.connection import Connection

FIXTURES = Path(__file__).parent / "fixtures"
REGISTER_BODY = (FIXTURES / "register_plain.json").read_bytes()
DATA_VERSION = (FIXTURES / "data_version.json").read_bytes()
BROKER = {
    "brokerName": "broker-a",
    "brokerAddr": "10.0.0.1:10911",
    "clusterName": "DefaultCluster",
    "haServerAddr": "10.0.0.1:10912",
    "brokerId": "0",
}


def config_in(directory: Path, **more: Any) -> NamesrvConfig:
    return NamesrvConfig(
        kv_config_path=str(directory / "namesrv" / "kvConfig.json"),
        config_store_path=str(directory / "namesrv" / "namesrv.properties"),
        **more,
    )


def content(path: Path) -> bytes:
    return path.read_bytes()


def write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


class Peer:
    """A client with one connection to the name server."""

    def __init__(self, client: RemotingClient, address: str, server: NameServer) -> None:
        self.client = client
        self.address = address
        self.server = server

    async def ask(
        self,
        code: int,
        fields: dict[str, str] | None = None,
        body: bytes = b"",
        *,
        version: int | None = None,
        client: RemotingClient | None = None,
    ) -> RemotingCommand:
        request = RemotingCommand.request(code, fields, body)
        if version is not None:
            request.version = version
        return await (client or self.client).invoke(self.address, request, 5000)

    async def register(self, client: RemotingClient | None = None, **more: str) -> RemotingCommand:
        return await self.ask(103, {**BROKER, **more}, REGISTER_BODY, client=client)


@asynccontextmanager
async def name_server(config: NamesrvConfig) -> AsyncIterator[Peer]:
    transport = Transport(RemotingServerConfig(bind_address="127.0.0.1"))
    with transport.reserve_ports("127.0.0.1", [0]) as reservation:
        server = NameServer(config)
        async with trio.open_nursery() as nursery:
            port = await nursery.start(partial(server.serve, transport, reservation))
            async with RemotingClient(RemotingClientConfig()) as client:
                yield Peer(client, f"127.0.0.1:{port}", server)
            nursery.cancel_scope.cancel()


async def test_a_registered_broker_is_found_in_both_forms(tmp_path: Path) -> None:
    async with name_server(config_in(tmp_path)) as peer:
        answer = await peer.register()
        assert (answer.code, answer.remark, bytes(answer.body)) == (0, None, b"")
        old = await peer.ask(105, {"topic": "TopicTest"}, version=400)
        assert old.code == 0
        assert b'"brokerAddrs":{0:"10.0.0.1:10911"}' in bytes(old.body)
        for fields, version in (({}, 401), ({"acceptStandardJsonOnly": "true"}, 63)):
            new = await peer.ask(105, {"topic": "TopicTest", **fields}, version=version)
            route = json.loads(bytes(new.body))
            assert route["brokerDatas"][0]["brokerAddrs"] == {"0": "10.0.0.1:10911"}
            assert route["queueDatas"] == [
                {
                    "brokerName": "broker-a",
                    "perm": 6,
                    "readQueueNums": 8,
                    "topicSysFlag": 2,
                    "writeQueueNums": 4,
                }
            ]
        cluster = await peer.ask(106)
        assert b'"brokerAddrs":{0:"10.0.0.1:10911"}' in bytes(cluster.body)
        assert loads(cluster.body)["clusterAddrTable"] == {"DefaultCluster": ["broker-a"]}
        group = await peer.ask(901, {"clusterName": "DefaultCluster", "brokerName": "broker-a"})
        assert loads(group.body)["brokerMemberGroup"]["brokerAddrs"] == {0: "10.0.0.1:10911"}


async def test_an_unknown_topic_is_17(tmp_path: Path) -> None:
    async with name_server(config_in(tmp_path)) as peer:
        answer = await peer.ask(105, {"topic": "Nothing"})
        assert answer.code == 17
        assert answer.remark is not None
        assert answer.remark.startswith("No topic route info in name server for the topic: Nothing\nSee ")


async def test_a_broker_goes_with_its_connection(tmp_path: Path) -> None:
    async with name_server(config_in(tmp_path)) as peer:
        forgotten = trio.Event()
        forget = peer.server.routes.connection_closed

        def watched(connection: Connection) -> Any:
            effects = forget(connection)
            forgotten.set()
            return effects

        peer.server.routes.connection_closed = watched  # type: ignore[method-assign]
        async with RemotingClient(RemotingClientConfig()) as broker:
            await peer.register(broker)
            assert (await peer.ask(105, {"topic": "TopicTest"})).code == 0
        with trio.fail_after(5):
            await forgotten.wait()
        assert (await peer.ask(105, {"topic": "TopicTest"})).code == 17


async def test_registration_is_checked(tmp_path: Path) -> None:
    async with name_server(config_in(tmp_path)) as peer:
        crc = zlib.crc32(REGISTER_BODY) & 0x7FFFFFFF
        assert (await peer.register(bodyCrc32=str(crc))).code == 0
        wrong = await peer.register(bodyCrc32=str(crc ^ 1))
        assert (wrong.code, wrong.remark) == (1, "crc32 not match")
        packed = (FIXTURES / "register_compressed.bin").read_bytes()
        other = {**BROKER, "brokerName": "broker-b", "brokerAddr": "10.0.0.2:10911", "compressed": "true"}
        assert (await peer.ask(103, other, packed)).code == 0
        garbage = await peer.ask(103, other, b"garbage")
        assert garbage.code == 1
        assert garbage.remark is not None
        assert garbage.remark.startswith("Failed to decode RegisterBrokerBody")
        one = b'{"topicConfigSerializeWrapper":{"topicConfigTable":{"t":{"topicName":"t"}}}}'
        third = {**BROKER, "brokerName": "broker-c", "brokerAddr": "10.0.0.3:10911"}
        refused = await peer.ask(103, third, one)
        assert (refused.code, refused.remark) == (1, "register broker failed")
        missing = await peer.ask(103, {"brokerName": "x"}, REGISTER_BODY)
        assert missing.code == 1
        assert (await peer.ask(105, {"topic": "TopicTest"})).code == 0


async def test_slaves_versions_heartbeats_and_unregistration(tmp_path: Path) -> None:
    async with name_server(config_in(tmp_path)) as peer:
        await peer.register()
        slave = await peer.register(brokerId="1", brokerAddr="10.0.0.2:10911")
        assert slave.ext_fields == {"masterAddr": "10.0.0.1:10911", "haServerAddr": "10.0.0.1:10912"}
        same = await peer.ask(322, BROKER, DATA_VERSION)
        assert (same.ext_fields, bytes(same.body)) == ({"changed": "false"}, DATA_VERSION)
        newer = await peer.ask(322, BROKER, DATA_VERSION.replace(b"7", b"8"))
        assert newer.ext_fields == {"changed": "true"}
        unknown = await peer.ask(322, {**BROKER, "brokerAddr": "x:1"}, DATA_VERSION)
        assert (unknown.ext_fields, bytes(unknown.body)) == ({"changed": "true"}, b"")
        assert (await peer.ask(904, BROKER)).code == 0
        assert (await peer.ask(322, BROKER, b"garbage")).code == 1
        assert (await peer.ask(104, BROKER)).code == 0
        group = await peer.ask(901, {"clusterName": "DefaultCluster", "brokerName": "broker-a"})
        assert loads(group.body)["brokerMemberGroup"]["brokerAddrs"] == {1: "10.0.0.2:10911"}


async def test_silent_brokers_expire_and_their_connection_is_closed(tmp_path: Path) -> None:
    config = config_in(tmp_path, scan_not_active_broker_interval=1)
    async with name_server(config) as peer, RemotingClient(RemotingClientConfig()) as broker:
        expired: list[Any] = []
        found = trio.Event()
        scan = peer.server.routes.scan

        def watched(now_ms: int) -> Any:
            effects, connections = scan(now_ms)
            if connections:
                expired.extend(connections)
                found.set()
            return effects, connections

        peer.server.routes.scan = watched  # type: ignore[method-assign]
        await peer.register(broker, heartbeatTimeoutMillis="0")
        with trio.fail_after(5):
            await found.wait()
        assert (await peer.ask(105, {"topic": "TopicTest"})).code == 17
        assert [connection.closed for connection in expired] == [True]


async def test_lists_of_topics(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    async with name_server(config) as peer:
        await peer.register()

        async def topics(code: int, fields: dict[str, str] | None = None) -> Any:
            answer = await peer.ask(code, fields)
            return answer.remark or sorted(loads(answer.body)["topicList"])

        assert await topics(206) == ["%RETRY%g", "TopicTest"]
        assert await topics(224, {"cluster": "DefaultCluster"}) == ["%RETRY%g", "TopicTest"]
        assert await topics(224, {"cluster": "x"}) == []
        assert await topics(304) == ["DefaultCluster", "broker-a"]
        assert loads((await peer.ask(304)).body)["brokerAddr"] == "10.0.0.1:10911"
        assert await topics(311) == []
        assert await topics(312) == ["TopicTest"]
        assert await topics(313) == ["TopicTest"]
        config.enable_topic_list = config.enable_all_topic_list = False
        for code in (206, 224, 311, 312, 313):
            assert await topics(code, {"cluster": "x"}) == "disable"


async def test_topics_are_deleted_registered_and_write_protected(tmp_path: Path) -> None:
    async with name_server(config_in(tmp_path)) as peer:
        await peer.register()
        assert (await peer.ask(205, {"brokerName": "broker-a"})).ext_fields == {"wipeTopicCount": "2"}
        route = await peer.ask(105, {"topic": "TopicTest"})
        assert loads(route.body)["queueDatas"][0]["perm"] == 4
        assert (await peer.ask(327, {"brokerName": "broker-a"})).ext_fields == {"addTopicCount": "2"}
        assert (await peer.ask(216, {"topic": "TopicTest"})).code == 0
        assert (await peer.ask(105, {"topic": "TopicTest"})).code == 17
        assert (await peer.ask(217, {"topic": "TopicTest"}, bytes(route.body))).code == 0
        assert (await peer.ask(105, {"topic": "TopicTest"})).code == 0
        assert (await peer.ask(217, {"topic": "TopicTest"}, b"[")).code == 1


async def test_key_values_survive_a_restart(tmp_path: Path) -> None:
    config = config_in(tmp_path, order_message_enable=True)
    space = {"namespace": "ORDER_TOPIC_CONFIG"}
    async with name_server(config) as peer:
        none = await peer.ask(101, {**space, "key": "TopicTest"})
        assert (none.code, none.remark) == (
            22,
            "No config item, Namespace: ORDER_TOPIC_CONFIG Key: TopicTest",
        )
        assert (await peer.ask(219, space)).code == 22
        assert (await peer.ask(100, {**space, "key": "gone", "value": "x"})).code == 0
        assert (await peer.ask(100, {**space, "key": "TopicTest", "value": "broker-a:4"})).code == 0
        assert (await peer.ask(102, {**space, "key": "gone"})).code == 0
        assert (await peer.ask(100, {"key": "x", "value": "y"})).code == 1
    path = Path(config.kv_config_path)
    assert content(path) == b'{"configTable":{"ORDER_TOPIC_CONFIG":{"TopicTest":"broker-a:4"}}}'
    assert b"gone" in content(path.with_name("kvConfig.json.bak"))
    async with name_server(config) as peer:
        found = await peer.ask(101, {**space, "key": "TopicTest"})
        assert (found.code, found.ext_fields) == (0, {"value": "broker-a:4"})
        table = b'{"table":{"TopicTest":"broker-a:4"}}'
        assert bytes((await peer.ask(219, space)).body) == table
        assert bytes((await peer.register()).body) == table
        route = await peer.ask(105, {"topic": "TopicTest"})
        assert loads(route.body)["orderTopicConf"] == "broker-a:4"
    write(path, b"{torn")
    async with name_server(config) as peer:
        assert (await peer.ask(101, {**space, "key": "TopicTest"})).code == 0


async def test_a_key_value_that_cannot_be_saved_is_said(tmp_path: Path) -> None:
    (tmp_path / "namesrv").write_text("a file, not a directory")
    async with name_server(config_in(tmp_path)) as peer:
        answer = await peer.ask(100, {"namespace": "n", "key": "k", "value": "v"})
        assert answer.code == 1
        assert answer.remark is not None
        assert answer.remark.startswith("changed, but not saved: ")


async def test_the_configuration_is_shown_and_changed(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    async with name_server(config) as peer:
        shown = bytes((await peer.ask(319)).body).decode().splitlines()
        assert shown == sorted(shown)
        assert "supportActingMaster=false" in shown
        assert (await peer.ask(318, body=b"supportActingMaster=true\n")).code == 0
        assert config.support_acting_master
        assert content(Path(config.config_store_path)) == b"supportActingMaster=true\n"
        for key in ("kvConfigPath", "configStorePath", "rocketmqHome", "configBlackList"):
            answer = await peer.ask(318, body=f"{key}=x".encode())
            assert (answer.code, answer.remark) == (16, "Can not update config in black list.")
        wrong = await peer.ask(318, body=b"scanNotActiveBrokerInterval=0")
        assert wrong.code == 1
        assert wrong.remark is not None
        assert "an integer of at least 1" in wrong.remark or "between 1 and" in wrong.remark
        assert (await peer.ask(318)).code == 0


async def test_a_large_registration_is_taken_in_whole(tmp_path: Path) -> None:
    table = {f"T{number}": {"topicName": f"T{number}", "perm": 6} for number in range(3000)}
    body = json.dumps({"topicConfigSerializeWrapper": {"topicConfigTable": table}}).encode()
    async with name_server(config_in(tmp_path)) as peer:
        assert (await peer.ask(103, BROKER, body)).code == 0
        assert (await peer.ask(105, {"topic": "T2999"})).code == 0
        assert peer.server.statistics().routes.topics == 3000


async def test_an_answered_route_never_outlives_a_change(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    async with name_server(config) as peer:

        async def route() -> tuple[Any, ...]:
            found = loads((await peer.ask(105, {"topic": "TopicTest"})).body)
            addrs = {name: addr for b in found["brokerDatas"] for name, addr in b["brokerAddrs"].items()}
            return addrs, found["queueDatas"][0]["perm"], found.get("orderTopicConf")

        await peer.register()
        assert await route() == await route() == ({"0": "10.0.0.1:10911"}, 6, None)
        await peer.register(brokerId="1", brokerAddr="10.0.0.2:10911", enableActingMaster="true")
        assert await route() == ({"0": "10.0.0.1:10911", "1": "10.0.0.2:10911"}, 6, None)
        await peer.ask(205, {"brokerName": "broker-a"})
        assert (await route())[1] == 4
        await peer.ask(104, BROKER)
        assert (await route())[0] == {"1": "10.0.0.2:10911"}
        config.support_acting_master = True
        assert (await route())[0] == {"0": "10.0.0.2:10911"}
        config.order_message_enable = True
        await peer.ask(100, {"namespace": "ORDER_TOPIC_CONFIG", "key": "TopicTest", "value": "a:1"})
        assert (await route())[2] == "a:1"
        await peer.ask(100, {"namespace": "ORDER_TOPIC_CONFIG", "key": "TopicTest", "value": "a:2"})
        assert (await route())[2] == "a:2"
        await peer.ask(102, {"namespace": "ORDER_TOPIC_CONFIG", "key": "TopicTest"})
        assert (await route())[2] is None
        await peer.ask(216, {"topic": "TopicTest"})
        assert (await peer.ask(105, {"topic": "TopicTest"})).code == 17


async def test_zones(tmp_path: Path) -> None:
    async with name_server(config_in(tmp_path)) as peer:
        await peer.register(__ZONE_NAME="z1")
        await peer.register(brokerName="broker-b", brokerAddr="10.0.0.2:10911", __ZONE_NAME="z2")

        async def brokers(**fields: str) -> list[str]:
            answer = await peer.ask(105, {"topic": "TopicTest", **fields})
            return [broker["brokerName"] for broker in loads(answer.body)["brokerDatas"]]

        assert sorted(await brokers()) == ["broker-a", "broker-b"]
        assert sorted(await brokers(__ZONE_NAME="z1")) == ["broker-a", "broker-b"]
        assert await brokers(__ZONE_NAME="Z1", __ZONE_MODE="true") == ["broker-a"]


async def test_no_routes_until_the_service_is_ready(tmp_path: Path) -> None:
    config = config_in(tmp_path, need_wait_for_service=True)
    async with name_server(config) as peer:
        await peer.register()
        early = await peer.ask(105, {"topic": "TopicTest"})
        assert (early.code, early.remark) == (1, "name server not ready")
        config.wait_seconds_for_service = 0
        assert (await peer.ask(105, {"topic": "TopicTest"})).code == 0


async def test_unknown_codes_and_missing_fields_are_answered(tmp_path: Path) -> None:
    async with name_server(config_in(tmp_path)) as peer:
        unknown = await peer.ask(9999)
        assert (unknown.code, unknown.remark) == (3, " request type 9999 not supported")
        for code in (101, 102, 103, 104, 105, 205, 216, 217, 219, 224, 322, 327, 901, 904):
            assert (await peer.ask(code)).code == 1


@attrs.define
class _Brokers:
    """A port that takes notices."""

    notices: list[RemotingCommand] = attrs.field(factory=list)
    came: trio.Event = attrs.field(factory=trio.Event)

    def take(self, connection: Connection, request: RemotingCommand) -> None:
        self.notices.append(request)
        self.came.set()


async def test_a_change_of_the_least_broker_id_is_told(tmp_path: Path) -> None:
    brokers = _Brokers()
    table = ProcessorTable()
    table.call([905], brokers.take)
    transport = Transport(RemotingServerConfig(bind_address="127.0.0.1"))
    with transport.reserve_ports("127.0.0.1", [0]) as reservation:
        slave_addr = f"127.0.0.1:{reservation.ports[0]}"
        sub_server = transport.sub_server("b", reservation, 0, table, listeners=[ChannelListener()])
        async with trio.open_nursery() as nursery:
            await nursery.start(sub_server.serve)
            config = config_in(tmp_path, notify_min_broker_id_changed=True)
            async with name_server(config) as peer:
                await peer.register(enableActingMaster="true")
                await peer.register(enableActingMaster="true", brokerId="1", brokerAddr=slave_addr)
                await peer.ask(104, BROKER)
                with trio.fail_after(5):
                    await brokers.came.wait()
                (notice,) = brokers.notices
                assert notice.is_oneway
                assert notice.ext_fields["minBrokerId"] == "1"
                assert notice.ext_fields["minBrokerAddr"] == slave_addr
                assert notice.ext_fields["offlineBrokerAddr"] == BROKER["brokerAddr"]
            nursery.cancel_scope.cancel()
