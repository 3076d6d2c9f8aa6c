"""Where a command's results go: Java's plain text, drawn tables on a terminal, or JSON.

A command says the same thing three ways at most: `line` and `table` are for people and for the scripts that
already parse Java's output, `value` and `record` are for `--json`. Each method knows in which mode it speaks,
so commands do not ask.
"""

from __future__ import annotations

import json
import sys
from enum import Enum
from typing import TYPE_CHECKING, Any, TextIO

import attrs
import click

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Mode", "Output", "Table"]


class Mode(Enum):
    """How results are shown."""

    PLAIN = "plain"
    RICH = "rich"
    JSON = "json"


@attrs.frozen
class Table:
    """Rows under headings.

    Attributes:
        headings: As Java prints them, with the leading `#`.
        heading_format: printf format of the heading line.
        row_format: printf format of each row; it may differ from the headings', as it does in Java.
        numeric: Indexes of the columns that are aligned right when drawn.
    """

    headings: tuple[str, ...]
    heading_format: str
    row_format: str
    numeric: frozenset[int] = frozenset()


class Output:
    """Writes to one stream in one mode.

    Args:
        mode: Chosen by the caller; `Output.choose` applies the rule for command lines.
        stream: Where results go.
        errors: Where failures go.
    """

    def __init__(self, mode: Mode, stream: TextIO, errors: TextIO) -> None:
        self.mode = mode
        self.stream = stream
        self.errors = errors
        self.failures = 0

    @classmethod
    def choose(cls, *, as_json: bool) -> Output:
        """JSON if asked for, tables on a terminal, otherwise Java's text."""
        stream = sys.stdout
        mode = Mode.JSON if as_json else Mode.RICH if stream.isatty() else Mode.PLAIN
        return cls(mode, stream, sys.stderr)

    def line(self, text: str = "") -> None:
        """One line for people and scripts; nothing in JSON mode."""
        if self.mode is not Mode.JSON:
            click.echo(text, file=self.stream)

    def table(self, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
        """Headings and rows, printf-formatted or drawn; nothing in JSON mode."""
        if self.mode is Mode.PLAIN:
            click.echo(table.heading_format % table.headings, file=self.stream)
            for row in rows:
                click.echo(table.row_format % row, file=self.stream)
        elif self.mode is Mode.RICH:
            self._draw(table, rows)

    def _draw(self, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
        from rich.console import Console
        from rich.table import Table as RichTable
        from rich.text import Text

        drawn = RichTable(header_style="bold", box=None, pad_edge=False)
        for index, heading in enumerate(table.headings):
            justify = "right" if index in table.numeric else "left"
            drawn.add_column(heading.lstrip("#"), justify=justify, overflow="fold")  # type: ignore[arg-type]
        for row in rows:
            drawn.add_row(*(Text("" if cell is None else str(cell).strip()) for cell in row))
        Console(file=self.stream).print(drawn)

    def value(self, value: Any) -> None:
        """The command's whole result as one indented JSON document; nothing in the other modes."""
        if self.mode is Mode.JSON:
            click.echo(json.dumps(value, ensure_ascii=False, indent=2), file=self.stream)

    def record(self, value: Any) -> None:
        """One result of many as one line of JSON, for commands that may print more than memory holds."""
        if self.mode is Mode.JSON:
            click.echo(json.dumps(value, ensure_ascii=False), file=self.stream)

    def failure(self, sentence: str) -> None:
        """Tells of one failure on standard error; the command goes on but will end with exit code 1."""
        self.failures += 1
        click.echo(f"mqadmin: {sentence}", file=self.errors)
