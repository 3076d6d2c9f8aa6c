"""The send path: messages → records → one write per touched log file.

One call encodes a whole batch, assigns queue offsets, writes, and hands what was
written on to dispatch. A record and the blank record behind it always fit their file;
what does not fit begins the next file, a producer's batch as a whole: it is stored by one write, all of
it or nothing (Java: ``CommitLog.asyncPutMessages``).
"""

from __future__ import annotations

from struct import error
from typing import TYPE_CHECKING, TypeAlias
from zlib import crc32

from remoting.protocol.message import (
    BORNHOST_V6_FLAG,
    MAX_PROPERTIES_BYTES,
    RMQ_SYS_SCHEDULE_TOPIC,
    STOREHOSTADDRESS_V6_FLAG,
    TRANSACTION_MASK,
)
from store.dispatch import has_queue_entry, schedule_tags_code
from store.message_codec import BLANK, BLANK_BYTES, FIXED_BYTES, HEAD, MAGIC_BLANK, encode_head, looks_torn
from store.records import PutResult, PutStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from store.commit_log import CommitLog
    from store.config import MessageStoreConfig
    from store.consume_queue import ConsumeQueue
    from store.delay_levels import DelayLevels
    from store.queue_table import QueueTable
    from store.records import Message

_EXTRA_MESSAGE_BYTES = 64 * 1024
_HOST_FLAGS = BORNHOST_V6_FLAG | STOREHOSTADDRESS_V6_FLAG
_V6_EXTRA_BYTES = 12
_PARTS = 4  # head, body, topic and length of the properties, properties


Written: TypeAlias = "tuple[ConsumeQueue, int, int, int, int, Message]"
"""(queue, queue offset, commit log offset, size, tags code, message) of a message in the log;
the queue offset is -1 when no consumer shall see it. A plain tuple: one is made per message."""


