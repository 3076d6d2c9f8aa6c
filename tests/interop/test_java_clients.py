"""Java's own client, 5.5.0: its quickstart programs and the scenarios of our driver."""

from __future__ import annotations

import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.interop.java import Driver, start_java
from tests.interop.wire import ask

if TYPE_CHECKING:
    from pathlib import Path

    from tests.interop.cluster import Cluster
    from tests.interop.peers import JavaPeer

QUERY_CONSUMER_OFFSET = 14
QUERY_NOT_FOUND = 22

Unique = Callable[[str], str]

# Longer than any of these should need; a machine with busy neighbours gets its time.
WAIT_MS = 30_000
# Messages that must not come get this long to come all the same.
QUIET_MS = 1_500


def bodies_of(messages: list[dict[str, Any]]) -> list[str]:
    return [message["body"] for message in messages]


def make_topic(driver: Driver, cluster: Cluster, topic: str, queues: int = 4) -> str:
    printed = driver.admin(
        "updateTopic", "-b", cluster.broker_address, "-t", topic, "-r", str(queues), "-w", str(queues)
    )
    assert f"create topic to {cluster.broker_address} success." in printed
    return topic


def test_the_quickstart_consumer_gets_what_the_quickstart_producer_sent(
    cluster: Cluster, java_peer: JavaPeer, new_home: Callable[[str], Path]
) -> None:
    with start_java(
        java_peer,
        "org.apache.rocketmq.example.quickstart.Producer",
        name="quickstart-producer",
        home=new_home("quickstart-producer"),
        name_server=cluster.name_server,
    ) as producer:
        assert producer.wait(60) == 0
        sent = re.findall(
            r"SendResult \[sendStatus=SEND_OK, msgId=(\w+),.* queueOffset=(\d+)", producer.text()
        )
        assert len(sent) == 1000, producer.tail()
        assert set(Counter(offset for _, offset in sent).values()) == {4}, "four queues, each filled in turn"
    with start_java(
        java_peer,
        "org.apache.rocketmq.example.quickstart.Consumer",
        name="quickstart-consumer",
        home=new_home("quickstart-consumer"),
        name_server=cluster.name_server,
    ) as consumer:
        consumer.wait_for_count("Receive New Messages", 1000, 60)
        # The UNIQ_KEY of a message is the id that its sender saw.
        received = re.findall(r"Receive New Messages: .*?UNIQ_KEY=(\w+)", consumer.text())
        assert Counter(received) == Counter(message_id for message_id, _ in sent), "each once"


def test_a_client_with_tls_uses_the_same_ports(
    cluster: Cluster, java_peer: JavaPeer, new_home: Callable[[str], Path], unique: Unique
) -> None:
    with start_java(
        java_peer,
        "org.apache.rocketmq.example.benchmark.Producer",
        *("-n", cluster.name_server, "-t", unique("Secret"), "-w", "1", "-s", "100", "-q", "50"),
        name="tls-producer",
        home=new_home("tls-producer"),
        heap=("-Xmx256m", "-Dtls.enable=true"),
    ) as producer:
        assert producer.wait(60) == 0
        complete = re.search(r"\[Complete\] Send Total: (\d+).*Send Failed: (\d+)", producer.text())
        assert complete, producer.tail()
        assert (int(complete[1]) > 0, complete[2]) == (True, "0")


def test_answers_name_queue_offset_and_both_message_ids(
    driver: Driver, cluster: Cluster, unique: Unique
) -> None:
    results = driver.call("send", topic=unique("Answers"), bodies=[f"b{i}" for i in range(8)])
    assert {result["status"] for result in results} == {"SEND_OK"}
    assert sorted((result["queueId"], result["queueOffset"]) for result in results) == [
        (queue, offset) for queue in range(4) for offset in range(2)
    ]
    assert len({result["msgId"] for result in results}) == 8
    port = int(cluster.broker_address.rpartition(":")[2])
    for result in results:
        store_host, commit_log_offset = result["offsetMsgId"][:16], result["offsetMsgId"][16:]
        assert store_host == f"7F000001{port:08X}", "the broker's own address"
        assert int(commit_log_offset, 16) >= 0


