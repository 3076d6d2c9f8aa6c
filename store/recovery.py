"""From the files that the last run left to a consistent store.

The log is the truth. Recovery chooses a position from which the derived files may be
wrong, cuts them back to it, reads the log from there to the last sound message,
dispatching each one again, and declares everything behind void.

The position after a clean stop is the newest message that any consume queue knows, if
the log really has that message there, or the end of the queue that lost most units
since the stop (`store.queue_ends`). After a crash, or when it has not, it is the
newest log file whose first message is older than the checkpoint (Java:
``recoverAbnormally``). A gap found while dispatching means that queues lost more than
the checkpoint says: then everything is rebuilt from the beginning, once.

The log ends at the first record that is not sound, unless it is known that more was on
the device: the checkpoint, or the end of the log at a clean stop, says so. Then the
record is damaged, not torn. It is lost and named, and the log goes on behind it.
"""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING

import attrs

from remoting.protocol.message import TRANSACTION_MASK, TRANSACTION_ROLLBACK_TYPE
from store.consume_queue import PADDING_SIZE, UNIT
from store.dispatch import has_queue_entry, index_keys_of, tags_code_of
from store.errors import StoreCorruptError
from store.index_check import first_unfit
from store.log_damage import foreign_offset, next_sound
from store.mapped_files import file_name
from store.message_codec import BLANK_BYTES, FIXED_BYTES, MAGIC_BLANK, frame_of, parse_message
from store.queue_check import front_is_lost, unfit_file
from store.record_window import RecordWindow
from store.unit_repair import first_fitting, mend_with

if TYPE_CHECKING:
    from collections.abc import Callable

    from store.checkpoint import Checkpoint
    from store.commit_log import CommitLog
    from store.consume_queue import ConsumeQueue
    from store.delay_levels import DelayLevels
    from store.index import MessageIndex
    from store.mapped_files import LogFile
    from store.message_codec import StoredMessage
    from store.queue_ends import QueueEnds
    from store.queue_table import QueueTable

log = logging.getLogger("rocketmq.store")

# A recovery computes, so it shares the interpreter with the event loop that serves other brokers: the loop
# gives it up at each system call of a message and waits for the end of such a turn to have it back. Only a
# real pause lets it in; a sleep of 0 takes the interpreter again before the loop has woken up.
_TURN_S = 0.000_2
_PAUSE_S = 0.000_05
_LOOK_AT_CLOCK_EVERY = 8  # messages, a power of two
_PROGRESS_S = 0.003
_WRITE_EVERY_ENTRIES = 200_000
_MAX_PADDING = 1_000_000


@attrs.frozen
class RecoveryReport:
    """What recovery found and did; offsets and sizes in bytes of the commit log.

    Attributes:
        clean: The last run stopped in order.
        start: Where reading began.
        tail: End of the last sound message.
        messages: Messages read.
        last_store_timestamp: That of the last message read, 0 without any.
        rebuilt: Everything was rebuilt from the beginning because of a gap.
        damaged: (first, behind the last) of the parts of the log that were on the device and are lost.
    """

    clean: bool
    start: int
    tail: int
    messages: int
    last_store_timestamp: int
    rebuilt: bool
    damaged: tuple[tuple[int, int], ...] = ()


class _GapError(Exception):
    """A queue lacks units before the message at hand."""


