"""What a `SimulatedDisk` gives out: open files and locks, dead after a crash."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from store.errors import StoreIOError, StoreMissingError

if TYPE_CHECKING:
    from store.files import ReadableBuffer
    from tests.simulation.disk import SimulatedDisk
    from tests.simulation.pages import PagedFile

__all__ = ["SimulatedFile", "SimulatedLock", "disk_error"]


def disk_error(number: int, operation: str, path: str) -> StoreIOError:
    """As `store.files.OsFileSystem` translates what the operating system says."""
    missing = number in (errno.ENOENT, errno.ENOTDIR)
    kind = StoreMissingError if missing else StoreIOError
    return kind(OSError(number, os.strerror(number)), operation, path)


class SimulatedFile:
    """`StoreFile` of a `SimulatedDisk`."""

    def __init__(self, disk: SimulatedDisk, path: str, inode: PagedFile, *, writable: bool) -> None:
        self.path = path
        self._disk = disk
        self._inode = inode
        self._writable = writable
        self._life = disk.life
        self._open = True

    def __repr__(self) -> str:
        return f"<SimulatedFile {self.path!r} {'open' if self._open else 'closed'}>"

    @property
    def inode(self) -> PagedFile:
        return self._inode

    def _usable(self, operation: str, *, writes: bool = False) -> PagedFile:
        if self._life != self._disk.life:
            raise RuntimeError(f"{operation} on {self.path}, which was opened before the crash")
        if not self._open or (writes and not self._writable):
            raise disk_error(errno.EBADF, operation, self.path)
        return self._inode

    def pwrite(self, data: ReadableBuffer, offset: int) -> None:
        with self._disk.mutex:
            inode = self._usable("write", writes=True)
            self._disk.write(inode, self.path, bytes(data), offset)

    def pread(self, size: int, offset: int) -> bytes:
        with self._disk.mutex:
            inode = self._usable("read")
            self._disk.before("read", self.path, f"{size} at {offset}")
            return self._disk.read(inode, self.path, size, offset)

    def pread_nowait(self, size: int, offset: int) -> bytes | None:
        with self._disk.mutex:
            inode = self._usable("read")
            if self._disk.is_cold() or offset + size > inode.size:
                return None
            return self._disk.read(inode, self.path, size, offset)

    def map_readonly(self, size: int) -> memoryview:
        with self._disk.mutex:
            inode = self._usable("map")
            self._disk.before("map", self.path, f"{size}")
            if size > inode.size:
                raise disk_error(errno.EINVAL, "map", self.path)
            return self._disk.mapped(inode.view(size))

    def fdatasync(self) -> None:
        with self._disk.mutex:
            self._disk.sync(self._usable("fdatasync"), self.path)

    def truncate(self, size: int) -> None:
        with self._disk.mutex:
            inode = self._usable("truncate", writes=True)
            self._disk.before("truncate", self.path, f"{inode.size} to {size}")
            self._disk.resize(inode, size)

    def size(self) -> int:
        with self._disk.mutex:
            inode = self._usable("stat")
            self._disk.before("stat", self.path)
            return inode.size

    def allocated_bytes(self) -> int:
        with self._disk.mutex:
            inode = self._usable("stat")
            self._disk.before("stat", self.path)
            return inode.allocated_bytes

    def close(self) -> None:
        """Close; a second time, or after a crash, does nothing."""
        with self._disk.mutex:
            if self._open and self._life == self._disk.life:
                self._open = False
                self._disk.closed(self)
                self._disk.before("close", self.path)


class SimulatedLock:
    """`FileLock`: free again after a crash."""

    def __init__(self, disk: SimulatedDisk, file: SimulatedFile) -> None:
        self._disk = disk
        self._file = file
        self._life = disk.life

    def release(self) -> None:
        with self._disk.mutex:
            if self._life == self._disk.life:
                self._disk.unlocked(self._file.path)
            self._file.close()
