"""Child processes of the black-box tests: each in a session of its own, read by a thread, always ended."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["ChildProcess", "ProcessError", "wait_for_port"]

_KEPT_LINES = 20_000
_TAIL_LINES = 60
# Java's logging tells its own story at start, some hundred lines that hide what matters.
_LOGBACK_STATUS = "|-INFO in "


class ProcessError(Exception):
    """A child ended, kept silent or failed; the text carries its last lines."""


class ChildProcess:
    """A program with its whole process group.

    Args:
        name: How failures and log files call it.
        argv: Program and arguments.
        log_dir: `<name>.log` there gets everything the child prints.
        env: The whole environment of the child; this process's own when None.
        cwd: Its directory.
        stdin: Whether `write_line` will be used.

    Standard output and standard error are one stream. `stop` (also the end of the `with` block) asks with
    SIGTERM and then kills the group, so a child that forks leaves nothing behind.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        log_dir: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdin: bool = False,
    ) -> None:
        self.name = name
        self.argv = list(argv)
        self.lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._seen = 0
        self._ended = False
        self._changed = threading.Condition()  # re-entrant: failure texts read the lines too
        log_dir.mkdir(parents=True, exist_ok=True)
        self.log_path = log_dir / f"{name}.log"
        self.started_at = time.monotonic()
        self._process = subprocess.Popen(
            self.argv,
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=None if env is None else dict(env),
            cwd=cwd,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, name=f"output of {name}", daemon=True)
        self._reader.start()

    def __repr__(self) -> str:
        return f"<ChildProcess {self.name} pid={self.pid} returncode={self._process.poll()}>"

    def __enter__(self) -> ChildProcess:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream, self.log_path.open("ab") as log:
            for raw in stream:
                log.write(raw)
                log.flush()
                with self._changed:
                    self.lines.append(raw.decode("utf-8", "replace").rstrip("\n"))
                    self._seen += 1
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def write_line(self, text: str) -> None:
        """Sends one line to the child's standard input.

        Raises:
            ProcessError: It does not read any more.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(text.encode() + b"\n")
            self._process.stdin.flush()
        except OSError as fault:
            raise ProcessError(f"{self.name} does not take input: {fault}\n{self.tail()}") from fault

    def end_input(self) -> None:
        """Closes the child's standard input."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def wait_for_line(self, pattern: str, timeout_s: float) -> re.Match[str]:
        """Returns the first line so far, or from now on, in which `pattern` is found.

        Raises:
            ProcessError: The child ended, or `timeout_s` seconds went by, without such a line.
        """
        expression = re.compile(pattern)
        deadline = time.monotonic() + timeout_s
        looked_at = 0
        with self._changed:
            while True:
                fresh = min(self._seen - looked_at, len(self.lines))
                for line in list(self.lines)[len(self.lines) - fresh :]:
                    if match := expression.search(line):
                        return match
                looked_at = self._seen
                if self._ended:
                    raise ProcessError(f"{self.name} ended without a line like {pattern!r}\n{self.tail()}")
                left = deadline - time.monotonic()
                if left <= 0:
                    raise ProcessError(
                        f"{self.name}: no line like {pattern!r} in {timeout_s} s\n{self.tail()}"
                    )
                self._changed.wait(left)

    def wait_for_count(self, pattern: str, count: int, timeout_s: float) -> None:
        """Returns when `pattern` was found in `count` lines.

        Raises:
            ProcessError: The child ended, or `timeout_s` seconds went by, with fewer.
        """
        expression = re.compile(pattern)
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while (found := sum(1 for line in self.lines if expression.search(line))) < count:
                left = deadline - time.monotonic()
                if self._ended or left <= 0:
                    raise ProcessError(
                        f"{self.name}: {found} lines like {pattern!r} of {count}\n{self.tail()}"
                    )
                self._changed.wait(min(left, 1))

    def text(self) -> str:
        """All lines that are kept."""
        with self._changed:
            return "\n".join(self.lines)

    def wait(self, timeout_s: float) -> int:
        """Waits for the end of the child and of its output; returns the exit code.

        Raises:
            ProcessError: It still runs after `timeout_s` seconds.
        """
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise ProcessError(f"{self.name} still runs after {timeout_s} s\n{self.tail()}") from None
        self._reader.join(10)
        return code

    def tail(self, count: int = _TAIL_LINES) -> str:
        """The last `count` lines, for failure texts."""
        with self._changed:
            lines = [line for line in self.lines if _LOGBACK_STATUS not in line][-count:]
        return "\n".join([f"--- {self.name} (pid {self.pid}), last {len(lines)} lines ---", *lines])

    def cpu_seconds(self) -> float:
        """User and system time that the running processes of this child have used so far."""
        return sum(sum(process.cpu_times()[:2]) for process in self.processes())

    def processes(self) -> list[psutil.Process]:
        """The child and its own children, so that a launcher which forks hides nothing."""
        child = psutil.Process(self.pid)
        return [child, *child.children(recursive=True)]

    def signal(self, number: int) -> None:
        """Sends a signal to the child's process group; nothing if it is gone."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def kill(self) -> None:
        """`kill -9` for the process group; returns when the child is gone."""
        self.signal(signal.SIGKILL)
        self._process.wait(30)
        self._close()

    def stop(self, timeout_s: float = 10) -> int:
        """SIGTERM, then after `timeout_s` seconds SIGKILL; returns the exit code."""
        if self.running:
            self.signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout_s)
        code = self._process.poll()
        self.kill()
        return self._process.returncode if code is None else code

    def _close(self) -> None:
        self._reader.join(10)
        if self._process.stdin is not None:
            self.end_input()


def wait_for_port(port: int, timeout_s: float, *, process: ChildProcess) -> None:
    """Returns when 127.0.0.1:`port` takes connections.

    Raises:
        ProcessError: `process`, which should open it, ended, or the time is over.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if not process.running:
            raise ProcessError(f"{process.name} ended before port {port} opened\n{process.tail()}")
        if time.monotonic() > deadline:
            raise ProcessError(f"{process.name}: port {port} closed after {timeout_s} s\n{process.tail()}")
        time.sleep(0.01)
