"""The one door between the store and the operating system.

Everything the store does to a disk goes through `FileSystem` and `StoreFile`, so a
simulated disk can take their place. `OSError` is translated to `StoreIOError` here.
Where a platform lacks a call (macOS: ``fdatasync``, ``preadv`` with ``RWF_NOWAIT``)
the fallback is chosen here too.

Appends are positional writes and never stores into a writable mapping: a full disk
then raises ``ENOSPC`` in one broker instead of ``SIGBUS`` in the process.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
from typing import TYPE_CHECKING, Protocol

import attrs

from store.errors import StoreIOError, StoreLockedError, StoreMissingError

if TYPE_CHECKING:
    from collections.abc import Callable

    ReadableBuffer = bytes | bytearray | memoryview

_STAT_BLOCK_BYTES = 512
_MEMORY_FILE_SYSTEMS = ("tmpfs", "ramfs", "devtmpfs")
_RWF_NOWAIT: int = getattr(os, "RWF_NOWAIT", 0)


def _full_sync(fd: int) -> None:
    """What macOS has: its ``fsync`` alone leaves the bytes in the device's cache."""
    command = getattr(fcntl, "F_FULLFSYNC", None)
    if command is not None:
        try:
            fcntl.fcntl(fd, command)
        except OSError:
            os.fsync(fd)  # a file system that does not know the command
    else:
        os.fsync(fd)


_fdatasync: Callable[[int], None] = getattr(os, "fdatasync", _full_sync)


