"""Nobody waits for the disk; what is lost is counted, told, and nobody's but the one who lost it."""

from __future__ import annotations

import errno
import logging
import os
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest
import trio

import logs
from logs import BrokerIdentity, LogSettings
from logs.rotation import RotatingFile
from logs.writer import LINE_OVERHEAD_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

A = BrokerIdentity("C", "a", 0)
B = BrokerIdentity("C", "b", 0)
LOG = logging.getLogger("rocketmq.broker")
STORE = logging.getLogger("rocketmq.store")
LINE_BYTES = LINE_OVERHEAD_BYTES + 100
"""A bit more than any line of these tests takes in the queue."""


def isolated() -> bool:
    return True


def lines(path: Path) -> list[str]:
    assert logs.flush()
    return path.read_text().splitlines()


def counts() -> logs.LogStatistics:
    found = logs.statistics()
    assert found is not None
    return found


class StuckDisk:
    """Writes that do not return before they are let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.gate = threading.Event(), threading.Event()
        real = RotatingFile.write

        def write(file: RotatingFile, data: bytes, max_size_bytes: int) -> bool:
            self.reached.set()
            assert self.gate.wait(30)
            return real(file, data, max_size_bytes)

        monkeypatch.setattr(RotatingFile, "write", write)

    def stick(self) -> None:
        """Returns when the writer waits for the disk."""
        LOG.info("first")
        assert self.reached.wait(30)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[StuckDisk]:
    stuck = StuckDisk(monkeypatch)
    yield stuck
    stuck.gate.set()


def test_a_full_queue_drops_lines_and_says_so(tmp_path: Path, disk: StuckDisk) -> None:
    logs.install(LogSettings(root=tmp_path, queue_bytes=10 * LINE_BYTES))
    disk.stick()
    for number in range(40):
        LOG.info("line %d", number)
    disk.gate.set()
    written = lines(tmp_path / "broker.log")
    dropped = counts().dropped_queue_full
    assert dropped == 1 + 40 - (len(written) - 1) > 0
    assert written[-1].endswith(
        f"WARN log-writer - {dropped} log lines were dropped: they came faster than they can be written"
    )
    assert counts().dropped_by("") == counts().dropped_lines == dropped


def test_the_last_lines_of_a_burst_are_missed_although_nothing_follows_them(
    tmp_path: Path, disk: StuckDisk
) -> None:
    logs.install(LogSettings(root=tmp_path, queue_bytes=4 * LINE_BYTES))
    disk.stick()
    STORE.info("waits")
    for number in range(20):
        LOG.info("line %d", number)
    disk.gate.set()
    assert "log lines were dropped" in lines(tmp_path / "broker.log")[-1]
    assert "dropped" not in (tmp_path / "store.log").read_text()


def test_a_broker_that_logs_without_end_takes_no_line_from_its_neighbour(
    tmp_path: Path, disk: StuckDisk
) -> None:
    logs.install(LogSettings(root=tmp_path, queue_bytes=100 * LINE_BYTES))
    disk.stick()
    with logs.bound(A, isolated):
        for number in range(1000):
            LOG.info("line %d", number)
    with logs.bound(B, isolated):
        for number in range(20):
            LOG.info("line %d", number)
    disk.gate.set()
    assert len(lines(tmp_path / "C_b_0" / "broker.log")) == 20
    assert lines(tmp_path / "C_a_0" / "broker.log")[-1].endswith("faster than they can be written")
    assert counts().dropped_by("C_a_0") == counts().dropped_lines > 0
    assert counts().dropped_by("C_b_0") == 0


async def test_the_event_loop_goes_on_while_the_disk_stands_still(tmp_path: Path, disk: StuckDisk) -> None:
    logs.install(LogSettings(root=tmp_path, queue_bytes=10 * LINE_BYTES))
    disk.stick()
    turns = 0
    async with trio.open_nursery() as nursery:

        async def talk() -> None:
            nonlocal turns
            for _ in range(1000):
                LOG.info("still here")
                await trio.lowlevel.checkpoint()
                turns += 1

        for _ in range(3):
            nursery.start_soon(talk)
    assert turns == 3000
    assert not logs.flush(0)
    assert counts().dropped_lines > 2900


def test_a_pipe_that_nobody_reads_drops_lines_and_holds_nothing_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "broker.log")
    logs.install(LogSettings(root=tmp_path))
    LOG.info("into the pipe")
    STORE.info("into the file")
    assert len(lines(tmp_path / "store.log")) == 1
    assert counts().dropped_disk == 1
    reader = os.open(tmp_path / "broker.log", os.O_RDONLY | os.O_NONBLOCK)
    try:
        for _ in range(3):  # together more than a pipe holds
            LOG.info("x" * 60_000)
        STORE.info("goes on")
        assert len(lines(tmp_path / "store.log")) == 2
        assert counts().dropped_disk > 1
    finally:
        os.close(reader)


def test_a_full_disk_drops_lines_and_goes_on_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logs.install(LogSettings(root=tmp_path))
    LOG.info("one")
    logs.flush()
    real = os.write
    room = [3]

    def scarce(descriptor: int, data: memoryview) -> int:
        if room:
            return real(descriptor, data[: room.pop()])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", scarce)
        LOG.info("two")
        logs.flush()
        (refused,) = counts().refused_files
        assert (refused.path.name, refused.reason, refused.lines) == (
            "broker.log",
            "No space left on device",
            1,
        )
    LOG.info("three")
    written = lines(tmp_path / "broker.log")
    assert len(written) == 3
    assert written[1].endswith("1 log lines were dropped: No space left on device")
    assert written[2].endswith("- three")
    assert counts().dropped_disk == 1
    assert counts().refused_files == ()


def test_one_file_that_cannot_be_written_is_reported_beside_it_once_and_counted(tmp_path: Path) -> None:
    (tmp_path / "C_a_0" / "store.log").mkdir(parents=True)
    logs.install(LogSettings(root=tmp_path))
    with logs.bound(A, isolated):
        for _ in range(3):
            STORE.info("lost")
            assert logs.flush()
        LOG.info("written")
    (said,) = lines(tmp_path / "C_a_0" / "broker_default.log")
    path = tmp_path / "C_a_0" / "store.log"
    assert said.endswith(f"lines for {path} are dropped and counted, it cannot be written: Is a directory")
    assert len(lines(tmp_path / "C_a_0" / "broker.log")) == 1
    assert not (tmp_path / "broker_default.log").exists()
    assert [(file.path, file.lines) for file in counts().refused_files] == [(path, 3)]
    assert counts().dropped_by("C_a_0") == 3
    path.rmdir()
    with logs.bound(A, isolated):
        STORE.info("written again")
    assert [line.partition(" - ")[2] for line in lines(path)] == [
        "3 log lines were dropped: Is a directory",
        "written again",
    ]
    assert counts().refused_files == ()


def test_a_directory_that_cannot_be_written_is_reported_in_the_root(tmp_path: Path) -> None:
    (tmp_path / "C_a_0").write_text("in the way")
    logs.install(LogSettings(root=tmp_path))
    with logs.bound(A, isolated):
        LOG.info("lost")
    said = lines(tmp_path / "broker_default.log")
    assert len(said) == 1
    assert f"lines for {tmp_path / 'C_a_0' / 'broker.log'} are dropped" in said[0]


def test_when_nothing_can_be_written_it_is_said_on_standard_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "logs").write_text("in the way")
    logs.install(LogSettings(root=tmp_path / "logs"))
    LOG.info("lost")
    assert logs.flush()
    assert logs.flush()
    assert "broker.log are dropped and counted" in capsys.readouterr().err
    assert counts().dropped_lines == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB of its own."""
    directory = tmp_path / "small"
    directory.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(directory)]
    try:
        done = subprocess.run(command, capture_output=True, check=False, text=True)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if done.returncode:
        pytest.skip(f"this user cannot mount a file system: {done.stderr.strip()}")
    try:
        yield directory
    finally:
        logs.uninstall()
        subprocess.run(["umount", str(directory)], check=True)


def test_a_log_disk_that_is_really_full_costs_lines_and_nothing_else(small_disk: Path) -> None:
    root = small_disk / "log"
    logs.install(LogSettings(root=root, max_size_bytes=8 << 10, keep=100))
    for number in range(2000):
        LOG.info("line %d %s", number, os.urandom(100).hex())
    assert logs.flush()
    lost = counts().dropped_disk
    assert lost > 0
    for path in sorted(root.rglob("*"), reverse=True):
        if path.is_file():
            path.unlink()
    LOG.info("there is room again")
    assert lines(root / "broker.log")[-1].endswith("there is room again")
    assert counts().refused_files == ()
    assert counts().dropped_disk == lost


def test_a_line_that_logs_while_it_is_written_does_not_deadlock(tmp_path: Path) -> None:
    class Talkative:
        def __str__(self) -> str:
            LOG.info("inside")
            return "outside"

    logs.install(LogSettings(root=tmp_path))
    LOG.info("%s", Talkative())
    assert [line.partition(" - ")[2] for line in lines(tmp_path / "broker.log")] == ["inside", "outside"]
