"""The JSON dialect, against bytes of fastjson2 (RocketMQ 5.5.0) and fastjson 1.2.83."""

import json
import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from fixture_bytes import FASTJSON, ROCKETMQ, json_fixtures
from hypothesis import given
from hypothesis import strategies as st

from remoting.errors import BodyFault
from remoting.json_dialect import MAX_DEPTH, ObjectKey, dumps, dumps_pretty, dumps_standard, loads


def writer_of(path: Path) -> Any:
    return dumps_pretty if "pretty" in path.stem else dumps_standard if "standard" in path.stem else dumps


EXACT = [
    path
    for path in json_fixtures(ROCKETMQ)
    if not path.stem.startswith("values")  # the nulls in it, once NaN, are lost in reading
    and "standard" not in path.stem  # fastjson2 does not escape there; readers take both
]


@pytest.mark.parametrize("path", EXACT, ids=lambda path: path.stem)
def test_java_5_5_0_is_written_byte_for_byte(path: Path) -> None:
    data = path.read_bytes()
    assert writer_of(path)(loads(data)) == data


@pytest.mark.parametrize("path", json_fixtures(FASTJSON), ids=lambda path: path.stem)
def test_both_generations_of_java_mean_the_same(path: Path) -> None:
    def common(old: Any, new: Any) -> None:
        if isinstance(new, dict):
            for key, value in new.items():
                common(old[key], value)
        elif path.stem.startswith("values") and old == "YWJj":
            assert new == [97, 98, 99]
        else:
            assert old == new

    common(loads(path.read_bytes()), loads((ROCKETMQ / path.name).read_bytes()))


@pytest.mark.parametrize("name", ["kv-escapes-standard.json", "route-standard.json"])
def test_standard_json_is_what_a_strict_reader_takes(name: str) -> None:
    value = loads((ROCKETMQ / name).read_bytes())
    written = dumps_standard(value)
    assert written.isascii()
    assert json.loads(written) == value == loads((FASTJSON / name).read_bytes())


def test_values_of_java() -> None:
    numbers = [
        0.0,
        1.0,
        1.5,
        -0.0,
        0.001,
        0.0001,
        1e6,
        1234567.5,
        9999999.0,
        1e7,
        1.2345e10,
        1e21,
        1e-7,
        math.pi,
    ]
    numbers += [math.nan, math.inf]
    value: dict[str, Any] = {f"d{chr(97 + index)}": number for index, number in enumerate(numbers)}
    value |= {"zlist": [1, None, "x", True], "zempty": [], "zmap": {}, "znull": None, "zbytes": b"abc"}
    assert dumps(value) == (FASTJSON / "values.json").read_bytes()
    pretty = (ROCKETMQ / "values-pretty.json").read_bytes()
    assert dumps_pretty(value) == pretty.replace(b"[97,98,99]", b'"YWJj"')


NOT_OF_THE_DIALECT = [
    "{",
    "[",
    "{0:1",
    "{0;1}",
    "{0:}",
    "{0:1;2:3}",
    "{{}}",
    "{[1]:1}",
    "[0;1]",
    "{{'a':[1]}:1}",
    "'abc",
    "'\\q'",
    "'\\u12'",
    "{0:1}x",
    "{0:tru}",
    "{0:-}",
    "{0:01}",
    "{!:1}",
    "{0:\\u0030}",
    "{'a\\",
    "nul",
    "'",
    "1:2",
    "{'a'}",
    "",
    " ",
    "\ufeff",
    "{0 1}",
    "{0:1 2:3}",
    "[0 1]",
]


