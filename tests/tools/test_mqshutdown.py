"""`mqshutdown` as scripts see it: standard output and exit codes are those of Java's."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from commands import Started, run

from tools import pid_files
from tools.mqshutdown import command

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


def name_server(home: Path) -> Started:
    (home / "namesrv.conf").write_text("listenPort=0\n")
    return Started(home, "mqnamesrv", "-c", "namesrv.conf")


def container(home: Path, name: str) -> Started:
    (home / f"{name}.conf").write_text("listenPort=0\nbindAddress=127.0.0.1\n")
    return Started(home, "mqbrokercontainer", "-c", f"{name}.conf")


def lines(done: subprocess.CompletedProcess[str]) -> list[str]:
    return done.stdout.splitlines()


def test_it_stops_what_runs_and_says_so_in_javas_words(home: Path) -> None:
    with name_server(home) as started:
        started.wait_for("boot success")
        pid = started.process.pid
        stopped = run(home, "mqshutdown", "namesrv")
        assert (stopped.returncode, stopped.stderr) == (0, "")
        assert lines(stopped) == [
            f"The mqnamesrv({pid}) is running...",
            f"Send shutdown request to mqnamesrv({pid}) OK",
        ]
        assert started.process.wait(timeout=60) == 0


def test_it_stops_both_of_two_containers_and_nothing_else(home: Path) -> None:
    with container(home, "one") as one, container(home, "two") as two, name_server(home) as other:
        for started in (one, two, other):
            started.wait_for("boot success")
        stopped = run(home, "mqshutdown", "brokerContainer", "-w", "60")
        pids = " ".join(str(pid) for pid in sorted([one.process.pid, two.process.pid]))
        assert lines(stopped) == [
            f"The broker container({pids}) is running...",
            f"Send shutdown request to broker container({pids}) OK",
        ]
        assert (one.process.wait(timeout=60), two.process.wait(timeout=60)) == (0, 0)
        assert other.process.poll() is None


def test_it_finds_only_what_its_own_user_has_started(home: Path) -> None:
    elsewhere = home / "another-user"
    elsewhere.mkdir()
    with name_server(home) as started:
        started.wait_for("boot success")
        stopped = run(elsewhere, "mqshutdown", "namesrv")
        assert (stopped.returncode, stopped.stdout) == (1, "No mqnamesrv running.\n")
        assert started.process.poll() is None


@pytest.mark.parametrize(
    ("role", "title"),
    [("broker", "mqbroker"), ("brokerContainer", "broker container"), ("namesrv", "mqnamesrv")],
)
def test_nothing_to_stop_is_exit_code_1(home: Path, role: str, title: str) -> None:
    nothing = run(home, "mqshutdown", role)
    assert (nothing.returncode, nothing.stdout, nothing.stderr) == (1, f"No {title} running.\n", "")


@pytest.mark.parametrize(("role", "title"), [("controller", "mqcontroller"), ("proxy", "mqproxy")])
def test_what_does_not_exist_here_does_not_run_and_it_says_why(home: Path, role: str, title: str) -> None:
    nothing = run(home, "mqshutdown", role)
    assert (nothing.returncode, nothing.stdout) == (1, f"No {title} running.\n")
    assert nothing.stderr == f"mqshutdown: there is no {role} in this version, so none can be stopped\n"


def test_an_unknown_role_is_refused_with_the_known_ones(home: Path) -> None:
    refused = run(home, "mqshutdown", "nothing")
    assert (refused.returncode, refused.stdout) == (255, "")
    assert "brokercontainer" in refused.stderr.lower()


def test_what_a_killed_one_left_behind_is_not_a_running_one(home: Path) -> None:
    with name_server(home) as started:
        started.wait_for("boot success")
        assert started.stop(signal.SIGKILL)[0] == -signal.SIGKILL
    assert os.listdir(home / ".mqbrokercontainer" / "run")
    assert run(home, "mqshutdown", "namesrv").stdout == "No mqnamesrv running.\n"
    assert not os.listdir(home / ".mqbrokercontainer" / "run")


def test_w_waits_for_the_end_and_says_when_it_does_not_come(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(os, "kill", lambda _pid, _signal: None)  # a process that does not care
    pid = os.getpid()
    with pid_files.written("broker"):
        waited = CliRunner().invoke(command, ["broker", "-w", "0"], standalone_mode=False)
        hurried = CliRunner().invoke(command, ["broker"], standalone_mode=False)
    assert waited.return_value == 1
    assert waited.stdout.splitlines()[-1] == f"The mqbroker({pid}) is still running after 0 s."
    assert (hurried.return_value, len(hurried.stdout.splitlines())) == (0, 2)


def test_a_process_of_another_user_in_a_shared_home_is_named_and_not_stopped(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbid(_pid: int, _signal: int) -> None:
        raise PermissionError

    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(os, "kill", forbid)
    with pid_files.written("broker"):
        done = CliRunner().invoke(command, ["broker", "-w", "60"], standalone_mode=False)
    assert done.return_value == 1
    assert done.stdout == f"The mqbroker({os.getpid()}) is running...\n"
    assert done.stderr == f"mqshutdown: mqbroker({os.getpid()}) belongs to another user, it is not stopped\n"


def test_one_that_goes_by_itself_meanwhile_is_stopped_all_the_same(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_pid: int, _signal: int) -> None:
        raise ProcessLookupError

    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(os, "kill", gone)
    with pid_files.written("broker"):
        done = CliRunner().invoke(command, ["broker"], standalone_mode=False)
    assert (done.return_value, len(done.stdout.splitlines())) == (0, 2)


def test_a_directory_that_cannot_be_read_is_one_sentence_and_not_nothing(home: Path) -> None:
    (home / ".mqbrokercontainer").mkdir()
    (home / ".mqbrokercontainer" / "run").write_text("")
    failed = run(home, "mqshutdown", "broker")
    assert (failed.returncode, failed.stdout) == (255, "")
    assert failed.stderr == f"mqshutdown: cannot read {home}/.mqbrokercontainer/run: Not a directory\n"


def test_an_unknown_home_is_one_sentence(home: Path) -> None:
    failed = run(home, "mqshutdown", "broker", HOME="")
    assert (failed.returncode, failed.stdout) == (254, "")
    assert failed.stderr == "mqshutdown: the home directory is unknown, please set HOME\n"
