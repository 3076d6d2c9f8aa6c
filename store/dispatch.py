"""From a message in the log to its entries in queue and index.

The functions read a stored message: they are for recovery and for whatever appends raw
log bytes. `Dispatcher` does the same from message objects that were just appended,
without decoding, and tells who listens.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from remoting.protocol.message import (
    KEY_SEPARATOR,
    PROPERTY_DELAY_TIME_LEVEL,
    PROPERTY_KEYS,
    PROPERTY_TAGS,
    PROPERTY_UNIQ_CLIENT_MESSAGE_ID_KEYIDX,
    RMQ_SYS_SCHEDULE_TOPIC,
    TRANSACTION_MASK,
    TRANSACTION_PREPARED_TYPE,
    TRANSACTION_ROLLBACK_TYPE,
    java_string_hash,
)
from store.message_codec import StoredMessage, property_mark, property_value
from store.records import Arrival

if TYPE_CHECKING:
    from collections.abc import Callable

    from store.append import Written
    from store.clock import Clock
    from store.delay_levels import DelayLevels
    from store.index import IndexEntry, MessageIndex
    from store.put_times import PutTimes
    from store.queue_table import QueueTable

_new_tuple = tuple.__new__  # a third of what the constructor of a named tuple takes
_KEYS = property_mark(PROPERTY_KEYS)
_TAGS = property_mark(PROPERTY_TAGS)
_UNIQ_KEY = property_mark(PROPERTY_UNIQ_CLIENT_MESSAGE_ID_KEYIDX)
_DELAY = property_mark(PROPERTY_DELAY_TIME_LEVEL)


def has_queue_entry(sys_flag: int) -> bool:
    """False for half and rolled-back messages: no consumer ever sees them."""
    return sys_flag & TRANSACTION_MASK not in (TRANSACTION_PREPARED_TYPE, TRANSACTION_ROLLBACK_TYPE)


def schedule_tags_code(properties: bytes, store_timestamp: int, levels: DelayLevels) -> int | None:
    """Delivery time of a message in the schedule topic; None when it has no delay level."""
    return levels.tags_code(property_value(properties, _DELAY), store_timestamp)


def tags_code_of(message: StoredMessage, levels: DelayLevels) -> int:
    """Tags code for the queue unit of a message that was read from the log."""
    if message.topic == RMQ_SYS_SCHEDULE_TOPIC:
        due = schedule_tags_code(message.properties, message.store_timestamp, levels)
        if due is not None:
            return due
    tags = property_value(message.properties, _TAGS)
    return java_string_hash(tags.decode("utf-8", "replace")) if tags else 0


def index_keys_of(message: StoredMessage) -> tuple[str, ...]:
    """UNIQ_KEY and each part of KEYS; nothing for a rolled-back message."""
    if message.sys_flag & TRANSACTION_MASK == TRANSACTION_ROLLBACK_TYPE:
        return ()
    keys: list[str] = []
    unique = property_value(message.properties, _UNIQ_KEY)
    if unique is not None:
        keys.append(unique.decode("utf-8", "replace"))
    text = property_value(message.properties, _KEYS)
    if text:
        keys += [key for key in text.decode("utf-8", "replace").split(KEY_SEPARATOR) if key]
    return tuple(keys)


class Dispatcher:
    """Makes the messages of one store visible; belongs to the event loop.

    In ASYNC_FLUSH that is when they are appended, in SYNC_FLUSH when they are on the device.

    Args:
        queues: Get a unit for each message that consumers may see.
        index: Gets the keys; None when messages are not indexed.
        put_times: Told how long each message took from `put` to here.
        clock: Wall clock.
        on_dispatched: Called with the number of messages of each batch.
        at_flush: Wait until messages are on the device.

    Attributes:
        on_arrival: Called with the messages that became visible, once per batch.
        timestamp: Store timestamp of the newest visible message, ms.
    """

    def __init__(
        self,
        queues: QueueTable,
        index: MessageIndex | None,
        put_times: PutTimes,
        clock: Clock,
        on_dispatched: Callable[[int], None],
        *,
        at_flush: bool,
    ) -> None:
        self._queues = queues
        self._index = index
        self._put_times = put_times
        self._clock = clock
        self._on_dispatched = on_dispatched
        self._at_flush = at_flush
        self._waiting: deque[tuple[int, list[Written], int]] = deque()
        self.on_arrival: list[Callable[[list[Arrival]], None]] = []
        self.timestamp = 0

    def appended(self, written: list[Written], timestamp: int, end_offset: int) -> None:
        """`written`, not empty, was put at `timestamp` and ends before `end_offset`."""
        if self._at_flush:
            self._waiting.append((end_offset, written, timestamp))
        else:
            self._dispatch(written, timestamp)

    def flushed(self, upto: int) -> None:
        """The log is on the device up to the offset `upto`."""
        waiting = self._waiting
        while waiting and waiting[0][0] <= upto:
            _, written, timestamp = waiting.popleft()
            self._dispatch(written, timestamp)

    def waiting_from(self, tail: int) -> int:
        """Commit log offset of the first message that waits for the device; `tail` when none does."""
        return self._waiting[0][1][0][2] if self._waiting else tail

    def _dispatch(self, written: list[Written], timestamp: int) -> None:
        index = self._index
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
                    arrival = (
                        message.topic, message.queue_id, queue_offset + 1, tags_code, timestamp, physical,
                        size, message.properties,
                    )  # fmt: skip
                    arrivals.append(_new_tuple(Arrival, arrival))
            if (
                index is not None
                and message.properties
                and message.sys_flag & TRANSACTION_MASK != TRANSACTION_ROLLBACK_TYPE
            ):
                entries.append((message.topic, message.keys, physical, timestamp, message.properties))
        if index is not None and entries:
            index.append(entries)
        self.timestamp = timestamp
        self._on_dispatched(len(written))
        if arrivals:
            for listener in self.on_arrival:
                listener(arrivals)
        now_ms = self._clock.now_ms()
        self._put_times.add(now_ms - timestamp, len(written), now_ms)
