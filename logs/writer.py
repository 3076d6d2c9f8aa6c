"""The thread that writes log lines, so that nobody else ever waits for a disk.

Lines come through a bounded queue: when it is full, or the disk is, lines are dropped and counted, and a line
that tells how many is written as soon as there is room again.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import attrs

from logs.rotation import RotatingFile, compress_into

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["Line", "LogStatistics", "LogWriter", "Target"]

_OPEN_FILES = 128
_BATCH_LINES = 1024


@attrs.frozen
class Target:
    """A file that lines go to."""

    path: Path
    max_size_bytes: int
    keep: int
    """Old files that are kept."""


class Line(NamedTuple):
    """One line (or several: a traceback) for one file, with its end."""

    target: Target
    text: str
    level: int


@attrs.frozen
class LogStatistics:
    """Counts since the start of the writer."""

    waiting_lines: int
    written_lines: int
    dropped_queue_full: int
    dropped_disk: int
    rotations: int


class LogWriter:
    """Owns the queue, the thread and the open files.

    Args:
        queue_lines: most lines waiting.
        line_format: makes a line of the writer's own, for what it says about dropped lines.
        on_line: called in the writer thread with each line's text (a console).
    """

    def __init__(
        self,
        queue_lines: int,
        line_format: Callable[[str], str],
        on_line: Callable[[Line], None] | None = None,
    ) -> None:
        self._queue_lines = queue_lines
        self._line_format = line_format
        self._on_line = on_line
        self._queue: queue.SimpleQueue[Line | threading.Event | None] = queue.SimpleQueue()
        self._files: OrderedDict[Path, RotatingFile] = OrderedDict()
        self._compressor = ThreadPoolExecutor(1, thread_name_prefix="log-compressor")
        self._written = 0
        self._dropped_queue_full = 0
        self._dropped_disk = 0
        self._rotations = 0
        self._told = 0
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, line: Line) -> None:
        """Hand over a line; never blocks."""
        if self._queue.qsize() >= self._queue_lines:
            self._dropped_queue_full += 1
        else:
            self._queue.put(line)

    def flush(self, timeout_s: float) -> bool:
        """Wait until every line handed over before is written or dropped; False if that took too long."""
        done = threading.Event()
        self._queue.put(done)
        return done.wait(timeout_s)

    def stop(self, timeout_s: float) -> None:
        """Write what waits, finish compressing, close the files. Lines that need longer are lost."""
        self._queue.put(None)
        self._thread.join(timeout_s)
        self._compressor.shutdown(wait=True)

    def statistics(self) -> LogStatistics:
        """The counts at this moment."""
        return LogStatistics(
            waiting_lines=self._queue.qsize(),
            written_lines=self._written,
            dropped_queue_full=self._dropped_queue_full,
            dropped_disk=self._dropped_disk,
            rotations=self._rotations,
        )

    def _run(self) -> None:
        running = True
        while running:
            events: list[threading.Event] = []
            batches: dict[Path, list[Line]] = {}
            taken = 0
            item = self._queue.get()
            while True:
                if item is None:
                    running = False
                elif isinstance(item, Line):
                    batches.setdefault(item.target.path, []).append(item)
                else:
                    events.append(item)
                taken += 1
                if taken >= _BATCH_LINES:
                    break
                try:
                    item = self._queue.get_nowait()
                except queue.Empty:
                    break
            for lines in batches.values():
                self._write(lines)
            for event in events:
                event.set()
        for file in self._files.values():
            file.close()

    def _write(self, lines: list[Line]) -> None:
        target = lines[0].target
        if self._on_line is not None:
            with contextlib.suppress(OSError, ValueError):
                for line in lines:
                    self._on_line(line)
        texts = [line.text for line in lines]
        dropped = self._dropped_queue_full + self._dropped_disk
        if dropped > self._told:
            texts.append(self._line_format(f"{dropped - self._told} log lines were dropped"))
        file = self._files.pop(target.path, None) or RotatingFile(target.path, target.max_size_bytes)
        self._files[target.path] = file
        while len(self._files) > _OPEN_FILES:
            self._files.popitem(last=False)[1].close()
        try:
            moved = file.write("".join(texts).encode("utf-8", "backslashreplace"))
        except OSError:
            self._dropped_disk += len(lines)
            return
        self._written += len(lines)
        self._told = max(self._told, dropped)
        if moved is not None:
            self._rotations += 1
            self._compressor.submit(compress_into, moved, target.path, target.keep)
