"""Which processes the pid files name: those that live, here, and none that merely look like them."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from commands import REPOSITORY, environment

from tools import pid_files
from tools.pid_files import RunningProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

WRITER = """
import sys
from tools import pid_files
with pid_files.written(sys.argv[1]):
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the files of this test are; made by the first who writes one."""
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path / ".mqbrokercontainer" / "run"


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that says it is a broker."""
    child = subprocess.Popen(
        [sys.executable, "-c", WRITER, "broker"],
        env={**environment(tmp_path), "PYTHONPATH": str(REPOSITORY)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    yield child
    child.kill()
    child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            pipe.close()


def only_file(directory: Path) -> Path:
    (path,) = directory.iterdir()
    return path


def test_a_process_is_found_by_its_role_while_it_runs(directory: Path) -> None:
    assert pid_files.running("broker") == []
    with pid_files.written("broker"):
        (found,) = pid_files.running("broker")
        assert (found.pid, found.alive) == (os.getpid(), True)
        assert pid_files.running("brokerContainer") == []
        assert pid_files.running("namesrv") == []
    assert pid_files.running("broker") == []
    assert list(directory.iterdir()) == []


def test_several_of_one_role_are_found_together(writer: subprocess.Popen[str]) -> None:
    with pid_files.written("broker"):
        assert {process.pid for process in pid_files.running("broker")} == {os.getpid(), writer.pid}


def test_what_a_killed_process_left_is_swept_up(directory: Path, writer: subprocess.Popen[str]) -> None:
    path = only_file(directory)
    writer.kill()
    writer.wait()
    assert path.exists()
    assert pid_files.running("broker") == []
    assert not path.exists()


def test_a_process_that_its_parent_has_not_waited_for_is_gone(writer: subprocess.Popen[str]) -> None:
    (process,) = pid_files.running("broker")
    writer.kill()
    os.waitid(os.P_PID, writer.pid, os.WEXITED | os.WNOWAIT)
    assert Path(f"/proc/{writer.pid}").exists()
    assert not process.alive
    assert pid_files.wait_until_gone([process], timeout_s=60) == []
    assert pid_files.running("broker") == []


def test_a_number_that_the_system_has_given_to_somebody_else_is_not_taken_for_ours(
    directory: Path, writer: subprocess.Popen[str]
) -> None:
    _, pid, start = only_file(directory).name.split(".")
    recycled = directory / f"namesrv.{pid}.{int(start) - 1}"
    recycled.write_text(only_file(directory).read_text())
    assert pid_files.running("namesrv") == []
    assert not recycled.exists()
    assert [process.pid for process in pid_files.running("broker")] == [writer.pid]


def test_a_file_of_another_start_of_the_machine_names_nobody(
    directory: Path, writer: subprocess.Popen[str]
) -> None:
    same_numbers = directory / only_file(directory).name.replace("broker", "namesrv")
    same_numbers.write_text("another-boot")
    assert pid_files.running("namesrv") == []
    assert not same_numbers.exists()


def test_a_file_that_somebody_elsewhere_holds_is_left_alone(directory: Path) -> None:
    # As from another machine, or another process namespace, with the same home directory.
    directory.mkdir(parents=True)
    path = directory / "broker.1.7"
    with path.open("w") as held:
        held.write("another boot")
        held.flush()
        fcntl.flock(held, fcntl.LOCK_EX)
        assert pid_files.running("broker") == []
        assert path.exists()
    assert pid_files.running("broker") == []
    assert not path.exists()


@pytest.mark.parametrize(
    "name", ["broker", "broker.1", "broker.x.y", "broker.1.2.3", "broker.-1.2", "broker.1.new-1", "notes.txt"]
)
def test_other_files_are_neither_read_nor_removed(directory: Path, name: str) -> None:
    directory.mkdir(parents=True)
    (directory / name).write_text("")
    assert pid_files.running("broker") == []
    assert (directory / name).exists()


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"x" * 4096])
def test_a_damaged_file_names_nobody(directory: Path, writer: subprocess.Popen[str], content: bytes) -> None:
    only_file(directory).write_bytes(content)
    assert pid_files.running("broker") == []
    assert only_file(directory).exists(), "its owner lives and holds it"


def test_a_directory_that_cannot_be_read_is_an_error_and_not_an_empty_one(directory: Path) -> None:
    directory.parent.mkdir()
    directory.write_text("")
    with pytest.raises(NotADirectoryError):
        pid_files.running("broker")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_directory_without_permission_is_an_error_too(directory: Path) -> None:
    directory.mkdir(parents=True)
    directory.chmod(0)
    try:
        with pytest.raises(PermissionError):
            pid_files.running("broker")
    finally:
        directory.chmod(0o700)


def test_two_users_do_not_see_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pid_files.written("broker"):
        monkeypatch.setenv("HOME", str(tmp_path / "somebody-else"))
        assert pid_files.running("broker") == []


def test_a_directory_that_vanished_meanwhile_does_not_hurt_the_end(directory: Path) -> None:
    with pid_files.written("broker"):
        only_file(directory).unlink()
        directory.rmdir()


def test_waiting_ends_when_the_last_one_is_gone(writer: subprocess.Popen[str]) -> None:
    (process,) = pid_files.running("broker")
    assert pid_files.wait_until_gone([process], timeout_s=0) == [process]
    assert writer.stdin is not None
    ending = threading.Thread(target=writer.stdin.close)
    ending.start()
    assert pid_files.wait_until_gone([process], timeout_s=60) == []
    ending.join()


def test_an_odd_program_name_does_not_confuse_the_reader_of_proc(tmp_path: Path) -> None:
    odd = tmp_path / "a) Z 1 (b"
    odd.symlink_to("/bin/sleep")
    with subprocess.Popen([str(odd), "1000"]) as child:
        started = RunningProcess(child.pid, pid_files._start_ticks(child.pid) or 0)
        assert started.alive
        child.kill()
        child.wait()
        assert not started.alive
