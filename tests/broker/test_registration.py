"""What name servers hear of a broker, and when."""

from __future__ import annotations

import zlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import attrs
import pytest
import trio
from memory_table import FakeClock, MemoryTable

from broker.config import BrokerConfig
from broker.former_identities import FormerIdentities, RegisteredIdentity
from broker.registration import Registration
from broker.topics import TopicConfigManager
from logs.identity import BrokerIdentity
from namesrv import NameServer, NamesrvConfig
from remoting.client import RemotingClient
from remoting.command import RemotingCommand
from remoting.config import RemotingClientConfig, RemotingServerConfig
from remoting.errors import ConnectError
from remoting.json_dialect import loads
from remoting.processors import ProcessorTable
from remoting.protocol.request_code import RequestCode
from remoting.server import Transport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

REGISTER, UNREGISTER, QUERY = (
    RequestCode.REGISTER_BROKER,
    RequestCode.UNREGISTER_BROKER,
    RequestCode.QUERY_DATA_VERSION,
)


@attrs.define(eq=False)
class FakeNameServers:
    """A client that keeps what it is given to send, and answers as told."""

    heard: list[tuple[str, RemotingCommand]] = attrs.field(factory=list)
    down: set[str] = attrs.field(factory=set)
    code: int = 0
    changed: str = "false"
    body: bytes = b""
    _news: trio.Event = attrs.field(factory=trio.Event)

    async def until(self, count: int, code: int = REGISTER, address: str = "n1") -> None:
        """Return when so many requests have come: time alone says nothing about worker threads."""
        while len(self.of(code, address)) < count:
            await self._news.wait()

    async def connection(self, address: str) -> str:
        return f"connection to {address}"

    async def invoke(self, address: str, request: RemotingCommand, _timeout_ms: float) -> RemotingCommand:
        await trio.lowlevel.checkpoint()
        self.heard.append((address, request))
        self._news.set()
        self._news = trio.Event()
        if address in self.down:
            raise ConnectError(f"cannot connect to {address}")
        return request.response(self.code, None, {"changed": self.changed}, self.body)

    def registered(self, address: str = "n1") -> list[set[str]]:
        """The topics of each registration at a name server."""
        return [set(wrapper(request)["topicConfigTable"]) for request in self.of(REGISTER, address)]

    def of(self, code: int, address: str = "n1") -> list[RemotingCommand]:
        return [request for at, request in self.heard if request.code == code and at == address]


def wrapper(request: RemotingCommand) -> Any:
    return loads(bytes(request.body))["topicConfigSerializeWrapper"]


@attrs.define(eq=False)
class Setup:
    servers: FakeNameServers
    registration: Registration
    topics: TopicConfigManager
    file: MemoryTable
    config: BrokerConfig


def make(*addresses: str, former: FormerIdentities | None = None, **config: Any) -> Setup:
    clock, file, servers = FakeClock(), MemoryTable(), FakeNameServers()
    settings = BrokerConfig(broker_name="b", broker_cluster_name="c", **config)
    topics = TopicConfigManager(settings, cast("Any", file), clock_ms=clock)
    registration = Registration(
        config=settings,
        identity=BrokerIdentity("c", "b", 0),
        address="10.0.0.1:10911",
        ha_address="10.0.0.1:10912",
        topics=topics,
        client=cast("Any", servers),
        name_servers=addresses or ("n1",),
        clock_ms=clock,
        former=former,
    )
    topics.on_change = registration.notify_change
    return Setup(servers, registration, topics, file, settings)


@asynccontextmanager
async def running(setup: Setup) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(setup.registration.run)
        await setup.registration.settled()
        yield
        nursery.cancel_scope.cancel()


