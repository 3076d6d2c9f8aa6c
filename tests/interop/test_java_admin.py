"""Java's `MQAdminStartup` 5.5.0: what its commands print about the cluster under test."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs
import pytest

from tests.interop.java import Driver, start_java

if TYPE_CHECKING:
    from pathlib import Path

    from tests.interop.cluster import Cluster
    from tests.interop.peers import JavaPeer

Unique = Callable[[str], str]

WAIT_MS = 30_000


@attrs.frozen
class Scene:
    """A topic of four queues with two messages each, all consumed by an online group."""

    topic: str
    group: str
    results: list[dict[str, object]]
    stored_between: tuple[int, int]


@pytest.fixture(scope="module")
def scene(driver: Driver, cluster: Cluster) -> Scene:
    topic, group = "AdminScene", "admin_scene"
    driver.admin("updateTopic", "-b", cluster.broker_address, "-t", topic, "-r", "4", "-w", "4")
    begin = int(time.time() * 1000)
    results = driver.call("send", topic=topic, bodies=[f"m{i}" for i in range(8)], tags="TagA", keys="key1")
    end = int(time.time() * 1000)
    driver.call("consumeStart", name="admin", group=group, topic=topic)
    assert len(driver.call("consumeWait", name="admin", count=8, timeoutMs=WAIT_MS)) == 8
    return Scene(topic, group, results, (begin, end))


def rows_of(printed: str, first_cell: str) -> list[list[str]]:
    """The cells of the lines that begin with `first_cell`."""
    return [line.split() for line in printed.splitlines() if line.split()[:1] == [first_cell]]


def values_of(printed: str, separator: str) -> dict[str, str]:
    """The `key<separator>value` lines."""
    pairs = (line.split(separator, 1) for line in printed.splitlines() if separator in line)
    return {key.strip(): value.strip() for key, value in pairs}


def wait_for_output(driver: Driver, accept: Callable[[str], bool], *command: str) -> str:
    """Repeats a command until its output is accepted: offsets and statistics arrive every few seconds."""
    deadline = time.monotonic() + WAIT_MS / 1000
    while True:
        printed = driver.admin(*command)
        if accept(printed):
            return printed
        assert time.monotonic() < deadline, f"{' '.join(command)} goes on printing:\n{printed}"
        time.sleep(0.2)


def test_mqadmin_as_its_own_program(
    cluster: Cluster, java_peer: JavaPeer, new_home: Callable[[str], Path]
) -> None:
    with start_java(
        java_peer,
        "org.apache.rocketmq.tools.command.MQAdminStartup",
        "clusterList",
        "-n",
        cluster.name_server,
        name="mqadmin",
        home=new_home("mqadmin"),
    ) as program:
        assert program.wait(60) == 0
        assert rows_of(program.text(), cluster.name)[0][:4] == [
            cluster.name,
            cluster.broker_name,
            "0",
            cluster.broker_address,
        ]


def test_cluster_list(driver: Driver, cluster: Cluster) -> None:
    printed = driver.admin("clusterList")
    (row,) = rows_of(printed, cluster.name)
    assert row[:4] == [cluster.name, cluster.broker_name, "0", cluster.broker_address]
    assert re.fullmatch(r"V\d+_\d+_\d+", row[4])
    assert re.fullmatch(r"\d+\.\d\d\(\d+,\d+ms\)", row[5]), printed
    assert re.fullmatch(r"\d+\.\d\d\(\d+,\d+ms\|\d+,\d+ms\)", row[6]), printed
    assert row[-1] == "true", "the broker is active"


def test_topic_list(driver: Driver, cluster: Cluster, scene: Scene) -> None:
    topics = driver.admin("topicList").split()
    assert {scene.topic, "TBW102", "SCHEDULE_TOPIC_XXXX", f"%RETRY%{scene.group}"} <= set(topics)
    assert cluster.name in topics
    assert cluster.broker_name in topics
    with_groups = driver.admin("topicList", "-c")
    assert [cluster.name, scene.topic, scene.group] in rows_of(with_groups, cluster.name)


def test_topic_route(driver: Driver, cluster: Cluster, scene: Scene) -> None:
    printed = driver.admin("topicRoute", "-t", scene.topic)
    route = json.loads(re.sub(r"^(\s*)(\d+):", r'\1"\2":', printed, flags=re.MULTILINE))
    (broker,) = route["brokerDatas"]
    assert broker["brokerAddrs"] == {"0": cluster.broker_address}
    assert (broker["brokerName"], broker["cluster"]) == (cluster.broker_name, cluster.name)
    (queues,) = route["queueDatas"]
    assert (queues["readQueueNums"], queues["writeQueueNums"], queues["perm"]) == (4, 4, 6)


def test_topic_route_of_an_unknown_topic(driver: Driver) -> None:
    printed = driver.admin("topicRoute", "-t", "NobodyMadeThis")
    assert "CODE: 17  DESC: No topic route info in name server for the topic: NobodyMadeThis" in printed


def test_topic_status(driver: Driver, cluster: Cluster, scene: Scene) -> None:
    printed = driver.admin("topicStatus", "-t", scene.topic)
    rows = rows_of(printed, cluster.broker_name)
    assert [[int(cell) for cell in row[1:4]] for row in rows] == [[queue, 0, 2] for queue in range(4)]
    today = time.strftime("%Y-%m-%d", time.localtime(scene.stored_between[0] / 1000))
    assert {row[4] for row in rows} == {today}
    assert "Topic Put TPS: " in printed


def test_update_topic_makes_and_changes_a_topic(driver: Driver, cluster: Cluster, unique: Unique) -> None:
    topic = unique("Made")
    printed = driver.admin(
        "updateTopic", "-b", cluster.broker_address, "-t", topic, "-r", "2", "-w", "3", "-p", "6"
    )
    assert f"create topic to {cluster.broker_address} success." in printed
    assert f"TopicConfig [topicName={topic}, readQueueNums=2, writeQueueNums=3, perm=RW-" in printed
    assert '"writeQueueNums":3' in driver.admin("topicRoute", "-t", topic)
    printed = driver.admin("updateTopic", "-c", cluster.name, "-t", topic, "-r", "8", "-w", "8", "-p", "4")
    assert f"create topic to {cluster.broker_address} success." in printed
    route = wait_for_output(driver, lambda text: '"writeQueueNums":8' in text, "topicRoute", "-t", topic)
    assert '"perm":4' in route


def test_update_topic_refuses_names_of_the_system(driver: Driver, cluster: Cluster) -> None:
    printed = driver.admin(
        "updateTopic", "-b", cluster.broker_address, "-t", "bad topic!", "-r", "1", "-w", "1"
    )
    assert "success" not in printed
    printed = driver.admin("updateTopic", "-b", cluster.broker_address, "-t", "TBW102", "-r", "1", "-w", "1")
    assert "success" not in printed
    assert "CODE: 29" in printed or "CODE: 1 " in printed, printed


def test_delete_topic(driver: Driver, cluster: Cluster, unique: Unique) -> None:
    topic = unique("Doomed")
    driver.call("send", topic=topic, bodies=["m"])
    assert topic in driver.admin("topicList").split()
    printed = driver.admin("deleteTopic", "-c", cluster.name, "-t", topic)
    assert f"delete topic [{topic}] from cluster [{cluster.name}] success." in printed
    assert f"delete topic [{topic}] from NameServer success." in printed
    assert topic not in driver.admin("topicList").split()
    assert "CODE: 17" in driver.admin("topicRoute", "-t", topic)


def test_update_and_delete_subscription_group(driver: Driver, cluster: Cluster, unique: Unique) -> None:
    group = unique("made_group")
    printed = driver.admin("updateSubGroup", "-b", cluster.broker_address, "-g", group, "-r", "7", "-q", "2")
    assert f"create subscription group to {cluster.broker_address} success." in printed
    assert f"SubscriptionGroupConfig{{groupName={group}, consumeEnable=true" in printed
    assert "retryQueueNums=2, retryMaxTimes=7" in printed
    config = values_of(driver.admin("getConsumerConfig", "-g", group), "=  ")
    assert (config["retryQueueNums"], config["retryMaxTimes"]) == ("2", "7")
    printed = driver.admin("updateSubGroup", "-c", cluster.name, "-g", group, "-s", "false")
    assert f"create subscription group to {cluster.broker_address} success." in printed
    printed = driver.admin("deleteSubGroup", "-b", cluster.broker_address, "-g", group)
    assert f"delete subscription group [{group}] from broker [{cluster.broker_address}] success." in printed


def wait_for_offsets(driver: Driver, scene: Scene) -> str:
    """What consumerProgress prints when the group's offsets of all queues have arrived."""

    def arrived(text: str) -> bool:
        return len(rows_of(text, scene.topic)) == 4 and "Consume Diff Total: 0" in text

    return wait_for_output(driver, arrived, "consumerProgress", "-g", scene.group)


