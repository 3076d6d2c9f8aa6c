"""Java's properties syntax: reading with line numbers, writing one line per key.

Follows `java.util.Properties.load`: `#` and `!` start comment lines; a key ends at the first `=`, `:` or
white space that no backslash protects; a line that ends in an odd number of backslashes goes on in the next
one, whose leading white space is dropped; `\\t \\n \\r \\f \\uXXXX` are escapes and a backslash before any
other character is dropped. Two kindnesses: text is UTF-8 where it can be (Java reads Latin-1), and a byte
order mark is skipped.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import attrs

from configuration.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "Entry",
    "decode_text",
    "parse_properties",
    "split_lines",
    "write_line",
    "write_properties",
    "write_value",
]

_BLANK = " \t\f"
_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
_WRITTEN = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\f": "\\f"}


@attrs.frozen
class Entry:
    """One key of a file. `value` is a text in properties files, a TOML value in TOML files."""

    key: str
    value: object
    line: int
    """First line of the entry, counted from 1; 0 for entries that are from no file."""
    last_line: int


def decode_text(data: bytes) -> str:
    """UTF-8 without its byte order mark, or Latin-1 where that does not fit (which Java would read)."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def parse_properties(text: str, file: str | None = None) -> list[Entry]:
    """Cut a text into its entries, in order; a key may come twice (the last one counts).

    Raises:
        ConfigError: a `\\u` escape is not four hexadecimal digits; names file and line.
    """
    entries: list[Entry] = []
    for line, last_line, logical in _logical_lines(text):
        key, value = _split(logical)
        try:
            entries.append(Entry(_unescape(key), _unescape(value), line, last_line))
        except ValueError as wrong:
            raise ConfigError(file, line, None, str(wrong)) from None
    return entries


def split_lines(text: str) -> list[str]:
    """The lines of a text with their ends; only line feed and carriage return end a line."""
    return re.findall(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+", text)


def write_properties(values: Mapping[str, str]) -> str:
    """`key=value` lines sorted by key, escaped so that Java's reader and ours get the same values back."""
    return "".join(write_line(key, value) for key, value in sorted(values.items()))


def write_line(key: str, value: str) -> str:
    """One `key=value` line with its end."""
    shown_key = re.sub(r"[ =:#!]", r"\\\g<0>", _escape(key))
    return f"{shown_key}={write_value(value)}\n"


def write_value(value: str) -> str:
    """What stands behind the `=`, without the end of the line."""
    shown = _escape(value)
    return "\\" + shown if shown.startswith(" ") else shown


def _logical_lines(text: str) -> Iterator[tuple[int, int, str]]:
    natural = re.split(r"\r\n|\n|\r", text)
    index = 0
    while index < len(natural):
        first = index
        logical = natural[index].lstrip(_BLANK)
        index += 1
        if not logical or logical[0] in "#!":
            continue
        while _goes_on(logical):
            logical = logical[:-1]
            if index == len(natural):
                break
            logical += natural[index].lstrip(_BLANK)
            index += 1
        if logical:  # not a lone backslash
            yield first + 1, index, logical


def _goes_on(line: str) -> bool:
    return (len(line) - len(line.rstrip("\\"))) % 2 == 1


def _split(line: str) -> tuple[str, str]:
    at = 0
    while at < len(line) and line[at] not in "=:" + _BLANK:
        at += 2 if line[at] == "\\" else 1
    key, rest = line[:at], line[at:].lstrip(_BLANK)
    if rest[:1] in ("=", ":"):
        rest = rest[1:].lstrip(_BLANK)
    return key, rest


def _unescape(text: str) -> str:
    if "\\" not in text:
        return text
    parts: list[str] = []
    at = 0
    while at < len(text):
        char = text[at]
        at += 1
        if char != "\\":
            parts.append(char)
        elif text[at : at + 1] == "u":
            digits = text[at + 1 : at + 5]
            if not re.fullmatch(r"[0-9a-fA-F]{4}", digits):
                raise ValueError(f"'\\u{digits}' is not an escape: \\u needs four hexadecimal digits")
            parts.append(chr(int(digits, 16)))
            at += 5
        elif at < len(text):
            parts.append(_ESCAPES.get(text[at], text[at]))
            at += 1
    return "".join(parts).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _escape(text: str) -> str:
    if text.isascii() and text.isprintable() and "\\" not in text:
        return text
    parts: list[str] = []
    for char in text:
        if char in _WRITTEN:
            parts.append(_WRITTEN[char])
        elif " " <= char <= "~":
            parts.append(char)
        else:
            units = char.encode("utf-16-be", "surrogatepass")
            parts.extend(f"\\u{units[at : at + 2].hex().upper()}" for at in range(0, len(units), 2))
    return "".join(parts)
