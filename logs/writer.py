"""The thread that writes log lines, so that nobody else ever waits for a disk.

Lines come through one queue whose size is limited in bytes. One *home* (a broker's directory, or the root)
may take no more of it than it leaves free for others, so a broker that logs without end costs its neighbours
nothing. What finds no room, or cannot be written, is dropped and counted, and as soon as lines of that file
can be written again, one of them says how many are missing. A file that begins to refuse lines is reported in
the default file of its directory, else in that of the root, else on standard error.
"""

from __future__ import annotations

import queue
import threading
from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING

import attrs

from logs.rotation import Compressor, RotatingFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["DroppedLines", "Home", "LogStatistics", "LogWriter", "RefusedFile", "Target"]

_OPEN_FILES = 128
_BATCH_LINES = 1024

LINE_OVERHEAD_BYTES = 200
"""What a waiting line takes besides its text."""


@attrs.define(eq=False)
class Home:
    """A directory that lines go to, and what happened to them."""

    name: str
    """Canonical name of the isolated broker; "" is the root."""
    directory: Path
    waiting_bytes: int = 0
    dropped_queue_full: int = 0
    dropped_disk: int = 0


@attrs.define(eq=False)
class Target:
    """A file that lines go to."""

    home: Home
    path: Path
    max_size_bytes: int
    keep: int
    """Old files that are kept."""
    default: Target | None = None
    """Where it is said that this file refuses lines; None for the last resort."""
    missing: int = 0
    """Lines dropped since the file last said so."""
    refused_lines: int = 0
    """Lines that the file did not take since the last one that it took."""
    refusal: str | None = None
    """Why it takes no lines; None while it does."""


@attrs.frozen
class DroppedLines:
    """Lines that are in no file."""

    queue_full: int
    """The writer was too slow."""
    disk: int
    """The file did not take them."""

    @property
    def total(self) -> int:
        return self.queue_full + self.disk


@attrs.frozen
class RefusedFile:
    """A file that takes no lines at the moment."""

    path: Path
    reason: str
    lines: int
    """How many it did not take."""


@attrs.frozen(kw_only=True)
class LogStatistics:
    """Counts since the start of the writer."""

    waiting_lines: int
    written_lines: int
    dropped_queue_full: int
    dropped_disk: int
    dropped_console: int
    """Lines that are in a file, but were not shown on standard error."""
    rotations: int
    failed_compressions: int
    refused_files: tuple[RefusedFile, ...]
    dropped_of: dict[str, DroppedLines]
    """By canonical name of those isolated brokers that lost lines; "" is the root, with all others' lines."""

    @property
    def dropped_lines(self) -> int:
        """Lines that are in no file."""
        return self.dropped_queue_full + self.dropped_disk

    def dropped_by(self, canonical_name: str) -> int:
        """Lines of one isolated broker that are in no file; "" is the root."""
        dropped = self.dropped_of.get(canonical_name)
        return 0 if dropped is None else dropped.total


_Item = tuple[Target, str] | threading.Event | Home | None


