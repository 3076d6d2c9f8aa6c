"""Administrative requests, asked through a socket."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trio

from remoting.client import RemotingClient
from remoting.command import RemotingCommand
from remoting.config import RemotingClientConfig
from remoting.json_dialect import ObjectKey, dumps, loads
from remoting.processors import ProcessorTable
from remoting.protocol.request_code import RequestCode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SEND = {
    "a": "p", "c": "TBW102", "d": 4, "f": 0, "g": 1_700_000_000_000, "h": 0, "i": "", "j": 0, "k": False,
    "m": False,
}  # fmt: skip
TOPIC = {
    "defaultTopic": "TBW102",
    "readQueueNums": 4,
    "writeQueueNums": 4,
    "perm": 6,
    "topicFilterType": "SINGLE_TAG",
    "topicSysFlag": 0,
    "order": False,
}


def queue(topic: str, queue_id: int) -> ObjectKey:
    return ObjectKey.of({"brokerName": "broker-a", "queueId": queue_id, "topic": topic})


@pytest.fixture
async def ask(tmp_path: Path, running_broker: Any, asking: Any) -> AsyncIterator[Any]:
    async with running_broker(tmp_path) as broker, asking(broker) as asker:
        yield asker


async def send(ask: Any, topic: str, count: int, queue_id: int = 0) -> None:
    for _ in range(count):
        answer = await ask(RequestCode.SEND_MESSAGE_V2, b"hello", b=topic, e=queue_id, **SEND)
        assert answer.code == 0


async def create_topic(ask: Any, topic: str, **changes: object) -> RemotingCommand:
    answer: RemotingCommand = await ask(
        RequestCode.UPDATE_AND_CREATE_TOPIC, topic=topic, **{**TOPIC, **changes}
    )
    return answer


async def test_a_topic_is_created_changed_shown_and_deleted(ask: Any, tmp_path: Path) -> None:
    assert (await create_topic(ask, "t", attributes="+message.type=FIFO")).code == 0
    on_disk = loads((tmp_path / "config" / "topics.json").read_text())
    assert on_disk["topicConfigTable"]["t"]["attributes"] == {"message.type": "FIFO"}
    assert (await create_topic(ask, "t", readQueueNums=8, attributes="-message.type")).code == 0
    shown = loads(bytes((await ask(RequestCode.GET_TOPIC_CONFIG, topic="t")).body))
    assert (shown["readQueueNums"], shown["writeQueueNums"], shown["attributes"]) == (8, 4, {})
    await send(ask, "t", 1)
    assert (await ask(RequestCode.DELETE_TOPIC_IN_BROKER, topic="t")).code == 0
    gone = await ask(RequestCode.GET_TOPIC_CONFIG, topic="t")
    assert (gone.code, gone.remark) == (17, "No topic in this broker. topic: t")
    assert not (tmp_path / "consumequeue" / "t").exists()


@pytest.mark.parametrize(
    ("topic", "changes", "code", "remark"),
    [
        ("TBW102", {}, 29, "The topic[TBW102] is conflict with system topic."),
        ("rmq_sys_x", {}, 29, "The topic[rmq_sys_x] is conflict with system topic."),
        ("broker-a", {}, 29, "The topic[broker-a] is conflict with system topic."),
        ("not a name", {}, 29, "contains illegal characters"),
        ("", {}, 29, "The specified topic is blank."),
        ("t", {"attributes": "+unknown=1"}, 1, "unsupported key: unknown"),
        ("t", {"attributes": "+message.type=MIXED"}, 29, "MIXED message type is not supported."),
        ("t", {"attributes": "message.type=FIFO"}, 1, "format is wrong"),
        ("t", {"perm": "many"}, 1, "perm"),
        ("t", {"perm": 99}, 29, "permission 99"),
        ("t", {"readQueueNums": -1}, 29, "-1 read queues"),
        ("t", {"readQueueNums": 2**31 - 1}, 29, "at most are 65536 queues"),
        ("t", {"topicFilterType": "ALL TAGS"}, 1, "topicFilterType = [ALL TAGS] value invalid"),
    ],
)
async def test_topics_that_cannot_be(
    ask: Any, topic: str, changes: dict[str, object], code: int, remark: str
) -> None:
    answer = await create_topic(ask, topic, **changes)
    assert answer.code == code
    assert remark in answer.remark
    assert "t" not in ask.broker.context.topics.table


async def test_a_missing_field_is_named(ask: Any) -> None:
    answer = await ask(RequestCode.UPDATE_AND_CREATE_TOPIC, topic="t", defaultTopic="TBW102")
    assert answer.code == 1
    assert "readQueueNums" in answer.remark


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"nonsense", b'{"topicConfigList":[{}]}'])
async def test_lists_with_bad_bodies_are_refused(ask: Any, body: bytes) -> None:
    for code in (
        RequestCode.UPDATE_AND_CREATE_TOPIC_LIST,
        RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST,
    ):
        answer = await ask(code, body.replace(b"topicConfig", b"groupConfig") if code == 225 else body)
        assert answer.code != 0
        assert answer.remark


async def test_lists_of_topics_and_groups_are_taken_whole(ask: Any) -> None:
    topics = {"topicConfigList": [{"topicName": "t1", "readQueueNums": 2}, {"topicName": "t2"}]}
    assert (await ask(RequestCode.UPDATE_AND_CREATE_TOPIC_LIST, dumps(topics))).code == 0
    everything = await ask(RequestCode.GET_ALL_TOPIC_CONFIG)
    table = loads(bytes(everything.body))["topicConfigTable"]
    assert {"t1", "t2", "SELF_TEST_TOPIC"} <= set(table)
    assert everything.ext_fields["totalTopicNum"] == str(len(table))
    groups = {"groupConfigList": [{"groupName": "g1"}, {"groupName": "g2", "retryMaxTimes": 1}]}
    assert (await ask(RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST, dumps(groups))).code == 0
    shown = loads(bytes((await ask(RequestCode.GET_ALL_SUBSCRIPTIONGROUP_CONFIG)).body))
    assert shown["subscriptionGroupTable"]["g2"]["retryMaxTimes"] == 1


async def test_tables_are_given_in_parts_to_who_asks_for_parts(ask: Any) -> None:
    first = await ask(RequestCode.GET_ALL_TOPIC_CONFIG, topicSeq=0, maxTopicNum=3)
    content = loads(bytes(first.body))
    assert len(content["topicConfigTable"]) == 3
    second = await ask(
        RequestCode.GET_ALL_TOPIC_CONFIG,
        topicSeq=3,
        maxTopicNum=3,
        dataVersion=dumps(content["dataVersion"]).decode(),
    )
    assert not set(loads(bytes(second.body))["topicConfigTable"]) & set(content["topicConfigTable"])


async def test_groups_are_created_shown_and_deleted_with_their_offsets(ask: Any) -> None:
    await send(ask, "t", 1)
    assert (await ask(RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, b'{"groupName":"g"}')).code == 0
    await ask(RequestCode.UPDATE_CONSUMER_OFFSET, consumerGroup="g", topic="t", queueId=0, commitOffset=1)
    answer = await ask(RequestCode.DELETE_SUBSCRIPTIONGROUP, groupName="g", cleanOffset=True)
    assert answer.code == 0
    assert ask.broker.context.offsets.query("g", "t", 0) == -1
    assert "g" not in ask.broker.context.groups.table
    refused = await ask(RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, b'{"groupName":"no name"}')
    assert refused.code == 29


async def test_positions_of_a_topic(ask: Any) -> None:
    await send(ask, "t", 3, queue_id=1)
    shown = loads(bytes((await ask(RequestCode.GET_TOPIC_STATS_INFO, topic="t")).body))
    assert set(shown["offsetTable"]) == {queue("t", each) for each in range(4)}
    position = shown["offsetTable"][queue("t", 1)]
    assert (position["minOffset"], position["maxOffset"]) == (0, 3)
    assert position["lastUpdateTimestamp"] > 1_600_000_000_000
    assert (await ask(RequestCode.GET_TOPIC_STATS_INFO, topic="none")).code == 17


async def test_progress_of_a_group(ask: Any) -> None:
    await send(ask, "t", 3)
    ask.broker.context.groups.find("g")
    await ask(RequestCode.UPDATE_CONSUMER_OFFSET, consumerGroup="g", topic="t", queueId=0, commitOffset=1)
    one = loads(bytes((await ask(RequestCode.GET_CONSUME_STATS, consumerGroup="g")).body))
    position = one["offsetTable"][queue("t", 0)]
    assert (position["brokerOffset"], position["consumerOffset"], position["pullOffset"]) == (3, 1, 1)
    assert position["lastTimestamp"] > 0
    everyone = loads(bytes((await ask(RequestCode.GET_BROKER_CONSUME_STATS, isOrder=False)).body))
    assert everyone["totalDiff"] == 2
    assert everyone["brokerAddr"] == ask.broker.address
    (stats,) = [each["g"] for each in everyone["consumeStatsList"] if "g" in each]
    assert stats[0]["offsetTable"][queue("t", 0)]["brokerOffset"] == 3
    span = loads(bytes((await ask(RequestCode.QUERY_CONSUME_TIME_SPAN, topic="t", group="g")).body))
    assert span["consumeTimeSpanSet"][0]["messageQueue"]["queueId"] == 0
    assert span["consumeTimeSpanSet"][0]["minTimeStamp"] > 0
    who = loads(bytes((await ask(RequestCode.QUERY_TOPIC_CONSUME_BY_WHO, topic="t")).body))
    assert who["groupList"] == ["g"]
    what = loads(bytes((await ask(RequestCode.QUERY_TOPICS_BY_CONSUMER, group="g")).body))
    assert what["topicList"] == ["t"]
    offsets = await ask(RequestCode.GET_ALL_CONSUMER_OFFSET)
    assert b'"t@g":{0:1}' in bytes(offsets.body)
    assert (await ask(RequestCode.GET_ALL_DELAY_OFFSET)).code == 0


async def test_offsets_are_reset_by_time_and_by_number(ask: Any) -> None:
    await send(ask, "t", 5)
    ask.broker.context.groups.find("g")
    await ask(RequestCode.UPDATE_CONSUMER_OFFSET, consumerGroup="g", topic="t", queueId=0, commitOffset=3)
    reset = await ask(
        RequestCode.INVOKE_BROKER_TO_RESET_OFFSET, group="g", topic="t", timestamp=0, isForce=True
    )
    assert loads(bytes(reset.body))["offsetTable"] == {queue("t", each): 0 for each in range(4)}
    assert ask.broker.context.offsets.query("g", "t", 0) == 0
    to_end = await ask(
        RequestCode.INVOKE_BROKER_TO_RESET_OFFSET, group="g", topic="t", timestamp=-1, isForce=True
    )
    assert loads(bytes(to_end.body))["offsetTable"][queue("t", 0)] == 5
    one = await ask(
        RequestCode.INVOKE_BROKER_TO_RESET_OFFSET,
        group="g", topic="t", timestamp=0, isForce=True, queueId=0, offset=2,
    )  # fmt: skip
    assert loads(bytes(one.body))["offsetTable"] == {queue("t", 0): 2}


@pytest.mark.parametrize(
    ("fields", "code", "remark"),
    [
        ({"topic": "none", "group": "g"}, 17, "Topic none does not exist"),
        ({"topic": "t", "group": "none"}, 26, "Group none does not exist"),
        ({"topic": "t", "group": "g", "queueId": 0, "offset": 99}, 1, "not in consume queue range"),
        ({"topic": "t", "group": "g", "queueId": 999, "offset": 0}, 1, "queueId[999] is illegal"),
    ],
)
async def test_offsets_that_cannot_be_reset(
    ask: Any, fields: dict[str, object], code: int, remark: str
) -> None:
    await send(ask, "t", 1)
    ask.broker.context.groups.find("g")
    answer = await ask(RequestCode.INVOKE_BROKER_TO_RESET_OFFSET, timestamp=0, isForce=True, **fields)
    assert answer.code == code
    assert remark in answer.remark


async def test_offsets_are_cloned(ask: Any) -> None:
    await send(ask, "t", 5)
    for group in ("g", "h"):
        ask.broker.context.groups.find(group)
    await ask(RequestCode.UPDATE_CONSUMER_OFFSET, consumerGroup="g", topic="t", queueId=0, commitOffset=3)
    assert (await ask(RequestCode.CLONE_GROUP_OFFSET, srcGroup="g", destGroup="h", offline=True)).code == 0
    assert ask.broker.context.offsets.query("h", "t", 0) == 3
    refused = await ask(RequestCode.CLONE_GROUP_OFFSET, srcGroup="g", destGroup="../h", offline=True)
    assert refused.code == 29
    assert set(ask.broker.context.offsets.to_json_object()["offsetTable"]) == {"t@g", "t@h"}


HEARTBEAT = {
    "clientID": "c1",
    "consumerDataSet": [
        {
            "consumeFromWhere": "CONSUME_FROM_LAST_OFFSET",
            "consumeType": "CONSUME_PASSIVELY",
            "groupName": "g",
            "messageModel": "CLUSTERING",
            "subscriptionDataSet": [
                {
                    "classFilterMode": False,
                    "codeSet": [],
                    "expressionType": "TAG",
                    "subString": "*",
                    "subVersion": 1,
                    "tagsSet": [],
                    "topic": "t",
                }
            ],
            "unitMode": False,
        }
    ],
    "producerDataSet": [{"groupName": "p"}],
}


@asynccontextmanager
async def consumer_of(ask: Any, table: ProcessorTable) -> AsyncIterator[Any]:
    """A consumer and producer `c1` that answers the broker's requests by `table`."""
    async with RemotingClient(RemotingClientConfig(), processors=table) as client:
        beat = RemotingCommand.request(RequestCode.HEART_BEAT, {}, dumps(HEARTBEAT))
        assert (await client.invoke(ask.address, beat, 5000)).code == 0
        yield client


