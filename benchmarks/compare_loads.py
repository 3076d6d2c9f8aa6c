"""The loads of `benchmarks.compare`: what runs against one system in one round, and the figures it yields.

A sending load runs for some seconds that do not count, then the messages that the broker stored and the CPU
that its process used are taken over a span. So neither the start of the client's JVM nor its first,
interpreted seconds count, for nobody.
"""

from __future__ import annotations

import re
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import attrs

from benchmarks.compare_bars import NATS, Reading
from benchmarks.compare_systems import RocketMq, request
from benchmarks.long_poll import RefusedSendError, long_poll_seconds
from benchmarks.measured import footprint, percentile
from tests.interop.java import start_java
from tests.interop.peers import java, nats
from tests.interop.processes import ChildProcess, ProcessError
from tests.interop.wire import connected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from benchmarks.compare_systems import System

__all__ = ["LOADS", "TOPICS", "Load", "Size", "VoidRunError"]

_EXAMPLES = "org.apache.rocketmq.example.benchmark"
_BODY_BYTES = 1024
_SENT, _BATCHED, _POLLED, _SYNC_FLUSHED = TOPICS = ("Sent", "Batched", "Polled", "SyncFlushed")
_CLIENT_HEAP = ("-Xms512m", "-Xmx512m")
_FIRST_MESSAGE_TIMEOUT_S = 60
_FILL_TIMEOUT_S = 300
_STEP_S = 0.05
_GET_CONSUMER_LIST_BY_GROUP, _GET_CONSUMER_RUNNING_INFO = 38, 307
_NO_CONSUMER_YET = 1
# Of the backlog; beyond it some queues are empty before others.
_COUNTED_SHARE = 0.9


class VoidRunError(ProcessError):
    """The load was not what it should be, so what was measured means nothing.

    Java's client throws away a sender whose first look for the topic's route comes to nothing, as it may on a
    machine that has no time; and a broker turns messages away that waited too long for it.
    """


@attrs.frozen
class Size:
    """How long it may take.

    Attributes:
        warm_up_seconds, span_seconds: Of a sending or consuming load: uncounted and counted.
        messages: In the broker when its memory is taken and catching up begins.
    """

    warm_up_seconds: float
    span_seconds: float
    messages: int
    latency_seconds: float
    latency_rate: int = 1000


@attrs.frozen
class Load:
    """One kind of run.

    Attributes:
        run: Yields quantity → figure.
        once: Whether one round says it all.
        settings: Further keys of the brokers' files; loads with the same ones share the running brokers.
        with_nats: Whether NATS takes part.
    """

    key: str
    run: Callable[[System, Size, int], dict[str, float]]
    once: bool = False
    settings: tuple[tuple[str, str], ...] = ()
    with_nats: bool = False

    def readings(self, system: System, size: Size, number: int) -> list[Reading]:
        """Runs it once.

        Raises:
            VoidRunError: The run is void.
            ProcessError: A client or the server failed.
            OSError: The server does not answer.
        """
        figures = self.run(system, size, number)
        return [Reading(quantity, system.name, number, value) for quantity, value in figures.items()]


@attrs.frozen
class _Span:
    """What happened in a counted span."""

    messages: int
    seconds: float
    cpu_seconds: float

    def figures(self, load: str) -> dict[str, float]:
        """CPU per message and rate.

        Raises:
            ProcessError: There were no messages.
        """
        if not self.messages:
            raise ProcessError(f"no message in {self.seconds:.1f} s")
        return {
            f"{load}-cpu": self.cpu_seconds / self.messages * 1e6,
            f"{load}-rate": self.messages / self.seconds,
        }


class _Count:
    """A moment's count, CPU and time; the difference of two is a span."""

    def __init__(self, system: System, count: Callable[[], int]) -> None:
        self.messages = count()
        self.cpu_seconds = system.cpu_seconds()
        self.at = time.monotonic()

    def __sub__(self, earlier: _Count) -> _Span:
        return _Span(
            self.messages - earlier.messages, self.at - earlier.at, self.cpu_seconds - earlier.cpu_seconds
        )


