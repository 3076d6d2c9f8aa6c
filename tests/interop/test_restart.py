"""What stays when consumers or the broker are stopped in good order and started again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.interop.java import Driver

if TYPE_CHECKING:
    from pathlib import Path

    from tests.interop.cluster import Cluster
    from tests.interop.conftest import ClusterMaker
    from tests.interop.peers import JavaPeer

Unique = Callable[[str], str]

WAIT_MS = 40_000
QUIET_MS = 1_500


def bodies_of(messages: list[dict[str, Any]]) -> list[str]:
    return [message["body"] for message in messages]


def test_a_restarted_consumer_gets_nothing_twice(driver: Driver, unique: Unique) -> None:
    topic, group = unique("ConsumerRestart"), unique("consumer_restart")
    driver.call("send", topic=topic, bodies=[f"first{i}" for i in range(40)])
    driver.call("consumeStart", name=topic, group=group, topic=topic)
    driver.call("consumeWait", name=topic, count=40, timeoutMs=WAIT_MS)
    first = driver.call("consumeStop", name=topic)
    assert Counter(bodies_of(first)) == Counter(f"first{i}" for i in range(40))
    driver.call("send", topic=topic, bodies=[f"second{i}" for i in range(40)])
    driver.call("consumeStart", name=topic, group=group, topic=topic)
    driver.call("consumeWait", name=topic, count=40, timeoutMs=WAIT_MS)
    driver.call("consumeWait", name=topic, count=41, timeoutMs=QUIET_MS)
    second = driver.call("consumeStop", name=topic)
    assert Counter(bodies_of(second)) == Counter(f"second{i}" for i in range(40))


def test_a_restarted_broker_keeps_messages_offsets_topics_and_what_is_delayed(
    new_cluster: ClusterMaker, java_peer: JavaPeer, new_home: Callable[[str], Path]
) -> None:
    cluster = new_cluster()
    with Driver(java_peer, home=new_home("driver"), name_server=cluster.name_server) as driver:
        before(driver, cluster)
        code = cluster.stop_broker()
        assert code in (0, 143), "143 is Java's way to say SIGTERM"
        cluster.start()
        after(driver, cluster)


def before(driver: Driver, cluster: Cluster) -> None:
    driver.admin("updateTopic", "-b", cluster.broker_address, "-t", "Kept", "-r", "3", "-w", "3")
    driver.admin("updateSubGroup", "-b", cluster.broker_address, "-g", "kept_group", "-r", "5")
    driver.call("send", topic="Kept", bodies=[f"m{i}" for i in range(30)], tags="T", keys="kept")
    driver.call("consumeStart", name="kept", group="kept_group", topic="Kept")
    assert len(driver.call("consumeWait", name="kept", count=30, timeoutMs=WAIT_MS)) == 30
    driver.call("consumeStop", name="kept")
    driver.call("send", topic="Kept", bodies=[f"left{i}" for i in range(9)])
    # Level 3 is ten seconds: due after the restart has begun.
    driver.call("send", topic="Kept", bodies=["delayed"], delayLevel=3)


def after(driver: Driver, cluster: Cluster) -> None:
    # The consumer that was gone before the restart finds its place.
    driver.call("consumeStart", name="kept", group="kept_group", topic="Kept")
    driver.call("consumeWait", name="kept", count=10, timeoutMs=WAIT_MS)
    driver.call("consumeWait", name="kept", count=11, timeoutMs=QUIET_MS)
    left = driver.call("consumeStop", name="kept")
    assert Counter(bodies_of(left)) == Counter([f"left{i}" for i in range(9)] + ["delayed"])
    assert '"writeQueueNums":3' in driver.admin("topicRoute", "-t", "Kept")
    assert "retryMaxTimes                           =  5" in driver.admin(
        "getConsumerConfig", "-g", "kept_group"
    )
    everything = driver.call("pullAll", topic="Kept", group="kept_readers")
    assert len(everything) == 40
    for queue in range(3):
        offsets = [message["queueOffset"] for message in everything if message["queueId"] == queue]
        assert offsets == list(range(len(offsets)))
    found = driver.admin("queryMsgByKey", "-t", "Kept", "-k", "kept")
    assert len([line for line in found.splitlines() if line.split()[1:2] and line.split()[1].isdigit()]) == 30
    (sent,) = driver.call("send", topic="Kept", bodies=["later"])
    own = [message for message in everything if message["queueId"] == sent["queueId"]]
    assert sent["queueOffset"] == len(own), "queues go on where they were"
    assert "later" in bodies_of(driver.call("pullAll", topic="Kept", group="kept_readers"))
