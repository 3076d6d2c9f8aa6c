"""Full files are compressed beside the log under Java's names, whatever happens meanwhile."""

from __future__ import annotations

import errno
import gzip
import logging
import os
import shutil
from typing import TYPE_CHECKING

import pytest

import logs
from logs import LogSettings
from logs.rotation import RotatingFile, compress_old
from tests.small_disks import KINDS, Filler, small_disk

if TYPE_CHECKING:
    from pathlib import Path

LOG = logging.getLogger("rocketmq.broker")


def old_files(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "otherdays").iterdir())


def test_full_files_are_compressed_beside_and_the_oldest_go(tmp_path: Path) -> None:
    logs.install(LogSettings(root=tmp_path, max_size_bytes=200, keep=2))
    for number in range(12):
        LOG.info("line %02d %s", number, "x" * 60)
        logs.flush()
    counts = logs.statistics()
    logs.uninstall()
    assert counts is not None
    assert counts.rotations == 11
    assert old_files(tmp_path) == ["broker.1.log.gz", "broker.2.log.gz"]
    assert "line 11" in (tmp_path / "broker.log").read_text()
    youngest, older = (gzip.decompress(path.read_bytes()) for path in sorted(tmp_path.glob("otherdays/*")))
    assert b"line 10" in youngest
    assert b"line 09" in older


def test_no_line_is_lost_between_files(tmp_path: Path) -> None:
    logs.install(LogSettings(root=tmp_path, max_size_bytes=10_000, keep=100))
    for number in range(2000):
        LOG.info("line %d.", number)
    logs.uninstall()
    older = [gzip.decompress(path.read_bytes()).decode() for path in (tmp_path / "otherdays").iterdir()]
    text = "".join([*older, (tmp_path / "broker.log").read_text()])
    assert len(older) > 1
    assert sorted(int(line.rpartition(" ")[2][:-1]) for line in text.splitlines()) == list(range(2000))


def test_size_and_number_of_old_files_change_while_running(tmp_path: Path) -> None:
    logs.install(LogSettings(root=tmp_path, max_size_bytes=200, keep=5))
    for number in range(10):
        if number == 8:
            logs.change(LogSettings(max_size_bytes=200, keep=1))
        LOG.info("line %02d %s", number, "x" * 60)
        logs.flush()
    logs.uninstall()
    assert old_files(tmp_path) == ["broker.1.log.gz"]


def test_without_old_files_nothing_is_kept(tmp_path: Path) -> None:
    logs.install(LogSettings(root=tmp_path, max_size_bytes=200, keep=0))
    for number in range(4):
        LOG.info("line %02d %s", number, "x" * 60)
        logs.flush()
    logs.uninstall()
    assert old_files(tmp_path) == []


def test_a_file_moved_away_by_somebody_else_is_made_anew(tmp_path: Path) -> None:
    logs.install(LogSettings(root=tmp_path))
    LOG.info("one")
    logs.flush()
    (tmp_path / "broker.log").rename(tmp_path / "elsewhere.log")
    LOG.info("two")
    logs.flush()
    assert (tmp_path / "broker.log").read_text().count("\n") == 1


def test_what_could_not_be_compressed_is_compressed_with_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs.install(LogSettings(root=tmp_path, max_size_bytes=200, keep=5))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfileobj", full)
        for number in range(2):
            LOG.info("line %02d %s", number, "x" * 60)
            logs.flush()
        logs.uninstall()
    assert old_files(tmp_path)[0] == f"broker.log.{os.getpid()}.0"
    logs.install(LogSettings(root=tmp_path, max_size_bytes=200, keep=5))
    for number in range(2, 4):
        LOG.info("line %02d %s", number, "x" * 60)
        logs.flush()
    logs.uninstall()
    assert all(name.endswith(".log.gz") for name in old_files(tmp_path))
    oldest = sorted(tmp_path.glob("otherdays/*"))[-1]
    assert b"line 00" in gzip.decompress(oldest.read_bytes())


def test_a_failed_compression_is_told_in_the_log(
    tmp_path: Path,
) -> None:
    (tmp_path / "otherdays" / "broker.1.log.gz").mkdir(parents=True)
    logs.install(LogSettings(root=tmp_path, max_size_bytes=300, keep=1))
    LOG.info("x" * 200)
    logs.flush()
    LOG.info("y" * 200)
    logs.uninstall()
    assert "was rotated, but not compressed" in (tmp_path / "broker.log").read_text()


def test_files_that_are_never_compressed_do_not_fill_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "broker.log"
    file = RotatingFile(log)
    for number in range(6):
        file.write(b"%d" % number * 100, max_size_bytes=100)
    file.close()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(OSError, match="No space left"):
        compress_old(log, keep=2)
    assert len(old_files(tmp_path)) == 2


def test_the_rest_of_an_interrupted_compression_is_removed(tmp_path: Path) -> None:
    log = tmp_path / "broker.log"
    (tmp_path / "otherdays").mkdir()
    (tmp_path / "otherdays" / "broker.log.1.0").write_text("whole")
    (tmp_path / "otherdays" / "broker.log.1.0.tmp").write_text("half")
    (tmp_path / "otherdays" / "store.log.1.0.tmp").write_text("not ours")
    compress_old(log, keep=3)
    assert old_files(tmp_path) == ["broker.1.log.gz", "store.log.1.0.tmp"]


def test_two_writers_of_one_path_lose_no_line(tmp_path: Path) -> None:
    log = tmp_path / "broker.log"
    writers = [RotatingFile(log), RotatingFile(log)]
    for number in range(200):
        if writers[number % 2].write(b"%d\n" % number, max_size_bytes=50):
            compress_old(log, keep=100)
    for writer in writers:
        writer.close()
    older = b"".join(gzip.decompress(path.read_bytes()) for path in (tmp_path / "otherdays").iterdir())
    assert sorted(map(int, (older + log.read_bytes()).split())) == list(range(200))


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_leaves_whole_lines(tmp_path: Path, kind: str) -> None:
    with small_disk(kind, tmp_path, 4 << 20) as disk:
        file, written, is_full = RotatingFile(disk / "broker.log"), 0, False
        line, filler = b"x" * 998 + b"|\n", Filler(disk)
        filler.leave(20_000)
        while not is_full:
            try:
                file.write(3 * line, max_size_bytes=1 << 30)
                written += 3
            except OSError as error:
                is_full = error.errno == errno.ENOSPC
        assert written > 0
        assert (disk / "broker.log").read_bytes() == written * line
        filler.remove()
        file.write(line, max_size_bytes=1 << 30)
        assert (disk / "broker.log").read_bytes() == (written + 1) * line
        file.close()


def test_a_line_that_another_process_wrote_behind_a_torn_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, other = tmp_path / "broker.log", RotatingFile(tmp_path / "broker.log")
    file = RotatingFile(log)
    write = os.write

    def short(descriptor: int, data: bytes) -> int:
        monkeypatch.setattr(os, "write", full)
        return write(descriptor, data[:4])

    def full(*_: object) -> int:
        monkeypatch.setattr(os, "write", write)
        other.write(b"other\n", max_size_bytes=1 << 30)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", short)
    with pytest.raises(OSError, match="No space left"):
        file.write(b"torn line\n", max_size_bytes=1 << 30)
    file.write(b"whole\n", max_size_bytes=1 << 30)
    assert log.read_bytes() == b"tornother\n\nwhole\n"
    for one in (file, other):
        one.close()
