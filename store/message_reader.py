"""The get path: from a queue offset to the bytes of messages in the log.

A get first selects, by the queue's units alone, then fetches. Messages that are
neighbours in the log are one span and one buffer. Near the tail spans are slices of the
mapping; farther back spans that lie close together are read with one call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from store.config import BrokerRole
from store.consume_queue import PADDING_SIZE, UNIT, UNIT_BYTES
from store.message_codec import (
    FIXED_BYTES,
    MAGIC_V1,
    MAGIC_V2,
    STORE_TIMESTAMP_PREFIX_BYTES,
    frame_of,
    read_store_timestamp,
)
from store.records import GetResult, GetStatus
from store.unit_repair import LMQ_PREFIX, mend_units, records_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from store.commit_log import CommitLog
    from store.config import MessageStoreConfig
    from store.consume_queue import ConsumeQueue
    from store.delay_levels import DelayLevels
    from store.queue_table import QueueTable

MAX_PULL_BYTES = 128 * 1024 * 1024
_BRIDGED_GAP_BYTES = 8 * 1024
_BRIDGED_READ_BYTES = 256 * 1024
_NEVER = (1 << 62) - 1  # behind every message, and still a number that native code need not make an object of

Span: TypeAlias = tuple[int, int]
"""(start, end) in the commit log, inside one file."""

_UNFIT: list[Span] = []
"""What a selection gives that met a unit which leads nowhere."""


class MessageReader:
    """Reads from one store. Safe in the event loop and in worker threads.

    Args:
        commit_log: Where messages lie.
        queues: Where they are found.
        config: Limits of one answer.
        memory_bytes: Physical memory; a share of it counts as near the tail.
        levels: Delay levels, for units that have to be written again.
    """

    def __init__(
        self,
        commit_log: CommitLog,
        queues: QueueTable,
        config: MessageStoreConfig,
        memory_bytes: int,
        levels: DelayLevels,
    ) -> None:
        self._log = commit_log
        self._queues = queues.queues
        self._config = config
        self._memory_bytes = memory_bytes
        self._levels = levels

    def get(
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
        """See `MessageStore.get`; None only when the data is cold and `blocking` is False."""
        queue = self._queues.get((topic, queue_id))
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
        for strict in (True, False):
            result = GetResult(GetStatus.NO_MATCHED_MESSAGE, offset, minimum, maximum)
            log_start = self._log.min_offset
            spans = self._select(
                queue, result, offset, max_nums, max_bytes, match, blocking=blocking, strict=strict
            )
            if spans is None:
                return None
            if spans is not _UNFIT:
                if not spans:
                    return result
                buffers = self._fetch(spans, blocking=blocking)
                if buffers is None:
                    return None
                if not all(buffers):
                    if self._log.min_offset > log_start:
                        # Retention took a file after the selection: select again behind it.
                        return self.get(
                            topic, queue_id, offset, max_nums, max_bytes, match, blocking=blocking
                        )
                    if not strict:
                        return GetResult(
                            GetStatus.MESSAGE_WAS_REMOVING, result.next_begin_offset, minimum, maximum
                        )
                elif not strict or self._fit(queue, offset, spans, buffers, result.message_count):
                    result.buffers = buffers
                    return result
            if not blocking:
                return None
            mend_units(queue, offset, offset + self._scan_units(max_nums), self._log, self._levels)
        raise AssertionError("the second round takes what it finds")

    def _fit(
        self,
        queue: ConsumeQueue,
        offset: int,
        spans: list[Span],
        buffers: list[memoryview | bytes],
        count: int,
    ) -> bool:
        """Whether the buffers hold `count` messages of the queue; near the tail units were not damaged."""
        if self._log.is_hot(spans[0][0]) or queue.topic.startswith(LMQ_PREFIX):
            return True
        for (start, _), data in zip(spans, buffers, strict=True):
            records = records_in(data, start, queue.queue_id, offset)
            if records < 0:
                return False
            count -= records
        return count == 0

    def get_blocking(
        self,
        topic: str,
        queue_id: int,
        offset: int,
        max_nums: int,
        max_bytes: int,
        match: Callable[[int], bool] | None,
    ) -> GetResult:
        """`get` in a worker thread: waits for the disk and always has a result."""
        result = self.get(topic, queue_id, offset, max_nums, max_bytes, match, blocking=True)
        if result is None:
            raise AssertionError("a blocking read always has an answer")
        return result

    def _corrected(self, offset: int, corrected: int) -> int:
        """A slave does not correct readers: it may be behind (Java: ``nextOffsetCorrection``)."""
        return offset if self._config.broker_role is BrokerRole.SLAVE else corrected

    def _scan_units(self, max_nums: int) -> int:
        """How many units one answer looks at."""
        return max(self._config.max_filter_message_size // UNIT_BYTES, max_nums)

    def _near_bytes(self) -> int:
        return self._memory_bytes * self._config.access_message_in_memory_max_ratio // 100

    def _select(
        self,
        queue: ConsumeQueue,
        result: GetResult,
        offset: int,
        max_nums: int,
        max_bytes: int,
        match: Callable[[int], bool] | None,
        *,
        blocking: bool,
        strict: bool,
    ) -> list[Span] | None:
        """Choose the messages of one answer and fill `result` but for its buffers.

        Limits are those of `config` for messages near the tail or far behind it, whichever
        each message is; the first message comes whatever its size.

        Returns:
            None when units are cold and `blocking` is False; `_UNFIT` when one of them leads out of
            the log and `strict` says that this ends the selection.
        """
        config = self._config
        log_start, log_end = self._log.min_offset, self._log.tail
        near_bytes = self._near_bytes()
        near_from = log_end - near_bytes
        max_bytes = min(max(max_bytes, 100), MAX_PULL_BYTES)
        most = min(max_nums, config.max_transfer_count_on_message_in_disk)
        most_bytes = min(max_bytes, config.max_transfer_bytes_on_message_in_disk)
        scan_end = min(offset + self._scan_units(max_nums), result.max_offset)
        spans: list[Span] = []
        run_start = run_end = -1
        skip_before = 0
        count = size = physical = 0
        position = offset
        full = False
        wanted_count = max(max_nums, 1)
        while position < scan_end and not full and count < wanted_count:
            wanted = scan_end - position
            if match is None:
                wanted = min(wanted, wanted_count - count)
            data = queue.read(position, wanted, blocking=blocking)
            if data is None:
                return None
            if not data:
                if not count and position == offset:
                    result.status = GetStatus.OFFSET_FOUND_NULL
                    position = self._corrected(position, max(queue.min_offset, position + 1))
                break
            units: Iterator[tuple[int, int, int]] = UNIT.iter_unpack(
                data
            )  # typed: plain numbers in native code
            for physical, length, tags_code in units:
                if physical >= near_from:
                    near_from = _NEVER
                    most = min(max_nums, config.max_transfer_count_on_message_in_memory)
                    most_bytes = min(max_bytes, config.max_transfer_bytes_on_message_in_memory)
                if count >= most or not 0 < length <= most_bytes - size:
                    # The size of padding is above every limit.
                    if length == PADDING_SIZE:
                        position += 1
                        continue
                    if length <= 0:
                        if strict:
                            return _UNFIT
                        position += 1
                        continue
                    if count:
                        full = True
                        break
                position += 1
                if physical < skip_before:
                    if strict:
                        return _UNFIT
                    continue
                if match is not None and not match(tags_code):
                    continue
                if physical == run_end:
                    # A blank record ends each file, so neighbours never lie in two.
                    run_end += length
                else:
                    if physical < log_start or physical + length > log_end or physical < run_end:
                        if strict:
                            return _UNFIT
                        if not count:
                            result.status = GetStatus.MESSAGE_WAS_REMOVING
                        skip_before = self._log.next_file_offset(physical)
                        continue
                    if run_end > run_start:
                        spans.append((run_start, run_end))
                    run_start = physical
                    run_end = physical + length
                count += 1
                size += length
        if count:
            spans.append((run_start, run_end))
            result.status = GetStatus.FOUND
            result.message_count = count
            result.size = size
        result.next_begin_offset = position
        result.suggest_slave = log_end - physical > near_bytes
        return spans

    def _fetch(self, spans: list[Span], *, blocking: bool) -> list[memoryview | bytes] | None:
        """The bytes of each span; ``b""`` for one that is gone; None when one is cold."""
        log = self._log
        hot = log.hot_view(spans[0][0], spans[-1][1])
        if hot is not None:
            view, base = hot
            return [view[start - base : end - base] for start, end in spans]
        buffers: list[memoryview | bytes] = []
        index = 0
        while index < len(spans):
            following = self._bridged(spans, index)
            first, last = spans[index][0], spans[following - 1][1]
            data = log.read(first, last - first, blocking=blocking)
            if data is None:
                return None
            if following == index + 1:
                buffers.append(data)
            else:
                whole = memoryview(data)
                buffers += [whole[start - first : end - first] for start, end in spans[index:following]]
            index = following
        return buffers

    def _bridged(self, spans: list[Span], index: int) -> int:
        """Index behind the spans that are read together with `spans[index]`, gaps and all."""
        log = self._log
        start, end = spans[index]
        file_end = log.next_file_offset(start)
        following = index + 1
        if not log.is_hot(start):
            while (
                following < len(spans)
                and spans[following][0] - end <= _BRIDGED_GAP_BYTES
                and spans[following][1] - start <= _BRIDGED_READ_BYTES
                and spans[following][1] <= file_end
            ):
                end = spans[following][1]
                following += 1
        return following

    def units(
        self, topic: str, queue_id: int, offset: int, count: int, *, blocking: bool
    ) -> list[tuple[int, int, int]] | None:
        """See `MessageStore.consume_queue_units`; None when cold and `blocking` is False."""
        queue = self._queues.get((topic, queue_id))
        units: list[tuple[int, int, int]] = []
        if queue is None or offset < queue.min_offset:
            return units
        while len(units) < count and offset + len(units) < queue.max_offset:
            data = queue.read(offset + len(units), count - len(units), blocking=blocking)
            if data is None:
                return None
            if not data:
                break
            units += UNIT.iter_unpack(data)
        return units

    def message_at(self, commit_log_offset: int) -> memoryview | bytes | None:
        """See `MessageStore.message_at`."""
        log = self._log
        if commit_log_offset < log.min_offset:
            return None
        prefix = log.read(commit_log_offset, FIXED_BYTES, blocking=True)
        if not prefix:
            return None
        size, magic = frame_of(prefix, 0)
        found = int.from_bytes(prefix[28:36], "big", signed=True)
        if magic not in (MAGIC_V1, MAGIC_V2) or found != commit_log_offset or size < FIXED_BYTES:
            return None
        return log.read(commit_log_offset, size, blocking=True) or None

    def store_time(self, physical: int, size: int) -> int:
        """Store timestamp in ms of the message at a commit log offset, -1 if it is gone; may wait."""
        if size < STORE_TIMESTAMP_PREFIX_BYTES or size == PADDING_SIZE or physical < self._log.min_offset:
            return -1
        data = self._log.read(physical, STORE_TIMESTAMP_PREFIX_BYTES, blocking=True)
        return read_store_timestamp(data) if data else -1

    def next_file_begins(self, physical: int) -> int:
        """Store timestamp in ms of the first message of the log file behind that of an offset; -1 when there
        is none; may wait.
        """
        return self.store_time(self._log.next_file_offset(physical), STORE_TIMESTAMP_PREFIX_BYTES)

    def is_near(self, topic: str, queue_id: int, offset: int) -> bool:
        """True when the message lies within the share of memory before the tail; never waits."""
        units = self.units(topic, queue_id, offset, 1, blocking=False)
        if not units:
            return False
        physical = units[0][0]
        return self._log.min_offset <= physical and self._log.tail - physical <= self._near_bytes()
