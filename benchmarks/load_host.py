"""Starts `benchmarks.load_container` as a child process and talks to it."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from benchmarks.wire_load import Peer
from tests.interop.processes import ChildProcess, ProcessError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

__all__ = ["LoadHost", "Stalls", "raise_file_limit", "tidy_end"]

_REPOSITORY = Path(__file__).parents[1]
_START_TIMEOUT_S = 300
_ANSWER_TIMEOUT_S = 300
_LOOK_S = 0.05


@attrs.frozen
class Stalls:
    """Of an event loop under load.

    Attributes:
        p999: what somebody who comes at a random moment waits for it, in 999 of 1000 cases; seconds.
        computing: the same if each stall had lasted for the CPU time that the process used in it.
        own: the same by the CPU time of the loop's thread.
        longest: its longest stall; seconds.
        starved: the part of the time for which its thread waited for a core of the machine.
    """

    p999: float
    computing: float
    own: float
    longest: float
    starved: float = 0.0


def raise_file_limit() -> None:
    """As many descriptors as the system lets us have: thousands of connections have two ends here."""
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@contextmanager
def tidy_end() -> Iterator[None]:
    """Inside, SIGTERM ends the process as an exception does: containers are ended, their files removed."""

    def end(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class LoadHost:
    """A container in a process of its own, with its files in a temporary directory, until the block ends.

    Args:
        options: of `benchmarks.load_container`.
        tree: the directory whose code runs; this repository by default.

    Raises:
        ProcessError: it does not start.
    """

    def __init__(self, *options: str, tree: Path = _REPOSITORY) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="mqbc-benchmark-"))
        script = _REPOSITORY / "benchmarks" / "load_container.py"
        environment = {**os.environ, "PYTHONPATH": str(tree), "HOME": str(self.directory)}
        self._child = ChildProcess(
            f"container of {tree.name}",
            [sys.executable, "-P", str(script), str(self.directory / "stores"), *options],
            log_dir=self.directory,
            env=environment,
            cwd=tree,
            stdin=True,
        )
        self._answers = 0
        self._quiet_since, self._loaded_s = time.monotonic(), 0.0
        try:
            self._child.wait_for_line("^prepared", _START_TIMEOUT_S)
            self.addresses: list[str] = self._last_line().split()[1:]
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> LoadHost:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the container and removes its files."""
        self._child.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def connect(self, broker: int = 0) -> Peer:
        """A connection to one of the brokers."""
        return Peer(self.addresses[broker])

    def _last_line(self) -> str:
        return self._child.lines[-1]

    def ask(self, command: str) -> list[str]:
        """The words of the answer, without the first.

        Raises:
            ProcessError: the container has ended, or says nothing.
        """
        self._child.write_line(command)
        self._answers += 1
        self._child.wait_for_count(_ANSWER, self._answers, _ANSWER_TIMEOUT_S)
        return self._last_line().split()[1:]

    def cpu_seconds(self) -> float:
        """User and system time so far."""
        return float(self.ask("cpu")[0])

    def add_brokers(self, count: int) -> float:
        """CPU seconds of `count` brokers that come and go, one after the other."""
        return float(self.ask(f"add {count}")[0])

    def settle(self) -> None:
        """Waits until what sends leave to do for later is done.

        Raises:
            ProcessError: it is not done in time, or as of `ask`.
        """
        until = time.monotonic() + _ANSWER_TIMEOUT_S
        while int(self.ask("left")[0]):
            if time.monotonic() > until:
                raise ProcessError("queue entries of the benchmark's messages are not written")
            time.sleep(_LOOK_S)

    def quiet(self) -> None:
        """Forgets what the start or the last measurement left behind."""
        self.ask("quiet")
        self._quiet_since = time.monotonic()
        self._loaded_s = 0.0

    @contextmanager
    def loaded(self) -> Iterator[None]:
        """What happens in the block is load; without any, all time since the last `quiet` is."""
        began = time.monotonic()
        yield
        self._loaded_s += time.monotonic() - began

    def stalls(self) -> Stalls:
        """Since the last `quiet`; that nobody waits while there is no load does not count."""
        seconds = self._loaded_s or time.monotonic() - self._quiet_since
        *found, waited = map(float, self.ask(f"stalls {seconds:.3f}"))
        return Stalls(*found, waited / seconds)


_ANSWER = r"^(cpu|added|left|quiet|stalls)\b"
