"""Lines reach the file of their logger and broker, whole, rotated, and without anybody waiting."""

from __future__ import annotations

import contextvars
import gzip
import logging
import os
import re
import threading
from typing import TYPE_CHECKING

import pytest

import logs
from logs import BrokerIdentity, LogSettings
from logs.rotation import RotatingFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

A = BrokerIdentity("DefaultCluster", "broker-a", 0)
B = BrokerIdentity("DefaultCluster", "broker-b", 1)


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    yield
    logs.uninstall()
    logs.set_isolated(A, False)
    logs.set_isolated(B, False)


def lines(path: Path) -> list[str]:
    assert logs.flush()
    return path.read_text().splitlines()


@pytest.mark.parametrize(
    ("logger", "file"),
    [
        ("rocketmq.broker", "broker.log"),
        ("rocketmq.broker.send", "broker.log"),
        ("rocketmq.container", "broker.log"),
        ("rocketmq.store", "store.log"),
        ("rocketmq.storeerror", "storeerror.log"),
        ("rocketmq.remoting", "remoting.log"),
        ("rocketmq.namesrv", "namesrv.log"),
        ("rocketmq.transaction", "transaction.log"),
        ("rocketmq.stats", "stats.log"),
        ("rocketmq.lock", "lock.log"),
        ("rocketmq.filter", "filter.log"),
        ("rocketmq.protection", "protection.log"),
        ("rocketmq.watermark", "watermark.log"),
        ("rocketmq.client", "rocketmq_client.log"),
        ("rocketmq", "broker_default.log"),
        ("rocketmq.other", "broker_default.log"),
    ],
)
def test_each_logger_has_its_file(tmp_path: Path, logger: str, file: str) -> None:
    logs.install(LogSettings(root=tmp_path))
    logging.getLogger(logger).warning("hello %s", "there")
    (line,) = lines(tmp_path / file)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} WARN MainThread - hello there", line)
    assert [path.name for path in tmp_path.iterdir()] == [file]


def test_an_isolated_broker_has_a_directory_of_its_own(tmp_path: Path) -> None:
    logs.install(LogSettings(root=tmp_path))
    logs.set_isolated(A, True)
    log = logging.getLogger("rocketmq.broker")
    with logs.bound(A):
        log.info("from a")
        thread = threading.Thread(target=contextvars.copy_context().run, args=(log.info, "from a's thread"))
        thread.start()
        thread.join()
    with logs.bound(B):
        log.info("from b")
    log.info("from the container")
    of_a = lines(tmp_path / "DefaultCluster_broker-a_0" / "broker.log")
    assert [line.partition(" - ")[2] for line in of_a] == ["from a", "from a's thread"]
    of_all = lines(tmp_path / "broker.log")
    assert [line.partition("INFO ")[2] for line in of_all] == [
        "#DefaultCluster_broker-b_1#MainThread - from b",
        "MainThread - from the container",
    ]


@pytest.mark.parametrize("name", ["../x", "a/b", "..\\x"])
def test_no_broker_name_leads_out_of_the_root(tmp_path: Path, name: str) -> None:
    root = tmp_path / "logs"
    logs.install(LogSettings(root=root))
    identity = BrokerIdentity("c", name, 0)
    logs.set_isolated(identity, True)
    with logs.bound(identity):
        logging.getLogger("rocketmq.broker").info("x")
    logs.flush()
    assert len(list(root.glob("*/broker.log"))) == 1
    assert list(tmp_path.iterdir()) == [root]


def test_levels_tracebacks_and_identity_in_exceptions(tmp_path: Path) -> None:
    logs.install(LogSettings(root=tmp_path, level=logging.WARNING))
    log = logging.getLogger("rocketmq.store")
    log.info("not written")
    try:
        raise ValueError("why")
    except ValueError:
        log.exception("failed")
    text = lines(tmp_path / "store.log")
    assert text[0].endswith("ERROR MainThread - failed")
    assert text[-1] == "ValueError: why"


