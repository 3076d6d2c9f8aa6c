"""Units of a consume queue that do not lead to their message: found when read, mended from the log.

A unit has no checksum, but the record that it leads to says which queue and offset it
is for. A pull of messages that were not written by this run compares them (`records_in`);
where one does not fit, the message is looked for between its neighbours in the log, and
the unit is written again. If the log has no sound record for it, the unit becomes padding,
which readers skip, and the loss is said.
"""

from __future__ import annotations

import logging
import struct
from typing import TYPE_CHECKING

from store.consume_queue import PADDING_SIZE, PADDING_UNIT, UNIT
from store.dispatch import tags_code_of
from store.log_damage import next_sound
from store.message_codec import FIXED_BYTES, MAGIC_BLANK, MAGIC_V1, MAGIC_V2, frame_of, parse_message

if TYPE_CHECKING:
    from collections.abc import Callable

    from store.commit_log import CommitLog
    from store.consume_queue import ConsumeQueue
    from store.delay_levels import DelayLevels
    from store.message_codec import StoredMessage

log = logging.getLogger("rocketmq.store")

LMQ_PREFIX = "%LMQ%"
"""Queues that Java fills with messages of other topics: their units lead to other queues."""

_HEAD = struct.Struct(">II4xi4xqq")
"""Size, magic, queue id, queue offset, physical offset."""
_MAX_SEARCH_BYTES = 64 << 20
_MAX_NEIGHBOURS = 64


def records_in(data: bytes | memoryview, physical: int, queue_id: int, queue_offset: int) -> int:
    """How many records `data` holds, from commit log offset `physical` on.

    Each must say that it lies there, in queue `queue_id`, at ascending offsets from
    `queue_offset` on.

    Returns:
        -1 when one does not, or they do not fill `data`.
    """
    unpack = _HEAD.unpack_from
    end = len(data)
    at = count = 0
    while end - at >= FIXED_BYTES:
        size, magic, queue, offset, found = unpack(data, at)
        if (
            found != physical + at
            or queue != queue_id
            or offset < queue_offset
            or (magic != MAGIC_V1 and magic != MAGIC_V2)
            or size < FIXED_BYTES
        ):
            return -1
        at += size
        count += 1
    return count if at == end else -1


def mend_units(queue: ConsumeQueue, first: int, end: int, commit_log: CommitLog, levels: DelayLevels) -> None:
    """Compare the units from `first` to before `end` that are in files with the log, and mend them.

    Blocking, for a worker thread.

    Raises:
        StoreIOError: a file cannot be read or written.
    """
    if queue.topic.startswith(LMQ_PREFIX):
        return
    for offset in range(max(first, queue.min_offset), min(end, queue.written_end)):
        unit = queue.unit_at(offset)
        if unit[1] == PADDING_SIZE or _fits(unit, queue, offset, commit_log):
            continue
        if 0 <= unit[0] < commit_log.min_offset and _is_expired(queue, offset, commit_log):
            continue
        message = _find(queue, offset, commit_log)
        place = queue.place_of(offset)
        mended = PADDING_UNIT
        if message is not None:
            mended = UNIT.pack(message.physical_offset, message.size, tags_code_of(message, levels))
        if message is None:
            where = commit_log.place_of(unit[0])
            log.error("%s: no sound message at byte %d, which the unit at byte %d of %s leads to: it is lost",
                      *where, place[1], place[0])  # fmt: skip
        else:
            log.error("%s: the unit at byte %d did not lead to its message, it is mended", *place)
        queue.write_unit(offset, mended)


