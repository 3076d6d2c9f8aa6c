"""Changing keys in files that people wrote: what is around the values stays."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configuration import ConfigError, parse_text
from configuration.edit import Change, edited
from configuration.properties import decode_text

PROPERTIES = Path("broker.conf")
TOML = Path("broker.toml")

CASES = {
    "a key that is there": ("a=1\nb=2\n", {"a": "3"}, "a=3\nb=2\n"),
    "a new key goes to the end": ("a=1", {"b": "2"}, "a=1\nb=2\n"),
    "nothing yet": ("", {"a": "1"}, "a=1\n"),
    "comments and blank lines": ("# a=0\n\n! b\na=1\n# end\n", {"a": "2"}, "# a=0\n\n! b\na=2\n# end\n"),
    "a comment without an end": ("# only", {"a": "2"}, "# only\na=2\n"),
    "a comment with a backslash": ("# a \\\nb=1\n", {"c": "2"}, "# a \\\nb=1\nc=2\n"),
    "the way it is written": (
        "  a : 1\nb = 2\nc 3\n",
        {"a": "4", "b": "5", "c": "6"},
        "  a : 4\nb = 5\nc=6\n",
    ),
    "the last of several counts": ("a=1\na=2\nb=3\n", {"a": "4"}, "a=1\na=4\nb=3\n"),
    "a value over several lines": ("a=1,\\\n  2,\\\n  3\nb=4\n", {"a": "5"}, "a=5\nb=4\n"),
    "a value that goes on at the end": ("a=1\\", {"b": "2"}, "a=1\\\n\nb=2\n"),
    "a value that goes on in nothing": ("a=1\\\n", {"b": "2"}, "a=1\\\n\nb=2\n"),
    "two backslashes at the end": ("a=1\\\\", {"b": "2"}, "a=1\\\\\nb=2\n"),
    "line feeds with carriage returns": ("a=1\r\nb=2\r\n", {"a": "3", "c": "4"}, "a=3\r\nb=2\r\nc=4\r\n"),
    "carriage returns alone": ("a=1\rb=2", {"b": "3", "c": "4"}, "a=1\rb=3\rc=4\r"),
    "separators in a value": ("a=1\n", {"a": "=b:c #d !e"}, "a==b:c #d !e\n"),
    "a space in front, a backslash behind": ("a=1\n", {"a": " x\\"}, "a=\\ x\\\\\n"),
    "other characters": ("a=1\n", {"a": "é😀\n"}, "a=\\u00E9\\uD83D\\uDE00\\n\n"),
    "escapes around it stay": ("b=\\u00e9\na=1\n", {"a": "2"}, "b=\\u00e9\na=2\n"),
    "nothing as a value": ("a=1\nb 2\n", {"a": "", "b": ""}, "a=\nb=\n"),
    "an escaped key": ("a\\ b=1\n", {"a b": "2"}, "a\\ b=2\n"),
    "a key over two lines": ("a\\\nb=1\n", {"ab": "2"}, "ab=2\n"),
    "a key without a value": ("a\nb=1\n", {"a": "2"}, "a=2\nb=1\n"),
}

TOML_CASES: dict[str, tuple[str, dict[str, object], str]] = {
    "types": (
        'a = 1\nb = "x"\n',
        {"a": 2, "b": 'say "x"\\', "c": True, "d": 0.5, "e": ["p", "q"]},
        'a = 2\nb = "say \\"x\\"\\\\"\nc = true\nd = 0.5\ne = ["p", "q"]\n',
    ),
    "comments behind": (
        'a  =  1 # one\nb = "#" # two # three\n',
        {"a": 2, "b": "z"},
        'a  =  2 # one\nb = "z" # two # three\n',
    ),
    "a list over several lines": ('a = [ # first\n "x",\n]\nb = 1\n', {"a": ["y"]}, 'a = ["y"]\nb = 1\n'),
    "a text over several lines": ('a = """x\n"""\nb = 1\n', {"a": "y"}, 'a = "y"\nb = 1\n'),
    "quoted keys": ('"a" = 1\n', {"a": 2}, "a = 2\n"),
    "line feeds with carriage returns": (
        "a = 1\r\nb = 2\r\n",
        {"a": 3, "c": 4},
        "a = 3\r\nb = 2\r\nc = 4\r\n",
    ),
    "no end": ("a = 1 # x", {"a": 2, "b": 3}, "a = 2 # x\nb = 3\n"),
    "control characters": ("", {"a": "\x7f\x00\t"}, 'a = "\\u007f\\u0000\\t"\n'),
}


def after(text: str, changes: dict[str, object], path: Path = PROPERTIES) -> str:
    data, raw = edited(text.encode(), path, {key: Change(key, value) for key, value in changes.items()})
    assert {key: raw.by_key[key].value for key in changes} == changes
    return data.decode()


@pytest.mark.parametrize("name", CASES)
def test_a_properties_file_keeps_what_is_around_the_values(name: str) -> None:
    text, changes, expected = CASES[name]
    assert after(text, dict(changes)) == expected


@pytest.mark.parametrize("name", TOML_CASES)
def test_a_toml_file_keeps_what_is_around_the_values(name: str) -> None:
    text, changes, expected = TOML_CASES[name]
    assert after(text, changes, TOML) == expected


def test_the_encoding_stays() -> None:
    change = {"a": Change("a", "é")}
    assert edited(b"# \xe9\na=1\n", PROPERTIES, change)[0] == b"# \xe9\na=\\u00E9\n"
    assert edited("# é\na=1\n".encode(), PROPERTIES, change)[0] == "# é\na=\\u00E9\n".encode()
    assert edited(b"\xef\xbb\xbfa=1\n", PROPERTIES, change)[0] == b"\xef\xbb\xbfa=\\u00E9\n"


def test_a_latin_1_toml_file_that_cannot_hold_the_value_is_refused() -> None:
    with pytest.raises(ConfigError, match="cannot be changed by this program"):
        edited(b'# \xe9\na = "1"\n', TOML, {"a": Change("a", "\u4e2d")})


@pytest.mark.parametrize(
    ("text", "path", "place"),
    [("a=1\nb=\\u12\n", PROPERTIES, "broker.conf:2: "), ("a = 1\nb =\n", TOML, "broker.toml:2: ")],
)
def test_a_file_that_is_not_in_its_syntax_is_left_alone(text: str, path: Path, place: str) -> None:
    with pytest.raises(ConfigError) as refused:
        after(text, {"a": "2"}, path)
    assert str(refused.value).startswith(place)


PIECES = st.sampled_from(
    [
        "a",
        "b",
        "=",
        ":",
        " ",
        "\\",
        "\n",
        "\r",
        "\r\n",
        "#",
        "!",
        "\t",
        "\f",
        "1",
        "é",
        "\\u00e9",
        "c=1\n",
        "\n#",
    ]
)


@settings(deadline=None, max_examples=400)
@given(
    st.lists(PIECES, max_size=25).map("".join),
    st.dictionaries(st.sampled_from(["a", "b", "c", "ab", "a b"]), st.text(max_size=8), min_size=1),
)
def test_any_properties_file_takes_any_values(text: str, changes: dict[str, str]) -> None:
    data, _ = edited(text.encode(), PROPERTIES, {key: Change(key, value) for key, value in changes.items()})
    before = {key: entry.value for key, entry in parse_text(text).by_key.items()}
    found = {key: entry.value for key, entry in parse_text(decode_text(data)).by_key.items()}
    assert found == {**before, **changes}
