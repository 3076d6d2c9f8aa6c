"""Who works in the background now: the services of all brokers of a loop take turns.

Timers of many brokers fire together, and each then has a worker thread write, encode or save something. Such
a thread computes, and one interpreter lets one thread compute at a time: with fifty of them the event loop
gets its turn after fifty others, at each of its system calls. So few begin at a time, in the order in which
they came, and the loop has few to share the interpreter with, as few threads to start, and few that end in
one of its passes.

A disk that hangs must not keep the neighbours of its broker waiting. So a turn that has lasted for
`COUNTED_S` counts no longer: it most likely waits for its disk, and needs no interpreter.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import attrs
import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["BackgroundTurns", "BackgroundTurnsStatistics", "background_turns"]

AT_ONCE = 1
"""One thread beside the loop keeps the interpreter from it for a switch interval at most, each time."""
COUNTED_S = 0.01
"""Longer than most of what computes. Fifty brokers with slow disks still come round in half a second."""


@attrs.frozen
class BackgroundTurnsStatistics:
    """The turns of one loop at a moment.

    Attributes:
        counted: under way for less than `COUNTED_S`.
        waiting: for one of them to end.
        outlasted: turns since the start that others began beside, because they lasted so long.
    """

    counted: int
    waiting: int
    outlasted: int


class BackgroundTurns:
    """Lets few in at a time, in the order in which they come.

    Args:
        at_once: how many.
        counted_s: seconds after which a turn counts no longer.
    """

    def __init__(self, at_once: int = AT_ONCE, counted_s: float = COUNTED_S) -> None:
        self._at_once = at_once
        self._counted_s = counted_s
        self._began: dict[object, float] = {}  # the oldest first
        self._next = trio.Lock()
        self._change = trio.Event()
        self._waiting = 0
        self._outlasted = 0

    def __repr__(self) -> str:
        return f"<BackgroundTurns {self.statistics()}>"

    def statistics(self) -> BackgroundTurnsStatistics:
        """The turns at this moment."""
        return BackgroundTurnsStatistics(len(self._began), self._waiting, self._outlasted)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """The block runs when it is its turn. Cancellation ends the waiting for it."""
        me = object()
        self._waiting += 1
        try:
            async with self._next:
                while len(self._began) >= self._at_once:
                    await self._one_less()
                self._began[me] = trio.current_time()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._began.pop(me, None)
            self._change.set()

    async def _one_less(self) -> None:
        """Waits until a turn has ended, or the oldest one counts no longer."""
        oldest, began = next(iter(self._began.items()))
        self._change = trio.Event()
        with trio.move_on_at(began + self._counted_s) as limit:
            await self._change.wait()
        if limit.cancelled_caught and self._began.pop(oldest, None) is not None:
            self._outlasted += 1


_current: trio.lowlevel.RunVar[BackgroundTurns] = trio.lowlevel.RunVar("background_turns")


def background_turns() -> BackgroundTurns:
    """Those of this trio run: all its brokers share them.

    Raises:
        RuntimeError: outside of trio.
    """
    try:
        return _current.get()
    except LookupError:
        turns = BackgroundTurns()
        _current.set(turns)
        return turns
