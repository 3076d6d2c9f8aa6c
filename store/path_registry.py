"""Who owns which store path: in this process by a table, against others by a file lock.

A POSIX record lock never conflicts inside one process and vanishes when *any*
descriptor of its file closes. So the paths of every broker of the process are claimed
here first, and the lock file is opened once and kept open. Source: container.md 1.7 and
Java's ``DefaultMessageStore.start`` (byte 0 of ``<root>/lock``, content ``lock``).
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from store.errors import StoreLockedError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from store.files import FileLock, FileSystem


class PathRegistry:
    """Real path → owner, for all brokers of one process."""

    def __init__(self) -> None:
        self._owners: dict[str, str] = {}
        self._mutex = threading.Lock()

    def claim(self, paths: Iterable[str], owner: str) -> None:
        """Claim all of `paths` (already real paths) or none.

        Raises:
            StoreLockedError: naming the first path that is taken and who has it.
        """
        wanted = list(dict.fromkeys(paths))
        with self._mutex:
            for path in wanted:
                if path in self._owners:
                    raise StoreLockedError(f"store path is already used by broker {self._owners[path]}", path)
            for path in wanted:
                self._owners[path] = owner

    def release(self, paths: Iterable[str]) -> None:
        """Give up `paths`; unknown ones are ignored."""
        with self._mutex:
            for path in paths:
                self._owners.pop(path, None)

    def owner(self, path: str) -> str | None:
        """Who claimed the real path `path`."""
        return self._owners.get(path)


PROCESS_PATHS = PathRegistry()
"""The registry that all stores of this process share."""


class PathReservation:
    """The claimed paths of one store and its held lock file."""

    def __init__(self, registry: PathRegistry, paths: list[str], lock: FileLock) -> None:
        self._registry = registry
        self._paths = paths
        self._lock: FileLock | None = lock

    def release(self) -> None:
        """Release the lock and the paths; a second call does nothing."""
        if self._lock is not None:
            lock, self._lock = self._lock, None
            try:
                lock.release()
            finally:
                self._registry.release(self._paths)


def reserve_paths(
    root: str,
    others: Iterable[str],
    owner: str,
    files: FileSystem,
    registry: PathRegistry = PROCESS_PATHS,
) -> PathReservation:
    """Claim `root` and `others` and lock ``<root>/lock``.

    Raises:
        StoreLockedError: a path belongs to another broker or process.
        StoreIOError: the root cannot be created or written.
    """
    paths = [files.real_path(path) for path in (root, *others)]
    registry.claim(paths, owner)
    try:
        files.makedirs(paths[0])
        lock = files.lock(os.path.join(paths[0], "lock"))
    except BaseException:
        registry.release(paths)
        raise
    return PathReservation(registry, paths, lock)
