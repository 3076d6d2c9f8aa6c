"""How long the event loop stands still: between two looks at its sockets and timers nobody is served.

A *pass* lasts from the end of one wait for I/O to the beginning of the next one. A timer that fires late,
because another thread held the interpreter or the machine was busy, counts as a pass of that length too. Both
are measured by an instrument of the trio run. It costs nothing while the loop waits and about a microsecond
for each pass; a task that sleeps and looks how late it wakes up would cost an idle process a wake-up for each
look, and see only the stalls that it happens to sleep in. Passes below `STALL_S` are forgotten at once.

What is told as *lateness* is the wait that somebody meets who comes at a random moment: within a pass of
length L it is anything up to L, so one long pass weighs more than a thousand short ones, as it should.
"""

from __future__ import annotations

import logging
import math
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import attrs
import trio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["STALL_S", "LoopStalls", "LoopStallsStatistics", "loop_stalls", "watched_loop"]

_log = logging.getLogger("rocketmq.remoting")

STALL_S = 0.001
"""Shorter passes are no stalls."""
_LATE_S = STALL_S + 0.001
"""Of a timer; epoll rounds its timeouts up to milliseconds."""
_WAITS = math.inf
"""The beginning of a pass while there is none."""
_STEPS = 8
"""Classes of length for each doubling."""
_RECENT_S = 60.0
_LEAST_PAUSE_S = 1.0


@attrs.frozen(kw_only=True)
class LoopStallsStatistics:
    """The stalls of one loop, in seconds.

    Attributes:
        watched_s: for how long it has been watched.
        passes: passes of at least `STALL_S`.
        longest_s: the longest pass; 0 while there was none of `STALL_S`.
        recent_longest_s: the same over the last one to two minutes.
        lateness_p999_s: what somebody who comes at a random moment waits for at most, in 999 of 1000 cases; 0
            when that is less than `STALL_S`.
    """

    watched_s: float
    passes: int
    longest_s: float
    recent_longest_s: float
    lateness_p999_s: float


class LoopStalls(trio.abc.Instrument):
    """Measures the passes of the loop that it is added to.

    Args:
        warn_millis: asked at each stall; one of at least so many milliseconds is logged, but not more than
            one a second. 0 is never.
        now: a clock in seconds that no pass stops.
    """

    __slots__ = (
        "_lengths", "_longest", "_minute", "_minute_before_longest", "_minute_longest", "_now", "_since",
        "_slept", "_timeout", "_warn_millis", "_warned", "_woke", "users",
    )  # fmt: skip

    def __init__(
        self, warn_millis: Callable[[], int] = lambda: 0, *, now: Callable[[], float] = time.perf_counter
    ) -> None:
        self._warn_millis = warn_millis
        self._now = now
        self.users = 0  # blocks of `watched_loop`
        self.start_over()

    def __repr__(self) -> str:
        return f"<LoopStalls {self.statistics()}>"

    def start_over(self) -> None:
        """Forgets everything, as well as the pass that is under way: what stalled a start is no news."""
        self._since = self._slept = self._minute = self._now()
        self._woke, self._timeout = _WAITS, math.inf
        self._lengths: dict[int, tuple[int, float]] = {}
        self._longest = self._minute_longest = self._minute_before_longest = 0.0
        self._warned = -math.inf

    # Called by trio and by `direct_events`.

    def before_io_wait(self, timeout: float) -> None:
        """A pass is over."""
        self._slept = slept = self._now()
        length = slept - self._woke
        self._woke, self._timeout = _WAITS, timeout
        if length >= STALL_S:
            self._stalled(length)

    def after_io_wait(self, timeout: float) -> None:
        """A pass begins; or goes on with tasks after `direct_events` has served sockets.

        trio tells the timeout that it began with, which is not the one of the last wait of `direct_events`.
        """
        if self._woke != _WAITS:
            return
        self._woke = woke = self._now()
        late = woke - self._slept - self._timeout
        if late >= _LATE_S:
            self._stalled(late)

    def _stalled(self, length: float) -> None:
        step = math.floor(math.log2(length) * _STEPS)
        count, total = self._lengths.get(step, (0, 0.0))
        self._lengths[step] = count + 1, total + length
        self._turn_minute()
        self._longest = max(self._longest, length)
        self._minute_longest = max(self._minute_longest, length)
        limit = self._warn_millis()
        if limit and length * 1000 >= limit and self._slept - self._warned >= _LEAST_PAUSE_S:
            self._warned = self._slept
            _log.warning("the event loop stood still for %.0f ms: nobody was served meanwhile", length * 1000)

    def _turn_minute(self) -> None:
        over = self._now() - self._minute
        if over >= _RECENT_S:
            self._minute_before_longest = self._minute_longest if over < 2 * _RECENT_S else 0.0
            self._minute_longest = 0.0
            self._minute += over - over % _RECENT_S

    # Reading.

    def statistics(self) -> LoopStallsStatistics:
        """The figures of now."""
        self._turn_minute()
        watched = self._now() - self._since
        return LoopStallsStatistics(
            watched_s=watched,
            passes=sum(count for count, _ in self._lengths.values()),
            longest_s=self._longest,
            recent_longest_s=max(self._minute_longest, self._minute_before_longest),
            lateness_p999_s=self.lateness_s(watched * 0.001),
        )

    def lateness_s(self, allowed: float) -> float:
        """The wait in seconds beyond which `allowed` seconds of all moments lie; 0 below `STALL_S`.

        Of a pass of length L the first L - x seconds are moments at which a wait longer than x begins.
        """
        count, total = 0, 0.0
        for step in sorted(self._lengths, reverse=True):
            more, length = self._lengths[step]
            shorter = length / more
            if total - count * shorter > allowed:  # the answer lies above this class
                break
            count, total = count + more, total + length
        return (total - allowed) / count if count and total - count * STALL_S > allowed else 0.0


_current: trio.lowlevel.RunVar[LoopStalls | None] = trio.lowlevel.RunVar("loop_stalls", default=None)


@contextmanager
def watched_loop(warn_millis: Callable[[], int] = lambda: 0) -> Iterator[LoopStalls]:
    """Watches the loop of this run for the length of the block; several blocks share one watch.

    Args:
        warn_millis: as of :class:`LoopStalls`; that of the first block counts.
    """
    stalls = _current.get()
    if stalls is None:
        stalls = LoopStalls(warn_millis)
        _current.set(stalls)
        trio.lowlevel.add_instrument(stalls)
    stalls.users += 1
    try:
        yield stalls
    finally:
        stalls.users -= 1
        if not stalls.users:
            trio.lowlevel.remove_instrument(stalls)
            _current.set(None)


def loop_stalls() -> LoopStalls | None:
    """What watches the loop of this run; None when nothing does."""
    return _current.get()