def mend_with(
    queue: ConsumeQueue,
    message: StoredMessage,
    message_at: Callable[[int], StoredMessage | None],
    levels: DelayLevels,
) -> bool:
    """See that the unit of `message` leads to it, where a file has a unit at its offset.

    For recovery, which meets the message in the log.

    Args:
        message_at: The message at a commit log offset; None when the log is not sound there.

    Returns:
        False when no file has the unit, or it leads to another message of the same offset.

    Raises:
        StoreIOError: a file cannot be read or written.
    """
    offset = message.queue_offset
    end = min(queue.written_end, queue.max_offset) if queue.file_count else 0
    if not queue.first_file_offset <= offset < end:
        return False
    physical, size, _ = queue.unit_at(offset)
    if (physical, size) != (message.physical_offset, message.size):
        other = message_at(physical) if size != PADDING_SIZE and physical >= 0 else None
        if other is not None and (other.topic, other.queue_id, other.queue_offset) == (
            queue.topic, queue.queue_id, offset,
        ):  # fmt: skip
            return False
        log.error(
            "%s: the unit at byte %d did not lead to its message, it is mended", *queue.place_of(offset)
        )
        queue.write_unit(
            offset, UNIT.pack(message.physical_offset, message.size, tags_code_of(message, levels))
        )
    if offset == queue.max_offset - 1:
        queue.max_physical = message.physical_offset + message.size
    return True


def first_fitting(queue: ConsumeQueue, end: int, commit_log: CommitLog) -> int:
    """First of the units just before `end` that leads to its message; `end` when none does.

    For a search that trusted every unit it saw: one that is wrong may have sent it too far.
    """
    found = offset = end
    while queue.min_offset < offset and found - offset < _MAX_NEIGHBOURS:
        offset -= 1
        if _fits(queue.unit_at(offset), queue, offset, commit_log):
            found = offset
    return found


def _fits(unit: tuple[int, int, int], queue: ConsumeQueue, offset: int, commit_log: CommitLog) -> bool:
    physical, size, _ = unit
    if size < FIXED_BYTES or physical < commit_log.min_offset:
        return False
    data = commit_log.read(physical, size, blocking=True)
    return bool(data) and data is not None and _leads_to(data, physical, queue, offset)


def _leads_to(data: bytes | memoryview, physical: int, queue: ConsumeQueue, offset: int) -> bool:
    if records_in(data, physical, queue.queue_id, offset) != 1:
        return False
    return bool(_HEAD.unpack_from(data)[3] == offset)


def _is_expired(queue: ConsumeQueue, offset: int, commit_log: CommitLog) -> bool:
    """Whether a unit that leads before the log may be right: nothing before it leads into the log."""
    return all(
        not _fits(queue.unit_at(before), queue, before, commit_log)
        for before in range(max(queue.min_offset, offset - _MAX_NEIGHBOURS), offset)
    )


def _find(queue: ConsumeQueue, offset: int, commit_log: CommitLog) -> StoredMessage | None:
    """The message of a unit, between those of the units around it."""
    start = commit_log.min_offset
    for before in range(offset - 1, max(queue.min_offset, offset - _MAX_NEIGHBOURS) - 1, -1):
        unit = queue.unit_at(before)
        if _fits(unit, queue, before, commit_log):
            start = unit[0] + unit[1]
            break
    end = commit_log.tail
    for behind in range(offset + 1, min(queue.written_end, offset + _MAX_NEIGHBOURS)):
        unit = queue.unit_at(behind)
        if _fits(unit, queue, behind, commit_log):
            end = unit[0]
            break
    at: int | None = start
    while at is not None and at < min(end, start + _MAX_SEARCH_BYTES):
        prefix = commit_log.read(at, FIXED_BYTES, blocking=True)
        size, magic = frame_of(prefix, 0) if prefix else (0, 0)
        if magic == MAGIC_BLANK:
            at = commit_log.next_file_offset(at)
            continue
        data = commit_log.read(at, size, blocking=True) if size >= FIXED_BYTES else b""
        message = parse_message(data, 0, at) if data else None
        if message is None:
            at = next_sound(commit_log, at, check_crc=True)
        elif (message.topic, message.queue_id, message.queue_offset) == (queue.topic, queue.queue_id, offset):
            return message
        else:
            at += size
    return None