class LogWriter:
    """Owns the queue, the thread and the open files.

    Args:
        queue_bytes: most bytes that may wait.
        notice: makes a line of the log's own for a file, about dropped lines.
        last_resort: gets the line about a file that refuses lines when no file takes it; must not block.
    """

    def __init__(
        self, queue_bytes: int, notice: Callable[[Target, str], str], last_resort: Callable[[str], None]
    ) -> None:
        self._queue_bytes = queue_bytes
        self._notice = notice
        self._last_resort = last_resort
        # Reentrant: a finalizer that logs may interrupt the holder, in the same thread.
        self._counting = threading.RLock()
        self._waiting_bytes = 0
        self._queue: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        self._files: OrderedDict[Path, RotatingFile] = OrderedDict()
        self._homes: dict[str, Home] = {}
        self._owing: set[Target] = set()
        self._refused: dict[Path, Target] = {}
        self._compressor = Compressor()
        self._written = 0
        self._dropped_queue_full = 0
        self._dropped_disk = 0
        self._rotations = 0
        self._failed_compressions = 0
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    # In any thread

    def home(self, name: str, directory: Path) -> Home:
        """The home of this name, made at first use."""
        with self._counting:
            return self._homes.setdefault(name, Home(name, directory))

    def put(self, target: Target, text: str) -> None:
        """Hand over a line (or several: a traceback); never blocks."""
        home = target.home
        cost = len(text) + LINE_OVERHEAD_BYTES
        with self._counting:
            if home.waiting_bytes + cost > self._queue_bytes - self._waiting_bytes:
                self._dropped_queue_full += 1
                home.dropped_queue_full += 1
                target.missing += 1
                self._owing.add(target)
                return
            home.waiting_bytes += cost
            self._waiting_bytes += cost
        self._queue.put((target, text))

    def release(self, name: str) -> None:
        """Close the files of a home when what waits for them is written; the next line opens them again."""
        with self._counting:
            home = self._homes.pop(name, None)
            if home is not None:
                self._queue.put(home)

    def flush(self, timeout_s: float) -> bool:
        """Wait until every line handed over before is written or dropped; False if that took too long."""
        done = threading.Event()
        self._queue.put(done)
        return done.wait(timeout_s)

    def stop(self, timeout_s: float) -> None:
        """Write what waits, finish compressing, close the files. Lines that need longer are lost."""
        if self.flush(timeout_s):
            self._compressor.stop(timeout_s)
            self._queue.put(None)
            self._thread.join(timeout_s)

    def statistics(self, dropped_console: int = 0) -> LogStatistics:
        """The counts at this moment."""
        with self._counting:
            return LogStatistics(
                waiting_lines=self._queue.qsize(),
                written_lines=self._written,
                dropped_queue_full=self._dropped_queue_full,
                dropped_disk=self._dropped_disk,
                dropped_console=dropped_console,
                rotations=self._rotations,
                failed_compressions=self._failed_compressions,
                refused_files=tuple(
                    RefusedFile(target.path, target.refusal or "", target.refused_lines)
                    for target in self._refused.values()
                ),
                dropped_of={
                    home.name: DroppedLines(home.dropped_queue_full, home.dropped_disk)
                    for home in self._homes.values()
                    if home.dropped_queue_full or home.dropped_disk
                },
            )

    # In the writer thread

    def _run(self) -> None:
        while self._round():
            pass
        for file in self._files.values():
            file.close()

    def _round(self) -> bool:
        """Writes what waits, up to a limit, with one write for each file; False after :meth:`stop`."""
        running, caught_up = True, False
        flushed: list[threading.Event] = []
        ended: list[Home] = []
        batches: dict[Target, list[str]] = {}
        taken = 0
        item = self._queue.get()
        while True:
            if item is None:
                running = False
            elif isinstance(item, tuple):
                batches.setdefault(item[0], []).append(item[1])
            elif isinstance(item, Home):
                ended.append(item)
            else:
                flushed.append(item)
            taken += 1
            if taken == _BATCH_LINES:
                break
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                caught_up = True
                break
        for target, texts in batches.items():
            self._write(target, texts)
            self._make_room(target.home, sum(map(len, texts)) + LINE_OVERHEAD_BYTES * len(texts))
        if caught_up and self._queue.empty():
            for target in list(self._owing):
                self._write(target, [])
        for home in ended:
            self._close(home)
        for event in flushed:
            event.set()
        return running

    def _make_room(self, home: Home, freed_bytes: int) -> None:
        with self._counting:
            home.waiting_bytes -= freed_bytes
            self._waiting_bytes -= freed_bytes

    def _write(self, target: Target, texts: list[str]) -> None:
        with self._counting:
            self._owing.discard(target)
            missing = target.missing
        lines = texts
        if missing:
            reason = target.refusal or "they came faster than they can be written"
            said = self._notice(target, f"{missing} log lines were dropped: {reason}")
            lines = [*texts, said] if target.refusal is None else [said, *texts]
        data = "".join(lines).encode("utf-8", "backslashreplace")
        try:
            moved = self._file(target.path).write(data, target.max_size_bytes)
        except OSError as error:
            self._lose(target, len(texts), error.strerror or str(error))
            return
        with self._counting:
            self._written += len(texts)
            target.missing -= missing
            target.refusal, target.refused_lines = None, 0
            self._refused.pop(target.path, None)
        self._after_write(target, moved)

    def _lose(self, target: Target, lines: int, reason: str) -> None:
        with self._counting:
            is_new = target.refusal is None
            self._dropped_disk += lines
            target.home.dropped_disk += lines
            target.missing += lines
            target.refused_lines += lines
            target.refusal = reason
            self._refused[target.path] = target
        if is_new:
            self._report(
                target, f"lines for {target.path} are dropped and counted, it cannot be written: {reason}"
            )

    def _report(self, target: Target, text: str) -> None:
        """Says something about a file where it can be said."""
        place = target.default
        while place is not None:
            try:
                moved = self._file(place.path).write(self._notice(place, text).encode(), place.max_size_bytes)
            except OSError:  # no line is lost by it, and a line that is will be counted
                place = place.default
                continue
            self._after_write(place, moved)
            return
        self._last_resort(self._notice(target, text))

    def _file(self, path: Path) -> RotatingFile:
        file = self._files.pop(path, None) or RotatingFile(path)
        self._files[path] = file
        while len(self._files) > _OPEN_FILES:
            self._files.popitem(last=False)[1].close()
        return file

    def _after_write(self, target: Target, moved: bool) -> None:
        if moved:
            with self._counting:
                self._rotations += 1
            self._compressor.submit(target.path, target.keep, partial(self._keep_uncompressed, target))

    def _close(self, home: Home) -> None:
        for path in [path for path in self._files if path.parent == home.directory]:
            self._files.pop(path).close()
        with self._counting:
            for target in [target for target in self._refused.values() if target.home is home]:
                del self._refused[target.path]
            self._owing = {target for target in self._owing if target.home is not home}

    # In the compressor's thread

    def _keep_uncompressed(self, target: Target, error: OSError) -> None:
        with self._counting:
            self._failed_compressions += 1
        reason = error.strerror or str(error)
        self.put(target, self._notice(target, f"{target.path} was rotated, but not compressed: {reason}"))