async def test_connected_clients_are_shown(ask: Any) -> None:
    offline = await ask(RequestCode.GET_CONSUMER_CONNECTION_LIST, consumerGroup="g")
    assert offline.code == 206
    assert (await ask(RequestCode.GET_PRODUCER_CONNECTION_LIST, producerGroup="p")).code == 1
    async with consumer_of(ask, ProcessorTable()):
        shown = loads(bytes((await ask(RequestCode.GET_CONSUMER_CONNECTION_LIST, consumerGroup="g")).body))
        assert [each["clientId"] for each in shown["connectionSet"]] == ["c1"]
        assert shown["consumeType"] == "CONSUME_PASSIVELY"
        assert shown["subscriptionTable"]["t"]["subString"] == "*"
        producers = await ask(RequestCode.GET_PRODUCER_CONNECTION_LIST, producerGroup="p")
        assert loads(bytes(producers.body))["connectionSet"][0]["clientAddr"].startswith("127.0.0.1:")
        everyone = loads(bytes((await ask(RequestCode.GET_ALL_PRODUCER_INFO)).body))
        assert everyone["data"]["p"][0]["clientId"] == "c1"
        who = loads(bytes((await ask(RequestCode.QUERY_TOPIC_CONSUME_BY_WHO, topic="t")).body))
        assert who["groupList"] == ["g"]


