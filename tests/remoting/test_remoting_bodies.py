"""Bodies and headers as data, against bytes of Java."""

import pytest
from fixture_bytes import ROCKETMQ

from remoting.errors import BodyFault, CommandError
from remoting.json_dialect import loads
from remoting.protocol import admin_body, body, headers, heartbeat, route
from remoting.protocol.body import MessageQueue, ResetOffsetBody
from remoting.protocol.header_fields import fields_of

KINDS = {
    "broker-stats": admin_body.BrokerStatsData,
    "cluster-info": admin_body.ClusterInfo,
    "consume-directly": admin_body.ConsumeMessageDirectlyResult,
    "consume-queue": admin_body.QueryConsumeQueueResponseBody,
    "consume-stats": admin_body.ConsumeStats,
    "consume-stats-list": admin_body.ConsumeStatsList,
    "consumer-connection": admin_body.ConsumerConnection,
    "consumer-status": body.GetConsumerStatusBody,
    "heartbeat": heartbeat.HeartbeatData,
    "kv-escapes": body.KVTable,
    "lock-batch": body.LockBatchRequestBody,
    "producer-table": admin_body.ProducerTableInfo,
    "register-broker": admin_body.RegisterBrokerBody,
    "reset-offset": body.ResetOffsetBody,
    "route": route.TopicRouteData,
    "running-info": admin_body.ConsumerRunningInfo,
    "subscription-group": admin_body.SubscriptionGroupConfig,
    "topic-stats": admin_body.TopicStatsTable,
}


@pytest.mark.parametrize("name", KINDS)
def test_bodies_of_java_come_back_byte_for_byte(name: str) -> None:
    data = (ROCKETMQ / f"{name}.json").read_bytes()
    assert KINDS[name].decode(data).encode() == data


def test_time_spans_keep_what_is_not_derived() -> None:
    spans = admin_body.QueryConsumeTimeSpanBody.decode((ROCKETMQ / "time-span.json").read_bytes())
    (span,) = spans.consume_time_span_set
    assert span == admin_body.QueueTimeSpan(
        message_queue=MessageQueue("TopicTest", "broker-a", 0),
        min_time_stamp=1,
        max_time_stamp=2,
        consume_time_stamp=3,
        delay_time=4,
    )


@pytest.mark.parametrize(
    "text",
    [
        '{"offsetTable":{{"brokerName":"b","queueId":1,"topic":"t"}:42}}',
        '{"offsetTable":[[{"brokerName":"b","queueId":"1","topic":"t"},"42"]]}',
    ],
    ids=["fastjson", "gson"],
)
def test_maps_by_queue_are_read_in_both_forms(text: str) -> None:
    assert ResetOffsetBody.decode(text).offset_table == {MessageQueue("t", "b", 1): 42}


def test_numbers_as_keys_may_be_quoted() -> None:
    for text in ('{"brokerAddrs":{0:"a",1:"b"}}', '{"brokerAddrs":{"0":"a","1":"b"}}'):
        assert route.BrokerData.decode(text).broker_addrs == {0: "a", 1: "b"}


def test_unknown_keys_nulls_and_missing_keys() -> None:
    beat = heartbeat.HeartbeatData.decode('{"clientID":"c","consumerDataSet":null,"news":[1]}')
    assert beat == heartbeat.HeartbeatData(client_id="c")


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        '{"topicName":{}}',
        '{"perm":"x"}',
        '{"perm":[1]}',
        '{"perm":99999999999999999999}',
        '{"perm":"' + "9" * 5000 + '"}',
        '{"perm":true}',
        '{"order":[]}',
        '{"attributes":[1]}',
        '{"attributes":{"a":{}}}',
    ],
)
def test_wrong_kinds_name_class_and_key(text: str) -> None:
    with pytest.raises(BodyFault, match="TopicConfig"):
        admin_body.TopicConfig.decode(text)


