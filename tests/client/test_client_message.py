"""Messages to send and bodies received."""

from __future__ import annotations

import zlib

import attrs
import pytest

from client import ClientError, Message, message_id, plain_body
from client.message import MAX_BODY_BYTES, compressed_body
from remoting.protocol.message import (
    COMPRESSED_FLAG,
    COMPRESSION_LZ4_TYPE,
    COMPRESSION_ZSTD_TYPE,
    MessageExt,
)

STORED = MessageExt(
    topic="T",
    queue_id=1,
    flag=0,
    queue_offset=7,
    commit_log_offset=99,
    sys_flag=0,
    born_timestamp=1,
    born_host=("127.0.0.1", 1),
    store_timestamp=2,
    store_host=("127.0.0.1", 10911),
    reconsume_times=0,
    prepared_transaction_offset=0,
    body=b"plain",
    body_crc=0,
    properties={"UNIQ_KEY": "AB"},
    store_size=100,
    msg_id="CD",
)


def test_properties_of_the_protocol_win_over_the_applications_own() -> None:
    message = Message(
        topic="T",
        body=b"",
        tags="a",
        keys=("k1", "k2"),
        delay_level=3,
        wait_store_ok=False,
        properties={"TAGS": "other", "WAIT": "true", "mine": "1"},
    )
    assert message.wire_properties("ID") == {
        "mine": "1",
        "UNIQ_KEY": "ID",
        "TAGS": "a",
        "KEYS": "k1 k2",
        "DELAY": "3",
        "WAIT": "false",
    }


def test_a_message_sent_again_keeps_its_id() -> None:
    message = Message(topic="T", body=b"", properties={"UNIQ_KEY": "OLD"})
    assert message.wire_properties("NEW")["UNIQ_KEY"] == "OLD"


@pytest.mark.parametrize("topic", ["", "a b", "t" * 128, "ümlaut"])
def test_bad_topics_are_refused_before_they_travel(topic: str) -> None:
    with pytest.raises(ClientError, match="topic"):
        Message(topic=topic, body=b"")


def test_bodies_above_4_mib_are_refused() -> None:
    with pytest.raises(ClientError, match="4194304 are allowed"):
        Message(topic="T", body=bytes(MAX_BODY_BYTES + 1))


def test_a_compressed_body_comes_back() -> None:
    body, sys_flag = compressed_body(b"x" * 5000)
    assert len(body) < 100
    assert plain_body(attrs.evolve(STORED, body=body, sys_flag=sys_flag)) == b"x" * 5000
    # Clients before 4.9 set no compression type; it is zlib.
    assert plain_body(attrs.evolve(STORED, body=body, sys_flag=COMPRESSED_FLAG)) == b"x" * 5000
    assert plain_body(STORED) == b"plain"


@pytest.mark.parametrize(
    ("body", "kind", "reason"),
    [
        (b"garbage", 0, "damaged"),
        (zlib.compress(b"x" * 5000)[:-5], 0, "torn"),
        (zlib.compress(bytes(65 * 1024 * 1024)), 0, "torn or above"),
        (b"", COMPRESSION_LZ4_TYPE, "LZ4"),
        (b"", COMPRESSION_ZSTD_TYPE, "ZSTD"),
    ],
)
def test_bodies_that_cannot_be_unpacked_are_told_apart(body: bytes, kind: int, reason: str) -> None:
    with pytest.raises(ClientError, match=reason):
        plain_body(attrs.evolve(STORED, body=body, sys_flag=COMPRESSED_FLAG | kind))


def test_users_know_a_message_by_its_producers_id() -> None:
    assert message_id(STORED) == "AB"
    assert message_id(attrs.evolve(STORED, properties={})) == "CD"
