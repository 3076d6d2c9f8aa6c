"""Our `mqadmin` against a Java name server and broker: it does what Java's does, and prints the same."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING

import attrs
import pytest

from tests.interop.cluster import Cluster, JavaCluster
from tests.interop.java import Driver
from tests.interop.our_mqadmin import run_mqadmin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.interop.peers import JavaPeer

WAIT_MS = 60_000
WAIT_S = WAIT_MS // 1000 + 10
TOPIC, GROUP = "OurAdminScene", "our_admin_scene"


@attrs.frozen
class Scene:
    """A Java cluster with a topic of four queues, two messages each, consumed by a group that is online."""

    cluster: Cluster
    driver: Driver
    results: list[dict[str, str]]

    def ours(self, *arguments: str, code: int = 0) -> str:
        """Runs our `mqadmin` as scripts do; returns its standard output, fails on another exit code."""
        return run_mqadmin(*arguments, name_server=self.cluster.name_server, code=code)

    def java(self, *arguments: str) -> str:
        """Runs Java's command; without the blank lines that its logging puts before."""
        return self.driver.admin(*arguments).lstrip("\n")


@pytest.fixture(scope="module")
def scene(java_peer: JavaPeer, new_home: Callable[[str], Path]) -> Iterator[Scene]:
    cluster = JavaCluster(java_peer, new_home("java-for-our-admin"))
    try:
        cluster.start()
        with Driver(
            java_peer, home=new_home("driver-for-our-admin"), name_server=cluster.name_server
        ) as driver:
            half = Scene(cluster, driver, [])
            half.ours("updateTopic", "-b", cluster.broker_address, "-t", TOPIC, "-r", "4", "-w", "4")
            bodies = [f"m{number}" for number in range(8)]
            driver.call("consumeStart", name="admin", group=GROUP, topic=TOPIC)
            results = driver.call("send", topic=TOPIC, bodies=bodies, tags="TagA", keys="key1")
            assert (
                len(driver.call("consumeWait", timeout_s=WAIT_S, name="admin", count=8, timeoutMs=WAIT_MS))
                == 8
            )
            _wait_for_offsets(half)
            yield attrs.evolve(half, results=results)
    finally:
        cluster.close()


def _wait_for_offsets(scene: Scene) -> None:
    """The group's offsets arrive after some seconds; from then on commands print the same about it."""
    deadline = time.monotonic() + WAIT_S
    offsets: list[int] = []
    while offsets != [2] * 4:
        assert time.monotonic() < deadline, offsets
        progress = json.loads(scene.ours("consumerProgress", "-g", GROUP, "--json"))
        offsets = [queue["consumerOffset"] for queue in progress["queues"] if queue["topic"] == TOPIC]


def _lines(text: str) -> list[str]:
    return sorted(line.rstrip() for line in text.splitlines())


def _changing(text: str) -> str:
    """Without what differs from one moment to the next: figures, times, the order of Java's hash maps."""
    text = re.sub(r"\{[^{}]*=[^{}]*\}", lambda found: str(sorted(found[0].strip("{}").split(", "))), text)
    return re.sub(r"Message Body Path: .*|Consume TPS: .*|\d+-\d+\(|\d+\.\d+", "", text)


@pytest.mark.parametrize(
    "arguments",
    [
        ("topicRoute", "-t", TOPIC),
        ("topicRoute", "-t", TOPIC, "-l"),
        ("topicStatus", "-t", TOPIC),
        ("topicClusterList", "-t", TOPIC),
        ("consumerProgress", "-g", GROUP),
        ("consumerProgress", "-g", GROUP, "-s", "true"),
        ("consumerConnection", "-g", GROUP),
        ("clusterList",),
        ("clusterList", "-m"),
        ("getNamesrvConfig",),
        ("topicList",),
        ("topicList", "-c"),
        ("queryMsgByKey", "-t", TOPIC, "-k", "key1"),
        ("printMsg", "-t", TOPIC),
        ("printMsg", "-t", TOPIC, "-s", "TagB"),
        ("queryMsgByOffset", "-t", TOPIC, "-b", "broker-a", "-i", "1", "-o", "0"),
    ],
    ids=" ".join,
)
def test_prints_what_java_prints(scene: Scene, arguments: tuple[str, ...]) -> None:
    assert _lines(_changing(scene.ours(*arguments))) == _lines(_changing(scene.java(*arguments)))


@pytest.mark.parametrize("command", ["brokerStatus", "getBrokerConfig"])
def test_prints_the_same_keys_as_java(scene: Scene, command: str) -> None:
    arguments = (command, "-b", scene.cluster.broker_address)

    def keys(text: str) -> list[str]:
        return sorted(re.split(r"[:=]", line)[0].strip() for line in text.splitlines() if line)

    assert keys(scene.ours(*arguments)) == keys(scene.java(*arguments))


def test_messages_are_found_by_both_ids(scene: Scene) -> None:
    sent = scene.results[3]
    for command, id_name in (
        ("queryMsgById", "offsetMsgId"),
        ("queryMsgById", "msgId"),
        ("queryMsgByUniqueKey", "msgId"),
    ):
        arguments = (command, "-t", TOPIC, "-i", sent[id_name])
        ours, java = scene.ours(*arguments), scene.java(*arguments)
        assert _lines(_changing(ours)) == _lines(_changing(java))
        assert f"consumerGroup={GROUP}, trackType=CONSUMED" in ours


