"""Byte compatibility with a directory that Java RocketMQ 5.5.0 wrote (fixtures/README.md)."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from store_kit import (
    START_MS,
    ManualClock,
    bodies,
    closed,
    open_store,
    opened,
    queried,
    unpack_java_store,
)

from remoting.protocol.message import MessageExt, decode_message, encode_host, encode_properties, tags_code
from store import Message
from store.message_codec import FIXED_BYTES, MAGIC_BLANK, frame_of, parse_message

if TYPE_CHECKING:
    from pathlib import Path

    from store import MessageStore

RETRY = "%RETRY%" + "g" * 140


def body(number: int) -> bytes:
    return f"body-{number}".encode() + b"-" * (number % 50)


def expected(topic: str, queue_id: int) -> list[bytes]:
    return [body(i) for i in range(60) if i % 2 == queue_id and (i % 5 == 4) == (topic == RETRY)]


def check_all_messages(store: MessageStore) -> None:
    for topic in ("TopicFix", RETRY):
        for queue_id in (0, 1):
            assert bodies(store, topic, queue_id) == expected(topic, queue_id)
    assert queried(store, "k6", "TopicFix") == [body(6)]
    assert queried(store, f"0A010203{11:024X}", "TopicFix") == [body(11)]


def log_records(root: Path) -> list[MessageExt]:
    records = []
    for path in sorted((root / "commitlog").iterdir()):
        data, at = path.read_bytes(), 0
        while at + 8 <= len(data):
            size, magic = frame_of(data, at)
            if size == 0 or magic == MAGIC_BLANK:
                break
            records.append(decode_message(data, at))
            at += size
    return records


def as_put(record: MessageExt) -> Message:
    tags = record.properties["TAGS"]
    keys = (record.properties["UNIQ_KEY"], *record.properties["KEYS"].split(" "))
    return Message(
        record.topic,
        record.queue_id,
        record.flag,
        record.sys_flag,
        record.born_timestamp,
        encode_host(*record.born_host),
        record.body,
        encode_properties(record.properties),
        tags_code(tags),
        keys,
        record.reconsume_times,
        record.prepared_transaction_offset,
    )


def test_opens_a_cleanly_stopped_java_store(tmp_path: Path) -> None:
    with open_store(unpack_java_store(tmp_path)) as store:
        assert store.recovery is not None
        assert store.recovery.clean
        assert store.recovery.messages == 1
        check_all_messages(store)


def test_opens_a_killed_java_store(tmp_path: Path) -> None:
    root = unpack_java_store(tmp_path)
    (root / "abort").write_text("1")
    with open_store(root) as store:
        assert store.recovery is not None
        assert not store.recovery.clean
        check_all_messages(store)
    with open_store(root) as store:
        check_all_messages(store)


@pytest.mark.parametrize("batch", [1, 7, 60])
def test_writes_the_bytes_that_java_writes(tmp_path: Path, batch: int) -> None:
    java = unpack_java_store(tmp_path / "java")
    records = log_records(java)
    assert len(records) == 60
    clock = ManualClock(START_MS)
    with open_store(tmp_path / "ours", clock=clock) as store:
        at = 0
        while at < len(records):
            clock.current_ms = records[at].store_timestamp
            part = [
                record for record in records[at : at + batch] if record.store_timestamp == clock.current_ms
            ]
            assert all(result.ok for result in store.put([as_put(record) for record in part]))
            at += len(part)
    for folder in ("commitlog", "consumequeue"):
        theirs = sorted(path for path in (java / folder).rglob("*") if path.is_file())
        assert theirs
        for path in theirs:
            mine = tmp_path / "ours" / path.relative_to(java)
            assert mine.read_bytes() == path.read_bytes(), path
    [their_index] = (java / "index").iterdir()
    [my_index] = (tmp_path / "ours" / "index").iterdir()
    assert my_index.read_bytes() == their_index.read_bytes()


def test_index_rebuilt_after_a_crash_is_what_java_built(tmp_path: Path) -> None:
    root = unpack_java_store(tmp_path)
    [path] = (root / "index").iterdir()
    before = path.read_bytes()
    (root / "abort").write_text("1")
    closed(opened(root))
    after = [path.read_bytes() for path in (root / "index").iterdir()]
    assert [data[28:] for data in after] == [before[28:]]


def test_log_alone_gives_everything_back(tmp_path: Path) -> None:
    root = unpack_java_store(tmp_path)
    for name in ("consumequeue", "index"):
        shutil.rmtree(root / name)
    (root / "checkpoint").unlink()
    with open_store(root) as store:
        check_all_messages(store)


def test_every_record_parses_and_no_damaged_one_does(tmp_path: Path) -> None:
    root = unpack_java_store(tmp_path)
    data = (root / "commitlog" / f"{0:020d}").read_bytes()
    at = 0
    while True:
        size, magic = frame_of(data, at)
        if magic == MAGIC_BLANK:
            break
        parsed = parse_message(data, at, at)
        assert parsed is not None
        assert parsed.size == size
        assert parse_message(data, at, at + 1) is None
        assert parse_message(data[: at + size - 1], at, at) is None
        damaged = bytearray(data[at : at + size])
        damaged[size - len(parsed.properties) - 2 - 1 - len(parsed.topic.encode()) - 2] ^= 1
        assert parse_message(bytes(damaged), 0, at) is None
        at += size
    assert at > FIXED_BYTES
