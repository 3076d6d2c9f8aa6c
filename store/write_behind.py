"""Queue and index entries on their way from memory to files, and the checkpoint after them.

A pass runs ``flushIntervalConsumeQueue`` after the first entry, or at once when many
wait. A sync of everything written, and with it a new checkpoint, follows every
``flushConsumeQueueThoroughInterval``. Both run in a worker thread, under one lock that
retention and topic deletion take too. With nothing to write the service sleeps.

A full disk ends nothing: entries stay in memory, where readers find them, and are tried
again each second; `MessageStore.put` limits how many. After a sync that failed nobody
knows what the device holds, so no checkpoint is written any more, and the next start
reads the log from the last one on.
"""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import attrs
import trio

from configuration import wait_configured
from store.checkpoint import Checkpoint, save_checkpoint
from store.errors import StoreError, StoreIOError
from store.worker_threads import in_background_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from store.config import MessageStoreConfig
    from store.consume_queue import ConsumeQueue
    from store.files import FileSystem
    from store.index import MessageIndex
    from store.queue_table import QueueTable

log = logging.getLogger("rocketmq.store")

_EARLY_ENTRIES = 50_000
_RETRY_S = 1.0
_TOGETHER = 500
"""Queues that a worker thread writes and the event loop settles without a break."""


@attrs.frozen
class WriteBehindStatistics:
    passes: int
    checkpoints: int
    failures: int
    unwritten: int


