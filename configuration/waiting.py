"""Waiting for a time that is configured, and may be configured anew meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["wait_configured"]

_LOOK_AGAIN_S = 5.0


async def wait_configured(seconds: Callable[[], float], event: trio.Event | None = None) -> None:
    """Sleep for a configured time; a shorter one counts within five seconds of its change.

    A plain sleep would let an update that asks for less wait for the old, perhaps very long, time first.

    Args:
        seconds: asked now, and again while the sleep lasts.
        event: ends the sleep early.
    """
    start = trio.current_time()
    if event is None:
        event = trio.Event()
    await trio.lowlevel.checkpoint()
    while (left := start + seconds() - trio.current_time()) > 0 and not event.is_set():
        with trio.move_on_after(min(left, _LOOK_AGAIN_S)):
            await event.wait()
