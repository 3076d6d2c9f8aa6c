"""The life of one process: signals, garbage collection, the pid file, the trio run.

SIGINT, SIGTERM and (unless started by nohup) SIGHUP end it in order with exit code 0; a second signal ends
it at once, with whatever is not yet saved left to the next recovery.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
from typing import TYPE_CHECKING

import trio

from tools import pid_files
from tools.command_line import EXIT_FAILURE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["run_process", "settle_garbage"]

# A broker makes many short-lived objects and holds many long-lived ones: young collections should be rare
# and old ones very rare. Reference counting frees nearly everything anyway.
GC_THRESHOLDS = (50_000, 25, 100)


def settle_garbage() -> None:
    """Call when the start is over: what exists now stays, so collections need not look at it again."""
    gc.collect()
    gc.freeze()


def _signals() -> list[signal.Signals]:
    signals = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signals.append(signal.SIGHUP)
    return signals


def _end_at_once(number: int) -> None:
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


async def _stop_on_signal(stop: Callable[[], None], *, task_status: trio.TaskStatus[None]) -> None:
    with trio.open_signal_receiver(*_signals()) as received:
        task_status.started()
        asked = False
        async for number in received:
            if asked:
                _end_at_once(number)
            asked = True
            newline = "\n" if sys.stderr.isatty() else ""  # after the terminal's own ^C
            print(f"{newline}stopping, a second signal ends at once", file=sys.stderr, flush=True)
            stop()


async def _run(body: Callable[[], Awaitable[int]]) -> int:
    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as life:
            await nursery.start(lambda *, task_status: _stop_on_signal(life.cancel, task_status=task_status))
            code = 0
            code = await body()
        nursery.cancel_scope.cancel()
        return code
    raise AssertionError("the nursery above returns")  # pragma: no cover


def run_process(role: str, body: Callable[[], Awaitable[int]]) -> int:
    """Runs `body` in a fresh trio run until it returns or a signal asks to stop, which cancels it.

    Args:
        role: name for `mqshutdown`: "brokerContainer", "broker" or "namesrv".
        body: returns the exit code; when cancelled it must save everything and may not linger.

    Returns:
        The exit code of the process: that of `body`, 0 after a signal.
    """
    gc.set_threshold(*GC_THRESHOLDS)
    with contextlib.ExitStack() as files:
        try:
            files.enter_context(pid_files.written(role))
        except OSError as error:
            print(f"cannot write {error.filename}: {error.strerror}", file=sys.stderr)
            return EXIT_FAILURE
        return trio.run(_run, body, strict_exception_groups=True)
