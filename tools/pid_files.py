"""How `mqshutdown` finds what to stop: one small file per running process.

`~/.mqbrokercontainer/run/<role>.<pid>` holds the start time of the process, so that a number which the
system has given to somebody else since is not mistaken for ours. Files of processes that died without
removing theirs are swept up by whoever looks next.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["run_directory", "running", "wait_until_gone", "written"]


def run_directory() -> Path:
    """Where the files are.

    Raises:
        RuntimeError: the home directory is unknown.
    """
    return Path.home() / ".mqbrokercontainer" / "run"


def _start_time(pid: int) -> str | None:
    try:
        return f"{psutil.Process(pid).create_time():.2f}"
    except psutil.Error:
        return None


@contextlib.contextmanager
def written(role: str) -> Iterator[None]:
    """While inside, `role` ("brokerContainer", "broker", "namesrv") of this process can be found.

    Raises:
        OSError: the directory cannot be written.
    """
    directory = run_directory()
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{role}.{os.getpid()}"
    path.write_text(_start_time(os.getpid()) or "", encoding="ascii")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def running(role: str) -> list[int]:
    """Process ids of every live `role` of this user, oldest number first."""
    found = []
    for path in run_directory().glob(f"{role}.*"):
        suffix = path.suffix[1:]
        with contextlib.suppress(OSError):
            if suffix.isdigit() and path.read_text(encoding="ascii") == _start_time(int(suffix)):
                found.append(int(suffix))
            else:
                path.unlink(missing_ok=True)
    return sorted(found)


def wait_until_gone(pids: list[int], timeout_s: float) -> list[int]:
    """Those of `pids` that still run after `timeout_s` seconds."""
    processes = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            processes.append(psutil.Process(pid))
    _, alive = psutil.wait_procs(processes, timeout=timeout_s)
    return [process.pid for process in alive]
