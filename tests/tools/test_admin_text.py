"""Dates, `toString` forms, modes of output."""

from __future__ import annotations

import io
import json
import time

import pytest

from tools.admin import catalog
from tools.admin.human_text import age_text, bytes_text
from tools.admin.java_text import (
    map_text,
    milliseconds_text,
    parse_timestamp,
    permission_text,
    seconds_text,
    to_string,
)
from tools.admin.output import Mode, Output, Table

TABLE = Table(("#Name", "#Count"), "%-8s  %s", "%-8.8s  %d", numeric=frozenset({1}))


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def test_dates() -> None:
    assert milliseconds_text(1795241768014) == "2026-11-21 06:16:08,014"
    assert seconds_text(1795241768999) == "2026-11-21 06:16:08"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1795241768014", 1795241768014), ("-1", -1), ("2026-11-21#06:16:08:014", 1795241768014)],
)
def test_times_on_the_command_line(text: str, expected: int) -> None:
    assert parse_timestamp(text) == expected


@pytest.mark.parametrize("text", ["", "now", "2026-11-21 06:16:08", "2026-13-01#00:00:00:000"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_timestamp(text)


def test_to_string_forms() -> None:
    assert permission_text(6) == "RW-"
    assert permission_text(3) == "-WX"
    assert map_text({"a": 1, 0: None, "b": {"c": True}}) == "{a=1, 0=null, b={c=true}}"
    assert to_string("X ", {"a": [1, 2], "b": False}, brackets="[]") == "X [a=[1, 2], b=false]"


def shown(mode: Mode) -> str:
    stream = io.StringIO()
    out = Output(mode, stream, io.StringIO())
    out.line("line")
    out.table(TABLE, [("a-long-name", 7)])
    out.value({"name": "ä", "count": 7})
    return stream.getvalue()


def test_plain_output_is_printf() -> None:
    assert shown(Mode.PLAIN) == "line\n#Name     #Count\na-long-n  7\n"


def test_json_output_is_nothing_else() -> None:
    assert json.loads(shown(Mode.JSON)) == {"name": "ä", "count": 7}


def test_drawn_tables_keep_whole_names_and_read_no_markup() -> None:
    assert shown(Mode.RICH).split() == ["line", "Name", "Count", "a-long-name", "7"]
    stream = io.StringIO()
    Output(Mode.RICH, stream, io.StringIO()).table(TABLE, [("[red]x", 1)])
    assert "[red]x" in stream.getvalue()


def drawn(columns: int, monkeypatch: pytest.MonkeyPatch, *rows: tuple[object, ...]) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(columns))
    stream = io.StringIO()
    Output(Mode.RICH, stream, io.StringIO()).table(TABLE, rows)
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def test_one_long_text_is_folded_into_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = drawn(40, monkeypatch, ("x" * 50, 1), ("y", 2))
    assert lines == [f"Name{' ' * 31}Count", f"{'x' * 33}{' ' * 6}1", "x" * 17, f"y{' ' * 38}2"]


def test_what_cannot_be_folded_legibly_is_left_to_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = drawn(20, monkeypatch, ("127.0.0.1:10911", "ASYNC_MASTER"))
    assert lines == ["Name                    Count", "127.0.0.1:10911  ASYNC_MASTER"]


def test_failures_are_counted_and_go_elsewhere() -> None:
    stream, errors = io.StringIO(), io.StringIO()
    out = Output(Mode.PLAIN, stream, errors)
    out.failure("it failed")
    assert (stream.getvalue(), errors.getvalue(), out.failures) == ("", "mqadmin: it failed\n", 1)


def test_every_catalog_entry_has_its_command() -> None:
    import importlib

    for name, entry in catalog.COMMANDS.items():
        command = importlib.import_module(f"tools.admin.{entry.module}").COMMANDS[name]
        assert command.name == name
    modules = {entry.module for entry in catalog.COMMANDS.values()}
    defined = {
        name for module in modules for name in importlib.import_module(f"tools.admin.{module}").COMMANDS
    }
    assert defined == set(catalog.COMMANDS)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0B"),
        (1023, "1023B"),
        (1024, "1.0KiB"),
        (150 << 10, "150KiB"),
        (3 << 29, "1.5GiB"),
        (1 << 52, "4096TiB"),
    ],
)
def test_sizes(size: int, text: str) -> None:
    assert bytes_text(size) == text


@pytest.mark.parametrize(
    ("age_ms", "text"),
    [(-5, "0s"), (59_999, "59s"), (61_000, "1m1s"), (3_660_000, "1h1m"), (90_000_000, "1d1h")],
)
def test_ages(age_ms: int, text: str) -> None:
    assert age_text(age_ms) == text
