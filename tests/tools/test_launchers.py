"""`bin/`: the first start on a fresh machine, later starts, starts at odd moments."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

ENVIRONMENT = {**os.environ, "MQ_PYTHON": sys.executable, "MQ_COMPILED": ""}
"""A checkout of a test has no native build, whatever this run tests."""

ECHO = """
import sys
def main():
    print("path:", sys.path[0])
    print("args:", *sys.argv)
    return 7
"""


def checkout(directory: Path) -> Path:
    """A checkout with the real launchers, no dependencies, and one command that says how it was called."""
    shutil.copytree(REPOSITORY / "bin", directory / "bin")
    (directory / "requirements").mkdir()
    for level in ("run", "test"):
        (directory / "requirements" / f"{level}.txt").write_text("# nothing\n")
    (directory / "tools").mkdir()
    (directory / "tools" / "__init__.py").write_text("")
    shutil.copy(REPOSITORY / "tools" / "compiled.py", directory / "tools")
    (directory / "tools" / "mqnamesrv.py").write_text(ECHO)
    return directory


def start(command: Path, *args: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    environment = {**ENVIRONMENT, **env}
    return subprocess.run(
        [command, *args], cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = checkout(tmp_path_factory.mktemp("checkout") / "a checkout with spaces")
    first = start(root / "bin" / "mqnamesrv", cwd=root)
    assert first.returncode == 7, first.stderr
    assert "Preparing the virtual environment" in first.stderr
    return root


def test_a_second_start_prepares_nothing_and_passes_arguments_and_exit_code(prepared: Path) -> None:
    again = start(prepared / "bin" / "mqnamesrv", "-c", "a b", cwd=prepared)
    assert (again.returncode, again.stderr) == (7, "")
    assert "args: mqnamesrv -c a b" in again.stdout


def test_the_callers_directory_and_pythonpath_do_not_come_before_our_packages(
    prepared: Path, tmp_path: Path
) -> None:
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "__init__.py").write_text("raise SystemExit('the wrong tools')")
    started = start(prepared / "bin" / "mqnamesrv", cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert started.returncode == 7, started.stderr
    assert f"path: {prepared}" in started.stdout


def test_a_launcher_works_through_links(prepared: Path, tmp_path: Path) -> None:
    (tmp_path / "absolute").symlink_to(prepared / "bin" / "mqnamesrv")
    (tmp_path / "relative").symlink_to("absolute")
    assert start(tmp_path / "relative", cwd=tmp_path).returncode == 7


def test_an_interrupt_before_the_command_has_begun_leaves_no_traceback(prepared: Path) -> None:
    (prepared / "tools" / "mqshutdown.py").write_text("import signal\nsignal.raise_signal(signal.SIGINT)\n")
    interrupted = subprocess.run(
        [prepared / "bin" / "mqshutdown"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert (interrupted.returncode, interrupted.stdout, interrupted.stderr) == (-signal.SIGINT, "", "")


def test_an_interrupted_preparation_is_begun_anew(prepared: Path) -> None:
    (prepared / ".venv" / "prepared-run.txt").unlink()
    stray = prepared / ".venv" / "half-written"
    stray.write_text("")
    assert start(prepared / "bin" / "mqnamesrv", cwd=prepared).returncode == 7
    assert not stray.exists()


def test_changed_requirements_update_the_environment_in_place(prepared: Path) -> None:
    kept = prepared / ".venv" / "kept"
    kept.write_text("")
    (prepared / "requirements" / "run.txt").write_text("# changed\n")
    updated = start(prepared / "bin" / "mqnamesrv", cwd=prepared)
    assert updated.returncode == 7
    assert "Updating the virtual environment" in updated.stderr
    assert kept.exists()


def test_of_two_starts_at_once_one_prepares_and_the_other_waits(tmp_path: Path) -> None:
    root = checkout(tmp_path / "checkout")
    command = [str(root / "bin" / "mqnamesrv")]
    both = [
        subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    errors = [child.communicate(timeout=120)[1] for child in both]
    assert [child.returncode for child in both] == [7, 7]
    assert sum("Preparing" in error for error in errors) == 1


def test_requirements_that_cannot_be_had_are_one_sentence(prepared: Path) -> None:
    requirements = prepared / "requirements" / "run.txt"
    kept = requirements.read_text()
    requirements.write_text("./no-such-package.whl\n")
    try:
        failed = start(prepared / "bin" / "mqnamesrv", cwd=prepared)
    finally:
        requirements.write_text(kept)
    assert failed.returncode == 1
    assert "the dependencies could not be installed, see" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_without_a_new_enough_python_it_says_what_it_needs(tmp_path: Path) -> None:
    root = checkout(tmp_path / "checkout")
    tools = tmp_path / "tools-only"
    tools.mkdir()
    for tool in ("sh", "cmp", "readlink"):
        (tools / tool).symlink_to(shutil.which(tool) or "")
    old = tools / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    failed = start(root / "bin" / "mqnamesrv", cwd=root, PATH=str(tools), MQ_PYTHON="")
    assert failed.returncode == 1
    assert "needs Python 3.11 or newer" in failed.stderr
