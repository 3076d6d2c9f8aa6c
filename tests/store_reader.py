"""Reads the files of a broker's store by their published layout, and says where they contradict each other.

It shares no line with the product: what it finds in a directory is what any other reader of the format
would find. Layouts: reference page on the protocol, section 3 (files) and 4 (tables); the offset journal
and ``queueEnds``, which are ours, as their own documents describe them.
"""

from __future__ import annotations

import json
import os
import re
import struct
import zlib
from collections import defaultdict
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = [
    "CommitLogImage",
    "Faults",
    "IndexImage",
    "QueueImage",
    "StoreImage",
    "StoredMessage",
    "UnsoundError",
    "java_hash",
    "key_hash",
    "parse_message",
    "read_checkpoint",
    "read_commit_log",
    "read_consume_queues",
    "read_index",
    "read_offsets",
    "read_store",
    "split_messages",
]

V1, V2, BLANK = 0xDAA320A7, 0xDAA320AB, 0xCBD43194
SCHEDULE_TOPIC = "SCHEDULE_TOPIC_XXXX"
_HEAD = struct.Struct(">iIiiiqqiq")
_PAGE = 4096
_UNIT = struct.Struct(">qiq")
_PADDING = 0x7FFFFFFF
_INDEX_HEADER = struct.Struct(">qqqqii")
_INDEX_ENTRY = struct.Struct(">iqii")
_BORN_V6, _STORE_V6 = 0x10, 0x20
_TRANSACTION, _PREPARED, _ROLLBACK = 0xC, 0x4, 0xC
_MAX_ITEMS = 20


class UnsoundError(Exception):
    """These bytes are no whole message; the text says why."""


class StoredMessage(NamedTuple):
    """One record of the commit log; hosts are ``(address bytes, port)``, times in milliseconds."""

    physical: int
    size: int
    magic: int
    queue_id: int
    flag: int
    queue_offset: int
    sys_flag: int
    born_timestamp: int
    born_host: tuple[bytes, int]
    store_timestamp: int
    store_host: tuple[bytes, int]
    reconsume_times: int
    prepared_offset: int
    body: bytes
    topic: str
    property_text: bytes

    @property
    def properties(self) -> dict[str, str]:
        pairs = [pair.split(b"\x01", 1) for pair in self.property_text.split(b"\x02") if b"\x01" in pair]
        return {name.decode(): value.decode() for name, value in pairs}

    @property
    def has_queue_entry(self) -> bool:
        return self.sys_flag & _TRANSACTION not in (_PREPARED, _ROLLBACK)

    @property
    def index_keys(self) -> list[str]:
        """Under which keys a query finds it: UNIQ_KEY, each part of KEYS, ``T#`` and the tags."""
        if self.sys_flag & _TRANSACTION == _ROLLBACK:
            return []
        pairs = self.properties
        keys = [pairs["UNIQ_KEY"]] if "UNIQ_KEY" in pairs else []
        keys += [key for key in pairs.get("KEYS", "").split(" ") if key]
        return [*keys, f"T#{pairs['TAGS']}"] if pairs.get("TAGS") else keys


def _host(data: memoryview, at: int, *, is_v6: bool) -> tuple[tuple[bytes, int], int]:
    width = 16 if is_v6 else 4
    (port,) = struct.unpack_from(">i", data, at + width)
    return (bytes(data[at : at + width]), port), at + width + 4


def parse_message(data: bytes | memoryview, at: int = 0) -> StoredMessage:
    """The message that begins at `at`.

    Raises:
        UnsoundError: lengths, magic, CRC or the place that it names do not fit.
    """
    view = memoryview(data)
    try:
        return _parsed(view, at)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise UnsoundError(f"fields at {at}: {error}") from error


