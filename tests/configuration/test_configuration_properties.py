"""Java's properties syntax, checked against what `java.util.Properties` does."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configuration import ConfigError
from configuration.properties import decode_text, parse_properties, write_line, write_properties

RULES = {
    "separators": (
        "a=1\nb:2\nc 3\nd = 4\ne : 5\nf\t6\ng",
        {"a": "1", "b": "2", "c": "3", "d": "4", "e": "5", "f": "6", "g": ""},
    ),
    "comments": ("# a=1\n  ! b=2\nc=#3", {"c": "#3"}),
    "continuation": (
        "a=one,\\\n    two,\\\r\n  three\nb=x\\\\\nc=y",
        {"a": "one,two,three", "b": "x\\", "c": "y"},
    ),
    "continued comment is none": ("# a \\\nb=1", {"b": "1"}),
    "blank lines": ("\n   \n\ta=1\n\f\n", {"a": "1"}),
    "escapes": (r"a\ b\:c=\t\u00e9\q\n", {"a b:c": "\té" + "q\n"}),
    "surrogates": (r"a=\uD83D\uDE00", {"a": "😀"}),
    "second separator belongs to the value": ("a==b\nc=d=e", {"a": "=b", "c": "d=e"}),
    "trailing space stays": ("a=1 \n", {"a": "1 "}),
    "last one counts": ("a=1\na=2", {"a": "2"}),
    "carriage returns": ("a=1\rb=2", {"a": "1", "b": "2"}),
    "continuation at the end": ("a=1\\", {"a": "1"}),
    "other separators of Unicode do not end a line": ("a=x\u2028y\x0bz", {"a": "x\u2028y\x0bz"}),
}


@pytest.mark.parametrize("name", RULES)
def test_a_rule_of_the_syntax(name: str) -> None:
    text, expected = RULES[name]
    assert {entry.key: entry.value for entry in parse_properties(text)} == expected


def test_entries_know_their_lines() -> None:
    entries = parse_properties("# one\na=1\n\nb=2\\\n 3\nc=4\n")
    assert [(entry.key, entry.line, entry.last_line) for entry in entries] == [
        ("a", 2, 2),
        ("b", 4, 5),
        ("c", 6, 6),
    ]


def test_a_bad_escape_names_file_and_line() -> None:
    with pytest.raises(ConfigError, match=r"^f\.conf:2: '\\u12' is not an escape"):
        parse_properties("a=1\nb=\\u12\n", "f.conf")


def test_bytes_are_utf8_else_latin1() -> None:
    assert decode_text("\ufeffé".encode()) == "é"
    assert decode_text(b"\xe9") == "é"


def test_what_is_written_is_what_java_needs_to_read_it_back() -> None:
    assert write_line("a b", " x\\y\né😀") == "a\\ b=\\ x\\\\y\\n\\u00E9\\uD83D\\uDE00\n"
    assert write_properties({"b": "2", "a": "1"}) == "a=1\nb=2\n"


@settings(deadline=None)
@given(st.dictionaries(st.text(min_size=1), st.text()))
def test_writing_and_reading_is_the_identity(values: dict[str, str]) -> None:
    assert {entry.key: entry.value for entry in parse_properties(write_properties(values))} == values


@settings(deadline=None)
@given(st.text())
def test_any_text_parses_or_is_refused(text: str) -> None:
    try:
        entries = parse_properties(text)
    except ConfigError:
        return
    assert all(1 <= entry.line <= entry.last_line for entry in entries)
