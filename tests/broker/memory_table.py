"""Stand-ins for the file and the clock of a broker's tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable


@attrs.define(eq=False)
class MemoryTable:
    """A `ConfigTable` that keeps its text in memory and counts its writes."""

    text: str | None = None
    writes: int = 0
    path: str = "memory.json"

    def load(self, accept: Callable[[str], bool] | None = None) -> str | None:
        if self.text and (accept is None or accept(self.text)):
            return self.text
        return None

    def save(self, text: str) -> None:
        self.writes += 1
        self.text = text


@attrs.define(eq=False)
class FakeClock:
    """Milliseconds that move when told."""

    now_ms: int = 1_700_000_000_000

    def __call__(self) -> int:
        return self.now_ms
