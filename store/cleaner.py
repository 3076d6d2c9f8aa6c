"""Watches disk space and deletes what is expired, by the decision of `store.retention`.

A pass every ``cleanResourceInterval`` measures, decides and deletes. Between passes the
space is measured again each time a file begins and each few MiB appended, the more often
the less is left, so that a fast writer is refused before the disk is full and not after.
While messages are refused it is measured each second. All of it runs in worker threads.
"""

from __future__ import annotations

import logging
import threading
import time
import zlib
from functools import partial
from typing import TYPE_CHECKING

import attrs
import trio

from configuration import wait_configured
from store.config import quota_share
from store.disk_space import DiskUse, PathSpace, emptiest, measure, quota_bytes, ratio_text, store_bytes
from store.errors import StoreError, StoreIOError
from store.quota_consent import Purge, PurgeConsent
from store.retention import (
    Cleaning,
    DiskLimits,
    Full,
    Measured,
    decide_cleaning,
    files_above_quota,
    is_time_to_delete,
)
from store.worker_threads import in_background_thread, in_service_thread

if TYPE_CHECKING:
    from collections.abc import Mapping

    from store.clock import Clock
    from store.commit_log import CommitLog
    from store.config import MessageStoreConfig
    from store.files import FileSystem
    from store.index import MessageIndex
    from store.mapped_files import LogFile
    from store.queue_table import QueueTable
    from store.write_behind import WriteBehind

log = logging.getLogger("rocketmq.store")

_MANUAL_ROUNDS = 20
_HOUR_MS = 3_600_000
_REFUSED_LOOK_S = 1.0
_NEVER = 1 << 62
_MIN_STEP_BYTES = 256 << 10
_MAX_STEP_BYTES = 16 << 20


@attrs.frozen
class CleanerStatistics:
    passes: int
    measurements: int
    deleted_files: int
    manual_rounds: int
    disk_full: bool
    rule: str


@attrs.frozen
class _Spaces:
    """What one measurement found."""

    logs: list[PathSpace]
    queues: PathSpace
    index: PathSpace

    @property
    def counts(self) -> PathSpace:
        """The partition that the log's ratio and the quota are about."""
        return emptiest(self.logs)