async def test_the_first_registration_has_every_topic(autojump_clock: object) -> None:
    setup = make("n1", "n2")
    async with running(setup):
        assert setup.servers.registered("n1") == setup.servers.registered("n2") == [set(setup.topics.table)]
    (request,) = setup.servers.of(REGISTER)
    assert request.ext_fields == {
        "brokerAddr": "10.0.0.1:10911",
        "brokerId": "0",
        "brokerName": "b",
        "clusterName": "c",
        "haServerAddr": "10.0.0.1:10912",
        "compressed": "false",
        "enableActingMaster": "false",
        "bodyCrc32": str(zlib.crc32(request.body) & 0x7FFFFFFF),
    }
    assert wrapper(request)["dataVersion"] == setup.topics.data_version.to_json_object()


async def test_registration_is_repeated_each_period(autojump_clock: object) -> None:
    setup = make(register_name_server_period=1000)
    async with running(setup):
        began = trio.current_time()
        await setup.servers.until(3)
        assert trio.current_time() - began == pytest.approx(20)  # the period is at least 10 s


async def test_a_new_topic_is_registered_alone_after_it_was_saved(autojump_clock: object) -> None:
    setup = make()
    async with running(setup):
        writes = setup.file.writes
        setup.topics.create_in_send("t", "TBW102", "client", 4, 0)
        setup.topics.create_in_send("u", "TBW102", "client", 4, 0)
        await setup.servers.until(2)
        assert setup.servers.registered()[1:] == [{"t", "u"}]
        assert setup.file.writes == writes + 1
        newest = setup.servers.of(REGISTER)[-1]
        assert wrapper(newest)["dataVersion"] == setup.topics.data_version.to_json_object()


async def test_after_a_failure_everything_is_sent_again_soon(autojump_clock: object) -> None:
    setup = make("n1", "n2")
    setup.servers.down = {"n1"}
    async with running(setup):
        assert setup.registration.statistics().name_servers[0].registered is False
        assert setup.registration.statistics().name_servers[1].registered is True
        setup.topics.create_in_send("t", "TBW102", "client", 4, 0)
        await setup.servers.until(2, address="n1")
        await setup.servers.until(2, address="n2")
        setup.servers.down = set()
        await setup.servers.until(3, address="n1")
        assert setup.servers.registered("n1")[-1] == set(setup.topics.table)
        assert setup.servers.registered("n2")[-1] == {"t"}


async def test_a_refusal_counts_as_failure(autojump_clock: object) -> None:
    setup = make()
    setup.servers.code = 1
    async with running(setup):
        assert not setup.registration.statistics().name_servers[0].registered


async def test_a_lost_connection_leads_to_a_new_registration_at_once(autojump_clock: object) -> None:
    setup = make("n1", "n2")
    async with running(setup):
        began = trio.current_time()
        setup.registration.connection_closed(cast("Any", "connection to another"))
        setup.registration.connection_closed(setup.registration._links["n1"].connection)  # type: ignore[arg-type]
        await setup.servers.until(2, address="n1")
        assert trio.current_time() == began
        assert len(setup.servers.registered("n2")) == 1


async def test_versions_are_asked_for_first_if_so_configured(autojump_clock: object) -> None:
    setup = make(force_register=False, register_name_server_period=10_000)
    async with running(setup):
        await trio.sleep(15)
        assert len(setup.servers.of(QUERY)) == 1
        assert len(setup.servers.registered()) == 1
        setup.servers.changed = "true"
        await trio.sleep(10)
        assert len(setup.servers.registered()) == 2


async def test_permissions_are_masked_by_the_broker_s_own(autojump_clock: object) -> None:
    setup = make(broker_permission=4)
    async with running(setup):
        perms = {each["perm"] for each in wrapper(setup.servers.of(REGISTER)[0])["topicConfigTable"].values()}
        assert perms == {4, 0}
        version = setup.topics.data_version
        setup.config.broker_permission = 6
        setup.registration.permission_changed()
        await setup.servers.until(2)
        newest = wrapper(setup.servers.of(REGISTER)[-1])
        assert newest["topicConfigTable"]["TBW102"]["perm"] == 7
        assert newest["dataVersion"]["counter"] == version.counter + 1


