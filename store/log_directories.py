"""Where the files of a commit log lie when it has several directories.

New files go to the directories in turn, by the number of the file over the sorted list
(Java: ``MultiPathMappedFileQueue``), so the order in which they are configured does not
matter. A directory that is full, or has no room for a whole file while another one has,
is left out; when all are full, all are taken again: whether messages are accepted at
all is not decided here.
"""

from __future__ import annotations

import errno
import logging
import os
from typing import TYPE_CHECKING

from store.errors import StoreIOError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from store.files import FileSystem

log = logging.getLogger("rocketmq.store")


def make_names_last(path: str, files: FileSystem) -> None:
    """Let the names of a new directory and of those above it survive a loss of power; blocking.

    Raises:
        StoreIOError: a directory above it cannot be synced. One that may not be opened is left alone:
            the new names are not in it.
    """
    while path != os.path.dirname(path):
        path = os.path.dirname(path)
        try:
            files.sync_directory(path)
        except StoreIOError as error:
            if error.errno not in (errno.EACCES, errno.EPERM):
                raise


class LogDirectories:
    """The directories of one commit log.

    Args:
        paths: Directories that get new files, real paths.
        read_only: Directories whose files are read only.
        file_size: Bytes of a file.
        files: The disk.

    Attributes:
        full: Directories that get no new files now; replaced whole, by any thread.
    """

    def __init__(
        self, paths: Sequence[str], file_size: int, files: FileSystem, read_only: Sequence[str] = ()
    ) -> None:
        self.paths = sorted(paths)
        self.read_only = sorted(read_only)
        self._file_size = file_size
        self._files = files
        self._short = False
        self.full: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return f"<LogDirectories {self.paths!r} full={sorted(self.full)!r}>"

    @property
    def all(self) -> list[str]:
        """Every directory that may hold files."""
        return [*self.paths, *self.read_only]

    def have_room_beside(self, path: str) -> bool:
        """True when a directory other than `path` takes new files."""
        return any(each != path and each not in self.full for each in self.paths)

    def mark_full(self, path: str) -> None:
        """A write in `path` found no space; true until the next measurement."""
        self.full |= {path}

    def directory_for(self, base: int) -> str:
        """The directory of the new file at `base`, by what was measured last; never waits."""
        return self._in_turn([path for path in self.paths if path not in self.full] or self.paths, base)

    def measured_directory_for(self, base: int) -> str:
        """The same after looking how much room there is now; blocking, for a worker thread.

        Raises:
            StoreIOError: the space of a partition cannot be measured.
        """
        candidates = [path for path in self.paths if path not in self.full] or self.paths
        free = {path: self._files.space(path).available for path in candidates}
        roomy = [path for path in candidates if free[path] >= self._file_size]
        if not roomy and not self._short:
            log.warning(
                "no directory has room for a whole commit log file of %d bytes: %s",
                self._file_size,
                ", ".join(f"{path} has {available}" for path, available in free.items()),
            )
        self._short = not roomy
        return self._in_turn(roomy or candidates, base)

    def _in_turn(self, paths: Sequence[str], base: int) -> str:
        return paths[base // self._file_size % len(paths)]