def test_a_queue_needs_all_its_parts() -> None:
    with pytest.raises(BodyFault, match=r"MessageQueue\.queueId is missing"):
        ResetOffsetBody.decode('{"offsetTable":{{"topic":"t","brokerName":"b"}:1}}')


def test_versions_are_ordered_by_state_then_counter_then_time() -> None:
    old = body.DataVersion(state_version=1, counter=5, timestamp=9)
    assert old.next(3, state_version=1).order > old.order
    assert body.DataVersion(state_version=2).order > old.order


ALL_HEADERS = [
    kind for name in headers.__all__ if name != "Header" and isinstance(kind := getattr(headers, name), type)
]


@pytest.mark.parametrize("kind", ALL_HEADERS, ids=lambda kind: kind.__name__)
def test_headers_round_trip_with_and_without_optional_fields(kind: type[headers.Header]) -> None:
    samples = {None: "text", "integer32": 7, "integer64": 7, "_read_boolean": True}
    for optional in (True, False):
        arguments = {
            name: samples[getattr(field.read, "__name__", None)]
            for name, field in zip(kind.__struct_fields__, fields_of(kind), strict=True)
            if optional or field.required
        }
        header = kind(**arguments)
        assert kind.decode(header.encode()) == header


@pytest.mark.parametrize("kind", ALL_HEADERS, ids=lambda kind: kind.__name__)
def test_each_required_field_is_missed_by_name(kind: type[headers.Header]) -> None:
    complete = {field.wire: "1" for field in fields_of(kind)}
    for field in fields_of(kind):
        if field.required:
            with pytest.raises(CommandError, match=f"the custom field <{field.wire}> is null") as caught:
                kind.decode({name: value for name, value in complete.items() if name != field.wire})
            assert caught.value.code == 1


@pytest.mark.parametrize(
    "value", ["", "x", "1_0", " 1", "1.0", "2147483648", "-2147483649", "9" * 5000, "٣", "0x1", "--1"]
)
def test_a_number_that_is_none(value: str) -> None:
    with pytest.raises(CommandError, match="<queueId> is not an int32"):
        headers.GetMaxOffsetRequestHeader.decode({"topic": "t", "queueId": value})


def test_numbers_to_the_edge() -> None:
    decode = headers.GetMaxOffsetRequestHeader.decode
    assert decode({"topic": "t", "queueId": "-2147483648"}).queue_id == -(2**31)
    assert decode({"topic": "t", "queueId": "+2147483647"}).queue_id == 2**31 - 1
    assert headers.GetMaxOffsetResponseHeader.decode({"offset": "-9223372036854775808"}).offset == -(2**63)


def test_booleans_are_javas() -> None:
    def committed(text: str) -> bool:
        fields = {"topic": "t", "queueId": "0", "committed": text}
        return headers.GetMaxOffsetRequestHeader.decode(fields).committed

    assert [committed(text) for text in ("true", "TRUE", "1", "yes", "false")] == [
        True,
        True,
        False,
        False,
        False,
    ]


def test_what_cpp_sends_back_is_enough() -> None:
    header = headers.ConsumerSendMsgBackRequestHeader.decode({"group": "g", "offset": "1", "delayLevel": "0"})
    assert (header.origin_topic, header.unit_mode, header.max_reconsume_times) == (None, False, None)


def test_long_and_short_send_headers_read_alike() -> None:
    short = headers.SendMessageRequestHeaderV2(
        producer_group="g",
        topic="t",
        default_topic="d",
        default_topic_queue_nums=4,
        queue_id=1,
        sys_flag=0,
        born_timestamp=5,
        flag=0,
        properties="p",
    )
    names = set(headers.SendMessageRequestHeader.__struct_fields__)
    assert names == set(short.__struct_fields__) - {"broker_name"}
    assert set(short.encode()) == set("abcdefghijkm")


def test_json_of_the_data_version_header() -> None:
    version = body.DataVersion(counter=1, timestamp=2)
    assert loads(version.encode()) == {"counter": 1, "stateVersion": 0, "timestamp": 2}
