"""Which recoveries are shown, and how."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from logs import BrokerIdentity
from remoting.config import RemotingServerConfig
from tools import boot_display
from tools.boot_display import BootDisplay

if TYPE_CHECKING:
    import pytest

    from container import InnerBroker

BROKER = cast("InnerBroker", SimpleNamespace(identity=BrokerIdentity("C", "broker-a", 0)))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def at(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    monkeypatch.setattr(boot_display, "time", SimpleNamespace(monotonic=lambda: seconds))


def test_a_short_recovery_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    display = BootDisplay(RemotingServerConfig())
    for moment in (0.0, 0.5, 0.9):
        at(monkeypatch, moment)
        display.recovering(BROKER, 1 << 20, 2 << 20)
    display.close()
    assert terminal.getvalue() == ""


def test_a_long_recovery_has_a_bar_on_a_terminal_until_the_broker_serves(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    display = BootDisplay(RemotingServerConfig())
    for moment in (0.0, 2.0):
        at(monkeypatch, moment)
        display.recovering(BROKER, 1 << 20, 2 << 20)
    display.after_start(BROKER, {})
    display.close()
    assert "recovering broker-a" in terminal.getvalue()
    assert capsys.readouterr().out == "Broker [broker-a-0] boot success. serializeType=JSON\n"


def test_a_long_recovery_is_a_log_line_every_five_seconds(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    display = BootDisplay(RemotingServerConfig())
    with caplog.at_level("INFO", "rocketmq.store"):
        for moment in range(12):
            at(monkeypatch, float(moment))
            display.recovering(BROKER, moment << 20, 12 << 20)
    assert caplog.messages == ["recovering: 6 of 12 MiB"]
