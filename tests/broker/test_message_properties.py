"""What is read out of properties texts, and what of them is stored."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.message_properties import PropertyReader, UniqueIdSource
from remoting.protocol.message import decode_properties, java_string_hash

OWN = {"MSG_REGION": "DefaultRegion", "TRACE_ON": "true", "CLUSTER": "DefaultCluster"}
NOW_MS = 1_700_000_000_000


def reader() -> PropertyReader:
    return PropertyReader("DefaultRegion", trace_on=True, cluster="DefaultCluster")


def text(**pairs: str) -> str:
    return "".join(f"{name}\x01{value}\x02" for name, value in pairs.items())


def test_own_properties_are_added_and_the_producers_stay() -> None:
    facts, unique_key, stored = reader().read(text(UNIQ_KEY="AB", TAGS="TagA", KEYS="a b"), NOW_MS)
    assert decode_properties(stored) == {"UNIQ_KEY": "AB", "TAGS": "TagA", "KEYS": "a b", **OWN}
    assert unique_key == "AB"
    assert facts.tags_code == java_string_hash("TagA")
    assert facts.keys == ("a", "b")
    assert not facts.special


def test_texts_that_differ_only_in_the_unique_key_share_their_facts() -> None:
    properties = reader()
    first = properties.read(text(TAGS="T", UNIQ_KEY="A1"), NOW_MS)
    second = properties.read(text(TAGS="T", UNIQ_KEY="A2"), NOW_MS)
    assert first[0] is second[0]
    assert (first[1], second[1]) == ("A1", "A2")
    assert decode_properties(second[2])["UNIQ_KEY"] == "A2"


@pytest.mark.parametrize(
    "given_text", ["", text(TAGS="T"), text(X_UNIQ_KEY="no"), "UNIQ_KEY\x01\x02TAGS\x01T\x02"]
)
def test_a_unique_key_is_made_when_there_is_none(given_text: str) -> None:
    _, unique_key, stored = reader().read(given_text, NOW_MS)
    assert len(unique_key) == 32
    assert decode_properties(stored)["UNIQ_KEY"] == unique_key


def test_a_missing_last_separator_is_added() -> None:
    _, _, stored = reader().read("UNIQ_KEY\x01A\x02TAGS\x01T", NOW_MS)
    assert decode_properties(stored) == {"UNIQ_KEY": "A", "TAGS": "T", **OWN}


def test_pop_check_point_is_removed_and_forged_own_properties_are_replaced() -> None:
    forged = text(POP_CK="x", UNIQ_KEY="A", CLUSTER="other", MSG_REGION="r", TRACE_ON="false")
    _, _, stored = reader().read(forged, NOW_MS)
    assert decode_properties(stored) == {"UNIQ_KEY": "A", **OWN}


def test_a_delay_level_wins_over_timer_properties() -> None:
    facts, _, stored = reader().read(text(UNIQ_KEY="A", DELAY="3", TIMER_DELAY_SEC="9"), NOW_MS)
    assert (facts.delay_level, facts.timer, facts.special) == (3, False, True)
    assert "TIMER_DELAY_SEC" not in decode_properties(stored)


@pytest.mark.parametrize("name", ["TIMER_DELAY_SEC", "TIMER_DELAY_MS", "TIMER_DELIVER_MS"])
def test_timer_properties_are_noticed(name: str) -> None:
    assert reader().peek(text(**{name: "5"}))[0].timer


def test_a_delay_that_is_no_number_is_noticed() -> None:
    facts, _ = reader().peek(text(DELAY="soon"))
    assert (facts.delay_level, facts.delay_illegal, facts.special) == (0, "soon", True)


def test_wait_and_transaction_are_read_as_java_reads_booleans() -> None:
    assert reader().peek(text(WAIT="TRUE"))[0].wait_store
    assert not reader().peek(text(WAIT="1"))[0].wait_store
    assert reader().peek(text(TRAN_MSG="True"))[0].transaction


names = st.sampled_from(["UNIQ_KEY", "TAGS", "KEYS", "CLUSTER", "POP_CK", "WAIT", "DELAY", "X", "", "é"])
values = st.text(alphabet="aB1 é\x01", max_size=4)


@given(st.lists(st.tuples(names, values), max_size=6), st.booleans(), st.text(max_size=3))
def test_any_text_is_stored_as_its_pairs_and_ours(
    pairs: list[tuple[str, str]], closed: bool, rest: str
) -> None:
    joined = "".join(f"{name}\x01{value}\x02" for name, value in pairs) + rest
    given_text = joined if closed else joined.removesuffix("\x02")
    properties = reader()
    for _ in range(2):
        _, unique_key, stored = properties.read(given_text, NOW_MS)
        expected = decode_properties(given_text.encode("utf-8", "replace")) | OWN
        expected.pop("POP_CK", None)
        expected.setdefault("UNIQ_KEY", unique_key)
        assert decode_properties(stored) == expected


_names = st.sampled_from(["UNIQ_KEY", "XUNIQ_KEY", "TAGS", "KEYS", "DELAY"])
_stored = st.lists(st.tuples(_names, st.text("aB1\x01\x02é", max_size=4)), max_size=3).map(
    lambda pairs: "\x02".join(f"{name}\x01{value}" for name, value in pairs).encode()
)


@given(st.lists(_stored | st.sampled_from([b"", b"UNIQ_KEY\x01", b"UNIQ_KEY\x01\xff", b"\xffUNIQ_KEY\x01a"])))
def test_a_stored_text_tells_what_it_tells_without_those_before_it(texts: list[bytes]) -> None:
    properties = reader()
    for stored in texts:
        found = properties.peek_stored(stored)
        assert found == reader().peek(stored.decode("utf-8", "replace"))


def test_stored_texts_that_differ_only_in_the_unique_key_share_their_facts() -> None:
    properties = reader()
    first = properties.peek_stored(text(TAGS="T", UNIQ_KEY="A1", WAIT="true").encode())
    second = properties.peek_stored(text(TAGS="T", UNIQ_KEY="längér", WAIT="true").encode())
    other = properties.peek_stored(text(TAGS="U", UNIQ_KEY="A1", WAIT="true").encode())
    assert first[0] is second[0] is not other[0]
    assert (first[1], second[1], other[1]) == ("A1", "längér", "A1")
    assert (first[0].tags_code, other[0].tags_code) == (java_string_hash("T"), java_string_hash("U"))


def test_unique_ids_do_not_repeat_and_follow_the_month() -> None:
    source = UniqueIdSource()
    ids = {source.next(NOW_MS) for _ in range(1000)} | {source.next(NOW_MS + 40 * 86_400_000)}
    assert len(ids) == 1001
    assert all(len(each) == 32 and each == each.upper() for each in ids)
