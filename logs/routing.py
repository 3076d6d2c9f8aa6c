"""Which line goes to which file: by the logger's name and by the broker that speaks.

Everybody logs with the standard library under `rocketmq.*`. Once installed, those lines, and only those, go
to Java's file names: `<root>/<file>`, or `<root>/<cluster>_<name>_<id>/<file>` for an isolated broker
(`isolateLogEnable`). The host application's own logging is not touched; before :func:`install` and after
:func:`uninstall` the lines travel to its handlers as usual.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from logs.identity import current_identity, is_isolated
from logs.writer import Line, LogStatistics, LogWriter, Target

if TYPE_CHECKING:
    from collections.abc import Callable

    from logs.identity import BrokerIdentity

__all__ = ["LogSettings", "file_of", "flush", "install", "statistics", "uninstall"]

ROOT_LOGGER = "rocketmq"

_MIB = 1 << 20
_LEVELS = {"WARNING": "WARN", "CRITICAL": "ERROR", "NOTSET": "TRACE"}
_STOP_TIMEOUT_S = 10.0
_MOST_TARGETS = 4096


@attrs.frozen
class LogFile:
    """A file of Java's layout: its name, the size at which it is rotated, how many old ones are kept."""

    name: str
    max_size_bytes: int
    keep: int


_FILES = {
    "broker": LogFile("broker.log", 128 * _MIB, 20),
    "container": LogFile("broker.log", 128 * _MIB, 20),
    "store": LogFile("store.log", 128 * _MIB, 10),
    "storeerror": LogFile("storeerror.log", 128 * _MIB, 10),
    "remoting": LogFile("remoting.log", 100 * _MIB, 10),
    "namesrv": LogFile("namesrv.log", 100 * _MIB, 5),
    "transaction": LogFile("transaction.log", 100 * _MIB, 10),
    "stats": LogFile("stats.log", 100 * _MIB, 5),
    "lock": LogFile("lock.log", 100 * _MIB, 5),
    "filter": LogFile("filter.log", 100 * _MIB, 10),
    "protection": LogFile("protection.log", 100 * _MIB, 10),
    "watermark": LogFile("watermark.log", 100 * _MIB, 10),
    "client": LogFile("rocketmq_client.log", 64 * _MIB, 10),
}
_DEFAULT_FILE = LogFile("broker_default.log", 100 * _MIB, 10)


@attrs.frozen(kw_only=True)
class LogSettings:
    """Where and what to log."""

    root: Path = attrs.field(factory=lambda: Path.home() / "logs" / "rocketmqlogs", converter=Path)
    """Directory of the files; created with the first line."""
    level: int = logging.INFO
    """Lines below this level are not written."""
    console_level: int | None = None
    """Lines from this level on are shown on standard error as well; None shows none."""
    queue_lines: int = 16_384
    """Most lines waiting for the writer thread; more are dropped and counted."""
    max_size_bytes: int | None = None
    """Size at which every file is rotated, instead of Java's 100 or 128 MiB."""
    keep: int | None = None
    """Old files kept of each, instead of Java's 5 to 20."""


def file_of(logger_name: str) -> LogFile:
    """The file for a logger: `rocketmq.store.flush` writes where `rocketmq.store` does."""
    parts = logger_name.split(".")
    return _FILES.get(parts[1], _DEFAULT_FILE) if len(parts) > 1 else _DEFAULT_FILE


