"""How long messages took to be stored, in the last whole minute.

Java's ``StoreStatsService`` keeps two sets of counters by class and exchanges them by a
thread every 60 s. Here one count by whole milliseconds serves both texts, and the minute
turns when something is stored or asked.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_MINUTE_MS = 60_000
_CLASSES = (
    "<=0ms", "0~10ms", "10~50ms", "50~100ms", "100~200ms", "200~500ms", "500ms~1s", "1~2s", "2~3s", "3~4s",
    "4~5s", "5~10s", "10s~",
)  # fmt: skip
_CLASS_STARTS_MS = (1, 10, 50, 100, 200, 500, 1000, 2000, 3000, 4000, 5000, 10_000)
_STEPS_MS = [1] * 20 + [2] * 15 + [5] * 10 + [10] * 10 + [50] * 6 + [100] * 5 + [1000] * 9
_BUCKET_ENDS_MS = [*accumulate(_STEPS_MS), 2**63 - 1]


class PutTimes:
    """Counts of stored messages by milliseconds from `put` until they could be acknowledged.

    Attributes:
        longest_ms: The longest of all time.
    """

    __slots__ = ("_current", "_last", "_turns_at", "longest_ms")

    def __init__(self) -> None:
        self._turns_at = 0
        self._current: dict[int, int] = {}
        self._last: dict[int, int] = {}
        self.longest_ms = 0

    def add(self, elapsed_ms: int, count: int, now_ms: int) -> None:
        """`count` messages took `elapsed_ms` each."""
        if now_ms >= self._turns_at:
            self._turn(now_ms)
        times = self._current
        if elapsed_ms in times:
            times[elapsed_ms] += count
        else:
            times[elapsed_ms] = count
        if elapsed_ms > self.longest_ms:
            self.longest_ms = elapsed_ms

    def last_minute(self, now_ms: int) -> Mapping[int, int]:
        """Messages by milliseconds in the minute before the one that is running."""
        if now_ms >= self._turns_at:
            self._turn(now_ms)
        return self._last

    def _turn(self, now_ms: int) -> None:
        self._last = self._current if now_ms < self._turns_at + _MINUTE_MS else {}
        self._current = {}
        self._turns_at = now_ms - now_ms % _MINUTE_MS + _MINUTE_MS


def distribution_text(times: Mapping[int, int]) -> str:
    """``[<=0ms]:n [0~10ms]:n …``, the classes of Java's ``putMessageDistributeTime``."""
    counts = [0] * len(_CLASSES)
    for elapsed_ms, count in times.items():
        counts[bisect_right(_CLASS_STARTS_MS, elapsed_ms)] += count
    return " ".join(f"[{name}]:{count}" for name, count in zip(_CLASSES, counts, strict=True))


def percentile_text(times: Mapping[int, int], share: float) -> str:
    """Milliseconds that `share` (0..1) of the messages did not exceed, by Java's buckets, two decimals."""
    counts = [0] * len(_BUCKET_ENDS_MS)
    for elapsed_ms, count in times.items():
        counts[bisect_left(_BUCKET_ENDS_MS, elapsed_ms)] += count
    wanted = int(sum(counts) * share)
    start_ms = 0
    for end_ms, count in zip(_BUCKET_ENDS_MS, counts, strict=True):
        if wanted <= count:
            return f"{start_ms + (end_ms - start_ms) * wanted / count if count else start_ms:.2f}"
        wanted -= count
        start_ms = end_ms
    raise AssertionError("the share of a sum is never more than the sum")
