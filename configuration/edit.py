"""Changing keys in a configuration file that somebody else wrote.

Values are replaced where they stand; comments, blank lines, the order of the keys, the ends of the lines and
the encoding stay as they were, and new keys go to the end. What comes out is read back before anything is
written: each changed key must give exactly its new text, and every other key what it gave before.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import attrs
import tomli

from configuration.errors import ConfigError
from configuration.properties import decode_text, split_lines, write_line, write_value
from configuration.read import parse_text
from configuration.toml import write_toml_value

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from configuration.properties import Entry
    from configuration.read import RawConfig

__all__ = ["Change", "edited"]

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_KEY_AND_SEPARATOR = re.compile(r"[ \t\f]*(?:\\.|[^\\=: \t\f])+[ \t\f]*[=:][ \t\f]*")
_TOML_KEY = re.compile(r"[ \t]*[^=\"'#]+=[ \t]*")
_LINE_END = re.compile(r"(?:\r\n|\n|\r)$")


@attrs.frozen
class Change:
    """The new value of one key."""

    key: str
    """As this kind of file spells it."""
    value: object
    """A text, or for TOML also a number, a boolean or a list of texts."""


def edited(data: bytes, path: Path, changes: Mapping[str, Change]) -> tuple[bytes, RawConfig]:
    """The content of a file after some changes, and what it says then.

    Args:
        data: the content now; nothing for a file that does not exist.
        path: its name, whose suffix tells the syntax.
        changes: by any name; the order of new keys.

    Raises:
        ConfigError: the content is not in its syntax, so that it cannot be changed; names file and line.
    """
    text = decode_text(data)
    before = parse_text(text, path)
    lines = split_lines(text)
    end = next((found[0] for line in lines if (found := _LINE_END.search(line))), "\n")
    added: list[str] = []
    replaced: list[tuple[int, int, str]] = []
    for change in changes.values():
        entry = before.by_key.get(change.key)
        if entry is None:
            added.append(_new_line(change, before.is_toml) + end)
        else:
            old = lines[entry.line - 1 : entry.last_line]
            line = _changed_line(old, entry, change, before.is_toml)
            found = _LINE_END.search(old[-1])
            replaced.append((entry.line - 1, entry.last_line, line + (found[0] if found else end)))
    for first, last, line in sorted(replaced, reverse=True):
        lines[first:last] = [line]
    if added and lines:
        lines[-1] = _ended(lines[-1], end)
        if _goes_on_at_the_end("".join(lines), before):
            lines.append(end)  # the last value goes on in a line that must stay empty
    new_text = "".join([*lines, *added])
    after = parse_text(new_text, path)
    expected = {key: entry.value for key, entry in before.by_key.items()}
    expected.update({change.key: change.value for change in changes.values()})
    by_hand = ConfigError(path, None, None, "cannot be changed by this program, please do it by hand")
    if {key: entry.value for key, entry in after.by_key.items()} != expected:
        raise by_hand
    try:
        return _encoded(new_text, data), after
    except UnicodeEncodeError:
        raise by_hand from None


def _new_line(change: Change, is_toml: bool) -> str:
    if is_toml:
        return f"{change.key} = {write_toml_value(change.value)}"
    return write_line(change.key, str(change.value)).rstrip("\n")


def _changed_line(old: list[str], entry: Entry, change: Change, is_toml: bool) -> str:
    """The entry with another value; what stands before it stays, and in TOML a comment behind it."""
    if is_toml:
        if entry.last_line > entry.line or (start := _TOML_KEY.match(old[0])) is None:
            return _new_line(change, is_toml)
        return start[0] + write_toml_value(change.value) + _toml_comment(old[0])
    start = _KEY_AND_SEPARATOR.match(old[0])
    if start is None:
        return _new_line(change, is_toml)
    return start[0] + write_value(str(change.value))


def _toml_comment(line: str) -> str:
    """The comment at the end of a line with one key, with the space before it."""
    statement = tomli.loads(line)
    for found in re.finditer(r"[ \t]*#", line):
        try:
            if tomli.loads(line[: found.start()]) == statement:
                return line[found.start() :].rstrip("\r\n")
        except tomli.TOMLDecodeError:
            continue
    return ""


def _ended(line: str, end: str) -> str:
    return line if _LINE_END.search(line) else line + end


def _goes_on_at_the_end(text: str, raw: RawConfig) -> bool:
    """Whether a line added to a properties text would be taken for the rest of its last value."""
    if raw.is_toml:
        return False
    probe = parse_text(text + "x=x\n")
    return (
        not probe.entries
        or probe.entries[-1].key != "x"
        or probe.entries[-1].line != probe.entries[-1].last_line
    )


def _encoded(text: str, old: bytes) -> bytes:
    """As the old content was: UTF-8, with its byte order mark if it had one, or Latin-1."""
    try:
        old.decode("utf-8")
    except UnicodeDecodeError:
        return text.encode("latin-1")
    return (_BYTE_ORDER_MARK if old.startswith(_BYTE_ORDER_MARK) else b"") + text.encode("utf-8")
