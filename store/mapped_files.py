"""Files of one fixed size that are named by their 20-digit start offset.

The commit log and every consume queue are such a sequence (Java: ``MappedFileQueue``).
A file has its full size from the beginning; the part that was never written is a hole.
"""

from __future__ import annotations

import os
from itertools import pairwise
from typing import TYPE_CHECKING

from store.errors import StoreCorruptError

if TYPE_CHECKING:
    from store.files import FileSystem, StoreFile

NAME_DIGITS = 20


def file_name(base: int) -> str:
    """Name of the file that starts at byte `base`."""
    return f"{base:020d}"


def list_bases(directory: str, file_size: int, files: FileSystem) -> list[int]:
    """Start offsets of the files in `directory`, ascending.

    An empty last file (a crash between creation and allocation) is removed. Names that
    are not 20 digits are not ours and are left alone.

    Raises:
        StoreCorruptError: a file has another size than `file_size`, or one is missing
            in the middle: the configuration does not belong to this directory.
    """
    names = [name for name in files.listdir(directory) if len(name) == NAME_DIGITS and name.isdigit()]
    bases: list[int] = []
    for index, name in enumerate(names):
        path = os.path.join(directory, name)
        size = files.file_size(path)
        if size == 0 and index == len(names) - 1:
            files.remove(path)
            continue
        if size != file_size:
            raise StoreCorruptError(f"has {size} bytes where the configuration says {file_size}", path)
        bases.append(int(name))
    for previous, base in pairwise(bases):
        if base != previous + file_size:
            raise StoreCorruptError(f"the file before it ends at {previous + file_size}, one is missing",
                                    os.path.join(directory, file_name(base)))  # fmt: skip
    return bases


def split_sound(directory: str, file_size: int, files: FileSystem) -> tuple[list[int], list[int]]:
    """Start offsets of the leading files that fit together, and of all behind them.

    For files that can be made again: where `list_bases` refuses, the second list begins.
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

    `view` slices keep the mapping alive by themselves: dropping a `LogFile` and
    unlinking its path never takes bytes away from a reader that already holds a slice.
    """

    __slots__ = ("_view", "base", "file", "path", "size")

    def __init__(self, path: str, base: int, size: int, file: StoreFile) -> None:
        self.path = path
        self.base = base
        self.size = size
        self.file = file
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
    """Open, or create sparse at full size and durably named, the file at `base`."""
    path = os.path.join(directory, file_name(base))
    file = files.open(path, create=create)
    try:
        if create:
            if file.size() != size:
                file.truncate(size)
            files.sync_directory(directory)
    except BaseException:
        file.close()
        raise
    return LogFile(path, base, size, file)
