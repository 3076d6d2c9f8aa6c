"""What can go wrong on one broker's disk.

`OSError` is turned into one of these in `store.files` and nowhere else, so that
every message names the path it is about.
"""

from __future__ import annotations

import errno as _errno


class StoreError(Exception):
    """A store cannot do what was asked.

    Attributes:
        path: The file or directory that it is about, ``""`` when there is none.
        reason: One sentence without the path.
    """

    def __init__(self, reason: str, path: str = "") -> None:
        super().__init__(f"{path}: {reason}" if path else reason)
        self.reason = reason
        self.path = path


class StoreIOError(StoreError):
    """The operating system refused an operation; `errno` says why.

    Attributes:
        operation: What was asked of it: ``write``, ``fdatasync``, ``open``, …
    """

    def __init__(self, error: OSError, operation: str, path: str) -> None:
        super().__init__(f"{operation} failed: {error.strerror or error}", path)
        self.errno = error.errno
        self.operation = operation

    @property
    def disk_full(self) -> bool:
        """True for the two errors that mean "no room" (space or quota)."""
        return self.errno in (_errno.ENOSPC, _errno.EDQUOT)


class StoreMissingError(StoreIOError):
    """The file or directory does not exist."""


class StoreLockedError(StoreError):
    """Another process or another broker of this process owns the path."""


class StoreCorruptError(StoreError):
    """Files contradict the configuration or each other beyond what recovery may repair."""
