"""Lengths of the passes of an event loop, and how long somebody waits who comes at a random moment.

Within a pass of length L that wait is anything up to L, so one long pass weighs more than a thousand short
ones, as it should. Lengths are kept in classes, each with its count and its sum: the memory is bounded, and
the answers stay within a tenth.
"""

from __future__ import annotations

import math

__all__ = ["SHORTEST_S", "PassLengths"]

SHORTEST_S = 0.001
"""Shorter passes are forgotten."""
_STEPS = 8
"""Classes of length for each doubling."""


class PassLengths:
    """Some of all passes; seconds throughout.

    Attributes:
        longest_s: the longest one; 0 while there was none of `SHORTEST_S`.
    """

    __slots__ = ("_classes", "longest_s")

    def __init__(self) -> None:
        self._classes: dict[int, tuple[int, float]] = {}
        self.longest_s = 0.0

    def __repr__(self) -> str:
        return f"<PassLengths {len(self)}, longest {self.longest_s:.3f} s>"

    def __len__(self) -> int:
        return sum(count for count, _ in self._classes.values())

    def add(self, length: float) -> None:
        """One more pass; nothing if it is shorter than `SHORTEST_S`."""
        if length < SHORTEST_S:
            return
        step = math.floor(math.log2(length) * _STEPS)
        count, total = self._classes.get(step, (0, 0.0))
        self._classes[step] = count + 1, total + length
        self.longest_s = max(self.longest_s, length)

    def lateness_s(self, allowed: float) -> float:
        """The wait in seconds beyond which `allowed` seconds of all moments lie; 0 below `SHORTEST_S`.

        Of a pass of length L the first L - x seconds are moments at which a wait longer than x begins.
        """
        count, total = 0, 0.0
        for step in sorted(self._classes, reverse=True):
            more, length = self._classes[step]
            shorter = length / more
            if total - count * shorter > allowed:  # the answer lies above this class
                break
            count, total = count + more, total + length
        return (total - allowed) / count if count and total - count * SHORTEST_S > allowed else 0.0
