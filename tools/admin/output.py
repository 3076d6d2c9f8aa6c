"""Where a command's results go: Java's plain text, drawn tables on a terminal, or JSON.

A command says the same thing three ways at most: `line` and `table` are for people and for the scripts that
already parse Java's output, `value` and `record` are for `--json`. Each method knows in which mode it speaks,
so commands do not ask.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager
from enum import Enum
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import attrs
import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tools.admin.progress_line import ProgressLine

__all__ = ["Mode", "Output", "Table"]

T = TypeVar("T")


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
        styles: Of a column by its index: how certain cells are drawn, by their text.
    """

    headings: tuple[str, ...]
    heading_format: str
    row_format: str
    numeric: frozenset[int] = frozenset()
    styles: Mapping[int, Mapping[str, str]] = attrs.field(factory=dict)


class Output:
    """Writes to one stream in one mode.

    Args:
        mode: Chosen by the caller; `Output.choose` applies the rule for command lines.
        stream: Where results go.
        errors: Where failures go.
        busy: Shows how far a long command is; None for nobody who watches.

    Attributes:
        if_interrupted: What the user should know when he stops the command now, None for nothing.
    """

    def __init__(
        self, mode: Mode, stream: TextIO, errors: TextIO, *, busy: ProgressLine | None = None
    ) -> None:
        self.mode = mode
        self.stream = stream
        self.errors = errors
        self.busy = busy
        self.failures = 0
        self.if_interrupted: str | None = None

    @classmethod
    def choose(cls, *, as_json: bool) -> Output:
        """JSON if asked for, tables on a terminal, otherwise Java's text."""
        stream = sys.stdout
        mode = Mode.JSON if as_json else Mode.RICH if stream.isatty() else Mode.PLAIN
        busy = None
        if sys.stderr.isatty() and os.environ.get("TERM") not in (None, "dumb"):
            from tools.admin.progress_line import ProgressLine

            busy = ProgressLine(sys.stderr)
        return cls(mode, stream, sys.stderr, busy=busy)

    def _write(self, text: str, stream: TextIO, *, end: str = "\n") -> None:
        if self.busy is not None:
            self.busy.make_room()
        click.echo(text + end, file=stream, nl=False)

    def line(self, text: str = "") -> None:
        """One line for people and scripts; nothing in JSON mode."""
        if self.mode is not Mode.JSON:
            self._write(text, self.stream)

    def unended_line(self, text: str) -> None:
        """A last line whose end Java does not print: as it is for scripts, with its end on a terminal."""
        if self.mode is not Mode.JSON:
            self._write(text, self.stream, end="" if self.mode is Mode.PLAIN else "\n")

    def table(self, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
        """Headings and rows, printf-formatted or drawn; nothing in JSON mode."""
        if self.mode is Mode.PLAIN:
            self._write(table.heading_format % table.headings, self.stream)
            for row in rows:
                self._write(table.row_format % row, self.stream)
        elif self.mode is Mode.RICH:
            self._draw(table, rows)

    def _draw(self, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
        from rich.cells import cell_len
        from rich.console import Console
        from rich.table import Table as RichTable
        from rich.text import Text

        headings = [heading.lstrip("#") for heading in table.headings]
        texts = [["" if cell is None else str(cell).strip() for cell in row] for row in rows]
        widths = [max(map(cell_len, column)) for column in zip(headings, *texts, strict=True)]
        console = Console(file=self.stream)
        folded, console.width = _fitted(widths, console.width)
        drawn = RichTable(header_style="bold", box=None, pad_edge=False)
        for index, heading in enumerate(headings):
            justify = "right" if index in table.numeric else "left"
            drawn.add_column(
                heading,
                justify=justify,  # type: ignore[arg-type]
                overflow="fold",
                no_wrap=index != folded,
            )
        for row in texts:
            styles = [table.styles.get(index, {}).get(text, "") for index, text in enumerate(row)]
            drawn.add_row(*(Text(text, style) for text, style in zip(row, styles, strict=True)))
        if self.busy is not None:
            self.busy.make_room()
        console.print(drawn)

    def value(self, value: Any) -> None:
        """The command's whole result as one indented JSON document; nothing in the other modes."""
        if self.mode is Mode.JSON:
            self._write(json.dumps(value, ensure_ascii=False, indent=2), self.stream)

    def record(self, value: Any) -> None:
        """One result of many as one line of JSON, for commands that may print more than memory holds."""
        if self.mode is Mode.JSON:
            self._write(json.dumps(value, ensure_ascii=False), self.stream)

    def failure(self, sentence: str) -> None:
        """Tells of one failure on standard error; the command goes on but will end with exit code 1."""
        self.failures += 1
        self.note(sentence)

    def note(self, sentence: str) -> None:
        """Something that the user should know, on standard error; it is no failure."""
        self._write(f"mqadmin: {sentence}", self.errors)

    @contextmanager
    def progress(self, what: str) -> Iterator[Callable[[float, float | None], None]]:
        """Shows on the terminal, if there is one, how far the block is; nothing remains of it.

        Args:
            what: What is done, in one or two words.

        Yields:
            Call it with the number of steps that are done, and of all steps or None if nobody knows.
        """
        if self.busy is None:
            yield _nobody_watches
            return
        self.busy.begin(what)
        try:
            yield self.busy.at
        finally:
            self.busy.end()

    def walk(self, items: Sequence[T], what: str) -> Iterator[T]:
        """Each of `items`, with `progress`."""
        with self.progress(what) as tell:
            for done, item in enumerate(items):
                tell(done, len(items))
                yield item


_GAP = 2
_LEAST_FOLDED = 24
"""Narrower a text is not to be read any more."""


def _fitted(widths: Sequence[int], room: int) -> tuple[int | None, int]:
    """How a table with columns of these widths is put into lines of `room` characters.

    The widest column is folded if that is enough. Otherwise lines are longer than the terminal, which then
    breaks them: names and numbers in slices of a few characters each would be unreadable.

    Returns:
        The index of the column to fold, None for none, and the width of the table.
    """
    needed = sum(widths) + _GAP * (len(widths) - 1)
    widest = max(range(len(widths)), key=lambda index: widths[index])
    if needed > room >= needed - widths[widest] + _LEAST_FOLDED:
        return widest, room
    return None, max(needed, room)


def _nobody_watches(done: float, total: float | None) -> None:
    """Progress without a terminal."""