def test_the_hosts_logging_is_not_touched(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("rocketmq.broker")
    logger.warning("before")
    logs.install(LogSettings(root=tmp_path))
    logger.warning("in the file")
    logging.getLogger("somebody").warning("else")
    logs.uninstall()
    logger.warning("after")
    assert caplog.messages == ["before", "else", "after"]
    assert (tmp_path / "broker.log").read_text().count("\n") == 1
    assert logging.getLogger("rocketmq").handlers == []


def test_installing_twice_is_an_error(tmp_path: Path) -> None:
    logs.install(LogSettings(root=tmp_path))
    with pytest.raises(RuntimeError, match="installed already"):
        logs.install(LogSettings(root=tmp_path))


def test_full_files_are_compressed_beside_and_the_oldest_go(tmp_path: Path) -> None:
    logs.install(LogSettings(root=tmp_path, max_size_bytes=200, keep=2))
    log = logging.getLogger("rocketmq.broker")
    for number in range(12):
        log.info("line %02d %s", number, "x" * 60)
        logs.flush()
    counts = logs.statistics()
    logs.uninstall()
    assert counts is not None
    assert counts.rotations == 11
    names = sorted(path.name for path in (tmp_path / "otherdays").iterdir())
    assert names == ["broker.1.log.gz", "broker.2.log.gz"]
    assert "line 11" in (tmp_path / "broker.log").read_text()
    assert b"line 10" in gzip.decompress((tmp_path / "otherdays" / names[0]).read_bytes())
    assert b"line 09" in gzip.decompress((tmp_path / "otherdays" / names[1]).read_bytes())


def test_a_file_moved_away_by_somebody_else_is_made_anew(tmp_path: Path) -> None:
    logs.install(LogSettings(root=tmp_path))
    log = logging.getLogger("rocketmq.broker")
    log.info("one")
    logs.flush()
    (tmp_path / "broker.log").rename(tmp_path / "elsewhere.log")
    log.info("two")
    assert len(lines(tmp_path / "broker.log")) == 1


def test_a_full_queue_drops_lines_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reached, gate = threading.Event(), threading.Event()
    real = RotatingFile.write

    def slow(self: RotatingFile, data: bytes) -> Path | None:
        reached.set()
        assert gate.wait(10)
        return real(self, data)

    monkeypatch.setattr(RotatingFile, "write", slow)
    logs.install(LogSettings(root=tmp_path, queue_lines=5))
    log = logging.getLogger("rocketmq.broker")
    log.info("first")
    assert reached.wait(10)
    for number in range(20):
        log.info("line %d", number)
    gate.set()
    written = lines(tmp_path / "broker.log")
    assert len(written) == 1 + 5 + 1
    assert written[-1].endswith("WARN log-writer - 15 log lines were dropped")


def test_a_full_disk_drops_lines_and_goes_on_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logs.install(LogSettings(root=tmp_path))
    log = logging.getLogger("rocketmq.broker")
    log.info("one")
    logs.flush()
    real = os.write
    room = [3]

    def scarce(descriptor: int, data: memoryview) -> int:
        if room:
            return real(descriptor, data[: room.pop()])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", scarce)
        log.info("two")
        logs.flush()
    log.info("three")
    written = lines(tmp_path / "broker.log")
    assert [len(written), len(written[1])] == [4, 3]
    assert written[2].endswith("- three")
    assert written[3].endswith("1 log lines were dropped")
    counts = logs.statistics()
    assert counts is not None
    assert counts.dropped_disk == 1


def test_the_console_shows_lines_from_its_level_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.install(LogSettings(root=tmp_path, console_level=logging.WARNING))
    logging.getLogger("rocketmq.broker").info("quiet")
    logging.getLogger("rocketmq.broker").warning("loud [bold]")
    logs.flush()
    shown = capsys.readouterr().err
    assert "loud [bold]" in shown
    assert "quiet" not in shown
