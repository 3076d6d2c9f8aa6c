"""Runs a schedule: the real store and the real offset table on a simulated disk, watched by the model.

Everything is deterministic. Time is virtual (`trio.testing.MockClock`), tasks run in an order that the seed
decides, and what the product gives to worker threads runs in the event loop, at a moment that the seed
decides. One *life* is one process: it ends in order, by a failed service, or by a crash in the midst of
some operation of the disk.
"""

from __future__ import annotations

import errno
import logging
from contextlib import contextmanager
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple
from unittest import mock

import outcome
import trio
import trio.testing

from remoting.protocol.message import encode_host
from store import FlushDiskType, GetStatus, MessageStore, MessageStoreConfig, PutStatus
from store.errors import StoreError
from store.path_registry import PROCESS_PATHS
from tests.simulation.disk import SimulatedDisk
from tests.simulation.model import DELAY_LEVELS, MAX_BODY_BYTES, MismatchError, Model, java_hash, require
from tests.simulation.offsets import OffsetsModel
from tests.simulation.schedule import (
    GROUPS,
    HOURS,
    TOPICS,
    Check,
    Clean,
    Commit,
    Crash,
    DropTopic,
    Fault,
    Heal,
    Later,
    Pull,
    Query,
    Schedule,
    Send,
    Sleep,
    Stop,
    derive,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from broker.offsets import ConsumerOffsetManager
    from store import GetResult
    from tests.simulation.model import Sent
    from tests.simulation.schedule import Step

__all__ = ["FailedScheduleError", "failing_seeds", "quiet", "run_schedule"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

ROOT = "/store"
START_MS = 1_700_000_000_000
_LIVES_MAX = 200


class FailedScheduleError(AssertionError):
    """A schedule found something wrong; the cause says what, `trace` what had happened."""

    def __init__(self, schedule: Schedule, cause: BaseException, trace: list[str]) -> None:
        super().__init__(f"seed {schedule.seed}: {type(cause).__name__}: {cause}")
        self.schedule = schedule
        self.trace = trace


class _Ended(BaseException):
    """The process is killed or the machine is off: nothing can be caught any more."""


def run_schedule(schedule: Schedule, *, trace: Callable[[str], None] | None = None) -> SimulatedDisk:
    """Run one schedule and return its disk.

    Args:
        schedule: What to do.
        trace: Gets a line for each step and each crash.

    Raises:
        FailedScheduleError: the store broke a promise, or itself.
    """
    driver = _Driver(schedule, trace)
    try:
        with _deterministic(schedule.seed):
            trio.run(driver.main, clock=trio.testing.MockClock(autojump_threshold=0))
    except Exception as error:
        raise FailedScheduleError(schedule, error, driver.traced) from error
    return driver.disk


def failing_seeds(seeds: Iterable[int]) -> list[tuple[int, str]]:
    """Run the schedules of `seeds`; returns those that fail, each with what is wrong."""
    quiet()
    failures = []
    for seed in seeds:
        try:
            run_schedule(derive(seed))
        except FailedScheduleError as failure:
            failures.append((seed, str(failure)))
    return failures


def quiet() -> None:
    """No lines of log: thousands of schedules write too many."""
    logging.getLogger("rocketmq").setLevel(logging.CRITICAL + 1)


@contextmanager
def _deterministic(seed: int) -> Iterator[None]:
    """Tasks in an order of the seed's, worker threads without threads, and no lines of log."""
    run = trio._core._run
    random = Random(f"threads {seed}")

    async def run_sync(
        function: Callable[[*Ts], T], *arguments: *Ts, abandon_on_cancel: bool = False, **_: object
    ) -> T:
        return await _as_in_a_thread(random, lambda: function(*arguments), abandon=abandon_on_cancel)

    with (
        mock.patch.object(run, "_ALLOW_DETERMINISTIC_SCHEDULING", True),
        mock.patch.object(run, "_r", Random(f"tasks {seed}")),
        mock.patch.object(PROCESS_PATHS, "_owners", {}),
        mock.patch.object(trio.to_thread, "run_sync", run_sync),
    ):
        yield


async def _as_in_a_thread(random: Random, function: Callable[[], T], *, abandon: bool) -> T:
    """Call `function` between some turns of the loop; like a thread it is not stopped by a cancellation."""
    await trio.lowlevel.checkpoint_if_cancelled()
    with trio.CancelScope(shield=not abandon):
        try:
            await _turns(random)
        except trio.Cancelled:
            outcome.capture(function)  # abandoned: it runs to its end, and nobody hears of it
            raise
        result = outcome.capture(function)
        await _turns(random)
    return result.unwrap()


async def _turns(random: Random) -> None:
    for _ in range(random.choice((0, 0, 1, 3))):
        await trio.lowlevel.checkpoint()


class _Clock:
    """The wall clock of the simulation: it goes with the virtual time of the run, and jumps.

    Attributes:
        ahead_ms: How far it has jumped: hours in which the services would only have looked at the clock.
    """

    def __init__(self) -> None:
        self.ahead_ms = 0

    def now_ms(self) -> int:
        return START_MS + self.ahead_ms + int(trio.current_time() * 1000)


class _Driver:
    """One schedule under way."""

    def __init__(self, schedule: Schedule, trace: Callable[[str], None] | None) -> None:
        self.setup = setup = schedule.setup
        self.seed = schedule.seed
        self.disk = SimulatedDisk(schedule.seed, capacity_bytes=setup.capacity_bytes)
        self.disk.fail = self._before
        self.disk.cold = setup.cold
        self.clock = _Clock()
        self.disk.now_ms = self.clock.now_ms
        self.random = Random(f"driver {schedule.seed}")
        self.store_host = ("fe80::1", 10911) if setup.ipv6_store else ("10.9.8.7", 10911)
        self.model = Model(
            log_bytes=setup.log_bytes,
            store_host=encode_host(*self.store_host),
            sync_flush=setup.sync_flush,
            index=setup.index,
        )
        self.offsets = OffsetsModel()
        self.steps = schedule.steps
        self.position = 0
        self.traced: list[str] = []
        self._trace = trace
        self._faults: list[list[Any]] = []
        self._faults_met = 0
        self._armed: int | None = None
        self._is_watching = False
        self._crash = Crash("process", 0)
        self._ended: str | None = "clean"
        self._is_compared = False
        self._saved_generation = 0
        self._failure: BaseException | None = None
        self._do: dict[type[Any], Callable[[Any], Any]] = {
            Send: self._send,
            Pull: self._pull,
            Query: self._query,
            Commit: self._commit,
            Sleep: self._sleep,
            Later: self._later,
            Clean: self._clean,
            DropTopic: self._drop_topic,
            Check: self._check,
            Fault: self._fault,
            Heal: self._heal,
        }

    def _say(self, text: str) -> None:
        self.traced.append(text)
        if self._trace is not None:
            self._trace(text)

    # The disk

    @contextmanager
    def _watching(self) -> Iterator[None]:
        """Inside nothing fails and nobody dies: the driver reads, not the product."""
        self._is_watching = True
        try:
            yield
        finally:
            self._is_watching = False

    def _before(self, operation: str, path: str) -> int | None:
        if self._ended in ("process", "power"):
            raise _Ended
        if self._is_watching:
            return None
        if self._armed is not None:
            self._armed -= 1
            if self._armed < 0:
                self._die(f"in {operation} {path}")
        for fault in self._faults:
            kind, part, number, skip, count = fault
            if kind == operation and part in path and count:
                if skip:
                    fault[3] -= 1
                    continue
                fault[4] -= 1
                self._faults_met += 1
                self._say(f"      {operation} {path} fails with {errno.errorcode[number]}")
                return int(number)
        return None

    def _die(self, where: str) -> None:
        self._armed = None
        self._ended = self._crash.keep
        self._say(f"      {self._crash.keep} ends {where}")
        raise _Ended

    # Lives

    async def main(self) -> None:
        for _ in range(_LIVES_MAX):
            done = self.position >= len(self.steps)
            if done:
                self._faults.clear()
                self._armed = None
            await self._live()
            if done:
                break
        else:
            raise AssertionError("no end of lives")
        require(self.disk.open_handles() == [], f"left open: {self.disk.open_handles()}")

    async def _live(self) -> None:
        """One process, from its start to its end."""
        how = self._ended
        assert how is not None
        self._begin_life()
        store = MessageStore(
            self._config(),
            broker_name="broker-a",
            store_host=self.store_host,
            files=self.disk,
            clock=self.clock,
        )
        self.store = store
        self._say(f"    start after {how}")
        try:
            ended = await self._whole_life(store, how)
        except BaseException as error:
            if self._ended is None or not _only_ended(error):
                raise
            self._crashed(store)
            if not self._is_compared and how == "power":
                self._ended = how
        else:
            self._ended = ended

    def _begin_life(self) -> None:
        self._ended = self._failure = None
        self._is_compared = False

    def _crashed(self, store: MessageStore) -> None:
        assert self._ended in ("process", "power")
        if store._loaded:
            self.model.kept = max(self.model.kept, store.flushed_offset)
            self.model.minimum = store.min_phy_offset
        self._note_trust(store)
        keep = self._ended
        self.disk.crash(self.random, keep, names=self.setup.names)  # type: ignore[arg-type]
        PROCESS_PATHS._owners.clear()  # what a process knows goes with it

    def _note_trust(self, store: MessageStore) -> None:
        if not store._behind.trusted:
            self.model.queues_synced = False

    async def _whole_life(self, store: MessageStore, how: str) -> str:
        """Returns how it ended: ``clean``, or ``failed``, which keeps as much as a kill does."""
        met = self._faults_met
        undo: list[Callable[[], None]] = [store.release]
        try:
            store.reserve()
            undo.insert(0, store.shutdown)
            table = self.offsets.open_table(ROOT, self.disk, self.clock.now_ms())
            undo.insert(0, table.release)
            table.load()
            store.load()
        except StoreError as error:
            self._say(f"    start fails: {error}")
            require(self._faults_met > met, f"cannot start though the disk is well: {error}")
            self._undo(undo)
            self._heal(Heal())
            return "power" if how == "power" else "process"
        self.table = table
        if store.min_phy_offset > self.model.minimum:
            self._follow_retention()
        with self._watching():
            self.model.recovered(store, how)
        self.offsets.recovered(table, how, self._saved_generation)
        self._is_compared = True
        self._say(f"    {store.recovery}")
        self._saved_generation = 0
        try:
            await self._serve(store, table)
        finally:
            self._saved_generation = table.file._saved_generation
        return self._stop(store, table, undo)

    async def _serve(self, store: MessageStore, table: ConsumerOffsetManager) -> None:
        with trio.CancelScope() as self._scope:
            await self._save(table)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(table.file.run, lambda: self.setup.offsets_ms / 1000)
                await nursery.start(self._run_store, store)
                try:
                    await self._steps()
                finally:
                    nursery.cancel_scope.cancel()
        self._raise_failure()
        await self._save(table)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            self._say(f"    a service failed: {self._failure!r}")

    async def _run_store(self, store: MessageStore, *, task_status: trio.TaskStatus[None]) -> None:
        try:
            await store.run(task_status=task_status)
        except* StoreError as failure:
            self._failure = failure
            self._scope.cancel()

    async def _save(self, table: ConsumerOffsetManager) -> None:
        try:
            await table.file.saved()
        except StoreError as error:
            self._say(f"      offsets are not saved: {error}")

    def _stop(self, store: MessageStore, table: ConsumerOffsetManager, undo: list[Callable[[], None]]) -> str:
        """The way back of `broker.broker`: journal, store, paths."""
        if not table.file.dirty:
            undo.insert(0, table.close)
        met = self._faults_met
        store_was_well = self._failure is None
        failed = self._undo(undo)
        had_reason = self._faults_met > met or store._log.sync_failure is not None
        require(had_reason or not failed, f"cannot stop though the disk is well: {failed}")
        self.model.kept = max(self.model.kept, store.flushed_offset)
        self._follow_retention()
        self._note_trust(store)
        clean = store_was_well and not failed and not self.disk.exists(f"{ROOT}/abort")
        self._saved_generation = table.file._saved_generation
        require(self.disk.open_handles() == [], f"left open: {self.disk.open_handles()}")
        self._say(f"    stopped {'in order' if clean else 'with abort'}")
        return "clean" if clean else "process"

    def _undo(self, undo: list[Callable[[], None]]) -> list[StoreError]:
        failed = []
        for each in undo:
            try:
                each()
            except StoreError as error:
                self._say(f"      {each.__name__} fails: {error}")
                failed.append(error)
        return failed

    def _config(self) -> MessageStoreConfig:
        setup = self.setup
        logs = [f"{ROOT}/commitlog", *(f"{ROOT}/commitlog{each}" for each in range(1, setup.directories))]
        return MessageStoreConfig(
            store_path_root_dir=ROOT,
            store_path_commit_log=",".join(logs),
            mapped_file_size_commit_log=setup.log_bytes,
            mapped_file_size_consume_queue=setup.queue_bytes,
            flush_disk_type=FlushDiskType.SYNC_FLUSH if setup.sync_flush else FlushDiskType.ASYNC_FLUSH,
            flush_interval_commit_log=setup.flush_ms,
            flush_commit_log_least_pages=1,
            flush_commit_log_thorough_interval=setup.flush_ms * 3,
            flush_interval_consume_queue=setup.queue_ms,
            flush_consume_queue_thorough_interval=setup.checkpoint_ms,
            max_message_size=MAX_BODY_BYTES,
            message_delay_level=DELAY_LEVELS,
            message_index_enable=setup.index,
            max_hash_slot_num=setup.slots,
            max_index_num=setup.index_entries,
            file_reserved_time=setup.reserved_hours,
            delete_when=HOURS if setup.any_hour else "04",
            clean_resource_interval=setup.clean_ms,
            delete_commit_log_files_interval=0,
            disk_max_used_space_ratio=100,
            disk_space_reserved_bytes=0,
            hot_tail_bytes=setup.hot_tail_bytes,
            max_unwritten_entries=setup.unwritten_entries,
        )

    # Steps

    async def _steps(self) -> None:
        while self.position < len(self.steps):
            step: Step = self.steps[self.position]
            self.position += 1
            self._say(f"{self.position - 1:3d} {step}")
            if isinstance(step, Stop):
                return
            if isinstance(step, Crash):
                self._crash, self._armed = step, step.after
                if not step.after:
                    self._die("now")
                continue
            done = self._do[type(step)](step)
            if done is not None:
                await done
            self._follow_retention()

    def _follow_retention(self) -> None:
        """Only whole files that are expired may go."""
        store, model = self.store, self.model
        minimum = store.min_phy_offset
        if minimum == model.minimum:
            return
        require(minimum > model.minimum, f"the log begins at {minimum}, before {model.minimum}")
        require(minimum % self.setup.log_bytes == 0, f"the log begins at {minimum}, within a file")
        reserved_ms = self.setup.reserved_hours * 3_600_000
        limited = self.setup.capacity_bytes < 1 << 62
        for sent in model.log:
            if model.minimum <= sent.physical < minimum:
                expired = sent.timestamp + reserved_ms <= self.clock.now_ms()
                require(expired or limited, f"{sent} was deleted before its time")
        model.minimum = minimum

    async def _send(self, step: Send) -> None:
        model, store = self.model, self.store
        now_ms = self.clock.now_ms()
        sent = [model.drafted(draft, now_ms) for draft in step.drafts]
        model.begun(sent)
        whole = [(0, len(sent))] if step.is_batch else []
        results = store.put([model.message(each) for each in sent], whole)
        model.answered(sent, results, now_ms)
        if step.is_batch:
            model.check_whole(sent)
        stored = [(each, result) for each, result in zip(sent, results, strict=True) if result.ok]
        self._say(f"      {[result.status.name for result in results if not result.ok] or 'stored'}")
        if stored:
            store.when_durable(stored[-1][1].end_offset, lambda status: self._acked(stored, status))
        await trio.lowlevel.checkpoint()

    def _acked(self, stored: list[tuple[Sent, Any]], status: PutStatus) -> None:
        if self._ended is not None or status is not PutStatus.PUT_OK:
            return
        for sent, _ in stored:
            sent.acknowledged = True
        if self.setup.sync_flush:
            self.model.kept = max(self.model.kept, stored[-1][1].end_offset)

    async def _pull(self, step: Pull) -> None:
        store = self.store
        topic = TOPICS[step.topic]
        offset = int(step.share * max(store.max_offset(topic, step.queue), 1))
        code = None if step.tag is None else java_hash(step.tag)
        match = None if code is None else (lambda found: found == code)
        arguments = (GROUPS[0], topic, step.queue, offset, step.most, step.most_bytes, match)
        met = self._faults_met
        try:
            result = store.get(*arguments)
            if result is None:
                result = await store.get_cold(*arguments)
        except StoreError as error:
            require(self._faults_met > met, f"a pull fails though the disk is well: {error}")
            return
        self._follow_retention()
        self._check_pulled(result, topic, step, offset, code)

    def _check_pulled(self, result: GetResult, topic: str, step: Pull, offset: int, code: int | None) -> None:
        expected = self.model.visible(topic, step.queue, self.store)
        data = b"".join(map(bytes, result.buffers))
        got: list[bytes] = []
        while data:
            size = int.from_bytes(data[:4], "big")
            got.append(data[:size])
            data = data[size:]
        require(len(got) == result.message_count, f"{result} has {len(got)} messages")
        require(len(got) <= step.most, f"{result} for {step}")
        wanted = [
            self.model.bytes_of(sent)
            for at, sent in sorted(expected.items())
            if offset <= at < result.next_begin_offset and (code is None or sent.tags_code == code)
        ]
        if result.status in (GetStatus.FOUND, GetStatus.NO_MATCHED_MESSAGE):
            require(
                got == wanted, f"{result} from {offset} is not what was sent: {len(got)} of {len(wanted)}"
            )
        else:
            require(not got, f"{result} has messages")
        if result.status is not GetStatus.FOUND and offset in expected and code is None:
            raise MismatchError(f"{result} from {offset}, where {expected[offset]} is")

    def _query(self, step: Query) -> None:
        model = self.model
        there = [sent for sent in model.log if sent.physical >= model.minimum and sent.indexed_keys]
        if self.setup.sync_flush:
            there = [sent for sent in there if sent.physical < self.store.flushed_offset]
        if not there or not self.setup.index:
            return
        sent = there[int(step.share * len(there))]
        met = self._faults_met
        by_tag = step.by_tag and sent.tag
        key, index_type = (sent.tag, "T") if by_tag else (sent.keys[-1], None)
        try:
            model.check_key(self.store, sent, key, index_type)
        except StoreError as error:
            require(self._faults_met > met, f"a query fails though the disk is well: {error}")

    def _commit(self, step: Commit) -> None:
        key = (GROUPS[step.group], TOPICS[step.topic], step.queue)
        self.offsets.commit(self.table, key, step.step, reset=step.reset)
        self.offsets.check(self.table)

    async def _sleep(self, step: Sleep) -> None:
        await trio.sleep(step.ms / 1000)

    def _later(self, step: Later) -> None:
        self.clock.ahead_ms += step.ms

    async def _clean(self, _: Clean) -> None:
        self.store.delete_expired_files()
        await trio.sleep(0.01)

    def _drop_topic(self, step: DropTopic) -> None:
        topic = TOPICS[step.topic]
        met = self._faults_met
        self.model.forget_topic(topic)
        try:
            self.store.delete_topics([topic])
        except StoreError as error:
            require(self._faults_met > met, f"a topic cannot be deleted though the disk is well: {error}")

    def _check(self, _: Check) -> None:
        with self._watching():
            self.model.check(self.store)

    def _fault(self, step: Fault) -> None:
        self._faults.append([step.operation, step.part, getattr(errno, step.error), step.skip, step.count])

    def _heal(self, _: Heal) -> None:
        self._faults.clear()


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error


def _only_ended(error: BaseException) -> bool:
    return all(isinstance(each, (_Ended, trio.Cancelled)) for each in _leaves(error))
