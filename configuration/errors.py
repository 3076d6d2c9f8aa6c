"""What is wrong with a configuration, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ConfigError", "ForbiddenKeyError"]


class ConfigError(Exception):
    """A configuration value or file that is refused.

    Args:
        file: where the value was read, or None for values from elsewhere (an option, a request).
        line: line of the value in `file`, counted from 1, or None.
        key: the key as it was written, or None if the trouble is not about one key.
        message: what is wrong and what would be allowed.
    """

    def __init__(self, file: Path | str | None, line: int | None, key: str | None, message: str) -> None:
        self.file = file
        self.line = line
        self.key = key
        self.message = message
        super().__init__(str(self))

    def __str__(self) -> str:
        """`file:line: key 'x': message`, without the parts that are unknown."""
        place = "" if self.file is None else f"{self.file}:"
        if place and self.line is not None:
            place += f"{self.line}:"
        parts = [place] if place else []
        if self.key is not None:
            parts.append(f"key '{self.key}':")
        return " ".join([*parts, self.message])


class ForbiddenKeyError(ConfigError):
    """An update names a key of the black list (response code 16)."""
