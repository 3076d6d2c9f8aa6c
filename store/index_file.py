"""One file of the index: layout, writing, reading, and what a crash may leave.

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

import struct
import sys
from array import array
from functools import partial
from typing import TYPE_CHECKING

from store.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from store.files import FileSystem, StoreFile

HEADER = struct.Struct(">qqqqii")
HEADER_BYTES = HEADER.size
ENTRY = struct.Struct(">iqii")
ENTRY_BYTES = ENTRY.size
_SLOT = struct.Struct(">i")
_SLOT_BYTES = _SLOT.size
_RUN_GAP_SLOTS = 4096 // _SLOT_BYTES
_RUN_MAX_SLOTS = (256 << 10) // _SLOT_BYTES
_MAX_SECONDS = 0x7FFFFFFF


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
        """Whether the first and the last entry are those that the header speaks of, at its times."""
        seconds = (self.end_timestamp - self.begin_timestamp) // 1000
        return self._entry(1)[1:3] == (self.begin_physical, 0) and self._entry(self.count - 1)[1:3] == (
            self.end_physical, min(max(seconds, 0), _MAX_SECONDS),
        )  # fmt: skip

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
        first = number = self.count
        items = items[: max(self._capacity - first, 0)]
        if not items:
            return 0
        if first == 1:
            _, self.begin_physical, self.begin_timestamp = items[0]
        begin, slots, used = self.begin_timestamp, self._slots, 0
        slot_at = self._reader(_SLOT)
        in_file = self._mapped()[HEADER_BYTES : self._entries_at].cast("i") if self._may_map else None
        newest: dict[int, int] = {}
        packed = bytearray()
        pack = ENTRY.pack
        last = begin
        seconds = previous = 0
        for hashed, physical, timestamp in items:
            if timestamp != last:
                seconds = min(max((timestamp - begin) // 1000, 0), _MAX_SECONDS)
                last = timestamp
            slot = hashed % slots
            previous = newest.get(slot, 0)
            if not previous:
                # Zero in any byte order: most slots of a young file were never used.
                if in_file is None or in_file[slot]:
                    (previous,) = slot_at(HEADER_BYTES + slot * _SLOT_BYTES)
                if not 0 < previous < first:
                    previous = 0
                    used += 1
            packed += pack(hashed, physical, seconds, previous)
            newest[slot] = number
            number += 1
        _, self.end_physical, self.end_timestamp = items[-1]
        self._used_slots += used
        self.count = number
        self._unfinished = [(packed, self._entries_at + first * ENTRY_BYTES), (self._header(), 0)]
        self._new_slots = newest
        return len(items)

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

    def drop_last_message(self) -> None:
        """Take out the entries of the last message, of whose keys some may be missing.

        Raises:
            StoreIOError: some of them are still there.
        """
        physical = self.end_physical
        while self.count > 1:
            hashed, found, _, previous = self._entry(self.count - 1)
            if found != physical:
                break
            self.count -= 1
            self._used_slots -= previous == 0
            self._file.pwrite(_SLOT.pack(previous), HEADER_BYTES + hashed % self._slots * _SLOT_BYTES)
        self._file.truncate(self._entries_at + self.count * ENTRY_BYTES)
        self._file.truncate(self.size)
        self.end_physical, self.end_timestamp = self.begin_physical, self.begin_timestamp
        if self.count > 1:
            _, self.end_physical, seconds, _ = self._entry(self.count - 1)
            self.end_timestamp += seconds * 1000
        self._file.pwrite(self._header(), 0)

    def _entry(self, number: int) -> tuple[int, int, int, int]:
        return ENTRY.unpack(self._file.pread(ENTRY_BYTES, self._entries_at + number * ENTRY_BYTES))

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