async def test_questions_are_passed_on_to_a_consumer(ask: Any) -> None:
    table = ProcessorTable()

    def answer(_: Any, request: RemotingCommand) -> RemotingCommand:
        return request.response(0, None, {}, b'{"properties":{}}')

    def consume(_: Any, request: RemotingCommand) -> RemotingCommand:
        assert b"hello" in bytes(request.body)
        assert request.ext_fields["brokerName"] == "broker-a"
        return request.response(0, None, {}, b'{"consumeResult":"CR_SUCCESS"}')

    table.call([RequestCode.GET_CONSUMER_RUNNING_INFO], answer)
    table.call([RequestCode.CONSUME_MESSAGE_DIRECTLY], consume)
    sent = await ask(RequestCode.SEND_MESSAGE_V2, b"hello", b="t", e=0, **SEND)
    async with consumer_of(ask, table):
        info = await ask(RequestCode.GET_CONSUMER_RUNNING_INFO, consumerGroup="g", clientId="c1")
        assert (info.code, bytes(info.body)) == (0, b'{"properties":{}}')
        result = await ask(
            RequestCode.CONSUME_MESSAGE_DIRECTLY,
            consumerGroup="g",
            clientId="c1",
            msgId=sent.ext_fields["msgId"],
            topic="t",
        )
        assert b"CR_SUCCESS" in bytes(result.body)
        bad = await ask(
            RequestCode.CONSUME_MESSAGE_DIRECTLY, consumerGroup="g", clientId="c1", msgId="nonsense"
        )
        assert bad.code == 1
    other = await ask(RequestCode.GET_CONSUMER_RUNNING_INFO, consumerGroup="g", clientId="c2")
    assert (other.code, other.remark) == (1, "The Consumer <g> <c2> not online")


