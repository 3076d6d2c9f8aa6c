"""The topic and group tables, their files and the attributes of their entries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from memory_table import FakeClock, MemoryTable

from broker.attributes import TOPIC_ATTRIBUTES, altered
from broker.config import BrokerConfig
from broker.groups import PRESET_GROUPS, SubscriptionGroupManager
from broker.topics import TopicConfigManager
from remoting.errors import CommandError
from remoting.protocol.admin_body import SubscriptionGroupConfig, TopicConfig

if TYPE_CHECKING:
    from collections.abc import Collection


def make_topics(file: MemoryTable | None = None, **config: Any) -> TopicConfigManager:
    return TopicConfigManager(BrokerConfig(**config), file or MemoryTable(), clock_ms=FakeClock())  # type: ignore[arg-type]


def make_groups(file: MemoryTable | None = None, **config: Any) -> SubscriptionGroupManager:
    return SubscriptionGroupManager(BrokerConfig(**config), file or MemoryTable(), clock_ms=FakeClock())  # type: ignore[arg-type]


def shape(topic: TopicConfig | None) -> tuple[int, int, int]:
    assert topic is not None
    return topic.read_queue_nums, topic.write_queue_nums, topic.perm


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("SELF_TEST_TOPIC", (1, 1, 6)),
        ("TBW102", (8, 8, 7)),
        ("BenchmarkTest", (1024, 1024, 6)),
        ("c1", (16, 16, 7)),
        ("b1", (1, 1, 7)),
        ("OFFSET_MOVED_EVENT", (1, 1, 6)),
        ("SCHEDULE_TOPIC_XXXX", (18, 18, 6)),
        ("c1_REPLY_TOPIC", (1, 1, 6)),
        ("rmq_sys_REVIVE_LOG_c1", (8, 8, 6)),
        ("rmq_sys_SYNC_BROKER_MEMBER_b1", (1, 1, 1)),
        ("RMQ_SYS_TRANS_HALF_TOPIC", (1, 1, 6)),
        ("RMQ_SYS_TRANS_OP_HALF_TOPIC", (1, 1, 6)),
        ("rmq_sys_wheel_timer", (1, 1, 6)),
    ],
)
def test_a_new_broker_has_its_system_topics(name: str, expected: tuple[int, int, int]) -> None:
    topics = make_topics(broker_name="b1", broker_cluster_name="c1")
    assert shape(topics.get(name)) == expected
    assert topics.is_system(name)


def test_system_topics_of_one_broker_are_not_those_of_another() -> None:
    make_topics(broker_name="b1")
    assert not make_topics(broker_name="b2").is_system("b1")


def test_optional_system_topics_follow_the_configuration() -> None:
    topics = make_topics(auto_create_topic_enable=False, trace_topic_enable=True)
    assert topics.get("TBW102") is None
    assert topics.get("RMQ_SYS_TRACE_TOPIC") is not None


def test_a_send_creates_its_topic_after_the_example() -> None:
    topics, told = make_topics(), []

    def listen(changed: Collection[TopicConfig]) -> None:
        told.extend(changed)

    topics.on_change = listen
    before = topics.data_version
    created = topics.create_in_send("t", "TBW102", "10.0.0.1:5", 4, 0)
    assert shape(created) == (4, 4, 6)
    assert told == [created]
    assert topics.data_version.counter == before.counter + 1
    assert topics.create_in_send("t", "TBW102", "10.0.0.1:5", 16, 0) is created
    assert shape(topics.create_in_send("u", "TBW102", "10.0.0.1:5", 16, 0)) == (8, 8, 6)


def test_a_send_creates_no_topic_that_it_may_not() -> None:
    assert make_topics(auto_create_topic_enable=False).create_in_send("t", "TBW102", "c", 4, 0) is None
    assert make_topics().create_in_send("t", "nothing", "c", 4, 0) is None
    assert make_topics().create_in_send("t", "BenchmarkTest", "c", 4, 0) is None
    late = make_topics()
    late._config.auto_create_topic_enable = False
    assert late.create_in_send("t", "TBW102", "c", 4, 0) is None


async def test_topics_are_read_back_from_their_file() -> None:
    file = MemoryTable()
    topics = make_topics(file)
    topics.create_in_send_back("%RETRY%g", 1, 6)
    await topics.file.saved()
    again = make_topics(MemoryTable(file.text))
    again.load()
    assert again.table == topics.table
    assert again.data_version == topics.data_version
    assert not again.file.dirty


async def test_a_file_of_java_is_read() -> None:
    text = (
        '{\n\t"dataVersion":{\n\t\t"counter":3,\n\t\t"stateVersion":0,\n\t\t"timestamp":1\n\t},\n'
        '\t"topicConfigTable":{\n\t\t"T1":{\n\t\t\t"attributes":{},\n\t\t\t"order":false,\n\t\t\t"perm":6,\n'
        '\t\t\t"readQueueNums":4,\n\t\t\t"topicFilterType":"SINGLE_TAG",\n\t\t\t"topicName":"T1",\n'
        '\t\t\t"topicSysFlag":0,\n\t\t\t"writeQueueNums":4\n\t\t}\n\t}\n}'
    )
    topics = make_topics(MemoryTable(text))
    topics.load()
    assert shape(topics.get("T1")) == (4, 4, 6)
    assert topics.data_version.counter == 3


async def test_one_write_serves_everyone_who_waits() -> None:
    file = MemoryTable()
    topics = make_topics(file)
    for name in ("a", "b", "c"):
        topics.create_in_send(name, "TBW102", "c", 4, 0)
    await topics.file.saved()
    await topics.file.saved()
    assert file.writes == 1


def test_parts_of_the_table_come_in_order_and_start_again_after_a_change() -> None:
    topics = make_topics()
    names = sorted(topics.table)
    assert list(topics.part(topics.data_version, 2, 3)) == names[2:5]
    old = topics.data_version
    topics.create_in_send("t", "TBW102", "c", 4, 0)
    assert list(topics.part(old, 2, 3)) == sorted(topics.table)[:3]
    assert list(topics.part(None, 2, 3)) == sorted(topics.table)[:3]


def test_updates_are_all_or_nothing() -> None:
    topics = make_topics()
    good = TopicConfig(topic_name="a")
    bad = TopicConfig(topic_name="b", attributes={"+nonsense": "1"})
    with pytest.raises(CommandError, match="unsupported key: nonsense"):
        topics.update(good, bad)
    assert topics.get("a") is None


def test_ordered_topics_are_marked() -> None:
    topics = make_topics()
    topics.create_in_send("t", "TBW102", "c", 4, 0)
    topics.set_order_topics(["t", "unknown"])
    found = topics.get("t")
    assert found is not None
    assert found.order


@pytest.mark.parametrize(
    ("current", "requested", "result"),
    [
        (None, {"+message.type": "FIFO"}, {"message.type": "FIFO"}),
        ({}, {"+message.type": "FIFO"}, {"message.type": "FIFO"}),
        ({"message.type": "FIFO"}, {"-message.type": ""}, {}),
        ({"message.type": "FIFO"}, {}, {"message.type": "FIFO"}),
        ({"reserve.time": "5"}, {"+reserve.time": "-1"}, {"reserve.time": "-1"}),
        (None, {"+queue.type": "BatchCQ"}, {"queue.type": "BatchCQ"}),
    ],
)
def test_attributes_are_altered(
    current: dict[str, str] | None, requested: dict[str, str], result: dict[str, str]
) -> None:
    assert altered(TOPIC_ATTRIBUTES, current, requested) == result


@pytest.mark.parametrize(
    ("current", "requested", "remark"),
    [
        (None, {"-message.type": ""}, "only add attribute is supported while creating topic"),
        (None, {"message.type": "FIFO"}, "only add attribute is supported while creating topic"),
        ({}, {"message.type": "FIFO"}, "wrong format key"),
        ({}, {"-message.type": ""}, "attempt to delete a nonexistent key"),
        ({}, {"+message.type": "NONSENSE"}, "value is not in set"),
        ({}, {"+queue.type": "BatchCQ"}, "attempt to update an unchangeable attribute"),
        ({}, {"+reserve.time": "-2"}, "value is not in range"),
        ({}, {"+reserve.time": "soon"}, "is not a number"),
        ({}, {"+unknown": "1"}, "unsupported key"),
    ],
)
def test_wrong_attributes_are_refused(
    current: dict[str, str] | None, requested: dict[str, str], remark: str
) -> None:
    with pytest.raises(CommandError, match=remark) as refusal:
        altered(TOPIC_ATTRIBUTES, current, requested)
    assert refusal.value.code == 1


def test_preset_groups_are_there() -> None:
    assert set(PRESET_GROUPS) <= set(make_groups().table)


def test_unknown_groups_are_created_when_allowed() -> None:
    groups = make_groups()
    found = groups.find("g")
    assert found is not None
    assert (found.retry_max_times, found.retry_queue_nums, found.consume_enable) == (16, 1, True)
    assert groups.find("not a name") is None
    strict = make_groups(auto_create_subscription_group=False)
    assert strict.find("g") is None
    assert strict.find("CID_RMQ_SYS_x") is not None


async def test_groups_are_read_back_from_their_file() -> None:
    file = MemoryTable()
    groups = make_groups(file)
    groups.update(msgspec.structs.replace(SubscriptionGroupConfig(group_name="g"), retry_max_times=3))
    groups.delete("TOOLS_CONSUMER")
    await groups.file.saved()
    again = make_groups(MemoryTable(file.text))
    again.load()
    found = again.find("g")
    assert found is not None
    assert found.retry_max_times == 3


def test_what_is_forbidden_is_known_by_bit() -> None:
    groups = make_groups(MemoryTable('{"subscriptionGroupTable":{},"forbiddenTable":{"g":{"t":2}}}'))
    groups.load()
    assert groups.forbidden("g", "t", 1)
    assert not groups.forbidden("g", "t", 0)
    assert not groups.forbidden("g", "u", 1)
