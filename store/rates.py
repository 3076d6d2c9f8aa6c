"""Rates over the last 10, 60 and 600 seconds, without a timer.

A sample is taken when something happens in a new second, so an idle store does nothing.
Java's ``StoreStatsService`` samples every second by a thread; the numbers mean the same.
"""

from __future__ import annotations

from collections import deque

WINDOWS_S = (10, 60, 600)


class Rates:
    """Named counters with a short history.

    Args:
        names: Counter names, in the order of `counts`.

    Attributes:
        tick_at_ms: `tick` has nothing to do before.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self._index = {name: i for i, name in enumerate(names)}
        self.counts = [0] * len(names)
        self._second = -1
        self.tick_at_ms = 0
        self._history: deque[tuple[int, tuple[int, ...]]] = deque(maxlen=WINDOWS_S[-1] + 1)

    def tick(self, now_ms: int) -> None:
        """Call before counting; remembers the counts at the beginning of each active second."""
        second = now_ms // 1000
        if second != self._second:
            self._second = second
            self.tick_at_ms = second * 1000 + 1000
            self._history.append((second, tuple(self.counts)))

    def total(self, name: str) -> int:
        return self.counts[self._index[name]]

    def per_second(self, name: str, window_s: int, now_ms: int) -> float:
        """Mean rate of a counter in the last `window_s` seconds."""
        index = self._index[name]
        since = now_ms // 1000 - window_s
        for second, counts in self._history:
            if second > since:
                return (self.counts[index] - counts[index]) / window_s
        return 0.0

    def text(self, name: str, now_ms: int) -> str:
        """The three numbers as admin tools read them: ``10s 60s 600s``."""
        return " ".join(str(self.per_second(name, window, now_ms)) for window in WINDOWS_S)
