"""Our commands as child processes with a home directory of their own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


class Started:
    """A command that runs until :meth:`stop`.

    Args:
        home: its home directory.
        name: the command, "mqbrokercontainer" and so on.
    """

    def __init__(self, home: Path, name: str, *args: str, **env: str) -> None:
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            command_line(name, *args),
            env=environment(home, **env),
            cwd=home,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Started:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.process.kill()
        self.process.communicate()

    def wait_for(self, pattern: str) -> re.Match[str]:
        """The first line of stdout, of those already read or those to come, that `pattern` is found in."""
        for line in self.lines:
            if match := re.search(pattern, line):
                return match
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if match := re.search(pattern, line):
                return match
        assert self.process.stderr is not None
        raise AssertionError(f"{self.lines} {self.process.stderr.read()}")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Sends a signal; returns the exit code and what was written to stderr."""
        self.process.send_signal(number)
        _out, err = self.process.communicate(timeout=60)
        return self.process.returncode, err


def run(home: Path, name: str, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end."""
    return subprocess.run(
        command_line(name, *args),
        env=environment(home, **env),
        cwd=home,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def command_line(name: str, *args: str) -> list[str]:
    return [sys.executable, "-P", str(REPOSITORY / "bin" / ".launch.py"), name, *args]


def environment(home: Path, **env: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key not in ("NAMESRV_ADDR", "ROCKETMQ_HOME")}
    return {**kept, "HOME": str(home), "PYTHONWARNINGS": "error", **env}
