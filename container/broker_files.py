"""Where a broker's file is: what a list of files, a request or an option names.

These look at directories, which is short but may wait on a network file system.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["SEPARATOR", "absolute_path", "broker_path", "broker_paths", "real_path"]

SEPARATOR = ":"
"""Between the files of `brokerConfigPaths` and of the option -b."""


def broker_path(text: str, base: Path | None) -> Path:
    """The file that `text` names.

    Args:
        text: a path; `~` is the home directory.
        base: directory of the container's file: a relative path is looked for there first, then in the
            current directory, which is where Java looks. A file that is in neither is missing in the first.
    """
    path = Path(os.path.expanduser(text.strip()))
    if base is None:
        return path
    beside = base / path
    return path if path.exists() and not beside.exists() else beside


def broker_paths(text: str, base: Path | None) -> list[Path]:
    """`broker_path` for each part of the value of `brokerConfigPaths` or of the option -b.

    A file that is named twice, also by a link to it, is one broker.
    """
    found: dict[str, Path] = {}
    for part in text.split(SEPARATOR):
        if part.strip():
            path = broker_path(part, base)
            found.setdefault(real_path(path), path)
    return list(found.values())


def absolute_path(path: Path) -> str:
    """`path` as somebody in another directory has to write it."""
    return os.path.abspath(path)


def real_path(path: Path) -> str:
    """One text for all paths to the same file."""
    return os.path.realpath(path)
