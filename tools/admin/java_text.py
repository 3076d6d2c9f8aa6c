"""How Java prints the values that scripts find in `mqadmin` output: dates, permissions, `toString` forms."""

from __future__ import annotations

import datetime
import re
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "boolean",
    "map_text",
    "milliseconds_text",
    "parse_timestamp",
    "permission_text",
    "seconds_text",
    "to_string",
]

_COMMAND_LINE_TIME = re.compile(r"(\d{4}-\d\d-\d\d)#(\d\d:\d\d:\d\d):(\d{1,3})")


def milliseconds_text(timestamp_ms: int) -> str:
    """`2026-11-21 06:16:08,414` in local time (Java `UtilAll.timeMillisToHumanString2`)."""
    seconds, milliseconds = divmod(timestamp_ms, 1000)
    return f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(seconds))},{milliseconds:03d}"


def seconds_text(timestamp_ms: int) -> str:
    """`2026-11-21 06:16:08` in local time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(timestamp_ms // 1000))


def parse_timestamp(text: str) -> int:
    """Milliseconds since 1970 from a number of them or from `yyyy-MM-dd#HH:mm:ss:SSS` in local time.

    Raises:
        ValueError: It is neither.
    """
    try:
        return int(text)
    except ValueError:
        match = _COMMAND_LINE_TIME.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is neither milliseconds nor yyyy-MM-dd#HH:mm:ss:SSS") from None
        day, clock, milliseconds = match.groups()
        moment = datetime.datetime.fromisoformat(f"{day}T{clock}").astimezone()
        return int(moment.timestamp()) * 1000 + int(milliseconds)


def permission_text(permission: int) -> str:
    """`RWX` with `-` for what is missing (Java `PermName.perm2String`; X is "inherited")."""
    return (
        ("R" if permission & 4 else "-") + ("W" if permission & 2 else "-") + ("X" if permission & 1 else "-")
    )


def boolean(value: bool) -> str:
    return "true" if value else "false"


def map_text(mapping: Mapping[Any, Any]) -> str:
    """`{a=1, b=2}` as `AbstractMap.toString` gives it, in the mapping's own order."""
    return "{" + ", ".join(f"{key}={_value_text(value)}" for key, value in mapping.items()) + "}"


def to_string(name: str, fields: Mapping[str, Any], *, brackets: str = "{}") -> str:
    """`Name{a=1, b=null}` from field names and values."""
    inside = ", ".join(f"{key}={_value_text(value)}" for key, value in fields.items())
    return f"{name}{brackets[:-1]}{inside}{brackets[-1]}"


def _value_text(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return boolean(value)
        case dict():
            return map_text(value)
        case list() | tuple():
            return "[" + ", ".join(_value_text(each) for each in value) + "]"
        case _:
            return str(value)
