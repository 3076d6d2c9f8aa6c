"""Lines on standard error, written by a thread of their own: a terminal that stands still holds nobody up.

On a terminal warnings are yellow and errors red; anywhere else the plain lines are written.
"""

from __future__ import annotations

import logging
import queue
import sys
import threading
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Console"]

_WAITING_LINES = 2048


class Console:
    """Standard error as it is when the first line comes; the thread starts then."""

    def __init__(self) -> None:
        self.dropped = 0
        """Lines that were not shown: too many were waiting, or the stream is closed."""
        self._queue: queue.SimpleQueue[tuple[int, str] | threading.Event | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def put(self, level: int, text: str) -> None:
        """Show a line, with its end; never blocks. Safe in any thread."""
        if self._thread is None:
            self._start()
        if self._queue.qsize() >= _WAITING_LINES:
            self.dropped += 1
        else:
            self._queue.put((level, text))

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything up to now is shown; False if that took too long."""
        if self._thread is None:
            return True
        done = threading.Event()
        self._queue.put(done)
        return done.wait(timeout_s)

    def stop(self, timeout_s: float) -> None:
        """Show what waits; lines that need longer are lost."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(timeout_s)

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                name, stream = "log-console", sys.stderr
                thread = threading.Thread(target=self._run, args=(stream,), name=name, daemon=True)
                thread.start()
                self._thread = thread

    def _run(self, stream: TextIO) -> None:
        show: Callable[[int, str], None] | None = None
        while (item := self._queue.get()) is not None:
            if isinstance(item, threading.Event):
                item.set()
                continue
            try:
                if show is None:
                    show = _coloured(stream) if stream.isatty() else _plain(stream)
                show(*item)
            except (OSError, ValueError):  # ValueError: the stream is closed
                self.dropped += 1


def _plain(stream: TextIO) -> Callable[[int, str], None]:
    def show(_level: int, text: str) -> None:
        stream.write(text)
        stream.flush()

    return show


def _coloured(stream: TextIO) -> Callable[[int, str], None]:
    from rich.console import Console as RichConsole
    from rich.text import Text

    console = RichConsole(file=stream, highlight=False, soft_wrap=True)

    def show(level: int, text: str) -> None:
        style = "red" if level >= logging.ERROR else "yellow" if level >= logging.WARNING else ""
        console.print(Text(text.removesuffix("\n"), style))

    return show