class _Router(logging.Handler):
    """Formats lines where they arise and hands them to the writer thread."""

    def __init__(self, settings: LogSettings) -> None:
        super().__init__()
        self._settings = settings
        show = None if settings.console_level is None else _console(settings.console_level)
        self.writer = LogWriter(settings.queue_lines, _notice, show)
        self._second = -1
        self._shown_second = ""
        self._targets: dict[tuple[str, BrokerIdentity | None], Target] = {}

    def emit(self, record: logging.LogRecord) -> None:
        try:
            identity = current_identity.get()
            thread = record.threadName or "-"
            isolated = identity is not None and is_isolated(identity)
            if identity is not None and not isolated:
                thread = f"#{identity.canonical_name}#{thread}"
            target = self._target(record.name, identity if isolated else None)
            text = record.getMessage()
            if record.exc_info:
                text = f"{text}\n{_FORMATTER.formatException(record.exc_info)}"
            if record.stack_info:
                text = f"{text}\n{record.stack_info}"
            level = _LEVELS.get(record.levelname, record.levelname)
            self.writer.put(
                Line(
                    target,
                    f"{self._time(record.created)} {level} {thread} - {text}\n",
                    record.levelno,
                )
            )
        except Exception:
            self.handleError(record)

    def _target(self, logger_name: str, isolated: BrokerIdentity | None) -> Target:
        key = (logger_name, isolated)
        target = self._targets.get(key)
        if target is None:
            if len(self._targets) >= _MOST_TARGETS:
                self._targets.clear()
            root, file = self._settings.root, file_of(logger_name)
            directory = root if isolated is None else root / _as_name(isolated.canonical_name)
            target = self._targets[key] = Target(
                path=directory / file.name,
                max_size_bytes=self._settings.max_size_bytes or file.max_size_bytes,
                keep=self._settings.keep or file.keep,
            )
        return target

    def _time(self, seconds: float) -> str:
        millis = int(seconds * 1000)
        if millis // 1000 != self._second:
            self._second = millis // 1000
            self._shown_second = _shown_second(self._second)
        return f"{self._shown_second},{millis % 1000:03d}"


_FORMATTER = logging.Formatter()
_installed: _Router | None = None


def install(settings: LogSettings | None = None) -> None:
    """Send the lines of `rocketmq.*` to files from now on, and no longer to the host's handlers.

    Raises:
        RuntimeError: it is installed already.
    """
    global _installed
    if _installed is not None:
        raise RuntimeError("the log files are installed already")
    settings = settings or LogSettings()
    router = _Router(settings)
    router.writer.start()
    logger = logging.getLogger(ROOT_LOGGER)
    logger.addHandler(router)
    logger.setLevel(settings.level)
    logger.propagate = False
    _installed = router


def uninstall() -> None:
    """Write what waits, close the files, and leave `rocketmq.*` to the host's handlers again.

    Blocks, at most about ten seconds. Does nothing if nothing is installed.
    """
    global _installed
    router, _installed = _installed, None
    if router is None:
        return
    logger = logging.getLogger(ROOT_LOGGER)
    logger.removeHandler(router)
    logger.setLevel(logging.NOTSET)
    logger.propagate = True
    router.writer.stop(_STOP_TIMEOUT_S)
    router.close()


def flush(timeout_s: float = _STOP_TIMEOUT_S) -> bool:
    """Wait until all lines logged so far are written or dropped; False if that took too long. Blocks."""
    return _installed is None or _installed.writer.flush(timeout_s)


def statistics() -> LogStatistics | None:
    """Counts since :func:`install`, or None if nothing is installed."""
    return None if _installed is None else _installed.writer.statistics()


def _notice(text: str) -> str:
    now = time.time()
    return f"{_shown_second(int(now))},{int(now * 1000) % 1000:03d} WARN log-writer - {text}\n"


def _shown_second(second: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))


def _as_name(canonical_name: str) -> str:
    """A directory name that stays below the root, whatever the broker is called."""
    name = re.sub(r"[/\\\0]", "_", canonical_name)
    return name if name.strip(".") else name.replace(".", "_")


def _console(level: int) -> Callable[[Line], None]:
    from rich.console import Console
    from rich.text import Text

    console = Console(file=sys.stderr, highlight=False, soft_wrap=True)

    def show(line: Line) -> None:
        if line.level >= level:
            style = (
                "red" if line.level >= logging.ERROR else "yellow" if line.level >= logging.WARNING else ""
            )
            console.print(Text(line.text.rstrip("\n"), style))

    return show
