"""What a store must hold: an independent account of every message that was sent.

The model encodes messages by itself, from the layout in `store.message_codec`'s table, and knows three
things about the log: what was stored and where (`log`), up to where the device has it for sure (`kept`),
and what was begun and never confirmed (`loose`), of which any may be found after a crash.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING
from zlib import crc32

import attrs

from remoting.protocol.message import RMQ_SYS_SCHEDULE_TOPIC
from store import Message, PutStatus
from tests.simulation.schedule import TAGS, TOPICS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from store import MessageStore, PutResult
    from tests.simulation.schedule import Draft

DELAYS_MS = (1000, 5000, 10_000)
DELAY_LEVELS = "1s 5s 10s"
MAX_BODY_BYTES = 2500
ALL_TIME = (0, 1 << 62)

_V1, _V2 = 0xDAA320A7, 0xDAA320AB
_BLANK_BYTES = 8
_TRANSACTION = 0xC
_PREPARED, _ROLLBACK = 0x4, 0xC
_BORN_V6, _STORE_V6 = 0x10, 0x20
_BORN_V4_HOST = bytes((10, 1, 2, 3)) + (4567).to_bytes(4, "big")
_BORN_V6_HOST = bytes(range(16)) + (4567).to_bytes(4, "big")


class MismatchError(AssertionError):
    """The store is not what it must be."""


def require(condition: object, text: str) -> None:
    """
    Raises:
        MismatchError: `condition` does not hold.
    """
    if not condition:
        raise MismatchError(text)


def java_hash(text: str) -> int:
    """``String.hashCode`` of an ASCII text."""
    value = 0
    for character in text:
        value = (value * 31 + ord(character)) & 0xFFFFFFFF
    return value - (1 << 32) if value >= 1 << 31 else value


@attrs.define(eq=False)
class Sent:
    """One message, and where it is once it is stored.

    Attributes:
        number: Its own, in the body and in its first key.
        queue_offset: -1 before it is stored and when consumers never see it.
        acknowledged: A producer was told that it is stored.
        forgotten: Its topic was deleted since.
        lost: A power loss took it, as it may: it must not come back.
    """

    number: int
    topic: str
    queue_id: int
    sys_flag: int
    body: bytes
    tag: str
    keys: tuple[str, ...]
    delay_level: int
    born_host: bytes
    properties: bytes
    queue_offset: int = -1
    physical: int = -1
    timestamp: int = 0
    acknowledged: bool = False
    forgotten: bool = False
    lost: bool = False

    def __repr__(self) -> str:
        return (
            f"<message {self.number} {self.topic[:12]}-{self.queue_id}@{self.queue_offset} at {self.physical}"
            f"{' acknowledged' if self.acknowledged else ''}>"
        )

    @property
    def in_queue(self) -> bool:
        return self.sys_flag & _TRANSACTION not in (_PREPARED, _ROLLBACK)

    @property
    def indexed_keys(self) -> tuple[str, ...]:
        return () if self.sys_flag & _TRANSACTION == _ROLLBACK else self.keys

    @property
    def tags_code(self) -> int:
        """The hash of the tag, or the time of delivery."""
        if self.topic == RMQ_SYS_SCHEDULE_TOPIC and self.delay_level:
            return self.timestamp + DELAYS_MS[self.delay_level - 1]
        return java_hash(self.tag)

    def message(self, born_timestamp: int) -> Message:
        """What `MessageStore.put` gets."""
        return Message(
            self.topic, self.queue_id, self.number, self.sys_flag, born_timestamp, self.born_host, self.body,
            self.properties, java_hash(self.tag), self.keys, 3,
        )  # fmt: skip

    def encoded(
        self, physical: int, queue_offset: int, timestamp: int, born: int, store_host: bytes
    ) -> bytes:
        """The bytes that must lie in the log if the message is stored there."""
        flag = self.sys_flag
        flag |= _BORN_V6 if len(self.born_host) == 20 else 0
        flag |= _STORE_V6 if len(store_host) == 20 else 0
        topic = self.topic.encode()
        numbers = (self.queue_id, self.number, max(queue_offset, 0), physical, flag, born)
        head = struct.pack(">iiqqiq", *numbers)
        rest = b"".join(
            (
                self.born_host,
                timestamp.to_bytes(8, "big"),
                store_host,
                struct.pack(">iq", 3, 0),
                len(self.body).to_bytes(4, "big"),
                self.body,
                len(topic).to_bytes(1 if len(topic) < 128 else 2, "big"),
                topic,
                len(self.properties).to_bytes(2, "big"),
                self.properties,
            )
        )
        size = 12 + len(head) + len(rest)
        magic = _V1 if len(topic) < 128 else _V2
        return struct.pack(">III", size, magic, crc32(self.body) & 0x7FFFFFFF) + head + rest


@attrs.define(eq=False)
class _Queue:
    """Offsets that a queue must have. `unsure` after its topic was deleted: old messages may come back."""

    next_offset: int = 0
    unsure: bool = False


class Model:
    """The account of one schedule.

    Args:
        log_bytes: Size of a commit log file.
        store_host: Address of the store, packed.
        sync_flush: Readers see a message only once it is on the device.
        index: Messages are indexed.

    Attributes:
        log: What is in the log, or was until its file expired; oldest first.
        loose: By number what was begun and may or may not be in the log after a crash.
        kept: Commit log offset up to which a loss of power takes nothing.
        minimum: First offset of the log.
        tail: Where the log ends.
        queues_synced: No sync of a queue file has failed.
    """

    def __init__(self, *, log_bytes: int, store_host: bytes, sync_flush: bool, index: bool) -> None:
        self._log_bytes = log_bytes
        self._store_host = store_host
        self._sync_flush = sync_flush
        self._index = index
        self._born: dict[int, int] = {}
        self._bytes: dict[int, tuple[tuple[int, int, int], bytes]] = {}
        self.sent: list[Sent] = []
        self.log: list[Sent] = []
        self.loose: dict[int, Sent] = {}
        self.kept = 0
        self.minimum = 0
        self.tail = 0
        self.queues_synced = True
        self._queues: dict[tuple[str, int], _Queue] = {}

    # Sending

    def drafted(self, draft: Draft, now_ms: int) -> Sent:
        """A new message after `draft`, each with a body and a first key of its own."""
        number = len(self.sent)
        mark = f"<{number}>".encode()
        body = (mark * (draft.body_bytes // len(mark) + 1))[: max(draft.body_bytes, len(mark))]
        keys = tuple(f"K{number}" if each == 0 else f"S{(number + each) % 7}" for each in range(draft.keys))
        tag = TAGS[draft.tag]
        pairs = [("UNIQ_KEY", keys[0])] if keys else []
        pairs += [("KEYS", " ".join(keys[1:]))] if keys[1:] else []
        pairs += [("TAGS", tag)] if tag else []
        pairs += [("DELAY", str(draft.delay_level))] if draft.delay_level else []
        pairs += [("p", "y" * draft.padding_bytes)] if draft.padding_bytes else []
        properties = "".join(f"{name}\1{value}\2" for name, value in pairs).encode()
        host = _BORN_V6_HOST if draft.ipv6 else _BORN_V4_HOST
        sent = Sent(number, TOPICS[draft.topic], draft.queue, draft.transaction, body, tag, keys,
                    draft.delay_level, host, properties)  # fmt: skip
        self._born[number] = now_ms
        self.sent.append(sent)
        return sent

    def message(self, sent: Sent) -> Message:
        return sent.message(self._born[sent.number])

    def bytes_of(self, sent: Sent) -> bytes:
        """What lies in the log where `sent` is stored."""
        place = (sent.physical, sent.queue_offset, sent.timestamp)
        known = self._bytes.get(sent.number)
        if known is None or known[0] != place:
            known = self._bytes[sent.number] = place, self._encoded_at(sent, *place)
        return known[1]

    def _encoded_at(self, sent: Sent, physical: int, queue_offset: int, timestamp: int) -> bytes:
        return sent.encoded(physical, queue_offset, timestamp, self._born[sent.number], self._store_host)

    def begun(self, messages: Iterable[Sent]) -> None:
        """`put` is called with them: from now on a crash may leave any of them."""
        for sent in messages:
            self.loose[sent.number] = sent

    def answered(self, messages: Sequence[Sent], results: Sequence[PutResult], now_ms: int) -> None:
        """What `put` said about each.

        Raises:
            MismatchError: a place or an offset that cannot be.
        """
        require(len(results) == len(messages), f"{len(results)} results for {len(messages)} messages")
        for sent, result in zip(messages, results, strict=True):
            if result.status is PutStatus.MESSAGE_ILLEGAL:
                require(self._is_illegal(sent), f"{sent} was refused as illegal")
            if not result.ok:
                require(result.physical_offset < 0, f"{sent} failed and has a place: {result}")
                continue
            self._place(sent, result, now_ms)

    def check_whole(self, batch: Sequence[Sent]) -> None:
        """What one file can hold of a batch is stored in one file, or not at all.

        Raises:
            MismatchError: a failure has parted it.
        """
        legal = [sent for sent in batch if not self._is_illegal(sent)]
        if sum(len(self._encoded_at(sent, 0, 0, 0)) for sent in legal) > self._log_bytes - _BLANK_BYTES:
            return
        files = {sent.physical // self._log_bytes if sent.physical >= 0 else -1 for sent in legal}
        require(len(files) <= 1, f"the batch {batch} lies in the files {sorted(files)}")

    def _is_illegal(self, sent: Sent) -> bool:
        size = len(self._encoded_at(sent, 0, 0, 0))
        return len(sent.body) > MAX_BODY_BYTES or size > self._log_bytes - _BLANK_BYTES

    def _place(self, sent: Sent, result: PutResult, now_ms: int) -> None:
        require(not self._is_illegal(sent), f"{sent} is too large and was stored")
        size = len(self._encoded_at(sent, 0, 0, 0))
        queue = self._queues.setdefault((sent.topic, sent.queue_id), _Queue())
        require(result.size == size, f"{sent} has {size} bytes, the result says {result.size}")
        require(result.store_timestamp == now_ms, f"{sent} got the time {result.store_timestamp}")
        next_file = -(-self.tail // self._log_bytes) * self._log_bytes
        fits = self.tail + size + _BLANK_BYTES <= next_file or next_file == self.tail
        places = (self.tail, next_file) if fits else (next_file,)
        require(result.physical_offset in places, f"{sent} was put at {result.physical_offset}, not {places}")
        if sent.in_queue:
            self._settle_unsure(queue, result.queue_offset)
            right = queue.next_offset
            require(result.queue_offset == right, f"{sent} got offset {result.queue_offset}, not {right}")
            queue.next_offset += 1
            sent.queue_offset = result.queue_offset
        sent.physical, sent.timestamp = result.physical_offset, now_ms
        self.tail = sent.physical + size
        self.log.append(sent)
        del self.loose[sent.number]

    def _settle_unsure(self, queue: _Queue, offset: int) -> None:
        if queue.unsure:
            queue.next_offset, queue.unsure = offset, False

    def forget_topic(self, topic: str) -> None:
        """The topic's queues are gone; its messages stay in the log and may be found by a recovery."""
        for sent in self.log:
            if sent.topic == topic:
                sent.forgotten = True
        for key in [key for key in self._queues if key[0] == topic]:
            self._queues[key] = _Queue()

    # Crashes

    def recovered(self, store: MessageStore, how: str) -> None:
        """Compare the log of a store that was just loaded, and go on from what it has.

        Args:
            how: ``clean``, ``process`` or ``power``: how the store ended before.

        Raises:
            MismatchError: something is lost, torn, twice there or was never sent.
        """
        found = self._walk(store)
        if how == "clean":
            file_end = -(-self.tail // self._log_bytes) * self._log_bytes  # left early, for lack of space
            ends = (self.tail, file_end)
            require(store.max_phy_offset in ends, f"ends at {store.max_phy_offset}, not {self.tail}")
        require(store.min_phy_offset <= self.minimum, f"begins at {store.min_phy_offset}, not {self.minimum}")
        self._compare_logs(found, store, how)
        there = {sent.number for sent in found}
        for sent in self.log:
            if sent.number not in there and sent.physical >= store.min_phy_offset:
                sent.lost = True
        before = [sent for sent in self.log if sent.physical < store.min_phy_offset]
        gone = [sent for sent in self.log if sent.lost]
        self.log = before + found
        self.loose.clear()
        self.minimum = store.min_phy_offset
        self.tail = self.kept = store.max_phy_offset
        self._settle_offsets(store, gone, how)
        self.check(store)

    def _walk(self, store: MessageStore) -> list[Sent]:
        """Every record of the log, each compared with what was sent."""
        found: list[Sent] = []
        position = store.min_phy_offset
        seen: set[int] = set()
        while position < store.max_phy_offset:
            data = store.message_at(position)
            if data is None:
                position += self._log_bytes - position % self._log_bytes
                continue
            data = bytes(data)
            sent = self._identified(data, position)
            if sent.number in seen:
                raise MismatchError(f"{sent} is in the log twice, again at {position}")
            seen.add(sent.number)
            found.append(sent)
            position += len(data)
        require(position == store.max_phy_offset or not found or position % self._log_bytes == 0,
                f"records end at {position}, the log at {store.max_phy_offset}")  # fmt: skip
        return found

    def _identified(self, data: bytes, position: int) -> Sent:
        number = int.from_bytes(data[16:20], "big")
        require(number < len(self.sent), f"a message {number} at {position} was never sent")
        sent = self.sent[number]
        if sent.lost:
            raise MismatchError(f"{sent} was lost in an earlier crash and is back at {position}")
        if number in self.loose:
            sys_flag = int.from_bytes(data[36:40], "big")
            at = 68 if sys_flag & _BORN_V6 else 56
            offset = int.from_bytes(data[20:28], "big")
            sent.timestamp = int.from_bytes(data[at : at + 8], "big")
            sent.physical, sent.queue_offset = position, offset if sent.in_queue else -1
        if sent.physical != position:
            raise MismatchError(f"{sent} is found at {position}")
        if data != self.bytes_of(sent):
            raise MismatchError(f"{sent} is torn")
        return sent

    def _compare_logs(self, found: list[Sent], store: MessageStore, how: str) -> None:
        there = {sent.number for sent in found}
        expected = [sent for sent in self.log if sent.physical >= store.min_phy_offset]
        for sent in expected:
            end = sent.physical + len(self.bytes_of(sent))
            must = how != "power" or end <= self.kept
            if must and sent.number not in there:
                raise MismatchError(
                    f"{sent} is lost ({how}); kept up to {self.kept}, the log ends at {store.max_phy_offset}"
                )
        if how == "clean":
            require([s.number for s in found] == [s.number for s in expected], "the log holds something else")

    def _settle_offsets(self, store: MessageStore, gone: list[Sent], how: str) -> None:
        by_queue: dict[tuple[str, int], list[Sent]] = {}
        for sent in self.log:
            if sent.in_queue and not sent.forgotten:
                by_queue.setdefault((sent.topic, sent.queue_id), []).append(sent)
        keys = {*self._queues, *by_queue}
        for key in sorted(keys):
            queue = self._queues.setdefault(key, _Queue())
            mine = by_queue.get(key, [])
            lost = [s.queue_offset for s in gone if s.in_queue and (s.topic, s.queue_id) == key]
            there = store.max_offset(*key)
            if mine and mine[-1].physical >= self.minimum:
                queue.next_offset = mine[-1].queue_offset + 1
            elif any(s.forgotten and (s.topic, s.queue_id) == key for s in self.log):
                self._revive(store, key)
                queue.unsure = False
                queue.next_offset = there
            elif how == "power":
                self._check_end_of_expired(key, there, lost)
                queue.next_offset = there
            require(there == queue.next_offset, f"{key} ends at {there}, not {queue.next_offset} ({how})")
        for topic in store.topics():
            for queue_id in store.queues(topic):
                key = (topic, queue_id)
                if key not in self._queues:
                    self._revive(store, key)
                    require(key in self._queues, f"{key} was never sent to")

    def _check_end_of_expired(self, key: tuple[str, int], there: int, lost: list[int]) -> None:
        """No message of queue `key` is in the log: its end `there` may be that of those that were, or later.

        Later, up to what is lost, where messages are expired or all are lost: then a file of the queue may be
        all that tells of them.
        """
        most = self._queues[key].next_offset
        if self.minimum == 0 and self.log:
            most = min([most, *lost])
        expired = [s.queue_offset for s in self.log if s.in_queue and (s.topic, s.queue_id) == key]
        least = max(expired, default=-1) + 1 if self.queues_synced else 0
        require(least <= there <= most, f"{key} ends at {there}, not between {least} and {most}")

    def _revive(self, store: MessageStore, key: tuple[str, int]) -> None:
        """A deleted queue that came back: what it has must be the end of what was there."""
        old = [s for s in self.log if s.forgotten and s.in_queue and (s.topic, s.queue_id) == key]
        units = store.consume_queue_units(*key, max(store.min_offset(*key), 0), 1 << 20)
        places = {s.physical: s for s in old}
        for physical, _, _ in units:
            if physical >= self.minimum:
                require(physical in places, f"{key} came back with a message at {physical}")
                places[physical].forgotten = False
        if old or units:
            self._queues.setdefault(key, _Queue()).next_offset = store.max_offset(*key)

    # Checks at any time

    def visible(self, topic: str, queue_id: int, store: MessageStore) -> dict[int, Sent]:
        """Messages of a queue that readers must get now, by offset."""
        upto = store.flushed_offset if self._sync_flush else 1 << 62
        return {
            sent.queue_offset: sent
            for sent in self.log
            if sent.topic == topic
            and sent.queue_id == queue_id
            and sent.in_queue
            and not sent.forgotten
            and self.minimum <= sent.physical < upto
        }

    def queues(self) -> list[tuple[str, int]]:
        return sorted(self._queues)

    def next_offset(self, topic: str, queue_id: int) -> int:
        queue = self._queues.get((topic, queue_id))
        return 0 if queue is None else queue.next_offset

    def check(self, store: MessageStore) -> None:
        """Queues and index agree with the log."""
        for topic, queue_id in self.queues():
            self._check_queue(store, topic, queue_id)
        if self._index:
            self._check_index(store)

    def _check_queue(self, store: MessageStore, topic: str, queue_id: int) -> None:
        expected = self.visible(topic, queue_id, store)
        where = f"{topic[:12]}-{queue_id}"
        low, high = store.min_offset(topic, queue_id), store.max_offset(topic, queue_id)
        if not expected:
            require(low <= high, f"{where} has {low}..{high}")
            return
        first = min(expected)
        require(low <= first, f"{where} begins at {low}, its first message is {first}")
        require(high == max(expected) + 1, f"{where} ends at {high}, not {max(expected) + 1}")
        units = store.consume_queue_units(topic, queue_id, first, len(expected) + 1)
        wanted = [
            (sent.physical, len(self.bytes_of(sent)), sent.tags_code)
            for _, sent in sorted(expected.items())
        ]  # fmt: skip
        if units != wanted:
            raise MismatchError(f"{where} from {first} on has the units {units}, not {wanted}")
        for sent in expected.values():
            data = store.message_at(sent.physical)
            if data is None or bytes(data) != self.bytes_of(sent):
                raise MismatchError(f"{sent} cannot be read")

    def _check_index(self, store: MessageStore) -> None:
        for sent in self.log:
            if sent.physical < self.minimum or not sent.indexed_keys:
                continue
            if self._sync_flush and sent.physical >= store.flushed_offset:
                continue
            self.check_key(store, sent, sent.keys[0])

    def check_key(self, store: MessageStore, sent: Sent, key: str, index_type: str | None = None) -> None:
        """The index leads from `key` to `sent`, and to nothing that was not sent."""
        found = [bytes(data) for data in store.query(sent.topic, key, 64, *ALL_TIME, index_type).buffers]
        for data in found:
            position = int.from_bytes(data[28:36], "big")
            self._identified(data, position)
        numbers = [int.from_bytes(data[16:20], "big") for data in found]
        if len(set(numbers)) != len(numbers):
            raise MismatchError(f"{key} leads to {numbers}")
        if sent.number not in numbers and len(found) < 64:
            raise MismatchError(f"{key} leads to {numbers}, not to {sent}")
