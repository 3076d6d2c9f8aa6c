"""Brokers that come and go in a container under load, and what that leaves behind.

A container with steady brokers serves Java producers. Beside them visitors are added by request one after the
other; each one that is there already takes messages on a connection that stays open, and the one that has
been there longest is removed. A leak is whatever grows with the rounds, so sizes are taken at regular
intervals while the same number of visitors is there, and compared with each other and never with a limit.
"""

from __future__ import annotations

import json
import re
import socket
import statistics
import time
from collections import deque
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import attrs
import psutil

from tests.interop.container import OurContainer
from tests.interop.java import Driver
from tests.interop.wire import ask_raw, broker_addresses
from tests.send_fields import send_fields

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.interop.container import BrokerFile
    from tests.interop.peers import JavaPeer

__all__ = ["ChurnOutcome", "Sample", "run_churn"]

SEND_MESSAGE = 10
TOPIC = "ChurnLoad"
_MESSAGES_PER_VISIT = 4
_REST_S = 0.3
_WAIT_MS = 60_000
# Small files: what is measured are brokers, not the zeros at the end of a file.
_SMALL: dict[str, Any] = {
    "mappedFileSizeConsumeQueue": 600_000,
    "maxHashSlotNum": 25_000,
    "maxIndexNum": 100_000,
}


@attrs.frozen
class Sample:
    """What the container's process holds after `rounds` adds and removes.

    Attributes:
        anonymous_bytes: Memory that no file backs.
        tasks: Living trio tasks.
        ports: Ports that it listens on.
    """

    rounds: int
    anonymous_bytes: int
    descriptors: int
    threads: int
    tasks: int
    ports: int

    def __str__(self) -> str:
        return (
            f"{self.rounds:5} rounds: {self.anonymous_bytes / (1 << 20):6.1f} MiB anonymous,"
            f" {self.descriptors} descriptors, {self.threads} threads, {self.tasks} tasks, {self.ports} ports"
        )


@attrs.frozen
class ChurnOutcome:
    """What a run showed.

    Attributes:
        samples: One at each interval, the first after the warm-up.
        sent: Messages of the Java producers that were acknowledged.
        failed: Sends of theirs that raised, after the client's own retries.
        first_failure: Text of the first of those.
        add_seconds: One for each round.
        remove_seconds: One for each round.
        clutter: What is still there of visitors when all are gone: names in the route, listening ports.
    """

    samples: list[Sample]
    sent: int
    failed: int
    first_failure: str | None
    add_seconds: list[float]
    remove_seconds: list[float]
    clutter: list[str]

    def growth(self, field: str) -> float:
        """How much `field` of the samples grows with each round: median slope of all pairs (Theil-Sen)."""
        slopes = [
            (getattr(late, field) - getattr(early, field)) / (late.rounds - early.rounds)
            for number, early in enumerate(self.samples)
            for late in self.samples[number + 1 :]
        ]
        return statistics.median(slopes) if slopes else 0.0

    def leaks(self) -> list[str]:
        """What was always more in the second half than ever in the first; of memory see `growth`."""
        half = len(self.samples) // 2
        found = []
        for field in ("descriptors", "threads", "tasks", "ports"):
            before = max(getattr(sample, field) for sample in self.samples[:half])
            after = min(getattr(sample, field) for sample in self.samples[half:])
            if after > before:
                found.append(f"{field}: at most {before} in the first half, at least {after} in the second")
        return found


