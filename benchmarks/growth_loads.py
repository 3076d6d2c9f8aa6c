"""The questions of `benchmarks.growth`: what grows, what is asked for meanwhile, and how it is measured.

Each scale of a question is a container of its own with its own files; all of a question run beside each other
and are asked in turns, so that what else happens on the machine meets all of them.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
from contextlib import ExitStack, nullcontext
from itertools import cycle, islice
from typing import TYPE_CHECKING

import attrs

from benchmarks.load_host import LoadHost, Stalls
from benchmarks.long_poll import long_poll_seconds
from benchmarks.wire_load import Peer, batch_frame, pull_frame, send_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from multiprocessing.synchronize import Event
    from pathlib import Path

__all__ = ["Answer", "Figure", "Sizes", "backlog_and_cold_reads", "brokers", "connections", "topics"]

TOPIC, TAIL_TOPIC = "Growth", "Tail"
BODY = bytes(256)
SMALL_BODY = bytes(16)
DEPTH = 32
QUEUES = 4
_FILL_BATCH = 100
_FILL_DEPTH = 8
_TAIL_RATE = 500
_COLD_MESSAGES = 100_000
_TOGETHER = 64
_CREATED_TOGETHER = 100
_LOG_MIB = "128"
"""Of a commit log file beside 8 of a short queue: a queue has several, and only the last one is written."""
_LONG = 2_000_000


@attrs.frozen
class Sizes:
    """How much is asked for.

    Attributes:
        messages: of one load of one round.
        rounds: counted ones; one more warms up.
        topics, brokers, connections, backlog: the scales, the first one is what the others are compared with.
        tail_seconds: of one stretch of the consumer at the tail.
    """

    messages: int
    rounds: int
    topics: tuple[int, ...]
    brokers: tuple[int, ...]
    connections: tuple[int, ...]
    backlog: tuple[int, ...]
    tail_seconds: float


@attrs.frozen
class Figure:
    """One value at one scale.

    Attributes:
        what: what was asked for.
        scale: of the thing that grows.
        micros: per operation: CPU of the container's process, or a latency.
    """

    what: str
    scale: str
    micros: float


@attrs.frozen
class Answer:
    """What came out of a question.

    Attributes:
        grows: the thing whose scales are compared.
        figures: of all loads at all scales; the first scale of a load is its base.
        stalls: of each container while it was measured, by a label.
    """

    grows: str
    figures: list[Figure]
    stalls: dict[str, Stalls]


@attrs.frozen
class _Case:
    what: str
    scale: str
    host: LoadHost
    operations: int
    run: Callable[[], None]


def _measured(cases: list[_Case], rounds: int) -> list[Figure]:
    """Runs the cases in turns; medians over the rounds, in the order of the cases."""
    seen: dict[int, list[float]] = {}
    for number in range(-1, rounds):
        order = list(enumerate(cases))
        for index, case in order if number % 2 else reversed(order):
            before = case.host.cpu_seconds()
            with case.host.loaded():
                case.run()
            case.host.settle()
            took = case.host.cpu_seconds() - before
            if number >= 0:
                seen.setdefault(index, []).append(took / case.operations)
    return [
        Figure(case.what, case.scale, statistics.median(seen[index]) * 1e6)
        for index, case in enumerate(cases)
    ]


def _exchange_all(peer: Peer, frames: list[bytes], depth: int) -> None:
    for first in range(0, len(frames), depth):
        peer.exchange(frames[first : first + depth])


def _prepare(host: LoadHost, frames: list[bytes], depth: int = DEPTH) -> None:
    """Over a connection of its own: what takes minutes lets those beside it time out."""
    peer = host.connect()
    try:
        _exchange_all(peer, frames, depth)
    finally:
        peer.close()


def _in_turns(peers: list[Peer], frames: list[bytes], depth: int) -> None:
    """`depth` frames to one peer, the next ones to the next one."""
    for peer, first in zip(cycle(peers), range(0, len(frames), depth), strict=False):
        peer.exchange(frames[first : first + depth])


def _together(peers: list[Peer], frames: list[bytes], count: int) -> None:
    """One frame to each of `count` peers at a time, the next ones to the next ones."""
    turn = cycle(peers)
    for first in range(0, len(frames), count):
        chosen = list(islice(turn, count))
        for peer, frame in zip(chosen, frames[first : first + count], strict=False):
            peer.write(frame)
        for peer, _ in zip(chosen, frames[first : first + count], strict=False):
            peer.read(1)


def _sends(count: int, topic_count: int = 1, queues: int = QUEUES) -> list[bytes]:
    """Over all topics, then over so many of their queues."""
    return [
        send_frame(_name(TOPIC, each % topic_count), each // topic_count % queues, BODY, each)
        for each in range(count)
    ]


def _name(topic: str, number: int) -> str:
    return f"{topic}-{number}"


def topics(sizes: Sizes) -> Answer:
    """Messages go to one topic after the other, or to one while all others are silent."""
    with ExitStack() as stack:
        cases: list[_Case] = []
        hosts: dict[int, LoadHost] = {}
        creating: dict[str, Stalls] = {}
        for count in sizes.topics:
            host = stack.enter_context(LoadHost())
            host.quiet()
            # Creates them, many at a time: their table is written before a producer is told of a new one.
            _prepare(host, _sends(max(count, DEPTH), count, queues=1), _CREATED_TOGETHER)
            creating[f"while {count:,} topics are created"] = host.stalls()
            hosts[count] = host
        for count, host in hosts.items():
            host.quiet()
            peer = _connected(stack, host)
            numbers = range(sizes.messages)
            loads = {
                f"sends, {DEPTH} at a time, to all in turn": _sends(sizes.messages, count, queues=1),
                f"sends, {DEPTH} at a time, to one of them": _sends(sizes.messages, queues=1),
                f"pulls, {DEPTH} at a time, from all in turn": [
                    pull_frame(_name(TOPIC, each % count), 0, 0, 1) for each in numbers
                ],
                f"pulls, {DEPTH} at a time, from one of them": [pull_frame(_name(TOPIC, 0), 0, 0, 1)]
                * sizes.messages,
            }
            cases += [
                _Case(what, f"{count:,}", host, len(frames), _later(_exchange_all, peer, frames, DEPTH))
                for what, frames in loads.items()
            ]
        figures = _measured(cases, sizes.rounds)
        return Answer("topics", figures, creating | _stalls(hosts, "topics"))


def brokers(sizes: Sizes) -> Answer:
    """Messages go to one broker after the other, some at a time, over a connection to each."""
    depth = DEPTH // 2
    with ExitStack() as stack:
        cases: list[_Case] = []
        hosts: dict[int, LoadHost] = {}
        for count in sizes.brokers:
            host = stack.enter_context(LoadHost("--brokers", str(count)))
            peers = [_connected(stack, host, number) for number in range(count)]
            for peer in peers:
                _exchange_all(peer, _sends(DEPTH), depth)
            host.quiet()
            hosts[count] = host
            sends = _sends(sizes.messages)
            pulls = [pull_frame(_name(TOPIC, 0), 0, 0, 1)] * sizes.messages
            cases += [
                _Case(what, f"{count:,}", host, len(frames), _later(_in_turns, peers, frames, depth))
                for what, frames in (
                    (f"sends, {depth} at a time", sends),
                    (f"pulls, {depth} at a time", pulls),
                )
            ]
        figures = _measured(cases, sizes.rounds)
        return Answer("brokers", figures, _stalls(hosts, "brokers"))


def connections(sizes: Sizes) -> Answer:
    """Messages go over one connection after the other; or over one, beside which all others are silent."""
    with ExitStack() as stack:
        cases: list[_Case] = []
        hosts: dict[int, LoadHost] = {}
        for count in sizes.connections:
            host = stack.enter_context(LoadHost())
            peers = [_connected(stack, host) for _ in range(count)]
            _exchange_all(peers[0], _sends(DEPTH), DEPTH)
            host.quiet()
            hosts[count] = host
            many = _sends(sizes.messages)
            few = many[: sizes.messages // 4]
            pulls = [pull_frame(_name(TOPIC, 0), 0, 0, 1)] * len(few)
            loads: list[tuple[str, list[bytes], Callable[[], None]]] = [
                ("sends, one at a time, over all in turn", few, _later(_in_turns, peers, few, 1)),
                ("pulls, one at a time, over all in turn", pulls, _later(_in_turns, peers, pulls, 1)),
                (
                    f"sends, {DEPTH} at a time, over one of them",
                    many,
                    _later(_exchange_all, peers[0], many, DEPTH),
                ),
            ]
            if count >= _TOGETHER:
                what = f"sends, one on each of {_TOGETHER} at a time"
                loads.append((what, few, _later(_together, peers, few, _TOGETHER)))
            cases += [_Case(what, f"{count:,}", host, len(frames), run) for what, frames, run in loads]
        figures = _measured(cases, sizes.rounds)
        return Answer("connections", figures, _stalls(hosts, "connections"))


def backlog_and_cold_reads(sizes: Sizes) -> Iterator[Answer]:
    """Load at the tail of a short and a long queue; then readers of what is no longer in memory."""
    with ExitStack() as stack:
        cases: list[_Case] = []
        hosts: dict[int, LoadHost] = {}
        for count in sizes.backlog:
            host = stack.enter_context(LoadHost("--log-size", _LOG_MIB if count >= _LONG else "8"))
            _prepare(host, _batches(_each_queue(count)), _FILL_DEPTH)
            hosts[count] = host
        for count, host in hosts.items():
            filled = _each_queue(count)
            host.quiet()
            peer = _connected(stack, host)
            sends = _sends(sizes.messages)
            pulls = [
                pull_frame(_name(TOPIC, 0), 0, filled + each % DEPTH, 1) for each in range(sizes.messages)
            ]
            cases += [
                _Case(what, f"{count:,}", host, len(frames), _later(_exchange_all, peer, frames, DEPTH))
                for what, frames in ((f"sends, {DEPTH} at a time", sends), ("pulls at the tail", pulls))
            ]
        figures = _measured(cases, sizes.rounds)
        yield Answer("messages in the queues", figures, _stalls(hosts, "messages"))
        longest = max(hosts)
        yield _cold_reads(hosts[longest], _each_queue(longest), sizes)


def _each_queue(count: int) -> int:
    """Messages in each of the queues, whole batches."""
    return count // (_FILL_BATCH * QUEUES) * _FILL_BATCH


def _batches(each_queue: int) -> list[bytes]:
    """Small messages for all queues."""
    frames = [batch_frame(_name(TOPIC, 0), queue, SMALL_BODY, _FILL_BATCH) for queue in range(QUEUES)]
    return list(islice(cycle(frames), each_queue // _FILL_BATCH * QUEUES))


def _cold_reads(host: LoadHost, filled: int, sizes: Sizes) -> Answer:
    with ExitStack() as stack:
        peer, tail = _connected(stack, host), _connected(stack, host)
        span = min(_COLD_MESSAGES, filled // 4)
        places = {
            "near the tail": filled - span,
            "far back, in the page cache": 0,
            "far back, on disk": span * 2,
        }
        what = f"catch-up reads of {DEPTH}, per message"
        host.quiet()
        figures, seen = [], dict[str, list[float]]()
        for _ in range(sizes.rounds):
            for place, first in places.items():
                if place.endswith("disk"):
                    drop_page_cache(host.directory)
                else:
                    _read_range(peer, first, span)  # into the page cache
                before = host.cpu_seconds()
                read = _read_range(peer, first, span)
                seen.setdefault(place, []).append((host.cpu_seconds() - before) / read)
        figures += [Figure(what, place, statistics.median(each) * 1e6) for place, each in seen.items()]
        stalls = {"catch-up reads": host.stalls()}

        tail.exchange([send_frame(TAIL_TOPIC, 0, BODY)])
        readers: dict[str, AbstractContextManager[None] | None] = {
            "alone": None,
            "beside a reader of the page cache": _Reader(host, span, cold=False),
            "beside a reader of the disk": _Reader(host, filled // 2, cold=True),
        }
        latencies: dict[str, list[float]] = {}
        _read_range(peer, 0, span)
        host.quiet()
        for _ in range(2):
            for label, reader in readers.items():
                with nullcontext() if reader is None else reader:
                    latencies.setdefault(label, []).extend(_tail(host, sizes.tail_seconds))
        stalls["tail beside readers"] = host.stalls()
        for label, seconds in latencies.items():
            for share in (50, 99):
                value = statistics.quantiles(seconds, n=100)[share - 1]
                figures.append(Figure(f"a message to its waiting consumer, p{share}", label, value * 1e6))
        return Answer("readers of old messages", figures, stalls)


def _tail(host: LoadHost, seconds: float) -> list[float]:
    return long_poll_seconds(
        host.addresses[0], TAIL_TOPIC, rate=_TAIL_RATE, warm_up_seconds=0.5, seconds=seconds, body_bytes=256
    )


def _read_range(peer: Peer, first: int, count: int) -> int:
    """Pulls from queue 0 on `first`; returns how many messages came."""
    offset = first
    while offset < first + count:
        offset = peer.pull(pull_frame(_name(TOPIC, 0), 0, offset, DEPTH))
    return offset - first


class _Reader:
    """For a block: a process that reads queue 0 from its beginning, over and over.

    Args:
        count: where it begins again.
        cold: it has the system forget the files before each beginning.
    """

    def __init__(self, host: LoadHost, count: int, *, cold: bool) -> None:
        self._arguments = host.addresses[0], host.directory if cold else None, count

    def __enter__(self) -> None:
        context = multiprocessing.get_context("fork")
        self._stop = context.Event()
        self._process = context.Process(target=_read_on, args=(*self._arguments, self._stop), daemon=True)
        self._process.start()

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._process.join()


def _read_on(address: str, dropped: Path | None, count: int, stop: Event) -> None:
    peer = Peer(address)
    while not stop.is_set():
        if dropped is not None:
            drop_page_cache(dropped)
        offset = 0
        while offset < count and not stop.is_set():
            offset = peer.pull(pull_frame(_name(TOPIC, 0), 0, offset, DEPTH))
    peer.close()


def drop_page_cache(directory: Path) -> None:
    """Has the system forget the pages of commit log and queue files, except for those that are written."""
    files: dict[Path, list[Path]] = {}
    for path in directory.glob("stores/*/co*/**/0*"):
        if path.is_file():
            files.setdefault(path.parent, []).append(path)
    for group in files.values():
        for path in sorted(group)[:-2]:  # the very last one may have been created ahead
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fdatasync(descriptor)
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)


def _connected(stack: ExitStack, host: LoadHost, broker: int = 0) -> Peer:
    peer = host.connect(broker)
    stack.callback(peer.close)
    return peer


def _later(function: Callable[..., None], *arguments: object) -> Callable[[], None]:
    return lambda: function(*arguments)


def _stalls(hosts: dict[int, LoadHost], what: str) -> dict[str, Stalls]:
    return {f"{count:,} {what}": host.stalls() for count, host in hosts.items()}
