"""Worker threads of brokers: what blocks one broker takes no thread from another.

trio bounds the threads of a process by one number for all. A broker whose disk hangs would fill them with
reads that never end, and its neighbours could not even flush. So the services of a broker, which are few,
always get their thread, and what requests ask for is bounded for each broker by itself. What nobody waits for
gets its thread in turns (`store.background_turns`): threads that compute hold up the event loop.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple

import trio

from store.background_turns import background_turns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "REQUEST_THREADS",
    "busy_service_threads",
    "in_background_thread",
    "in_request_thread",
    "in_service_thread",
    "own_request_threads",
]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

REQUEST_THREADS = 8
"""Requests of one broker that may wait for its disk at the same time; more wait for a thread."""

_services = trio.CapacityLimiter(math.inf)
_requests: ContextVar[trio.CapacityLimiter | None] = ContextVar("request_threads", default=None)


@contextmanager
def own_request_threads(most: int = REQUEST_THREADS) -> Iterator[None]:
    """Inside, and in every task that is started there, requests have `most` threads of their own."""
    token = _requests.set(trio.CapacityLimiter(most))
    try:
        yield
    finally:
        _requests.reset(token)


async def in_service_thread(
    function: Callable[[*Ts], T], *arguments: *Ts, abandon_on_cancel: bool = False
) -> T:
    """Calls what a service of a broker (a flush, a start) does with its disk, at once.

    Cancellation waits for the end of the call, unless `abandon_on_cancel`.
    """
    return await trio.to_thread.run_sync(
        function, *arguments, limiter=_services, abandon_on_cancel=abandon_on_cancel
    )


async def in_background_thread(function: Callable[[*Ts], T], *arguments: *Ts) -> T:
    """Calls what a service does with its disk and nobody waits for, when it is its turn among all brokers'.

    Cancellation ends the waiting for the turn; it waits for the end of the call.
    """
    async with background_turns().turn():
        return await in_service_thread(function, *arguments)


async def in_request_thread(function: Callable[[*Ts], T], *arguments: *Ts) -> T:
    """Calls what a request needs of a disk, when one of the broker's threads for that is free.

    Outside of `own_request_threads` the process's threads serve. Cancellation waits for the end of the call.
    """
    return await trio.to_thread.run_sync(function, *arguments, limiter=_requests.get())


def busy_service_threads() -> int:
    """Services of all brokers of the process that are at their disks now."""
    return int(_services.borrowed_tokens)
