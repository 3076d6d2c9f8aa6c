"""How long the event loop stands still: between two looks at its sockets and timers nobody is served.

A *pass* lasts from the end of one wait for I/O to the beginning of the next one. A timer that fires late,
because another thread held the interpreter or the machine was busy, counts as a pass of that length too. Both
are measured by an instrument of the trio run. It costs nothing while the loop waits and about a microsecond
for each pass; a task that sleeps and looks how late it wakes up would cost an idle process a wake-up for each
look, and see only the stalls that it happens to sleep in. Passes below `STALL_S` are forgotten at once.

What is told as *lateness* is the wait that somebody meets who comes at a random moment, see `PassLengths`.

A pass may be long because of what the process does, or because the machine gave it no core or its disk no
answer. So the CPU time of the process in it is told as well, *computing*: if the loop waited for the
interpreter, another thread of ours computed meanwhile. It is what would be left of the pass with cores and
disks always free, at most; and the loop's own part of that is what the loop itself computed.
"""

from __future__ import annotations

import logging
import math
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import attrs
import trio

from remoting.pass_lengths import SHORTEST_S, PassLengths

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["STALL_S", "LoopStalls", "LoopStallsStatistics", "loop_stalls", "watched_loop"]

_log = logging.getLogger("rocketmq.remoting")

STALL_S = SHORTEST_S
"""Shorter passes are no stalls."""
_LATE_S = STALL_S + 0.001
"""Of a timer; epoll rounds its timeouts up to milliseconds."""
_SLACK, _NICE_SLACK, _MOST_SLACK_S = 0.001, 0.005, 0.1
"""By how much of its timeout Linux may end a wait late as it likes, to save wake-ups; the second one for
processes with less than the usual priority (`__estimate_accuracy` in fs/select.c). That is no stall."""
_CLOCKS_S = 0.001
"""How old a look at the CPU clocks may be when a pass begins: each takes longer than all else here."""
_WAITS = math.inf
"""The beginning of a pass while there is none."""
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
        computing_longest_s, computing_p999_s: the same if passes had only lasted for the CPU time that the
            process used in them, with all its threads. At most: what came in the millisecond before a pass,
            and all the time that a late timer was waited for, may be in it.
        own_longest_s, own_p999_s: the same for the CPU time of the loop's own thread.
    """

    watched_s: float
    passes: int
    longest_s: float
    recent_longest_s: float
    lateness_p999_s: float
    computing_longest_s: float
    computing_p999_s: float
    own_longest_s: float
    own_p999_s: float


class LoopStalls(trio.abc.Instrument):
    """Measures the passes of the loop that it is added to.

    Args:
        warn_millis: asked at each stall; one of at least so many milliseconds is logged, but not more than
            one a second. 0 is never.
        now: a clock in seconds that no pass stops.
        process_cpu, thread_cpu: the CPU time in seconds of the process, and of the thread that asks.

    Attributes:
        passes: how long they lasted.
        computing: for how much of that the process computed, at most.
        own: for how much of that the loop's thread computed, at most.
    """

    __slots__ = (
        "_clocks_at", "_minute", "_minute_before_longest", "_minute_longest", "_now", "_process_before",
        "_process_cpu", "_since", "_slack", "_slept", "_thread_before", "_thread_cpu", "_timeout",
        "_warn_millis", "_warned", "_woke", "computing", "own", "passes", "users",
    )  # fmt: skip

    def __init__(
        self,
        warn_millis: Callable[[], int] = lambda: 0,
        *,
        now: Callable[[], float] = time.perf_counter,
        process_cpu: Callable[[], float] = time.process_time,
        thread_cpu: Callable[[], float] = time.thread_time,
    ) -> None:
        self._warn_millis = warn_millis
        self._now = now
        self._process_cpu, self._thread_cpu = process_cpu, thread_cpu
        self.users = 0  # blocks of `watched_loop`
        self.start_over()

    def __repr__(self) -> str:
        return f"<LoopStalls {self.statistics()}>"

    def start_over(self) -> None:
        """Forgets everything, as well as the pass that is under way: what stalled a start is no news."""
        self._since = self._slept = self._minute = self._now()
        self._woke, self._timeout = _WAITS, math.inf
        self._slack = _NICE_SLACK if os.getpriority(os.PRIO_PROCESS, 0) > 0 else _SLACK
        self._look_at_clocks(self._since)
        self.passes, self.computing, self.own = PassLengths(), PassLengths(), PassLengths()
        self._minute_longest = self._minute_before_longest = 0.0
        self._warned = -math.inf

    def _look_at_clocks(self, now: float) -> None:
        self._clocks_at = now
        self._process_before, self._thread_before = self._process_cpu(), self._thread_cpu()

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
        if late >= _LATE_S and late >= _LATE_S + min(self._timeout * self._slack, _MOST_SLACK_S):
            self._stalled(late)
        if woke - self._clocks_at >= _CLOCKS_S:
            self._look_at_clocks(woke)

    def _stalled(self, length: float) -> None:
        own = min(length, self._thread_cpu() - self._thread_before)
        computing = min(length, self._process_cpu() - self._process_before)
        self.passes.add(length)
        self.computing.add(computing)
        self.own.add(own)
        self._turn_minute()
        self._minute_longest = max(self._minute_longest, length)
        limit = self._warn_millis()
        if limit and length * 1000 >= limit and self._slept - self._warned >= _LEAST_PAUSE_S:
            self._warned = self._slept
            _log.warning(
                "the event loop stood still for %.0f ms: nobody was served meanwhile; this process computed"
                " for %.0f ms of that, the loop itself for %.0f ms",
                length * 1000,
                computing * 1000,
                own * 1000,
            )

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
        allowed = watched * 0.001
        return LoopStallsStatistics(
            watched_s=watched,
            passes=len(self.passes),
            longest_s=self.passes.longest_s,
            recent_longest_s=max(self._minute_longest, self._minute_before_longest),
            lateness_p999_s=self.passes.lateness_s(allowed),
            computing_longest_s=self.computing.longest_s,
            computing_p999_s=self.computing.lateness_s(allowed),
            own_longest_s=self.own.longest_s,
            own_p999_s=self.own.lateness_s(allowed),
        )


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
