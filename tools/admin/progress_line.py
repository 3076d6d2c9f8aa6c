"""The last line of a terminal while a long command works: what it does, how far it is, since when.

It is drawn on standard error, so results can be piped, and only after a moment, so quick commands show none.
Whoever writes to the same terminal calls `make_room` before; the next drawing puts the line below.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TextIO

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console
    from rich.progress import Progress, TaskID

__all__ = ["ProgressLine"]

_REDRAW_S = 0.1
_PATIENCE_S = 0.4
_START_OF_EMPTY_LINE = "\r\x1b[2K"


class ProgressLine:
    """Remembers what is going on and draws it ten times a second while `keep_drawing` runs.

    Args:
        stream: A terminal.
        clock: Seconds, monotonic.
    """

    def __init__(self, stream: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._console: Console | None = None
        self._display: Progress | None = None
        self._task: TaskID | None = None
        self._since = 0.0
        self._drawn = False

    def begin(self, what: str) -> None:
        """Something long begins: `what`, in one or two words. Until `at` is called the bar only moves."""
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._console = Console(file=self._stream)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[steps]}"),
            TimeElapsedColumn(),
        )
        self._display = Progress(*columns, console=self._console, auto_refresh=False)
        self._task = self._display.add_task(what, total=None, steps="")
        self._since = self._clock()

    def at(self, done: float, total: float | None) -> None:
        """So many of so many steps are done; with None for all of them the bar only moves."""
        if self._display is not None and self._task is not None:
            steps = "" if total is None else f"{int(done)}/{int(total)}"
            self._display.update(self._task, completed=done, total=total, steps=steps)

    def end(self) -> None:
        """It is over: nothing remains on the terminal."""
        self.make_room()
        self._display = None

    def make_room(self) -> None:
        """Takes the line away until it is drawn again."""
        if self._drawn:
            self._stream.write(_START_OF_EMPTY_LINE)
            self._stream.flush()
            self._drawn = False

    def draw(self) -> None:
        """Shows the line as it is now, unless what goes on has only begun."""
        if self._display is None or self._console is None or self._clock() - self._since < _PATIENCE_S:
            return
        with self._console.capture() as drawn:
            self._console.print(self._display.get_renderable(), end="", overflow="ellipsis", no_wrap=True)
        self._stream.write(_START_OF_EMPTY_LINE + drawn.get().rstrip("\n"))
        self._stream.flush()
        self._drawn = True

    async def keep_drawing(self) -> None:
        """Draws until cancelled."""
        while True:
            self.draw()
            await trio.sleep(_REDRAW_S)
