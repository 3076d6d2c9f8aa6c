"""The machine under all header classes: a header is a table of fields, one loop reads it, one writes it.

Java checks required fields but swallows the failure and then fails on the null; the peer sees code 1 in both
cases. Here the answer says which field is missing or wrong.
"""

from __future__ import annotations

import re
import types
import typing
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple, Self

import msgspec

from remoting.errors import CommandError
from remoting.protocol.response_code import ResponseCode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Int32 = Annotated[int, "int32"]
"""Java's Integer or int."""

Int64 = Annotated[int, "int64"]
"""Java's Long or long."""

_integer = re.compile(r"[+-]?[0-9]{1,20}", re.ASCII).fullmatch


class Field(NamedTuple):
    """How one field travels."""

    wire: str
    read: Callable[[str], Any] | None
    """None for texts."""
    kind: str
    """What `read` asks for, in words."""
    required: bool
    default: Any


def integer32(text: str) -> int:
    """The number that Java's `Integer.parseInt` reads.

    Raises:
        ValueError: it reads none; the text is Java's.
    """
    if len(text) < 10 and text.isdecimal() and text.isascii():
        return int(text)
    return _within(text, 2**31)


def integer64(text: str) -> int:
    """The number that Java's `Long.parseLong` reads.

    Raises:
        ValueError: it reads none; the text is Java's.
    """
    if len(text) < 19 and text.isdecimal() and text.isascii():
        return int(text)
    return _within(text, 2**63)


def _within(text: str, limit: int) -> int:
    if _integer(text) is not None and -limit <= (number := int(text)) < limit:
        return number
    raise ValueError(f'For input string: "{text[:64]}"')


def _read_boolean(text: str) -> bool:
    """Java's: "true" in any case is true, everything else false."""
    return text.lower() == "true"


_READERS: Final[dict[Any, tuple[Callable[[str], Any] | None, str]]] = {
    str: (None, "a text"),
    Int32: (integer32, "an int32"),
    Int64: (integer64, "an int64"),
    bool: (_read_boolean, "a boolean"),
}


@cache
def fields_of(header: type[Header]) -> tuple[Field, ...]:
    """The table of a header class, in the order of its attributes; made at its first use."""
    table = []
    for field in msgspec.structs.fields(header):
        read, kind = _READERS[_without_none(field.type)]
        default = None if field.required else field.default
        table.append(Field(field.encode_name, read, kind, field.required, default))
    return tuple(table)


def _without_none(hint: Any) -> Any:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        (hint,) = [each for each in typing.get_args(hint) if each is not type(None)]
    return hint


class Header(msgspec.Struct, frozen=True, rename="camel"):
    """Base of all header classes: data that turns into `ext_fields` and back.

    Annotations are str, bool, Int32, Int64, or one of them with None. Java's names are the camelCase of the
    attributes; `msgspec.field(name=...)` says another one.
    """

    @classmethod
    def decode(cls, ext_fields: Mapping[str, str]) -> Self:
        """The header in the fields of a command; unknown fields are ignored.

        Raises:
            CommandError: code 1; a required field is missing, or a number is not one.
        """
        values = []
        get = ext_fields.get
        for wire, read, kind, required, default in fields_of(cls):
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
                except ValueError:
                    raise CommandError(
                        ResponseCode.SYSTEM_ERROR, f'the custom field <{wire}> is not {kind}: "{value[:64]}"'
                    ) from None
        return cls(*values)

    def encode(self) -> dict[str, str]:
        """The fields that are not None, as `ext_fields`."""
        ext_fields: dict[str, str] = {}
        values = msgspec.structs.astuple(self)
        for field, value in zip(fields_of(type(self)), values, strict=True):
            if value is None:
                continue
            if value is True or value is False:
                ext_fields[field.wire] = "true" if value else "false"
            else:
                ext_fields[field.wire] = str(value)
        return ext_fields
