"""How `mqshutdown` finds what to stop: one small file per running process.

`~/.mqbrokercontainer/run/<role>.<pid>.<start>` names a process as the kernel does: its number, and its start
in ticks since the machine's own. A number that the system has given to somebody else since is not mistaken
for ours, whatever has happened to the clock in between. The file holds the boot that these belong to, and its
owner keeps it locked, so that a home directory which several machines or several process namespaces share
does not mix them up: a file that names nobody here and is locked belongs to somebody elsewhere and is left
alone; one that nobody has locked was left by a process that died, and is swept up by whoever looks next.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

__all__ = ["RunningProcess", "run_directory", "running", "wait_until_gone", "written"]

_POLL_S = 0.02
_DEAD_STATES = "ZX"


@attrs.frozen(order=True)
class RunningProcess:
    """A process of this machine and this process namespace."""

    pid: int
    start_ticks: int
    """Clock ticks from the machine's start to the process's."""

    @property
    def alive(self) -> bool:
        """Whether it still runs; one that has ended and was not yet waited for by its parent does not."""
        return _start_ticks(self.pid) == self.start_ticks


def run_directory() -> Path:
    """Where the files are.

    Raises:
        RuntimeError: the home directory is unknown.
    """
    if os.environ.get("HOME") == "":
        raise RuntimeError("HOME is empty")  # the standard library would take the root directory
    return Path.home() / ".mqbrokercontainer" / "run"


@contextlib.contextmanager
def written(role: str) -> Iterator[None]:
    """While inside, `role` ("brokerContainer", "broker", "namesrv") of this process can be found.

    Raises:
        OSError: the directory cannot be written.
        RuntimeError: the home directory is unknown.
    """
    directory = run_directory()
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{role}.{os.getpid()}.{_start_ticks(os.getpid())}"
    # The content appears whole and locked: who looks in between sees either nothing or everything.
    draft = path.with_suffix(f".new-{os.getpid()}")
    with draft.open("w", encoding="ascii") as file:
        with contextlib.suppress(OSError):  # no locks on this file system: only strangers' sweeping differs
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.write(_boot())
        file.flush()
        draft.rename(path)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # it is stale from now on, and found to be so
                path.unlink()


def running(role: str) -> list[RunningProcess]:
    """Every live `role` of this user, lowest number first; sweeps up what dead ones left.

    Raises:
        OSError: the directory cannot be read.
        RuntimeError: the home directory is unknown.
    """
    try:
        names = os.listdir(directory := run_directory())
    except FileNotFoundError:
        return []
    found = []
    for name in names:
        process = _parse(name, role)
        if process is None:
            continue
        path = directory / name
        if process.alive and _holds_this_boot(path):
            found.append(process)
        elif not _is_locked(path):
            with contextlib.suppress(OSError):  # somebody else's, or swept by somebody else
                path.unlink()
    return sorted(found)


def wait_until_gone(processes: Collection[RunningProcess], timeout_s: float) -> list[RunningProcess]:
    """Those of `processes` that still run after `timeout_s` seconds. Blocks."""
    deadline = time.monotonic() + timeout_s
    while True:
        alive = [process for process in processes if process.alive]
        left_s = deadline - time.monotonic()
        if not alive or left_s <= 0:
            return alive
        time.sleep(min(_POLL_S, left_s))


def _parse(name: str, role: str) -> RunningProcess | None:
    """What a file's name says; None for other roles and for files that are none of ours."""
    found_role, *numbers = name.split(".")
    if (
        found_role != role
        or len(numbers) != 2
        or not all(part.isascii() and part.isdigit() for part in numbers)
    ):
        return None
    return RunningProcess(int(numbers[0]), int(numbers[1]))


def _start_ticks(pid: int) -> int | None:
    """Field 22 of proc(5) /proc/PID/stat; None when the process is not there or has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The second field is the program's name in parentheses and may hold anything.
    state, *fields = stat.rpartition(b")")[2].split()
    return None if state.decode() in _DEAD_STATES else int(fields[18])


def _boot() -> str:
    """One text for each start of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _holds_this_boot(path: Path) -> bool:
    try:
        return path.read_text(encoding="ascii").strip() == _boot()
    except (OSError, UnicodeError):
        return False


def _is_locked(path: Path) -> bool:
    """Whether the process that wrote the file lives, wherever that is; also when nobody can tell."""
    try:
        with path.open("r", encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False
