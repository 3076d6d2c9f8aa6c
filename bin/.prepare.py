"""Makes the checkout's own virtual environment: .prepare.py ROOT run|test.

Only the standard library, because it runs before there is anything else.

The state is the pair of files ``.venv/prepared-run.txt`` and ``prepared-test.txt``: copies of the
requirements that are installed. They are removed before anything changes and written last, so an
interrupted preparation leaves none and the next one starts from nothing. ``.venv/lock`` keeps two
preparations apart; the kernel drops it with its owner.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

# Settings of the caller's pip that would send packages somewhere else than into .venv.
ELSEWHERE = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PIP_REQUIREMENT", "PIP_CONSTRAINT")


class PreparationError(Exception):
    """One sentence for the person at the terminal."""


class Progress:
    """One line that changes on a terminal, plain lines elsewhere. Always on stderr."""

    def __init__(self) -> None:
        self._tty = sys.stderr.isatty()
        self._began = time.monotonic()

    def show(self, text: str, done: int = 0, total: int = 0) -> None:
        if not self._tty:
            if not done:
                print(text, file=sys.stderr, flush=True)
            return
        width = 24
        filled = width * done // total if total else 0
        bar = f"[{'#' * filled}{'.' * (width - filled)}] " if total else ""
        room = shutil.get_terminal_size().columns - 1
        sys.stderr.write("\r\x1b[K" + (bar + text)[:room])
        sys.stderr.flush()

    def end(self, text: str) -> None:
        lead = "\r\x1b[K" if self._tty else ""
        print(f"{lead}{text} ({time.monotonic() - self._began:.0f} s)", file=sys.stderr, flush=True)


def count_pins(requirements: str) -> int:
    return sum("==" in line for line in requirements.splitlines() if not line.lstrip().startswith("#"))


def is_prepared(venv: Path, level: str, wanted: str) -> bool:
    try:
        prepared = (venv / f"prepared-{level}.txt").read_text(encoding="utf-8")
    except OSError:
        return False
    return prepared == wanted and os.access(venv / "bin" / "python", os.X_OK)


def lock(venv: Path, progress: Progress) -> IO[str]:
    try:
        venv.mkdir(exist_ok=True)
        handle = (venv / "lock").open("w")
    except OSError as error:
        raise PreparationError(f"cannot write to {venv}: {error.strerror}") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        progress.show("Another start is preparing the virtual environment, waiting for it ...")
        fcntl.flock(handle, fcntl.LOCK_EX)
    return handle


def was_made_by_uv(venv: Path) -> bool:
    """A developer's environment, kept and completed rather than wiped."""
    try:
        return "\nuv = " in (venv / "pyvenv.cfg").read_text(encoding="utf-8")
    except OSError:
        return False


def empty(venv: Path) -> None:
    for entry in venv.iterdir():
        if entry.name == "lock":
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def make_environment(venv: Path, progress: Progress) -> None:
    """An interpreter with pip in ``venv``. Keeps what a complete earlier preparation left."""
    complete = any((venv / f"prepared-{level}.txt").exists() for level in ("run", "test"))
    for level in ("run", "test"):
        (venv / f"prepared-{level}.txt").unlink(missing_ok=True)
    python = venv / "bin" / "python"
    keep = (complete or was_made_by_uv(venv)) and os.access(python, os.X_OK)
    if not keep:
        progress.show(f"Preparing the virtual environment in {venv} (first start only) ...")
        empty(venv)
        command = [sys.executable, "-I", "-m", "venv", str(venv)]
    else:
        progress.show(f"Updating the virtual environment in {venv} ...")
        command = [str(python), "-I", "-m", "ensurepip", "--default-pip"]
    done = subprocess.run(  # noqa: S603 - our own interpreter
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        (venv / "prepare.log").write_text(done.stdout, encoding="utf-8")
        hint = "; on Debian and Ubuntu install python3-venv" if "ensurepip" in done.stdout else ""
        raise PreparationError(
            f"{command[0]} cannot make a virtual environment, see {venv / 'prepare.log'}{hint}"
        )


def install(venv: Path, requirements: Path, pins: int, progress: Progress) -> None:
    """Installs exactly the pinned files of ``requirements``, from whatever index pip is set up for."""
    environment = {key: value for key, value in os.environ.items() if key not in ELSEWHERE}
    command = [str(venv / "bin" / "python"), "-I", "-m", "pip", "install", "--no-deps", "--no-input"]
    command += ["--disable-pip-version-check", "--progress-bar", "off", "-r", str(requirements)]
    found = 0
    last_error = ""
    with (venv / "prepare.log").open("w", encoding="utf-8") as log:
        pip = subprocess.Popen(  # noqa: S603 - our own interpreter
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        )
        for line in pip.stdout or ():
            log.write(line)
            words = line.split()
            if words[:1] == ["Collecting"]:
                found += 1
                progress.show(words[1].partition("==")[0], found, pins)
            elif words[:2] == ["Installing", "collected"]:
                progress.show(f"installing {found} packages ...", pins, pins)
            elif words[:1] == ["ERROR:"]:
                last_error = last_error or line.strip()
        status = pip.wait()
    if status:
        what = last_error or f"pip ended with {status}"
        raise PreparationError(f"the dependencies could not be installed, see {venv / 'prepare.log'}: {what}")


def prepare(root: Path, level: str) -> None:
    venv = root / ".venv"
    requirements = root / "requirements" / f"{level}.txt"
    wanted = requirements.read_text(encoding="utf-8")
    progress = Progress()
    with lock(venv, progress):
        if is_prepared(venv, level, wanted):
            return  # the one that we waited for did it
        make_environment(venv, progress)
        install(venv, requirements, count_pins(wanted), progress)
        if level == "test":  # holds everything that running needs
            shutil.copyfile(root / "requirements" / "run.txt", venv / "prepared-run.txt")
        (venv / f"prepared-{level}.txt").write_text(wanted, encoding="utf-8")
        progress.end("Virtual environment ready")


def main() -> int:
    try:
        prepare(Path(sys.argv[1]), sys.argv[2])
    except PreparationError as failure:
        print(f"\n{failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\npreparation interrupted; the next start begins it anew", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
