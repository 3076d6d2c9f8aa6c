"""Reads header fields straight from `ext_fields`: the value, or the refusal that its absence deserves.

Java leaves a missing required field null and fails later with code 1; here the same code comes at once
with a remark that names the field.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.remarks import custom_field_is_null
from remoting.errors import CommandError
from remoting.protocol.header_fields import integer32, integer64
from remoting.protocol.response_code import ResponseCode

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "boolean",
    "optional_integer",
    "required",
    "required_integer",
    "required_integer32",
]


def required(fields: Mapping[str, str], name: str) -> str:
    """The field's text.

    Raises:
        CommandError: 1, it is missing.
    """
    value = fields.get(name)
    if value is None:
        raise CommandError(ResponseCode.SYSTEM_ERROR, custom_field_is_null(name))
    return value


def required_integer(fields: Mapping[str, str], name: str) -> int:
    """The field's number.

    Raises:
        CommandError: 1, it is missing or no 64-bit number.
    """
    value = required(fields, name)
    try:
        return integer64(value)
    except ValueError as error:
        raise _no_number(value, name) from error


def required_integer32(fields: Mapping[str, str], name: str) -> int:
    """The field's number.

    Raises:
        CommandError: 1, it is missing or no 32-bit number.
    """
    value = required(fields, name)
    try:
        return integer32(value)
    except ValueError as error:
        raise _no_number(value, name) from error


def optional_integer(fields: Mapping[str, str], name: str, default: int = 0) -> int:
    """The field's number, `default` when it is missing or empty.

    Raises:
        CommandError: 1, it is no 64-bit number.
    """
    value = fields.get(name)
    if not value:
        return default
    try:
        return integer64(value)
    except ValueError as error:
        raise _no_number(value, name) from error


def boolean(fields: Mapping[str, str], name: str, *, default: bool) -> bool:
    """The field's truth as Java reads it: only `true`, in any case, is true."""
    value = fields.get(name)
    return default if value is None else value.lower() == "true"


def _no_number(value: str, name: str) -> CommandError:
    message = f'For input string: "{value[:64]}" in the custom field <{name}>'
    return CommandError(ResponseCode.SYSTEM_ERROR, message)
