"""The life of one process: signals, garbage collection, the pid file, the trio run.

SIGINT, SIGTERM and (unless started by nohup) SIGHUP end it in order with exit code 0. A second SIGINT or
SIGTERM ends it at once, whatever it is doing: the process dies of that signal, which a shell shows as 130 or
143. Nothing acknowledged is lost then, since a message is in the operating system's hands (or on the device,
with SYNC_FLUSH) before its answer is sent; what was not yet saved, like the consumer offsets of the last
seconds, is left to the next start, which recovers as after any crash.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
from typing import TYPE_CHECKING

import trio

from remoting.loop_stalls import loop_stalls
from tools import pid_files
from tools.command_line import EXIT_FAILURE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from types import FrameType

__all__ = ["run_process", "settle_garbage", "tune_interpreter"]

GC_THRESHOLDS = (3_000, 3, 1_000)
"""A broker makes many short-lived objects, which reference counting frees, and holds many long-lived ones,
none of which a collection can free. It is the growth of their number that starts one. Few new ones at a time
stall the loop less (beside ten thousand topics 2 ms with 1,000, 16 ms with 10,000 and every sixth time all of
them), many at a time cost less in sum (64 sending threads: 33 us per message with 1,000, 20 to 22 with 3,000
and 10,000). One that looks at all objects stays as rare as the last number makes it."""

SWITCH_INTERVAL_S = 0.0005
"""How long a worker thread that computes may keep the interpreter from the event loop, each time that the
loop gives it up, which it does at each system call. With the 5 ms of Python a pass of the loop takes tens of
milliseconds while a table is written or read."""

_FIRST_PROCESS = 1


def tune_interpreter() -> None:
    """Has garbage collection and threads disturb the event loop little. Of the whole process."""
    gc.set_threshold(*GC_THRESHOLDS)
    sys.setswitchinterval(SWITCH_INTERVAL_S)


def settle_garbage() -> None:
    """Call when the start is over: what exists now stays, so collections need not look at it again.

    It takes time, as the start did: the figures about stalls of the event loop begin here.
    """
    gc.collect()
    gc.freeze()
    if (stalls := loop_stalls()) is not None:
        stalls.start_over()


class _EndingSignals:
    """Turns the first signal into an orderly stop and leaves the second one to the kernel.

    A handler of our own would need the interpreter to reach it, and a process that hangs is what the second
    signal is for.
    """

    def __init__(self) -> None:
        self._asked = False
        self._stop: Callable[[], None] | None = None

    @contextlib.contextmanager
    def caught(self) -> Iterator[None]:
        """While inside, signals do as the module says; to the end of the process once one has come."""
        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            numbers.append(signal.SIGHUP)
        before = {number: signal.signal(number, self._first) for number in numbers}
        try:
            yield
        finally:
            if not self._asked:  # a process that was asked to end has only its farewell left
                for number, handler in before.items():
                    signal.signal(number, handler)

    def when_asked(self, stop: Callable[[], None]) -> None:
        """Has `stop` called, in the trio run that this is called in, when the first signal comes or came."""
        token = trio.lowlevel.current_trio_token()
        self._stop = lambda: token.run_sync_soon(stop)
        if self._asked:
            stop()

    def _first(self, _number: int, _frame: FrameType | None) -> None:
        second = _end_at_once if os.getpid() == _FIRST_PROCESS else signal.SIG_DFL
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, second)
        if signal.getsignal(signal.SIGHUP) == self._first:
            # A terminal that closes sends several; they all mean the same.
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self._asked = True
        with contextlib.suppress(OSError):  # nobody reads it any more: the terminal may be what has ended
            newline = "\n" if os.isatty(2) else ""  # after the terminal's own ^C
            os.write(2, f"{newline}stopping, a second signal ends at once\n".encode())
        if self._stop is not None:
            self._stop()


def _end_at_once(number: int, _frame: FrameType | None) -> None:
    """For the first process of a container, whom the kernel spares a signal that it does not handle."""
    os._exit(128 + number)


async def _run(body: Callable[[], Awaitable[int]], signals: _EndingSignals) -> int:
    code = 0
    with trio.CancelScope() as life:
        signals.when_asked(life.cancel)
        code = await body()
    return code


def run_process(role: str, body: Callable[[], Awaitable[int]]) -> int:
    """Runs `body` in a fresh trio run until it returns or a signal asks to stop, which cancels it.

    Args:
        role: name for `mqshutdown`: "brokerContainer", "broker" or "namesrv".
        body: returns the exit code; when cancelled it must save everything and may not linger.

    Returns:
        The exit code of the process: that of `body`, 0 after a signal.
    """
    tune_interpreter()
    signals = _EndingSignals()
    with signals.caught(), contextlib.ExitStack() as files:
        try:
            files.enter_context(pid_files.written(role))
        except OSError as error:
            print(f"cannot write {error.filename}: {error.strerror}", file=sys.stderr)
            return EXIT_FAILURE
        return trio.run(_run, body, signals, strict_exception_groups=True)