def run_churn(
    peer: JavaPeer,
    home: Path,
    *,
    rounds: int,
    steady: int = 20,
    visitors: int = 4,
    visiting: int = 2,
    sample_every: int = 20,
    warm_up: int = 20,
    load_threads: int = 4,
    pause_ms: int = 5,
    show: Callable[[Sample], None] = lambda _sample: None,
) -> ChurnOutcome:
    """Adds and removes a broker `rounds` times.

    Args:
        home: Directory for stores, files and logs.
        rounds: One add and one remove each.
        steady: Brokers that stay; the first half of them serves the producers.
        visitors: Different brokers that come and go, each with a store of its own that stays.
        visiting: How many of them are there at a time.
        sample_every: Rounds between two samples.
        warm_up: Rounds before the first sample; each visitor has been there by then.
        load_threads: Java threads that send all the time, each resting `pause_ms` after a message.
        show: Told of each sample.

    Raises:
        ProcessError: The container or the JVM did not come up, or ended.
        AssertionError: An add or a remove was refused.
    """
    names = [f"steady-{number:02}" for number in range(steady)]
    with OurContainer(home, names, broker_keys=_SMALL) as container, ExitStack() as stack:
        files = [container.broker_file(f"visitor-{number}", **_SMALL) for number in range(visitors)]
        container.start()
        driver = stack.enter_context(Driver(peer, home=home / "driver", name_server=container.name_server))
        for broker in list(container.brokers.values())[: max(1, steady // 2)]:
            driver.admin("updateTopic", "-b", broker.address, "-t", TOPIC, "-r", "1", "-w", "1")
        driver.call("loadStart", name="load", topic=TOPIC, threads=load_threads, pauseMs=pause_ms)
        driver.call("loadAwait", name="load", more=100, timeoutMs=_WAIT_MS)

        run = _Run(container, visiting)
        samples: list[Sample] = []
        for number in range(rounds):
            run.round(files[number % visitors])
            done = number + 1
            if done >= warm_up and (done - warm_up) % sample_every == 0:
                samples.append(run.sample(done))
                show(samples[-1])
        run.leave()
        driver.call("loadAwait", name="load", more=100, timeoutMs=_WAIT_MS)
        outcome = driver.call("loadStop", name="load")
        return ChurnOutcome(
            samples=samples,
            sent=len(outcome["acknowledged"]),
            failed=outcome["failed"],
            first_failure=outcome["firstFailure"],
            add_seconds=run.add_seconds,
            remove_seconds=run.remove_seconds,
            clutter=run.clutter(files),
        )


class _Run:
    """The visitors of one container.

    Args:
        visiting: how many may be there when a round ends.
    """

    def __init__(self, container: OurContainer, visiting: int) -> None:
        self._container = container
        self._visiting = visiting
        self._here: deque[tuple[BrokerFile, socket.socket]] = deque()
        self.add_seconds: list[float] = []
        self.remove_seconds: list[float] = []

    def round(self, broker: BrokerFile) -> None:
        """Adds `broker`, talks to it, and removes who has been there longest."""
        while len(self._here) >= self._visiting:
            self._remove()
        began = time.monotonic()
        answer = self._container.add(broker.path)
        self.add_seconds.append(time.monotonic() - began)
        assert answer.code == 0, f"add of {broker.name}: {answer.header.get('remark')}"
        connection = socket.create_connection(("127.0.0.1", broker.port), timeout=10)
        self._here.append((broker, connection))
        for _ in range(_MESSAGES_PER_VISIT):
            sent = ask_raw(connection, _SEND_HEADER, b"x" * 1024)
            assert sent.code == 0, sent

    def _remove(self) -> None:
        broker, connection = self._here.popleft()
        with connection:
            began = time.monotonic()
            answer = self._container.remove(broker.name)
            self.remove_seconds.append(time.monotonic() - began)
            assert answer.code == 0, f"remove of {broker.name}: {answer.header.get('remark')}"
            assert connection.recv(1) == b"", "the broker is gone and its connection stays"

    def leave(self) -> None:
        """Removes all that are there."""
        while self._here:
            self._remove()

    def sample(self, rounds: int) -> Sample:
        time.sleep(_REST_S)  # worker threads and closed connections of the last round go
        status = self._container.status()
        return Sample(
            rounds=rounds,
            anonymous_bytes=status["anonymousBytes"],
            descriptors=status["openFiles"],
            threads=status["threads"],
            tasks=status["tasks"],
            ports=len(self._listening()),
        )

    def _listening(self) -> set[int]:
        return {
            connection.laddr.port
            for process in self._container.process.processes()
            for connection in process.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
        }

    def clutter(self, files: list[BrokerFile]) -> list[str]:
        """What is there of brokers that are gone."""
        route = broker_addresses(self._container.name_server)
        ports = self._listening()
        found = [f"{broker.name} in the route" for broker in files if broker.name in route]
        found += [f"port {port} of {broker.name}" for broker in files for port in _ports(broker) & ports]
        listed = self._container.status()["brokers"]
        found += [f"{each['brokerName']} is {each['state']}" for each in listed if _is_visitor(each)]
        return found


def _ports(broker: BrokerFile) -> set[int]:
    return {broker.port, broker.port - 2, broker.port + 1}


def _is_visitor(status: dict[str, object]) -> bool:
    return re.match("visitor-", str(status["brokerName"])) is not None


_SEND_HEADER = json.dumps(
    {
        "code": SEND_MESSAGE,
        "language": "JAVA",
        "version": 479,
        "opaque": 1,
        "flag": 0,
        "serializeTypeCurrentRPC": "JSON",
        "extFields": send_fields("VisitorTopic", group="visitors"),
    }
).encode()
