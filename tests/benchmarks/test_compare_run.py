"""How `benchmarks.compare` goes on when something fails, and what it leaves when it is interrupted."""

from __future__ import annotations

import io
import os
import signal
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import psutil
import pytest
from rich.console import Console

from benchmarks import compare, compare_systems
from benchmarks.compare import Comparison
from benchmarks.compare_bars import JAVA, NATS, OURS
from benchmarks.compare_loads import Load, Size, VoidRunError
from benchmarks.compare_report import Gap, Report
from benchmarks.compare_systems import System, started
from benchmarks.interpreter import Interpreter
from tests.interop.processes import ChildProcess, ProcessError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import ExitStack

PYTHON = Interpreter(Path(sys.executable), "CPython", compiled=False)
NOTHING = Report(
    quick=True,
    rounds=2,
    date="2026-01-31",
    seconds=0.0,
    machine={},
    python="CPython",
    messages=1,
    failed={},
    taken=[],
    gaps=[],
    readings=[],
)


def sleeping(directory: Path, name: str) -> System:
    """A process that does nothing."""
    child = ChildProcess(name, [sys.executable, "-c", "input()"], log_dir=directory, stdin=True)
    return System(name=name, home=directory, server=child, processes=[child], address="")


@pytest.fixture
def children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[System]:
    """Systems are sleeping processes, except Java, which does not start; yields those that were started."""
    there: list[System] = []

    def start(name: str, home: Path, settings: object, ours: Interpreter, stack: ExitStack) -> System:
        del home, settings, ours
        if name == JAVA:
            raise ProcessError("java-broker-a ended\nthe end of its log")
        there.append(sleeping(tmp_path, name))
        stack.callback(there[-1].server.kill)
        return there[-1]

    monkeypatch.setattr(compare_systems, "_start", start)
    return there


def comparison(loads: list[Load], home: Path) -> tuple[Comparison, list[Report], Console]:
    kept: list[Report] = []
    console = Console(record=True, width=200, file=io.StringIO())
    run = Comparison(NOTHING, [JAVA, NATS, OURS], PYTHON, console, kept.append)
    run.run(loads, home)
    return run, kept, console


def load(key: str, run: Callable[[System, Size, int], dict[str, float]]) -> Load:
    return Load(key, run, with_nats=True)


@pytest.fixture(autouse=True)
def no_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Comparison, "_warm_up", lambda run, system: None)

    @contextmanager
    def at_once(system: System) -> Iterator[None]:
        yield

    monkeypatch.setattr(compare, "awake", at_once)


def test_a_system_that_fails_is_named_and_the_rest_goes_on(tmp_path: Path, children: list[System]) -> None:
    def send(system: System, size: Size, number: int) -> dict[str, float]:
        if system.name == NATS and number == 1:
            raise ProcessError("publisher ended\nits last line")
        return {"send-1-cpu": 1.0 + number}

    def batch(system: System, size: Size, number: int) -> dict[str, float]:
        return {"batch-cpu": 2.0}

    run, kept, console = comparison([load("send-1", send), load("batch", batch)], tmp_path)
    found = [(each.quantity, each.system, each.round) for each in run.report.readings]
    assert found == [
        ("send-1-cpu", NATS, 0),
        ("send-1-cpu", OURS, 0),
        ("send-1-cpu", OURS, 1),
        ("batch-cpu", NATS, 0),
        ("batch-cpu", OURS, 0),
        ("batch-cpu", OURS, 1),
        ("batch-cpu", NATS, 1),
    ]
    assert run.report.gaps == [
        Gap(JAVA, "send-1", "java-broker-a ended"),
        Gap(JAVA, "batch", "java-broker-a ended"),
        Gap(NATS, "send-1", "publisher ended"),
    ]
    assert [report.taken for report in kept] == [["send-1"], ["send-1", "batch"]]
    printed = console.export_text()
    assert "the end of its log" in printed
    assert "its last line" in printed


def test_a_void_run_is_repeated(tmp_path: Path, children: list[System]) -> None:
    turns: list[str] = []

    def send(system: System, size: Size, number: int) -> dict[str, float]:
        turns.append(system.name)
        if turns.count(system.name) == 1:
            raise VoidRunError("Producer lost a thread")
        return {"send-1-cpu": 1.0}

    run, _, _ = comparison([attrs.evolve(load("send-1", send), once=True)], tmp_path)
    assert turns == [NATS, NATS, OURS, OURS]
    assert len(run.report.readings) == 2


def test_an_interrupt_leaves_no_process(tmp_path: Path, children: list[System]) -> None:
    def send(system: System, size: Size, number: int) -> dict[str, float]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        comparison([load("send-1", send)], tmp_path)
    assert len(children) == 2
    assert not [system for system in children if psutil.pid_exists(system.server.pid)]


def test_what_starts_sleeps(tmp_path: Path, children: list[System]) -> None:
    faults: list[tuple[str, str]] = []

    def failed(name: str, fault: Exception) -> None:
        faults.append((name, str(fault).splitlines()[0]))

    names: Sequence[str] = [JAVA, OURS]
    with started(names, tmp_path, {}, PYTHON, failed) as systems:
        assert [system.name for system in systems] == [OURS]
        # Returns when it is stopped, and not before.
        told = os.waitid(os.P_PID, systems[0].server.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        assert told is not None
        assert told.si_status == signal.SIGSTOP
    assert faults == [(JAVA, "java-broker-a ended")]
