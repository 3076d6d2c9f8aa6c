"""The machine under all body classes: msgspec structs whose annotations say how they turn into JSON and back.

A class reads what Java, Go and C++ peers write: unknown keys are ignored, a missing key or null gives the
default, numbers may come as texts and the other way round. It writes Java's keys. Annotations may be made of
str, int, float, bool, Any, `X | None`, list, frozenset, dict and other body classes; a body class as a dict's
key is an object that stands as a key in the JSON.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final, Self

import msgspec

from remoting.errors import BodyFault
from remoting.json_dialect import ObjectKey, dumps, loads

Reader = Callable[[Any], Any]


class Body(msgspec.Struct, frozen=True, rename="camel"):
    """Base of all body classes. A key that is not the camelCase of its name is `msgspec.field(name=...)`."""

    @classmethod
    def from_json_object(cls, value: Any) -> Self:
        """The object in a value that `json_dialect.loads` gave.

        Raises:
            BodyFault: not an object, or a part of it is of the wrong kind; the text names the class and key.
        """
        if not isinstance(value, Mapping):
            if not isinstance(value, ObjectKey):
                raise BodyFault(f"{cls.__name__} is not an object")
            value = value.as_dict()
        arguments: dict[str, Any] = {}
        for name, wire, read, required in _table(cls):
            item = value.get(wire)
            if item is None:
                if required:
                    raise BodyFault(f"{cls.__name__}.{wire} is missing")
                continue
            try:
                arguments[name] = read(item)
            except BodyFault:
                raise
            except (ValueError, TypeError, OverflowError) as error:
                raise BodyFault(f"{cls.__name__}.{wire}: {error}") from None
        return cls(**arguments)

    @classmethod
    def decode(cls, body: bytes | memoryview | str) -> Self:
        """The object in a body.

        Raises:
            BodyFault: not JSON, or as `from_json_object`.
        """
        return cls.from_json_object(loads(body))

    def to_json_object(self) -> dict[str, Any]:
        """Java's keys and plain values, ready for a writer of `json_dialect`; None is left out."""
        result: dict[str, Any] = {}
        for name, wire, _, _ in _table(type(self)):
            value = getattr(self, name)
            if value is not None:
                result[wire] = _plain(value)
        return result

    def encode(self) -> bytes:
        """The body in fastjson's compact form."""
        return dumps(self.to_json_object())


@cache
def _table(kind: type[Body]) -> tuple[tuple[str, str, Reader, bool], ...]:
    return tuple(
        (field.name, field.encode_name, _reader(field.type), field.required)
        for field in msgspec.structs.fields(kind)
    )


def _plain(value: Any) -> Any:
    if isinstance(value, str | int | float):
        return value
    if isinstance(value, Body):
        return value.to_json_object()
    if isinstance(value, Mapping):
        return {_plain_key(key): _plain(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(_plain(item) for item in value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _plain_key(key: Any) -> Any:
    return ObjectKey.of(key.to_json_object()) if isinstance(key, Body) else key


def _reader(hint: Any) -> Reader:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        (inner,) = [each for each in typing.get_args(hint) if each is not type(None)]
        return _reader(inner)
    if origin is dict:
        return _dict_reader(*(_reader(each) for each in typing.get_args(hint)))
    if origin in (list, frozenset):
        return _sequence_reader(origin, _reader(typing.get_args(hint)[0]))
    if isinstance(hint, type) and issubclass(hint, Body):
        return hint.from_json_object
    return _SCALARS[hint]


def _dict_reader(read_key: Reader, read_value: Reader) -> Reader:
    def read(value: Any) -> dict[Any, Any]:
        if isinstance(value, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in value):
            pairs: Any = value  # Gson's form of a map with objects as keys
        elif isinstance(value, Mapping):
            pairs = value.items()
        else:
            raise TypeError("not an object")
        return {read_key(key): read_value(item) for key, item in pairs if item is not None}

    return read


def _sequence_reader(kind: Callable[[list[Any]], Any], read_item: Reader) -> Reader:
    def read(value: Any) -> Any:
        if not isinstance(value, list):
            raise TypeError("not a list")
        return kind([read_item(item) for item in value if item is not None])

    return read


def _read_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    raise TypeError("not a text")


def _read_integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError("not a number")
    if isinstance(value, str) and len(value) > 20:
        raise ValueError("not an int64")
    try:
        number = int(value)
    except (OverflowError, ValueError):
        raise ValueError("not an int64") from None
    if not -(2**63) <= number < 2**63:
        raise ValueError("not an int64")
    return number


def _read_number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError("not a number")
    try:
        return float(value)
    except (OverflowError, ValueError):
        raise ValueError("not a number") from None


def _read_boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return value.lower() == "true"
    if isinstance(value, int):
        return value != 0
    raise TypeError("neither true nor false")


def _read_any(value: Any) -> Any:
    return value


_SCALARS: Final[dict[Any, Reader]] = {
    str: _read_text,
    int: _read_integer,
    float: _read_number,
    bool: _read_boolean,
    Any: _read_any,
}
