"""Message layout, ids, hashes and names, against bytes of Java."""

import struct
from contextlib import suppress

import attrs
import pytest
from fixture_bytes import fixture
from hypothesis import given
from hypothesis import strategies as st

from remoting.errors import RemoteFault
from remoting.protocol import message
from remoting.protocol.message import (
    BatchItem,
    decode_message,
    decode_message_id,
    decode_messages,
    decode_properties,
    encode_batch,
    encode_host,
    encode_message,
    encode_message_id,
    encode_properties,
    java_string_hash,
    split_batch,
)
from remoting.protocol.mq_version import NAMES, version_desc

STORED = {"message-v1": "TopicTest", "message-v2": "%RETRY%" + "x" * 150, "message-v6": "TopicTest"}


@pytest.mark.parametrize("name", STORED)
class TestStoredMessages:
    def test_they_are_read(self, name: str) -> None:
        decoded = decode_message(fixture(name), check_crc=True)
        assert decoded.topic == STORED[name]
        assert (decoded.queue_id, decoded.flag, decoded.queue_offset) == (3, 7, 11)
        assert decoded.commit_log_offset == 4096
        assert (decoded.born_timestamp, decoded.store_timestamp) == (1700000000123, 1700000000456)
        assert (decoded.reconsume_times, decoded.prepared_transaction_offset) == (2, 99)
        assert decoded.body == "hello é".encode()
        properties = {name: value for name, value in decoded.properties.items() if name != "WAIT"}
        assert properties == {"colour": "blaué", "TAGS": "TagA", "KEYS": "k1 k2"}
        if name == "message-v6":
            assert decoded.born_host == ("2001:db8::9", 51234)
        else:
            assert decoded.store_host == ("10.0.0.1", 10911)
            assert decoded.msg_id == "0A00000100002A9F0000000000001000"

    def test_they_are_written_again_byte_for_byte(self, name: str) -> None:
        data = fixture(name)
        assert encode_message(decode_message(data)) == data

    def test_each_truncation_is_a_remote_fault(self, name: str) -> None:
        data = fixture(name)
        for size in range(len(data)):
            with pytest.raises(RemoteFault):
                decode_message(data[:size])

    def test_a_changed_body_is_found_by_its_crc(self, name: str) -> None:
        data = fixture(name).replace(b"hello", b"hullo")
        decode_message(data)
        with pytest.raises(RemoteFault, match="CRC"):
            decode_message(data, check_crc=True)

    @given(data=st.data())
    def test_flipped_bytes_never_escape(self, name: str, data: st.DataObject) -> None:
        stored = bytearray(fixture(name))
        stored[data.draw(st.integers(0, len(stored) - 1))] ^= data.draw(st.integers(1, 255))
        with suppress(RemoteFault):
            decode_message(bytes(stored))


def test_messages_back_to_back() -> None:
    data = b"".join(map(fixture, STORED))
    assert [each.topic for each in decode_messages(data)] == list(STORED.values())
    with pytest.raises(RemoteFault):
        decode_messages(data + b"\0\0\0\x08")


def test_a_batch_of_java() -> None:
    items = split_batch(fixture("batch-body"))
    assert [(flag, bytes(body)) for flag, body, _ in items] == [(0, b"one"), (5, b"two")]
    assert decode_properties(items[0].properties)["TAGS"] == "TagA"
    assert encode_batch(items) == fixture("batch-body")
    with pytest.raises(RemoteFault):
        split_batch(fixture("batch-body")[:-1])
    assert split_batch(b"") == []
    for torn in range(1, 22):
        with pytest.raises(RemoteFault, match="not a batch item at 22"):
            split_batch(bytes((0, 0, 0, 22)) + bytes(18) + bytes(torn))
    for negative in (struct.pack(">iiiiih", 0, 0, 0, 0, -2, 0), struct.pack(">iiiiih", 0, 0, 0, 0, 0, -1)):
        with pytest.raises(RemoteFault, match="not a batch item at 0"):
            split_batch(negative + bytes(9))
    assert encode_batch([BatchItem(0, b"", b"")]) == bytes((0, 0, 0, 22)) + bytes(18)


def test_ids_of_java() -> None:
    short, long = fixture("message-ids").decode().split()
    assert decode_message_id(short) == ("10.0.0.1", 10911, 4096)
    assert decode_message_id(long) == ("2001:db8::1", 10911, 1 << 40)
    for text in (short, long):
        host, port, offset = decode_message_id(text)
        assert encode_message_id(encode_host(host, port), offset) == text


@pytest.mark.parametrize("text", ["", "0A", "Z" * 32, "0" * 31 + " ", "0" * 33])
def test_what_is_no_id(text: str) -> None:
    with pytest.raises(ValueError, match=r"message id|fromhex"):
        decode_message_id(text)


def test_hashes_of_java() -> None:
    lines = fixture("string-hashes").decode().splitlines()
    assert len(lines) == 7
    for line in lines:
        expected, _, text = line.partition("\t")
        assert java_string_hash(text) == int(expected)


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\1\2"), min_size=1)


@given(st.dictionaries(texts, texts))
def test_properties_round_trip(properties: dict[str, str]) -> None:
    assert decode_properties(encode_properties(properties)) == properties


def test_damaged_properties_lose_only_what_is_damaged() -> None:
    assert decode_properties(b"a\x01b\x02nothing\x02\x01x\x02c\x01\x02a\x01last") == {"a": "last"}


@pytest.mark.parametrize(
    ("topic", "fault"),
    [
        ("TopicTest", None),
        ("%RETRY%" + "g" * 248, None),
        ("%RETRY%" + "g" * 249, "longer than topic max length: 255"),
        ("t" * 127, None),
        ("t" * 128, "longer than topic max length: 127"),
        (" ", "blank"),
        ("a b", "illegal characters"),
        ("naïve", "illegal characters"),
        ("line\n", "illegal characters"),
    ],
)
def test_topic_names(topic: str, fault: str | None) -> None:
    found = message.topic_fault(topic)
    assert found is None if fault is None else fault in (found or "")


def test_group_names() -> None:
    assert message.group_fault("g" * 120) is None
    assert "120" in (message.group_fault("g" * 121) or "")


def test_transaction_bits() -> None:
    assert message.reset_transaction_value(0x1C, message.TRANSACTION_NOT_TYPE) == 0x10
    assert message.reset_transaction_value(0, message.TRANSACTION_ROLLBACK_TYPE) == 0xC


def test_long_texts_do_not_fit() -> None:
    stored = decode_message(fixture("message-v1"))
    with pytest.raises(ValueError, match="32767"):
        encode_message(attrs.evolve(stored, properties={"k": "v" * 33000}))


def test_release_names() -> None:
    assert len(NAMES) == 613
    known = {0: "V3_0_0_SNAPSHOT", 62: "V3_1_8_SNAPSHOT", 121: "V3_4_9", 399: "V4_9_3", 479: "V5_3_3"}
    assert {ordinal: version_desc(ordinal) for ordinal in known} == known
    assert version_desc(10_000) == "HIGHER_VERSION"
    assert version_desc(-1) == "V3_0_0_SNAPSHOT"