def test_consumer_progress(driver: Driver, cluster: Cluster, scene: Scene) -> None:
    printed = wait_for_offsets(driver, scene)
    rows = rows_of(printed, scene.topic)
    assert [[int(cell) for cell in row[2:7]] for row in rows] == [[queue, 2, 2, 0, 0] for queue in range(4)]
    assert {row[1] for row in rows} == {cluster.broker_name}
    assert "Consume Inflight Total: 0" in printed
    (row,) = rows_of(driver.admin("consumerProgress"), scene.group)
    assert row[1] == "1", "one member"
    assert row[3:5] == ["PUSH", "CLUSTERING"]
    assert row[6] == "0", "nothing left"


def test_consumer_connection(driver: Driver, scene: Scene) -> None:
    printed = driver.admin("consumerConnection", "-g", scene.group)
    (member,) = [line.split() for line in printed.splitlines() if "@admin" in line]
    assert member[1].startswith("127.0.0.1:")
    assert member[2:] == ["JAVA", "V5_5_0"]
    assert [scene.topic, "*"] in [line.split() for line in printed.splitlines()]
    assert [f"%RETRY%{scene.group}", "*"] in [line.split() for line in printed.splitlines()]
    assert "ConsumeType: CONSUME_PASSIVELY" in printed
    assert "MessageModel: CLUSTERING" in printed
    assert "ConsumeFromWhere: CONSUME_FROM_FIRST_OFFSET" in printed