async def test_the_order_configuration_of_the_name_server_is_taken_over(autojump_clock: object) -> None:
    setup = make()
    setup.topics.create_in_send("t", "TBW102", "client", 4, 0)
    setup.servers.body = b'{"table":{"t":"b:4"}}'
    async with running(setup):
        found = setup.topics.get("t")
        assert found is not None
        assert found.order


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"table":[]}'])
async def test_nonsense_in_an_answer_does_no_harm(autojump_clock: object, body: bytes) -> None:
    setup = make()
    setup.servers.body = body
    async with running(setup):
        assert setup.registration.statistics().name_servers[0].registered


async def test_the_list_of_name_servers_can_change(autojump_clock: object) -> None:
    setup = make("n1", "n2")
    async with running(setup):
        setup.registration.set_name_servers(["n2", "n3"])
        await setup.servers.until(1, address="n3")
        assert len(setup.servers.registered("n2")) == 1
        assert len(setup.servers.registered("n3")) == 1
        setup.servers.heard.clear()
        await trio.sleep(31)
        assert setup.servers.registered("n1") == []


async def test_goodbye_is_said_to_everyone_even_if_one_is_down(autojump_clock: object) -> None:
    setup = make("n1", "n2")
    async with running(setup):
        setup.servers.down = {"n1"}
    await setup.registration.unregister()
    (goodbye,) = setup.servers.of(UNREGISTER, "n2")
    assert goodbye.ext_fields == {
        "brokerAddr": "10.0.0.1:10911",
        "brokerId": "0",
        "brokerName": "b",
        "clusterName": "c",
    }


async def test_nobody_hears_goodbye_who_was_never_asked(autojump_clock: object) -> None:
    setup = make("n1", "n2")
    await setup.registration.unregister()
    assert setup.servers.heard == []


NOW = RegisteredIdentity("c", "b", 0, "10.0.0.1:10911")
OLD = RegisteredIdentity("c", "old", 0, "10.0.0.1:10911")
ELSEWHERE = RegisteredIdentity("c", "elsewhere", 0, "10.0.0.9:10911")


async def remember(file: MemoryTable, *identities: RegisteredIdentity) -> None:
    """As brokers of these names would have left the file."""
    for identity in identities:
        known = FormerIdentities(cast("Any", file), identity)
        known.load()
        await known.remember()


async def known_names(file: MemoryTable) -> list[str]:
    return [row["brokerName"] for row in loads((file.text or "").encode())["identities"]]


async def test_a_renamed_broker_is_unregistered_under_its_old_name_before_it_registers() -> None:
    file = MemoryTable()
    await remember(file, ELSEWHERE, OLD)
    former = FormerIdentities(cast("Any", file), NOW)
    former.load()
    setup = make("n1", "n2", former=former)
    async with running(setup):
        for address in ("n1", "n2"):
            codes = [request.code for at, request in setup.servers.heard if at == address]
            assert codes == [UNREGISTER, REGISTER]
            (goodbye,) = setup.servers.of(UNREGISTER, address)
            assert goodbye.ext_fields == {
                "brokerAddr": "10.0.0.1:10911",
                "brokerId": "0",
                "brokerName": "old",
                "clusterName": "c",
            }
        assert await known_names(file) == ["b"]


async def test_an_old_name_is_kept_until_every_name_server_has_heard(autojump_clock: object) -> None:
    file = MemoryTable()
    await remember(file, OLD)
    former = FormerIdentities(cast("Any", file), NOW)
    former.load()
    setup = make("n1", "n2", former=former)
    setup.servers.down = {"n2"}
    async with running(setup):
        assert await known_names(file) == ["old", "b"]
        setup.servers.down = set()
        await setup.servers.until(1, address="n2")
        assert await known_names(file) == ["b"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"identities": [{}]}', '{"identities": 3}'])
async def test_a_file_of_names_that_cannot_be_read_hinders_nobody(text: str) -> None:
    file = MemoryTable()
    file.text = text
    former = FormerIdentities(cast("Any", file), NOW)
    former.load()
    assert former.former == []


