"""Stand-ins for the file and the clock of a broker's tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from store import StoreCorruptError

if TYPE_CHECKING:
    from collections.abc import Callable


@attrs.define(eq=False)
class MemoryTable:
    """A `ConfigTable` that keeps its text in memory and counts its writes."""

    text: str | None = None
    writes: int = 0
    path: str = "memory.json"

    def load(self, fault: Callable[[str], str | None] = lambda _text: None) -> str | None:
        if not self.text:
            return None
        reason = fault(self.text)
        if reason is not None:
            raise StoreCorruptError(reason, self.path)
        return self.text

    def save(self, text: str, *, before: object = None) -> None:
        self.writes += 1
        self.text = text


@attrs.define(eq=False)
class FakeClock:
    """Milliseconds that move when told."""

    now_ms: int = 1_700_000_000_000

    def __call__(self) -> int:
        return self.now_ms