class WriteBehind:
    """Writes the derived files of one store.

    Args:
        queues: Consume queues.
        index: Index, or None.
        config: Intervals.
        checkpoint_path: Where the checkpoint lies.
        files: The disk.
        flushed_timestamp: Store timestamp up to which the log is on the device, ms.
        dispatched_timestamp: Store timestamp of the newest dispatched message, ms.
        dispatched_upto: Commit log offset before which every message is dispatched.
        next_log_file_begins: See `MessageIndex.complete_until`; may wait.
        on_no_space: Called in the event loop when the disk has no room.

    Attributes:
        trusted: False once a sync failed: what is on the device is not known.
        unwritten: Queue units in memory, roughly; what `put` limits.
        synced_upto: Commit log offset before which every entry is on the device.
    """

    def __init__(
        self,
        queues: QueueTable,
        index: MessageIndex | None,
        config: MessageStoreConfig,
        checkpoint_path: str,
        files: FileSystem,
        flushed_timestamp: Callable[[], int],
        dispatched_timestamp: Callable[[], int],
        dispatched_upto: Callable[[], int],
        next_log_file_begins: Callable[[int], int],
        on_no_space: Callable[[], None],
    ) -> None:
        self._queues = queues
        self._index = index
        self._config = config
        self._checkpoint_path = checkpoint_path
        self._files = files
        self._flushed_timestamp = flushed_timestamp
        self._dispatched_timestamp = dispatched_timestamp
        self._dispatched_upto = dispatched_upto
        self._next_log_file_begins = next_log_file_begins
        self._on_no_space = on_no_space
        self.lock = threading.Lock()
        self._passing = trio.Lock()
        self.checkpoint = Checkpoint()
        self.trusted = True
        self.unwritten = 0
        self.synced_upto = 0
        self._complete = True
        self._failing = ""
        self._wake = trio.Event()
        self._awake = False
        self._enough = trio.Event()
        self._written = trio.Event()
        self._passes = 0
        self._checkpoints = 0
        self._failures = 0

    def statistics(self) -> WriteBehindStatistics:
        return WriteBehindStatistics(self._passes, self._checkpoints, self._failures, self.unwritten)

    def dispatched(self, count: int) -> None:
        """`count` queue units came into memory; call in the event loop."""
        self.unwritten = unwritten = self.unwritten + count
        if not self._awake:
            self._awake = True
            self._wake.set()
        if unwritten > _EARLY_ENTRIES and not self._enough.is_set():
            self._enough.set()

    async def run(self) -> None:
        """Write until cancelled. A full disk delays entries, it does not end the service."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._checkpoint_forever)
            while True:
                await self._wake.wait()
                await wait_configured(lambda: self._config.flush_interval_consume_queue / 1000, self._enough)
                self._wake = trio.Event()
                self._awake = False
                self._enough = trio.Event()
                try:
                    await self.write()
                except StoreError as error:
                    self._failed("consume queue or index", error)
                    self._wake.set()
                    await trio.sleep(_RETRY_S)
                else:
                    if self._failing:
                        log.info("consume queues and index are written again")
                    self._failing = ""
                self._written.set()

    async def _checkpoint_forever(self) -> None:
        while True:
            await self._written.wait()
            await wait_configured(lambda: self._config.flush_consume_queue_thorough_interval / 1000)
            self._written = trio.Event()
            try:
                await self.sync()
            except StoreError as error:
                self._failed("checkpoint", error)
                self._written.set()

    def _failed(self, what: str, error: StoreError) -> None:
        self._failures += 1
        if str(error) != self._failing:
            log.error("%s cannot be written, trying again: %s", what, error)
        self._failing = str(error)
        if isinstance(error, StoreIOError) and error.disk_full:
            self._on_no_space()

    async def sync(self) -> None:
        """A pass and a sync with its checkpoint.

        Raises:
            StoreError: what could not be written stays in memory, and the old checkpoint.
        """
        dispatched, upto = self._dispatched_timestamp(), self._dispatched_upto()
        await self.write()
        await in_background_thread(self.sync_blocking, dispatched)
        if self.trusted:
            self.synced_upto = max(self.synced_upto, upto)

    async def written_upto(self) -> int:
        """Commit log offset before which every queue unit is in a file."""
        async with self._passing:
            waiting = [queue.first_unwritten for queue in self._queues.dirty_queues() if queue.unwritten]
            return min(waiting, default=self._dispatched_upto())

    async def sync_written(self) -> int:
        """Sync the queue units that are in files, where a full disk keeps others in memory.

        Returns:
            Commit log offset before which no offset of a queue is lost with the machine; with the process
            alone when a sync has failed, now or before.

        Raises:
            StoreIOError: the device failed, for another reason than a full disk.
        """
        upto = await self.written_upto()
        if self.trusted:
            try:
                await in_background_thread(self._sync_queues)
            except StoreIOError as error:
                if not error.disk_full:
                    raise
        return upto

    async def write(self) -> None:
        """One pass, after the one that is under way: two would settle in any order.

        Some queues at a time: ten thousand that are settled in one go take the loop ten milliseconds.

        Raises:
            StoreError: what could not be written stays in memory.
        """
        async with self._passing:
            left, marks = self._take()
            while len(left) > _TOGETHER:
                queues, left = left[:_TOGETHER], left[_TOGETHER:]
                try:
                    await in_background_thread(self._write_queues_locked, queues, marks)
                except BaseException:
                    self._settle(queues + left, marks)
                    raise
                self._settle_queues(queues, marks)
                marks = []
            try:
                await in_background_thread(self._write_locked, left, marks)
            finally:
                self._settle(left, marks)

    def write_blocking(self) -> None:
        """One pass in this thread, when no event loop appends beside it (recovery, shutdown)."""
        queues, marks = self._take()
        try:
            self._write_locked(queues, marks)
        finally:
            self._settle(queues, marks)

    def write_if_possible(self) -> None:
        """`write_blocking`, where a full disk leaves entries in memory, as many as `put` would allow.

        Raises:
            StoreError: the device failed, or there are more entries than may wait in memory.
        """
        self._complete = False
        try:
            self.write_blocking()
            self._complete = True
        except StoreIOError as error:
            if not error.disk_full or self.unwritten > self._config.max_unwritten_entries:
                raise
            self._wake.set()
            self._say_once("queue and index entries stay in memory", error)

    def sync_if_possible(self, dispatched_timestamp: int) -> None:
        """`sync_blocking`, where a full disk leaves the old checkpoint, as do entries that wait in memory."""
        if not self._complete:
            return
        try:
            self.sync_blocking(dispatched_timestamp)
        except StoreIOError as error:
            if not error.disk_full:
                raise
            self._say_once("the old checkpoint stays", error)

    def _say_once(self, what: str, error: StoreIOError) -> None:
        if str(error) != self._failing:
            log.error("%s: %s", what, error)
        self._failing = str(error)

    def _take(self) -> tuple[list[ConsumeQueue], list[int]]:
        if self._index is not None:
            self._index.take_pending()
        return self._queues.take_dirty(), []

    def _write_queues_locked(self, queues: list[ConsumeQueue], marks: list[int]) -> None:
        with self.lock:
            self._queues.write(queues, marks)

    def _write_locked(self, queues: list[ConsumeQueue], marks: list[int]) -> None:
        with self.lock:
            self._queues.write(queues, marks)
            if self._index is not None:
                self._index.write_behind()

    def _settle_queues(self, queues: list[ConsumeQueue], marks: list[int]) -> None:
        for queue, mark in zip(queues, marks, strict=False):
            if not queue.removed:
                queue.written(mark)
            if queue.unwritten:
                self._queues.mark_dirty(queue)

    def _settle(self, queues: list[ConsumeQueue], marks: list[int]) -> None:
        self._settle_queues(queues, marks)
        for queue in queues[len(marks) :]:
            self._queues.mark_dirty(queue)
        self.unwritten = sum(queue.unwritten for queue in self._queues.dirty_queues())
        self._passes += 1
        if self._queues.has_dirty:
            self._wake.set()

    def _sync_queues(self) -> None:
        with self.lock, self._distrust_failed_sync():
            self._queues.sync()

    @contextmanager
    def _distrust_failed_sync(self) -> Iterator[None]:
        try:
            yield
        except StoreIOError as error:
            if error.operation in ("fdatasync", "sync directory"):
                self.trusted = False
                log.error("no checkpoint is written any more, the next start reads more: %s", error)
            raise

    def sync_blocking(self, dispatched_timestamp: int) -> None:
        """Sync what is written and save a checkpoint that says so; nothing once a sync has failed.

        Args:
            dispatched_timestamp: Every entry up to this store timestamp is written.

        Raises:
            StoreError: the old checkpoint is still there.
        """
        if not self.trusted:
            return
        index_timestamp = 0
        with self.lock, self._distrust_failed_sync():
            self._queues.sync()
            if self._index is not None:
                index_timestamp = self._index.complete_until(self._next_log_file_begins)
                self._index.sync()
        old = self.checkpoint
        self.checkpoint = attrs.evolve(
            old,
            physic_msg_timestamp=max(old.physic_msg_timestamp, self._flushed_timestamp()),
            logics_msg_timestamp=max(old.logics_msg_timestamp, dispatched_timestamp),
            index_msg_timestamp=index_timestamp,
        )
        save_checkpoint(self._checkpoint_path, self.checkpoint, self._files)
        self._checkpoints += 1