async def test_a_renamed_broker_leaves_no_route_of_its_old_name(tmp_path: Path, running_broker: Any) -> None:
    transport = Transport(RemotingServerConfig(bind_address="127.0.0.1"))
    config = NamesrvConfig(
        kv_config_path=str(tmp_path / "kvConfig.json"),
        config_store_path=str(tmp_path / "namesrv.properties"),
    )
    name_server = NameServer(config)
    with transport.reserve_broker_ports("127.0.0.1", 0) as found:
        port = found.ports[0]
    with transport.reserve_ports("127.0.0.1", [0]) as reservation:
        async with trio.open_nursery() as nursery, RemotingClient(RemotingClientConfig()) as old:
            await nursery.start(name_server.serve, transport, reservation)
            at = f"127.0.0.1:{reservation.ports[0]}"
            served = {"listen_port": port, "name_servers": [at]}
            async with running_broker(tmp_path / "store", broker_name="old", **served) as broker:
                address = broker.address
            header = {
                "brokerName": "old",
                "brokerAddr": address,
                "clusterName": "DefaultCluster",
                "brokerId": "0",
            }
            stale = RemotingCommand.request(REGISTER, {**header, "haServerAddr": ""}, b"")
            assert (await old.invoke(at, stale, 5000)).code == 0
            assert set(name_server.routes.brokers()) == {"old"}
            async with running_broker(tmp_path / "store", broker_name="new", **served):
                assert set(name_server.routes.brokers()) == {"new"}
            nursery.cancel_scope.cancel()


async def test_a_broker_that_stops_says_goodbye_before_its_connection_closes(
    tmp_path: Path, running_broker: Any
) -> None:
    heard: list[int] = []

    def answer(_: object, request: RemotingCommand) -> RemotingCommand:
        heard.append(request.code)
        return request.response(0)

    table = ProcessorTable()
    table.call((REGISTER, UNREGISTER), answer)
    transport = Transport(RemotingServerConfig(bind_address="127.0.0.1"))
    with transport.reserve_ports("127.0.0.1", [0]) as reservation:
        server = transport.sub_server("name server", reservation, 0, table)
        async with trio.open_nursery() as nursery:
            await nursery.start(server.serve)
            async with running_broker(tmp_path, name_servers=[f"127.0.0.1:{server.port}"]):
                assert heard == [REGISTER]
            assert heard == [REGISTER, UNREGISTER]
            nursery.cancel_scope.cancel()


async def test_a_real_name_server_knows_the_broker_while_it_runs(
    tmp_path: Path, running_broker: Any, asking: Any
) -> None:
    transport = Transport(RemotingServerConfig(bind_address="127.0.0.1"))
    config = NamesrvConfig(
        kv_config_path=str(tmp_path / "kvConfig.json"),
        config_store_path=str(tmp_path / "namesrv.properties"),
    )
    name_server = NameServer(config)
    with transport.reserve_ports("127.0.0.1", [0]) as reservation:
        async with trio.open_nursery() as nursery:
            await nursery.start(name_server.serve, transport, reservation)
            at = f"127.0.0.1:{reservation.ports[0]}"
            async with running_broker(tmp_path / "store", name_servers=[at]) as broker, asking(broker) as ask:
                ask.address = at
                route = loads(bytes((await ask(RequestCode.GET_ROUTEINFO_BY_TOPIC, topic="TBW102")).body))
                assert route["brokerDatas"][0]["brokerAddrs"] in ({0: broker.address}, {"0": broker.address})
                assert route["queueDatas"][0]["perm"] == 7
                ask.address = broker.address
                created = await ask(
                    RequestCode.UPDATE_AND_CREATE_TOPIC,
                    topic="t",
                    defaultTopic="TBW102",
                    readQueueNums=2,
                    writeQueueNums=2,
                    perm=6,
                    topicFilterType="SINGLE_TAG",
                    order=False,
                )
                assert created.code == 0
                ask.address = at
                assert (await ask(RequestCode.GET_ROUTEINFO_BY_TOPIC, topic="t")).code == 0
            assert name_server.routes.statistics().live_brokers == 0
            nursery.cancel_scope.cancel()