async def test_consumers_are_told_where_to_go_in_the_old_mode(ask: Any) -> None:
    ask.broker.config.use_server_side_reset_offset = False
    await send(ask, "t", 5)
    ask.broker.context.groups.find("g")
    for queue_id in range(4):
        ask.broker.context.offsets.commit("c", "g", "t", queue_id, 3 if queue_id == 0 else 0)
    question = {"group": "g", "topic": "t", "timestamp": 0, "isForce": True}
    assert (await ask(RequestCode.INVOKE_BROKER_TO_RESET_OFFSET, **question)).code == 206
    told: list[RemotingCommand] = []
    heard = trio.Event()
    table = ProcessorTable()

    def listen(_: Any, request: RemotingCommand) -> None:
        told.append(request)
        heard.set()

    table.call([RequestCode.RESET_CONSUMER_CLIENT_OFFSET], listen)
    async with consumer_of(ask, table):
        answer = await ask(RequestCode.INVOKE_BROKER_TO_RESET_OFFSET, **question)
        assert loads(bytes(answer.body))["offsetTable"][queue("t", 0)] == 0
        with trio.fail_after(5):
            await heard.wait()
        assert loads(bytes(told[0].body))["offsetTable"][queue("t", 0)] == 0
        heard = trio.Event()
        await ask(RequestCode.INVOKE_BROKER_TO_RESET_OFFSET, language="CPP", **question)
        with trio.fail_after(5):
            await heard.wait()
        listed = loads(bytes(told[1].body))["offsetTable"]
        assert {"brokerName": "broker-a", "offset": 0, "queueId": 0, "topic": "t"} in listed