def _parsed(view: memoryview, at: int) -> StoredMessage:
    size, magic, crc, queue_id, flag, queue_offset, physical, sys_flag, born = _HEAD.unpack_from(view, at)
    if magic not in (V1, V2):
        raise UnsoundError(f"magic {magic:08x} at {at}")
    if size < 91 or at + size > len(view):
        raise UnsoundError(f"size {size} at {at}")
    end = at + size
    place = at + _HEAD.size
    born_host, place = _host(view, place, is_v6=bool(sys_flag & _BORN_V6))
    (stored,) = struct.unpack_from(">q", view, place)
    store_host, place = _host(view, place + 8, is_v6=bool(sys_flag & _STORE_V6))
    tries, prepared, length = struct.unpack_from(">iqi", view, place)
    place += 16
    if length < 0 or place + length > end:
        raise UnsoundError(f"body of {length} bytes at {at}")
    body = bytes(view[place : place + length])
    place += length
    if zlib.crc32(body) & 0x7FFFFFFF != crc:
        raise UnsoundError(f"CRC of the body at {at}")
    width = 1 if magic == V1 else 2
    length = int.from_bytes(view[place : place + width], "big")
    topic = bytes(view[place + width : place + width + length]).decode()
    place += width + length
    (length,) = struct.unpack_from(">h", view, place)
    properties = bytes(view[place + 2 : place + 2 + length])
    if length < 0 or place + 2 + length != end or len(properties) != length:
        raise UnsoundError(f"properties of {length} bytes at {at}")
    return StoredMessage(
        physical, size, magic, queue_id, flag, queue_offset, sys_flag, born, born_host, stored, store_host,
        tries, prepared, body, topic, properties,
    )  # fmt: skip


def split_messages(data: bytes) -> list[StoredMessage]:
    """The messages of a pull's or query's body.

    Raises:
        UnsoundError: one is not whole.
    """
    found, at = [], 0
    while at < len(data):
        message = parse_message(data, at)
        found.append(message)
        at += message.size
    return found


def _file_numbers(directory: Path) -> list[tuple[int, Path]]:
    """Files named by 20 digits, ascending."""
    if not directory.is_dir():
        return []
    names = [each.name for each in directory.iterdir() if len(each.name) == 20 and each.name.isdigit()]
    return sorted((int(name), directory / name) for name in names)


@dataclass(frozen=True)
class CommitLogImage:
    """The log from its first file to the end of its last sound message.

    Attributes:
        messages: By commit log offset, ascending.
        minimum: Where the first file begins.
        tail: End of the last sound message, or of the blank that follows it.
        end_reason: Why reading ended there.
        bases: Where files begin.
    """

    messages: dict[int, StoredMessage]
    minimum: int
    tail: int
    end_reason: str
    bases: list[int]


def read_commit_log(directory: Path) -> CommitLogImage:
    """Read the whole log of one directory.

    Raises:
        UnsoundError: files do not follow each other.
    """
    files = _file_numbers(directory)
    messages: dict[int, StoredMessage] = {}
    if not files:
        return CommitLogImage(messages, 0, 0, "no files", [])
    expected = minimum = tail = files[0][0]
    reason = "no more files"
    for base, path in files:
        if base != expected:
            raise UnsoundError(f"{path}: the file before it ends at {expected}")
        data = path.read_bytes()
        expected = base + len(data)
        at = 0
        while True:
            if len(data) - at < 8:
                at = len(data)
                break
            size, magic = struct.unpack_from(">iI", data, at)
            if magic == BLANK and size == len(data) - at:
                at = len(data)
                break
            try:
                message = parse_message(data, at)
                if message.physical != base + at:
                    raise UnsoundError(f"names {message.physical} as its place at {at}")
            except UnsoundError as error:
                reason = f"{path}: {error}" if any(data[at : at + 8]) else ""
                break
            messages[base + at] = message
            at += message.size
        tail = base + at
        if at < len(data):
            break
    return CommitLogImage(messages, minimum, tail, reason, [base for base, _ in files])


@dataclass(frozen=True)
class QueueImage:
    """Units ``(physical, size, tags code)`` of one queue from `first` on, up to the first empty one."""

    first: int
    units: list[tuple[int, int, int]]