@contextmanager
def _java_client(system: RocketMq, program: str, number: int, **options: object) -> Iterator[ChildProcess]:
    """One of Java's benchmark programs; it runs until the end of the block.

    Raises:
        VoidRunError: See there.
    """
    arguments = {"n": system.name_server, **options}
    with start_java(
        java(),
        f"{_EXAMPLES}.{program}",
        *(part for key, value in arguments.items() for part in (f"-{key}", str(value))),
        name=f"{program}-{number}-{time.monotonic_ns()}",
        home=system.home / "client",
        heap=_CLIENT_HEAP,
        short=False,
    ) as client:
        yield client
        client.kill()  # a consumer's good end would take seconds
        if "Exception in thread" in client.text():
            raise VoidRunError(f"{client.name} lost a thread\n{client.tail()}")


def _wait_beyond(count: Callable[[], int], limit: int, client: ChildProcess, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while count() <= limit:
        if not client.running:
            raise ProcessError(f"{client.name} ended\n{client.tail()}")
        if time.monotonic() > deadline:
            raise ProcessError(f"{client.name}: no more than {limit} messages in time\n{client.tail()}")
        time.sleep(_STEP_S)


def _rocketmq(system: System) -> RocketMq:
    if not isinstance(system, RocketMq):
        raise TypeError(f"{system.name} is no RocketMQ broker")
    return system


def _sent(system: RocketMq, topic: str, client: ChildProcess, size: Size) -> _Span:
    """Counts what `client`, just started, gets stored in `topic`."""

    def count() -> int:
        return system.stored(topic)

    _wait_beyond(count, count(), client, _FIRST_MESSAGE_TIMEOUT_S)
    time.sleep(size.warm_up_seconds)
    before = _Count(system, count)
    time.sleep(size.span_seconds)
    return _Count(system, count) - before


def _send(load: str, topic: str, threads: int) -> Callable[[System, Size, int], dict[str, float]]:
    def run(system: System, size: Size, number: int) -> dict[str, float]:
        if system.name == NATS:
            return _publish(system, threads, size, number).figures(load)
        broker = _rocketmq(system)
        with _java_client(broker, "Producer", number, t=topic, w=threads, s=_BODY_BYTES) as client:
            span = _sent(broker, topic, client, size)
        return span.figures(load)

    return run


def _publisher(system: System, number: int, *options: str) -> ChildProcess:
    return ChildProcess(
        f"publisher-{number}-{time.monotonic_ns()}",
        [str(nats().publisher), "-url", system.address, "-size", str(_BODY_BYTES), *options],
        log_dir=system.home,
    )


def _publish(system: System, workers: int, size: Size, number: int) -> _Span:
    options = [
        "-workers",
        str(workers),
        "-warmup",
        f"{size.warm_up_seconds}s",
        "-span",
        f"{size.span_seconds}s",
    ]
    with _publisher(system, number, *options) as client:
        client.wait_for_line("^begin$", _FIRST_MESSAGE_TIMEOUT_S)
        before = system.cpu_seconds()
        end = client.wait_for_line(r"^end (\d+) (\S+) (\d+)$", _FIRST_MESSAGE_TIMEOUT_S)
        used = system.cpu_seconds() - before
        if int(end[3]):
            raise ProcessError(f"{client.name}: {end[3]} messages failed\n{client.tail()}")
        return _Span(int(end[1]), float(end[2]), used)


def _batch_client(system: RocketMq, number: int) -> AbstractContextManager[ChildProcess]:
    return _java_client(system, "BatchProducer", number, t=_BATCHED, w=4, s=_BODY_BYTES, b=32)


def _batch(system: System, size: Size, number: int) -> dict[str, float]:
    broker = _rocketmq(system)
    with _batch_client(broker, number) as client:
        span = _sent(broker, _BATCHED, client, size)
    return span.figures("batch")


def _fill(system: RocketMq, size: Size, number: int) -> None:
    """Sends batches until the broker holds `size.messages`."""

    def count() -> int:
        return system.stored(_BATCHED)

    if count() <= size.messages:
        with _batch_client(system, number) as client:
            _wait_beyond(count, size.messages, client, _FILL_TIMEOUT_S)


def _memory(system: System, size: Size, number: int) -> dict[str, float]:
    if system.name == NATS:
        with _publisher(system, number, "-count", str(size.messages)) as client:
            client.wait_for_line("^end ", _FILL_TIMEOUT_S)
    else:
        _fill(_rocketmq(system), size, number)
    time.sleep(2)  # ours gives the garbage of the load back within a second
    return {"memory": footprint(system.server).anonymous_bytes / 1e6}


def _catch_up(system: System, size: Size, number: int) -> dict[str, float]:
    """Java's consumer reads the backlog from its beginning, in a group of its own."""
    broker = _rocketmq(system)
    _fill(broker, size, number)
    group = f"catch-up-{number}"
    broker.create_group(group, _BATCHED)
    backlog = broker.stored(_BATCHED)

    def count() -> int:
        return _consumed(broker, group)

    with _java_client(broker, "Consumer", number, t=_BATCHED, g=group, p="false") as client:
        client.wait_for_line("Consumer Started", _FIRST_MESSAGE_TIMEOUT_S)
        _wait_beyond(count, 0, client, _FIRST_MESSAGE_TIMEOUT_S)
        time.sleep(min(size.warm_up_seconds, 2))
        before = after = _Count(broker, count)
        while (after - before).seconds < size.span_seconds:
            time.sleep(size.span_seconds / 10)  # a question costs some CPU too
            latest = _Count(broker, count)
            if latest.messages > backlog * _COUNTED_SHARE:
                break
            after = latest
    if after is before:
        raise ProcessError(f"{backlog} messages are too few for catching up: consumed before it was counted")
    return (after - before).figures("catch-up")


def _consumed(system: RocketMq, group: str) -> int:
    """How far the group's only consumer is, as it tells the broker; 0 before it is there."""
    with connected(system.address) as connection:
        group_fields = {"consumerGroup": group}
        listed = request(connection, _GET_CONSUMER_LIST_BY_GROUP, group_fields, allowed=(0, _NO_CONSUMER_YET))
        client = re.search(rb'"consumerIdList":\["([^"]+)"', listed.body)
        if client is None:
            return 0
        fields = group_fields | {"clientId": client[1].decode(), "jstackEnable": "false"}
        told = request(connection, _GET_CONSUMER_RUNNING_INFO, fields)
    # One entry per queue; fastjson writes the message queue as an object in the place of the key.
    pattern = rb'"commitOffset":(-?\d+)'
    return sum(max(0, int(offset)) for offset in re.findall(pattern, told.body))


def _latency(system: System, size: Size, number: int) -> dict[str, float]:
    del number
    try:
        seconds = long_poll_seconds(
            _rocketmq(system).address,
            _POLLED,
            rate=size.latency_rate,
            warm_up_seconds=size.warm_up_seconds,
            seconds=size.latency_seconds,
            body_bytes=_BODY_BYTES,
        )
    except RefusedSendError as fault:
        raise VoidRunError(str(fault)) from fault
    return {
        "latency-p50": percentile(seconds, 0.5) * 1e6,
        "latency-p99": percentile(seconds, 0.99) * 1e6,
    }


LOADS = (
    Load("send-1", _send("send-1", _SENT, 1), with_nats=True),
    Load("send-16", _send("send-16", _SENT, 16), with_nats=True),
    Load("send-64", _send("send-64", _SENT, 64), with_nats=True),
    Load("batch", _batch),
    Load("memory", _memory, once=True, with_nats=True),
    Load("catch-up", _catch_up),
    Load("latency", _latency),
    Load(
        "sync-flush",
        _send("sync-flush", _SYNC_FLUSHED, 64),
        settings=(("flushDiskType", "SYNC_FLUSH"),),
    ),
)