RUNTIME_KEYS = [
    "bootTimestamp", "runtime", "brokerActive", "brokerVersion", "brokerVersionDesc",
    "msgPutTotalYesterdayMorning", "msgPutTotalTodayMorning", "msgPutTotalTodayNow",
    "msgGetTotalYesterdayMorning", "msgGetTotalTodayMorning", "msgGetTotalTodayNow", "putTps",
    "getTotalTps", "getFoundTps", "getMissTps", "getTransferredTps", "getTransferedTps",
    "putMessageTimesTotal", "putMessageSizeTotal", "putMessageDistributeTime",
    "putMessageAverageSize", "putMessageEntireTimeMax", "getMessageEntireTimeMax",
    "commitLogDiskRatio", "consumeQueueDiskRatio", "commitLogMinOffset", "commitLogMaxOffset",
    "commitLogDirCapacity", "dispatchBehindBytes", "dispatchMaxBuffer", "pageCacheLockTimeMills",
    "earliestMessageTimeStamp", "startAcceptSendRequestTimeStamp", "remainHowManyDataToFlush",
    "remainTransientStoreBufferNumbs", "sendThreadPoolQueueSize", "sendThreadPoolQueueCapacity",
    "sendThreadPoolQueueHeadWaitTimeMills", "pullThreadPoolQueueSize",
    "pullThreadPoolQueueCapacity", "pullThreadPoolQueueHeadWaitTimeMills",
    "litePullThreadPoolQueueSize", "litePullThreadPoolQueueCapacity",
    "litePullThreadPoolQueueHeadWaitTimeMills", "queryThreadPoolQueueSize",
    "queryThreadPoolQueueCapacity", "queryThreadPoolQueueHeadWaitTimeMills",
    "ackThreadPoolQueueSize", "ackThreadPoolQueueCapacity", "ackThreadPoolQueueHeadWaitTimeMills",
    "EndTransactionQueueSize", "EndTransactionThreadPoolQueueCapacity", "timerReadBehind",
    "timerOffsetBehind", "timerCongestNum", "timerEnqueueTps", "timerDequeueTps",
]  # fmt: skip


