"""The commit log: the only truth of a store, everything else is derived from it.

The event loop appends (`append`) and reads near the tail; worker threads flush, create
the next file ahead of time, read cold data and delete old files. What both sides touch
is a dict entry or an integer that is replaced whole.
"""

from __future__ import annotations

import logging
import os
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

import attrs

from store.errors import StoreCorruptError, StoreIOError
from store.files import remove_for_good
from store.log_directories import make_names_last
from store.mapped_files import LogFile, find_files, open_log_file
from store.message_codec import BLANK, MAGIC_BLANK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from store.files import FileSystem
    from store.log_directories import LogDirectories

log = logging.getLogger("rocketmq.store")

_NEVER = 1 << 62
_REWRITE_BYTES = 4096  # a page: the hole behind a blank record must not take space


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
        directories: Where files lie and new ones go.
        file_size: Bytes of each file.
        files: The disk.
        hot_bytes: How far behind the tail a read may use the mapping. Farther back, and
            before the tail that recovery found, pages may be cold: the page cache is
            asked first.

    Attributes:
        tail: Where the next record goes.
        next_file_from: The tail behind which the successor of the last file is wanted.
        on_sync_failure: Called once, in the thread whose sync failed.
        sync_failure: Why no sync of this log is believed any more.
    """

    def __init__(
        self, directories: LogDirectories, file_size: int, files: FileSystem, *, hot_bytes: int = 256 << 20
    ) -> None:
        self.directories = directories
        self._disk = files
        self.file_size = file_size
        self._files: dict[int, LogFile] = {}
        self._ahead: LogFile | None = None
        self._active: LogFile | None = None
        self._removed: list[LogFile] = []
        self._torn = False
        self._hot_bytes = hot_bytes
        self._hot_floor = 0
        self.next_file_from = _NEVER
        self.tail = 0
        self.min_offset = 0
        self.flushed = 0
        self._appends = 0
        self._appended_bytes = 0
        self._cold_reads = 0
        self._syncing = threading.Lock()
        self.on_sync_failure: Callable[[], None] = lambda: None
        self.sync_failure: StoreIOError | None = None

    def __repr__(self) -> str:
        return (
            f"<CommitLog {self.directories.all[0]!r} {self.min_offset}..{self.tail} flushed={self.flushed}>"
        )

    def statistics(self) -> CommitLogStatistics:
        return CommitLogStatistics(
            self.min_offset, self.tail, self.flushed, len(self._files) + (self._ahead is not None),
            self._appends, self._appended_bytes, self._cold_reads,
        )  # fmt: skip

    def load(self, *, clean: bool = True) -> None:
        """Open the existing files; the tail is set by `set_tail` once recovery knows it.

        Args:
            clean: As for `find_files`.

        Raises:
            StoreCorruptError: sizes or names do not fit the configuration.
        """
        for directory in self.directories.all:
            self._disk.makedirs(directory)
        found = find_files(self.directories.all, self.file_size, self._disk, clean=clean)
        for base, directory in found.items():
            self._files[base] = open_log_file(directory, base, self.file_size, self._disk, create=False)
        bases = self.bases()
        if not bases:
            for directory in self.directories.all:
                make_names_last(directory, self._disk)
        self.min_offset = self.tail = self.flushed = bases[0] if bases else 0

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

    @property
    def total_bytes(self) -> int:
        """Full sizes of all files that belong to the log."""
        return len(self._files) * self.file_size

    @property
    def file_count(self) -> int:
        """Files that belong to the log."""
        return len(self._files)

    @property
    def active_directory(self) -> str | None:
        """Directory of the file that is written; None before the first message."""
        return None if self._active is None else os.path.dirname(self._active.path)

    def _create(self, base: int, directory: str) -> LogFile:
        return open_log_file(directory, base, self.file_size, self._disk, create=True)

    @property
    def needs_next_file(self) -> bool:
        """True once the last file is half full and its successor does not exist."""
        return self.tail > self.next_file_from

    def prepare_next_file(self) -> LogFile | None:
        """Create and map the successor of the last file where there is room; blocking, for a worker thread.

        Returns:
            What `keep_next_file` shall get.

        Raises:
            StoreIOError: it cannot be created, or the space not be measured.
        """
        active = self._active
        if active is None or self._ahead is not None:
            return None
        base = active.base + active.size
        ahead = self._create(base, self.directories.measured_directory_for(base))
        try:
            _ = ahead.view
        except BaseException:
            ahead.file.close()
            raise
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
            taken = self._files.get(ahead.base)
            if taken is None or taken.path != ahead.path:
                remove_for_good(ahead.path, self._disk)  # not back when `taken` is gone

    def _activate(self, active: LogFile | None) -> None:
        self._active = active
        ahead = self._ahead
        if active is None or (ahead is not None and ahead.base == active.base + active.size):
            self.next_file_from = _NEVER
        else:
            self.next_file_from = active.base + active.size // 2

    def set_tail(self, tail: int) -> None:
        """Declare everything behind `tail` void: drop later files, clear the rest of this one.

        Stale bytes behind the tail could otherwise come back as messages after a crash.
        For recovery, before anything reads. From the last file on, so that a loss of power leaves no gap.
        """
        for base in reversed(self.bases()):
            if base + self.file_size <= tail:
                break
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
        try:
            self._remove(file.path)
        finally:
            file.file.close()

    def _remove(self, path: str) -> None:
        """Remove a file for good: a file that came back after others have gone would leave a gap.

        What stayed in another directory, where the file could not be made for lack of room, goes first: the
        next start would take it for the file.
        """
        name = os.path.basename(path)
        for directory in self.directories.all:
            other = os.path.join(directory, name)
            if other != path and self._disk.exists(other):
                remove_for_good(other, self._disk)
        remove_for_good(path, self._disk)

    def reset(self, offset: int) -> None:
        """Begin an empty log at `offset` (which starts a file); for an empty directory."""
        self.tail = self.flushed = self.min_offset = self._hot_floor = offset

    def remove_first_file(self) -> int:
        """Unlink the oldest file, never the one that is written; blocking.

        Slices that readers hold stay readable. The next file is synced before: after a loss of power a
        log without a file would begin at 0 again, and so would the offsets of all queues.

        Returns:
            The new minimum offset.

        Raises:
            StoreIOError: the file is still the oldest; to go on with the next one would leave a gap.
        """
        bases = self.bases()
        if len(bases) > 1:
            file = self._files[bases[0]]
            self.sync([self._files[bases[1]]])
            self._remove(file.path)
            self.min_offset = bases[1]
            del self._files[bases[0]]
            self._removed.append(file)
        return self.min_offset

    def close_removed_files(self) -> None:
        """Close descriptors of files that were removed a pass ago: no read is in them any more."""
        removed, self._removed = self._removed, []
        with ExitStack() as closing:
            for file in removed:
                closing.callback(file.file.close)

    def removed_bytes(self) -> dict[str, int]:
        """By directory what the device gets back when `close_removed_files` is called."""
        found: dict[str, int] = {}
        for file in self._removed:
            directory = os.path.dirname(file.path)
            found[directory] = found.get(directory, 0) + file.file.allocated_bytes()
        return found

    def close(self) -> None:
        """Close all descriptors, also if one of them fails; mappings that readers hold stay."""
        with ExitStack() as closing:
            for file in [*self._files.values(), *self._removed]:
                closing.callback(file.file.close)
            if self._ahead is not None:
                closing.callback(self._ahead.file.close)
            self._files, self._removed = {}, []
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
                ahead = self._create(tail, self.directories.directory_for(tail))
            else:
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
            raise StoreCorruptError("append without room", self.directories.all[0])
        position = self.tail - active.base
        if self._torn:
            self.clear_torn_record()
        try:
            active.file.pwrite(data, position)
        except BaseException:
            self._torn = True
            try:
                self.clear_torn_record()
            except StoreIOError as error:
                log.error("the rest of a failed write stays until it can be cleared: %s", error)
            raise
        self.tail += length
        self._appends += 1
        self._appended_bytes += len(data)

    def clear_torn_record(self) -> None:
        """Clear what a failed write left behind the tail, if it did: it must not come back as messages.

        Raises:
            StoreIOError: it is still there; nothing may be appended before it is cleared.
        """
        active = self._active
        if self._torn and active is not None:
            active.file.truncate(self.tail - active.base)
            active.file.truncate(active.size)
        self._torn = False

    def leave_full_file(self) -> bool:
        """Go on in another directory when the one that is written has no space.

        A file that holds records ends before its time, with a blank record; one that was
        only begun is begun elsewhere.

        Returns:
            True when the next append goes elsewhere; False when all directories are full or
            the blank record could not be written either.
        """
        active = None if self.at_file_end() else self._active
        if active is None:
            directory = self.directories.directory_for(self.tail)
        else:
            directory = os.path.dirname(active.path)
        self.directories.mark_full(directory)
        if not self.directories.have_room_beside(directory):
            return False
        try:
            self._forget_ahead_in(directory)
            if active is not None:
                self._end_early(active)
        except StoreIOError as error:
            log.error("a full commit log file cannot be left for another directory: %s", error)
            return False
        log.warning("%s: no space left, the commit log goes on in another directory", directory)
        return True

    def _forget_ahead_in(self, directory: str) -> None:
        ahead = self._ahead
        if ahead is not None and os.path.dirname(ahead.path) == directory:
            self._ahead = None
            ahead.file.close()
            self._disk.remove(ahead.path)

    def _end_early(self, active: LogFile) -> None:
        if self.tail == active.base:
            self._drop(active.base)
            self._activate(None)
            self._torn = False
            return
        self.clear_torn_record()
        left = active.base + active.size - self.tail
        self._torn = True
        active.file.pwrite(BLANK.pack(left, MAGIC_BLANK), self.tail - active.base)
        self._torn = False
        self.tail += left
        self.next_file_from = _NEVER

    def unflushed_files(self, upto: int) -> list[LogFile]:
        """Files with bytes between the flushed offset and `upto`."""
        first = self.flushed - self.flushed % self.file_size
        return [self._files[base] for base in range(first, upto, self.file_size) if base in self._files]

    def sync(self, files: Iterable[LogFile]) -> None:
        """Block until all that was written to `files` is on the device, after any sync under way.

        A system tells of a failed write once. Then the pages count as clean, and the next sync of the
        same file says that all is well: so after one failure, in whatever thread, none is believed.

        Raises:
            StoreIOError: the device failed, now or before.
        """
        with self._syncing:
            if self.sync_failure is not None:
                raise self.sync_failure
            try:
                for file in files:
                    file.file.fdatasync()
            except StoreIOError as error:
                self.sync_failure = error
                self.on_sync_failure()
                raise

    def sync_from(self, start: int) -> None:
        """Block until everything from `start` to the tail is on the device.

        Raises:
            StoreIOError: the device failed, now or before.
        """
        self.sync(self._files_from(start))

    def write_again_from(self, start: int) -> None:
        """Write everything from `start` to the tail as it reads now; blocking.

        After a failed sync the page cache may show messages that the device does not have, in pages that
        count as clean. This makes them dirty, so that the next sync takes them along.

        Raises:
            StoreIOError: a file cannot be read or written.
        """
        for file in self._files_from(start):
            end = min(self.tail - file.base, file.size)
            first = max(start - file.base, 0)
            for page in range(first - first % _REWRITE_BYTES, end, _REWRITE_BYTES):
                position = max(page, first)
                data = file.file.pread(min(page + _REWRITE_BYTES, end) - position, position)
                if data.count(0) != len(data):
                    file.file.pwrite(data, position)

    def _files_from(self, start: int) -> list[LogFile]:
        return [
            self._files[base] for base in self.bases() if start < base + self.file_size and base < self.tail
        ]

    def is_hot(self, offset: int) -> bool:
        """True when reading at `offset` through the mapping will not wait for the disk."""
        return offset >= self._hot_floor and self.tail - offset <= self._hot_bytes

    def hot_view(self, start: int, end: int) -> tuple[memoryview, int] | None:
        """The mapping of the file that holds `start` to `end`, and where the file begins.

        For places where messages are known to lie: what was never written must not be read.

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
            A slice of the mapping near the tail, a copy elsewhere; ``b""`` when the
            log does not hold these bytes (removed, or behind the tail); None when they
            are cold and `blocking` is False.
        """
        if offset + size > self.tail:
            return b""
        position = offset % self.file_size
        file = self._files.get(offset - position)
        if file is None or position + size > file.size:
            return b""
        if offset >= self._hot_floor and self.tail - offset <= self._hot_bytes and file.maps_holes:
            return file.view[position : position + size]
        data = file.file.pread_nowait(size, position)
        if data is not None:
            return data
        if not blocking:
            return None
        self._cold_reads += 1
        return file.file.pread(size, position)

    def place_of(self, offset: int) -> tuple[str, int]:
        """The file that holds `offset`, and the byte in it; without such a file the first directory."""
        position = offset % self.file_size
        file = self._files.get(offset - position)
        return (self.directories.all[0] if file is None else file.path), position

    def next_file_offset(self, offset: int) -> int:
        """Start of the file behind the one that holds `offset`."""
        return offset - offset % self.file_size + self.file_size
