"""Loads of every stored shape that go on while brokers of both kinds are killed and take over one directory.

What was acknowledged is written down; `StoreStress.check` reads everything back through the Java client and
compares. The loads, by the topic that they write:

    SINGLE      Java's client, one message at a time, with key, tag and a property
    BATCH       the same in batches of 16
    DELAYED     delayed by two seconds, so some wait in the delay topic whenever the broker is killed
    RETRIED     its consumer gives every message back once: through the delay topic to RETRY_TOPIC
    LONG_TOPIC  raw requests of the other address family, to a name of 157 bytes: a stored V2 message
"""

from __future__ import annotations

import random
import time
from bisect import bisect_left
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from remoting.json_dialect import loads
from tests.checked_load import number_of
from tests.interop.stress_loads import RawLoad
from tests.interop.stress_messages import (
    BATCH,
    DELAY_TOPIC,
    DELAYED,
    LONG_TOPIC,
    RETRIED,
    RETRY_GROUP,
    RETRY_TOPIC,
    SINGLE,
    Acknowledged,
    Library,
    numbers_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.interop.java import Driver

__all__ = ["StoreStress"]

OFFSET_GROUP = "stress_offsets"
READ_GROUP = "stress_readers"
QUEUES = 4
WAIT_MS = 120_000
# Messages of a topic that are looked up by their keys and ids in each check: so many of all, and the newest
# before the kill, the oldest after it, and the newest now.
LOOK_UPS = 200
AROUND = 50

_LOADS: dict[str, dict[str, Any]] = {
    SINGLE: {"threads": 4, "pauseMs": 10},
    BATCH: {"threads": 2, "pauseMs": 100, "batch": 16},
    DELAYED: {"threads": 2, "pauseMs": 15, "delayLevel": 2},
    RETRIED: {"threads": 1, "pauseMs": 10},
}


class StoreStress:
    """The loads, what they were told, and what has to hold afterwards.

    Args:
        driver: Java clients of the cluster.
        store: Root directory of the broker's store.
        port: Where each of the brokers listens.
        store_host: Address that the brokers give out as theirs (brokerIP1).
        other_host: An address of the other family at which they can be reached too.
        cluster: Name of the cluster.
    """

    def __init__(
        self,
        driver: Driver,
        *,
        store: Path,
        port: int,
        store_host: str,
        other_host: str,
        cluster: str,
        seed: int = 5,
    ) -> None:
        self._driver = driver
        self._store = store
        self._port = port
        self._other_host = other_host
        self._cluster = cluster
        self._random = random.Random(seed)
        self._next = dict.fromkeys((*_LOADS, LONG_TOPIC), 0)
        self.acknowledged: dict[str, dict[int, Acknowledged]] = {topic: {} for topic in self._next}
        self.library = Library(
            store_host=(store_host, port),
            raw_host=other_host,
            acknowledged=self.acknowledged,
            cluster=cluster,
        )
        self._raw: RawLoad | None = None
        self._saved_offsets: dict[int, int] = {}
        self._late_offsets: dict[int, int] = {}
        self._files: dict[str, int] = {}
        self._killed_at_ms = 0.0

    def prepare(self) -> None:
        """Topics, groups, and the consumer that lasts for the whole test."""
        for topic in _LOADS:
            self._driver.admin(
                "updateTopic", "-c", self._cluster, "-t", topic, "-r", str(QUEUES), "-w", str(QUEUES)
            )
        self._driver.admin("updateSubGroup", "-c", self._cluster, "-g", OFFSET_GROUP)
        self._driver.call(
            "consumeStart", name="retrier", group=RETRY_GROUP, topic=RETRIED,
            failures=1, retryDelayLevel=1, pollNameServerMs=1_000, commitEveryMs=500,
        )  # fmt: skip

    def start_loads(self) -> None:
        for topic, arguments in _LOADS.items():
            first = self._next[topic]
            self._driver.call("loadStart", name=topic, topic=topic, keys=topic, first=first, **arguments)
        self.start_raw_load()

    def start_raw_load(self) -> None:
        """The raw load has to be started again for each broker."""
        if self._raw is not None:
            self._stop_raw_load()
        self._raw = RawLoad(self._other_host, self._port, LONG_TOPIC, self._next[LONG_TOPIC])

    def _stop_raw_load(self) -> None:
        assert self._raw is not None
        self._raw.stop()
        self.acknowledged[LONG_TOPIC] |= self._raw.acknowledged
        self._next[LONG_TOPIC] = self._raw.next
        self._raw = None

    def await_more(self, count: int) -> None:
        """Returns when each load has `count` more acknowledgements."""
        waiting = [
            self._driver.begin("loadAwait", name=topic, more=count, timeoutMs=WAIT_MS) for topic in _LOADS
        ]
        assert self._raw is not None
        self._raw.wait(count, WAIT_MS / 1000)
        for number in waiting:
            self._driver.result(number, WAIT_MS / 1000 + 10)

    def stop_loads(self) -> None:
        """Ends the loads and writes down what they were told."""
        for topic in _LOADS:
            outcome = self._driver.call("loadStop", name=topic)
            self._next[topic] = outcome["next"]
            for number, unique, queue_id, offset, offset_id, _ in outcome["acknowledged"]:
                self.acknowledged[topic][number] = Acknowledged(queue_id, offset, unique, offset_id)
        self._stop_raw_load()

    def after_kill(self) -> None:
        """To be called when a broker was killed: log, queues and index had begun another file each."""
        self._killed_at_ms = time.time() * 1000
        directories = [
            "commitlog",
            "index",
            *(f"consumequeue/{topic}/0" for topic in (SINGLE, BATCH, LONG_TOPIC)),
            f"consumequeue/{DELAY_TOPIC}/1",
        ]
        files = {name: len(list((self._store / name).iterdir())) for name in directories}
        few = {name: count for name, count in files.items() if count < self._files.get(name, 1) + 1}
        assert not few, f"{few} files, before: {self._files}"
        self._files = files

    # What has to hold

    def check(self) -> None:
        """Everything that was acknowledged so far is there, whole, in its place, and can be found."""
        self._check_offsets()
        for topic in (SINGLE, BATCH, LONG_TOPIC, RETRIED):
            self.read(topic)
            self._check_time(topic)
        self._check_tags(SINGLE)
        self._check_delayed_and_retried()
        for topic in (*_LOADS, LONG_TOPIC, RETRY_TOPIC, DELAY_TOPIC):
            self._check_found(topic)

    def _pull(self, topic: str, expression: str = "*") -> list[dict[str, Any]]:
        pulled = self._driver.call(
            "pullAll", topic=topic, group=READ_GROUP, expression=expression, timeout_s=120
        )
        return list(pulled)

    def _queue_ends(self, topic: str) -> list[int]:
        return [queue["max"] for queue in self._driver.call("offsets", topic=topic, group=READ_GROUP)]

    def _await_places(self, topic: str) -> None:
        """Java's queues grow a moment after the answer."""
        wanted: dict[int, int] = defaultdict(int)
        for place in self.acknowledged[topic].values():
            wanted[place.queue_id] = max(wanted[place.queue_id], place.queue_offset + 1)

        def reached() -> bool:
            ends = self._queue_ends(topic)
            return all(ends[queue_id] >= end for queue_id, end in wanted.items())

        wait_for(reached, lambda: f"{topic[:20]}: queues end at {self._queue_ends(topic)}, not {wanted}")

    def _check_places(self, topic: str, load: str | None = None) -> None:
        """Every acknowledged message lies where its sender was told; `load` sent what is in `topic`."""
        found = {message["offsetMsgId"]: message for message in self.library.messages(topic)}
        acknowledged = self.acknowledged[load or topic]
        lost = [number for number, told in acknowledged.items() if told.offset_id not in found]
        assert not lost, f"{topic}: {len(lost)} acknowledged messages are lost, the first: {lost[:5]}"
        for number, told in acknowledged.items():
            message = found[told.offset_id]
            place = (number_of(message["body"].encode()), message["queueOffset"])
            assert place == (number, told.queue_offset), f"{topic}: {number} was told {told}, not {message}"

    def _check_delayed_and_retried(self) -> None:
        """Each delayed message is delivered, maybe more than once when the broker was killed; each that was
        given back comes again.

        When giving back fails, because the broker was killed, the client itself tries again, so not every
        message has been in the retry topic.
        """
        delayed = self._await_delayed()
        received = self._await_retried()
        again = self._pull(RETRY_TOPIC)
        self.library.take(DELAY_TOPIC, self._pull(DELAY_TOPIC))
        self._check_places(DELAY_TOPIC, DELAYED)
        self.library.take(DELAYED, delayed)
        self.library.take(RETRY_TOPIC, again)
        places = {message["commitLogOffset"] for message in again}
        read = {message["commitLogOffset"] for message in received}
        assert read & places, "nothing came from the retry topic"
        lost = read - places - {message["commitLogOffset"] for message in self.library.messages(RETRIED)}
        assert not lost, f"what was read is no longer there: {sorted(lost)[:5]}"

    def _await_delayed(self) -> list[dict[str, Any]]:
        wanted = set(self.acknowledged[DELAYED])
        stored: list[dict[str, Any]] = []

        def delivered() -> bool:
            if sum(self._queue_ends(DELAYED)) < len(wanted):
                return False
            stored[:] = self._pull(DELAYED)
            return wanted <= numbers_of(stored)

        wait_for(
            delivered, lambda: f"never delivered: {sorted(wanted - numbers_of(stored))[:5]}", every_s=0.3
        )
        return stored

    def _await_retried(self) -> list[dict[str, Any]]:
        wanted = set(self.acknowledged[RETRIED])
        received: list[dict[str, Any]] = []

        def retried() -> bool:
            got = self._driver.call("consumeWait", name="retrier", count=0, timeoutMs=0)
            received[:] = [message for message in got if message["reconsumeTimes"]]
            return wanted <= numbers_of(received)

        wait_for(retried, lambda: f"never retried: {sorted(wanted - numbers_of(received))[:5]}", every_s=0.3)
        return received

    def _check_time(self, topic: str) -> None:
        """The offset by time is that of the first message stored then or later."""
        times: dict[int, list[int]] = defaultdict(list)
        for message in self.library.messages(topic):
            times[message["queueId"]].append(message["storeTimestamp"])
        wanted = min(self._random.choice(times[0]), *(own[-1] for own in times.values()))
        found = self._driver.call("offsets", topic=topic, group=READ_GROUP, timestamp=wanted)
        for queue_id, own in times.items():
            first = next(offset for offset, stored_at in enumerate(own) if stored_at >= wanted)
            assert found[queue_id]["atTime"] == first, f"{topic} queue {queue_id} at {wanted}"

    def _check_tags(self, topic: str) -> None:
        tagged = [message["offsetMsgId"] for message in self._pull(topic, "Tag1")]
        wanted = [
            message["offsetMsgId"] for message in self.library.messages(topic) if message["tags"] == "Tag1"
        ]
        assert sorted(tagged) == sorted(wanted), f"{topic}: other messages by tag"

    # Index and ids

    def _check_found(self, topic: str) -> None:
        """Messages are found by their key and by the id of their producer, all that have it and no others;
        and by the id of their place.
        """
        known = self._in_log_order(topic)
        killed = bisect_left(known, self._killed_at_ms, key=lambda message: float(message["storeTimestamp"]))
        chosen = [*known[:1], *known[-AROUND:], *known[max(killed - AROUND, 0) : killed + AROUND]]
        chosen += self._random.sample(known, min(LOOK_UPS, len(known)))
        self._await_found(topic, known, [message["keys"] for message in chosen], unique=False)
        self._await_found(
            topic, known, [message["properties"]["UNIQ_KEY"] for message in chosen], unique=True
        )
        places = self._driver.call(
            "viewAll", topic=topic, group=READ_GROUP, ids=[message["offsetMsgId"] for message in chosen]
        )
        assert places == {message["offsetMsgId"]: _place(message) for message in chosen}

    def read(self, topic: str) -> list[dict[str, Any]]:
        """All messages of a topic that takes no more, in the order of the log."""
        self._await_places(topic)
        self.library.take(topic, self._pull(topic))
        self._check_places(topic)
        return self._in_log_order(topic)

    def await_missing(self, topic: str) -> list[dict[str, Any]]:
        """Those messages of a topic that the broker does not find by their key, once it finds the newest."""
        known = self._in_log_order(topic)
        self._await_found(topic, known, [known[-1]["keys"]], unique=False)
        answers = self._query(topic, [message["keys"] for message in known], unique=False)
        return [message for message in known if _place(message) not in answers[message["keys"]]]

    def _in_log_order(self, topic: str) -> list[dict[str, Any]]:
        return sorted(self.library.messages(topic), key=lambda message: int(message["commitLogOffset"]))

    def _query(self, topic: str, keys: list[str], *, unique: bool) -> dict[str, list[list[int]]]:
        answers = self._driver.call(
            "query", topic=topic, group=READ_GROUP, keys=sorted(set(keys)), unique=unique, timeout_s=120
        )
        return dict(answers)

    def _await_found(self, topic: str, known: list[dict[str, Any]], keys: list[str], *, unique: bool) -> None:
        """Java's index grows a moment after the answer."""
        wanted: dict[str, list[list[int]]] = {key: [] for key in keys}
        ends: dict[int, int] = defaultdict(int)
        for message in known:
            key = message["properties"]["UNIQ_KEY"] if unique else message["keys"]
            if key in wanted:
                wanted[key].append(_place(message))
            ends[message["queueId"]] = message["queueOffset"] + 1
        wrong: list[str] = []

        def found() -> bool:
            answers = self._query(topic, keys, unique=unique)
            wrong.clear()
            for key, places in answers.items():
                # What the broker delivered since is not known yet. One place comes twice where Java has
                # entered the last message of the files that it kept again.
                old = {tuple(place) for place in places if place[1] < ends[place[0]]}
                if old != {tuple(place) for place in wanted[key]}:
                    wrong.append(f"{key} at {old}, not at {wanted[key]}")
            return not wrong

        kind = "id" if unique else "key"
        wait_for(found, lambda: f"{topic[:20]}: {len(wrong)} by {kind}, {wrong[:3]}", every_s=0.3)

    # Committed offsets

    def commit(self) -> None:
        """Commits that are saved in consumerOffset.json when this returns."""
        ends = self._queue_ends(SINGLE)
        self._saved_offsets = {queue_id: end - 1 for queue_id, end in enumerate(ends)}
        self._commit(self._saved_offsets)
        file = self._store / "config" / "consumerOffset.json"
        key = f"{SINGLE}@{OFFSET_GROUP}"

        def saved() -> bool:
            table = loads(file.read_text()).get("offsetTable", {}) if file.exists() else {}
            row = {int(queue_id): offset for queue_id, offset in table.get(key, {}).items()}
            return row == self._saved_offsets

        wait_for(saved, lambda: f"{file} does not get {self._saved_offsets}")

    def commit_late(self) -> None:
        """Commits that a kill may or may not take away."""
        self._late_offsets = {queue_id: offset + 1 for queue_id, offset in self._saved_offsets.items()}
        self._commit(self._late_offsets)

    def _commit(self, offsets: dict[int, int]) -> None:
        for queue_id, offset in offsets.items():
            self._driver.call("commit", topic=SINGLE, group=OFFSET_GROUP, queueId=queue_id, offset=offset)

    def _check_offsets(self) -> None:
        rows = self._driver.call("offsets", topic=SINGLE, group=OFFSET_GROUP)
        for queue_id, saved in self._saved_offsets.items():
            committed = rows[queue_id]["committed"]
            assert saved <= committed <= self._late_offsets[queue_id], f"queue {queue_id} is at {committed}"

    def finish_consuming(self) -> None:
        """The consumer ends when it has committed all there is."""

        def committed() -> bool:
            rows = [
                row
                for topic in (RETRIED, RETRY_TOPIC)
                for row in self._driver.call("offsets", topic=topic, group=RETRY_GROUP)
            ]
            return all(row["committed"] == row["max"] for row in rows)

        wait_for(committed, lambda: "the consumer does not commit all that it had", every_s=0.3)
        self._driver.call("consumeStop", name="retrier")


def _place(message: dict[str, Any]) -> list[int]:
    return [message["queueId"], message["queueOffset"], message["commitLogOffset"]]


def wait_for(condition: Callable[[], bool], failure: Callable[[], str], *, every_s: float = 0.05) -> None:
    """Returns when the brokers have made `condition` true; asks every `every_s` seconds.

    Raises:
        AssertionError: They have not for two minutes; `failure` gives the text.
    """
    deadline = time.monotonic() + WAIT_MS / 1000
    while not condition():
        assert time.monotonic() < deadline, failure()
        time.sleep(every_s)
