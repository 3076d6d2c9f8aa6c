"""The index: commit log offsets by topic and key, for queries.

File ``yyyyMMddHHmmssSSS``, big-endian (Java: ``IndexFile``):

| off | len | field |
|-----|-----|-------|
| 0   | 8   | begin timestamp, ms |
| 8   | 8   | end timestamp, ms |
| 16  | 8   | begin commit log offset |
| 24  | 8   | end commit log offset |
| 32  | 4   | slots in use |
| 36  | 4   | entry count; starts at 1, entry 0 is never used |
| 40  | 4 × slots | number of the newest entry of each slot |
| …   | 20 × entries | key hash 4, commit log offset 8, seconds since begin 4, previous entry of the slot 4 |

Entries wait in memory until a worker thread writes them in batches. A batch is written
entries first, then header, then slots: a reader never follows a slot into the void.
Slots that are less than a page apart are written together with what lies between.
"""

from __future__ import annotations

import logging
import os
import struct
import sys
import time
from array import array
from contextlib import ExitStack
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import attrs

from remoting.protocol.message import PROPERTY_TAGS, java_string_hash
from store.errors import StoreError, StoreIOError
from store.message_codec import property_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from store.clock import Clock
    from store.files import FileSystem, StoreFile

log = logging.getLogger("rocketmq.store")

HEADER = struct.Struct(">qqqqii")
HEADER_BYTES = HEADER.size
ENTRY = struct.Struct(">iqii")
ENTRY_BYTES = ENTRY.size
_SLOT = struct.Struct(">i")
_SLOT_BYTES = _SLOT.size
_RUN_GAP_SLOTS = 4096 // _SLOT_BYTES
_RUN_MAX_SLOTS = (256 << 10) // _SLOT_BYTES
_MAX_SECONDS = 0x7FFFFFFF
_NAME_DIGITS = 17

IndexEntry = tuple[str, tuple[str, ...], int, int, bytes]
"""(topic, keys, commit log offset, store timestamp in ms, property text) of one message.

Java 5.5 finds messages by tag too: under the key ``T#<tags>``, after their own keys.
"""

_TAGS = PROPERTY_TAGS.encode()
INDEX_TAG_TYPE = "T"


def typed_key(key: str, index_type: str | None) -> str:
    """The key under which the index knows `key`: tags (type ``T``) have a name space of their own."""
    return f"{INDEX_TAG_TYPE}#{key}" if index_type == INDEX_TAG_TYPE else key


def _all_keys(keys: tuple[str, ...], properties: bytes) -> tuple[str, ...]:
    tags = property_value(properties, _TAGS)
    return (*keys, typed_key(tags.decode("utf-8", "replace"), INDEX_TAG_TYPE)) if tags else keys


_heads: dict[str, int] = {}
_MAX_HEADS = 4096
_TAIL_CHARACTERS = 8
_TAIL_POWER = 31**_TAIL_CHARACTERS


def key_hash(topic: str, key: str) -> int:
    """Java's ``abs(hashCode)`` of ``topic#key``; the one value without positive twin is 0.

    Client ids differ in their last characters only, so the hash of all before is remembered.
    """
    text = f"{topic}#{key}"
    head = text[:-_TAIL_CHARACTERS]
    tail = text[-_TAIL_CHARACTERS:]
    if head and tail.isascii():
        value = _heads.get(head, -1)
        if value < 0:
            if len(_heads) >= _MAX_HEADS:
                _heads.clear()
            value = _heads[head] = (java_string_hash(head) & 0xFFFFFFFF) * _TAIL_POWER & 0xFFFFFFFF
        low = 0
        for unit in tail.encode():
            low = low * 31 + unit
        value = (value + low) & 0xFFFFFFFF
        if value & 0x80000000:
            value -= 1 << 32
    else:
        value = java_string_hash(text)
    value = abs(value)
    return 0 if value == 0x80000000 else value


def _runs(slots: list[int]) -> Iterator[list[int]]:
    """Cut ascending slots where two lie a page or more apart, and where a run gets long."""
    begin = 0
    previous = limit = -_RUN_GAP_SLOTS
    for number, slot in enumerate(slots):
        if slot - previous >= _RUN_GAP_SLOTS or slot >= limit:
            if number:
                yield slots[begin:number]
            begin = number
            limit = slot + _RUN_MAX_SLOTS
        previous = slot
    if slots:
        yield slots[begin:]