class TestReading:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ('{0:"a",-1:2}', {0: "a", -1: 2}),
            ("{'it''s':1}".replace("''", "\\'"), {"it's": 1}),
            ("{'a':'b \"c\"'}", {"a": 'b "c"'}),
            ("{a:1,_b$.c-d:2}", {"a": 1, "_b$.c-d": 2}),
            ('{"0":1}\n', {"0": 1}),
            (' [1 , 2.5e3,-0 ,true,false,null,"\\u00e9\\n\\/"] ', [1, 2500.0, 0, True, False, None, "é\n/"]),
            ("{0:1,,}", {0: 1}),
            ("[1,2,]", [1, 2]),
            ("{0:{}}", {0: {}}),
            ("'\\x41\\t\\'\\ud83d\\ude00\\ud83d'", "A\t'😀\ufffd"),
            ("{0:9223372036854775807}", {0: 2**63 - 1}),
        ],
    )
    def test_the_dialect(self, text: str, value: Any) -> None:
        assert loads(text) == value
        assert loads(text.encode()) == value

    def test_objects_as_keys(self) -> None:
        text = (
            b'{{"brokerName":"b","queueId":0,"topic":"t"}:{"x":1},'
            b'{"topic":"t","queueId":1,"brokerName":"b"}:2}'
        )
        value = loads(text)
        key = ObjectKey.of({"topic": "t", "brokerName": "b", "queueId": 0})
        assert value[key] == {"x": 1}
        assert key.as_dict() == {"topic": "t", "brokerName": "b", "queueId": 0}
        assert dumps(value) == (
            b'{{"brokerName":"b","queueId":0,"topic":"t"}:{"x":1},{"brokerName":"b","queueId":1,"topic":"t"}:2}'
        )

    @pytest.mark.parametrize("text", NOT_OF_THE_DIALECT)
    def test_what_is_not_of_it(self, text: str) -> None:
        with pytest.raises(BodyFault):
            loads(text)

    def test_not_utf8(self) -> None:
        with pytest.raises(BodyFault):
            loads(b'{"a":"\xff"}')

    @pytest.mark.parametrize("opening", ["[", "{0:", '{"a":', "{{'a':"])
    def test_depth_is_limited(self, opening: str) -> None:
        with pytest.raises(BodyFault):
            loads(opening * 100_000)
        assert loads("[" * (MAX_DEPTH - 1) + "{0:1}" + "]" * (MAX_DEPTH - 1))

    def test_size_is_limited(self) -> None:
        with pytest.raises(BodyFault, match="limit is 10"):
            loads("[1,2,3,4,5,6]", max_bytes=10)

    @given(st.text() | st.text("{}[]:,'\"\\0123456789.eE+-au \n"))
    def test_garbage_is_read_or_is_a_remote_fault(self, text: str) -> None:
        with suppress(BodyFault):
            loads(text.encode("utf-8", "surrogatepass"))


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
)
plain_texts = st.text(st.characters(exclude_categories=["Cs"]))
keys = plain_texts | st.integers(-1000, 1000)
object_keys = st.dictionaries(plain_texts, plain_texts | st.integers(0, 9), min_size=1, max_size=3).map(
    ObjectKey.of
)
trees = st.recursive(
    scalars | plain_texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys | object_keys, inner, max_size=4),
    max_leaves=12,
)


def without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_none(item) for key, item in value.items() if item is not None}
    return [without_none(item) for item in value] if isinstance(value, list) else value


@given(trees)
def test_the_compact_and_the_pretty_form_round_trip(value: Any) -> None:
    expected = without_none(value)
    assert loads(dumps(value)) == expected
    assert loads(dumps_pretty(value)) == expected


@given(trees)
def test_the_standard_form_is_standard(value: Any) -> None:
    written = dumps_standard(value)
    assert written.isascii()
    json.loads(written)


def test_what_has_no_json_form() -> None:
    with pytest.raises(TypeError, match="object"):
        dumps({"a": object()})


@pytest.mark.parametrize("count", [1, 9_999, 10_000, 25_001, 60_000])
def test_a_text_of_many_pieces_is_whole_and_in_order(count: int) -> None:
    value = {f"k{number:05}": [number, "ä\ud83d\ude00"] for number in range(count)}
    inside = ",".join(f'"k{number:05}":[{number},"ä??"]' for number in range(count))
    assert dumps(value) == f"{{{inside}}}".encode()
    assert dumps_pretty(value).translate(None, b"\n\t") == dumps(value)
    escaped = ",".join(f'"k{number:05}":[{number},"\\u00e4\\ud83d\\ude00"]' for number in range(count))
    assert dumps_standard(value) == f"{{{escaped}}}".encode()
