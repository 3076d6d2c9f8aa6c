"""A table whose rows come one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tools.admin.output import Mode

if TYPE_CHECKING:
    from tools.admin.output import Output, Table

__all__ = ["Rows"]


class Rows:
    """The rows of one table, in the order in which they become known.

        with Rows(context.out, TABLE) as rows:
            rows.add((name, count))

    As text each is a line at once, so that a script that reads along loses nothing when the command is
    stopped. On a terminal they are drawn by `draw`, and at the end of the block, also by an error. In JSON
    mode there is nothing.

    Args:
        show: False for nothing in any mode.
    """

    def __init__(self, out: Output, table: Table, *, show: bool = True) -> None:
        self._out = out
        self._table = table
        self._rows: list[tuple[Any, ...]] = []
        self._drawn = False
        self._mode = out.mode if show else Mode.JSON

    def __enter__(self) -> Rows:
        if self._mode is Mode.PLAIN:
            self._out.line(self._table.heading_format % self._table.headings)
        return self

    def add(self, row: tuple[Any, ...]) -> None:
        if self._mode is Mode.PLAIN:
            self._out.line(self._table.row_format % row)
        elif self._mode is Mode.RICH:
            self._rows.append(row)

    def draw(self) -> None:
        """On a terminal, draws the rows that came since the last time, as a table of their own."""
        if self._mode is Mode.RICH:
            self._out.table(self._table, self._rows)
            self._rows = []
            self._drawn = True

    def __exit__(self, *exc: object) -> None:
        if self._rows or not self._drawn:
            self.draw()
