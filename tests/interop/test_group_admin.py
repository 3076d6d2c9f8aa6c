"""`mqadmin` on groups, figures and times of sends: ours and Java's, each against brokers of both kinds."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING

import attrs
import pytest

from tests.interop.cluster import Cluster, JavaCluster, OurCluster
from tests.interop.java import Driver
from tests.interop.our_mqadmin import run_mqadmin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.interop.peers import JavaPeer

WAIT_MS = 60_000
WAIT_S = WAIT_MS // 1000 + 10
TOPIC, GROUP, COPY = "GroupAdminScene", "group_admin_scene", "group_admin_copy"
MESSAGES = 8


@attrs.frozen
class Scene:
    """A topic of four queues whose messages two members of a group have consumed, and a group to move."""

    cluster: Cluster
    driver: Driver
    home: Path

    def ours(self, *arguments: str, code: int = 0) -> str:
        """Runs our `mqadmin` as scripts do; returns its standard output, fails on another exit code."""
        return run_mqadmin(*arguments, name_server=self.cluster.name_server, code=code, cwd=self.home)

    def java(self, *arguments: str) -> str:
        """Runs Java's command; without the blank lines that its logging puts before."""
        return self.driver.admin(*arguments).lstrip("\n")


@pytest.fixture(scope="module", params=["java", "ours"])
def scene(
    request: pytest.FixtureRequest, java_peer: JavaPeer, new_home: Callable[[str], Path]
) -> Iterator[Scene]:
    home = new_home(f"{request.param}-for-group-admin")
    cluster: Cluster = JavaCluster(java_peer, home) if request.param == "java" else OurCluster(home)
    try:
        cluster.start()
        driver_home = new_home("driver-for-group-admin")
        with Driver(java_peer, home=driver_home, name_server=cluster.name_server) as driver:
            scene = Scene(cluster, driver, home)
            scene.ours("updateTopic", "-b", cluster.broker_address, "-t", TOPIC, "-r", "4", "-w", "4")
            scene.ours("updateSubGroup", "-b", cluster.broker_address, "-g", COPY)
            driver.call("consumeStart", name="first", group=GROUP, topic=TOPIC)
            driver.call(
                "send", topic=TOPIC, bodies=[f"m{n}" for n in range(MESSAGES)], tags="TagA", keys="key1"
            )
            driver.call("consumeWait", timeout_s=WAIT_S, name="first", count=MESSAGES, timeoutMs=WAIT_MS)
            yield scene
    finally:
        cluster.close()


def _same(text: str) -> list[str]:
    """The lines without what differs from one moment to the next."""
    text = re.sub(r"\{[^{}]*=[^{}]*\}", lambda found: str(sorted(found[0].strip("{}").split(", "))), text)
    text = re.sub(r"last(Pull|Consume|Lock)Timestamp=\d+|^\d+ +(?=\S+@)|\d{13}(?=/)", "_", text, flags=re.M)
    text = re.sub(r" +\d+\.\d\d(?= )|rt=\d+ms", " _", text)
    text = re.sub(r"\w+sgId=\w+, |queueId=\d+\], queueOffset=\d+|Avg RT: .*", "", text)
    text = re.sub(r"^(broker-a .* true ).*", r"\1", text, flags=re.M)
    return sorted(line.rstrip() for line in text.splitlines() if line.strip())


@pytest.mark.parametrize(
    "arguments",
    [
        ("consumerStatus", "-g", GROUP),
        ("statsAll",),
        ("statsAll", "-t", TOPIC),
        (
            "printMsgByQueue",
            "-t",
            TOPIC,
            "-a",
            "broker-a",
            "-i",
            "1",
            "-p",
            "true",
            "-d",
            "true",
            "-f",
            "true",
        ),
        ("printMsgByQueue", "-t", TOPIC, "-a", "broker-a", "-i", "2", "-s", "TagA", "-p", "true", "-b", "0"),
        ("skipAccumulatedMessage", "-g", COPY, "-t", TOPIC),
        ("sendMsgStatus", "-b", "broker-a", "-c", "3", "-s", "64"),
    ],
    ids=" ".join,
)
def test_prints_what_java_prints(scene: Scene, arguments: tuple[str, ...]) -> None:
    assert _same(scene.ours(*arguments)) == _same(scene.java(*arguments))


def test_how_far_groups_are_is_the_same_for_both(scene: Scene) -> None:
    """The driver's commands share one JVM, in which Java's works once only."""
    deadline = time.monotonic() + WAIT_S
    ours = ""
    while ours.count(f" {GROUP} ") < 4:  # the consumer's offsets arrive after some seconds
        assert time.monotonic() < deadline, ours
        ours = scene.ours("brokerConsumeStats", "-b", scene.cluster.broker_address)
    assert _same(ours) == _same(scene.java("brokerConsumeStats", "-b", scene.cluster.broker_address))


def test_a_consumer_tells_what_it_is_doing(scene: Scene) -> None:
    (connected,) = json.loads(scene.ours("consumerConnection", "-g", GROUP, "--json"))["connections"]
    arguments = ("consumerStatus", "-g", GROUP, "-i", connected["clientId"])
    assert _same(scene.ours(*arguments)) == _same(scene.java(*arguments))
    printed = scene.ours("consumerStatus", "-g", GROUP, "-s").splitlines()
    written = (scene.home / printed[1].split()[3]).read_text()
    assert "#Consumer jstack#\n" in written
    assert "java.lang.Thread" in written
    refused = scene.ours("consumerStatus", "-g", GROUP, "-i", "nobody", code=1)
    assert "The Consumer <" in refused
    assert "> <nobody> not online" in refused


def test_offsets_go_from_group_to_group(scene: Scene) -> None:
    def offsets(group: str) -> dict[int, int]:
        found = json.loads(scene.ours("consumerProgress", "-g", group, "-t", TOPIC, "--json"))
        return {each["queueId"]: each["consumerOffset"] for each in found["queues"] if each["topic"] == TOPIC}

    queue = ("resetOffsetByTime", "-g", COPY, "-t", TOPIC, "-s", "now", "-b", scene.cluster.broker_address)
    for by in (scene.ours, scene.java):
        scene.ours(*queue, "-q", "1", "-o", "0")
        # A reset that no pull has heard of yet makes the broker ignore commits.
        by("consumeMessage", "-t", TOPIC, "-g", COPY, "-c", "1", "-b", "broker-a", "-i", "1")
        printed = by("cloneGroupOffset", "-s", GROUP, "-d", COPY, "-t", TOPIC)
        assert printed.rstrip() == (
            f"clone group offset success. srcGroup[{GROUP}], destGroup=[{COPY}], topic[{TOPIC}]"
        )
        assert offsets(COPY) == offsets(GROUP)
    refused = scene.ours("cloneGroupOffset", "-s", GROUP, "-d", "nobody", "-t", TOPIC, code=1)
    assert "answered code 26" in refused


def test_times_of_sends(scene: Scene) -> None:
    ours = scene.ours("checkMsgSendRT", "-t", "broker-a", "-a", "3")
    assert _same(ours) == _same(scene.java("checkMsgSendRT", "-t", "broker-a", "-a", "3"))
    (line,) = scene.ours("clusterRT", "-a", "3", "-i", "0", "--rounds", "1", "--json").splitlines()
    measured = json.loads(line)
    assert (measured["brokerName"], measured["successCount"], measured["failCount"]) == ("broker-a", 3, 0)