def test_consumer_connection_of_a_group_that_is_not_online(
    driver: Driver, cluster: Cluster, unique: Unique
) -> None:
    topic, group = unique("Offline"), unique("offline")
    driver.call("send", topic=topic, bodies=["m"])
    driver.call("consumeStart", name=group, group=group, topic=topic)
    driver.call("consumeWait", name=group, count=1, timeoutMs=WAIT_MS)
    driver.call("consumeStop", name=group)
    printed = driver.admin("consumerConnection", "-g", group)
    assert f"CODE: 206  DESC: the consumer group[{group}] not online" in printed


def test_producer_connection(driver: Driver, scene: Scene) -> None:
    printed = driver.admin("producerConnection", "-g", "driver_producers", "-t", scene.topic)
    (row,) = rows_of(printed, "0001")
    assert row[1].endswith("@driver-driver_producers")
    assert row[3:] == ["JAVA", "V5_5_0"]


def test_consumer_status_asks_the_client(driver: Driver, scene: Scene) -> None:
    printed = driver.admin("consumerStatus", "-g", scene.group)
    assert re.search(r"@admin\s+V5_5_0", printed), printed


def test_broker_status(driver: Driver, cluster: Cluster, scene: Scene) -> None:
    table = values_of(driver.admin("brokerStatus", "-b", cluster.broker_address), ": ")
    assert table["brokerActive"] == "true"
    assert re.fullmatch(r"V\d+_\d+_\d+", table["brokerVersionDesc"])
    assert int(table["msgPutTotalTodayNow"]) >= len(scene.results)
    assert int(table["commitLogMaxOffset"]) > int(table["commitLogMinOffset"]) == 0
    assert int(table["putMessageTimesTotal"]) >= len(scene.results)
    assert int(table["bootTimestamp"]) <= scene.stored_between[0]
    assert 0 < float(table["commitLogDiskRatio"]) < 1
    assert re.fullmatch(r"Total : .+, Free : .+\.", table["commitLogDirCapacity"])
    for key in ("putTps", "getTotalTps", "getTransferredTps", "getFoundTps", "getMissTps"):
        assert all(float(number) >= 0 for number in table[key].split()), key
    for pool in ("send", "pull", "query"):
        assert int(table[f"{pool}ThreadPoolQueueCapacity"]) > 0
        assert int(table[f"{pool}ThreadPoolQueueSize"]) >= 0


