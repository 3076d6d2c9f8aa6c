"""RocketMQ's JSON: one reader for all of it, one writer for each form that a peer needs.

The dialect is what fastjson writes and reads (1.2.83 in older releases, fastjson2 in RocketMQ 5.5). Beyond
standard JSON it has numbers as keys (`{0:"a"}`), objects as keys
(`{{"brokerName":"b","queueId":0,"topic":"t"}:5}`), names without quotes and strings in single quotes. Java
and Go peers emit the first two, so every body may have them.

How it reads: `{0:1}` gives the key 0 (an int), `{{"a":1}:2}` an `ObjectKey`. Numbers with a fraction or an
exponent are floats, all others ints.

How it writes: None is left out of objects and is `null` in lists; keys are sorted (numbers by value, before
text by code point), so equal objects give equal bytes; bytes become base64, NaN and infinity `null`.
"""

from __future__ import annotations

import base64
import json.encoder
import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from remoting.errors import BodyFault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MAX_BYTES = 16 * 1024 * 1024
MAX_DEPTH = 64


class ObjectKey(tuple[tuple[str, Any], ...]):
    """An object that stands as a key: (name, value) pairs sorted by name, so equal objects are equal keys."""

    __slots__ = ()

    @classmethod
    def of(cls, fields: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> ObjectKey:
        """The key for an object. Its values must be hashable: texts, numbers, booleans, None."""
        return cls(sorted(dict(fields).items(), key=_name))

    def as_dict(self) -> dict[str, Any]:
        """The object itself."""
        return dict(self)


def _name(field: tuple[str, Any]) -> str:
    return field[0]


_decode_standard = msgspec.json.Decoder().decode


def loads(text: bytes | bytearray | memoryview | str, *, max_bytes: int = MAX_BYTES) -> Any:
    """Reads one value of the dialect.

    Args:
        text: UTF-8 bytes, or text. White space around the value is ignored.
        max_bytes: longer input is refused unread.

    Raises:
        BodyFault: not of the dialect, above `max_bytes`, or nested deeper than 64.
    """
    if len(text) > max_bytes:
        raise BodyFault(f"JSON of {len(text)} bytes, the limit is {max_bytes}")
    try:
        return _decode_standard(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    if not isinstance(text, str):
        try:
            text = str(text, "utf-8")
        except UnicodeDecodeError as error:
            raise BodyFault(f"not UTF-8: {error}") from error
    return _DialectReader(text).read()


_SPACE = re.compile(r"[ \t\r\n\f\b\ufeff]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,4000})(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,5})?")
_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$.\-]*")
_PLAIN = {'"': re.compile(r'[^"\\]*'), "'": re.compile(r"[^'\\]*")}
_HEX4 = re.compile(r"[0-9a-fA-F]{4}")
_HEX2 = re.compile(r"[0-9a-fA-F]{2}")
_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None, "undefined": None, "NaN": None}
_ESCAPES = {
    '"': '"',
    "'": "'",
    "\\": "\\",
    "/": "/",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "0": "\0",
    "1": "\1",
    "2": "\2",
    "3": "\3",
    "4": "\4",
    "5": "\5",
    "6": "\6",
    "7": "\7",
}


