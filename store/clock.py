"""Wall-clock time as a seam, so that tests and simulations decide what time it is."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Source of the timestamps that are written into files."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        ...


class SystemClock:
    """The machine's wall clock."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000


class ManualClock:
    """A clock that moves only when told; for tests and simulations."""

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self.current_ms = now_ms

    def now_ms(self) -> int:
        return self.current_ms

    def advance(self, milliseconds: int) -> None:
        self.current_ms += milliseconds
