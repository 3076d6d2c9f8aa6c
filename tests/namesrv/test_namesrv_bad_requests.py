"""Whatever is wrong with a request to a name server: it is answered, and routes and files stay whole."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_namesrv_server import BROKER, DATA_VERSION, FIXTURES, REGISTER_BODY, Peer, config_in, name_server

from remoting.json_dialect import loads
from remoting.protocol import headers
from tests.broker.malformed import BODIES, TEXTS, Case, Known, Wire, faults_of, run_table, wire

if TYPE_CHECKING:
    from pathlib import Path

ROUTE = {
    "queueDatas": [
        {"brokerName": "broker-a", "readQueueNums": 4, "writeQueueNums": 4, "perm": 6, "topicSysFlag": 0}
    ],
    "brokerDatas": [],
}
OTHER = {**BROKER, "brokerName": "broker-z", "brokerAddr": "10.0.0.9:10911"}
REGISTER = {
    **OTHER,
    "heartbeatTimeoutMillis": "100000",
    "enableActingMaster": "false",
    "compressed": "false",
    "bodyCrc32": "0",
}
KV = {"namespace": "n", "key": "k", "value": "v"}

KNOWN: dict[int, Known] = {
    100: Known(header=headers.PutKVConfigRequestHeader, fields=KV),
    101: Known(header=headers.GetKVConfigRequestHeader, fields={"namespace": "n", "key": "k"}),
    102: Known(header=headers.DeleteKVConfigRequestHeader, fields={"namespace": "n", "key": "k"}),
    103: Known(header=headers.RegisterBrokerRequestHeader, fields=REGISTER, body=REGISTER_BODY),
    104: Known(header=headers.UnRegisterBrokerRequestHeader, fields=OTHER),
    105: Known(
        header=headers.GetRouteInfoRequestHeader,
        fields={"topic": "TopicTest", "acceptStandardJsonOnly": "true"},
    ),
    106: Known(),
    205: Known(header=headers.WipeWritePermOfBrokerRequestHeader, fields={"brokerName": "broker-z"}),
    206: Known(),
    216: Known(
        header=headers.DeleteTopicFromNamesrvRequestHeader,
        fields={"topic": "Gone", "clusterName": "DefaultCluster"},
    ),
    217: Known(
        header=headers.RegisterTopicRequestHeader,
        fields={"topic": "Came"},
        body=json.dumps(ROUTE).encode(),
    ),
    219: Known(header=headers.GetKVListByNamespaceRequestHeader, fields={"namespace": "n"}),
    224: Known(header=headers.GetTopicsByClusterRequestHeader, fields={"cluster": "DefaultCluster"}),
    304: Known(),
    311: Known(),
    312: Known(),
    313: Known(),
    318: Known(body=b"supportActingMaster=false\n"),
    319: Known(),
    322: Known(header=headers.QueryDataVersionRequestHeader, fields=OTHER, body=DATA_VERSION),
    327: Known(header=headers.AddWritePermOfBrokerRequestHeader, fields={"brokerName": "broker-z"}),
    901: Known(
        header=headers.GetBrokerMemberGroupRequestHeader,
        fields={"clusterName": "DefaultCluster", "brokerName": "broker-a"},
    ),
    904: Known(
        header=headers.BrokerHeartbeatRequestHeader,
        fields={**OTHER, "epoch": "1", "maxOffset": "1", "confirmOffset": "1"},
        tolerant=frozenset(
            {"brokerId", "epoch", "maxOffset", "confirmOffset", "heartbeatTimeoutMills", "electionPriority"}
        ),
    ),
}
HEALTHY = Case("a good request", 105, {"topic": "TopicTest"}, b"")


def port_of(peer: Peer) -> int:
    assert peer.server.port is not None
    return peer.server.port


async def assert_alive(peer: Peer, connection: Wire) -> None:
    """The route that a well-behaved broker registered before is there, whatever the others sent."""
    answer = await connection.ask(HEALTHY)
    assert answer.code == 0, answer.remark
    route = json.loads(bytes(answer.body))
    addresses = {broker["brokerName"]: broker["brokerAddrs"] for broker in route["brokerDatas"]}
    assert addresses["broker-a"] == {"0": "10.0.0.1:10911"}
    assert {queue["brokerName"]: queue["perm"] for queue in route["queueDatas"]}["broker-a"] == 6
    for code in (106, 206):
        assert loads((await peer.ask(code)).body)


async def test_every_code_of_a_name_server_is_served_and_no_other(tmp_path: Path) -> None:
    async with name_server(config_in(tmp_path)) as peer, wire(port_of(peer)) as connection:
        for code in range(1, 1100):
            answer = await connection.ask(Case("nothing", code, {}, b""))
            assert (answer.code == 3) is (code not in KNOWN), (code, answer.remark)
            if answer.code == 3:
                assert answer.remark == f" request type {code} not supported"


async def test_malformed_requests_are_answered_and_nothing_is_damaged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    faults: list[str] = []
    config = config_in(tmp_path)
    with caplog.at_level(logging.ERROR):
        async with name_server(config) as peer, wire(port_of(peer)) as connection:
            assert (await peer.register()).code == 0
            for code, known in KNOWN.items():
                faults += await run_table(connection, code, known)
                await assert_alive(peer, connection)
            content = peer.server.kv.content()
        faults += [f"logged: {record.getMessage()[:300]}" for record in caplog.records]
        caplog.clear()
        async with name_server(config) as again:
            assert again.server.kv.content() == content
        assert not caplog.records
    assert not faults, "\n".join(faults)


async def test_malformed_compressed_registrations_are_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    packed = (FIXTURES / "register_compressed.bin").read_bytes()
    known = Known(
        header=headers.RegisterBrokerRequestHeader, fields={**REGISTER, "compressed": "true"}, body=packed
    )
    async with name_server(config_in(tmp_path)) as peer, wire(port_of(peer)) as connection:
        assert (await peer.register()).code == 0
        with caplog.at_level(logging.ERROR):
            faults = await run_table(connection, 103, known)
        await assert_alive(peer, connection)
        assert not caplog.records
        assert not faults, "\n".join(faults)


async def test_one_way_requests_are_never_answered(tmp_path: Path) -> None:
    async with name_server(config_in(tmp_path)) as peer, wire(port_of(peer)) as connection:
        silent = set()
        for code, known in KNOWN.items():
            for fields, body in (({}, b""), (known.fields, known.body), (known.fields, b"{")):
                silent.add(await connection.send(code, fields, body, one_way=True))
        silent.add(await connection.send(9999, {}, one_way=True))
        for code, known in KNOWN.items():
            await connection.ask(Case("after one-way ones", code, known.fields, known.body))
        assert not silent & connection.answers.keys()


_texts = st.one_of(st.sampled_from(TEXTS), st.integers().map(str), st.text(max_size=40))
_changes = st.dictionaries(st.integers(0, 20), st.one_of(st.none(), _texts), max_size=4)
_bodies = st.one_of(st.none(), st.sampled_from(BODIES), st.binary(max_size=60))
_edits = st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), max_size=3)


def _fuzzed(code: int, known: Known, changes: dict[int, str | None], body: bytes | None, edits: Any) -> Case:
    fields = dict(known.fields)
    names = [name for name in sorted(fields) if name not in ("brokerAddr", "brokerName")]
    for index, value in changes.items() if names else ():
        name = names[index % len(names)]
        if value is None:
            fields.pop(name, None)
        elif not any("\ud800" <= letter <= "\udfff" for letter in value):
            fields[name] = value
    content = bytearray(known.body if body is None else body)
    for position, value in edits if content else ():
        content[position % len(content)] = value
    return Case(f"{fields} {bytes(content[:200])!r}", code, fields, bytes(content))


@pytest.mark.parametrize("code", sorted(KNOWN))
async def test_any_fields_and_bodies_are_answered(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    requests: list[Case] = []

    @settings(
        max_examples=60,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        deadline=None,
    )
    @given(_changes, _bodies, _edits)
    def collect(changes: dict[int, str | None], body: bytes | None, edits: Any) -> None:
        requests.append(_fuzzed(code, KNOWN[code], changes, body, edits))

    collect()
    async with name_server(config_in(tmp_path)) as peer, wire(port_of(peer)) as connection:
        assert (await peer.register()).code == 0
        with caplog.at_level(logging.ERROR):
            opaques = [await connection.send(case.code, case.fields, case.body) for case in requests]
            faults = []
            for case, opaque in zip(requests, opaques, strict=True):
                faults += faults_of(case, await connection.answer(opaque, case.label))
            faults += [record.getMessage()[:300] for record in caplog.records]
        await assert_alive(peer, connection)
    assert not faults, "\n".join(faults)
