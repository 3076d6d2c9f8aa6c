"""Tables whose rows come one after the other."""

from __future__ import annotations

import io

import pytest

from tools.admin.output import Mode, Output, Table
from tools.admin.rows import Rows

TABLE = Table(("#Name", "#Count"), "%-8s  %s", "%-8.8s  %d", numeric=frozenset({1}))


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def output(mode: Mode, stream: io.StringIO) -> Output:
    return Output(mode, stream, io.StringIO())


def test_as_text_each_row_is_there_at_once(stream: io.StringIO) -> None:
    with Rows(output(Mode.PLAIN, stream), TABLE) as rows:
        assert stream.getvalue() == "#Name     #Count\n"
        rows.add(("a", 1))
        assert stream.getvalue() == "#Name     #Count\na         1\n"
        rows.draw()
    assert stream.getvalue() == "#Name     #Count\na         1\n"


def test_on_a_terminal_they_are_drawn_together(stream: io.StringIO) -> None:
    with Rows(output(Mode.RICH, stream), TABLE) as rows:
        rows.add(("a", 1))
        assert stream.getvalue() == ""
    assert stream.getvalue().split() == ["Name", "Count", "a", "1"]


def test_parts_are_tables_of_their_own(stream: io.StringIO) -> None:
    with Rows(output(Mode.RICH, stream), TABLE) as rows:
        for name in ("a", "b"):
            rows.add((name, 1))
            rows.draw()
    assert stream.getvalue().split() == ["Name", "Count", "a", "1", "Name", "Count", "b", "1"]


def test_a_failure_does_not_lose_rows(stream: io.StringIO) -> None:
    def work() -> None:
        with Rows(output(Mode.RICH, stream), TABLE) as rows:
            rows.add(("a", 1))
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        work()
    assert "a" in stream.getvalue().split()


def test_without_rows_the_headings_are_shown(stream: io.StringIO) -> None:
    with Rows(output(Mode.RICH, stream), TABLE):
        pass
    assert stream.getvalue().split() == ["Name", "Count"]


@pytest.mark.parametrize(("mode", "show"), [(Mode.JSON, True), (Mode.PLAIN, False), (Mode.RICH, False)])
def test_nothing_is_shown(stream: io.StringIO, mode: Mode, show: bool) -> None:
    with Rows(output(mode, stream), TABLE, show=show) as rows:
        rows.add(("a", 1))
        rows.draw()
    assert stream.getvalue() == ""
