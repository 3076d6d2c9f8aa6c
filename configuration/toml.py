"""TOML files: the same keys in snake_case, flat, with the line of each."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import tomli

from configuration.errors import ConfigError
from configuration.properties import Entry, split_lines

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["parse_toml", "write_toml_value"]

_POSITION = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


def parse_toml(text: str, file: str | None = None) -> list[Entry]:
    """Cut a TOML text into its keys, in order.

    Raises:
        ConfigError: the text is not TOML, or it holds tables or values other than texts, numbers, booleans
            and lists of texts.
    """
    try:
        tomli.loads(text)
    except tomli.TOMLDecodeError as wrong:
        place = _POSITION.search(str(wrong))
        line = int(place[1]) if place and place[1] else len(split_lines(text))
        raise ConfigError(file, line, None, _POSITION.sub("", str(wrong))) from None
    entries: list[Entry] = []
    lines = split_lines(text)
    first = 0
    while first < len(lines):
        last, statement = _statement(lines, first)
        for key, value in statement.items():
            if isinstance(value, dict):
                raise ConfigError(
                    file, first + 1, key, "tables are not used: write the keys without a section"
                )
            if not _is_plain(value):
                raise ConfigError(file, first + 1, key, "only texts, numbers, booleans and lists of texts")
            entries.append(Entry(key, value, first + 1, last))
        first = last
    return entries


def write_toml_value(value: object) -> str:
    """A text, number, boolean or list of texts as TOML."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _statement(lines: list[str], first: int) -> tuple[int, Mapping[str, object]]:
    """The smallest run of lines from `first` that is TOML by itself: one key, however many lines it takes."""
    for last in range(first + 1, len(lines) + 1):
        try:
            return last, tomli.loads("".join(lines[first:last]))
        except tomli.TOMLDecodeError:
            continue
    raise AssertionError("the whole text was valid TOML")


def _is_plain(value: object) -> bool:
    if isinstance(value, list):
        return all(isinstance(item, str) for item in value)
    return isinstance(value, (str, int, float, bool))
