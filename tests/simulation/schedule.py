"""What one schedule does, derived from its seed alone: a set-up and a list of steps.

A step says everything by numbers that mean something in any state (the third queue, the tenth part of
what is there), so steps can be left out of a failing schedule and the rest still runs.
"""

from __future__ import annotations

from random import Random
from typing import Literal, TypeAlias

import attrs

from remoting.protocol.message import RMQ_SYS_SCHEDULE_TOPIC

TOPICS = ("TopicTest", "orders", "%RETRY%group", "über", "l" * 150, "m" * 255, RMQ_SYS_SCHEDULE_TOPIC)
"""Names of one byte length field and of two, and the topic whose tags codes are delivery times."""

QUEUES = 3
GROUPS = ("group-a", "group-b")
TAGS = ("", "TagA", "TagB", "TagA")
HOURS = ";".join(f"{hour:02d}" for hour in range(24))


@attrs.frozen
class Draft:
    """One message to send; `topic`, `queue` and `tag` count in the lists above."""

    topic: int
    queue: int
    body_bytes: int
    tag: int = 0
    keys: int = 0
    padding_bytes: int = 0
    ipv6: bool = False
    transaction: int = 0
    delay_level: int = 0


@attrs.frozen
class Send:
    """One call of `MessageStore.put`: a single message, a batch, or what several producers sent at a time."""

    drafts: tuple[Draft, ...]
    is_batch: bool = False


@attrs.frozen
class Pull:
    """Read a queue from a share of its length on."""

    topic: int
    queue: int
    share: float
    most: int
    most_bytes: int
    tag: str | None


@attrs.frozen
class Query:
    """Ask the index for a key of the message that stands at a share of all that were sent."""

    share: float
    by_tag: bool


@attrs.frozen
class Commit:
    """Keep a consumer offset; `back` lets it go down."""

    group: int
    topic: int
    queue: int
    step: int
    reset: bool = False


@attrs.frozen
class Sleep:
    """Let the services work for a while of virtual time."""

    ms: int


@attrs.frozen
class Later:
    """The wall clock is set forward: what was stored grows old."""

    ms: int


@attrs.frozen
class Clean:
    """Delete expired files now, whatever the hour."""


@attrs.frozen
class DropTopic:
    """Delete a topic's queues, as an administrator does."""

    topic: int


@attrs.frozen
class Check:
    """Read everything and compare it with the model."""


@attrs.frozen
class Fault:
    """Operations of one kind on paths that contain `part` fail, after `skip` good ones, `count` times."""

    operation: str
    part: str
    error: Literal["EIO", "ENOSPC", "EMFILE"]
    skip: int
    count: int


@attrs.frozen
class Heal:
    """The disk is well again."""


@attrs.frozen
class Stop:
    """Stop in order and start again."""


@attrs.frozen
class Crash:
    """Kill the process or switch the machine off, in the midst of the disk operation `after` from now."""

    keep: Literal["process", "power"]
    after: int


Step: TypeAlias = (
    Send | Pull | Query | Commit | Sleep | Later | Clean | DropTopic | Check | Fault | Heal | Stop | Crash
)


@attrs.frozen(kw_only=True)
class Setup:
    """Sizes in bytes, times in the units of the configuration keys."""

    sync_flush: bool
    log_bytes: int
    queue_bytes: int
    index: bool
    slots: int
    index_entries: int
    directories: int
    ipv6_store: bool
    hot_tail_bytes: int
    reserved_hours: int
    any_hour: bool
    flush_ms: int
    queue_ms: int
    checkpoint_ms: int
    offsets_ms: int
    clean_ms: int
    unwritten_entries: int
    capacity_bytes: int
    cold: float
    names: Literal["posix", "journal"]


@attrs.frozen
class Schedule:
    """One schedule; the same seed always gives the same."""

    seed: int
    setup: Setup
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        lines = [f"seed {self.seed}", f"  {self.setup}"]
        lines += [f"  {number:3d} {step}" for number, step in enumerate(self.steps)]
        return "\n".join(lines)


