"""Sockets that are served between two turns of trio, without a task's turn for each wake-up.

A task that reads with `trio.lowlevel.wait_readable` pays for every message that comes alone: the task is
taken off the `epoll`, scheduled, stepped and put back. That is more than decoding and storing the message.
A socket that is registered here stays on trio's `epoll` object and has a plain function called when it is
readable, at the moment when trio would have slept; if that makes no task runnable and no deadline earlier,
the next wait follows at once. Everything else, tasks, deadlines, cancellation, worker threads, signals, is
trio's as ever: its events are handed on as they come, before anything else is waited for. Instruments see
each wait; where tasks go on with a pass that began here, `after_io_wait` is called twice.

trio has no public door for this, so it is a replacement of the `epoll` object inside the I/O manager of the
running trio. Where that cannot be done (another platform's I/O manager, guest mode, a clock that is not the
system's, a trio that looks different inside) `direct_events` is None and sockets are read by tasks.
"""

from __future__ import annotations

import select
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["DirectEvents", "direct_events"]

_MAX_EVENTS = 256
_MAX_TIMEOUT_S = 24 * 60 * 60


class _Handled(list[tuple[int, int]]):
    """Events for trio after others were served here: an empty one must not look like an expired wait."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return True


class DirectEvents:
    """Stands in for the `epoll` object of one trio run. All methods must be called in the trio thread.

    Functions that are called here run in no task: they may start tasks in nurseries, set events and cancel
    scopes, but not wait. They must not raise.
    """

    def __init__(self, runner: Any, epoll: select.epoll) -> None:
        self._runner = runner
        self._epoll = epoll
        self._readers: dict[int, Callable[[], None]] = {}
        self._writers: dict[int, Callable[[], None]] = {}
        # What the I/O manager calls for descriptors of its own.
        self.register = epoll.register
        self.modify = epoll.modify
        self.unregister = epoll.unregister
        self.close = epoll.close
        self.fileno = epoll.fileno

    def __repr__(self) -> str:
        return f"<DirectEvents of {len(self._readers)} descriptors>"

    def __len__(self) -> int:
        return len(self._readers)

    def when_readable(self, descriptor: int, readable: Callable[[], None]) -> None:
        """Calls `readable` each time the descriptor has something to read, has ended or has failed.

        Raises:
            OSError: the descriptor is closed.
        """
        self._readers[descriptor] = readable
        self._watch(descriptor)

    def when_writable(self, descriptor: int, writable: Callable[[], None]) -> None:
        """Calls `writable` once, as soon as the descriptor can be written to or has failed.

        Raises:
            OSError: the descriptor is closed.
        """
        self._writers[descriptor] = writable
        self._watch(descriptor)

    def remove(self, descriptor: int) -> None:
        """Forgets a descriptor; must come before it is closed. Does nothing if it is not there."""
        was_read = self._readers.pop(descriptor, None)
        was_written = self._writers.pop(descriptor, None)
        if was_read is not None or was_written is not None:
            with suppress(OSError):
                self._epoll.unregister(descriptor)

    def _watch(self, descriptor: int) -> None:
        flags = select.EPOLLIN if descriptor in self._readers else 0
        if descriptor in self._writers:
            flags |= select.EPOLLOUT
        try:
            # Also there when nothing watches it: trio leaves what a task has waited for, disarmed.
            self._epoll.modify(descriptor, flags or select.EPOLLONESHOT)
        except FileNotFoundError:
            self._epoll.register(descriptor, flags)

    def poll(self, timeout: float, max_events: int) -> list[tuple[int, int]]:
        """What trio calls to wait: events of trio's descriptors, a false value after `timeout` seconds."""
        readers = self._readers
        wait = self._epoll.poll
        writers = self._writers
        if not readers and not writers:
            return wait(timeout, max_events)
        runner = self._runner
        deadlines = runner.deadlines
        clock = runner.clock
        instruments = runner.instruments
        watched = instruments.data
        while True:
            events = wait(timeout, _MAX_EVENTS)
            if not events:
                return events
            if "after_io_wait" in watched:
                instruments.call("after_io_wait", timeout)
            others: list[tuple[int, int]] = _Handled()
            for event in events:
                descriptor, flags = event
                readable = readers.get(descriptor)
                if flags == select.EPOLLIN and readable is not None:
                    readable()
                elif readable is not None or descriptor in writers:
                    self._serve(descriptor, flags)
                else:
                    others.append(event)
            # `others` itself is true also when it is empty.
            if len(others) or runner.runq or runner.waiting_for_idle:
                timeout = 0
            else:
                timeout = clock.deadline_to_sleep_time(deadlines.next_deadline())
                if timeout > _MAX_TIMEOUT_S:
                    timeout = _MAX_TIMEOUT_S
            if timeout <= 0:
                return others  # the pass goes on: trio calls `after_io_wait` a second time
            if "before_io_wait" in watched:
                instruments.call("before_io_wait", timeout)

    def _serve(self, descriptor: int, flags: int) -> None:
        """An event that is more than something to read; an end or a failure concerns both directions."""
        if flags & ~select.EPOLLIN:
            writable = self._writers.pop(descriptor, None)
            if writable is not None:
                self._watch(descriptor)
                writable()
        if flags & ~select.EPOLLOUT:
            readable = self._readers.get(descriptor)
            if readable is not None:
                readable()


def direct_events() -> DirectEvents | None:
    """The one of the current trio run, put in place by the first call; None where trio does not allow it.

    Raises:
        RuntimeError: outside of trio.
    """
    trio.lowlevel.current_trio_token()
    try:
        return _installed()
    except (ImportError, AttributeError):
        return None


def _installed() -> DirectEvents | None:
    from trio._core import _run

    runner: Any = _run.GLOBAL_RUN_CONTEXT.runner
    manager = runner.io_manager
    events = manager._epoll
    if isinstance(events, DirectEvents):
        return events
    if (
        not isinstance(events, select.epoll)
        or type(runner.clock) is not _run.SystemClock
        or runner.is_guest
        or not callable(runner.deadlines.next_deadline)
    ):
        return None
    # Looked up once, so that a trio without them is found out here and not while it waits.
    _ = runner.runq, runner.waiting_for_idle, runner.clock.deadline_to_sleep_time
    _ = runner.instruments.call, runner.instruments.data
    manager._epoll = direct = DirectEvents(runner, events)
    return direct
