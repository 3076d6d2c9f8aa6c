"""Our `mqadmin` where it changes a Java cluster: it prints what Java's prints, and the same is done."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import attrs
import pytest

from tests.interop.cluster import Cluster, JavaCluster, broker_settings
from tests.interop.java import Driver, start_java_server
from tests.interop.our_mqadmin import run_mqadmin
from tests.ports import lease_broker_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.interop.peers import JavaPeer

TOPIC = "OurAdminChanges"
JAVA_CONTAINER = "org.apache.rocketmq.container.BrokerContainerStartup"


@attrs.frozen
class Scene:
    """A Java cluster with a topic of four queues, and Java's own command for comparison."""

    cluster: Cluster
    driver: Driver

    def ours(self, *arguments: str, code: int = 0) -> str:
        """What our `mqadmin` prints, to standard error if it is to end with another code than 0."""
        return run_mqadmin(*arguments, name_server=self.cluster.name_server, code=code)

    def java(self, *arguments: str) -> str:
        return self.driver.admin(*arguments).strip("\n")


@pytest.fixture(scope="module")
def scene(java_peer: JavaPeer, new_home: Callable[[str], Path]) -> Iterator[Scene]:
    cluster = JavaCluster(java_peer, new_home("java-for-our-changes"))
    try:
        cluster.start()
        home = new_home("driver-for-our-changes")
        with Driver(java_peer, home=home, name_server=cluster.name_server) as driver:
            scene = Scene(cluster, driver)
            scene.ours("updateTopic", "-b", cluster.broker_address, "-t", TOPIC, "-r", "4", "-w", "4")
            yield scene
    finally:
        cluster.close()


def test_permissions_change_and_change_back(scene: Scene) -> None:
    for target in (("-b", scene.cluster.broker_address), ("-c", scene.cluster.name)):
        arguments = ("updateTopicPerm", *target, "-t", TOPIC, "-p")
        ours = scene.ours(*arguments, "4")
        assert _permission(scene) == 4
        java = scene.java(*arguments, "6")
        assert _permission(scene) == 6
        assert ours.rstrip("\n") == java.replace("from 4 to 6", "from 6 to 4").replace("RW-", "R--")
    same = ("updateTopicPerm", "-b", scene.cluster.broker_address, "-t", TOPIC, "-p", "6")
    assert scene.ours(*same) == scene.java(*same) + "\n"


def _permission(scene: Scene) -> int:
    route = json.loads(scene.ours("topicRoute", "-t", TOPIC, "--json"))
    return int(route["queueDatas"][0]["perm"])


@pytest.mark.parametrize(
    "arguments",
    [
        ("updateOrderConf", "-t", TOPIC, "-m", "put", "-v", "broker-a:4"),
        ("updateOrderConf", "-t", TOPIC, "-m", "get"),
        ("updateOrderConf", "-t", TOPIC, "-m", "delete"),
        ("cleanExpiredCQ",),
        ("cleanUnusedTopic", "-c", "DefaultCluster"),
        ("deleteExpiredCommitLog", "-c", "DefaultCluster"),
    ],
    ids=" ".join,
)
def test_prints_what_java_prints(scene: Scene, arguments: tuple[str, ...]) -> None:
    assert scene.ours(*arguments) == scene.java(*arguments)


def test_queues_are_shared_out_evenly(scene: Scene) -> None:
    """Java's command hands queues out in the order of a hash table; how many each gets is the same."""
    arguments = ("allocateMQ", "-t", TOPIC, "-i", "10.0.0.1,10.0.0.2,10.0.0.3")
    ours, java = (json.loads(text)["result"] for text in (scene.ours(*arguments), scene.java(*arguments)))
    assert {name: len(share) for name, share in ours.items()} == {
        name: len(share) for name, share in java.items()
    }


def test_brokers_of_a_java_container_come_and_go(
    scene: Scene, java_peer: JavaPeer, new_home: Callable[[str], Path]
) -> None:
    home = new_home("java-container")
    port = lease_broker_port()
    address = f"127.0.0.1:{port}"
    settings = broker_settings(
        cluster="DefaultCluster",
        name="broker-c",
        port=lease_broker_port(),
        store=home / "store",
        name_server=scene.cluster.name_server,
    )
    file = home / "broker-c.conf"
    home.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    container = start_java_server(
        java_peer,
        JAVA_CONTAINER,
        {"listenPort": port, "namesrvAddr": scene.cluster.name_server},
        name="java-container",
        home=home,
    )
    try:
        add = ("addBroker", "-c", address, "-b", str(file))
        remove = ("removeBroker", "-c", address, "-b", "DefaultCluster:broker-c:0")
        assert scene.ours(*add) == f"add broker to {address} success\n"
        assert "DefaultCluster_broker-c_0 has already been added to current broker container" in scene.ours(
            *add, code=1
        )
        assert scene.ours(*remove) == f"remove broker from {address} success\n"
        assert scene.ours(*remove, code=1).endswith("answered code 211: Broker not exist\n")
        assert "Java's containers do not know this question" in scene.ours(
            "containerStatus", "-c", address, code=1
        )
    finally:
        container.stop()