def test_broker_config_is_read_and_changed(driver: Driver, cluster: Cluster) -> None:
    def config() -> dict[str, str]:
        return values_of(driver.admin("getBrokerConfig", "-b", cluster.broker_address), "=  ")

    before = config()
    assert before["brokerName"] == cluster.broker_name
    assert before["listenPort"] == cluster.broker_address.rpartition(":")[2]
    assert before["brokerIP1"] == "127.0.0.1"
    assert before["mappedFileSizeCommitLog"] == str(64 << 20)
    changed = str(int(before["flushIntervalCommitLog"]) + 1)
    printed = driver.admin(
        "updateBrokerConfig", "-b", cluster.broker_address, "-k", "flushIntervalCommitLog", "-v", changed
    )
    assert f"update broker config success, {cluster.broker_address}" in printed
    assert config()["flushIntervalCommitLog"] == changed


def test_keys_on_the_black_list_are_not_changed(driver: Driver, cluster: Cluster) -> None:
    printed = driver.admin(
        "updateBrokerConfig", "-b", cluster.broker_address, "-k", "brokerConfigPath", "-v", "/tmp/x"
    )
    assert "CODE: 16  DESC: Can not update config in black list." in printed


def assert_is_first_message(printed: str, scene: Scene, cluster: Cluster) -> None:
    (first,) = [result for result in scene.results if (result["queueId"], result["queueOffset"]) == (1, 0)]
    table = values_of(printed, ":  ")
    assert table.get("OffsetID", first["offsetMsgId"]) == first["offsetMsgId"], "not every command prints it"
    assert table["Topic"] == scene.topic
    assert (table["Tags"], table["Keys"]) == ("[TagA]", "[key1]")
    assert (table["Queue ID"], table["Queue Offset"]) == ("1", "0")
    assert int(table["CommitLog Offset"]) == int(str(first["offsetMsgId"])[16:], 16)
    assert table["Reconsume Times"] == "0"
    assert table["Store Host"] == cluster.broker_address
    assert f"UNIQ_KEY={first['msgId']}" in table["Properties"]
    assert f"MessageTrack [consumerGroup={scene.group}, trackType=CONSUMED" in printed


@pytest.fixture
def of_first_queue(scene: Scene) -> dict[str, object]:
    return next(result for result in scene.results if (result["queueId"], result["queueOffset"]) == (1, 0))


@pytest.fixture
def consumed(driver: Driver, scene: Scene) -> None:
    """The group's offsets have arrived: the trace of a message says CONSUMED only then."""
    wait_for_offsets(driver, scene)


@pytest.mark.usefixtures("consumed")
def test_query_message_by_id(
    driver: Driver, cluster: Cluster, scene: Scene, of_first_queue: dict[str, object]
) -> None:
    printed = driver.admin("queryMsgById", "-t", scene.topic, "-i", str(of_first_queue["offsetMsgId"]))
    assert_is_first_message(printed, scene, cluster)


@pytest.mark.usefixtures("consumed")
def test_query_message_by_unique_key(
    driver: Driver, cluster: Cluster, scene: Scene, of_first_queue: dict[str, object]
) -> None:
    printed = driver.admin("queryMsgByUniqueKey", "-t", scene.topic, "-i", str(of_first_queue["msgId"]))
    assert_is_first_message(printed, scene, cluster)


@pytest.mark.usefixtures("consumed")
def test_query_message_by_offset(driver: Driver, cluster: Cluster, scene: Scene) -> None:
    printed = driver.admin(
        "queryMsgByOffset", "-t", scene.topic, "-b", cluster.broker_name, "-i", "1", "-o", "0"
    )
    assert_is_first_message(printed, scene, cluster)


def test_query_message_by_key(driver: Driver, scene: Scene) -> None:
    printed = driver.admin("queryMsgByKey", "-t", scene.topic, "-k", "key1")
    found = {
        (cells[0], int(cells[1]), int(cells[2]))
        for cells in (line.split() for line in printed.splitlines())
        if len(cells) >= 3 and cells[1].isdigit()
    }
    assert found == {(result["msgId"], result["queueId"], result["queueOffset"]) for result in scene.results}
    assert "CODE: 208" in driver.admin("queryMsgByKey", "-t", scene.topic, "-k", "nobody-used-this-key")