class _DialectReader:
    """Recursive descent over a text. Takes what fastjson takes, and nothing that would guess."""

    __slots__ = ("_at", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def read(self) -> Any:
        value = self._value(MAX_DEPTH)
        if self._peek():
            raise self._fault("more after the value")
        return value

    def _fault(self, what: str) -> BodyFault:
        return BodyFault(f"not JSON: {what} at character {self._at}")

    def _peek(self) -> str:
        """The next character that is not white space; "" at the end."""
        text = self._text
        at = self._at
        if (at < len(text) and text[at] <= " ") or text[at : at + 1] == "\ufeff":
            match = _SPACE.match(text, at)
            assert match is not None  # noqa: S101 - the pattern matches the empty text
            self._at = at = match.end()
        return text[at : at + 1]

    def _value(self, depth: int) -> Any:
        first = self._peek()
        if first == '"' or first == "'":
            return self._string(first)
        if first == "{":
            return self._object(depth)
        if first == "[":
            return self._list(depth)
        if first == "-" or first.isdigit():
            return self._number()
        match = _NAME.match(self._text, self._at)
        if match is None or match[0] not in _WORDS:
            raise self._fault("no value")
        self._at = match.end()
        return _WORDS[match[0]]

    def _object(self, depth: int) -> dict[Any, Any]:
        if not depth:
            raise self._fault(f"nested deeper than {MAX_DEPTH}")
        self._at += 1
        result: dict[Any, Any] = {}
        while True:
            first = self._peek()
            if first == ",":
                self._at += 1
                continue
            if first == "}":
                self._at += 1
                return result
            key = self._key(first, depth - 1)
            if self._peek() != ":":
                raise self._fault("no colon after a key")
            self._at += 1
            result[key] = self._value(depth - 1)
            if self._peek() not in (",", "}"):
                raise self._fault("neither comma nor brace after a value")

    def _key(self, first: str, depth: int) -> Any:
        if first == '"' or first == "'":
            return self._string(first)
        if first == "{":
            try:
                key = ObjectKey.of(self._object(depth))
                hash(key)
            except TypeError:
                raise self._fault("an object that cannot be a key") from None
            return key
        if first == "-" or first.isdigit():
            return self._number()
        match = _NAME.match(self._text, self._at)
        if match is None:
            raise self._fault("no key")
        self._at = match.end()
        return match[0]

    def _list(self, depth: int) -> list[Any]:
        if not depth:
            raise self._fault(f"nested deeper than {MAX_DEPTH}")
        self._at += 1
        result: list[Any] = []
        while True:
            first = self._peek()
            if first == ",":
                self._at += 1
                continue
            if first == "]":
                self._at += 1
                return result
            result.append(self._value(depth - 1))
            if self._peek() not in (",", "]"):
                raise self._fault("neither comma nor bracket after a value")

    def _number(self) -> int | float:
        match = _NUMBER.match(self._text, self._at)
        if match is None:
            raise self._fault("no number")
        self._at = match.end()
        return int(match[0]) if match[1] is None and match[2] is None else float(match[0])

    def _string(self, quote: str) -> str:
        text = self._text
        plain = _PLAIN[quote]
        at = self._at + 1
        parts: list[str] = []
        while True:
            match = plain.match(text, at)
            assert match is not None  # noqa: S101 - the pattern matches the empty text
            parts.append(match[0])
            at = match.end()
            if text[at : at + 1] == quote:
                self._at = at + 1
                break
            at = self._escape(at, parts)
        result = "".join(parts)
        if not result.isascii():
            result = result.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        return result

    def _escape(self, at: int, parts: list[str]) -> int:
        text = self._text
        kind = text[at + 1 : at + 2]
        if kind == "u" or kind == "x":
            match = (_HEX4 if kind == "u" else _HEX2).match(text, at + 2)
            if match is not None:
                parts.append(chr(int(match[0], 16)))
                return match.end()
        elif kind in _ESCAPES:
            parts.append(_ESCAPES[kind])
            return at + 2
        self._at = at
        raise self._fault("a bad escape or no end of a string")


_quote_plain: Callable[[str], str] = json.encoder.encode_basestring
_quote_ascii: Callable[[str], str] = json.encoder.encode_basestring_ascii


_TOGETHER = 10_000
"""Pieces of a text that are joined in one call: to join all of a large table, or to let all of them go at
once, keeps the interpreter from the other threads for milliseconds."""


def _encoded(parts: list[str]) -> bytes:
    """The whole text in UTF-8, surrogates as `?`; takes `parts` apart."""
    chunks = []
    if len(parts) > _TOGETHER:
        parts.reverse()  # what comes first is at the cheap end
        while len(parts) > _TOGETHER:
            first = parts[: -_TOGETHER - 1 : -1]
            del parts[-_TOGETHER:]
            chunks.append("".join(first).encode("utf-8", "replace"))
        parts.reverse()
    chunks.append("".join(parts).encode("utf-8", "replace"))
    return b"".join(chunks)


def dumps(value: Any) -> bytes:
    """The compact form of fastjson: keys that are numbers without quotes, `ObjectKey` keys as objects."""
    parts: list[str] = []
    _Writer(parts.append, _quote_plain, bare_keys=True).write(value)
    return _encoded(parts)


def dumps_standard(value: Any) -> bytes:
    """Standard JSON: every key is a string in quotes, everything outside ASCII is escaped.

    An `ObjectKey` becomes a string that holds the object's compact text.
    """
    parts: list[str] = []
    _Writer(parts.append, _quote_ascii, bare_keys=False).write(value)
    return _encoded(parts)


def dumps_pretty(value: Any) -> bytes:
    """fastjson2's `PrettyFormat`, the form of the config files: a TAB a level, no space after the colon."""
    parts: list[str] = []
    _Writer(parts.append, _quote_plain, bare_keys=True, indent="\t").write(value)
    return _encoded(parts)


def _key_order(item: tuple[Any, Any]) -> tuple[int, Any]:
    """Numbers, then texts, then objects by their parts."""
    key = item[0]
    if isinstance(key, str):
        return (1, key)
    if isinstance(key, ObjectKey):
        return (2, [(name, *_key_order((value, None))) for name, value in key])
    return (-1, 0) if key is None else (0, key)


class _Writer:
    """One pass over a value; `emit` gets the pieces of text."""

    __slots__ = ("_bare_keys", "_emit", "_indent", "_quote")

    def __init__(
        self, emit: Callable[[str], None], quote: Callable[[str], str], *, bare_keys: bool, indent: str = ""
    ) -> None:
        self._emit = emit
        self._quote = quote
        self._bare_keys = bare_keys
        self._indent = indent

    def write(self, value: Any, level: int = 1) -> None:
        emit = self._emit
        if isinstance(value, str):
            emit(self._quote(str(value)))
        elif value is None:
            emit("null")
        elif isinstance(value, bool):
            emit("true" if value else "false")
        elif isinstance(value, int):
            emit(int.__repr__(value))
        elif isinstance(value, float):
            emit(_java_double(value))
        elif isinstance(value, Mapping):
            self._write_object(value.items(), level)
        elif isinstance(value, ObjectKey):
            self._write_object(value, level)
        elif isinstance(value, bytes | bytearray | memoryview):
            emit(f'"{base64.b64encode(value).decode("ascii")}"')
        elif isinstance(value, list | tuple | set | frozenset):
            self._write_list(value, level)
        else:
            raise TypeError(f"{type(value).__name__} has no JSON form")

    def _write_object(self, items: Iterable[tuple[Any, Any]], level: int) -> None:
        emit = self._emit
        separator = "{"
        for key, value in sorted(items, key=_key_order):
            if value is None:
                continue
            emit(separator)
            separator = ","
            if self._indent:
                emit("\n" + self._indent * level)
            if isinstance(key, str):
                emit(self._quote(key))
            elif not self._bare_keys:
                emit(self._quote(dumps(key).decode()))
            else:
                self.write(key, level + 1)
            emit(":")
            self.write(value, level + 1)
        if separator == "{":
            emit("{}")
        elif self._indent:
            emit("\n" + self._indent * (level - 1) + "}")
        else:
            emit("}")

    def _write_list(self, values: Iterable[Any], level: int) -> None:
        emit = self._emit
        separator = "["
        for value in values:
            emit(separator)
            separator = ","
            if self._indent:
                emit("\n" + self._indent * level)
            self.write(value, level + 1)
        if separator == "[":
            emit("[]")
        elif self._indent:
            emit("\n" + self._indent * (level - 1) + "]")
        else:
            emit("]")


def _java_double(value: float) -> str:
    """The digits of `Double.toString`: plain from 0.001 to 10,000,000, else with an exponent."""
    if not math.isfinite(value):
        return "null"
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        return repr(value)
    sign, digits, exponent = Decimal(repr(value)).as_tuple()
    text = "".join(map(str, digits))
    fraction = text[1:].rstrip("0") or "0"
    return f"{'-' if sign else ''}{text[0]}.{fraction}E{int(exponent) + len(text) - 1}"