def test_a_message_arrives_with_everything_it_was_sent_with(driver: Driver, unique: Unique) -> None:
    topic = unique("Whole")
    body = "ä€\U0001f600 " + "x" * 5000  # compressed by the client
    (sent,) = driver.call(
        "send", topic=topic, bodies=[body], tags="TagA", keys="k1 k2", properties={"colour": "blå"}
    )
    (message,) = driver.call("pullAll", topic=topic, group=unique("whole"))
    assert message["body"] == body
    assert message["tags"] == "TagA"
    assert message["keys"] == "k1 k2"
    assert message["msgId"] == sent["msgId"]
    assert message["properties"]["colour"] == "blå"
    assert message["properties"]["CLUSTER"] == "DefaultCluster"
    assert message["bornTimestamp"] <= message["storeTimestamp"] + 1
    again = driver.call("viewMessage", topic=topic, group=unique("whole"), msgId=sent["offsetMsgId"])
    assert again["body"] == body


def test_asynchronous_and_oneway_sends_arrive(driver: Driver, unique: Unique) -> None:
    topic = unique("Async")
    results = driver.call("sendAsync", topic=topic, bodies=[f"a{i}" for i in range(200)])
    assert {result["status"] for result in results} == {"SEND_OK"}
    driver.call("consumeStart", name=topic, group=unique("async"), topic=topic)
    driver.call("sendOneway", topic=topic, bodies=[f"o{i}" for i in range(50)])
    received = driver.call("consumeWait", name=topic, count=250, timeoutMs=WAIT_MS)
    driver.call("consumeStop", name=topic)
    assert Counter(bodies_of(received)) == Counter(
        [f"a{i}" for i in range(200)] + [f"o{i}" for i in range(50)]
    )


def test_ordered_messages_are_consumed_in_order(driver: Driver, cluster: Cluster, unique: Unique) -> None:
    topic = make_topic(driver, cluster, unique("Ordered"))
    driver.call("consumeStart", name=topic, group=unique("ordered"), topic=topic, ordered=True)
    results = driver.call("sendOrdered", topic=topic, keys=8, perKey=25)
    assert {result["status"] for result in results} == {"SEND_OK"}
    received = driver.call("consumeWait", name=topic, count=200, timeoutMs=WAIT_MS)
    driver.call("consumeStop", name=topic)
    by_key = defaultdict(list)
    for body in bodies_of(received):
        key, _, number = body.partition(":")
        by_key[key].append(int(number))
    assert by_key == {str(key): list(range(25)) for key in range(8)}


def test_two_ordered_consumers_share_the_queues(driver: Driver, cluster: Cluster, unique: Unique) -> None:
    topic, group = make_topic(driver, cluster, unique("Locks")), unique("locks")
    names = [f"{topic}-{i}" for i in range(2)]
    for name in names:
        driver.call("consumeStart", name=name, group=group, topic=topic, ordered=True)
    expected = {f"{key}:{i}" for key in range(4) for i in range(30)}
    driver.call("sendOrdered", topic=topic, keys=4, perKey=30)
    deadline = time.monotonic() + WAIT_MS / 1000
    received: list[list[dict[str, Any]]] = [[], []]
    while time.monotonic() < deadline and {b for part in received for b in bodies_of(part)} != expected:
        received = [driver.call("consumeWait", name=name, count=120, timeoutMs=200) for name in names]
    for name in names:
        driver.call("consumeStop", name=name)
    assert {body for part in received for body in bodies_of(part)} == expected
    for part in received:
        by_key = defaultdict(list)
        for body in bodies_of(part):
            key, _, number = body.partition(":")
            by_key[key].append(int(number))
        for key, numbers in by_key.items():
            assert numbers == sorted(numbers), f"key {key} out of order"


def test_a_batch_is_stored_as_single_messages(driver: Driver, unique: Unique) -> None:
    topic = unique("Batch")
    result = driver.call("sendBatch", topic=topic, bodies=[f"m{i}" for i in range(50)], tags="T")
    assert result["status"] == "SEND_OK"
    assert len(result["offsetMsgId"].split(",")) == 50
    received = driver.call("pullAll", topic=topic, group=unique("batch"))
    assert bodies_of(received) == [f"m{i}" for i in range(50)]
    assert len({message["queueId"] for message in received}) == 1
    assert [message["queueOffset"] for message in received] == list(range(50))
    assert {message["tags"] for message in received} == {"T"}
    ids = result["offsetMsgId"].split(",")
    viewed = driver.call("viewMessage", topic=topic, group=unique("batch"), msgId=ids[7])
    assert viewed["body"] == "m7"


