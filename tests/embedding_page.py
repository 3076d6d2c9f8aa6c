"""The code of docs/embedding.md as files: every section is a directory that its reader could have made."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["REPOSITORY", "run_pytest", "sections", "write_section"]

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = REPOSITORY / "docs" / "embedding.md"

_HEADING = re.compile(r"^##+ (.+)$")
_FILE_NAME = re.compile(r"^(?:#|//) (\S+\.(?:py|java))$")


def sections() -> dict[str, dict[str, str]]:
    """Heading to file name to content; sections without code are left out.

    Raises:
        AssertionError: a block does not begin with the name of its file.
    """
    found: dict[str, dict[str, str]] = {}
    heading, block = "", None
    for line in PAGE.read_text().splitlines():
        if line.startswith("```"):
            if block is None:
                block = []
                continue
            name = _FILE_NAME.match(block[0])
            assert name is not None, f"{block[0]!r} names no file"
            found.setdefault(heading, {})[name[1]] = "\n".join(block) + "\n"
            block = None
        elif block is not None:
            block.append(line)
        elif title := _HEADING.match(line):
            heading = title[1]
    return found


def write_section(heading: str, directory: Path) -> list[Path]:
    """Writes the files of one section."""
    paths = []
    for name, content in sections()[heading].items():
        path = directory / name
        path.write_text(content)
        paths.append(path)
    return paths


def run_pytest(
    directory: Path, *, path: Sequence[Path] = (), commands: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs the tests in `directory` as somebody else's, with warnings as errors.

    Args:
        path: where its packages are.
        commands: a directory of commands that it starts.
    """
    home = directory / "home"
    home.mkdir()
    environment = {
        **os.environ,
        "HOME": str(home),
        "PYTHONPATH": os.pathsep.join(map(str, path)),
        "PATH": os.pathsep.join([*([str(commands)] if commands else []), os.environ["PATH"]]),
    }
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", str(directory)],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