class Recovery:
    """One recovery; call `run` once, in a worker thread.

    Args:
        commit_log: Loaded.
        queues: Loaded.
        index: Loaded, or None when messages are not indexed.
        checkpoint: As the last run left it.
        levels: Delay levels.
        clean: The last run removed its ``abort`` file.
        queue_ends: Where queues ended then; None when that is not known.
        check_crc: Check bodies against their CRC.
        write_behind: Writes what queues and index hold in memory.
        progress: Called with (bytes done, bytes in all) every few milliseconds; an exception of
            it ends the recovery, which is done again the next time.
        considerate: Asked again and again whether others want the interpreter, which a recovery would
            otherwise keep for itself; answered yes it takes about half as long again.
    """

    def __init__(
        self,
        commit_log: CommitLog,
        queues: QueueTable,
        index: MessageIndex | None,
        checkpoint: Checkpoint,
        levels: DelayLevels,
        *,
        clean: bool,
        queue_ends: QueueEnds | None = None,
        check_crc: bool,
        write_behind: Callable[[], None],
        progress: Callable[[int, int], None] | None = None,
        considerate: Callable[[], bool] = lambda: False,
    ) -> None:
        self._log = commit_log
        self._queues = queues
        self._index = index
        self._checkpoint = checkpoint
        self._levels = levels
        self._clean = clean
        self._queue_ends = queue_ends
        self._check_crc = check_crc
        self._write_behind = write_behind
        self._progress = progress or (lambda _done, _total: None)
        self._considerate = considerate
        self._done = self._total = 0
        self._messages = 0
        self._unwritten = 0
        self._last_timestamp = self._newest_timestamp = 0
        self._damaged: list[tuple[int, int]] = []
        self._jumps: dict[ConsumeQueue, tuple[int, int, StoredMessage]] = {}
        self._ends_before: dict[ConsumeQueue, int] = {}
        self._fronts: dict[ConsumeQueue, int] = {}
        self._released_at = self._reported_at = time.perf_counter()
        self._index_from = -1
        self._shortened: set[ConsumeQueue] = set()
        self._revived: set[str] = set()
        """Topics that were deleted while their messages still are in the log."""

    def run(self) -> RecoveryReport:
        """Leave log, queues and index consistent with each other.

        Raises:
            StoreIOError: a file cannot be read or written.
            StoreCorruptError: files of the log stand in each other's place, or are gone.
        """
        bases = self._log.bases()
        self._check_log_files(bases)
        if not bases:
            if self._checkpoint.physic_msg_timestamp or self._queues.queues:
                where = self._log.directories.all[0]
                log.error("%s: no file is left of a log that had messages: all are lost", where)
            for queue in list(self._queues.queues.values()):
                queue.restart_at(0)
            if self._index is not None:
                self._index.repair(0, -1, self._release)
            self._log.reset(0)
            return RecoveryReport(self._clean, 0, 0, 0, 0, False)
        self._total = bases[-1] + self._log.file_size - bases[0]
        self._ends_before = {queue: queue.max_offset for queue in self._queues.queues.values()}
        newest_known = max((queue.max_physical for queue in self._ends_before), default=-1)
        self._check_queue_files(bases)
        start = min(self._choose_start(bases), self._first_cut(bases))
        rebuilt = False
        try:
            tail = self._dispatch_from(start, bases)
        except _GapError as gap:
            log.warning("consume queues lost entries before the checkpoint (%s): rebuilding all", gap)
            self._write_behind()
            start, rebuilt = bases[0], True
            tail = self._dispatch_from(start, bases)
        if self._more_was_there(tail):
            self._say_log_is_shorter(tail)
            self._keep_queue_ends(self._ends_before)
            self._keep_queue_ends(self._ends_at_stop())
        elif newest_known > tail:
            log.warning(
                "%s: the log ends at byte %d, which consume queues were %d bytes ahead of",
                *self._place_of_tail(tail), newest_known - tail,
            )  # fmt: skip
        self._log.set_tail(tail)
        if self._index is not None and self._index.end_physical >= tail:
            self._index.cut(tail, self._release)
        self._settle_queues()
        self._say_shorter_queues()
        if self._queue_ends is not None and self._queue_ends.tail == tail:
            self._keep_queue_ends(self._ends_at_stop(bases[0]))
        stop = "after a clean stop" if self._clean else "without a clean stop"
        log.info("recovered %s: read %d messages from %d to %d", stop, self._messages, start, tail)
        return RecoveryReport(
            self._clean, start, tail, self._messages, self._last_timestamp, rebuilt, tuple(self._damaged)
        )

    def _check_log_files(self, bases: list[int]) -> None:
        """Refuse a log whose files stand in each other's place: each holds sound messages of another."""
        for base in bases:
            file = self._log.file_at(base)
            if file is None or self._message_at(base) is not None:
                continue
            physical = foreign_offset(file)
            if physical is not None:
                raise StoreCorruptError(
                    f"begins with the message of offset {physical} at byte 0: it is the content of the file"
                    f" {file_name(physical)}",
                    file.path,
                )

    def _check_queue_files(self, bases: list[int]) -> None:
        """Give up files of queues that do not fit the log; `_first_cut` sees that they are missing."""
        log_end = bases[-1] + self._log.file_size
        for queue in list(self._queues.queues.values()):
            unfit = unfit_file(queue, bases[0], log_end, self._message_at)
            if unfit is not None:
                queue.give_up_from(unfit)
            self._release()

    def _choose_start(self, bases: list[int]) -> int:
        if self._clean:
            start = self._newest_dispatched(bases)
            if start is not None:
                return self._with_index(min(start, self._first_loss(bases)), bases)
            log.warning("consume queues do not fit the log: recovering as after a crash")
        start = self._by_checkpoint(bases)
        if self._index is not None:
            self._index.repair(start, self._checkpoint.index_msg_timestamp, self._release)
        return self._with_index(start, bases)

    def _newest_dispatched(self, bases: list[int]) -> int | None:
        newest = max(self._queues.queues.values(), key=lambda queue: queue.max_physical, default=None)
        if newest is None or newest.max_physical < 0:
            return bases[0]
        return self._last_message(newest, bases[0])

    def _last_message(self, queue: ConsumeQueue, log_start: int) -> int | None:
        """Where the message of the last unit lies, at least `log_start`; None when it is not there."""
        unit = queue.last_unit()
        if unit is None:
            return None
        physical, size, _ = unit
        if physical < log_start:
            return log_start
        message = self._message_at(physical)
        return physical if message is not None and message.size == size else None

    def _first_loss(self, bases: list[int]) -> int:
        """From where on units were lost since the clean stop; behind every log when none were."""
        ends = self._queue_ends
        loss = 1 << 62
        if ends is None or not self._ends_at(ends.tail):
            return loss
        for end in ends.queues:
            if end.max_physical <= bases[0]:
                continue
            queue = self._queues.create(end.topic, end.queue_id)
            front_lost = queue.first_file_offset > end.first_offset
            if queue.max_offset >= end.max_offset and not front_lost:
                continue
            log.warning("%r ended at offset %d when the store was closed", queue, end.max_offset)
            self._shortened.add(queue)
            if front_lost or queue.max_physical < 0 or self._last_message(queue, bases[0]) is None:
                queue.restart_at(0)
            loss = min(loss, max(queue.max_physical, bases[0]))
        return loss

    def _first_cut(self, bases: list[int]) -> int:
        """From where on files of a queue are missing for sure; behind every log when none are.

        That is where files were given up, and the front of a queue that begins behind the front
        of the log (see `front_is_lost`) where `queueEnds` does not say that it did before.
        """
        loss = 1 << 62
        knows_fronts = self._clean and self._queue_ends is not None
        for queue in self._queues.queues.values():
            front_lost = (bases[0] == 0 or not knows_fronts) and front_is_lost(queue, bases[0])
            if front_lost:
                self._fronts[queue] = queue.first_file_offset
                log.warning("%r: files before offset %d are missing", queue, queue.first_file_offset)
            if queue.cut_end >= 0 or front_lost:
                self._shortened.add(queue)
                if front_lost or queue.max_physical < 0 or self._last_message(queue, bases[0]) is None:
                    queue.restart_at(0)
                loss = min(loss, max(queue.max_physical, bases[0]))
        return loss

    def _ends_at(self, tail: int) -> bool:
        """True when nothing was appended at `tail`: zeros lie there, or no file."""
        file = self._log.file_at(tail - tail % self._log.file_size)
        return file is None or not any(file.file.pread(8, tail - file.base))

    def _more_was_there(self, offset: int) -> bool:
        """True when it is known that messages at or behind `offset` were on the device."""
        ends = self._queue_ends
        if self._clean and ends is not None and self._ends_at(ends.tail):
            return ends.tail > offset
        return self._newest_timestamp < self._checkpoint.physic_msg_timestamp

    def _say_log_is_shorter(self, tail: int) -> None:
        log.error(
            "%s: the log ends at byte %d, but more was on the device: that is lost",
            *self._place_of_tail(tail),
        )

    def _say_shorter_queues(self) -> None:
        shorter = [queue for queue, end in self._ends_before.items() if queue.max_offset < end]
        if shorter:
            log.warning(
                "%d consume queues had units of messages that the log has not, among them %r up to offset %d",
                len(shorter), shorter[0], self._ends_before[shorter[0]],
            )  # fmt: skip

    def _place_of_tail(self, tail: int) -> tuple[str, int]:
        """The file that the next message belongs in, whether it is there or not, and the byte in it."""
        position = tail % self._log.file_size
        return os.path.join(self._log.directories.all[0], file_name(tail - position)), position

    def _behind_damage(self, file: LogFile, offset: int) -> int | None:
        """Where the log goes on behind the unsound record at `offset`; None when it ends there."""
        if not self._more_was_there(offset):
            return None
        found = next_sound(self._log, offset, check_crc=self._check_crc)
        if found is not None and (offset, found) not in self._damaged:
            self._damaged.append((offset, found))
            log.error(
                "%s: damaged from byte %d on, %d bytes up to the next sound message are lost",
                file.path, offset - file.base, found - offset,
            )  # fmt: skip
        return found

    def _keep_queue_ends(self, known: dict[ConsumeQueue, int]) -> None:
        """Let no queue begin again with offsets that messages had which are lost now."""
        for queue, end in known.items():
            missing = end - queue.max_offset
            if 0 < missing <= _MAX_PADDING and queue.max_offset > 0:
                queue.append_padding(missing)
                self._queues.mark_dirty(queue)
                queue.next_offset = queue.max_offset
                self._unwritten += missing
            elif missing > 0:
                self._keep_end(queue, end)

    def _keep_end(self, queue: ConsumeQueue, end: int) -> None:
        queue.keep_end(end)
        self._queues.mark_dirty(queue)

    def _ends_at_stop(self, log_start: int = -1) -> dict[ConsumeQueue, int]:
        """Where queues with messages behind `log_start` ended at a clean stop; nothing after a crash."""
        if not self._clean or self._queue_ends is None:
            return {}
        return {
            self._queues.create(end.topic, end.queue_id): end.max_offset
            for end in self._queue_ends.queues
            if end.max_offset and (log_start < 0 or end.max_physical > log_start)
        }

    def _by_checkpoint(self, bases: list[int]) -> int:
        limit = self._checkpoint.min_timestamp
        for base in reversed(bases):
            message = self._message_at(base)
            if message is not None and 0 < message.store_timestamp <= limit:
                return base
        return bases[0]

    def _with_index(self, start: int, bases: list[int]) -> int:
        """Begin earlier when the index reaches less far than the queues."""
        index = self._index
        if index is None:
            return start
        files = index.files
        unfit = first_unfit(files, self._log, self._message_at)
        if unfit < len(files):
            index.give_up_from(unfit)
        index.mend_border()
        end = index.end_physical
        if end == 0 and index.statistics().files == 0:
            message = self._message_at(start)
            if self._checkpoint.index_msg_timestamp or (message is not None and index_keys_of(message)):
                return bases[0]
            return start
        if end >= start or end < bases[0]:
            return start if end >= start else bases[0]
        return end if self._message_at(end) is not None else bases[0]

    def _message_at(self, offset: int) -> StoredMessage | None:
        file = self._log.file_at(offset - offset % self._log.file_size)
        if file is None:
            return None
        position = offset - file.base
        prefix = file.file.pread(8, position)
        if len(prefix) < 8:
            return None
        size, _ = frame_of(prefix, 0)
        if not FIXED_BYTES <= size <= file.size - position:
            return None
        return parse_message(file.file.pread(size, position), 0, offset, check_crc=self._check_crc)

    def _dispatch_from(self, start: int, bases: list[int]) -> int:
        rebuild = start == bases[0]
        self._newest_timestamp = 0
        for queue in list(self._queues.queues.values()):
            if queue.truncate(start) or not self._clean or rebuild or queue in self._shortened:
                queue.clear_behind_end()
            self._release()
        self._index_from = self._index.end_physical if self._index is not None else -1
        if self._index is not None and self._index.statistics().entries == 0:
            self._index_from = -1
        end = bases[-1] + self._log.file_size
        offset = start
        while True:
            file = self._log.file_at(offset - offset % self._log.file_size)
            if file is None:
                return offset
            offset, continues = self._read_file(file, offset, start, end, at_beginning=rebuild)
            if not continues:
                return offset

    def _read_file(
        self, file: LogFile, offset: int, start: int, end: int, *, at_beginning: bool
    ) -> tuple[int, bool]:
        """Dispatch one file; returns where it stopped and whether the next file follows."""
        reader = RecordWindow(file)
        while True:
            position = offset - file.base
            if position + BLANK_BYTES > file.size:
                return file.base + file.size, True
            window, at = reader.at(position, BLANK_BYTES)
            size, magic = frame_of(window, at)
            if magic == MAGIC_BLANK and size == file.size - position:
                return file.base + file.size, True
            message = None
            if FIXED_BYTES <= size <= file.size - position:
                window, at = reader.at(position, size)
                message = parse_message(window, at, offset, check_crc=self._check_crc)
            if message is None:
                behind = self._behind_damage(file, offset)
                if behind is not None and behind < file.base + file.size:
                    offset = behind
                    continue
                if behind is None and (size or magic):
                    log.warning("%s: no sound message at byte %d: the log ends there", file.path, position)
                return (offset, False) if behind is None else (behind, True)
            self._dispatch(message, at_beginning=at_beginning)
            offset += size
            self._messages += 1
            if not self._messages & (_LOOK_AT_CLOCK_EVERY - 1):
                self._breathe(offset - start, end - start)

    def _breathe(self, done: int, total: int) -> None:
        self._done, self._total = done, total
        self._release()
        if self._unwritten > _WRITE_EVERY_ENTRIES:
            self._unwritten = 0
            self._write_behind()

    def _release(self) -> None:
        """Let the threads that serve other brokers run, and say how far this is."""
        now = time.perf_counter()
        if now - self._released_at <= _TURN_S:
            return
        if now - self._reported_at > _PROGRESS_S:
            self._reported_at = now
            self._progress(self._done, self._total)
        if self._considerate():
            time.sleep(_PAUSE_S)
        self._released_at = time.perf_counter()

    def _dispatch(self, message: StoredMessage, *, at_beginning: bool) -> None:
        self._last_timestamp = message.store_timestamp
        self._newest_timestamp = max(self._newest_timestamp, message.store_timestamp)
        if has_queue_entry(message.sys_flag):
            self._to_queue(message, at_beginning=at_beginning)
        if (
            self._index is not None
            and message.physical_offset > self._index_from
            and message.properties
            and message.sys_flag & TRANSACTION_MASK != TRANSACTION_ROLLBACK_TYPE
        ):
            self._index.append(
                [
                    (
                        message.topic,
                        index_keys_of(message),
                        message.physical_offset,
                        message.store_timestamp,
                        message.properties,
                    )
                ]
            )
            self._unwritten += 1

    def _to_queue(self, message: StoredMessage, *, at_beginning: bool) -> None:
        if (message.topic, message.queue_id) not in self._queues.queues and not self._queues.topic_known(
            message.topic
        ):
            self._revived.add(message.topic)
        try:
            queue = self._queues.create(message.topic, message.queue_id)
        except ValueError:
            log.error(
                "%s: the message at byte %d has a queue that cannot exist",
                *self._log.place_of(message.physical_offset),
            )
            return
        missing = message.queue_offset - queue.max_offset
        if missing < 0:
            if message.physical_offset < queue.max_physical:
                return
            if message.queue_offset == 0:
                # The topic was deleted and made again: what it was sent since has offsets of its own.
                queue.restart_at(0)
            elif mend_with(queue, message, self._message_at, self._levels) or not self._undo_jump(
                queue, message
            ):
                return
            missing = message.queue_offset - queue.max_offset
        if missing > 0 and not self._jump(queue, message, missing, at_beginning=at_beginning):
            return
        queue.append(message.physical_offset, message.size, tags_code_of(message, self._levels))
        queue.next_offset = queue.max_offset
        self._queues.mark_dirty(queue)
        self._unwritten += 1

    def _jump(self, queue: ConsumeQueue, message: StoredMessage, missing: int, *, at_beginning: bool) -> bool:
        """Bring `queue` to the offset of `message`, `missing` units behind its end; False to leave it out.

        Raises:
            _GapError: what is missing may be in the log before.
        """
        before = queue.max_offset, queue.max_physical
        if queue.max_physical <= self._log.min_offset and (at_beginning or message.topic in self._revived):
            queue.restart_at(message.queue_offset)
        elif not at_beginning:
            raise _GapError(f"{queue!r} before offset {message.queue_offset}")
        elif missing <= _MAX_PADDING:
            queue.append_padding(missing)
            log.error(
                "%s: before byte %d the log lacks %d messages of %r",
                *self._log.place_of(message.physical_offset), missing, queue,
            )  # fmt: skip
        else:
            self._say_wrong_offset(message, queue)
            return False
        self._jumps[queue] = (*before, message)
        return True

    def _undo_jump(self, queue: ConsumeQueue, message: StoredMessage) -> bool:
        """`message` lies behind messages of its queue that have later offsets: one of both lies.

        The offset of a message has no checksum. It is the last message that lies if it alone made
        the queue jump to its offset: then it is left out. Else `message` is.

        Returns:
            False to leave out `message`.
        """
        offset, physical, liar = self._jumps.pop(queue, (0, -1, message))
        if liar is message or queue.max_offset != liar.queue_offset + 1 or message.queue_offset < offset:
            self._say_wrong_offset(message, queue)
            return False
        if physical < 0:
            queue.restart_at(message.queue_offset)
        elif not queue.drop_from(offset, physical):
            self._say_wrong_offset(message, queue)
            return False
        self._say_wrong_offset(liar, queue)
        return True

    def _say_wrong_offset(self, message: StoredMessage, queue: ConsumeQueue) -> None:
        log.error(
            "%s: the message at byte %d says that it has offset %d of %r: it is left out",
            *self._log.place_of(message.physical_offset), message.queue_offset, queue,
        )  # fmt: skip

    def _settle_queues(self) -> None:
        min_physical = self._log.min_offset
        for queue in list(self._queues.queues.values()):
            known = max(queue.cut_end, self._fronts.get(queue, 0))
            if known > queue.max_offset and queue.max_physical <= min_physical > 0:
                # All its messages are expired or lost: only files that were given up tell how far it went.
                self._keep_end(queue, known)
            queue.next_offset = queue.max_offset
            data = queue.read(queue.min_offset, 1, blocking=True)
            if data:
                physical, size, _ = UNIT.unpack(data)
                if size == PADDING_SIZE or 0 <= physical < min_physical:
                    first = queue.min_offset
                    queue.correct_min_offset(min_physical)
                    found, queue.min_offset = queue.min_offset, first
                    queue.min_offset = first_fitting(queue, found, self._log)
            self._release()