def test_tags_filter_what_a_consumer_gets(driver: Driver, unique: Unique) -> None:
    topic = unique("Tags")
    for tag in "ABC":
        driver.call("send", topic=topic, bodies=[f"{tag}{i}" for i in range(10)], tags=f"Tag{tag}")
    driver.call("consumeStart", name=topic, group=unique("tags"), topic=topic, expression="TagA || TagC")
    received = driver.call("consumeWait", name=topic, count=20, timeoutMs=WAIT_MS)
    driver.call("send", topic=topic, bodies=["B10"], tags="TagB")
    driver.call("send", topic=topic, bodies=["C10"], tags="TagC")
    received = driver.call("consumeWait", name=topic, count=21, timeoutMs=WAIT_MS)
    driver.call("consumeStop", name=topic)
    expected = [f"{tag}{i}" for tag in "AC" for i in range(10)] + ["C10"]
    assert Counter(bodies_of(received)) == Counter(expected)
    pulled = driver.call("pullAll", topic=topic, group=unique("tags"), expression="TagB")
    assert Counter(bodies_of(pulled)) == Counter([f"B{i}" for i in range(11)])


def test_each_broadcast_consumer_gets_everything(driver: Driver, cluster: Cluster, unique: Unique) -> None:
    topic, group = unique("Broadcast"), unique("broadcast")
    driver.call("send", topic=topic, bodies=["first"])
    names = [f"{topic}-{i}" for i in range(2)]
    for name in names:
        driver.call("consumeStart", name=name, group=group, topic=topic, broadcast=True)
    driver.call("send", topic=topic, bodies=[f"m{i}" for i in range(20)])
    expected = Counter(["first"] + [f"m{i}" for i in range(20)])
    for name in names:
        received = driver.call("consumeWait", name=name, count=21, timeoutMs=WAIT_MS)
        assert Counter(bodies_of(received)) == expected
        driver.call("consumeStop", name=name)
    for queue in range(4):
        question = {
            "consumerGroup": group,
            "topic": topic,
            "queueId": str(queue),
            "setZeroIfNotFound": "false",
        }
        answer = ask(cluster.broker_address, QUERY_CONSUMER_OFFSET, question)
        assert answer.code == QUERY_NOT_FOUND, "the offsets of a broadcast are the clients' affair"


def test_clustered_consumers_share_the_messages(driver: Driver, unique: Unique) -> None:
    topic, group = unique("Shared"), unique("shared")
    driver.call("send", topic=topic, bodies=["first"])
    names = [f"{topic}-{i}" for i in range(2)]
    for name in names:
        driver.call("consumeStart", name=name, group=group, topic=topic)
    # Both are in when the second has been told of and the first has given up queues.
    deadline = time.monotonic() + WAIT_MS / 1000
    parts: list[list[dict[str, Any]]] = [[], []]
    sent = ["first"]
    while time.monotonic() < deadline and not all(parts):
        batch = [f"m{len(sent) + i}" for i in range(40)]
        driver.call("send", topic=topic, bodies=batch)
        sent += batch
        parts = [driver.call("consumeWait", name=name, count=len(sent), timeoutMs=300) for name in names]
    while time.monotonic() < deadline and {b for part in parts for b in bodies_of(part)} != set(sent):
        parts = [driver.call("consumeWait", name=name, count=len(sent), timeoutMs=200) for name in names]
    for name in names:
        driver.call("consumeStop", name=name)
    assert all(parts), "each consumer has its share"
    assert {body for part in parts for body in bodies_of(part)} == set(sent)


