"""One broker's store: what the broker calls.

Life: `reserve` → `load` (worker thread) → `run` (task) → `shutdown` (worker thread) →
`release`. `put`, `get` and the offset questions belong to the event loop; what may wait
for the disk says so and belongs to a worker thread.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from typing import TYPE_CHECKING

import attrs
import trio

from remoting.protocol.message import (
    TRANSACTION_MASK,
    TRANSACTION_ROLLBACK_TYPE,
    encode_host,
    is_system_topic,
)
from store.append import Appender
from store.checkpoint import AbortMarker, load_checkpoint
from store.cleaner import Cleaner, CleanerStatistics
from store.clock import Clock, SystemClock
from store.commit_log import CommitLog, CommitLogStatistics
from store.config import BrokerRole, FlushDiskType, MessageStoreConfig
from store.consume_queue import PADDING_SIZE, UNIT, UNIT_BYTES, Boundary
from store.delay_levels import DelayLevels
from store.errors import StoreError, StoreIOError
from store.files import FileSystem, OsFileSystem
from store.flush import FlushService, FlushStatistics
from store.index import IndexStatistics, MessageIndex, typed_key
from store.message_codec import (
    FIXED_BYTES,
    MAGIC_V1,
    MAGIC_V2,
    STORE_TIMESTAMP_PREFIX_BYTES,
    frame_of,
    read_store_timestamp,
)
from store.path_registry import PathReservation, reserve_paths
from store.queue_table import QueueTable, QueueTableStatistics
from store.rates import Rates
from store.records import Arrival, GetResult, GetStatus, Message, PutResult, PutStatus, QueryResult
from store.recovery import Recovery, RecoveryReport
from store.retention import emptiest_ratio, used_ratio
from store.runtime_text import distribution_text, human_bytes, runtime_text
from store.write_behind import WriteBehind, WriteBehindStatistics

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from store.append import Written
    from store.consume_queue import ConsumeQueue
    from store.index import IndexEntry

log = logging.getLogger("rocketmq.store")

_RATE_NAMES = ("put", "get_found", "get_miss", "get_total", "get_transferred", "put_bytes", "put_failed")
_PUT, _FOUND, _MISS, _GET_TOTAL, _TRANSFERRED, _PUT_BYTES, _PUT_FAILED = range(len(_RATE_NAMES))
_MAX_PULL_BYTES = 128 * 1024 * 1024


@attrs.frozen
class StoreStatistics:
    """Counters of one store and its parts."""

    commit_log: CommitLogStatistics
    queues: QueueTableStatistics
    index: IndexStatistics | None
    flush: FlushStatistics
    write_behind: WriteBehindStatistics
    cleaner: CleanerStatistics
    messages_put: int
    bytes_put: int
    messages_refused: int
    messages_got: int
    gets_found: int
    gets_missed: int
    cold_gets: int


class MessageStore:
    """The store of one broker.

    Args:
        config: Paths, sizes, intervals.
        broker_name: For error texts and the path registry.
        store_host: Address and port that messages carry as their store host.
        files: The disk.
        clock: Wall clock.

    Raises:
        StoreError: ``messageDelayLevel`` cannot be understood.
        ValueError: the host is not an IP address.

    Attributes:
        on_arrival: Called with the messages that became visible, once per batch.
    """

    def __init__(
        self,
        config: MessageStoreConfig,
        *,
        broker_name: str,
        store_host: tuple[str, int],
        files: FileSystem | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.config = config
        self.broker_name = broker_name
        self._disk = files or OsFileSystem()
        self._clock = clock or SystemClock()
        root = self._disk.real_path(config.store_path_root_dir)
        self.root = root
        self.commit_log_paths = [
            self._disk.real_path(path.strip())
            for path in (config.store_path_commit_log or os.path.join(root, "commitlog")).split(",")
        ]
        self.consume_queue_path = self._disk.real_path(
            config.store_path_consume_queue or os.path.join(root, "consumequeue")
        )
        self.delay_levels = DelayLevels(config.message_delay_level)
        self._log = CommitLog(
            self.commit_log_paths,
            config.mapped_file_size_commit_log,
            self._disk,
            hot_bytes=config.hot_tail_bytes,
        )
        self._queues = QueueTable(self.consume_queue_path, config.mapped_file_size_consume_queue, self._disk)
        self._index = (
            MessageIndex(
                os.path.join(root, "index"),
                config.max_hash_slot_num,
                config.max_index_num,
                self._disk,
                self._clock,
            )
            if config.message_index_enable
            else None
        )
        self._abort = AbortMarker(os.path.join(root, "abort"), self._disk)
        self._store_host = encode_host(*store_host)
        self._appender = Appender(self._log, self._queues, self.delay_levels, config, self._store_host)
        self._last_store_timestamp = 0
        self._dispatched_timestamp = 0
        self._flush = FlushService(
            self._log, config, self._dispatch_flushed, lambda: self._last_store_timestamp
        )
        self._behind = WriteBehind(
            self._queues,
            self._index,
            config,
            os.path.join(root, "checkpoint"),
            self._disk,
            lambda: self._flush.flushed_timestamp,
            lambda: self._dispatched_timestamp,
        )
        self._cleaner = Cleaner(
            self._log,
            self._queues,
            self._index,
            config,
            commit_log_paths=self.commit_log_paths,
            consume_queue_path=self.consume_queue_path,
            files=self._disk,
            clock=self._clock,
            lock=self._behind.lock,
        )
        self.on_arrival: list[Callable[[list[Arrival]], None]] = []
        self._reservation: PathReservation | None = None
        self._dispatch_at_flush = config.flush_disk_type is FlushDiskType.SYNC_FLUSH
        self._undispatched: deque[tuple[int, list[Written], int]] = deque()
        self._next_file_wanted = trio.Event()
        self._memory_bytes = self._disk.memory_bytes()
        self._rates = Rates(_RATE_NAMES)
        self._cold_gets = 0
        self._slowest_put_ms = 0
        self._boot_timestamp = self._clock.now_ms()
        self._loaded = False
        self._closed = False
        self._running = False
        self.recovery: RecoveryReport | None = None

    def __repr__(self) -> str:
        state = "running" if self._running else "closed" if self._closed else "stopped"
        return f"<MessageStore {self.broker_name!r} {self.root!r} {state} {self._log!r}>"

    # --- life --------------------------------------------------------------------------

    def reserve(self) -> None:
        """Claim root, commit log and consume queue paths and lock the root; blocking, short.

        Raises:
            StoreLockedError: another broker or process has one of them; names it.
            StoreIOError: the root directory cannot be created or written.
        """
        self._reservation = reserve_paths(
            self.root, [*self.commit_log_paths, self.consume_queue_path], self.broker_name, self._disk
        )

    def release(self) -> None:
        """Give the paths back; the last step, whatever happened before."""
        if self._reservation is not None:
            self._reservation.release()
            self._reservation = None

    def load(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Open and recover; blocking, for a worker thread.

        Args:
            progress: Called with (bytes done, bytes in all) while the log is read.

        Raises:
            StoreError: the directory cannot be used; nothing was given up.
        """
        clean = not self._abort.present()
        self._disk.makedirs(self.root)
        self._disk.makedirs(os.path.join(self.root, "config"))
        checkpoint = load_checkpoint(os.path.join(self.root, "checkpoint"), self._disk)
        self._log.load()
        self._queues.load()
        if self._index is not None:
            self._index.load()
        self._abort.create()
        self._behind.checkpoint = checkpoint
        self.recovery = Recovery(
            self._log,
            self._queues,
            self._index,
            checkpoint,
            self.delay_levels,
            clean=clean,
            check_crc=self.config.check_crc_on_recover,
            write_behind=self._behind.write_blocking,
            progress=progress,
        ).run()
        self._behind.write_blocking()
        self._last_store_timestamp = self._dispatched_timestamp = self._flush.flushed_timestamp = (
            self.recovery.last_store_timestamp
        )
        if self.recovery.messages:
            for base in self._log.bases():
                file = self._log.file_at(base)
                if file is not None and base + file.size > self.recovery.start:
                    file.file.fdatasync()
        self._behind.sync_blocking(self._dispatched_timestamp)
        self._loaded = True

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run the services until cancelled; the last flush is shielded and bounded.

        Raises:
            StoreError: the device failed (inside an exception group).
        """
        self._running = True
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._flush.run)
                nursery.start_soon(self._behind.run)
                nursery.start_soon(self._cleaner.run)
                nursery.start_soon(self._create_files_ahead)
                task_status.started()
        finally:
            self._running = False

    def shutdown(self) -> None:
        """Clean stop after `run` ended: write everything, checkpoint, remove ``abort``; blocking.

        After a failed flush, or when `load` did not succeed, ``abort`` stays.

        Raises:
            StoreError: something could not be written; ``abort`` stays.
        """
        if self._closed:
            return
        self._closed = True
        try:
            if self._loaded and self._flush.failure is None:
                upto = self._log.tail
                for file in self._log.unflushed_files(upto):
                    file.file.fdatasync()
                self._log.flushed = upto
                self._flush.flushed_timestamp = self._last_store_timestamp
                self._dispatch_flushed(upto)
                self._behind.write_blocking()
                self._behind.sync_blocking(self._dispatched_timestamp)
                self._abort.remove()
        finally:
            self._log.close()
            if self._index is not None:
                self._index.close()

    async def _create_files_ahead(self) -> None:
        while True:
            if not self._log.needs_next_file():
                self._next_file_wanted = trio.Event()
                await self._next_file_wanted.wait()
            try:
                await trio.to_thread.run_sync(self._log.prepare_next_file)
            except StoreError as error:
                log.warning("next commit log file cannot be created ahead of time: %s", error)
                await trio.sleep(1)

    # --- writing -----------------------------------------------------------------------

    @property
    def unwritable_reason(self) -> str | None:
        """Why messages are refused now; None when they are not."""
        if not self._loaded or self._closed:
            return "message store has been shut down"
        if self._flush.failure is not None:
            return f"the commit log's device failed: {self._flush.failure}"
        if self.config.broker_role is BrokerRole.SLAVE:
            return "messages are put to the slave"
        if self._cleaner.disk_full:
            return "the broker's disk is full " + self.disk_ratio_text()
        return None

    @property
    def writable(self) -> bool:
        return self.unwritable_reason is None

    def disk_ratio_text(self) -> str:
        """``[CL: x CQ: y INDEX: z]`` as the text of code 14 shows it."""
        queue_ratio = used_ratio(self.consume_queue_path, self._disk)
        index_ratio = used_ratio(os.path.join(self.root, "index"), self._disk)
        log_ratio = emptiest_ratio(self.commit_log_paths, self._disk)
        return f"[CL: {log_ratio:5.2f} CQ: {queue_ratio:5.2f} INDEX: {index_ratio:5.2f}]"

    def put(self, messages: Sequence[Message]) -> list[PutResult]:
        """Store `messages` in order; one positional write per commit log file touched.

        Queue offsets are assigned here. Results come in the order of the messages, each
        with its own status; what is not PUT_OK is not in the store, not even in part.
        In SYNC_FLUSH readers see a message once it is on the device.
        """
        if (
            not self._loaded
            or self._closed
            or self._cleaner.disk_full
            or self._flush.failure is not None
            or self.config.broker_role is BrokerRole.SLAVE
        ):
            return self._refused(messages, PutStatus.SERVICE_NOT_AVAILABLE)
        if self._behind.unwritten > self.config.max_unwritten_entries:
            return self._refused(messages, PutStatus.OS_PAGE_CACHE_BUSY)
        now = self._clock.now_ms()
        rates = self._rates
        rates.tick(now)
        results: list[PutResult] = []
        index = 0
        before = self._log.tail
        while index < len(messages):
            try:
                index, written = self._appender.append_in_file(messages, index, now, results)
            except StoreIOError as error:
                results += self._failed(error, len(messages) - len(results))
                break
            if written:
                self._last_store_timestamp = now
                rates.counts[_PUT] += len(written)
                if self._dispatch_at_flush:
                    self._undispatched.append((self._log.tail, written, now))
                else:
                    self._dispatch(written, now)
        if self._log.tail != before:
            rates.counts[_PUT_BYTES] += self._log.tail - before
            self._flush.appended()
            if self._log.needs_next_file() and not self._next_file_wanted.is_set():
                self._next_file_wanted.set()
                self._cleaner.look_now()
        elapsed = self._clock.now_ms() - now
        if elapsed > self._slowest_put_ms:
            self._slowest_put_ms = elapsed
        return results

    def _refused(self, messages: Sequence[Message], status: PutStatus) -> list[PutResult]:
        self._rates.counts[_PUT_FAILED] += len(messages)
        return [PutResult(status) for _ in messages]

    def _failed(self, error: StoreIOError, count: int) -> list[PutResult]:
        log.error("%d messages could not be stored: %s", count, error)
        self._rates.counts[_PUT_FAILED] += count
        if error.disk_full:
            self._cleaner.look_now()
            status = PutStatus.SERVICE_NOT_AVAILABLE
        elif self._log.at_file_end():
            status = PutStatus.CREATE_MAPPED_FILE_FAILED
        else:
            status = PutStatus.UNKNOWN_ERROR
        return [PutResult(status) for _ in range(count)]

    def _dispatch_flushed(self, upto: int) -> None:
        while self._undispatched and self._undispatched[0][0] <= upto:
            _, written, timestamp = self._undispatched.popleft()
            self._dispatch(written, timestamp)

    def _dispatch(self, written: list[Written], timestamp: int) -> None:
        indexed = self._index is not None
        entries: list[IndexEntry] = []
        arrivals: list[Arrival] = []
        listened = bool(self.on_arrival)
        queues = self._queues
        for queue, queue_offset, physical, size, tags_code, message in written:
            if queue_offset >= 0:
                queue.append(physical, size, tags_code)
                if not queue.dirty:
                    queues.mark_dirty(queue)
                if listened:
                    arrivals.append(
                        Arrival(
                            message.topic, message.queue_id, queue_offset + 1, tags_code, timestamp, physical,
                            size, message.properties,
                        )
                    )  # fmt: skip
            if (
                indexed
                and message.properties
                and message.sys_flag & TRANSACTION_MASK != TRANSACTION_ROLLBACK_TYPE
            ):
                entries.append((message.topic, message.keys, physical, timestamp, message.properties))
        if entries and self._index is not None:
            self._index.append(entries)
        self._dispatched_timestamp = timestamp
        self._behind.dispatched(len(written))
        if arrivals:
            for listener in self.on_arrival:
                listener(arrivals)

    def when_durable(
        self, end_offset: int, callback: Callable[[PutStatus], None], *, timeout_ms: int | None = None
    ) -> None:
        """The ack gate: call `callback` in the event loop once an answer may be given.

        Args:
            end_offset: `PutResult.end_offset` of the last message that the answer is about.
            callback: Gets PUT_OK, FLUSH_DISK_TIMEOUT or UNKNOWN_ERROR; called at once
                when nothing has to be waited for.
            timeout_ms: How long; ``syncFlushTimeout`` by default.
        """
        self._flush.when_durable(end_offset, callback, timeout_ms)

    # --- reading -----------------------------------------------------------------------

    def get(
        self,
        group: str,
        topic: str,
        queue_id: int,
        offset: int,
        max_nums: int,
        max_bytes: int = _MAX_PULL_BYTES,
        match: Callable[[int], bool] | None = None,
    ) -> GetResult | None:
        """Messages of a queue from `offset` on; never waits for the disk.

        Args:
            group: Who reads, for statistics.
            topic: Topic name.
            queue_id: Queue of the topic.
            offset: First queue offset wanted.
            max_nums: Most messages.
            max_bytes: Most bytes; the first message comes whatever its size.
            match: Says by the tags code whether a message is wanted; None takes all.

        Returns:
            None when the data is not in memory: then `await get_cold(...)`.
        """
        result = self._get(topic, queue_id, offset, max_nums, max_bytes, match, blocking=False)
        return None if result is None else self._count_get(result)

    async def get_cold(
        self,
        group: str,
        topic: str,
        queue_id: int,
        offset: int,
        max_nums: int,
        max_bytes: int = _MAX_PULL_BYTES,
        match: Callable[[int], bool] | None = None,
    ) -> GetResult:
        """Like `get`, reading in a worker thread; `match` is called there too."""
        self._cold_gets += 1

        def read() -> GetResult:
            result = self._get(topic, queue_id, offset, max_nums, max_bytes, match, blocking=True)
            if result is None:
                raise AssertionError("a blocking read always has an answer")
            return result

        return self._count_get(await trio.to_thread.run_sync(read))

    def _count_get(self, result: GetResult) -> GetResult:
        self._rates.tick(self._clock.now_ms())
        counts = self._rates.counts
        counts[_GET_TOTAL] += 1
        if result.message_count:
            counts[_FOUND] += 1
            counts[_TRANSFERRED] += result.message_count
        else:
            counts[_MISS] += 1
        return result

    def _get(
        self,
        topic: str,
        queue_id: int,
        offset: int,
        max_nums: int,
        max_bytes: int,
        match: Callable[[int], bool] | None,
        *,
        blocking: bool,
    ) -> GetResult | None:
        queue = self._queues.queues.get((topic, queue_id))
        if queue is None:
            return GetResult(GetStatus.NO_MATCHED_LOGIC_QUEUE, self._corrected(offset, 0), 0, 0)
        minimum, maximum = queue.min_offset, queue.max_offset
        if maximum == 0:
            return GetResult(GetStatus.NO_MESSAGE_IN_QUEUE, self._corrected(offset, 0), minimum, maximum)
        if offset < minimum:
            following = self._corrected(offset, minimum)
            return GetResult(GetStatus.OFFSET_TOO_SMALL, following, minimum, maximum)
        if offset == maximum:
            return GetResult(GetStatus.OFFSET_OVERFLOW_ONE, offset, minimum, maximum)
        if offset > maximum:
            following = self._corrected(offset, maximum)
            return GetResult(GetStatus.OFFSET_OVERFLOW_BADLY, following, minimum, maximum)
        return self._collect(queue, offset, maximum, max_nums, max_bytes, match, blocking=blocking)

    def _corrected(self, offset: int, corrected: int) -> int:
        """A slave does not correct readers: it may be behind (Java: ``nextOffsetCorrection``)."""
        return offset if self.config.broker_role is BrokerRole.SLAVE else corrected

    def _collect(
        self,
        queue: ConsumeQueue,
        offset: int,
        maximum: int,
        max_nums: int,
        max_bytes: int,
        match: Callable[[int], bool] | None,
        *,
        blocking: bool,
    ) -> GetResult | None:
        config = self.config
        commit_log = self._log
        result = GetResult(GetStatus.NO_MATCHED_MESSAGE, offset, queue.min_offset, maximum)
        memory = self._memory_bytes * config.access_message_in_memory_max_ratio // 100
        in_memory_from = commit_log.tail - memory
        scan_units = max(config.max_filter_message_size // UNIT_BYTES, max_nums)
        scan_end = min(offset + scan_units, maximum)
        max_bytes = min(max(max_bytes, 100), _MAX_PULL_BYTES)
        memory_count = min(max_nums, config.max_transfer_count_on_message_in_memory)
        memory_bytes = min(max_bytes, config.max_transfer_bytes_on_message_in_memory)
        disk_count = min(max_nums, config.max_transfer_count_on_message_in_disk)
        disk_bytes = min(max_bytes, config.max_transfer_bytes_on_message_in_disk)
        file_size = commit_log.file_size
        log_start, log_end = commit_log.min_offset, commit_log.tail
        buffers = result.buffers
        run_start = run_end = run_limit = -1
        skip_before = -1
        count = size = 0
        physical = 0
        position = offset
        full = False
        while position < scan_end and not full:
            wanted = scan_end - position
            if match is None:
                wanted = min(wanted, max(max_nums - count, 1))
            data = queue.read(position, wanted, blocking=blocking)
            if data is None:
                return None
            if not data:
                if not count and position == offset:
                    result.status = GetStatus.OFFSET_FOUND_NULL
                    position = self._corrected(position, max(queue.min_offset, position + 1))
                break
            for physical, length, tags_code in UNIT.iter_unpack(data):
                if count and length != PADDING_SIZE:
                    if physical >= in_memory_from:
                        full = count >= memory_count or size + length > memory_bytes
                    else:
                        full = count >= disk_count or size + length > disk_bytes
                    if full:
                        break
                position += 1
                if length == PADDING_SIZE or physical < skip_before:
                    continue
                if match is not None and not match(tags_code):
                    continue
                if physical == run_end and run_end < run_limit:
                    run_end += length
                else:
                    if run_end > run_start and not self._add_run(buffers, run_start, run_end, blocking):
                        return None
                    run_start = run_end = -1
                    if physical < log_start or physical + length > log_end:
                        if not count:
                            result.status = GetStatus.MESSAGE_WAS_REMOVING
                        skip_before = commit_log.next_file_offset(physical)
                        continue
                    run_start = physical
                    run_end = physical + length
                    run_limit = physical - physical % file_size + file_size
                count += 1
                size += length
        if run_end > run_start and not self._add_run(buffers, run_start, run_end, blocking):
            return None
        if count:
            result.status = GetStatus.FOUND
            result.message_count = count
            result.size = size
        result.next_begin_offset = position
        result.suggest_slave = commit_log.tail - physical > memory
        return result

    def _add_run(self, buffers: list[memoryview | bytes], start: int, end: int, blocking: bool) -> bool:
        """Add the bytes of neighbouring messages; False when they are cold."""
        data = self._log.read(start, end - start, blocking=blocking)
        if data is None:
            return False
        buffers.append(data)
        return True

    def is_hot(self, commit_log_offset: int) -> bool:
        """True when reading there will not wait for the disk."""
        return self._log.is_hot(commit_log_offset)

    def message_at(self, commit_log_offset: int) -> memoryview | bytes | None:
        """The bytes of the message that begins there; None when none does.

        May wait for the disk when the offset is not `is_hot`.
        """
        commit_log = self._log
        if commit_log_offset < commit_log.min_offset:
            return None
        prefix = commit_log.read(commit_log_offset, FIXED_BYTES, blocking=True)
        if not prefix:
            return None
        size, magic = frame_of(prefix, 0)
        found = int.from_bytes(prefix[28:36], "big", signed=True)
        if magic not in (MAGIC_V1, MAGIC_V2) or found != commit_log_offset or size < FIXED_BYTES:
            return None
        return commit_log.read(commit_log_offset, size, blocking=True) or None

    def consume_queue_units(
        self, topic: str, queue_id: int, offset: int, count: int
    ) -> list[tuple[int, int, int]]:
        """Up to `count` units as (commit log offset, size, tags code); may wait for the disk."""
        queue = self._queues.queues.get((topic, queue_id))
        units: list[tuple[int, int, int]] = []
        if queue is None or offset < queue.min_offset:
            return units
        while len(units) < count and offset + len(units) < queue.max_offset:
            data = queue.read(offset + len(units), count - len(units), blocking=True)
            if not data:
                break
            units += UNIT.iter_unpack(data)
        return units

    # --- offsets and times -------------------------------------------------------------

    def min_offset(self, topic: str, queue_id: int) -> int:
        """First readable queue offset; -1 when the queue does not exist."""
        queue = self._queues.queues.get((topic, queue_id))
        return -1 if queue is None else queue.min_offset

    def max_offset(self, topic: str, queue_id: int) -> int:
        """One more than the last readable queue offset; 0 when the queue does not exist."""
        queue = self._queues.queues.get((topic, queue_id))
        return 0 if queue is None else queue.max_offset

    def offset_by_time(self, topic: str, queue_id: int, timestamp: int, boundary: Boundary = "LOWER") -> int:
        """Queue offset for a store time in ms; blocking. See `ConsumeQueue.offset_by_time`."""
        queue = self._queues.queues.get((topic, queue_id))
        return 0 if queue is None else queue.offset_by_time(timestamp, boundary, self._store_time)

    def store_time_at(self, topic: str, queue_id: int, offset: int) -> int:
        """Store timestamp in ms of the message at a queue offset, -1 if there is none; may wait."""
        units = self.consume_queue_units(topic, queue_id, offset, 1)
        return self._store_time(units[0][0], units[0][1]) if units else -1

    def earliest_time(self, topic: str | None = None, queue_id: int = 0) -> int:
        """Store timestamp in ms of the oldest message of a queue, or of the store; -1 without any."""
        if topic is not None:
            return self.store_time_at(topic, queue_id, self.min_offset(topic, queue_id))
        return self._store_time(self._log.min_offset, STORE_TIMESTAMP_PREFIX_BYTES)

    def _store_time(self, physical: int, size: int) -> int:
        if size < STORE_TIMESTAMP_PREFIX_BYTES or size == PADDING_SIZE or physical < self._log.min_offset:
            return -1
        data = self._log.read(physical, STORE_TIMESTAMP_PREFIX_BYTES, blocking=True)
        return read_store_timestamp(data) if data else -1

    @property
    def min_phy_offset(self) -> int:
        return self._log.min_offset

    @property
    def max_phy_offset(self) -> int:
        return self._log.tail

    @property
    def flushed_offset(self) -> int:
        return self._log.flushed

    @property
    def running(self) -> bool:
        """True while `run` is active."""
        return self._running

    def is_in_memory(self, topic: str, queue_id: int, offset: int) -> bool:
        """True when the message at `offset` lies within the share of memory that counts as near."""
        units = self.consume_queue_units(topic, queue_id, offset, 1)
        memory = self._memory_bytes * self.config.access_message_in_memory_max_ratio // 100
        return bool(units) and self._log.min_offset <= units[0][0] and self._log.tail - units[0][0] <= memory

    # --- query -------------------------------------------------------------------------

    def query(
        self, topic: str, key: str, max_num: int, begin: int, end: int, index_type: str | None = None
    ) -> QueryResult:
        """Messages whose index entry fits `key`, oldest first; blocking.

        Keys that share a hash come along: the reader compares the real keys.

        Args:
            topic: Topic name.
            key: One key.
            max_num: Most messages, at most ``maxMsgsNumBatch``.
            begin: Oldest store timestamp, ms.
            end: Newest store timestamp, ms.
            index_type: ``T`` when `key` is a tag.
        """
        if self._index is None:
            return QueryResult([], 0, 0)
        maximum = min(max_num, self.config.max_msgs_num_batch)
        buffers = []
        for physical in sorted(self._index.query(topic, typed_key(key, index_type), maximum, begin, end)):
            data = self.message_at(physical)
            if data is not None:
                buffers.append(data)
        return QueryResult(buffers, self._index.end_timestamp, self._index.end_physical)

    # --- topics and retention ----------------------------------------------------------

    def topics(self) -> set[str]:
        """Topics that have queues here."""
        return {topic for topic, _ in self._queues.queues}

    def queues(self, topic: str) -> list[int]:
        """Queue ids of a topic, ascending."""
        return [queue.queue_id for queue in self._queues.of_topic(topic)]

    def delete_topics(self, topics: Sequence[str]) -> int:
        """Forget the queues of `topics` and remove their files; may wait for the disk.

        The messages stay in the log until it is cleaned.

        Returns:
            How many topics had queues.
        """
        count = 0
        for topic in topics:
            gone = self._queues.forget(self._queues.of_topic(topic))
            if gone:
                count += 1
                with self._behind.lock:
                    self._queues.remove_files(gone)
        return count

    def clean_expired_consume_queues(self) -> int:
        """Remove queues whose messages are all gone from the log, except of system topics; blocking.

        Returns:
            How many queues went.
        """
        minimum = self._log.min_offset
        expired = [
            queue
            for queue in list(self._queues.queues.values())
            if 0 <= queue.max_physical <= minimum and not is_system_topic(queue.topic)
        ]
        gone = self._queues.forget(expired)
        with self._behind.lock:
            self._queues.remove_files(gone)
        return len(gone)

    def delete_expired_files(self, *, manual: bool = True) -> None:
        """Let the cleaner look now; with `manual` it deletes expired files whatever the hour."""
        if manual:
            self._cleaner.delete_manually()
        else:
            self._cleaner.look_now()

    # --- what operators see --------------------------------------------------------------

    def statistics(self) -> StoreStatistics:
        total = self._rates.total
        return StoreStatistics(
            commit_log=self._log.statistics(),
            queues=self._queues.statistics(),
            index=self._index.statistics() if self._index is not None else None,
            flush=self._flush.statistics(),
            write_behind=self._behind.statistics(),
            cleaner=self._cleaner.statistics(),
            messages_put=total("put"),
            bytes_put=total("put_bytes"),
            messages_refused=total("put_failed"),
            messages_got=total("get_transferred"),
            gets_found=total("get_found"),
            gets_missed=total("get_miss"),
            cold_gets=self._cold_gets,
        )

    def runtime_info(self) -> dict[str, str]:
        """The store's keys of the broker runtime table (code 28), with Java's names."""
        now = self._clock.now_ms()
        rates = self._rates
        puts, put_bytes = max(rates.total("put"), 1), rates.total("put_bytes")
        space = self._disk.space(self.commit_log_paths[0])
        transferred = rates.text("get_transferred", now)
        info = {
            "bootTimestamp": str(self._boot_timestamp),
            "runtime": runtime_text(now - self._boot_timestamp),
            "putMessageEntireTimeMax": str(self._slowest_put_ms),
            "putMessageTimesTotal": str(puts),
            "putMessageFailedTimes": str(rates.total("put_failed")),
            "putMessageSizeTotal": str(put_bytes),
            "putMessageDistributeTime": distribution_text(rates.total("put")),
            "putMessageAverageSize": str(put_bytes / puts),
            "getMessageEntireTimeMax": "0",
            "dispatchMaxBuffer": "0",
            "dispatchBehindBytes": "0",
            "pageCacheLockTimeMills": "0",
            "putTps": rates.text("put", now),
            "getFoundTps": rates.text("get_found", now),
            "getMissTps": rates.text("get_miss", now),
            "getTotalTps": rates.text("get_total", now),
            "getTransferredTps": transferred,
            "getTransferedTps": transferred,
            "consumeQueueDiskRatio": str(used_ratio(self.consume_queue_path, self._disk)),
            "commitLogDiskRatio": str(emptiest_ratio(self.commit_log_paths, self._disk)),
            "commitLogMinOffset": str(self._log.min_offset),
            "commitLogMaxOffset": str(self._log.tail),
            "commitLogDirCapacity": f"Total : {human_bytes(space.total)}, Free : {human_bytes(space.free)}.",
            "earliestMessageTimeStamp": str(self.earliest_time()),
            "remainHowManyDataToFlush": human_bytes(self._log.tail - self._log.flushed),
            "remainTransientStoreBufferNumbs": str(2**31 - 1),
        }
        for path in self.commit_log_paths:
            info[f"commitLogDiskRatio_{path}"] = str(used_ratio(path, self._disk))
        return info
