"""The commit log: the only truth of a store, everything else is derived from it.

The event loop appends (`append`) and reads near the tail; worker threads flush, create
the next file ahead of time, read cold data and delete old files. What both sides touch
is a dict entry or an integer that is replaced whole.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import attrs

from store.errors import StoreCorruptError
from store.mapped_files import LogFile, list_bases, open_log_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from store.files import FileSystem


_NEVER = 1 << 62


@attrs.frozen
class CommitLogStatistics:
    """Offsets in bytes; `file_count` includes a file that was created ahead."""

    min_offset: int
    max_offset: int
    flushed_offset: int
    file_count: int
    appends: int
    appended_bytes: int
    cold_reads: int


class CommitLog:
    """Files of `file_size` bytes in one or several directories.

    Args:
        directories: Where files lie; new ones go round-robin by their number.
        file_size: Bytes of each file.
        files: The disk.
        hot_bytes: How far behind the tail a read may use the mapping. Farther back, and
            before the tail that recovery found, pages may be cold: the page cache is
            asked first.

    Attributes:
        tail: Where the next record goes.
        next_file_from: The tail behind which the successor of the last file is wanted.
    """

    def __init__(
        self, directories: Sequence[str], file_size: int, files: FileSystem, *, hot_bytes: int = 256 << 20
    ) -> None:
        self._directories = list(directories)
        self._disk = files
        self.file_size = file_size
        self._files: dict[int, LogFile] = {}
        self._ahead: LogFile | None = None
        self._active: LogFile | None = None
        self._removed: list[LogFile] = []
        self._hot_bytes = hot_bytes
        self._hot_floor = 0
        self.next_file_from = _NEVER
        self.tail = 0
        self.min_offset = 0
        self.flushed = 0
        self._appends = 0
        self._appended_bytes = 0
        self._cold_reads = 0

    def __repr__(self) -> str:
        return f"<CommitLog {self._directories[0]!r} {self.min_offset}..{self.tail} flushed={self.flushed}>"

    def statistics(self) -> CommitLogStatistics:
        return CommitLogStatistics(
            self.min_offset, self.tail, self.flushed, len(self._files) + (self._ahead is not None),
            self._appends, self._appended_bytes, self._cold_reads,
        )  # fmt: skip

    def load(self) -> None:
        """Open the existing files; the tail is set by `set_tail` once recovery knows it.

        Raises:
            StoreCorruptError: sizes or names do not fit the configuration.
        """
        for directory in self._directories:
            self._disk.makedirs(directory)
            for base in self._bases_in(directory):
                self._files[base] = open_log_file(directory, base, self.file_size, self._disk, create=False)
        bases = self.bases()
        for previous, base in pairwise(bases):
            if base != previous + self.file_size:
                raise StoreCorruptError(f"file {base} does not follow file {previous}", self._directories[0])
        self.min_offset = self.tail = self.flushed = bases[0] if bases else 0

    def _bases_in(self, directory: str) -> list[int]:
        if len(self._directories) == 1:
            return list_bases(directory, self.file_size, self._disk)
        names = [name for name in self._disk.listdir(directory) if len(name) == 20 and name.isdigit()]
        return [int(name) for name in names]

    def bases(self) -> list[int]:
        """Start offsets of all files that belong to the log, ascending."""
        return sorted(self._files)

    def file_at(self, base: int) -> LogFile | None:
        """The file that starts at `base`."""
        return self._files.get(base)

    def oldest_file(self) -> LogFile | None:
        """The file that retention would delete next; None when only one is left."""
        bases = self.bases()
        return self._files[bases[0]] if len(bases) > 1 else None

    def _directory_of(self, base: int) -> str:
        return self._directories[base // self.file_size % len(self._directories)]

    def _create(self, base: int) -> LogFile:
        return open_log_file(self._directory_of(base), base, self.file_size, self._disk, create=True)

    @property
    def needs_next_file(self) -> bool:
        """True once the last file is half full and its successor does not exist."""
        return self.tail > self.next_file_from

    def prepare_next_file(self) -> LogFile | None:
        """Create and map the successor of the last file; blocking, for a worker thread.

        Returns:
            What `keep_next_file` shall get.
        """
        active = self._active
        if active is None or self._ahead is not None:
            return None
        ahead = self._create(active.base + active.size)
        _ = ahead.view
        return ahead

    def keep_next_file(self, ahead: LogFile | None) -> None:
        """Take what `prepare_next_file` made, unless the log did not wait for it; in the event loop."""
        if ahead is None:
            return
        active = self._active
        if self._ahead is None and active is not None and ahead.base == active.base + active.size:
            self._ahead = ahead
            self.next_file_from = _NEVER
        else:
            ahead.file.close()

    def _activate(self, active: LogFile | None) -> None:
        self._active = active
        self.next_file_from = _NEVER if active is None else active.base + active.size // 2

    def set_tail(self, tail: int) -> None:
        """Declare everything behind `tail` void: drop later files, clear the rest of this one.

        Stale bytes behind the tail could otherwise come back as messages after a crash.
        For recovery, before anything reads.
        """
        for base in self.bases():
            if base + self.file_size <= tail:
                continue
            if base > tail or (base == tail and base != self.min_offset):
                self._drop(base)
                continue
            file = self._files[base].file
            file.truncate(tail - base)
            file.truncate(self.file_size)
        self.tail = self.flushed = self._hot_floor = tail
        bases = self.bases()
        self.min_offset = bases[0] if bases else tail
        last = self._files[bases[-1]] if bases else None
        self._activate(last if last is not None and tail < last.base + last.size else None)

    def _drop(self, base: int) -> None:
        file = self._files.pop(base)
        self._disk.remove(file.path)
        file.file.close()

    def reset(self, offset: int) -> None:
        """Begin an empty log at `offset` (which starts a file); for an empty directory."""
        self.tail = self.flushed = self.min_offset = self._hot_floor = offset

    def remove_first_file(self) -> int:
        """Unlink the oldest file, never the one that is written; blocking.

        Slices that readers hold stay readable.

        Returns:
            The new minimum offset.
        """
        bases = self.bases()
        if len(bases) > 1:
            file = self._files[bases[0]]
            self.min_offset = bases[1]
            del self._files[bases[0]]
            self._removed.append(file)
            self._disk.remove(file.path)
        return self.min_offset

    def close_removed_files(self) -> None:
        """Close descriptors of files that were removed a pass ago: no read is in them any more."""
        removed, self._removed = self._removed, []
        for file in removed:
            file.file.close()

    def close(self) -> None:
        """Close descriptors; mappings that readers hold stay."""
        for file in self._files.values():
            file.file.close()
        if self._ahead is not None:
            self._ahead.file.close()
        self.close_removed_files()
        self._files = {}
        self._ahead = self._active = None

    def room(self) -> tuple[int, int]:
        """Tail offset and bytes left in its file, after starting a new file if needed.

        Raises:
            StoreIOError: the new file cannot be created; the log is unchanged.
        """
        active = self._active
        tail = self.tail
        if active is None or tail == active.base + active.size:
            ahead = self._ahead
            if ahead is None or ahead.base != tail:
                ahead = self._create(tail)
            self._ahead = None
            self._files[tail] = active = ahead
            self._activate(ahead)
        return tail, active.base + active.size - tail

    def at_file_end(self) -> bool:
        """True when the next record begins a new file."""
        return self._active is None or self.tail == self._active.base + self._active.size

    def append(self, data: bytes, length: int) -> None:
        """Write whole records at the tail with one positional write.

        Args:
            data: Records, at most as long as the room that `room` told.
            length: How far the tail moves; more than ``len(data)`` when a blank record
                ends the file.

        Raises:
            StoreIOError: nothing of `data` is part of the log; its remains are cleared.
        """
        active = self._active
        if active is None:
            raise StoreCorruptError("append without room", self._directories[0])
        position = self.tail - active.base
        try:
            active.file.pwrite(data, position)
        except BaseException:
            active.file.truncate(position)
            active.file.truncate(active.size)
            raise
        self.tail += length
        self._appends += 1
        self._appended_bytes += len(data)

    def unflushed_files(self, upto: int) -> list[LogFile]:
        """Files with bytes between the flushed offset and `upto`."""
        first = self.flushed - self.flushed % self.file_size
        return [self._files[base] for base in range(first, upto, self.file_size) if base in self._files]

    def sync_from(self, start: int) -> None:
        """Block until everything from `start` to the tail is on the device.

        Raises:
            StoreIOError: the device failed.
        """
        for base in self.bases():
            if start < base + self.file_size and base < self.tail:
                self._files[base].file.fdatasync()

    def is_hot(self, offset: int) -> bool:
        """True when reading at `offset` through the mapping will not wait for the disk."""
        return offset >= self._hot_floor and self.tail - offset <= self._hot_bytes

    def hot_view(self, start: int, end: int) -> tuple[memoryview, int] | None:
        """The mapping of the file that holds `start` to `end`, and where the file begins.

        Returns:
            None when a part is cold, removed, behind the tail or in another file.
        """
        if start < self._hot_floor or self.tail - start > self._hot_bytes or end > self.tail:
            return None
        base = start - start % self.file_size
        file = self._files.get(base)
        if file is None or end > base + file.size:
            return None
        return file.view, base

    def read(self, offset: int, size: int, *, blocking: bool) -> bytes | memoryview | None:
        """`size` bytes at `offset`, all inside one file.

        Args:
            blocking: With False nothing waits for the disk.

        Returns:
            A slice of the mapping near the tail, a copy farther back; ``b""`` when the
            log does not hold these bytes (removed, or behind the tail); None when they
            are cold and `blocking` is False.
        """
        if offset + size > self.tail:
            return b""
        position = offset % self.file_size
        file = self._files.get(offset - position)
        if file is None or position + size > file.size:
            return b""
        if offset >= self._hot_floor and self.tail - offset <= self._hot_bytes:
            return file.view[position : position + size]
        data = file.file.pread_nowait(size, position)
        if data is not None:
            return data
        if not blocking:
            return None
        self._cold_reads += 1
        return file.file.pread(size, position)

    def next_file_offset(self, offset: int) -> int:
        """Start of the file behind the one that holds `offset`."""
        return offset - offset % self.file_size + self.file_size