def test_a_topic_comes_and_goes(scene: Scene) -> None:
    printed = scene.ours(
        "updateTopic",
        "-c",
        scene.cluster.name,
        "-t",
        "OurTopic",
        "-r",
        "2",
        "-w",
        "2",
        "-a",
        "+message.type=FIFO",
    )
    assert f"create topic to {scene.cluster.broker_address} success.\n" in printed
    route = json.loads(scene.ours("topicRoute", "-t", "OurTopic", "--json"))
    assert route["queueDatas"][0]["writeQueueNums"] == 2
    deleted = scene.ours("deleteTopic", "-c", scene.cluster.name, "-t", "OurTopic")
    assert "delete topic [OurTopic] from NameServer success.\n" in deleted
    assert "no name server has a route for topic OurTopic" in scene.ours(
        "topicRoute", "-t", "OurTopic", code=1
    )


def test_a_group_comes_and_goes(scene: Scene) -> None:
    address = scene.cluster.broker_address
    policy = '{"type":"EXPONENTIAL","exponentialRetryPolicy":{"initial":5000,"max":7200000,"multiplier":2}}'
    arguments = (
        "updateSubGroup",
        "-b",
        address,
        "-g",
        "OurGroup",
        "-r",
        "3",
        "-p",
        policy,
        "--attributes",
        "",
    )
    assert scene.ours(*arguments).rstrip() == scene.java(*arguments).rstrip()
    deleted = scene.ours("deleteSubGroup", "-b", address, "-g", "OurGroup", "-r", "true")
    assert deleted == f"delete subscription group [OurGroup] from broker [{address}] success.\n"


def test_configuration_changes_arrive(scene: Scene) -> None:
    address = scene.cluster.broker_address
    scene.ours("updateBrokerConfig", "-b", address, "-k", "deleteWhen", "-v", "05")
    assert json.loads(scene.ours("getBrokerConfig", "-b", address, "--json"))[address]["deleteWhen"] == "05"
    refused = scene.ours("updateBrokerConfig", "-b", address, "-k", "brokerConfigPath", "-v", "x", code=1)
    assert "code 16" in refused
    scene.ours("updateNamesrvConfig", "-k", "waitSecondsForService", "-v", "46")
    configs = json.loads(scene.ours("getNamesrvConfig", "--json"))
    assert configs[scene.cluster.name_server]["waitSecondsForService"] == "46"
    scene.ours("updateKvConfig", "-s", "NS", "-k", "a", "-v", "b")
    scene.ours("deleteKvConfig", "-s", "NS", "-k", "a")


def test_write_permission_goes_and_comes_back(scene: Scene) -> None:
    def permission() -> int:
        route = json.loads(scene.ours("topicRoute", "-t", TOPIC, "--json"))
        return int(route["queueDatas"][0]["perm"])

    assert "] OK, " in scene.ours("wipeWritePerm", "-b", "broker-a")
    assert permission() == 4
    assert "] OK, " in scene.ours("addWritePerm", "-b", "broker-a")
    assert permission() == 6


def test_a_sent_message_is_read_again(scene: Scene) -> None:
    scene.ours("updateTopic", "-b", scene.cluster.broker_address, "-t", "OurMessages", "-r", "2", "-w", "2")
    body = "grüße " + "x" * 5000  # large enough to travel compressed
    sent = json.loads(
        scene.ours(
            "sendMessage",
            "-t",
            "OurMessages",
            "-p",
            body,
            "-k",
            "k1 k2",
            "-c",
            "TagZ",
            "-b",
            "broker-a",
            "-i",
            "1",
            "--json",
        )
    )
    assert (sent["sendStatus"], sent["queueId"], sent["queueOffset"]) == ("SEND_OK", 1, 0)
    (read,) = [
        json.loads(line)
        for line in scene.ours("consumeMessage", "-t", "OurMessages", "-c", "5", "--json").splitlines()
    ]
    assert (read["msgId"], read["body"], read["keys"], read["tags"]) == (sent["msgId"], body, "k1 k2", "TagZ")
    assert sent["msgId"] in scene.java("queryMsgByKey", "-t", "OurMessages", "-k", "k2")
    assert f"BODY: {body}" in scene.java("printMsg", "-t", "OurMessages")


def test_offsets_move_for_online_and_offline_groups(scene: Scene) -> None:
    address = scene.cluster.broker_address
    printed = scene.ours("resetOffsetByTime", "-g", GROUP, "-t", TOPIC, "-s", "1000")
    assert [line.split() for line in printed.splitlines()[2:]] == [
        ["broker-a", str(each), "0"] for each in range(4)
    ]
    scene.driver.call("consumeWait", timeout_s=WAIT_S, name="admin", count=16, timeoutMs=WAIT_MS)
    scene.ours("updateSubGroup", "-b", address, "-g", "OurOffline")
    one = scene.ours(
        "resetOffsetByTime", "-g", "OurOffline", "-t", TOPIC, "-s", "now", "-b", address, "-q", "2", "-o", "1"
    )
    assert "reset consumer offset to 1\n" in one


def test_nobody_listens_there(scene: Scene) -> None:
    refused = scene.ours("brokerStatus", "-b", "127.0.0.1:1", code=1)
    assert refused.startswith("mqadmin: brokerStatus: ")
    assert len(refused.splitlines()) == 1
