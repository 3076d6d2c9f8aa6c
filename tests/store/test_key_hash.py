"""Hashes of many keys at once are those of `store_reader`, which takes them unit by unit."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from remoting.protocol.message import java_string_hash
from store.key_hash import key_hash, key_hashes
from tests.store_reader import key_hash as hash_by_reader

_letters = st.characters() | st.sampled_from("\0\x7f\x80\xff中\ud800\udfff😀")
_keys = st.text(_letters, max_size=30)


def by_reader(texts: list[str]) -> list[int]:
    return [hash_by_reader(*text.split("#", 1)) for text in texts]


@given(st.text(max_size=20).filter(lambda topic: "#" not in topic), _keys)
def test_one_key(topic: str, key: str) -> None:
    assert key_hash(topic, key) == key_hashes([f"{topic}#{key}"])[0] == hash_by_reader(topic, key)


@given(st.lists(_keys.map(lambda key: f"T#{key}"), max_size=20))
@example(["T#\ud800", "T#k", "T#😀😀😀😀😀😀", "T#a-key-of-more-than-eight"])
def test_many_keys(texts: list[str]) -> None:
    assert key_hashes(texts) == by_reader(texts)


@pytest.mark.parametrize("count", [511, 512, 513, 1025, 9000])
def test_more_keys_than_are_taken_together_or_remembered(count: int) -> None:
    texts = [f"T#{number * 7919:08d}{number:08X}" for number in range(count)]
    assert key_hashes(texts) == by_reader(texts)


def test_the_one_hash_without_positive_twin_is_zero() -> None:
    assert java_string_hash("polygenelubricants") == -(2**31)
    assert key_hashes(["polygenelubricants", "T#other"]) == [0, key_hash("T", "other")]
