"""The machine under all header classes: a header is a table of fields, one loop reads it, one writes it.

Java checks required fields but swallows the failure and then fails on the null; the peer sees code 1 in both
cases. Here the answer says which field is missing or wrong.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self, cast

import attrs

from remoting.errors import CommandError
from remoting.protocol.response_code import ResponseCode

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

_REQUIRED: Final = object()
_METADATA: Final = "remoting.header"
_integer = re.compile(r"[+-]?[0-9]{1,20}", re.ASCII).fullmatch


class Field(NamedTuple):
    """How one field travels."""

    wire: str
    read: Callable[[str], Any] | None
    """None for texts."""
    required: bool
    default: Any


def _read_int32(text: str) -> int:
    if len(text) < 10 and text.isdecimal() and text.isascii():
        return int(text)
    if _integer(text) is None or not -(2**31) <= (number := int(text)) < 2**31:
        raise ValueError("an int32")
    return number


def _read_int64(text: str) -> int:
    if len(text) < 19 and text.isdecimal() and text.isascii():
        return int(text)
    if _integer(text) is None or not -(2**63) <= (number := int(text)) < 2**63:
        raise ValueError("an int64")
    return number


def _read_boolean(text: str) -> bool:
    return text.lower() == "true"


def _field(read: Callable[[str], Any] | None, default: Any, wire: str | None) -> Any:
    metadata = {_METADATA: (read, wire)}
    if default is _REQUIRED:
        return attrs.field(metadata=metadata)
    return attrs.field(default=default, metadata=metadata)


def text(default: Any = _REQUIRED, *, wire: str | None = None) -> Any:
    """A text; required unless it has a default. `wire` is Java's name where camelCase is not enough."""
    return _field(None, default, wire)


def int32(default: Any = _REQUIRED, *, wire: str | None = None) -> Any:
    """Java's Integer or int."""
    return _field(_read_int32, default, wire)


def int64(default: Any = _REQUIRED, *, wire: str | None = None) -> Any:
    """Java's Long or long."""
    return _field(_read_int64, default, wire)


def boolean(default: Any = _REQUIRED, *, wire: str | None = None) -> Any:
    """Java's Boolean or boolean: "true" in any case is true, everything else false."""
    return _field(_read_boolean, default, wire)


def camel_case(name: str) -> str:
    """`queue_id` → `queueId`."""
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)


@cache
def _table(header: type[attrs.AttrsInstance]) -> tuple[Field, ...]:
    table = []
    for attribute in attrs.fields(header):
        read, wire = attribute.metadata[_METADATA]
        required = attribute.default is attrs.NOTHING
        default = None if required else attribute.default
        table.append(Field(wire or camel_case(attribute.name), read, required, default))
    return tuple(table)


def fields_of(header: type[Header]) -> tuple[Field, ...]:
    """The table of a header class, in the order of its attributes."""
    return _table(cast("Hashable", header))


class Header:
    """Base of all header classes: data that turns into `ext_fields` and back."""

    __slots__ = ()

    @classmethod
    def decode(cls, ext_fields: Mapping[str, str]) -> Self:
        """The header in the fields of a command; unknown fields are ignored.

        Raises:
            CommandError: code 1; a required field is missing, or a number is not one.
        """
        values = []
        get = ext_fields.get
        for wire, read, required, default in fields_of(cls):
            value = get(wire)
            if value is None:
                if required:
                    raise CommandError(ResponseCode.SYSTEM_ERROR, f"the custom field <{wire}> is null")
                values.append(default)
            elif read is None:
                values.append(value)
            else:
                try:
                    values.append(read(value))
                except ValueError as error:
                    raise CommandError(
                        ResponseCode.SYSTEM_ERROR, f'the custom field <{wire}> is not {error}: "{value[:64]}"'
                    ) from None
        return cls(*values)

    def encode(self) -> dict[str, str]:
        """The fields that are not None, as `ext_fields`."""
        ext_fields: dict[str, str] = {}
        values = attrs.astuple(self, recurse=False)  # type: ignore[arg-type]
        for field, value in zip(fields_of(type(self)), values, strict=True):
            if value is None:
                continue
            if value is True or value is False:
                ext_fields[field.wire] = "true" if value else "false"
            else:
                ext_fields[field.wire] = str(value)
        return ext_fields
