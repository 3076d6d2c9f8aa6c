"""Bodies byte for byte as a Java 5.5.0 peer writes and reads them (fixtures made by its own classes)."""

from __future__ import annotations

import contextlib
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from namesrv import register_body
from namesrv.register_body import RegisterBody, decode_register_body
from remoting.errors import BodyFault
from remoting.json_dialect import dumps, dumps_standard, loads
from remoting.protocol import mq_version
from remoting.protocol.route import BrokerData, QueueData, TopicRouteData

FIXTURES = Path(__file__).parent / "fixtures"

BROKERS = [
    BrokerData(
        cluster="DefaultCluster",
        broker_name="broker-a",
        broker_addrs={0: "10.0.0.1:10911", 1: "10.0.0.2:10911"},
        zone_name="zone-1",
        enable_acting_master=True,
    ),
    BrokerData(
        cluster="DefaultCluster",
        broker_name="broker-b",
        broker_addrs={2: "10.0.0.3:10911"},
        enable_acting_master=False,
    ),
]
ROUTE = TopicRouteData(
    broker_datas=BROKERS,
    queue_datas=[
        QueueData(broker_name="broker-a", read_queue_nums=4, write_queue_nums=4, perm=6, topic_sys_flag=0),
        QueueData(broker_name="broker-b", read_queue_nums=8, write_queue_nums=8, perm=4, topic_sys_flag=1),
    ],
    filter_server_table={},
)
QUEUES = {
    "TopicTest": QueueData(broker_name="b", read_queue_nums=8, write_queue_nums=4, perm=6, topic_sys_flag=2),
    "%RETRY%g": QueueData(broker_name="b", read_queue_nums=1, write_queue_nums=1, perm=6, topic_sys_flag=0),
}


def fixture(name: str) -> bytes:
    return (FIXTURES / name).read_bytes()


def decode(data: bytes, compressed: bool, version: int = mq_version.CURRENT) -> RegisterBody:
    return decode_register_body(data, broker_name="b", compressed=compressed, version=version)


def test_routes_are_written_as_java_writes_them() -> None:
    found = ROUTE.to_json_object()
    assert dumps(found) == fixture("route_plain.json")
    assert dumps_standard(found) == fixture("route_standard.json")
    found["orderTopicConf"] = "broker-a:4;broker-b:8"
    assert dumps(found) == fixture("route_order.json")


def test_other_answers_are_written_as_java_writes_them() -> None:
    addrs = BROKERS[0].broker_addrs
    group = {"brokerAddrs": addrs, "brokerName": "broker-a", "cluster": "DefaultCluster"}
    assert dumps({"brokerMemberGroup": group}) == fixture("member_group.json")
    assert dumps({"topicList": ["A", "B"]}) == fixture("topic_list.json")
    assert dumps({"table": {"T": "broker-a:4"}}) == fixture("kv_table.json")
    cluster_info = {
        "brokerAddrTable": {data.broker_name: data.to_json_object() for data in BROKERS},
        "clusterAddrTable": {"DefaultCluster": ["broker-a", "broker-b"]},
    }
    theirs = fixture("cluster_info.json")
    assert loads(dumps(cluster_info)) == loads(theirs)
    assert len(dumps(cluster_info)) == len(theirs)


@pytest.mark.parametrize(
    ("name", "compressed"), [("register_plain.json", False), ("register_compressed.bin", True)]
)
def test_both_forms_of_a_registration_are_read(name: str, compressed: bool) -> None:
    body = decode(fixture(name), compressed)
    assert dumps(body.data_version.to_json_object()) == fixture("data_version.json")
    assert body.filter_servers == ("10.0.0.9:1",)
    expected = dict(QUEUES)
    if compressed:
        expected["TopicTest"] = QueueData(
            broker_name="b", read_queue_nums=8, write_queue_nums=4, perm=6, topic_sys_flag=0
        )
    assert body.queues == expected
    assert body.mappings["Static"]["currIdMap"] == {0: 0, 1: 2}


def test_older_brokers_send_less() -> None:
    assert decode(b"", False).queues == {}
    wrapper = dumps(loads(fixture("register_plain.json"))["topicConfigSerializeWrapper"])
    assert decode(wrapper, False, mq_version.V3_0_11 - 1).queues == QUEUES
    assert decode(fixture("register_compressed.bin"), True, mq_version.V5_0_0 - 1).mappings == {}


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"[]",
        b"1",
        b'{"topicConfigSerializeWrapper":[1]}',
        b'{"topicConfigSerializeWrapper":{"topicConfigTable":{"t":1}}}',
        b'{"topicConfigSerializeWrapper":{"topicConfigTable":{"t":{"perm":"x"}}}}',
    ],
)
def test_bad_plain_bodies_are_refused(data: bytes) -> None:
    with pytest.raises(BodyFault):
        decode(data, False)


def test_bad_compressed_bodies_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(register_body, "MAX_INFLATED_BYTES", 1 << 20)
    good = fixture("register_compressed.bin")
    unpacked = zlib.decompress(good)
    bomb = zlib.compress(b"\0" * (1 << 21))
    for data in [
        good[:-1],
        b"x" + good,
        zlib.compress(b""),
        zlib.compress(struct.pack(">i", -1) + unpacked),
        zlib.compress(struct.pack(">i", 1 << 30) + unpacked),
        zlib.compress(unpacked[:-5]),
        bomb,
    ]:
        with pytest.raises(BodyFault):
            decode(data, True)


@settings(deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_any_garbage_is_read_or_refused(data: bytes, packed: bool) -> None:
    with contextlib.suppress(BodyFault):
        decode(zlib.compress(data) if packed else data, packed)