_FAULTS: tuple[tuple[str, str, Literal["EIO", "ENOSPC", "EMFILE"]], ...] = (
    ("write", "commitlog", "ENOSPC"),
    ("write", "commitlog", "EIO"),
    ("write", "consumequeue", "ENOSPC"),
    ("write", "consumequeue", "EIO"),
    ("write", "index", "ENOSPC"),
    ("write", "index", "EIO"),
    ("write", "config", "ENOSPC"),
    ("write", "config", "EIO"),
    ("write", "checkpoint", "EIO"),
    ("write", "", "ENOSPC"),
    ("truncate", "commitlog", "ENOSPC"),
    ("truncate", "consumequeue", "EIO"),
    ("truncate", "", "EIO"),
    ("fdatasync", "commitlog", "EIO"),
    ("fdatasync", "commitlog", "ENOSPC"),
    ("fdatasync", "consumequeue", "EIO"),
    ("fdatasync", "index", "EIO"),
    ("fdatasync", "config", "EIO"),
    ("fdatasync", "checkpoint", "EIO"),
    ("sync directory", "", "EIO"),
    ("sync directory", "config", "EIO"),
    ("open", "", "EMFILE"),
    ("open", "commitlog", "EMFILE"),
    ("open", "consumequeue", "EMFILE"),
    ("open", "index", "EMFILE"),
    ("read", "", "EIO"),
    ("read", "commitlog", "EIO"),
    ("read", "consumequeue", "EIO"),
    ("map", "", "EIO"),
    ("rename", "config", "EIO"),
    ("remove", "", "EIO"),
    ("remove", "commitlog", "EIO"),
    ("create directory", "", "EIO"),
    ("list", "", "EIO"),
    ("stat", "", "EIO"),
    ("measure space", "", "EIO"),
    ("close", "", "EIO"),
)


