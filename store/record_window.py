"""A sliding window over one commit log file, for reading all its records once.

Never a mapping: what recovery reads would stay counted as memory of the process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from store.mapped_files import LogFile

# Freed blocks of some MiB stay with the allocator, once for each thread that ever recovered a store.
_WINDOW_BYTES = 256 << 10


class RecordWindow:
    """Bytes of one file, read ahead."""

    def __init__(self, file: LogFile) -> None:
        self._file = file
        self._window = b""
        self._start = 0

    def at(self, position: int, size: int) -> tuple[bytes, int]:
        """A buffer and the place in it where at least `size` bytes of `position` lie, if they exist."""
        if position < self._start or position + size > self._start + len(self._window):
            wanted = min(max(size, _WINDOW_BYTES), self._file.size - position)
            self._window = self._file.file.pread(wanted, position)
            self._start = position
        return self._window, position - self._start
