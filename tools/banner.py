"""The few lines that a command prints when it has started: what is where, and what to try first."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["command_name", "print_banner", "print_refusal", "print_warning", "short_path"]


def short_path(path: str | Path) -> str:
    """`path` with the home directory written as `~`."""
    try:
        return f"~/{Path(path).relative_to(Path.home())}"
    except (RuntimeError, ValueError):
        return str(path)


def command_name(name: str) -> str:
    """How the user can call our command `name`: as installed, or from the checkout he started from."""
    launcher = Path(__file__).resolve().parents[1] / "bin" / name
    if not launcher.exists():
        return name
    try:
        return str(launcher.relative_to(Path.cwd()))
    except (OSError, ValueError):
        return short_path(launcher)


def print_banner(headline: str, rows: Sequence[tuple[str, str]]) -> None:
    """Prints `headline` and one line per (label, text) on stdout; colours on a terminal only.

    Lines are never wrapped: scripts read them.
    """
    console = Console(soft_wrap=True, highlight=False)
    console.print(Text(headline, style="bold green"))
    width = max((len(label) for label, _ in rows), default=0)
    for label, text in rows:
        console.print(Text.assemble("  ", (label.ljust(width), "dim"), "  ", text))
    sys.stdout.flush()


def print_refusal(message: str) -> None:
    """Prints why the command does not start, on stderr."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    console.print(Text(message, style="bold red"))


def print_warning(message: str) -> None:
    """Prints what does not stop the start but should be known, on stderr."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    console.print(Text(message, style="yellow"))