def read_consume_queues(directory: Path) -> dict[tuple[str, int], QueueImage]:
    """All queues below ``consumequeue``.

    Raises:
        UnsoundError: the files of one do not follow each other.
    """
    found: dict[tuple[str, int], QueueImage] = {}
    if not directory.is_dir():
        return found
    for topic in sorted(directory.iterdir()):
        for queue in sorted(topic.iterdir()):
            files = _file_numbers(queue)
            units: list[tuple[int, int, int]] = []
            expected = files[0][0] if files else 0
            for base, path in files:
                if base != expected:
                    raise UnsoundError(f"{path}: the file before it ends at {expected}")
                data = path.read_bytes()
                expected = base + len(data)
                rows = list(_UNIT.iter_unpack(data[: len(data) // 20 * 20]))
                while rows and rows[-1] == (0, 0, 0):
                    rows.pop()
                units += rows
                if len(rows) < len(data) // 20:
                    break
            found[topic.name, int(queue.name)] = QueueImage(files[0][0] // 20 if files else 0, units)
    return found


@dataclass(frozen=True)
class IndexImage:
    """One index file.

    Attributes:
        entries: ``(key hash, physical, seconds, previous)`` by their number from 1 on.
        slots: Number of the newest entry of each slot.
    """

    name: str
    begin_timestamp: int
    end_timestamp: int
    begin_physical: int
    end_physical: int
    used_slots: int
    count: int
    slots: list[int]
    entries: list[tuple[int, int, int, int]]

    def chain(self, hashed: int) -> Iterator[tuple[int, int, int, int]]:
        """Entries of the slot of `hashed`, newest first.

        Raises:
            UnsoundError: the chain leads upward or out of the file.
        """
        limit = self.count
        number = self.slots[hashed % len(self.slots)]
        while number:
            if not 0 < number < limit:
                raise UnsoundError(f"{self.name}: slot or entry leads to entry {number} of {self.count}")
            yield (entry := self.entries[number - 1])
            limit, number = number, entry[3]


def read_index(directory: Path, slots: int, capacity: int, *, killed: bool) -> list[IndexImage]:
    """All index files, oldest first.

    Args:
        killed: the broker did not stop in order, maybe while a start cleared what lay behind the entries of a
            file: that one is cut, and the next start makes it and those behind it again.

    Raises:
        UnsoundError: one has the wrong size or counts more than it holds.
    """
    found: list[IndexImage] = []
    paths = sorted(directory.iterdir()) if directory.is_dir() else []
    for path in paths:
        data = path.read_bytes()
        if not data and path == paths[-1]:
            continue  # killed between the creation of the file and its first size
        if killed and len(data) < 40 + slots * 4 + capacity * 20:
            break
        if len(data) != 40 + slots * 4 + capacity * 20:
            raise UnsoundError(f"{path}: {len(data)} bytes")
        begin, end, begin_physical, end_physical, used, count = _INDEX_HEADER.unpack_from(data)
        if not 0 <= count <= capacity:
            raise UnsoundError(f"{path}: {count} entries of {capacity}")
        entries_at = 40 + slots * 4
        body = data[entries_at + 20 : entries_at + 20 * max(count, 1)]
        found.append(
            IndexImage(
                str(path),
                begin,
                end,
                begin_physical,
                end_physical,
                used,
                count,
                list(struct.unpack_from(f">{slots}i", data, 40)),
                list(_INDEX_ENTRY.iter_unpack(body)),
            )
        )
    return found


def java_hash(text: str) -> int:
    """Java's ``String.hashCode``."""
    value = 0
    for (unit,) in struct.iter_unpack(">H", text.encode("utf-16-be", "surrogatepass")):
        value = (value * 31 + unit) & 0xFFFFFFFF
    return value - (1 << 32) if value & 0x80000000 else value


@lru_cache(maxsize=1 << 18)
def key_hash(topic: str, key: str) -> int:
    """What an index entry says of a key."""
    value = abs(java_hash(f"{topic}#{key}"))
    return 0 if value == 1 << 31 else value


def read_checkpoint(path: Path) -> tuple[int, int, int, int, int]:
    """Store timestamps of log, queues and index, in ms; then two offsets of replication."""
    data = path.read_bytes()
    if len(data) != 4096:
        raise UnsoundError(f"{path}: {len(data)} bytes")
    first, second, third, fourth, fifth = struct.unpack_from(">5q", data)
    return first, second, third, fourth, fifth


def _loads(text: str) -> dict[str, dict[str, object]]:
    """fastjson writes numeric keys of maps without quotes."""
    document: dict[str, dict[str, object]] = json.loads(re.sub(r"([{,]\s*)(-?\d+)(\s*:)", r'\1"\2"\3', text))
    return document


def _offset_table(text: str) -> dict[tuple[str, int], int]:
    rows = _loads(text).get("offsetTable") or {}
    table: dict[tuple[str, int], int] = {}
    for key, row in rows.items():
        assert isinstance(row, dict)
        for queue_id, offset in row.items():
            table[key, int(queue_id)] = int(offset)
    return table


def read_offsets(config: Path) -> dict[tuple[str, int], int]:
    """Committed offsets by (``topic@group``, queue id): the saved table with its journal on top.

    The journal is ours: two segments ``consumerOffset.journal.0`` and ``.1``. Each has two headers of 24
    bytes, of which one may be void (magic ``OFJ2``, sequence u64, CRC-32 of two texts of the table, CRC-32 of
    the header before), and records (key length u32, CRC-32 of the rest u32 that begins with the sequence,
    queue id i32, offset i64, key). The segment that names the saved table, and the next, hold what is newer.
    """
    path = config / "consumerOffset.json"
    text = path.read_text() if path.exists() else ""
    table = _offset_table(text) if text else {}
    segments = []
    for name in ("consumerOffset.journal.0", "consumerOffset.journal.1"):
        data = (config / name).read_bytes() if (config / name).exists() else b""
        headers = list(_journal_headers(data))
        if headers:
            sequence = max(headers)[0]
            named = {crc for number, *both in headers if number == sequence for crc in both}
            segments.append((sequence, named, data))
    following = -1
    for sequence, named, data in sorted(segments, key=lambda segment: segment[0]):
        if zlib.crc32(text.encode()) in named or sequence == following:
            following = sequence + 1
            for key, queue_id, offset in _journal_records(data, sequence):
                table[key, queue_id] = offset
    return table


def _journal_headers(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Sequence and the CRCs of two tables, of each header that is sound."""
    for at in (0, 24):
        header = data[at : at + 24]
        if len(header) == 24 and header[:4] == b"OFJ2":
            sequence, saved, to_come, crc = struct.unpack_from(">Q3I", header, 4)
            if crc == zlib.crc32(header[:20]):
                yield sequence, saved, to_come


def _journal_records(data: bytes, sequence: int) -> Iterator[tuple[str, int, int]]:
    at = 48
    while at + 20 <= len(data):
        length, crc, queue_id, offset = struct.unpack_from(">IIiq", data, at)
        rest = data[at + 8 : at + 20 + length]
        if len(rest) < 12 + length or zlib.crc32(rest, sequence) != crc:
            return
        yield rest[12:].decode(), queue_id, offset
        at += 20 + length


@dataclass
class Faults:
    """Contradictions that were found, the first few in words."""

    count: int = 0
    texts: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        self.count += 1
        if len(self.texts) < _MAX_ITEMS:
            self.texts.append(text)

    def __str__(self) -> str:
        more = f"\n… and {self.count - len(self.texts)} more" if self.count > len(self.texts) else ""
        return f"{self.count} faults:\n" + "\n".join(self.texts) + more


@dataclass(frozen=True)
class StoreImage:
    """Everything of a root directory that this reader knows, as it lies on disk."""

    root: Path
    log: CommitLogImage
    queues: dict[tuple[str, int], QueueImage]
    index: list[IndexImage]
    aborted: bool

    def by_queue(self) -> dict[tuple[str, int], list[StoredMessage]]:
        """Messages that consumers may see, in the order of the log."""
        found: dict[tuple[str, int], list[StoredMessage]] = defaultdict(list)
        for message in self.log.messages.values():
            if message.has_queue_entry:
                found[message.topic, message.queue_id].append(message)
        return found

    def faults(self, *, complete: bool) -> Faults:
        """Where log, queues and index contradict each other.

        Args:
            complete: The store was closed in order: nothing may be missing either. Else derived files may
                end early, and the last unit of a queue may be torn where it crosses a page.
        """
        faults = Faults()
        by_queue = self.by_queue()
        self._check_log(by_queue, faults)
        self._check_queues(by_queue, faults, complete=complete)
        self._check_index(faults, complete=complete)
        return faults

    def _check_log(self, by_queue: dict[tuple[str, int], list[StoredMessage]], faults: Faults) -> None:
        for (topic, queue_id), messages in by_queue.items():
            expected = messages[0].queue_offset
            for message in messages:
                if message.queue_offset != expected:
                    faults.add(
                        f"{topic}-{queue_id}: offset {message.queue_offset} at {message.physical} of the log,"
                        f" {expected} should follow"
                    )
                expected = message.queue_offset + 1

    def _check_queues(
        self, by_queue: dict[tuple[str, int], list[StoredMessage]], faults: Faults, *, complete: bool
    ) -> None:
        for (topic, queue_id), queue in self.queues.items():
            for number, unit in enumerate(queue.units, queue.first):
                physical, size, _ = unit
                if size == _PADDING or physical < self.log.minimum:
                    continue
                message = self.log.messages.get(physical)
                wanted = None if message is None else (physical, message.size, _tags_code(message))
                if (
                    message is not None
                    and (message.topic, message.queue_id, message.queue_offset) == (topic, queue_id, number)
                    and (wanted == unit or topic == SCHEDULE_TOPIC)
                ):
                    continue
                is_last = number == queue.first + len(queue.units) - 1
                if is_last and not complete and number * 20 // _PAGE != (number * 20 + 19) // _PAGE:
                    continue  # the kill came between two pages of one write
                faults.add(f"{topic}-{queue_id}: unit {number} is {unit}, the log has {message}"[:300])
        if complete:
            for key, messages in by_queue.items():
                queue = self.queues.get(key, QueueImage(0, []))
                end = queue.first + len(queue.units)
                if messages[0].queue_offset < queue.first or messages[-1].queue_offset != end - 1:
                    faults.add(
                        f"{key}: units {queue.first} to {end},"
                        f" log {messages[0].queue_offset} to {messages[-1].queue_offset}"
                    )

    def _check_index(self, faults: Faults, *, complete: bool) -> None:
        if not self.index:
            return
        wanted = {
            (key_hash(message.topic, key), message.physical)
            for message in self.log.messages.values()
            for key in message.index_keys
        }
        found: set[tuple[int, int]] = set()
        for file in self.index:
            reached = 0
            for slot in range(len(file.slots)):
                try:
                    for hashed, physical, _, _ in file.chain(slot):
                        reached += 1
                        if hashed % len(file.slots) != slot:
                            faults.add(f"{file.name}: entry of {physical} hangs in slot {slot}")
                        if physical < self.log.minimum:
                            continue
                        if (hashed, physical) not in wanted:
                            faults.add(f"{file.name}: entry ({hashed}, {physical}) of a message without it")
                        found.add((hashed, physical))
                except UnsoundError as error:
                    faults.add(str(error))
            if complete and reached != max(file.count, 1) - 1:
                faults.add(f"{file.name}: {reached} of {file.count - 1} entries hang in slots")
        first = min((file.begin_physical for file in self.index), default=0)
        missing = {(hashed, physical) for hashed, physical in wanted - found if physical >= first}
        if complete and missing:
            faults.add(
                f"index: {len(missing)} entries are missing, the first at {min(p for _, p in missing)}"
            )


def _tags_code(message: StoredMessage) -> int:
    tags = message.properties.get("TAGS")
    return java_hash(tags) if tags else 0


def read_store(root: Path, *, slots: int, index_entries: int) -> StoreImage:
    """Everything below the root directory of a store.

    Args:
        slots: ``maxHashSlotNum`` of the broker.
        index_entries: its ``maxIndexNum``.

    Raises:
        UnsoundError: a file's size, or the row of files, is wrong.
    """
    killed = os.path.exists(root / "abort")
    return StoreImage(
        root,
        read_commit_log(root / "commitlog"),
        read_consume_queues(root / "consumequeue"),
        read_index(root / "index", slots, index_entries, killed=killed),
        killed,
    )