async def test_every_figure_that_tools_read_is_there(ask: Any) -> None:
    await send(ask, "t", 2)
    table = loads(bytes((await ask(RequestCode.GET_BROKER_RUNTIME_INFO)).body))["table"]
    assert set(RUNTIME_KEYS) <= set(table)
    assert all(isinstance(value, str) for value in table.values())
    assert table["brokerVersion"] == "479"
    assert table["msgPutTotalTodayNow"] == "2"
    assert len(table["putTps"].split(" ")) == 3


async def test_one_statistic(ask: Any) -> None:
    await send(ask, "t", 2)
    found = await ask(RequestCode.VIEW_BROKER_STATS_DATA, statsName="TOPIC_PUT_NUMS", statsKey="t")
    assert set(loads(bytes(found.body))) == {"statsDay", "statsHour", "statsMinute"}
    missing = await ask(RequestCode.VIEW_BROKER_STATS_DATA, statsName="TOPIC_PUT_NUMS", statsKey="u")
    assert (missing.code, missing.remark) == (1, "The stats <TOPIC_PUT_NUMS> <u> not exist")


async def test_the_configuration_is_shown_and_changed(ask: Any) -> None:
    shown = bytes((await ask(RequestCode.GET_BROKER_CONFIG)).body).decode()
    assert "brokerName=broker-a\n" in shown
    assert "mappedFileSizeCommitLog=1048576\n" in shown
    changed = await ask(RequestCode.UPDATE_BROKER_CONFIG, b"autoCreateTopicEnable=false\n")
    assert changed.code == 0
    assert loads(changed.ext_fields["version"])["counter"] == 1
    assert ask.broker.config.auto_create_topic_enable is False
    assert "autoCreateTopicEnable=false" in bytes((await ask(RequestCode.GET_BROKER_CONFIG)).body).decode()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"brokerConfigPath=/tmp/x\n", 16),
        (b"rocketmqHome=/tmp\n", 16),
        (b"configBlackList=\n", 16),
        (b"autoCreateTopicEnable=perhaps\n", 1),
        (b"autoCreateTopicEnabel=true\n", 1),
        (b"brokerPermission=99\n", 1),
        (b"", 0),
    ],
)
async def test_configuration_changes_that_cannot_be(ask: Any, body: bytes, code: int) -> None:
    answer = await ask(RequestCode.UPDATE_BROKER_CONFIG, body)
    assert answer.code == code
    assert ask.broker.config.broker_permission == 6


async def test_queues_of_forgotten_topics_are_cleaned(ask: Any, tmp_path: Path) -> None:
    await send(ask, "t", 1)
    ask.broker.context.topics.delete("t")
    for code in (
        RequestCode.CLEAN_EXPIRED_CONSUMEQUEUE,
        RequestCode.CLEAN_UNUSED_TOPIC,
        RequestCode.DELETE_EXPIRED_COMMITLOG,
    ):
        assert (await ask(code)).code == 0
    assert "t" not in ask.broker.context.store.topics()


async def test_a_consume_queue_is_shown(ask: Any) -> None:
    await send(ask, "t", 3)
    answer = await ask(RequestCode.QUERY_CONSUME_QUEUE, topic="t", queueId=0, index=1, count=5)
    shown = loads(bytes(answer.body))
    assert (shown["minQueueIndex"], shown["maxQueueIndex"]) == (0, 3)
    assert len(shown["queueData"]) == 2
    none = await ask(RequestCode.QUERY_CONSUME_QUEUE, topic="t", queueId=9, index=0, count=1)
    assert (none.code, none.remark) == (1, "9@t is not exist!")


async def test_system_topics_are_listed(ask: Any) -> None:
    topics = loads(bytes((await ask(RequestCode.GET_SYSTEM_TOPIC_LIST_FROM_BROKER)).body))["topicList"]
    assert {"TBW102", "broker-a", "DefaultCluster", "SCHEDULE_TOPIC_XXXX"} <= set(topics)


async def test_a_slave_refuses_changes(tmp_path: Path, running_broker: Any, asking: Any) -> None:
    async with running_broker(tmp_path, broker_id=1) as broker, asking(broker) as slave:
        answer = await create_topic(slave, "t")
        assert answer.code == 1
        assert "slave" in answer.remark
