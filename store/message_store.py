"""One broker's store: what the broker calls.

Life: `reserve` → `load` (worker thread) → `run` (task) → `shutdown` (worker thread) →
`release`. `put`, `get` and the offset questions belong to the event loop; what may wait
for the disk says so and belongs to a worker thread.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

from remoting.protocol.message import encode_host
from store.acknowledgement import readers_wait_for_device
from store.append import Appender
from store.checkpoint import AbortMarker, load_checkpoint
from store.cleaner import Cleaner
from store.clock import Clock, SystemClock
from store.commit_log import CommitLog
from store.config import BrokerRole, MessageStoreConfig, check_quota
from store.delay_levels import DelayLevels
from store.dispatch import Dispatcher
from store.errors import StoreIOError
from store.files import FileSystem, OsFileSystem
from store.files_ahead import FilesAhead
from store.flush import FlushService
from store.index import MessageIndex, typed_key
from store.log_directories import LogDirectories
from store.message_codec import STORE_TIMESTAMP_PREFIX_BYTES
from store.message_reader import MAX_PULL_BYTES, MessageReader
from store.path_registry import PathReservation, reserve_paths
from store.queue_ends import drop_queue_ends, load_queue_ends, save_queue_ends
from store.queue_table import QueueTable
from store.quota_consent import PurgeConsent
from store.records import Arrival, GetResult, Message, PutResult, PutStatus, QueryResult
from store.recovery import Recovery, RecoveryReport
from store.runtime_table import StoreStatistics, disk_table
from store.store_paths import StorePaths
from store.store_stats import PUT, PUT_BYTES, PUT_FAILED, StoreStats
from store.worker_threads import in_request_thread
from store.write_behind import WriteBehind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from store.consume_queue import Boundary
    from store.disk_space import DiskUse

log = logging.getLogger("rocketmq.store")


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
        ConfigError: two keys name different shares of the disk.
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
        check_quota(config)
        self._paths = paths = StorePaths.of(config, self._disk)
        self.root, self.commit_log_paths = paths.root, paths.commit_logs
        self.consume_queue_path = paths.consume_queue
        log_size = config.mapped_file_size_commit_log
        directories = LogDirectories(paths.commit_logs, log_size, self._disk, paths.read_only_commit_logs)
        self.delay_levels = DelayLevels(config.message_delay_level)
        self._log = CommitLog(directories, log_size, self._disk, hot_bytes=config.hot_tail_bytes)
        self._queues = QueueTable(paths.consume_queue, config.mapped_file_size_consume_queue, self._disk)
        self._index = (
            MessageIndex(paths.index, config.max_hash_slot_num, config.max_index_num, self._disk, self._clock)
            if config.message_index_enable
            else None
        )
        self._abort = AbortMarker(paths.abort, self._disk)
        self._log.on_sync_failure = self._abort.note_failed_sync
        self._store_host = encode_host(*store_host)
        self._appender = Appender(self._log, self._queues, self.delay_levels, config, self._store_host)
        self._last_store_timestamp = 0
        self._flush = FlushService(
            self._log, config, lambda upto: self._dispatcher.flushed(upto), lambda: self._last_store_timestamp
        )
        self._behind = WriteBehind(
            self._queues,
            self._index,
            config,
            paths.checkpoint,
            self._disk,
            lambda: self._flush.flushed_timestamp,
            lambda: self._dispatcher.timestamp,
            lambda: self._dispatcher.waiting_from(self._log.tail),
            lambda offset: self._reader.next_file_begins(offset),
            lambda: self._cleaner.write_failed(),
        )
        self._stats = StoreStats(self._clock.now_ms())
        self._dispatcher = Dispatcher(
            self._queues,
            self._index,
            self._stats.put_times,
            self._clock,
            self._behind.dispatched,
            at_flush=readers_wait_for_device(config.flush_disk_type),
        )
        self._cleaner = Cleaner(
            self._log,
            self._queues,
            self._index,
            config,
            consume_queue_path=paths.consume_queue,
            index_path=paths.index,
            consent=PurgeConsent(paths.share_in_force, self._disk),
            files=self._disk,
            clock=self._clock,
            entries=self._behind,
        )
        self.on_arrival: list[Callable[[list[Arrival]], None]] = self._dispatcher.on_arrival
        self._reservation: PathReservation | None = None
        self._files_ahead = FilesAhead(self._log, self._cleaner.measure_soon)
        self._reader = MessageReader(
            self._log, self._queues, config, self._disk.memory_bytes(), self.delay_levels
        )
        self._loaded = False
        self._closed = False
        self._running = False
        self.recovery: RecoveryReport | None = None

    def __repr__(self) -> str:
        state = "running" if self._running else "closed" if self._closed else "stopped"
        return f"<MessageStore {self.broker_name!r} {self.root!r} {state} {self._log!r}>"

    def reserve(self) -> None:
        """Claim root, commit log and consume queue paths and lock the root; blocking, short.

        Raises:
            StoreLockedError: another broker or process has one of them; names it.
            StoreIOError: the root directory cannot be created or written.
        """
        root, *others = self._paths.all
        self._reservation = reserve_paths(root, others, self.broker_name, self._disk)

    def release(self) -> None:
        """Give the paths back; the last step, whatever happened before."""
        if self._reservation is not None:
            self._reservation.release()
            self._reservation = None

    def load(
        self,
        progress: Callable[[int, int], None] | None = None,
        considerate: Callable[[], bool] = lambda: False,
    ) -> None:
        """Open and recover; blocking, for a worker thread.

        Args:
            progress: Called with (bytes done, bytes in all) while the log is read.
            considerate: Asked in this thread whether others of the process have work to do: recovery then
                makes short turns.

        Raises:
            StoreError: the directory cannot be used; nothing was given up.
        """
        clean = not self._abort.present()
        self._disk.makedirs(self.root)
        self._disk.makedirs(self._paths.config)
        checkpoint = load_checkpoint(self._paths.checkpoint, self._disk)
        self._log.load(clean=clean)
        self._queues.load()
        if self._index is not None:
            self._index.load()
        queue_ends = load_queue_ends(self._paths.queue_ends, self._disk) if clean else None
        unsynced = self._abort.says_unsynced()
        try:
            self._abort.create(unsynced=unsynced)
            drop_queue_ends(self._paths.queue_ends, self._disk)
        except BaseException:
            if clean:  # as it still is
                self._abort.remove()
            raise
        self._behind.checkpoint = checkpoint
        self.recovery = Recovery(
            self._log,
            self._queues,
            self._index,
            checkpoint,
            self.delay_levels,
            clean=clean,
            queue_ends=queue_ends,
            check_crc=self.config.check_crc_on_recover,
            write_behind=self._behind.write_if_possible,
            progress=progress,
            considerate=considerate,
        ).run()
        self._behind.write_if_possible()
        self._last_store_timestamp = self._dispatcher.timestamp = self._flush.flushed_timestamp = (
            self.recovery.last_store_timestamp
        )
        if unsynced:
            log.warning("a sync of the commit log failed in the last run: it is written again")
            self._log.write_again_from(self.recovery.start)
        if unsynced or self.recovery.messages:
            self._log.sync_from(self.recovery.start)
        if unsynced:
            self._abort.create()
        self._behind.sync_if_possible(self._dispatcher.timestamp)
        self._cleaner.measure()
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
                nursery.start_soon(self._files_ahead.run)
                task_status.started()
        finally:
            self._running = False

    def shutdown(self) -> None:
        """Clean stop after `run` ended: write everything, checkpoint, remove ``abort``; blocking.

        After a failed flush, or when `load` did not succeed, ``abort`` stays. So it does when the
        disk has no room for queue entries: the next start makes them again.

        Raises:
            StoreError: something could not be written for another reason; ``abort`` stays.
        """
        if self._closed:
            return
        self._closed = True
        try:
            if self._loaded and self._flush.failure is None:
                upto = self._log.tail
                self._log.clear_torn_record()
                self._log.sync_from(self._log.flushed)
                self._log.flushed = upto
                self._flush.flushed_timestamp = self._last_store_timestamp
                self._dispatcher.flushed(upto)
                self._finish_derived_files(upto)
        finally:
            try:
                self._log.close()
            finally:
                if self._index is not None:
                    self._index.close()

    def _finish_derived_files(self, tail: int) -> None:
        try:
            self._behind.write_blocking()
            self._behind.sync_blocking(self._dispatcher.timestamp)
            save_queue_ends(self._paths.queue_ends, tail, self._queues.queues.values(), self._disk)
        except StoreIOError as error:
            if not error.disk_full:
                raise
            log.error("stopped without all queue and index entries, the next start makes them: %s", error)
            return
        if self._behind.trusted:
            self._abort.remove()

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
        """``[CL: x CQ: y INDEX: z]`` as the text of code 14 shows it, by the last measurement."""
        return self._cleaner.ratio_text

    def put(self, messages: Sequence[Message], whole: Sequence[tuple[int, int]] = ()) -> list[PutResult]:
        """Store `messages` in order; one positional write per commit log file touched.

        Args:
            messages: Those of any number of producers.
            whole: (first, count) of messages that must not be parted by a failure, ascending: the batches
                of producers. They go into one file, unless none can hold them.

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
        log_, config = self._log, self.config
        if self._behind.unwritten > config.max_unwritten_entries or log_.tail > self._cleaner.write_until:
            return self._refused(messages, PutStatus.OS_PAGE_CACHE_BUSY)
        now = self._clock.now_ms()
        rates = self._stats.rates
        if now >= rates.tick_at_ms:
            rates.tick(now)
        results: list[PutResult] = []
        index = 0
        before = log_.tail
        while index < len(messages):
            try:
                index, written = self._appender.append_in_file(messages, index, now, results, whole)
            except StoreIOError as error:
                if error.disk_full and log_.leave_full_file():
                    continue
                results += self._failed(error, len(messages) - len(results))
                break
            if written:
                self._last_store_timestamp = now
                rates.counts[PUT] += len(written)
                self._dispatcher.appended(written, now, log_.tail)
        tail = log_.tail
        if tail != before:
            rates.counts[PUT_BYTES] += tail - before
            self._flush.appended()
            if tail > log_.next_file_from:
                self._files_ahead.wanted()
            if tail > self._cleaner.measure_at:
                self._cleaner.measure_soon()
        return results

    def _refused(self, messages: Sequence[Message], status: PutStatus) -> list[PutResult]:
        self._stats.rates.counts[PUT_FAILED] += len(messages)
        return [PutResult(status) for _ in messages]

    def _failed(self, error: StoreIOError, count: int) -> list[PutResult]:
        log.error("%d messages could not be stored: %s", count, error)
        self._stats.rates.counts[PUT_FAILED] += count
        if error.disk_full:
            self._cleaner.write_failed()
            status = PutStatus.SERVICE_NOT_AVAILABLE
        elif self._log.at_file_end():
            status = PutStatus.CREATE_MAPPED_FILE_FAILED
        else:
            status = PutStatus.UNKNOWN_ERROR
        return [PutResult(status) for _ in range(count)]

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

    async def flush(self) -> None:
        """Return when everything that is in the log now is on the device.

        Raises:
            StoreError: the device failed, now or before; `run` ends with it too.
        """
        await self._flush.flush()

    def get(
        self,
        group: str,
        topic: str,
        queue_id: int,
        offset: int,
        max_nums: int,
        max_bytes: int = MAX_PULL_BYTES,
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
        started = self._clock.now_ms()
        result = self._reader.get(topic, queue_id, offset, max_nums, max_bytes, match, blocking=False)
        if result is not None:
            self._stats.got(result, started, self._clock.now_ms())
        return result

    async def get_cold(
        self,
        group: str,
        topic: str,
        queue_id: int,
        offset: int,
        max_nums: int,
        max_bytes: int = MAX_PULL_BYTES,
        match: Callable[[int], bool] | None = None,
    ) -> GetResult:
        """Like `get`, reading in a worker thread; `match` is called there too."""
        self._stats.cold_gets += 1
        started = self._clock.now_ms()
        result = await in_request_thread(
            self._reader.get_blocking, topic, queue_id, offset, max_nums, max_bytes, match
        )
        self._stats.got(result, started, self._clock.now_ms())
        return result

    def is_hot(self, commit_log_offset: int) -> bool:
        """True when reading there will not wait for the disk."""
        return self._log.is_hot(commit_log_offset)

    def message_at(self, commit_log_offset: int) -> memoryview | bytes | None:
        """The bytes of the message that begins there; None when none does.

        May wait for the disk when the offset is not `is_hot`.
        """
        return self._reader.message_at(commit_log_offset)

    def consume_queue_units(
        self, topic: str, queue_id: int, offset: int, count: int
    ) -> list[tuple[int, int, int]]:
        """Up to `count` units as (commit log offset, size, tags code); may wait for the disk."""
        return self._reader.units(topic, queue_id, offset, count, blocking=True) or []

    def consume_queue_units_nowait(
        self, topic: str, queue_id: int, offset: int, count: int
    ) -> list[tuple[int, int, int]] | None:
        """Like `consume_queue_units`, but None when it would wait for the disk."""
        return self._reader.units(topic, queue_id, offset, count, blocking=False)

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
        return 0 if queue is None else queue.offset_by_time(timestamp, boundary, self._reader.store_time)

    def store_time_at(self, topic: str, queue_id: int, offset: int) -> int:
        """Store timestamp in ms of the message at a queue offset, -1 if there is none; may wait."""
        units = self.consume_queue_units(topic, queue_id, offset, 1)
        return self._reader.store_time(units[0][0], units[0][1]) if units else -1

    def earliest_time(self, topic: str, queue_id: int) -> int:
        """Store timestamp in ms of the oldest message of a queue, -1 without any; may wait."""
        return self.store_time_at(topic, queue_id, self.min_offset(topic, queue_id))

    def earliest_message_time(self) -> int:
        """Store timestamp in ms of the oldest message of the store, -1 without any; may wait."""
        return self._reader.store_time(self._log.min_offset, STORE_TIMESTAMP_PREFIX_BYTES)

    def disk_use(self) -> DiskUse:
        """Share, quota and space as they are now; measures a partition, so it may wait for one.

        Raises:
            StoreIOError: the partition cannot be measured.
        """
        return self._cleaner.disk_use()

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
        """True when the message lies within the share of memory that counts as near; never waits."""
        return self._reader.is_near(topic, queue_id, offset)

    @property
    def dispatch_behind_bytes(self) -> int:
        """Bytes in the log that readers do not see yet; only in SYNC_FLUSH, until they are on the device."""
        return self._log.tail - self._dispatcher.waiting_from(self._log.tail)

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
        reached = self._index.reached()
        maximum = min(max_num, self.config.max_msgs_num_batch)
        buffers = []
        for physical in sorted(self._index.query(topic, typed_key(key, index_type), maximum, begin, end)):
            data = self.message_at(physical)
            if data is not None:
                buffers.append(data)
        return QueryResult(buffers, *reached)

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
        gone = self._queues.forget(self._queues.expired(self._log.min_offset))
        with self._behind.lock:
            self._queues.remove_files(gone)
        return len(gone)

    def delete_expired_files(self, *, manual: bool = True) -> None:
        """Let the cleaner look now; with `manual` it deletes expired files whatever the hour."""
        if manual:
            self._cleaner.delete_manually()
        else:
            self._cleaner.look_now()

    def statistics(self) -> StoreStatistics:
        rates, now_ms = self._stats.rates, self._clock.now_ms()
        total = rates.total
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
            cold_gets=self._stats.cold_gets,
            put_tps=rates.per_second("put", 10, now_ms),
            get_tps=rates.per_second("get_transferred", 10, now_ms),
        )

    def runtime_info(self) -> dict[str, str]:
        """The store's keys of the broker runtime table (code 28), with Java's names."""
        return {
            **self._stats.runtime_info(self._clock.now_ms()),
            **disk_table(self._log, self._paths.commit_logs, self._paths.consume_queue, self._disk),
            "dispatchBehindBytes": str(self.dispatch_behind_bytes),
            "earliestMessageTimeStamp": str(self.earliest_message_time()),
        }
