"""One log file that starts anew when it is full, its predecessors compressed beside it.

Names and order are those of Java's `FixedWindowRollingPolicy`: `broker.log` is being written,
`otherdays/broker.1.log.gz` is the youngest old one, numbers grow with age up to a limit.
"""

from __future__ import annotations

import gzip
import os
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["RotatingFile", "compress_into"]


class RotatingFile:
    """A file open for appending. Not thread-safe: one writer thread owns it.

    Two processes may share the path: each write is one `O_APPEND` write of whole lines, and a writer notices
    when the other one has moved the file away.

    Args:
        path: the file; its directory is created.
        max_size_bytes: the file is moved away before it would grow beyond this.
    """

    def __init__(self, path: Path, max_size_bytes: int) -> None:
        self.path = path
        self.max_size_bytes = max_size_bytes
        self._descriptor = -1
        self._size = 0
        self._torn = False

    def write(self, lines: bytes) -> Path | None:
        """Append whole lines.

        Returns:
            The path of the full file if one was moved away, to be handed to :func:`compress_into`.

        Raises:
            OSError: nothing, or only the beginning of the lines, could be written. The next write starts on a
                line of its own.
        """
        moved = None
        self._open()
        if self._size and self._size + len(lines) > self.max_size_bytes:
            moved = self._move_away()
            self._open()
        if self._torn:
            lines = b"\n" + lines
        view = memoryview(lines)
        while view:
            written = os.write(self._descriptor, view)
            self._size += written
            self._torn = written < len(view)
            view = view[written:]
        return moved

    def close(self) -> None:
        """Close the descriptor; the next write opens it again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> None:
        if self._descriptor >= 0:
            ours = os.fstat(self._descriptor)
            try:
                there = self.path.stat()
            except FileNotFoundError:
                there = None
            if there is not None and (ours.st_ino, ours.st_dev) == (there.st_ino, there.st_dev):
                self._size = ours.st_size
                return
            self.close()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._size = os.fstat(self._descriptor).st_size

    def _move_away(self) -> Path:
        self.close()
        directory = self.path.parent / "otherdays"
        directory.mkdir(exist_ok=True)
        number = 0
        while (moved := directory / f"{self.path.name}.{os.getpid()}.{number}").exists():
            number += 1
        self.path.rename(moved)
        return moved


def compress_into(moved: Path, log: Path, keep: int) -> None:
    """Turn a file moved away from `log` into `otherdays/<stem>.1.log.gz`; older ones count up to `keep`.

    Blocks for as long as the compression takes. An interrupted run leaves the uncompressed file.

    Raises:
        OSError: the directory cannot be written.
    """
    directory = moved.parent
    compressed = moved.with_name(moved.name + ".tmp")
    try:
        with moved.open("rb") as source, gzip.open(compressed, "wb", compresslevel=6) as target:
            shutil.copyfileobj(source, target, 1 << 20)
        for number in range(keep - 1, 0, -1):
            younger = directory / f"{log.stem}.{number}{log.suffix}.gz"
            if younger.exists():
                younger.replace(directory / f"{log.stem}.{number + 1}{log.suffix}.gz")
        compressed.replace(directory / f"{log.stem}.1{log.suffix}.gz")
    except OSError:
        compressed.unlink(missing_ok=True)
        raise
    moved.unlink()
