"""What a line looks like: Java's text, or one JSON object.

    2026-01-31 12:00:00,123 WARN MainThread - text                          (text; %d %p %t - %m in Java)
    {"time":"2026-01-31T12:00:00.123+01:00","level":"WARN", ...}            (json)

A message is one line whatever a peer put into it: control characters are shown as escapes, so that nobody can
forge a line or command the terminal of a reader. Only tracebacks have several lines, in text.
"""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING, Protocol

from logs.levels import level_name

if TYPE_CHECKING:
    from logs.identity import BrokerIdentity

__all__ = ["JsonLines", "LineFormat", "TextLines", "notice"]

_ESCAPED = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}
_ESCAPED |= {ord("\n"): "\\n", ord("\r"): "\\r", 0x2028: "\\u2028", 0x2029: "\\u2029"}
del _ESCAPED[ord("\t")]
_ESCAPED_IN_TRACEBACK = {code: text for code, text in _ESCAPED.items() if code != ord("\n")}

_FORMATTER = logging.Formatter()
_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class LineFormat(Protocol):
    """Makes the text of a record, with its end."""

    def format(self, record: logging.LogRecord, speaker: BrokerIdentity | None, *, named: bool) -> str:
        """The line.

        Args:
            record: what was logged.
            speaker: the broker it is about.
            named: the place where the line goes is shared, so the line itself has to name the broker.
        """


def notice(text: str) -> logging.LogRecord:
    """A record of the log's own."""
    record = logging.LogRecord("rocketmq.logs", logging.WARNING, "", 0, text, None, None)
    record.threadName = "log-writer"
    return record


def _message(record: logging.LogRecord) -> str:
    """The message in one line; what cannot be formatted is said instead of raised."""
    try:
        text = record.getMessage()
    except Exception as error:
        place = f"{record.module}:{record.lineno}"
        text = f"{record.msg!r} at {place} does not fit its values: {type(error).__name__}: {error}"
    return text if text.isprintable() else text.translate(_ESCAPED)


def _trace(record: logging.LogRecord) -> str:
    parts = []
    if record.exc_info:
        parts.append(_FORMATTER.formatException(record.exc_info))
    if record.stack_info:
        parts.append(record.stack_info)
    return "\n".join(parts).translate(_ESCAPED_IN_TRACEBACK)


class TextLines:
    """Java's pattern, with milliseconds and local time. Safe in any thread."""

    def __init__(self) -> None:
        self._second = (-1, "")

    def format(self, record: logging.LogRecord, speaker: BrokerIdentity | None, *, named: bool) -> str:
        millis = int(record.created * 1000)
        second, shown = self._second
        if millis // 1000 != second:
            second = millis // 1000
            shown = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))
            self._second = (second, shown)
        thread = record.threadName or "-"
        if named and speaker is not None:
            thread = f"#{speaker.canonical_name}#{thread}"
        level = level_name(record.levelname)
        line = f"{shown},{millis % 1000:03d} {level} {thread} - {_message(record)}\n"
        return f"{line}{_trace(record)}\n" if record.exc_info or record.stack_info else line


class JsonLines:
    """One object a line: time, level, logger, thread, broker, message and, if there is one, exception."""

    def __init__(self) -> None:
        self._second = (-1, "", "")

    def format(self, record: logging.LogRecord, speaker: BrokerIdentity | None, *, named: bool) -> str:
        millis = int(record.created * 1000)
        second, shown, zone = self._second
        if millis // 1000 != second:
            second = millis // 1000
            local = time.localtime(second)
            shown = time.strftime("%Y-%m-%dT%H:%M:%S", local)
            zone = time.strftime("%z", local)
            self._second = (second, shown, zone)
        content = {
            "time": f"{shown}.{millis % 1000:03d}{zone[:3]}:{zone[3:5]}",
            "level": level_name(record.levelname),
            "logger": record.name,
            "thread": record.threadName,
            "broker": None if speaker is None else speaker.canonical_name,
            "message": _message(record),
        }
        if record.exc_info or record.stack_info:
            content["exception"] = _trace(record)
        return _ENCODE(content) + "\n"
