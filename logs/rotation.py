"""One log file that starts anew when it is full, its predecessors compressed beside it.

Names and order are those of Java's `FixedWindowRollingPolicy`: `broker.log` is being written,
`otherdays/broker.1.log.gz` is the youngest old one, numbers grow with age up to a limit. A full file is only
renamed by whoever writes; compression is a matter of another thread, and what a crash or a full disk kept
from being compressed is compressed with the next one.
"""

from __future__ import annotations

import fcntl
import gzip
import os
import queue
import re
import shutil
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["Compressor", "RotatingFile", "compress_old"]


class RotatingFile:
    """A file open for appending. Not thread-safe: one writer thread owns it.

    Two processes may share the path: each write is one `O_APPEND` write of whole lines, and a writer notices
    when the other one has moved the file away. A path that is a pipe nobody reads is an error, not a wait.

    Args:
        path: the file; its directory is created.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = -1
        self._size = 0
        self._torn = False

    def write(self, lines: bytes, max_size_bytes: int) -> bool:
        """Append whole lines.

        Args:
            lines: encoded, with their ends.
            max_size_bytes: the file is moved to `otherdays` before it would grow beyond this.

        Returns:
            Whether a file was moved away, which is to be compressed (:func:`compress_old`).

        Raises:
            OSError: nothing of the lines is in the file. Where their beginning is, as somebody else wrote
                behind it or it is a pipe, the next write starts on a line of its own.
        """
        moved = False
        self._open()
        if self._size and self._size + len(lines) > max_size_bytes:
            self._move_away()
            moved = True
            self._open()
        if self._torn:
            lines = b"\n" + lines
        size, torn = self._size, self._torn
        view = memoryview(lines)
        try:
            while view:
                written = os.write(self._descriptor, view)
                self._size += written
                self._torn = written < len(view)
                view = view[written:]
        except OSError:
            if self._size > size and self._take_back(size):
                self._torn = torn
            raise
        return moved

    def _take_back(self, size: int) -> bool:
        """Cut off the beginning of lines that did not fit: whoever reads the file finds whole lines."""
        try:
            if os.fstat(self._descriptor).st_size == self._size:
                os.ftruncate(self._descriptor, size)
                self._size = size
                return True
        except OSError:  # a pipe; why the lines did not fit is what the caller shall hear
            return False
        return False

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
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        self._descriptor = os.open(self.path, flags, 0o644)
        self._size = os.fstat(self._descriptor).st_size

    def _move_away(self) -> None:
        self.close()
        directory = self.path.parent / "otherdays"
        directory.mkdir(exist_ok=True)
        number = 0
        while (moved := directory / f"{self.path.name}.{os.getpid()}.{number}").exists():
            number += 1
        self.path.rename(moved)


def compress_old(log: Path, keep: int) -> None:
    """Turn what was moved away from `log` into `otherdays/<stem>.1.log.gz`; older ones count up to `keep`.

    Blocks for as long as that takes, and while another process does the same in that directory. Interrupted,
    or when the disk is full, it leaves uncompressed files for the next call, at most `keep` of them.

    Raises:
        OSError: the directory cannot be read or written.
    """
    directory = log.parent / "otherdays"
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        waiting = _moved_away(directory, log)
        while waiting:
            try:
                _compress(waiting[0], log, keep)
            except OSError:
                for oldest in waiting[: max(0, len(waiting) - keep)]:
                    oldest.unlink()
                raise
            del waiting[0]
        _forget_oldest(directory, log, keep)
    finally:
        os.close(descriptor)


def _moved_away(directory: Path, log: Path) -> list[Path]:
    """Files that wait for their compression, the oldest first; what a crash left half done is removed."""
    pattern = re.compile(re.escape(log.name) + r"\.\d+\.\d+(\.tmp)?")
    found: list[tuple[int, str, Path]] = []
    for path in directory.iterdir():
        match = pattern.fullmatch(path.name)
        if match is None:
            continue
        if match[1]:
            path.unlink()
        else:
            found.append((path.stat().st_mtime_ns, path.name, path))
    return [path for _, _, path in sorted(found)]


def _compress(moved: Path, log: Path, keep: int) -> None:
    if keep > 0:
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


def _forget_oldest(directory: Path, log: Path, keep: int) -> None:
    """Removes what is beyond a limit that was higher once."""
    pattern = re.compile(re.escape(log.stem) + r"\.(\d+)" + re.escape(log.suffix) + r"\.gz")
    for path in list(directory.iterdir()):
        match = pattern.fullmatch(path.name)
        if match is not None and int(match[1]) > keep:
            path.unlink()


class Compressor:
    """Compresses full log files in a thread of its own, which starts with the first one."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[tuple[Path, int, Callable[[OSError], None]] | None] = (
            queue.SimpleQueue()
        )
        self._thread: threading.Thread | None = None

    def submit(self, log: Path, keep: int, on_failure: Callable[[OSError], None]) -> None:
        """See :func:`compress_old`; returns at once. Only one thread may call this.

        Args:
            log: the file from which something was moved away.
            keep: how many old ones to keep.
            on_failure: called in the compressor's thread; the files stay for the next time.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="log-compressor", daemon=True)
            self._thread.start()
        self._queue.put((log, keep, on_failure))

    def stop(self, timeout_s: float) -> None:
        """Finish what was submitted; what takes longer stays uncompressed."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            log, keep, on_failure = item
            try:
                compress_old(log, keep)
            except OSError as error:
                on_failure(error)