class IndexFile:
    """One index file. Writing is for one worker thread at a time; reading for any."""

    def __init__(self, path: str, slots: int, entries: int, files: FileSystem, *, create: bool) -> None:
        self.path = path
        self._slots = slots
        self._capacity = entries
        self._entries_at = HEADER_BYTES + slots * 4
        self.size = self._entries_at + entries * ENTRY_BYTES
        self._file: StoreFile = files.open(path, create=create)
        try:
            if create:
                self._file.truncate(self.size)
            self._may_map = files.maps_holes(path)
        except StoreError:
            self._file.close()
            if create:
                files.remove(path)
            raise
        self._view: memoryview | None = None
        self._unfinished: list[tuple[bytes | bytearray, int]] = []
        self._new_slots: dict[int, int] = {}
        self._last_entries: list[tuple[int, int]] = []
        self.begin_timestamp = self.end_timestamp = 0
        self.begin_physical = self.end_physical = 0
        self._used_slots = 0
        self.count = 1

    def __repr__(self) -> str:
        return f"<IndexFile {self.path!r} entries={self.count - 1}>"

    @property
    def full(self) -> bool:
        return self.count >= self._capacity

    def load_header(self) -> None:
        (
            self.begin_timestamp, self.end_timestamp, self.begin_physical, self.end_physical,
            self._used_slots, count,
        ) = HEADER.unpack(self._file.pread(HEADER_BYTES, 0))  # fmt: skip
        self.count = min(max(count, 1), self._capacity)

    def ends_fit(self) -> bool:
        """Whether the first and the last entry are those that the header speaks of."""
        first = self._file.pread(ENTRY_BYTES, self._entries_at + ENTRY_BYTES)
        last = self._file.pread(ENTRY_BYTES, self._entries_at + (self.count - 1) * ENTRY_BYTES)
        return (
            ENTRY.unpack(first)[1:3] == (self.begin_physical, 0)
            and ENTRY.unpack(last)[1] == self.end_physical
        )

    def continue_from(self, previous: IndexFile) -> None:
        """Take over the end of the file before, until the first entry arrives."""
        self.begin_physical = self.end_physical = previous.end_physical
        self.begin_timestamp = self.end_timestamp = previous.end_timestamp

    def _reader(self, fields: struct.Struct) -> Callable[[int], tuple[int, ...]]:
        """Gives the fields at an offset; by the mapping where reading slots nobody wrote is harmless."""
        if not self._may_map:
            return lambda offset: fields.unpack(self._file.pread(fields.size, offset))
        return partial(fields.unpack_from, self._mapped())

    def _mapped(self) -> memoryview:
        if self._view is None:
            self._view = self._file.map_readonly(self.size)
        return self._view

    def add(self, items: list[tuple[int, int, int]]) -> int:
        """Take (key hash, commit log offset, store timestamp) until the file is full; `finish` writes them.

        What was taken before must be finished.

        Returns:
            How many were taken.
        """
        first = self.count
        slot_at = self._reader(_SLOT)
        newest: dict[int, int] = {}
        packed = bytearray()
        taken = 0
        pack = ENTRY.pack
        for hashed, physical, timestamp in items:
            number = first + taken
            if number >= self._capacity:
                break
            if number == 1:
                self.begin_timestamp = timestamp
                self.begin_physical = physical
            slot = hashed % self._slots
            previous = newest.get(slot)
            if previous is None:
                (previous,) = slot_at(HEADER_BYTES + slot * 4)
                if not 0 < previous < first:
                    previous = 0
                    self._used_slots += 1
            seconds = (timestamp - self.begin_timestamp) // 1000
            packed += pack(hashed, physical, min(max(seconds, 0), _MAX_SECONDS), previous)
            newest[slot] = number
            self.end_physical = physical
            self.end_timestamp = timestamp
            taken += 1
        if taken:
            self.count = first + taken
            self._unfinished = [(packed, self._entries_at + first * ENTRY_BYTES), (self._header(), 0)]
            self._new_slots = newest
        return taken

    def finish(self) -> None:
        """Write what `add` has taken, in its order; again from the first write when one fails.

        Raises:
            StoreIOError: some of it is not in the file; call it again before `add`.
        """
        write = self._file.pwrite
        for data, offset in self._unfinished:
            write(data, offset)
        self._write_slots(self._new_slots)
        self._unfinished = []
        self._new_slots = {}

    def _write_slots(self, numbers: dict[int, int]) -> None:
        """Write numbers into their slots; a run of near ones at once, with the old slots between.

        A page is written anyway if one of its slots is, and a system call costs more than the copy of one.
        """
        put = _SLOT.pack_into
        for run in _runs(sorted(numbers)):
            first = run[0]
            start = HEADER_BYTES + first * _SLOT_BYTES
            size = (run[-1] - first + 1) * _SLOT_BYTES
            data = self._bytes_at(start, size) if len(run) > 1 else bytearray(size)
            for slot in run:
                put(data, (slot - first) * _SLOT_BYTES, numbers[slot])
            self._file.pwrite(data, start)

    def _bytes_at(self, offset: int, size: int) -> bytearray:
        if not self._may_map:
            return bytearray(self._file.pread(size, offset))
        return bytearray(self._mapped()[offset : offset + size])

    def _header(self) -> bytes:
        return HEADER.pack(
            self.begin_timestamp, self.end_timestamp, self.begin_physical, self.end_physical,
            self._used_slots, self.count,
        )  # fmt: skip

    def rebuild(self, physical_limit: int, progress: Callable[[], None]) -> None:
        """Keep the leading run of sound entries before `physical_limit`, make slots anew.

        After a power failure slot and entry pages may be of different ages; the entries
        themselves, in order, tell where they stop making sense.
        """
        slots = array("i", bytes(4 * self._slots))
        number = 1
        used = 0
        last_physical = self.begin_physical
        seconds_end = 0
        last_entries: list[tuple[int, int]] = []
        chunk_entries = 50_000
        rewritten = bytearray()
        sound = True
        while sound and number < self._capacity:
            data = self._file.pread(
                min(chunk_entries, self._capacity - number) * ENTRY_BYTES,
                self._entries_at + number * ENTRY_BYTES,
            )
            start = number
            rewritten.clear()
            for hashed, physical, seconds, _ in ENTRY.iter_unpack(
                data[: len(data) // ENTRY_BYTES * ENTRY_BYTES]
            ):
                if (
                    hashed < 0
                    or seconds < 0
                    or physical < last_physical
                    or physical >= physical_limit
                    or (hashed == 0 and physical == 0)
                ):
                    sound = False
                    break
                slot = hashed % self._slots
                previous = slots[slot]
                used += previous == 0
                slots[slot] = number
                if physical != last_physical:
                    last_entries = []
                last_entries.append((slot, previous))
                rewritten += ENTRY.pack(hashed, physical, seconds, previous)
                last_physical, seconds_end = physical, seconds
                number += 1
            if number > start:
                self._file.pwrite(rewritten, self._entries_at + start * ENTRY_BYTES)
            progress()
        if sys.byteorder == "little":
            slots.byteswap()
        self._view = None
        self._file.truncate(self._entries_at + number * ENTRY_BYTES)
        self._file.truncate(self.size)
        self._file.pwrite(slots.tobytes(), HEADER_BYTES)
        self.count = number
        self._used_slots = used
        if number > 1:
            self.end_physical = last_physical
            self.end_timestamp = self.begin_timestamp + seconds_end * 1000
        else:
            self.end_physical = self.begin_physical
            self.end_timestamp = self.begin_timestamp
        self._file.pwrite(self._header(), 0)
        self._last_entries = last_entries

    def drop_last_message(self) -> None:
        """Take out the entries of the last message, of whose keys some may be missing; after `rebuild`."""
        for slot, previous in reversed(self._last_entries):
            self.count -= 1
            self._used_slots -= previous == 0
            self._file.pwrite(_SLOT.pack(previous), HEADER_BYTES + slot * 4)
        self._last_entries = []
        self._file.truncate(self._entries_at + self.count * ENTRY_BYTES)
        self._file.truncate(self.size)
        self.end_physical, self.end_timestamp = self.begin_physical, self.begin_timestamp
        if self.count > 1:
            at = self._entries_at + (self.count - 1) * ENTRY_BYTES
            _, self.end_physical, seconds, _ = ENTRY.unpack(self._file.pread(ENTRY_BYTES, at))
            self.end_timestamp += seconds * 1000
        self._file.pwrite(self._header(), 0)

    def overlaps(self, begin: int, end: int) -> bool:
        """True when the file may hold messages stored between `begin` and `end`, ms.

        The end is the time of the last message, which says nothing where the clock was set back, or where the
        message has a damaged time: it has no checksum.
        """
        return self.end_timestamp < self.begin_timestamp or (
            begin <= self.end_timestamp and end >= self.begin_timestamp
        )

    def select(self, found: list[int], hashed: int, maximum: int, begin: int, end: int) -> None:
        """Append commit log offsets, newest first, until `found` has `maximum`."""
        count = self.count
        if count <= 1:
            return
        entry_at = self._reader(ENTRY)
        (number,) = self._reader(_SLOT)(HEADER_BYTES + hashed % self._slots * 4)
        while 0 < number <= count and len(found) < maximum:
            entry_hash, physical, seconds, previous = entry_at(self._entries_at + number * ENTRY_BYTES)
            if seconds < 0:
                break
            stored = self.begin_timestamp + seconds * 1000
            if entry_hash == hashed and number < count and begin <= stored <= end:
                found.append(physical)
            if stored < begin or previous >= number:
                break
            number = previous

    def sync(self) -> None:
        self._file.fdatasync()

    def close(self) -> None:
        self._view = None
        self._file.close()


@attrs.frozen
class IndexStatistics:
    files: int
    entries: int
    unwritten_messages: int


class MessageIndex:
    """All index files of a store and the entries that still are in memory."""

    def __init__(self, directory: str, slots: int, entries: int, files: FileSystem, clock: Clock) -> None:
        self._directory = directory
        self._slots = slots
        self._capacity = entries
        self._disk = files
        self._clock = clock
        self._files: list[IndexFile] = []
        self._pending: list[IndexEntry] = []
        self._writing: list[IndexEntry] = []
        self._hashed = 0
        self._items: list[tuple[int, int, int]] = []
        self._unsynced: dict[IndexFile, None] = {}  # in the order of the writes
        self._removed: list[IndexFile] = []
        self._names_changed = False

    def statistics(self) -> IndexStatistics:
        files = self._files
        return IndexStatistics(
            len(files), sum(file.count - 1 for file in files), len(self._pending) + len(self._writing)
        )

    @property
    def total_bytes(self) -> int:
        """Full sizes of all files (container.md section 3, G)."""
        files = self._files
        return len(files) * files[0].size if files else 0

    @property
    def end_physical(self) -> int:
        """Commit log offset of the newest written entry's message, 0 without any."""
        return self._files[-1].end_physical if self._files else 0

    @property
    def end_timestamp(self) -> int:
        return self._files[-1].end_timestamp if self._files else 0

    def reached(self) -> tuple[int, int]:
        """(store timestamp in ms, commit log offset) of the newest message that `query` can find."""
        for entries in (self._pending, self._writing):
            for _, keys, physical, timestamp, properties in reversed(entries):
                if _all_keys(keys, properties):
                    return timestamp, physical
        return self.end_timestamp, self.end_physical

    @property
    def unwritten(self) -> int:
        """Messages whose entries exist in memory only."""
        return len(self._pending)

    def load(self) -> None:
        """Open the existing files.

        One of another size is dropped with all behind it: recovery makes them again from the log.
        """
        size = HEADER_BYTES + self._slots * 4 + self._capacity * ENTRY_BYTES
        unfit = False
        for name in self._disk.listdir(self._directory):
            if len(name) != _NAME_DIGITS or not name.isdigit():
                continue
            path = os.path.join(self._directory, name)
            if not unfit and self._disk.file_size(path) != size:
                unfit = True
                log.warning(
                    "%s has not %d bytes: it and all behind it are made again from the log", path, size
                )
            if unfit:
                self._names_changed = True
                self._disk.remove(path)
                continue
            file = IndexFile(path, self._slots, self._capacity, self._disk, create=False)
            self._files.append(file)
            file.load_header()

    @property
    def files(self) -> tuple[IndexFile, ...]:
        """All files, oldest first."""
        return tuple(self._files)

    def give_up_from(self, position: int) -> None:
        """Remove the file at `position` of `files` and all behind it: recovery makes them again."""
        log.warning(
            "%s does not fit the log or the file before: it and all behind it are made again from the log",
            self._files[position].path,
        )
        while len(self._files) > position:
            self._remove(self._files.pop())

    def repair(
        self, physical_limit: int, trusted_timestamp: int, progress: Callable[[], None] = lambda: None
    ) -> None:
        """Drop what points at or behind `physical_limit`, and what a crash left in part.

        Where one file ends before it is full, those behind it go, and so do the entries of the last
        message in a file that is not trusted: the log has them.

        Args:
            physical_limit: First commit log offset that will be dispatched again.
            trusted_timestamp: Files whose end is not older than this are not trusted and get
                new slots from their entries.
            progress: Called now and then.

        Raises:
            StoreIOError: a file cannot be read or written, for another reason than a full disk.
        """
        while self._files and self._files[-1].count > 1 and self._files[-1].begin_physical >= physical_limit:
            self._remove(self._files.pop())
        rebuilt: set[IndexFile] = set()
        try:
            for number, file in enumerate(self._files):
                is_last = number == len(self._files) - 1
                is_old = file.end_physical < physical_limit and file.end_timestamp < trusted_timestamp
                if is_old and (file.full or is_last) and file.begin_timestamp:
                    continue
                if not file.begin_timestamp:  # its header never reached the device
                    self._drop_from(number)
                    break
                file.rebuild(physical_limit, progress)
                rebuilt.add(file)
                self._unsynced[file] = None
                if not file.full:
                    self._drop_from(number + 1)
                    break
            while self._files and self._files[-1] in rebuilt:
                self._files[-1].drop_last_message()
                if self._files[-1].count > 1:
                    break
                self._remove(self._files.pop())
        except StoreIOError as error:
            if not error.disk_full:
                raise
            log.warning("%s: it and all behind it are made again from the log", error)
            self._drop_from(next(at for at, file in enumerate(self._files) if file.path == error.path))

    def cut(self, physical_limit: int, progress: Callable[[], None] = lambda: None) -> None:
        """Drop what points at or behind `physical_limit`, where the log ends.

        Raises:
            StoreIOError: a file cannot be read or written.
        """
        while self._files and self._files[-1].begin_physical >= physical_limit:
            self._remove(self._files.pop())
        if self._files and self._files[-1].end_physical >= physical_limit:
            self._files[-1].rebuild(physical_limit, progress)
            self._unsynced[self._files[-1]] = None

    def _drop_from(self, number: int) -> None:
        dropped, self._files = self._files[number:], self._files[:number]
        for file in dropped:
            self._remove(file)

    def _remove(self, file: IndexFile) -> None:
        file.close()
        self._unsynced.pop(file, None)
        self._names_changed = True
        self._disk.remove(file.path)

    def append(self, entries: Iterable[IndexEntry]) -> None:
        """Take messages that have keys or tags; in memory only."""
        self._pending += entries

    def take_pending(self) -> bool:
        """Set aside what is in memory for `write_behind`, behind what that could not write before.

        Where `append` is called, never beside `write_behind`.

        Returns:
            False when there is nothing to write.
        """
        if self._pending:
            self._writing, self._pending = [*self._writing, *self._pending], []
        return bool(self._writing)

    def write_behind(self) -> None:
        """Write what `take_pending` set aside; for a worker thread, one at a time.

        Raises:
            StoreIOError: the rest is written by the next call, each entry once; until then
                queries find it in memory.
        """
        batch = self._writing
        if batch:
            self._items += [
                (key_hash(topic, key), physical, timestamp)
                for topic, keys, physical, timestamp, properties in batch[self._hashed :]
                for key in _all_keys(keys, properties)
            ]
            self._hashed = len(batch)
            if self._files:
                self._files[-1].finish()
            while self._items:
                file = self._file_for_writing()
                taken = file.add(self._items)
                self._unsynced[file] = None
                del self._items[:taken]
                file.finish()
            self._writing = []
            self._hashed = 0

    def _file_for_writing(self) -> IndexFile:
        last = self._files[-1] if self._files else None
        if last is not None and not last.full:
            return last
        self._names_changed = True
        self._disk.makedirs(self._directory)
        now = self._clock.now_ms()
        name = time.strftime("%Y%m%d%H%M%S", time.localtime(now // 1000)) + f"{now % 1000:03d}"
        if last is not None:  # their order is what counts, also where the clock was set back
            name = max(name, f"{int(os.path.basename(last.path)) + 1:0{_NAME_DIGITS}d}")
        while self._disk.exists(path := os.path.join(self._directory, name)):
            name = f"{int(name) + 1:0{_NAME_DIGITS}d}"
        file = IndexFile(path, self._slots, self._capacity, self._disk, create=True)
        if last is not None:
            file.continue_from(last)
        self._files = [*self._files, file]
        return file

    @property
    def complete_until(self) -> int:
        """Store timestamp in ms up to which every entry is in a file that ends by then; 0 without any.

        It is what the checkpoint says of the index: after a crash a Java broker deletes each file that ends
        later, and reads again from the newest log file whose first message is not newer (IndexService,
        CommitLog; messageIndexSafe=true). So it lies between two files that share no millisecond.
        """
        files = [file for file in self._files if file.count > 1]
        for newer, older in pairwise(reversed(files)):
            if older.end_timestamp < newer.begin_timestamp:
                return newer.begin_timestamp - 1
        return files[0].begin_timestamp - 1 if files else 0

    def sync(self) -> None:
        """Make the written entries durable, with the names of their files; for a worker thread.

        Raises:
            StoreIOError: nobody knows what the device has.
        """
        if self._names_changed:
            for directory in (self._directory, os.path.dirname(self._directory)):
                if self._disk.is_directory(directory):
                    self._disk.sync_directory(directory)
            self._names_changed = False
        for file in list(self._unsynced):
            file.sync()
            self._unsynced.pop(file, None)

    def query(self, topic: str, key: str, maximum: int, begin: int, end: int) -> list[int]:
        """Commit log offsets of messages with this key hash, newest first; may block.

        Different keys can share a hash: whoever asked compares the real keys.

        Args:
            topic: Topic name.
            key: One key, as `typed_key` makes it.
            maximum: Most offsets to return.
            begin: Oldest store timestamp, ms.
            end: Newest store timestamp, ms.
        """
        found: list[int] = []
        for entries in (list(self._pending), self._writing):
            for entry_topic, keys, physical, timestamp, properties in reversed(entries):
                if len(found) >= maximum:
                    return found
                if (
                    entry_topic == topic
                    and begin <= timestamp <= end
                    and (key in keys or key in _all_keys((), properties))
                ):
                    found.append(physical)
        hashed = key_hash(topic, key)
        for file in reversed(self._files):
            if len(found) >= maximum:
                break
            if file.overlaps(begin, end):
                file.select(found, hashed, maximum, begin, end)
            if file.begin_timestamp < begin:
                break
        return list(dict.fromkeys(found))[:maximum]

    def delete_expired_files(self, min_physical: int) -> int:
        """Remove files that end before `min_physical`, never the last; for a worker thread."""
        count = 0
        self._close_removed_files()
        while len(self._files) > 1 and self._files[0].end_physical < min_physical:
            file, self._files = self._files[0], self._files[1:]
            self._unsynced.pop(file, None)
            self._removed.append(file)
            self._names_changed = True
            self._disk.remove(file.path)
            count += 1
        return count

    def _close_removed_files(self) -> None:
        """Close descriptors of files that were removed a pass ago: no query is in them any more."""
        while self._removed:
            self._removed.pop().close()

    def close(self) -> None:
        """Close all descriptors, also if one of them fails."""
        with ExitStack() as closing:
            for file in [*self._files, *self._removed]:
                closing.callback(file.close)
            self._files, self._removed = [], []