@attrs.frozen
class DiskSpace:
    """Bytes of the partition that holds a path.

    Attributes:
        total: Size of the partition.
        free: Unused bytes, including those reserved for the superuser.
        available: Unused bytes that this process may take.
    """

    total: int
    free: int
    available: int

    @property
    def usable(self) -> int:
        """Size of the partition without what only the superuser may take."""
        return self.total - self.free + self.available

    @property
    def used_ratio(self) -> float:
        """Used share in whole percent steps, rounded up, 0.0 to 1.0 (Java: `UtilAll`)."""
        used = self.total - self.free
        entire = self.usable
        return -(-100 * used // entire) / 100.0 if entire > 0 else 0.0


class StoreFile(Protocol):
    """One open file. Every method raises `StoreIOError`."""

    path: str

    def pwrite(self, data: ReadableBuffer, offset: int) -> None:
        """Write all of `data` at `offset`; on an error a part may have been written."""
        ...

    def pread(self, size: int, offset: int) -> bytes:
        """Up to `size` bytes at `offset`, fewer only at the end of the file. May block."""
        ...

    def pread_nowait(self, size: int, offset: int) -> bytes | None:
        """Like `pread`, but None when the bytes are not in the page cache."""
        ...

    def map_readonly(self, size: int) -> memoryview:
        """Map the first `size` bytes, which must be there; the mapping lives as long as any slice of it."""
        ...

    def fdatasync(self) -> None:
        """Block until the file's data is on the device."""
        ...

    def truncate(self, size: int) -> None:
        """Set the size; growing leaves a hole that reads as zeros."""
        ...

    def size(self) -> int: ...

    def allocated_bytes(self) -> int:
        """What the file takes on the device: holes take nothing."""
        ...

    def close(self) -> None: ...


class FileLock(Protocol):
    """A held lock; `release` gives it up and closes the only descriptor of the file."""

    def release(self) -> None: ...


class FileSystem(Protocol):
    """Names, directories and space. Every method raises `StoreIOError`."""

    def open(self, path: str, *, create: bool = False, writable: bool = True) -> StoreFile: ...

    def listdir(self, path: str) -> list[str]:
        """Sorted names; an absent directory is an empty one."""
        ...

    def is_directory(self, path: str) -> bool: ...

    def exists(self, path: str) -> bool: ...

    def file_size(self, path: str) -> int: ...

    def modified_ms(self, path: str) -> int: ...

    def makedirs(self, path: str) -> None: ...

    def remove(self, path: str) -> None:
        """Unlink a file; its mappings stay readable."""
        ...

    def remove_directory(self, path: str) -> None:
        """Remove a directory that is empty; one that is not, or is absent, is left alone."""
        ...

    def replace(self, source: str, target: str) -> None:
        """Atomically rename over `target` and make the rename durable."""
        ...

    def sync_directory(self, path: str) -> None: ...

    def space(self, path: str) -> DiskSpace: ...

    def device(self, path: str) -> int:
        """Which partition holds `path`: ``st_dev``."""
        ...

    def maps_holes(self, path: str) -> bool:
        """False where reading a hole through a mapping takes space: on a full one that is a SIGBUS."""
        ...

    def real_path(self, path: str) -> str: ...

    def memory_bytes(self) -> int:
        """Physical memory of the machine."""
        ...

    def lock(self, path: str) -> FileLock:
        """Lock byte 0 of `path` as Java's store does.

        The lock counts, not the word ``lock`` in the file: on a full disk the file may stay empty, so that
        a broker starts, serves what it has and deletes what is old.

        Raises:
            StoreLockedError: another process holds it.
        """
        ...


def remove_for_good(path: str, files: FileSystem) -> None:
    """Remove a file and make that durable: a name that was not synced comes back after a loss of power.

    Raises:
        StoreIOError: it is still there, or it is gone and may come back.
    """
    files.remove(path)
    files.sync_directory(os.path.dirname(path))


def _translated(error: OSError, operation: str, path: str) -> StoreIOError:
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return StoreMissingError(error, operation, path)
    return StoreIOError(error, operation, path)


def _file_system_type(device: int) -> str:
    """What ``/proc/self/mountinfo`` calls the file system of `device`; ``""`` where there is none."""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as mounts:
            for line in mounts:
                mount, _, kind = line.partition(" - ")
                if mount.split(" ", 3)[2] == wanted:
                    return kind.split(" ", 1)[0]
    except FileNotFoundError:
        return ""
    return ""


class OsFile:
    """`StoreFile` over a descriptor."""

    __slots__ = ("_fd", "_nowait", "path")

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self._fd = fd
        self._nowait = bool(_RWF_NOWAIT)

    def __repr__(self) -> str:
        return f"<OsFile {self.path!r} fd={self._fd}>"

    def _descriptor(self) -> int:
        """The descriptor, for calls of Python that take -1 for something else than a closed file."""
        if self._fd < 0:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return self._fd

    def pwrite(self, data: ReadableBuffer, offset: int) -> None:
        try:
            written = os.pwrite(self._fd, data, offset)
            if written != len(data):
                view = memoryview(data)
                while written < view.nbytes:
                    written += os.pwrite(self._fd, view[written:], offset + written)
        except OSError as error:
            raise _translated(error, "write", self.path) from error

    def pread(self, size: int, offset: int) -> bytes:
        try:
            data = os.pread(self._fd, size, offset)
            while 0 < len(data) < size:
                more = os.pread(self._fd, size - len(data), offset + len(data))
                if not more:
                    break
                data += more
        except OSError as error:
            raise _translated(error, "read", self.path) from error
        return data

    def pread_nowait(self, size: int, offset: int) -> bytes | None:
        if not self._nowait:
            return None
        buffer = bytearray(size)
        try:
            count = os.preadv(self._fd, [buffer], offset, _RWF_NOWAIT)
        except BlockingIOError:
            return None
        except OSError:
            # The file system does not know the flag: ask a worker thread from now on.
            self._nowait = False
            return None
        return bytes(buffer) if count == size else None

    def map_readonly(self, size: int) -> memoryview:
        try:
            # A mapping of -1 would be one of zeros.
            mapping = mmap.mmap(self._descriptor(), size, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ)
        except OSError as error:
            raise _translated(error, "map", self.path) from error
        except ValueError as error:
            shorter = OSError(errno.EINVAL, f"the file is shorter than {size} bytes")
            raise _translated(shorter, "map", self.path) from error
        return memoryview(mapping)

    def fdatasync(self) -> None:
        try:
            _fdatasync(self._descriptor())
        except OSError as error:
            raise _translated(error, "fdatasync", self.path) from error

    def truncate(self, size: int) -> None:
        try:
            os.ftruncate(self._fd, size)
        except OSError as error:
            raise _translated(error, "truncate", self.path) from error

    def size(self) -> int:
        try:
            return os.fstat(self._fd).st_size
        except OSError as error:
            raise _translated(error, "stat", self.path) from error

    def allocated_bytes(self) -> int:
        try:
            return os.fstat(self._fd).st_blocks * _STAT_BLOCK_BYTES
        except OSError as error:
            raise _translated(error, "stat", self.path) from error

    def close(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            try:
                os.close(fd)
            except OSError as error:
                raise _translated(error, "close", self.path) from error


class OsFileLock:
    """`FileLock` by ``lockf``; the descriptor stays open, since closing any one drops the lock."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def release(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)


class OsFileSystem:
    """`FileSystem` over `os`."""

    def open(self, path: str, *, create: bool = False, writable: bool = True) -> StoreFile:
        flags = (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC
        try:
            fd = os.open(path, flags | (os.O_CREAT if create else 0), 0o644)
        except OSError as error:
            raise _translated(error, "open", path) from error
        return OsFile(path, fd)

    def listdir(self, path: str) -> list[str]:
        try:
            return sorted(os.listdir(path))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _translated(error, "list", path) from error

    def is_directory(self, path: str) -> bool:
        return os.path.isdir(path)

    def exists(self, path: str) -> bool:
        return os.path.exists(path)

    def file_size(self, path: str) -> int:
        try:
            return os.stat(path).st_size
        except OSError as error:
            raise _translated(error, "stat", path) from error

    def modified_ms(self, path: str) -> int:
        try:
            return os.stat(path).st_mtime_ns // 1_000_000
        except OSError as error:
            raise _translated(error, "stat", path) from error

    def makedirs(self, path: str) -> None:
        try:
            os.makedirs(path, exist_ok=True)
        except OSError as error:
            raise _translated(error, "create directory", path) from error

    def remove(self, path: str) -> None:
        try:
            os.unlink(path)
        except OSError as error:
            raise _translated(error, "remove", path) from error

    def remove_directory(self, path: str) -> None:
        try:
            os.rmdir(path)
        except OSError as error:
            if os.path.isdir(path) and not os.listdir(path):
                raise _translated(error, "remove directory", path) from error

    def replace(self, source: str, target: str) -> None:
        try:
            os.replace(source, target)
        except OSError as error:
            raise _translated(error, "rename", target) from error
        self.sync_directory(os.path.dirname(target))

    def sync_directory(self, path: str) -> None:
        try:
            fd = os.open(path or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        except OSError as error:
            raise _translated(error, "sync directory", path) from error

    def space(self, path: str) -> DiskSpace:
        try:
            status = os.statvfs(path)
        except OSError as error:
            raise _translated(error, "measure space", path) from error
        unit = status.f_frsize
        return DiskSpace(status.f_blocks * unit, status.f_bfree * unit, status.f_bavail * unit)

    def device(self, path: str) -> int:
        try:
            return os.stat(path).st_dev
        except OSError as error:
            raise _translated(error, "stat", path) from error

    def maps_holes(self, path: str) -> bool:
        return _file_system_type(self.device(path)) not in _MEMORY_FILE_SYSTEMS

    def real_path(self, path: str) -> str:
        return os.path.realpath(os.path.expanduser(path))

    def memory_bytes(self) -> int:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")

    def lock(self, path: str) -> FileLock:
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise _translated(error, "open", path) from error
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 0)
            try:
                os.pwrite(fd, b"lock", 0)
            except OSError as error:
                if not _translated(error, "write", path).disk_full:
                    raise
        except BlockingIOError as error:
            os.close(fd)
            raise StoreLockedError("another process has locked this store", path) from error
        except OSError as error:
            os.close(fd)
            raise _translated(error, "lock", path) from error
        return OsFileLock(fd)
