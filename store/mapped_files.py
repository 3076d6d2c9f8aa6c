"""Files of one fixed size that are named by their 20-digit start offset.

The commit log and every consume queue are such a sequence (Java: ``MappedFileQueue``).
A file has its full size from the beginning; the part that was never written is a hole.
"""

from __future__ import annotations

import os
from itertools import pairwise
from typing import TYPE_CHECKING

from store.errors import StoreCorruptError
from store.files import remove_for_good

if TYPE_CHECKING:
    from collections.abc import Iterable

    from store.files import FileSystem, StoreFile

NAME_DIGITS = 20


def file_name(base: int) -> str:
    """Name of the file that starts at byte `base`."""
    return f"{base:020d}"


def find_files(
    directories: Iterable[str], file_size: int, files: FileSystem, *, clean: bool = True
) -> dict[int, str]:
    """Start offset → directory of the files in one or several directories, ascending.

    An empty last file (a crash between creation and allocation) is removed, and so is one
    that was never written while another directory has its twin. Names that are not 20
    digits are not ours and are left alone.

    Args:
        clean: The last run stopped in order. If not, it may have ended between the two steps
            that clear what lies behind the tail, or the machine before the size of a new file was
            on the device: a file that is too short gets its size if it is the last or its successor
            stands where it must.

    Raises:
        StoreCorruptError: a file has another size than `file_size`, exists twice, or one is
            missing in the middle: the configuration does not belong to these directories.
    """
    found: dict[int, str] = {}
    for directory in directories:
        for name in files.listdir(directory):
            if len(name) == NAME_DIGITS and name.isdigit():
                base = int(name)
                found[base] = _only_one(base, found.get(base, directory), directory, files)
    bases = dict(sorted(found.items()))
    last = max(bases, default=0)
    for base, directory in list(bases.items()):
        path = os.path.join(directory, file_name(base))
        size = files.file_size(path)
        if size == 0 and base == last:
            remove_for_good(path, files)
            del bases[base]
        elif size < file_size and not clean and (base == last or base + file_size in found):
            _grow(path, file_size, files)
        elif size != file_size:
            raise StoreCorruptError(f"has {size} bytes where the configuration says {file_size}", path)
    for previous, base in pairwise(bases):
        if base != previous + file_size:
            raise StoreCorruptError(f"follows {previous + file_size}, one is missing"
                                    " (or its directory in storePathCommitLog)",
                                    os.path.join(bases[base], file_name(base)))  # fmt: skip
    return bases


def _grow(path: str, size: int, files: FileSystem) -> None:
    file = files.open(path)
    try:
        file.truncate(size)
    finally:
        file.close()


def _only_one(base: int, known: str, other: str, files: FileSystem) -> str:
    """Of the same file in two directories the one that was written; the other is removed."""
    if known == other:
        return known
    paths = [os.path.join(directory, file_name(base)) for directory in (known, other)]
    written = [_begins_with_bytes(path, files) for path in paths]
    if all(written):
        raise StoreCorruptError(f"is in {other} too", paths[0])
    remove_for_good(paths[0] if written[1] else paths[1], files)  # not back when the written one is gone
    return other if written[1] else known


def _begins_with_bytes(path: str, files: FileSystem) -> bool:
    file = files.open(path, writable=False)
    try:
        return any(file.pread(8, 0))
    finally:
        file.close()


def split_sound(directory: str, file_size: int, files: FileSystem) -> tuple[list[int], list[int]]:
    """Start offsets of the leading files that fit together, and of all behind them.

    For files that can be made again: where `find_files` refuses, the second list begins.
    An empty last file is among the second.
    """
    bases = [int(name) for name in files.listdir(directory) if len(name) == NAME_DIGITS and name.isdigit()]
    for index, base in enumerate(bases):
        path = os.path.join(directory, file_name(base))
        if files.file_size(path) != file_size or (index and base != bases[index - 1] + file_size):
            return bases[:index], bases[index:]
    return bases, []


class LogFile:
    """One commit log file, open, with a read-only mapping made at first use.

    `maps_holes` says whether the mapping may be read where nothing was written.
    `view` slices keep the mapping alive by themselves: dropping a `LogFile` and
    unlinking its path never takes bytes away from a reader that already holds a slice.
    """

    __slots__ = ("_view", "base", "file", "maps_holes", "path", "size")

    def __init__(self, path: str, base: int, size: int, file: StoreFile, *, maps_holes: bool) -> None:
        self.path = path
        self.base = base
        self.size = size
        self.file = file
        self.maps_holes = maps_holes
        self._view: memoryview | None = None

    def __repr__(self) -> str:
        return f"<LogFile {self.path!r} mapped={self._view is not None}>"

    @property
    def view(self) -> memoryview:
        """The mapped file. A page that is not in memory blocks the reader: see `CommitLog`."""
        if self._view is None:
            self._view = self.file.map_readonly(self.size)
        return self._view


def open_log_file(directory: str, base: int, size: int, files: FileSystem, *, create: bool) -> LogFile:
    """Open, or create sparse at full size and durably named, the file at `base`.

    Raises:
        StoreIOError: a file that could not be created wholly stays. Another thread may have opened it at the
            same time, and a file that is written must not lose its name. The next call goes on with it,
            and so does `find_files`.
    """
    path = os.path.join(directory, file_name(base))
    file = files.open(path, create=create)
    try:
        if create:
            if file.size() != size:
                file.truncate(size)
            files.sync_directory(directory)
        maps_holes = files.maps_holes(path)
    except BaseException:
        file.close()
        raise
    return LogFile(path, base, size, file, maps_holes=maps_holes)
