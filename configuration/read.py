"""Files of configuration as they were written: keys, values, lines; not yet what they mean."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from configuration.errors import ConfigError
from configuration.properties import Entry, decode_text, parse_properties
from configuration.toml import parse_toml

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["RawConfig", "parse_text", "read_file"]


@attrs.frozen(slots=False)
class RawConfig:
    """The entries of one file (or of none)."""

    path: Path | None = None
    entries: tuple[Entry, ...] = ()
    is_toml: bool = False
    """Whether keys are snake_case and values typed; else camelCase and texts."""

    @classmethod
    def of(cls, values: Mapping[str, str]) -> RawConfig:
        """Entries from elsewhere than a file, with Java's keys."""
        return cls(entries=tuple(Entry(key, value, 0, 0) for key, value in values.items()))

    @cached_property
    def by_key(self) -> Mapping[str, Entry]:
        """The entry that counts for each key: the last one."""
        return {entry.key: entry for entry in self.entries}

    @property
    def shown_path(self) -> str | None:
        """The path for messages."""
        return None if self.path is None else str(self.path)


def read_file(path: Path | str) -> RawConfig:
    """Read a `.toml` file as TOML and any other as Java properties.

    Raises:
        ConfigError: the file cannot be read, or it is not in its syntax; names file and line.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as wrong:
        raise ConfigError(path, None, None, f"cannot be read: {wrong.strerror}") from wrong
    return parse_text(decode_text(data), path)


def parse_text(text: str, path: Path | None = None) -> RawConfig:
    """Like :func:`read_file` for a text; the suffix of `path` tells the syntax."""
    is_toml = path is not None and path.suffix.lower() == ".toml"
    shown = None if path is None else str(path)
    entries = parse_toml(text, shown) if is_toml else parse_properties(text, shown)
    return RawConfig(path, tuple(entries), is_toml)
