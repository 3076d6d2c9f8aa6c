"""What a line looks like: Java's text or JSON, one line for one message, on a console as well."""

from __future__ import annotations

import json
import logging
import os
import pty
import sys
import threading
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

import logs
from logs import BrokerIdentity, LogSettings, parse_levels

if TYPE_CHECKING:
    from pathlib import Path

A = BrokerIdentity("C", "a", 0)
LOG = logging.getLogger("rocketmq.store")


def isolated() -> bool:
    return True


def lines(path: Path) -> list[str]:
    assert logs.flush()
    return path.read_text().splitlines()


def objects(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines(path)]


def test_levels_and_tracebacks(tmp_path: Path) -> None:
    logs.install(LogSettings(root=tmp_path, level=logging.WARNING))
    LOG.info("not written")
    try:
        raise ValueError("why")
    except ValueError:
        LOG.exception("failed")
    text = lines(tmp_path / "store.log")
    assert text[0].endswith("ERROR MainThread - failed")
    assert text[-1] == "ValueError: why"


def test_nobody_can_forge_a_line_or_command_the_terminal_of_a_reader(tmp_path: Path) -> None:
    logs.install(LogSettings(root=tmp_path))
    LOG.info("topic %s", "T\n2026-01-01 00:00:00,000 INFO MainThread - forged\r\x1b[2J\x9b\u2028é")
    (line,) = lines(tmp_path / "store.log")
    assert line.endswith(r"T\n2026-01-01 00:00:00,000 INFO MainThread - forged\r\x1b[2J\x9b\u2028é")


def test_text_that_is_no_unicode_is_written_all_the_same(tmp_path: Path) -> None:
    logs.install(LogSettings(root=tmp_path))
    LOG.info("name \udcff")
    assert lines(tmp_path / "store.log")[0].endswith(r"name \udcff")


def test_a_message_that_does_not_fit_its_values_is_written_with_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.install(LogSettings(root=tmp_path))
    LOG.info("%d messages", "many")
    (line,) = lines(tmp_path / "store.log")
    assert "'%d messages' at test_log_lines:" in line
    assert "TypeError" in line
    assert capsys.readouterr().err == ""


def test_json_is_one_object_a_line(tmp_path: Path) -> None:
    logs.install(LogSettings(root=tmp_path, json=True))
    LOG.warning('a "quoted" é %s', "line\nbreak")
    with logs.bound(A, isolated):
        try:
            raise ValueError("why")
        except ValueError:
            LOG.exception("failed")
    with logs.bound(A):
        LOG.info("shared file")
    first, shared = objects(tmp_path / "store.log")
    assert datetime.fromisoformat(first.pop("time")).tzinfo is not None
    assert first == {
        "level": "WARN",
        "logger": "rocketmq.store",
        "thread": "MainThread",
        "broker": None,
        "message": r'a "quoted" é line\nbreak',
    }
    assert (shared["broker"], shared["thread"]) == ("C_a_0", "MainThread")
    (failed,) = objects(tmp_path / "C_a_0" / "store.log")
    assert (failed["level"], failed["broker"], failed["message"]) == ("ERROR", "C_a_0", "failed")
    assert failed["exception"].endswith("ValueError: why")


def test_json_holds_text_that_is_no_unicode_and_what_the_log_says_itself(tmp_path: Path) -> None:
    (tmp_path / "broker.log").mkdir()
    logs.install(LogSettings(root=tmp_path, json=True))
    LOG.info("name \udcff")
    logging.getLogger("rocketmq.broker").info("lost")
    assert objects(tmp_path / "store.log")[0]["message"] == "name \udcff"
    (said,) = objects(tmp_path / "broker_default.log")
    assert (said["level"], said["logger"], said["thread"]) == ("WARN", "rocketmq.logs", "log-writer")


def test_levels_are_read_by_their_java_names() -> None:
    assert parse_levels("") == {}
    assert parse_levels(" rocketmq.store=debug; rocketmq=OFF;rocketmq.remoting.tls = WARN ;") == {
        "rocketmq.store": logging.DEBUG,
        "rocketmq": logging.CRITICAL + 10,
        "rocketmq.remoting.tls": logging.WARNING,
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("rocketmq.store", "'rocketmq.store' is not logger=level"),
        ("rocketmq.stor=DEBUG", "'rocketmq.stor' is not one of rocketmq, rocketmq.broker"),
        ("trio=DEBUG", "'trio' is not one of"),
        ("rocketmq.store=LOUD", "'LOUD' is not one of DEBUG, INFO, WARN, ERROR, OFF"),
    ],
)
def test_levels_that_mean_nothing_are_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_levels(text)


# The console


def test_the_console_shows_lines_from_its_level_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.install(LogSettings(root=tmp_path, console_level=logging.WARNING))
    LOG.info("quiet")
    LOG.warning("loud [bold]")
    with logs.bound(A, isolated):
        LOG.error("whose")
    logs.flush()
    loud, whose = capsys.readouterr().err.splitlines()
    assert loud.endswith("WARN MainThread - loud [bold]")
    assert whose.endswith("ERROR #C_a_0#MainThread - whose")


def test_the_console_can_be_switched_on_and_off(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs.install(LogSettings(root=tmp_path))
    LOG.error("not yet")
    logs.change(LogSettings(console_level=logging.INFO))
    LOG.info("now")
    logs.change(LogSettings())
    LOG.error("no more")
    logs.flush()
    (shown,) = capsys.readouterr().err.splitlines()
    assert shown.endswith("now")


def test_a_terminal_gets_colours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    ours, theirs = pty.openpty()
    with open(theirs, "w", encoding="utf-8") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        logs.install(LogSettings(root=tmp_path, console_level=logging.WARNING))
        LOG.error("red [bold] and long " + "x" * 200)
        assert logs.flush()
        shown = os.read(ours, 4096).decode()
    os.close(ours)
    assert "\x1b[31m" in shown
    assert "red [bold] and long " + "x" * 200 in shown


def test_a_terminal_that_stands_still_holds_up_neither_the_program_nor_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()

    class Stuck:
        def isatty(self) -> bool:
            return False

        def write(self, _text: str) -> None:
            assert gate.wait(30)

        def flush(self) -> None:
            """Nothing is kept back."""

    monkeypatch.setattr(sys, "stderr", Stuck())
    logs.install(LogSettings(root=tmp_path, console_level=logging.INFO))
    try:
        for number in range(5000):
            LOG.info("line %d", number)
        counts = logs.statistics()
        assert counts is not None
        assert counts.dropped_console > 2000
    finally:
        gate.set()
    assert len(lines(tmp_path / "store.log")) == 5000