class _Deriver:
    """Draws one schedule. Each seed leaves some kinds of steps out, so that the others meet more often."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._random = random = Random(f"schedule {seed}")
        self._topics = random.sample(range(len(TOPICS)), random.randint(1, 4))
        self._queues = random.randint(1, QUEUES)
        self._largest = random.choice((30, 300, 1500, 3000))
        self._batches = random.choice((1, 2, 5, 12))
        self._transactions = random.random() < 0.15
        self._offsets = random.random() < 0.5
        self._faults = random.choice((0.0, 0.0, 0.5, 2.0))
        self._drops = random.random() < 0.1
        self._alike = random.random() < 0.25  # one message fits where another was

    def schedule(self) -> Schedule:
        return Schedule(self._seed, self._setup(), tuple(self._steps()))

    def _setup(self) -> Setup:
        random = self._random
        log_bytes = random.choice((4096, 4096, 8192, 20000, 65536))
        capacity_bytes = random.choice((1 << 62, 1 << 62, 1 << 62, 40 * log_bytes, 400 << 10))
        # A full disk keeps a broker from starting only when memory cannot take the entries either.
        entries = (5, 600_000, 600_000) if capacity_bytes == 1 << 62 else (600_000,)
        return Setup(
            sync_flush=random.random() < 0.4,
            log_bytes=log_bytes,
            queue_bytes=20 * random.choice((1, 3, 10, 50, 300)),
            index=random.random() < 0.85,
            slots=random.choice((1, 7, 50)),
            index_entries=random.choice((2, 5, 20, 200)),
            directories=random.choice((1, 1, 1, 2, 3)),
            ipv6_store=random.random() < 0.2,
            hot_tail_bytes=random.choice((0, 4096, 1 << 28)),
            reserved_hours=random.choice((0, 1, 72)),
            any_hour=random.random() < 0.3,
            flush_ms=random.choice((1, 200, 500, 5000)),
            queue_ms=random.choice((1, 100, 1000, 10_000)),
            checkpoint_ms=random.choice((200, 1000, 10_000, 60_000)),
            offsets_ms=random.choice((1, 1000, 5000)),
            clean_ms=random.choice((2000, 10_000)),
            unwritten_entries=random.choice(entries),
            capacity_bytes=capacity_bytes,
            cold=random.choice((0.0, 0.0, 0.3)),
            names=random.choice(("posix", "journal")),
        )

    def _steps(self) -> list[Step]:
        random = self._random
        weights: dict[str, float] = {
            "send": 10.0,
            "pull": random.choice((0.0, 2.0)),
            "query": random.choice((0.0, 1.0)),
            "commit": 5.0 if self._offsets else 0.0,
            "sleep": random.choice((1.0, 4.0)),
            "later": random.choice((0.0, 0.5)),
            "clean": random.choice((0.0, 0.5)),
            "drop": 0.5 if self._drops else 0.0,
            "check": 0.3,
            "fault": self._faults,
            "heal": self._faults / 2,
            "stop": random.choice((0.0, 0.5, 1.0)),
            "crash": random.choice((0.3, 1.0)),
        }
        kinds = random.choices(list(weights), list(weights.values()), k=random.randint(8, 50))
        steps: list[Step] = [getattr(self, f"_{kind}")() for kind in kinds]
        return steps

    def _draft(self) -> Draft:
        random = self._random
        topic = random.choice(self._topics)
        if self._alike and TOPICS[topic] != RMQ_SYS_SCHEDULE_TOPIC:
            return Draft(self._topics[0], random.randrange(self._queues), self._largest, keys=1)
        return Draft(
            topic,
            random.randrange(self._queues),
            random.randint(0, self._largest),
            tag=random.randrange(len(TAGS)),
            keys=random.choice((0, 1, 1, 2, 5)),
            padding_bytes=random.choice((0, 0, 20, 700)),
            ipv6=random.random() < 0.1,
            transaction=random.choice((0, 0, 4, 8, 12)) if self._transactions else 0,
            delay_level=random.randint(1, 3) if TOPICS[topic] == RMQ_SYS_SCHEDULE_TOPIC else 0,
        )

    def _send(self) -> Send:
        count = self._random.randint(1, self._batches)
        if self._random.random() < 0.3:  # a batch of one producer: all for one queue
            first = self._draft()
            return Send(
                tuple(
                    attrs.evolve(self._draft(), topic=first.topic, queue=first.queue, ipv6=first.ipv6,
                                 delay_level=first.delay_level)
                    for _ in range(count)
                ),
                is_batch=True,
            )  # fmt: skip
        return Send(tuple(self._draft() for _ in range(count)))

    def _pull(self) -> Pull:
        random = self._random
        return Pull(
            random.choice(self._topics),
            random.randrange(self._queues),
            random.choice((0.0, random.random(), 1.0, 1.2)),
            random.choice((1, 4, 32)),
            random.choice((100, 1000, 1 << 20)),
            random.choice((None, "TagA", "TagB")),
        )

    def _query(self) -> Query:
        return Query(self._random.random(), self._random.random() < 0.3)

    def _commit(self) -> Commit:
        random = self._random
        return Commit(
            random.randrange(len(GROUPS)),
            random.choice(self._topics),
            random.randrange(self._queues),
            random.choice((1, 1, 5, -2)),
            reset=random.random() < 0.1,
        )

    def _sleep(self) -> Sleep:
        return Sleep(self._random.choice((0, 1, 50, 1000, 4000, 20_000)))

    def _later(self) -> Later:
        return Later(self._random.choice((5000, 70_000, 4_000_000, 300_000_000)))

    def _clean(self) -> Clean:
        return Clean()

    def _drop(self) -> DropTopic:
        return DropTopic(self._random.choice(self._topics))

    def _check(self) -> Check:
        return Check()

    def _fault(self) -> Fault:
        random = self._random
        operation, part, error = random.choice(_FAULTS)
        return Fault(operation, part, error, random.choice((0, 0, 1, 3, 8)), random.choice((1, 1, 2, 1000)))

    def _heal(self) -> Heal:
        return Heal()

    def _stop(self) -> Stop:
        return Stop()

    def _crash(self) -> Crash:
        random = self._random
        return Crash(
            random.choice(("process", "power")),
            random.choice((0, random.randint(1, 10), random.randint(1, 80))),
        )


def derive(seed: int) -> Schedule:
    """The schedule of a seed."""
    return _Deriver(seed).schedule()
