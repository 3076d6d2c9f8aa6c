"""Watches disk space and deletes what is expired, by the decision of `store.retention`."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import attrs
import trio

from store.errors import StoreError
from store.retention import (
    Cleaning,
    DiskLimits,
    decide_cleaning,
    emptiest_ratio,
    is_time_to_delete,
    used_ratio,
)

if TYPE_CHECKING:
    from threading import Lock

    from store.clock import Clock
    from store.commit_log import CommitLog
    from store.config import MessageStoreConfig
    from store.files import FileSystem
    from store.index import MessageIndex
    from store.queue_table import QueueTable

log = logging.getLogger("rocketmq.store")

_MANUAL_ROUNDS = 20


@attrs.frozen
class CleanerStatistics:
    passes: int
    deleted_files: int
    manual_rounds: int
    disk_full: bool
    rule: str


class Cleaner:
    """Retention of one store.

    Args:
        commit_log: Deleted from, oldest file first, never the last.
        queues: Follow the log's minimum offset.
        index: Follows too; None when messages are not indexed.
        config: Limits and times.
        commit_log_paths: Directories whose partitions count for the log.
        consume_queue_path: Directory whose partition counts for the queues.
        files: The disk.
        clock: Wall clock.
        lock: Held while files of queues and index are removed.

    Attributes:
        disk_full: Messages are refused.
    """

    def __init__(
        self,
        commit_log: CommitLog,
        queues: QueueTable,
        index: MessageIndex | None,
        config: MessageStoreConfig,
        *,
        commit_log_paths: list[str],
        consume_queue_path: str,
        files: FileSystem,
        clock: Clock,
        lock: Lock,
    ) -> None:
        self._log = commit_log
        self._queues = queues
        self._index = index
        self._config = config
        self._commit_log_paths = commit_log_paths
        self._consume_queue_path = consume_queue_path
        self._files = files
        self._clock = clock
        self._lock = lock
        self._wake = trio.Event()
        self._manual_rounds = 0
        self._cleaned_min_offset = 0
        self._passes = 0
        self._deleted = 0
        self._rule = ""
        self.disk_full = False

    def statistics(self) -> CleanerStatistics:
        return CleanerStatistics(self._passes, self._deleted, self._manual_rounds, self.disk_full, self._rule)

    def look_now(self) -> None:
        """Do not wait for the next pass: a file was created or a write failed for lack of space."""
        if not self._wake.is_set():
            self._wake.set()

    def delete_manually(self) -> None:
        """Delete expired files in the next 20 passes whatever the hour (code 329)."""
        self._manual_rounds = _MANUAL_ROUNDS
        self.look_now()

    async def run(self) -> None:
        """A pass every ``cleanResourceInterval``, until cancelled."""
        while True:
            try:
                await trio.to_thread.run_sync(self.pass_once)
            except StoreError as error:
                log.error("disk space cannot be measured or expired files not be deleted: %s", error)
            self._wake = trio.Event()
            with trio.move_on_after(self._config.clean_resource_interval / 1000):
                await self._wake.wait()

    def pass_once(self) -> None:
        """Measure, decide, delete; blocking.

        Raises:
            StoreError: a file or directory could not be measured or removed.
        """
        self._passes += 1
        self._log.close_removed_files()
        decision = decide_cleaning(
            emptiest_ratio(self._commit_log_paths, self._files),
            used_ratio(self._consume_queue_path, self._files),
            self.disk_full,
            DiskLimits.of(self._config),
        )
        self._follow(decision)
        manual = self._manual_rounds > 0
        if manual:
            self._manual_rounds -= 1
        now = self._clock.now_ms()
        if decision.delete or manual or is_time_to_delete(self._config.delete_when, now):
            forced = decision.forced and self._config.clean_file_forcibly_enable
            self._delete_log_files(now, forced=forced)
        self._follow_min_offset()

    def _follow(self, decision: Cleaning) -> None:
        self._rule = decision.rule
        if decision.disk_full != self.disk_full:
            self.disk_full = decision.disk_full
            if decision.disk_full:
                log.error("messages are refused: %s", decision.rule)
            else:
                log.info("messages are accepted again: %s", decision.rule)

    def _delete_log_files(self, now_ms: int, *, forced: bool) -> None:
        reserved_ms = self._config.file_reserved_time * 3_600_000
        for count in range(self._config.delete_file_batch_max):
            file = self._log.oldest_file()
            if file is None:
                return
            if not forced and self._files.modified_ms(file.path) + reserved_ms > now_ms:
                return
            if count:
                time.sleep(self._config.delete_commit_log_files_interval / 1000)
            self._log.remove_first_file()
            self._deleted += 1
            log.info("deleted %s (%s)", file.path, self._rule if forced else "expired")

    def _follow_min_offset(self) -> None:
        minimum = self._log.min_offset
        if minimum <= self._cleaned_min_offset:
            return
        for queue in list(self._queues.queues.values()):
            with self._lock:
                queue.delete_expired_files(minimum)
            queue.correct_min_offset(minimum)
        if self._index is not None:
            with self._lock:
                self._index.delete_expired_files(minimum)
        self._cleaned_min_offset = minimum
