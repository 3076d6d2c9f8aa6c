"""How long to wait before a failed broker is started again. Pure, the clock is the caller's."""

from __future__ import annotations

import attrs

__all__ = ["Backoff"]


@attrs.define
class Backoff:
    """The growing pauses of one broker.

    Attributes:
        restarts: attempts so far.
    """

    restarts: int = 0
    _in_a_row: int = 0

    def next_pause_ms(self, ran_for_ms: float, *, first_ms: int, longest_ms: int) -> int:
        """The pause before the next attempt: doubles each time, from `first_ms` up to `longest_ms`.

        Args:
            ran_for_ms: how long the broker served before it failed; one that held out for `longest_ms` is
                taken for well and begins again with the first pause.
        """
        if ran_for_ms >= longest_ms:
            self._in_a_row = 0
        pause_ms = min(first_ms << min(self._in_a_row, 32), longest_ms)
        self._in_a_row += 1
        self.restarts += 1
        return pause_ms