def test_print_message(driver: Driver, scene: Scene) -> None:
    printed = driver.admin("printMsg", "-t", scene.topic, "-d", "true")
    assert set(re.findall(r"^MSGID: (\w+) ", printed, re.MULTILINE)) == {
        result["msgId"] for result in scene.results
    }
    assert set(re.findall(r"BODY: (m\d)$", printed, re.MULTILINE)) == {f"m{i}" for i in range(8)}
    ranges = re.findall(r"minOffset=(\d+), maxOffset=(\d+), MessageQueue \[.* queueId=(\d)\]", printed)
    assert sorted(ranges) == sorted(("0", "2", str(queue)) for queue in range(4))


def test_reset_offset_by_time_of_an_offline_group(driver: Driver, cluster: Cluster, unique: Unique) -> None:
    topic, group = unique("ResetOffline"), unique("reset_offline")
    driver.call("send", topic=topic, bodies=[f"m{i}" for i in range(8)])
    driver.call("consumeStart", name=group, group=group, topic=topic)
    driver.call("consumeWait", name=group, count=8, timeoutMs=WAIT_MS)
    driver.call("consumeStop", name=group)
    printed = driver.admin("resetOffsetByTime", "-g", group, "-t", topic, "-s", "0")
    assert f"start reset consumer offset by specified, group[{group}], topic[{topic}], force[true]" in printed
    assert sorted(row[1:3] for row in rows_of(printed, cluster.broker_name)) == [
        [str(q), "0"] for q in range(4)
    ]
    progress = driver.admin("consumerProgress", "-g", group)
    assert "Consume Diff Total: 8" in progress
    printed = driver.admin("resetOffsetByTime", "-g", group, "-t", topic, "-s", "-1")
    assert sorted(row[1:3] for row in rows_of(printed, cluster.broker_name)) == [
        [str(q), "2"] for q in range(4)
    ]


def test_queries_of_the_consume_queue(driver: Driver, cluster: Cluster, scene: Scene) -> None:
    printed = driver.admin(
        "queryCq", "-t", scene.topic, "-q", "0", "-i", "0", "-c", "3", "-b", cluster.broker_address
    )
    assert "max: 2, min: 0" in printed
    assert (
        len(re.findall(r"ConsumeQueueData\{physicOffset=\d+, physicSize=\d+, tagsCode=2598919", printed)) == 2
    )


@pytest.mark.parametrize("command", ["cleanExpiredCQ", "cleanUnusedTopic", "deleteExpiredCommitLog"])
def test_housekeeping_commands(driver: Driver, cluster: Cluster, scene: Scene, command: str) -> None:
    assert "success" in driver.admin(command, "-b", cluster.broker_address)
    assert scene.topic in driver.admin("topicList").split(), "what is used stays"


def test_statistics_of_all_topics(driver: Driver, scene: Scene) -> None:
    (row,) = rows_of(driver.admin("statsAll", "-t", scene.topic), scene.topic)
    assert row[1] == scene.group


def test_name_server_commands(driver: Driver, cluster: Cluster) -> None:
    config = values_of(driver.admin("getNamesrvConfig"), "=  ")
    assert config["listenPort"] == cluster.name_server.rpartition(":")[2]
    wiped = driver.admin("wipeWritePerm", "-b", cluster.broker_name)
    given = driver.admin("addWritePerm", "-b", cluster.broker_name)
    assert re.search(
        rf"wipe write perm of broker\[{cluster.broker_name}\] in name server\[.*\] OK, \d+", wiped
    )
    assert re.search(
        rf"add write perm of broker\[{cluster.broker_name}\] in name server\[.*\] OK, \d+", given
    )


def test_order_configuration(driver: Driver, unique: Unique) -> None:
    topic = unique("OrderConf")
    assert "success" in driver.admin("updateOrderConf", "-t", topic, "-v", "broker-a:4", "-m", "put")
    assert "broker-a:4" in driver.admin("updateOrderConf", "-t", topic, "-m", "get")
    assert "success" in driver.admin("updateOrderConf", "-t", topic, "-m", "delete")
