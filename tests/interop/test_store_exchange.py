"""A store directory goes from Java to the broker under test and back."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.interop.java import Driver

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.interop.conftest import ClusterMaker
    from tests.interop.peers import JavaPeer

WAIT_MS = 40_000


def bodies_of(messages: list[dict[str, Any]]) -> list[str]:
    return [message["body"] for message in messages]


def write(driver: Driver, broker_address: str, part: str) -> None:
    """Messages of every stored shape, a consumed part, and one that is delayed."""
    driver.admin("updateTopic", "-b", broker_address, "-t", "Moved", "-r", "4", "-w", "4")
    driver.call(
        "send", topic="Moved", bodies=[f"{part}-m{i}" for i in range(20)], tags="TagA", keys=f"{part}-key"
    )
    driver.call("sendBatch", topic="Moved", bodies=[f"{part}-b{i}" for i in range(10)], tags="TagB")
    driver.call("consumeStart", name=part, group="moved_group", topic="Moved")
    received = driver.call("consumeWait", name=part, count=30, timeoutMs=WAIT_MS)
    assert len(received) >= 30
    driver.call("consumeStop", name=part)
    driver.call("send", topic="Moved", bodies=[f"{part}-left"], delayLevel=3)


def read(driver: Driver, parts: list[str]) -> None:
    """Everything that the parts wrote is there; the group finds what it has not had."""
    driver.call("consumeStart", name="rest", group="moved_group", topic="Moved")
    driver.call("consumeWait", name="rest", count=1, timeoutMs=WAIT_MS)
    driver.call("consumeWait", name="rest", count=2, timeoutMs=1_500)
    assert bodies_of(driver.call("consumeStop", name="rest")) == [f"{parts[-1]}-left"]
    everything = driver.call("pullAll", topic="Moved", group="moved_readers")
    expected = [
        body
        for part in parts
        for body in [
            *(f"{part}-m{i}" for i in range(20)),
            *(f"{part}-b{i}" for i in range(10)),
            f"{part}-left",
        ]
    ]
    assert Counter(bodies_of(everything)) == Counter(expected)
    only_b = driver.call("pullAll", topic="Moved", group="moved_readers", expression="TagB")
    assert Counter(bodies_of(only_b)) == Counter(f"{part}-b{i}" for part in parts for i in range(10))
    for part in parts:
        found = driver.admin("queryMsgByKey", "-t", "Moved", "-k", f"{part}-key")
        assert (
            len([line for line in found.splitlines() if line.split()[1:2] and line.split()[1].isdigit()])
            == 20
        )


@pytest.mark.parametrize("order", ["java-first", "java-last"])
def test_a_store_moves(
    order: str,
    new_cluster: ClusterMaker,
    new_java_cluster: ClusterMaker,
    java_peer: JavaPeer,
    new_home: Callable[[str], Path],
) -> None:
    store = new_home("store") / "broker"
    makers = [new_java_cluster, new_cluster]
    if order == "java-last":
        makers.reverse()
    parts: list[str] = []
    for number, make in enumerate(makers):
        cluster = make(store=store)
        with Driver(java_peer, home=new_home("driver"), name_server=cluster.name_server) as driver:
            if parts:
                read(driver, parts)
            parts.append(f"part{number}")
            if number == 0:
                write(driver, cluster.broker_address, parts[-1])
        if number == 0:
            cluster.stop_broker()
