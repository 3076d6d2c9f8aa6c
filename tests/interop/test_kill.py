"""`kill -9` of the broker's process while Java clients send: what was acknowledged stays, whole."""

from __future__ import annotations

import time
import zlib
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest

from tests.interop.java import Driver

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.interop.conftest import ClusterMaker
    from tests.interop.peers import JavaPeer

TOPIC = "KillLoad"
GROUP = "kill_readers"
WAIT_MS = 60_000


def number_of(body: str) -> int:
    """The number of a whole message.

    Raises:
        AssertionError: The checksum at its end says that it is torn.
    """
    text, _, checksum = body.rpartition(":")
    assert zlib.crc32(text.encode()) == int(checksum), f"torn: {body[:60]}…"
    return int(text.partition(":")[0])


@pytest.mark.parametrize(("flush", "kills"), [("ASYNC_FLUSH", 2), ("SYNC_FLUSH", 1)])
def test_every_acknowledged_message_survives_the_kill(
    new_cluster: ClusterMaker, java_peer: JavaPeer, new_home: Callable[[str], Path], flush: str, kills: int
) -> None:
    # Small files, so that the load crosses their borders.
    cluster = new_cluster(settings={"flushDiskType": flush, "mappedFileSizeCommitLog": 4 << 20})
    with Driver(java_peer, home=new_home("driver"), name_server=cluster.name_server) as driver:
        driver.admin("updateTopic", "-b", cluster.broker_address, "-t", TOPIC, "-r", "4", "-w", "4")
        driver.call("consumeStart", name="consumer", group="kill_group", topic=TOPIC)
        driver.call("loadStart", name="load", topic=TOPIC, threads=8)
        for _ in range(kills):
            driver.call("loadAwait", name="load", more=1500, timeoutMs=WAIT_MS)
            cluster.kill_broker()
            cluster.start()
        driver.call("loadAwait", name="load", more=1000, timeoutMs=WAIT_MS)
        outcome = driver.call("loadStop", name="load")
        acknowledged = {number: (queue, offset) for number, _, queue, offset, *_ in outcome["acknowledged"]}
        assert len(acknowledged) >= 1500 * kills + 1000

        stored = driver.call("pullAll", topic=TOPIC, group=GROUP, timeout_s=120)
        check_stored(stored, acknowledged)

        consumed = await_consumed(driver, set(acknowledged))
        assert set(acknowledged) <= consumed, "the consumer went on and missed nothing"
        driver.call("consumeStop", name="consumer")
        committed = driver.call("offsets", topic=TOPIC, group="kill_group")
        assert [queue["committed"] for queue in committed] == [queue["max"] for queue in committed]


def await_consumed(driver: Driver, wanted: set[int]) -> set[int]:
    """The numbers that the consumer has had, as soon as all of `wanted` are among them."""
    deadline = time.monotonic() + WAIT_MS / 1000
    count = len(wanted)
    while True:
        received = driver.call("consumeWait", name="consumer", count=count, timeoutMs=1_000)
        numbers = {number_of(message["body"]) for message in received}
        if wanted <= numbers or time.monotonic() > deadline:
            return numbers
        count = len(received) + 1


def check_stored(stored: list[dict[str, Any]], acknowledged: dict[int, tuple[int, int]]) -> None:
    places: dict[int, set[tuple[int, int]]] = defaultdict(set)
    offsets: dict[int, list[int]] = defaultdict(list)
    for message in stored:
        places[number_of(message["body"])].add((message["queueId"], message["queueOffset"]))
        offsets[message["queueId"]].append(message["queueOffset"])
    lost = sorted(set(acknowledged) - set(places))
    assert not lost, f"{len(lost)} acknowledged messages are lost, the first: {lost[:5]}"
    for number, place in acknowledged.items():
        assert place in places[number], (
            f"message {number} was acknowledged at {place}, it is at {places[number]}"
        )
    for queue, own in offsets.items():
        assert own == list(range(len(own))), f"queue {queue} has a gap"