def test_a_pull_consumer_reads_commits_and_asks_by_time(driver: Driver, unique: Unique) -> None:
    topic, group = unique("Pull"), unique("pull")
    results = driver.call("send", topic=topic, bodies=[f"m{i}" for i in range(40)])
    received = driver.call("pullAll", topic=topic, group=group)
    assert Counter(bodies_of(received)) == Counter(f"m{i}" for i in range(40))
    for queue in range(4):
        own = [message for message in received if message["queueId"] == queue]
        assert [message["queueOffset"] for message in own] == list(range(10))
    middle = max(message["storeTimestamp"] for message in received) + 1
    table = driver.call("offsets", topic=topic, group=group, timestamp=middle)
    assert [(queue["min"], queue["max"]) for queue in table] == [(0, 10)] * 4
    assert [queue["atTime"] for queue in table] == [10] * 4, "later than all is the end"
    table = driver.call("offsets", topic=topic, group=group, timestamp=1_000_000_000_000)
    assert [queue["atTime"] for queue in table] == [0] * 4, "earlier than all is the start"
    driver.call("commit", topic=topic, group=group, queueId=2, offset=7)
    table = driver.call("offsets", topic=topic, group=group)
    assert table[2]["committed"] == 7
    assert {result["status"] for result in results} == {"SEND_OK"}


def test_pull_status_beside_the_range_of_a_queue(driver: Driver, unique: Unique) -> None:
    topic, group = unique("Range"), unique("range")
    driver.call("send", topic=topic, bodies=[f"m{i}" for i in range(8)])
    at_end = driver.call("pullOnce", topic=topic, group=group, queueId=0, offset=2)
    assert (at_end["status"], at_end["nextBeginOffset"]) == ("NO_NEW_MSG", 2)
    beyond = driver.call("pullOnce", topic=topic, group=group, queueId=0, offset=100)
    assert (beyond["status"], beyond["nextBeginOffset"]) == ("OFFSET_ILLEGAL", 2)


def test_lite_pull_by_subscription_and_by_assignment(driver: Driver, unique: Unique) -> None:
    topic, group = unique("Lite"), unique("lite")
    driver.call("send", topic=topic, bodies=[f"m{i}" for i in range(40)])
    received = driver.call("litePull", topic=topic, group=group, count=40, timeoutMs=WAIT_MS)
    assert Counter(bodies_of(received)) == Counter(f"m{i}" for i in range(40))
    committed = [queue["committed"] for queue in driver.call("offsets", topic=topic, group=group)]
    assert committed == [10] * 4
    assigned = driver.call(
        "litePull", topic=topic, group=unique("lite"), assign=True, seek=5, count=20, timeoutMs=WAIT_MS
    )
    assert {(message["queueId"], message["queueOffset"]) for message in assigned} == {
        (queue, offset) for queue in range(4) for offset in range(5, 10)
    }


def test_a_delayed_message_comes_when_it_is_due(driver: Driver, unique: Unique) -> None:
    topic = unique("Delayed")
    driver.call("send", topic=topic, bodies=["now"])
    driver.call("consumeStart", name=topic, group=unique("delayed"), topic=topic)
    driver.call("consumeWait", name=topic, count=1, timeoutMs=WAIT_MS)
    results = driver.call("send", topic=topic, bodies=[f"later{i}" for i in range(5)], delayLevel=1)
    assert {result["status"] for result in results} == {"SEND_OK"}
    received = driver.call("consumeWait", name=topic, count=6, timeoutMs=WAIT_MS)
    driver.call("consumeStop", name=topic)
    assert Counter(bodies_of(received)) == Counter(["now"] + [f"later{i}" for i in range(5)])
    for message in received[1:]:
        assert message["topic"] == topic
        delay = message["receivedAt"] - message["bornTimestamp"]
        assert 990 <= delay <= 3_000, f"{delay} ms instead of 1000"


def test_a_failed_message_is_retried_and_ends_in_the_dead_letter_queue(
    driver: Driver, cluster: Cluster, unique: Unique
) -> None:
    topic, group = unique("Retry"), unique("retry")
    make_retry_topic(driver, cluster, group)
    driver.call("send", topic=topic, bodies=["bad"], tags="T", keys="k")
    driver.call(
        "consumeStart",
        name=topic,
        group=group,
        topic=topic,
        failures=99,
        retryDelayLevel=1,
        maxReconsumeTimes=2,
    )
    received = driver.call("consumeWait", name=topic, count=3, timeoutMs=WAIT_MS)
    assert [message["reconsumeTimes"] for message in received] == [0, 1, 2]
    assert {message["topic"] for message in received} == {topic}
    assert len({message["properties"].get("UNIQ_KEY") for message in received}) == 1
    dead = f"%DLQ%{group}"
    dead_messages = await_messages_of(driver, dead, unique("dead"), 1)
    assert bodies_of(dead_messages) == ["bad"]
    assert dead_messages[0]["properties"]["RETRY_TOPIC"] == topic
    assert dead_messages[0]["tags"] == "T"
    assert len(driver.call("consumeWait", name=topic, count=4, timeoutMs=QUIET_MS)) == 3
    driver.call("consumeStop", name=topic)


