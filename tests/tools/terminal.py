"""A pseudo-terminal for tests: what a program writes to one, and typing into it."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
import termios
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Sequence

REPOSITORY = Path(__file__).resolve().parents[2]
COLOURS_AND_MOVES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@attrs.define(eq=False)
class OnTerminal:
    """A child process whose streams are a terminal of 160 columns, unless given otherwise.

    Attributes:
        seen: What it has written so far.
    """

    process: subprocess.Popen[bytes]
    terminal: int
    seen: str = ""

    @classmethod
    def start(cls, argv: Sequence[str], *, stdout: int | None = None, **environment: str) -> OnTerminal:
        own, its = os.openpty()
        termios.tcsetwinsize(its, (40, 160))
        env = {**os.environ, "TERM": "xterm", "COLUMNS": "160", **environment}
        process = subprocess.Popen(
            argv,
            cwd=REPOSITORY,
            env=env,
            stdin=its,
            stdout=its if stdout is None else stdout,
            stderr=its,
            start_new_session=True,
        )
        os.close(its)
        return cls(process, own)

    @classmethod
    def mqadmin(cls, *arguments: str, stdout: int | None = None) -> OnTerminal:
        return cls.start([sys.executable, "-m", "tools.mqadmin", *arguments], stdout=stdout)

    def __enter__(self) -> OnTerminal:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.terminal)

    def type(self, keys: str) -> None:
        os.write(self.terminal, keys.encode())

    def read_until(self, pattern: str) -> re.Match[str]:
        """The next match in what it writes, past the last one found."""
        while not (found := re.search(pattern, self.seen)):
            self._read()
        self.seen = self.seen[found.end() :]
        return found

    def read_to_end(self) -> tuple[str, int]:
        """All it has written when it has ended, and its exit code."""
        while self._read(last=True):
            pass
        return self.seen, self.process.wait()

    def _read(self, *, last: bool = False) -> bool:
        try:
            data = os.read(self.terminal, 65536)
        except OSError as error:
            if error.errno != errno.EIO:  # Linux says so when nobody holds the other side any more
                raise
            data = b""
        if not data and not last:
            raise AssertionError(f"it ended: {self.seen!r}")
        self.seen += data.decode()
        return bool(data)