class Cleaner:
    """Retention of one store.

    Args:
        commit_log: Deleted from, oldest file first, never the last.
        queues: Follow the log's minimum offset.
        index: Follows too; None when messages are not indexed.
        config: Limits and times.
        consume_queue_path: Directory whose partition counts for the queues.
        index_path: Directory of the index.
        consent: Asks before a new share deletes.
        files: The disk.
        clock: Wall clock.
        entries: What log files must not outlive, and the lock that is held while files of queues and index
            are removed.

    Attributes:
        disk_full: Messages are refused.
        measure_at: Commit log offset behind which `measure_soon` wants to be called.
        write_until: Commit log offset behind which nothing may be appended before the next measurement.
        ratio_text: Used shares as the text of code 14 shows them.
    """

    def __init__(
        self,
        commit_log: CommitLog,
        queues: QueueTable,
        index: MessageIndex | None,
        config: MessageStoreConfig,
        *,
        consume_queue_path: str,
        index_path: str,
        consent: PurgeConsent,
        files: FileSystem,
        clock: Clock,
        entries: WriteBehind,
    ) -> None:
        self._log = commit_log
        self._queues = queues
        self._index = index
        self._config = config
        self._consume_queue_path = consume_queue_path
        self._index_path = index_path
        self._consent = consent
        self._files = files
        self._clock = clock
        self._entries = entries
        self._lock = entries.lock
        self._measuring = threading.Lock()
        self._wake = trio.Event()
        self._measure_wanted = trio.Event()
        self._manual_rounds = 0
        self._cleaned_min_offset = 0
        self._passes = 0
        self._measurements = 0
        self._deleted = 0
        self._decision = Cleaning(Full(), False, False, "", "not measured yet")
        self._write_failed = False
        self._leave_file = False
        self.disk_full = False
        self.measure_at = self.write_until = _NEVER
        self.ratio_text = ""

    def statistics(self) -> CleanerStatistics:
        return CleanerStatistics(
            self._passes,
            self._measurements,
            self._deleted,
            self._manual_rounds,
            self.disk_full,
            self._decision.rule,
        )

    def disk_use(self) -> DiskUse:
        """The disk now, by the last decision; measures one partition, may wait for it.

        Raises:
            StoreIOError: the partition cannot be measured.
        """
        space = emptiest([measure(path, self._files) for path in self._log.directories.paths])
        notes = [self._consent.note] if self._consent.note else []
        if self.disk_full:
            notes.append(f"messages are refused: {self._decision.rule}")
        return DiskUse(
            share=quota_share(self._config),
            quota_bytes=quota_bytes(space.space, self._config),
            used_bytes=store_bytes(self._log, self._queues, self._index),
            partition=space.device,
            partition_bytes=-1 if space.space is None else space.space.usable,
            used_ratio=space.used_ratio,
            disk_full=self.disk_full,
            note="; ".join(notes) or None,
            rule=self._decision.rule,
        )

    def look_now(self) -> None:
        """Do not wait for the next pass; in the event loop."""
        self._wake.set()

    def measure_soon(self) -> None:
        """A file begins or much was appended: see whether there still is space; in the event loop."""
        self.measure_at = _NEVER
        self._measure_wanted.set()

    def write_failed(self) -> None:
        """A write found no space: refuse messages at once, for a second at least; in the event loop."""
        if not self.disk_full:
            log.error("messages are refused: a write found no space")
        self._write_failed = self.disk_full = True
        self._measure_wanted.set()
        self._wake.set()

    def delete_manually(self) -> None:
        """Delete expired files in the next 20 passes whatever the hour (code 329)."""
        self._manual_rounds = _MANUAL_ROUNDS
        self.look_now()

    async def run(self) -> None:
        """Clean and watch until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._clean_forever)
            nursery.start_soon(self._watch_forever)

    async def _clean_forever(self) -> None:
        # The stores of a process do not all clean at the same moment, with a thread each.
        part = zlib.crc32(self._consume_queue_path.encode()) / (1 << 32)
        while True:
            self._wake = trio.Event()
            forced = 0
            try:
                forced = await in_background_thread(self.pass_once, await self._sync_entries())
            except StoreError as error:
                log.error("disk space cannot be measured or expired files not be deleted: %s", error)
            await wait_configured(partial(self._pause_s, forced, part), self._wake)
            part = 1.0

    async def _sync_entries(self) -> int:
        """Bring what the oldest file was the source of to the device, before the file may go.

        A crash would else leave a queue that knows neither the messages nor their offsets, which would then
        be given to others.

        Returns:
            Commit log offset up to which files may go. Where the disk has no room for newer entries, and
            where it is not known what the device has of them, those that are in files count.
        """
        entries, file = self._entries, self._log.oldest_file()
        if file is not None and file.base + file.size > entries.synced_upto:
            try:
                await entries.sync()
            except StoreIOError as error:
                if error.disk_full:
                    return await entries.sync_written()
                log.error("no file of the commit log goes before its entries are written: %s", error)
        return entries.synced_upto if entries.trusted else await entries.written_upto()

    def _pause_s(self, forced: int, part: float) -> float:
        """Soon again when files went that were not expired: their space is free from the next pass on."""
        interval_s = self._config.clean_resource_interval / 1000
        return min(_REFUSED_LOOK_S, interval_s) if forced else interval_s * part

    async def _watch_forever(self) -> None:
        while True:
            await self._time_to_measure()
            try:
                decision = await in_service_thread(self.measure)
            except StoreError as error:
                log.error("disk space cannot be measured: %s", error)
                await trio.sleep(_REFUSED_LOOK_S)
                continue
            if self._leave_file:
                self._log.leave_full_file()
            if decision.forced:
                self.look_now()

    async def _time_to_measure(self) -> None:
        """When it is asked for, or a second later when messages are refused."""
        if not self.disk_full:
            await self._measure_wanted.wait()
        self._measure_wanted = trio.Event()
        if self._is_refusing():
            await trio.sleep(_REFUSED_LOOK_S)
            self._write_failed = False

    def _is_refusing(self) -> bool:
        return self.disk_full

    def measure(self) -> Cleaning:
        """Measure and decide, and refuse or accept messages accordingly; blocking.

        Raises:
            StoreIOError: a partition cannot be measured; everything stays as it was.
        """
        with self._measuring:
            self._measurements += 1
            tail = self._log.tail
            try:
                spaces = self._measured_spaces()
            except StoreError:
                self._allow(tail, 0)
                raise
            waits = self._ask_for_consent(spaces.counts)
            decision = self._decide(spaces, waits=waits)
            self.ratio_text = ratio_text(spaces.counts, spaces.queues, spaces.index)
            self._mark_full_directories(spaces)
            self._allow(tail, self._bytes_left(spaces))
            self._follow(decision)
            return decision

    def _measured_spaces(self) -> _Spaces:
        return _Spaces(
            [measure(path, self._files) for path in self._log.directories.paths],
            measure(self._consume_queue_path, self._files),
            measure(self._index_path, self._files),
        )

    def _decide(self, spaces: _Spaces, *, waits: bool, freed: Mapping[int, int] | None = None) -> Cleaning:
        """The decision once the `freed` bytes of each device are free."""
        logs, queues = spaces.logs, spaces.queues
        if freed:
            logs = [each.plus(freed.get(each.device, 0)) for each in logs]
            queues = queues.plus(freed.get(queues.device, 0))
        space = emptiest(logs)
        measured = Measured(
            commit_log=space.used_ratio,
            consume_queue=queues.used_ratio,
            quota=self._quota_ratio(space),
            quota_waits=waits,
            free_bytes=min(max(each.available for each in logs), queues.available),
            reserved_bytes=self._config.disk_space_reserved_bytes,
            write_failed=self._write_failed,
        )
        return decide_cleaning(measured, self._decision.full, DiskLimits.of(self._config))

    def _quota_ratio(self, space: PathSpace) -> float | None:
        """The store's files against its quota; None without a quota, or when that is unknown."""
        quota = quota_bytes(space.space, self._config)
        if quota_share(self._config) == 1 or not quota:
            return None
        return store_bytes(self._log, self._queues, self._index) / quota

    def _ask_for_consent(self, space: PathSpace) -> bool:
        share = quota_share(self._config)
        files = 0
        if share < 1:
            quota = quota_bytes(space.space, self._config)
            if not quota:
                return False
            files = files_above_quota(
                self._log.file_count,
                self._log.file_size,
                store_bytes(self._log, self._queues, self._index),
                int(quota * self._config.logical_disk_space_clean_forcibly_threshold),
            )
        purge = Purge(files, files * self._log.file_size)
        return self._consent.waits(share, purge, confirmed=self._config.quota_purge_confirmed)

    def _mark_full_directories(self, spaces: _Spaces) -> None:
        clean = DiskLimits.of(self._config).clean
        reserve = self._config.disk_space_reserved_bytes
        short = {each.path for each in spaces.logs if each.available < reserve}
        above = {each.path for each in spaces.logs if each.used_ratio > clean}
        self._log.directories.full = frozenset(short | above)
        self._leave_file = self._log.active_directory in short and len(short) < len(spaces.logs)

    def _bytes_left(self, spaces: _Spaces) -> int:
        """How much the log may grow, wherever its next file is, before messages must be refused."""
        reserve = self._config.disk_space_reserved_bytes
        warning = DiskLimits.of(self._config).warning
        directories = self._log.directories
        left = _NEVER
        for each in (*spaces.logs, spaces.queues):
            left_out = each.path in directories.full and len(directories.full) < len(spaces.logs)
            if each.space is not None and (not left_out or each.path == self._log.active_directory):
                until_warning = each.available - int((1 - warning) * each.space.usable)
                left = min(left, each.available - reserve, until_warning)
        return left

    def _allow(self, tail: int, left: int) -> None:
        """Look again when a part of the bytes `left` is written; no more than these without looking."""
        self.measure_at = tail + min(max(left // 4, _MIN_STEP_BYTES), _MAX_STEP_BYTES)
        self.write_until = tail + max(left, _MIN_STEP_BYTES)

    def _follow(self, decision: Cleaning) -> None:
        before, self._decision = self._decision, decision
        disk_full = bool(decision.full)
        if disk_full != self.disk_full:
            self.disk_full = disk_full
            if disk_full:
                log.error("messages are refused: %s", decision.rule)
            else:
                log.info("messages are accepted again: %s", decision.rule)
        elif decision.row != before.row:
            log.info("disk space: %s", decision.rule)

    def pass_once(self, upto: int = _NEVER) -> int:
        """Measure, decide, delete; blocking.

        Args:
            upto: Files of the commit log that end behind this offset stay.

        Returns:
            How many files were deleted that were not expired.

        Raises:
            StoreError: a file or directory could not be measured or removed.
        """
        self._passes += 1
        self._log.close_removed_files()
        decision = self.measure()
        manual = self._manual_rounds > 0
        if manual:
            self._manual_rounds -= 1
        forced = 0
        if decision.delete or manual or is_time_to_delete(self._config.delete_when, self._clock.now_ms()):
            forced = self._delete_log_files(decision, upto)
        self._follow_min_offset()
        return forced

    def _delete_log_files(self, decision: Cleaning, upto: int) -> int:
        forced = 0
        for count in range(self._config.delete_file_batch_max):
            file = self._log.oldest_file()
            if file is None or file.base + file.size > upto:
                break
            why = "expired"
            if not self._is_expired(file):
                if not (decision.forced and self._config.clean_file_forcibly_enable):
                    break
                if count:
                    decision = self._decide_again()
                    if not decision.forced:
                        break
                forced += 1
                why = decision.rule
            if count:
                time.sleep(self._config.delete_commit_log_files_interval / 1000)
            self._log.remove_first_file()
            self._deleted += 1
            log.info("deleted %s: %s", file.path, why)
        return forced

    def _is_expired(self, file: LogFile) -> bool:
        reserved_ms = self._config.file_reserved_time * _HOUR_MS
        return self._files.modified_ms(file.path) + reserved_ms <= self._clock.now_ms()

    def _decide_again(self) -> Cleaning:
        """The decision as if what this pass has deleted were free already, which it is in the next one."""
        freed: dict[int, int] = {}
        for directory, size in self._log.removed_bytes().items():
            device = self._files.device(directory)
            freed[device] = freed.get(device, 0) + size
        return self._decide(self._measured_spaces(), waits=self._consent.note is not None, freed=freed)

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