def make_retry_topic(driver: Driver, cluster: Cluster, group: str) -> None:
    """Makes a group look like one that is not new.

    A Java consumer that made its retry topic by its own first heartbeat may find the way to it only with the
    next look at the routes, half a minute later.
    """
    make_topic(driver, cluster, f"%RETRY%{group}", queues=1)


def await_messages_of(driver: Driver, topic: str, group: str, count: int) -> list[dict[str, Any]]:
    """All messages of a topic that may be created yet, as soon as there are `count`."""
    deadline = time.monotonic() + WAIT_MS / 1000
    while True:
        # A client remembers for a while that a topic has no route; a new group asks anew.
        try:
            found: list[dict[str, Any]] = driver.call("pullAll", topic=topic, group=group)
        except Exception:
            if time.monotonic() > deadline:
                raise
            found = []
        if len(found) >= count or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def test_a_message_that_fails_once_comes_again_once(driver: Driver, cluster: Cluster, unique: Unique) -> None:
    topic, group = unique("Once"), unique("once")
    make_retry_topic(driver, cluster, group)
    driver.call("send", topic=topic, bodies=[f"m{i}" for i in range(5)])
    driver.call("consumeStart", name=topic, group=group, topic=topic, failures=1, retryDelayLevel=1)
    received = driver.call("consumeWait", name=topic, count=10, timeoutMs=WAIT_MS)
    received = driver.call("consumeWait", name=topic, count=11, timeoutMs=QUIET_MS)
    driver.call("consumeStop", name=topic)
    assert Counter((m["body"], m["reconsumeTimes"]) for m in received) == Counter(
        (f"m{i}", times) for i in range(5) for times in range(2)
    )


def test_an_offset_reset_by_time_delivers_again_from_there(driver: Driver, unique: Unique) -> None:
    topic, group = unique("Reset"), unique("reset")
    driver.call("send", topic=topic, bodies=[f"old{i}" for i in range(8)])
    driver.call("consumeStart", name=topic, group=group, topic=topic)
    old = driver.call("consumeWait", name=topic, count=8, timeoutMs=WAIT_MS)
    border = max(message["storeTimestamp"] for message in old) + 5
    while time.time() * 1000 <= border:
        time.sleep(0.005)
    driver.call("send", topic=topic, bodies=[f"new{i}" for i in range(8)])
    assert len(driver.call("consumeWait", name=topic, count=16, timeoutMs=WAIT_MS)) == 16
    printed = driver.admin("resetOffsetByTime", "-g", group, "-t", topic, "-s", str(border))
    rows = [line.split() for line in printed.splitlines() if line.startswith("broker-a")]
    assert sorted((int(row[1]), int(row[2])) for row in rows) == [(queue, 2) for queue in range(4)], printed
    received = driver.call("consumeWait", name=topic, count=24, timeoutMs=WAIT_MS)
    received = driver.call("consumeWait", name=topic, count=25, timeoutMs=QUIET_MS)
    driver.call("consumeStop", name=topic)
    assert Counter(bodies_of(received[16:])) == Counter(f"new{i}" for i in range(8))


def test_a_new_group_reads_from_where_it_asks(driver: Driver, unique: Unique) -> None:
    topic = unique("Where")
    driver.call("send", topic=topic, bodies=[f"m{i}" for i in range(8)])
    driver.call(
        "consumeStart",
        name=topic,
        group=unique("first"),
        topic=topic,
        startFrom="CONSUME_FROM_FIRST_OFFSET",
    )
    received = driver.call("consumeWait", name=topic, count=8, timeoutMs=WAIT_MS)
    driver.call("consumeStop", name=topic)
    assert Counter(bodies_of(received)) == Counter(f"m{i}" for i in range(8))


def test_large_and_oversized_messages(driver: Driver, unique: Unique) -> None:
    topic = unique("Large")
    (sent,) = driver.call("send", topic=topic, bodies=["z" * 3_900_000])
    assert sent["status"] == "SEND_OK"
    (message,) = driver.call("pullAll", topic=topic, group=unique("large"))
    assert len(message["body"]) == 3_900_000
