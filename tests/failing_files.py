"""A disk of which any single operation can be made to fail, and a look at what a process holds."""

from __future__ import annotations

import errno
import gc
import os
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import attrs
import trio

from store import OsFileSystem, StoreIOError
from store.path_registry import PROCESS_PATHS
from store.worker_threads import busy_service_threads

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from store import FileSystem
    from store.files import FileLock

_CANNOT_FAIL = frozenset({"exists", "is_directory", "real_path", "memory_bytes", "pread_nowait"})
"""Operations that have an answer whatever the disk says."""


class _UnsyncedFiles(OsFileSystem):
    """Nothing in these tests has to survive a loss of power, and syncs take most of their time."""

    def sync_directory(self, path: str) -> None:
        """Does nothing."""


class FailingFiles:
    """A `FileSystem` that counts operations and fails those that it is told to. It syncs nothing.

    Args:
        fails: asked for each operation, by its number from 1 on, its name and its path; true makes it fail
            with EIO, without having happened (a `close` happens all the same, as in Linux).
    """

    def __init__(self, fails: Callable[[int, str, str], bool] = lambda _number, _name, _path: False) -> None:
        self.fails = fails
        self.operations: list[tuple[str, str]] = []
        self.failed: list[tuple[str, str]] = []
        self._files = _UnsyncedFiles()
        self._mutex = threading.Lock()

    def before(self, name: str, path: str) -> None:
        """Count one operation.

        Raises:
            StoreIOError: it is to fail.
        """
        with self._mutex:
            self.operations.append((name, path))
            number = len(self.operations)
        if not self.fails(number, name, path):
            return
        self.failed.append((name, path))
        raise StoreIOError(OSError(errno.EIO, os.strerror(errno.EIO)), name, path)

    def open(self, path: str, *, create: bool = False, writable: bool = True) -> Any:
        self.before("open", path)
        return _FailingFile(self, self._files.open(path, create=create, writable=writable))

    def lock(self, path: str) -> FileLock:
        self.before("lock", path)
        return self._files.lock(path)

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self._files, name)
        if name in _CANNOT_FAIL:
            return operation

        def counted(path: str, *rest: Any) -> Any:
            self.before(name, path)
            return operation(path, *rest)

        return counted


class _FailingFile:
    def __init__(self, disk: FailingFiles, inner: Any) -> None:
        self._disk = disk
        self._inner = inner
        self.path = inner.path

    def fdatasync(self) -> None:
        self._disk.before("fdatasync", self.path)

    def close(self) -> None:
        self._inner.close()
        self._disk.before("close", self.path)

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self._inner, name)
        if name in _CANNOT_FAIL:
            return operation

        def counted(*arguments: Any) -> Any:
            self._disk.before(name, self.path)
            return operation(*arguments)

        return counted


def nth(number: int) -> Callable[[int, str, str], bool]:
    """Only that operation fails."""
    return lambda count, _name, _path: count == number


def from_nth(number: int) -> Callable[[int, str, str], bool]:
    """That operation and all that follow: the disk is gone."""
    return lambda count, _name, _path: count >= number


def failing_once(
    operation: str, part: str, number: int = errno.EIO, *, skip: int = 0
) -> Callable[[str, str], int | None]:
    """For `SimulatedDisk.fail`: as Linux says of one sync that it failed, and of the next that all is well.

    Args:
        operation: which one fails, on a path that contains `part`.
        number: errno of the failure.
        skip: so many others of them succeed before.
    """
    found = 0

    def fails(name: str, path: str) -> int | None:
        nonlocal found
        if name != operation or part not in path:
            return None
        found += 1
        return number if found == skip + 1 else None

    return fails


@attrs.frozen
class Holdings:
    """What this process holds at a moment; equal before and after when nothing leaked."""

    descriptors: Counter[str]
    """Open files, sockets and mappings, by what they lead to."""
    tasks: Counter[str]
    owned_paths: frozenset[str]
    busy_threads: int
    mapped: frozenset[str]
    alone: bool

    @classmethod
    def now(cls, root: Path, *, alone: bool = True) -> Holdings:
        """Call it in a trio task.

        Args:
            root: files and mappings count as far as they lie below it, sockets all.
            alone: nobody else is at work, so that worker threads count.
        """
        threads = trio.to_thread.current_default_thread_limiter().borrowed_tokens + busy_service_threads()
        return cls(
            descriptors=Counter(each for each in _descriptors() if each[0] != "/" or str(root) in each),
            tasks=Counter(_task_names(trio.lowlevel.current_root_task())),
            owned_paths=frozenset(PROCESS_PATHS._owners),
            busy_threads=threads if alone else 0,
            mapped=frozenset(line for line in _mappings() if str(root) in line),
            alone=alone,
        )

    def check_now(self, root: Path) -> None:
        """
        Raises:
            AssertionError: something is held that was not, or the reverse.
        """
        if Holdings.now(root, alone=self.alone) != self:
            gc.collect()  # exceptions and tasks hold each other in circles
        now = Holdings.now(root, alone=self.alone)
        assert now == self, f"{now} instead of {self}"


def _descriptors() -> list[str]:
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            found.append(_kind(os.readlink(f"/proc/self/fd/{number}")))
        except FileNotFoundError:
            continue  # the descriptor of this very listing
    return found


def _kind(target: str) -> str:
    return target.split(":")[0] if target.startswith(("socket:", "pipe:", "anon_inode:")) else target


def _mappings() -> list[str]:
    with open("/proc/self/maps") as maps:
        return [line.split(maxsplit=5)[-1].strip() for line in maps]


def _task_names(task: trio.lowlevel.Task | None) -> list[str]:
    if task is None:
        return []
    names = [task.name]
    for nursery in task.child_nurseries:
        for child in nursery.child_tasks:
            names += _task_names(child)
    return names


def as_files(disk: FailingFiles) -> FileSystem:
    """The disk as what a broker takes."""
    files: Any = disk
    return files  # type: ignore[no-any-return]
