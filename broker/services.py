"""The services of one broker: a failure of one asks for an orderly stop and is kept until that is done.

In a plain nursery the failure of one service cancels all others at once: answers that wait for the disk or
in an out buffer would be lost, and clients would learn nothing. Here the others go on until the broker has
drained its ports, said goodbye and saved its tables; then the failure leaves as an exception.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import trio

__all__ = ["Services"]

_log = logging.getLogger("rocketmq.broker")


class Services:
    """Starts services and keeps what they fail with.

    Args:
        stop: set at the first failure.
    """

    def __init__(self, stop: trio.Event) -> None:
        self._stop = stop
        self.failures: list[Exception] = []
        """In the order in which they came."""

    def start_soon(
        self, nursery: trio.Nursery, service: Callable[..., Awaitable[object]], *args: object
    ) -> None:
        """Run `service(*args)` in `nursery`."""
        nursery.start_soon(self._run, service, args, name=service)

    async def start(self, nursery: trio.Nursery, service: Callable[..., Awaitable[object]]) -> None:
        """Run `service(task_status=...)` in `nursery`; returns when it says that it has started.

        Raises:
            Exception: whatever it failed with before.
        """
        await nursery.start(self._run_started, service, name=service)

    def raise_failures(self) -> None:
        """
        Raises:
            ExceptionGroup: of everything that services failed with, if any did.
        """
        if self.failures:
            raise ExceptionGroup("services of the broker failed", self.failures)

    async def _run(self, service: Callable[..., Awaitable[object]], args: tuple[object, ...]) -> None:
        try:
            await service(*args)
        except Exception as error:
            self._keep(error)

    async def _run_started(
        self, service: Callable[..., Awaitable[object]], *, task_status: trio.TaskStatus[Any]
    ) -> None:
        status = _Status(task_status)
        try:
            await service(task_status=status)
        except Exception as error:
            if not status.has_started:
                raise
            self._keep(error)

    def _keep(self, error: Exception) -> None:
        _log.error("a service failed, the broker stops: %r", error)
        self.failures.append(error)
        self._stop.set()


class _Status:
    """A task status that remembers whether it was used."""

    def __init__(self, status: trio.TaskStatus[Any]) -> None:
        self._status = status
        self.has_started = False

    def started(self, value: object = None) -> None:
        self.has_started = True
        self._status.started(value)
