"""Delay levels: ``messageDelayLevel`` and the delivery time that takes the place of a tags code."""

from __future__ import annotations

from store.errors import StoreError

_UNITS_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


class DelayLevels:
    """Level (from 1) → delay in milliseconds.

    Args:
        text: Numbers with a unit s, m, h or d, separated by spaces.

    Raises:
        StoreError: `text` has another form.
    """

    def __init__(self, text: str) -> None:
        self.delays_ms: list[int] = []
        for part in text.split():
            unit = _UNITS_MS.get(part[-1])
            if unit is None or not part[:-1].isdigit():
                raise StoreError(f"messageDelayLevel: {part!r} is not a number with a unit of s, m, h or d")
            self.delays_ms.append(int(part[:-1]) * unit)

    @property
    def maximum(self) -> int:
        """The highest level."""
        return len(self.delays_ms)

    def deliver_timestamp(self, level: int, store_timestamp: int) -> int:
        """When a message stored at `store_timestamp` (ms) is due (Java: ``computeDeliverTimestamp``)."""
        if 1 <= level <= len(self.delays_ms):
            return store_timestamp + self.delays_ms[level - 1]
        return store_timestamp + 1000

    def tags_code(self, level: bytes | None, store_timestamp: int) -> int | None:
        """Tags code of a message in the schedule topic by its DELAY property; None when it has none."""
        if level is None or not level.isdigit() or int(level) == 0:
            return None
        return self.deliver_timestamp(min(int(level), self.maximum), store_timestamp)