class Appender:
    """Encodes and appends for one store.

    Args:
        commit_log: Where records go.
        queues: Assigns queue offsets.
        levels: Delay levels, for the schedule topic.
        config: Size limits.
        store_host: This broker's address as 4 or 16 address bytes and port.
    """

    def __init__(
        self,
        commit_log: CommitLog,
        queues: QueueTable,
        levels: DelayLevels,
        config: MessageStoreConfig,
        store_host: bytes,
    ) -> None:
        self._log = commit_log
        self._queues = queues
        self._table = queues.queues
        self._levels = levels
        self._config = config
        self._store_host = store_host
        self._store_v4 = len(store_host) == 8
        self._store_flag = 0 if self._store_v4 else STOREHOSTADDRESS_V6_FLAG

    def append_in_file(
        self,
        messages: Sequence[Message],
        start: int,
        now_ms: int,
        results: list[PutResult],
        whole: Sequence[tuple[int, int]] = (),
    ) -> tuple[int, list[Written]]:
        """Append `messages` from `start` on, as far as the current file reaches.

        `results` gets one result per message handled. A message that breaks a limit gets
        its status and is skipped.

        Args:
            whole: (first, count) of messages that go into one file, ascending. What no file can hold
                goes into several.

        Returns:
            Index of the first message that belongs to the next file, and what was written.

        Raises:
            StoreIOError: nothing of this part was written, queue offsets are as before,
                and `results` is as it was.
        """
        log = self._log
        tail, room = log.room()
        limit = tail + room - BLANK_BYTES
        table = self._table
        store_host = self._store_host
        max_body = self._config.max_message_size
        max_size = min(max_body + _EXTRA_MESSAGE_BYTES, log.file_size - BLANK_BYTES)
        pack_head = HEAD.pack
        ok = PutStatus.PUT_OK
        parts: list[bytes | memoryview] = []
        written: list[Written] = []
        first_result = len(results)
        place = queue = None
        middle_length = -1
        middle = b""
        offset = tail
        index = start
        advance = 0
        for index in range(start, len(messages)):
            message = messages[index]
            if place is None or place[1] != message.queue_id or place[0] != message.topic:
                place = (message.topic, message.queue_id)
                queue = table.get(place)
                middle_length = -1
            if queue is None:
                try:
                    queue = self._queues.create(message.topic, message.queue_id)
                except ValueError:
                    results.append(PutResult(PutStatus.MESSAGE_ILLEGAL))
                    continue
            body = message.body
            body_length = len(body)
            properties = message.properties
            properties_length = len(properties)
            if properties_length > MAX_PROPERTIES_BYTES:
                results.append(PutResult(PutStatus.PROPERTIES_SIZE_EXCEEDED))
                continue
            topic = queue.topic_block
            born_host = message.born_host
            size = FIXED_BYTES + body_length + len(topic) + properties_length
            sys_flag = message.sys_flag
            common = self._store_v4 and len(born_host) == 8 and not sys_flag & _HOST_FLAGS
            if not common:
                sys_flag = sys_flag & ~_HOST_FLAGS | self._store_flag
                size += len(store_host) - 8
                if len(born_host) == 20:
                    sys_flag |= BORNHOST_V6_FLAG
                    size += _V6_EXTRA_BYTES
            if body_length > max_body or size > max_size or (b"\0" in properties and looks_torn(properties)):
                results.append(PutResult(PutStatus.MESSAGE_ILLEGAL))
                continue
            if offset + size > limit:
                first = _first_of_batch(whole, index)
                if start < first < index or (first == start < index and room < log.file_size):
                    offset = _take_back(results, first_result + first - start, written, parts, offset)
                    index = first
                blank = tail + room - offset
                parts.append(BLANK.pack(blank, MAGIC_BLANK))
                advance = blank
                break
            tags_code = message.tags_code
            if message.topic == RMQ_SYS_SCHEDULE_TOPIC:
                due = schedule_tags_code(properties, now_ms, self._levels)
                if due is not None:
                    tags_code = due
            if not sys_flag & TRANSACTION_MASK or has_queue_entry(sys_flag):
                queue_offset = stored_offset = queue.next_offset
                queue.next_offset = queue_offset + 1
            else:
                queue_offset, stored_offset = -1, 0
            crc = crc32(body) & 0x7FFFFFFF
            try:
                if common:
                    head = pack_head(
                        size, queue.magic, crc, message.queue_id, message.flag, stored_offset, offset,
                        sys_flag, message.born_timestamp, born_host, now_ms, store_host,
                        message.reconsume_times, message.prepared_transaction_offset, body_length,
                    )  # fmt: skip
                else:
                    head = encode_head(
                        total_size=size, magic=queue.magic, crc=crc, queue_id=message.queue_id,
                        flag=message.flag, queue_offset=stored_offset, physical_offset=offset,
                        sys_flag=sys_flag, born_timestamp=message.born_timestamp, born_host=born_host,
                        store_timestamp=now_ms, store_host=store_host,
                        reconsume_times=message.reconsume_times,
                        prepared_transaction_offset=message.prepared_transaction_offset,
                        body_length=body_length,
                    )  # fmt: skip
            except (error, KeyError):
                if queue_offset >= 0:
                    queue.next_offset = queue_offset
                results.append(PutResult(PutStatus.MESSAGE_ILLEGAL))
                continue
            if properties_length != middle_length:
                middle = topic + properties_length.to_bytes(2, "big")
                middle_length = properties_length
            parts += (head, body, middle, properties)
            written.append((queue, queue_offset, offset, size, tags_code, message))
            results.append(PutResult(ok, stored_offset, offset, size, now_ms, store_host))
            offset += size
        else:
            index = len(messages)
        if parts:
            try:
                log.append(b"".join(parts), offset - tail + advance)
            except BaseException:
                del results[first_result:]
                for queue, queue_offset, *_ in written:
                    if queue_offset >= 0:
                        queue.next_offset -= 1
                raise
        return index, written


def _first_of_batch(whole: Sequence[tuple[int, int]], index: int) -> int:
    """Index of the first message of the batch that the message at `index` is of; its own without one."""
    for first, count in whole:
        if first <= index < first + count:
            return first
    return index


def _take_back(
    results: list[PutResult],
    keep: int,
    written: list[Written],
    parts: list[bytes | memoryview],
    offset: int,
) -> int:
    """Forget what was encoded for all but the first `keep` results; returns where it began in the log."""
    count = sum(result.status is PutStatus.PUT_OK for result in results[keep:])
    del results[keep:]
    for _ in range(count):
        queue, queue_offset, offset, *_ = written.pop()
        if queue_offset >= 0:
            queue.next_offset -= 1
        del parts[-_PARTS:]
    return offset
