"""One consume queue: where the messages of (topic, queue) lie in the commit log.

Units of 20 bytes: commit log offset int64, size int32, tags code int64, all big-endian,
in files named by the byte offset of their first unit (Java: ``ConsumeQueue``).
Padding before the first valid unit of a queue is (0, 0x7FFFFFFF, 0).

New units live in memory (`_tail`) until a worker thread has written them. Both event
loop and worker threads read: the pair of start and bytes is replaced whole, and the
bytes of a pair only ever grow.
"""

from __future__ import annotations

import logging
import os
import struct
from bisect import bisect_right
from typing import TYPE_CHECKING, Literal, TypeAlias

from store.errors import StoreMissingError
from store.mapped_files import file_name, split_sound
from store.message_codec import topic_block

if TYPE_CHECKING:
    from collections.abc import Callable

    from store.files import FileSystem

log = logging.getLogger("rocketmq.store")

UNIT = struct.Struct(">qiq")
UNIT_BYTES = UNIT.size
PADDING_SIZE = 0x7FFFFFFF
PADDING_UNIT = UNIT.pack(0, PADDING_SIZE, 0)
_PADDING_UNITS = 1024

Boundary: TypeAlias = Literal["LOWER", "UPPER"]


class ConsumeQueue:
    """Offsets count units. Created empty; `load` finds what is on disk.

    Attributes:
        next_offset: Queue offset that the next message gets.
        max_offset: One more than the last unit that readers see.
        min_offset: First unit whose message still is in the commit log.
        max_physical: End in the commit log of the last unit's message; -1 when empty.
        names_changed: Files came or went since the directory was synced.
        cut_end: Where the units ended before `load` gave up files that did not fit; -1 when it did not.
    """

    __slots__ = (
        "_bases",
        "_disk",
        "_in_files",
        "_tail",
        "_units_per_file",
        "cut_end",
        "directory",
        "dirty",
        "file_size",
        "magic",
        "max_offset",
        "max_physical",
        "min_offset",
        "names_changed",
        "next_offset",
        "queue_id",
        "removed",
        "topic",
        "topic_block",
        "unsynced",
    )  # fmt: skip

    def __init__(self, topic: str, queue_id: int, directory: str, file_size: int, files: FileSystem) -> None:
        self.topic = topic
        self.queue_id = queue_id
        self.directory = directory
        self.topic_block, self.magic = topic_block(topic)
        self.file_size = -(-file_size // UNIT_BYTES) * UNIT_BYTES
        self._units_per_file = self.file_size // UNIT_BYTES
        self._disk = files
        self._bases: list[int] = []
        self._tail: tuple[int, bytearray] = (0, bytearray())
        self._in_files = 0
        self.next_offset = 0
        self.max_offset = 0
        self.min_offset = 0
        self.max_physical = -1
        self.cut_end = -1
        self.dirty = False
        self.unsynced: set[int] = set()
        self.names_changed = False
        self.removed = False

    def __repr__(self) -> str:
        return f"<ConsumeQueue {self.topic!r}-{self.queue_id} {self.min_offset}..{self.max_offset}>"

    def load(self) -> None:
        """List the files and find the end: the first empty unit of the last file that has any.

        A file of another size than the configured one, or one behind a hole, is given up with all
        behind it: recovery makes them again from the log.
        """
        self._bases, unfit = split_sound(self.directory, self.file_size, self._disk)
        if unfit:
            self._give_up(unfit, "is of another size or follows a hole")
        self._set_end(self._first_unit_where())

    def _give_up(self, bases: list[int], why: str) -> None:
        paths = [os.path.join(self.directory, file_name(base)) for base in bases]
        sizes = [self._disk.file_size(path) for path in paths]
        if len(bases) > 1 or sizes[0] > 0:
            log.warning(
                "%s (%d bytes) %s: it and all behind it are made again from the log", paths[0], sizes[0], why
            )
            self.cut_end = 0
            for base, path, size in zip(bases, paths, sizes, strict=True):
                units = self._units_in(path, size // UNIT_BYTES)
                if units:
                    self.cut_end = base // UNIT_BYTES + units
        self.names_changed = True
        for path in paths:
            self._disk.remove(path)

    def truncate(self, physical_limit: int) -> bool:
        """Drop units at and behind the commit log offset `physical_limit`.

        Returns:
            True when something was dropped.
        """
        if self.max_physical <= physical_limit:
            return False
        self._set_end(self._first_unit_where(lambda physical, _size: physical >= physical_limit))
        end = self.max_offset * UNIT_BYTES
        self.unsynced.update(base for base in self._bases if base + self.file_size > end)
        return True

    def clear_behind_end(self) -> None:
        """Zero what lies behind the end, so that stale units never come back."""
        if self._bases and self.max_offset * UNIT_BYTES == self._bases[0]:
            self.names_changed = True  # a run that was killed may have made it and not synced its name
        for base in list(self._bases):
            end = self.max_offset * UNIT_BYTES
            path = os.path.join(self.directory, file_name(base))
            if base >= end and base != self._bases[0]:
                self.names_changed = True
                self._disk.remove(path)
                self._bases.remove(base)
            elif base + self.file_size > end:
                file = self._disk.open(path)
                try:
                    file.truncate(max(0, end - base))
                    file.truncate(self.file_size)
                finally:
                    file.close()

    def drop_from(self, offset: int, max_physical: int) -> bool:
        """Forget the units from `offset` on, so that those before end at `max_physical` in the log.

        Returns:
            False when some of them are in files: then nothing is forgotten.
        """
        start, pending = self._tail
        if offset < start:
            return False
        del pending[(offset - start) * UNIT_BYTES :]
        self._in_files = min(self._in_files, offset)
        self.next_offset = self.max_offset = offset
        self.max_physical = max_physical
        return True

    def restart_at(self, offset: int) -> None:
        """Forget all units; the next one will be `offset`, with padding before it."""
        for base in self._bases:
            self.names_changed = True
            self._disk.remove(os.path.join(self.directory, file_name(base)))
        self._bases = []
        self._tail = (offset, bytearray())
        self._in_files = 0
        self.next_offset = self.max_offset = self.min_offset = offset
        self.max_physical = -1
        self.dirty = False
        self.unsynced.clear()

    def keep_end(self, end: int) -> None:
        """Forget all units but one of padding, which tells the next `load` where the queue ended."""
        self.restart_at(end - 1)
        self.append_padding(1)
        self.next_offset = self.min_offset = end

    def _first_unit_where(self, past: Callable[[int, int], bool] | None = None) -> int:
        """First offset whose unit is empty or for which `past` holds; that must be monotone."""
        for base in reversed(self._bases):
            path = os.path.join(self.directory, file_name(base))
            units = self._units_in(path, self._units_per_file, past)
            if units:
                return base // UNIT_BYTES + units
        return self._bases[0] // UNIT_BYTES if self._bases else 0

    def _units_in(self, path: str, capacity: int, past: Callable[[int, int], bool] | None = None) -> int:
        """Units of a file of `capacity` before the first that is empty or for which `past` holds."""
        file = self._disk.open(path, writable=False)
        try:
            low, high = 0, capacity
            middle = 0
            while low < high:
                physical, size, _ = UNIT.unpack(file.pread(UNIT_BYTES, middle * UNIT_BYTES))
                if (
                    size <= 0
                    or physical < 0
                    or (size != PADDING_SIZE and past is not None and past(physical, size))
                ):
                    high = middle
                else:
                    low = middle + 1
                middle = (low + high) // 2
            return low
        finally:
            file.close()

    def unit_at(self, offset: int) -> tuple[int, int, int]:
        """One unit of the files; zeros when they do not have it."""
        data = self._read_file(offset, 1, blocking=True)
        return UNIT.unpack(data) if data and len(data) == UNIT_BYTES else (0, 0, 0)

    @property
    def written_end(self) -> int:
        """Offset of the first unit that is in memory only."""
        return self._tail[0]

    def place_of(self, offset: int) -> tuple[str, int]:
        """File of a unit, and the byte in it."""
        base = offset * UNIT_BYTES - offset * UNIT_BYTES % self.file_size
        return os.path.join(self.directory, file_name(base)), offset * UNIT_BYTES - base

    def write_unit(self, offset: int, unit: bytes) -> None:
        """Write one unit again that is in a file; for a worker thread.

        Raises:
            StoreIOError: it may be torn, which the next reader sees.
        """
        path, position = self.place_of(offset)
        file = self._disk.open(path)
        try:
            file.pwrite(unit, position)
        finally:
            file.close()

    def file_samples(self) -> list[tuple[int, dict[int, tuple[int, int, int]]]]:
        """Of each file that has units its first byte, and its first, middle and last unit by offset."""
        found = []
        for base in self._bases:
            first = base // UNIT_BYTES
            last = min(first + self._units_per_file, self._tail[0]) - 1
            if last >= first:
                found.append((base, self._units_of(base, {first, (first + last) // 2, last})))
        return found

    def _units_of(self, base: int, offsets: set[int]) -> dict[int, tuple[int, int, int]]:
        file = self._disk.open(os.path.join(self.directory, file_name(base)), writable=False)
        try:
            return {
                offset: UNIT.unpack(file.pread(UNIT_BYTES, offset * UNIT_BYTES - base)) for offset in offsets
            }
        finally:
            file.close()

    def give_up_from(self, base: int) -> None:
        """Remove the file that begins at byte `base` and all behind it: recovery makes them again."""
        end = self.max_offset
        unfit = [each for each in self._bases if each >= base]
        self._bases = [each for each in self._bases if each < base]
        self._give_up(unfit, "does not fit the log")
        self.cut_end = max(self.cut_end, end)
        self._set_end(self._first_unit_where())

    def _set_end(self, end: int) -> None:
        self._tail = (end, bytearray())
        self._in_files = 0
        self.next_offset = self.max_offset = end
        self.min_offset = self._bases[0] // UNIT_BYTES if self._bases else end
        self.max_physical = -1
        if self._bases and end > self.min_offset:
            physical, size, _ = self.unit_at(end - 1)
            if size != PADDING_SIZE:
                self.max_physical = physical + size

    def last_unit(self) -> tuple[int, int, int] | None:
        """(commit log offset, size, tags code) of the last unit; None when there is none."""
        if self.max_physical < 0:
            return None
        data = self.read(self.max_offset - 1, 1, blocking=True)
        return UNIT.unpack(data) if data else None

    def append(self, physical_offset: int, size: int, tags_code: int) -> None:
        """Add the unit of the message with offset `max_offset`; in memory only."""
        self._tail[1].extend(UNIT.pack(physical_offset, size, tags_code))
        self.max_offset += 1
        self.max_physical = physical_offset + size

    def append_padding(self, count: int) -> None:
        """Add `count` units that no reader gets, where the log itself has a gap."""
        self._tail[1].extend(PADDING_UNIT * count)
        self.max_offset += count

    @property
    def unwritten(self) -> int:
        """Units that exist in memory only."""
        return len(self._tail[1]) // UNIT_BYTES

    @property
    def first_unwritten(self) -> int:
        """Commit log offset of the first message whose unit exists in memory only; there must be one."""
        physical, size, _ = UNIT.unpack_from(self._tail[1])
        return 0 if size == PADDING_SIZE else int(physical)

    def write_behind(self) -> int:
        """Write the units that are in memory; for a worker thread, one at a time per queue.

        Returns:
            The offset up to which units are in files; give it to `written`.
        """
        start, pending = self._tail
        # What a pass wrote before it failed is not written again: its files may have expired since.
        done = max(self._in_files - start, 0) * UNIT_BYTES
        data = bytes(pending)
        offset = start * UNIT_BYTES + done
        while done < len(data):
            base = offset - offset % self.file_size
            count = min(len(data) - done, base + self.file_size - offset)
            self._write_file(base, offset - base, data[done : done + count])
            offset += count
            done += count
            self._in_files = offset // UNIT_BYTES
        return offset // UNIT_BYTES

    def written(self, upto: int) -> None:
        """Let go of the units before `upto`; where `append` is called, never beside it."""
        start, pending = self._tail
        self._tail = (upto, pending[(upto - start) * UNIT_BYTES :])

    def _write_file(self, base: int, position: int, data: bytes) -> None:
        path = os.path.join(self.directory, file_name(base))
        if base in self._bases:
            file = self._disk.open(path)
        else:
            self.names_changed = True
            self._disk.makedirs(self.directory)
            file = self._disk.open(path, create=True)
            if not self._bases and position:
                data = PADDING_UNIT * (position // UNIT_BYTES) + data
                position = 0
        try:
            if base not in self._bases:
                file.truncate(self.file_size)
            file.pwrite(data, position)
        finally:
            file.close()
        if base not in self._bases:
            self._bases = [*self._bases, base]
        self.unsynced.add(base)

    def sync(self) -> None:
        """Make the written units durable; for a worker thread."""
        for base in sorted(self.unsynced):
            try:
                file = self._disk.open(os.path.join(self.directory, file_name(base)))
            except StoreMissingError:
                self.unsynced.discard(base)
                continue
            try:
                file.fdatasync()
            finally:
                file.close()
            self.unsynced.discard(base)

    def read(self, offset: int, count: int, *, blocking: bool) -> bytes | bytearray | None:
        """Up to `count` units from `offset` on, as they are stored.

        At least one unit is returned when `offset` is below `max_offset`; a read stops at
        the end of a file and where the units in memory begin.

        Returns:
            ``b""`` when there is no such unit; None when they are cold and `blocking` is False.
        """
        start, pending = self._tail
        if offset >= start:
            at = (offset - start) * UNIT_BYTES
            return pending[at : at + count * UNIT_BYTES]
        return self._read_file(offset, min(count, start - offset), blocking=blocking)

    def _read_file(self, offset: int, count: int, *, blocking: bool) -> bytes | None:
        position = offset * UNIT_BYTES
        bases = self._bases
        index = bisect_right(bases, position) - 1
        if index < 0:
            return b""
        base = bases[index]
        size = min(count * UNIT_BYTES, base + self.file_size - position)
        if size <= 0:
            return b""
        try:
            file = self._disk.open(os.path.join(self.directory, file_name(base)), writable=False)
        except StoreMissingError:
            return b""
        try:
            if not blocking:
                return file.pread_nowait(size, position - base)
            return file.pread(size, position - base)
        finally:
            file.close()

    def delete_expired_files(self, min_physical: int) -> int:
        """Remove files whose last unit lies before `min_physical`, never the last file.

        For a worker thread.

        Returns:
            How many files went.
        """
        count = 0
        while len(self._bases) > 1:
            base = self._bases[0]
            physical, _, _ = self.unit_at((base + self.file_size) // UNIT_BYTES - 1)
            if physical >= min_physical:
                break
            self._bases = self._bases[1:]
            self.unsynced.discard(base)
            self.names_changed = True
            self._disk.remove(os.path.join(self.directory, file_name(base)))
            count += 1
        return count

    def correct_min_offset(self, min_physical: int) -> None:
        """Set `min_offset` to the first unit at or behind `min_physical`; the end if none is."""
        low, high = self.min_offset, self.max_offset
        if self._bases:
            low = max(low, self._bases[0] // UNIT_BYTES)
        while low < high:
            middle = (low + high) // 2
            following, physical = self._behind_padding(middle, high)
            if following == high or physical >= min_physical:
                high = middle
            else:
                low = following + 1
        self.min_offset, _ = self._behind_padding(min(low, self.max_offset), self.max_offset)

    def _behind_padding(self, offset: int, end: int) -> tuple[int, int]:
        """First unit from `offset` on that is not padding, and where it leads; `end` without any."""
        while offset < end:
            data = self.read(offset, min(end - offset, _PADDING_UNITS), blocking=True)
            if not data:
                return offset, -1
            for physical, size, _ in UNIT.iter_unpack(data):
                if size != PADDING_SIZE:
                    return offset, physical
                offset += 1
        return end, -1

    @property
    def first_file_offset(self) -> int:
        """Offset of the first unit that files hold; 0 without any file."""
        return self._bases[0] // UNIT_BYTES if self._bases else 0

    @property
    def file_count(self) -> int:
        return len(self._bases)

    def remove_files(self) -> None:
        """Remove every file and the directory; for a worker thread."""
        for name in self._disk.listdir(self.directory):
            self._disk.remove(os.path.join(self.directory, name))
        self._bases = []
        self._disk.remove_directory(self.directory)

    def offset_by_time(
        self, timestamp: int, boundary: Boundary, store_time: Callable[[int, int], int]
    ) -> int:
        """Queue offset for a point in time (Java: ``getOffsetInQueueByTime``).

        | timestamp is | LOWER | UPPER |
        |---|---|---|
        | newer than all | max offset | last offset |
        | older than all | min offset | 0 |
        | that of one or more messages | the first of them | the last of them |
        | between two | the newer one | the older one |

        An empty queue answers 0.

        Args:
            timestamp: Milliseconds since the epoch.
            boundary: Which side to take.
            store_time: Store timestamp of a message by (commit log offset, size), -1 if gone.
        """
        low, high = self.min_offset, self.max_offset
        if self.max_offset == 0:
            return 0

        def time_at(offset: int) -> int:
            data = self.read(offset, 1, blocking=True)
            if not data:
                return -1
            physical, size, _ = UNIT.unpack(data)
            return store_time(physical, size)

        while low < high:
            middle = (low + high) // 2
            found = time_at(middle)
            if found < timestamp or (boundary == "UPPER" and found == timestamp):
                low = middle + 1
            else:
                high = middle
        if boundary == "LOWER":
            return low
        return 0 if low == self.min_offset and low < self.max_offset else low - 1
