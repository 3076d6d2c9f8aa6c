"""Values: from the texts of properties files and the values of TOML to the types of config fields."""

from __future__ import annotations

import enum
import re
from functools import cache
from typing import TYPE_CHECKING, Any

from configuration.fields import to_text

if TYPE_CHECKING:
    import cattrs

    from configuration.fields import Setting

__all__ = ["convert"]

_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)


def convert(setting: Setting, value: object) -> Any:
    """The value for a field.

    Args:
        setting: the field.
        value: a text (surrounding white space does not count, as in Java), or a TOML value.

    Raises:
        ValueError: says the value and what is allowed instead.
    """
    if isinstance(value, str):
        value = value.strip()
        if value == "" and setting.optional:
            return None
    try:
        if setting.kind is list:
            return _items(value, setting.separator)
        if setting.kind is str and isinstance(value, list):
            value = setting.separator.join(value)
        found: Any = _converter().structure(value, setting.kind)
    except (ValueError, TypeError):
        shown = "the value" if setting.secret else f"'{to_text(value)}'"
        raise ValueError(f"{shown} is not {setting.allowed()}") from None
    setting.check(found)
    return found


def _items(value: object, separator: str) -> list[str]:
    if isinstance(value, str):
        value = value.split(separator)
    if not isinstance(value, list):
        raise TypeError
    return [item.strip() for item in value if item.strip()]


def _to_int(value: object, _: type) -> int:
    if isinstance(value, str) and _INTEGER.fullmatch(value) and len(value) <= 20:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError


def _to_float(value: object, _: type) -> float:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError
    if isinstance(value, str) and _NUMBER.fullmatch(value) is None:
        raise ValueError  # Python takes more than Java: 1_0, nan
    number = float(value)
    if number != number or number in (float("inf"), float("-inf")):
        raise ValueError
    return number


def _to_bool(value: object, _: type) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise ValueError


def _to_str(value: object, _: type) -> str:
    if isinstance(value, str):
        return value
    raise ValueError


@cache
def _converter() -> cattrs.Converter:
    """Imported when something is read from a file, so that clients, which read none, start sooner."""
    import cattrs

    converter = cattrs.Converter()
    for kind, hook in ((int, _to_int), (float, _to_float), (bool, _to_bool), (str, _to_str)):
        converter.register_structure_hook(kind, hook)
    converter.register_structure_hook_func(
        lambda kind: isinstance(kind, type) and issubclass(kind, enum.Enum), lambda value, kind: kind(value)
    )
    return converter
