"""Putting: offsets, file boundaries, limits, and a disk that says no."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest
from store_kit import (
    BORN,
    START_MS,
    FaultyDisk,
    ManualClock,
    a_second_later,
    bodies,
    closed,
    failing,
    message,
    open_store,
    opened,
    put_ok,
    queried,
)

from remoting.protocol.message import (
    RMQ_SYS_SCHEDULE_TOPIC,
    decode_message,
    decode_message_id,
    encode_host,
)
from store import Arrival, BrokerRole, Message, PutStatus
from store.message_codec import MAGIC_BLANK, frame_of

if TYPE_CHECKING:
    from pathlib import Path

V6 = encode_host("2001:db8::7", 99)


def statuses(results: list[object]) -> list[str]:
    return [result.status.name for result in results]  # type: ignore[attr-defined]


def test_a_batch_gets_consecutive_queue_offsets_per_queue(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        results = put_ok(store, *(message(i, queue_id=i % 2) for i in range(5)))
        assert [result.queue_offset for result in results] == [0, 0, 1, 1, 2]
        ends = [result.end_offset for result in results]
        assert [result.physical_offset for result in results] == [0, *ends[:-1]]
        assert store.max_phy_offset == ends[-1]
        assert bodies(store, queue_id=1) == [b"body-1", b"body-3"]
        assert decode_message_id(results[1].msg_id) == ("10.9.8.7", 10911, results[1].physical_offset)


def test_a_batch_is_one_write_per_file(tmp_path: Path) -> None:
    disk = FaultyDisk()
    with open_store(tmp_path, files=disk) as store:
        disk.calls.clear()
        put_ok(store, *(message(i) for i in range(20)))
        assert disk.count("pwrite", "commitlog") == 1
        put_ok(store, *(message(i, body=bytes(900)) for i in range(4)))
        assert disk.count("pwrite", "commitlog") == 3
        assert len(bodies(store)) == 24


@pytest.mark.parametrize("spare", range(0, 10))
def test_a_record_leaves_room_for_the_blank_record(tmp_path: Path, spare: int) -> None:
    with open_store(tmp_path) as store:
        overhead = put_ok(store, message(0, body=b""))[0].size
        put_ok(store, message(1, body=bytes(4096 - 2 * overhead - spare)))
        fits = spare >= 8
        assert store.max_phy_offset == (4096 - spare if fits else 4096 + 4096 - overhead - spare)
        put_ok(store, message(2, body=b""))
        assert [len(body) for body in bodies(store)] == [0, 4096 - 2 * overhead - spare, 0]
        first = (tmp_path / "commitlog" / f"{0:020d}").read_bytes()
        blank_at = 4096 - spare if fits else overhead
        assert frame_of(first, blank_at) == (4096 - blank_at, MAGIC_BLANK)
        assert not any(first[blank_at + 8 :])


def test_files_are_named_by_offset_and_have_full_size(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        put_ok(store, *(message(i, body=bytes(1000)) for i in range(8)))
    names = sorted(path.name for path in (tmp_path / "commitlog").iterdir())
    assert names == [f"{4096 * i:020d}" for i in range(3)]
    assert {path.stat().st_size for path in (tmp_path / "commitlog").iterdir()} == {4096}
    queue = tmp_path / "consumequeue" / "TopicTest" / "0"
    assert {path.stat().st_size for path in queue.iterdir()} == {200}


def test_long_topic_and_ipv6_hosts_keep_their_layout(tmp_path: Path) -> None:
    topic = "%RETRY%" + "x" * 200
    with open_store(tmp_path, store_host=("2001:db8::1", 10911)) as store:
        [result] = put_ok(store, message(3, topic, born_host=V6, sys_flag=0x101))
        stored = store.message_at(result.physical_offset)
        assert stored is not None
        read = decode_message(stored, check_crc=True)
        assert (read.topic, read.sys_flag) == (topic, 0x131)
        assert (read.born_host, read.store_host) == (("2001:db8::7", 99), ("2001:db8::1", 10911))
        assert len(result.msg_id) == 56


def test_host_bits_of_a_client_do_not_break_the_layout(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        [result] = put_ok(store, message(1, sys_flag=0x30))
        stored = store.message_at(result.physical_offset)
        assert stored is not None
        assert decode_message(stored).sys_flag == 0
        assert bodies(store) == [b"body-1"]


def test_half_and_rolled_back_messages_reach_no_queue(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        results = put_ok(
            store, message(0), message(1, sys_flag=4), message(2, sys_flag=0xC), message(3, sys_flag=8)
        )
        assert [result.queue_offset for result in results] == [0, 0, 0, 1]
        assert bodies(store) == [b"body-0", b"body-3"]
        assert queried(store, "U00000001") == [b"body-1"]
        assert queried(store, "U00000002") == []
    with open_store(tmp_path) as store:
        assert bodies(store) == [b"body-0", b"body-3"]


def test_schedule_topic_keeps_the_delivery_time_as_tags_code(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        for level, delay_ms in ((1, 1000), (18, 7_200_000), (99, 7_200_000)):
            put_ok(store, message(level, RMQ_SYS_SCHEDULE_TOPIC, level - 1, extra=f"DELAY\x01{level}\x02"))
            units = store.consume_queue_units(RMQ_SYS_SCHEDULE_TOPIC, level - 1, 0, 1)
            assert units[0][2] == START_MS + delay_ms
        put_ok(store, message(0, RMQ_SYS_SCHEDULE_TOPIC, 0, tags="A"))
        assert store.consume_queue_units(RMQ_SYS_SCHEDULE_TOPIC, 0, 1, 1)[0][2] == 65


def test_one_message_over_a_limit_does_not_hurt_its_batch(tmp_path: Path) -> None:
    with open_store(tmp_path, max_message_size=1000) as store:
        results = store.put(
            [
                message(0),
                message(1, body=bytes(1001)),
                message(2, extra="x\x01" + "y" * 32768),
                message(3, topic="t" * 256),
                message(4, topic="a/b"),
                message(5, topic=""),
                message(6, extra="x\x01" + "y" * 20000),
                message(7),
            ]
        )
        assert statuses(results) == [
            "PUT_OK",
            "MESSAGE_ILLEGAL",
            "PROPERTIES_SIZE_EXCEEDED",
            "MESSAGE_ILLEGAL",
            "MESSAGE_ILLEGAL",
            "MESSAGE_ILLEGAL",
            "MESSAGE_ILLEGAL",
            "PUT_OK",
        ]
        assert bodies(store) == [b"body-0", b"body-7"]


@pytest.mark.parametrize(
    ("field", "value"),
    [("flag", 1 << 40), ("sys_flag", 1 << 33), ("born_timestamp", 1 << 70), ("reconsume_times", -1 << 40),
     ("born_host", b"abc"), ("properties", b"a\x01b\x00"), ("queue_id", -1), ("queue_id", 1 << 40)],
)  # fmt: skip
def test_fields_that_do_not_fit_are_illegal_and_cost_no_offset(
    tmp_path: Path, field: str, value: object
) -> None:
    with open_store(tmp_path) as store:
        bad = message(1)
        setattr(bad, field, value)
        assert statuses(store.put([message(0), bad, message(2)])) == ["PUT_OK", "MESSAGE_ILLEGAL", "PUT_OK"]
        assert bodies(store) == [b"body-0", b"body-2"]


def test_a_full_disk_stores_nothing_and_recovers_when_there_is_room(tmp_path: Path) -> None:
    disk = FaultyDisk()
    with open_store(tmp_path, files=disk) as store:
        put_ok(store, message(0))
        disk.hook = failing("pwrite", "commitlog", errno.ENOSPC)
        before = store.max_phy_offset
        assert statuses(store.put([message(1), message(2)])) == ["SERVICE_NOT_AVAILABLE"] * 2
        assert store.max_phy_offset == before
        assert store.unwritable_reason is not None
        assert "the broker's disk is full [CL: " in store.unwritable_reason
        disk.hook = lambda *_: None
        assert statuses(store.put([message(3)])) == ["SERVICE_NOT_AVAILABLE"]
        a_second_later(store)
        assert put_ok(store, message(3))[0].queue_offset == 1
        assert bodies(store) == [b"body-0", b"body-3"]


def test_a_half_written_batch_leaves_no_trace(tmp_path: Path) -> None:
    disk = FaultyDisk()
    store = opened(tmp_path, files=disk)
    put_ok(store, message(0))
    position = store.max_phy_offset

    def half(name: str, path: str, _detail: int) -> None:
        if name == "pwrite" and "commitlog" in path:
            with open(path, "r+b") as file:
                file.seek(position)
                file.write(b"\x55" * 300)
            failing("pwrite", "commitlog", errno.EIO)(name, path, 0)

    disk.hook = half
    assert statuses(store.put([message(1)])) == ["UNKNOWN_ERROR"]
    data = (tmp_path / "commitlog" / f"{0:020d}").read_bytes()
    assert len(data) == 4096
    assert not any(data[position:])
    disk.hook = lambda *_: None
    closed(store)


def test_a_failure_in_the_second_file_keeps_what_the_first_took(tmp_path: Path) -> None:
    disk = FaultyDisk()
    with open_store(tmp_path, files=disk) as store:
        disk.hook = failing("create", f"commitlog/{4096:020d}", errno.EACCES)
        results = store.put([message(i, body=bytes(1500)) for i in range(4)])
        assert statuses(results) == ["PUT_OK", "PUT_OK", *["CREATE_MAPPED_FILE_FAILED"] * 2]
        disk.hook = lambda *_: None
        assert [result.queue_offset for result in put_ok(store, message(9, body=bytes(1500)))] == [2]
        assert len(bodies(store)) == 3


@pytest.mark.parametrize("first", range(5))
def test_what_belongs_together_goes_into_one_file_or_nowhere(tmp_path: Path, first: int) -> None:
    """Four messages, of which a file of 4096 bytes holds two; `first` and the next are one batch."""
    disk = FaultyDisk()
    with open_store(tmp_path, files=disk) as store:
        messages = [message(i, body=bytes(1500) + b"%d" % i) for i in range(6)]
        disk.hook = failing("create", f"commitlog/{4096:020d}", errno.EACCES)
        results = store.put(messages, [(first, 2)])
        stored = 1 if first == 1 else 2
        assert statuses(results) == ["PUT_OK"] * stored + ["CREATE_MAPPED_FILE_FAILED"] * (6 - stored)
        disk.hook = lambda *_: None
        results += put_ok(store, *messages[stored:])
        offsets = [result.queue_offset for result in results if result.status is PutStatus.PUT_OK]
        assert offsets == list(range(6))
        assert [body[-1:] for body in bodies(store)] == [b"%d" % number for number in range(6)]
    with open_store(tmp_path) as store:
        assert len(bodies(store)) == 6


def test_what_no_file_can_hold_goes_into_several(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        put_ok(store, message(0))
        results = store.put([message(i, body=bytes(1500)) for i in range(7)], [(1, 5)])
        assert statuses(results) == ["PUT_OK"] * 7
        assert [result.queue_offset for result in results] == list(range(1, 8))
        assert results[1].physical_offset == 4096, "it is tried in a file of its own first"
        assert len(bodies(store)) == 8


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_the_next_file_cannot_be_created(tmp_path: Path, number: int) -> None:
    disk = FaultyDisk()
    store = opened(tmp_path, files=disk)
    put_ok(store, *(message(i, body=bytes(1000)) for i in range(3)))
    disk.hook = failing("create", f"{4096:020d}", number)
    for _ in range(2):
        [result] = store.put([message(3, body=bytes(1000))])
        full = number == errno.ENOSPC
        assert result.status.name == ("SERVICE_NOT_AVAILABLE" if full else "CREATE_MAPPED_FILE_FAILED")
        assert (result.queue_offset, result.physical_offset, result.msg_id) == (-1, -1, "")
    assert len(bodies(store)) == 3
    disk.hook = lambda _operation, _path, _detail: None
    a_second_later(store)
    [result] = put_ok(store, message(3, body=bytes(1000)))
    assert (result.queue_offset, result.physical_offset) == (3, 4096)
    closed(store, clean=False)
    with open_store(tmp_path) as store:
        assert len(bodies(store)) == 4


def test_a_next_file_that_came_too_late_is_let_go(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        put_ok(store, *(message(i, body=bytes(1000)) for i in range(3)))
        assert store._log.needs_next_file
        late = store._log.prepare_next_file()
        put_ok(store, message(3, body=bytes(1000)))
        store._log.keep_next_file(late)
        put_ok(store, *(message(i, body=bytes(1000)) for i in range(4, 6)))
        assert store._log.needs_next_file
        store._log.keep_next_file(store._log.prepare_next_file())
        assert not store._log.needs_next_file
        assert store.statistics().commit_log.file_count == 3


def test_arrivals_are_told_once_per_batch(tmp_path: Path) -> None:
    heard: list[list[Arrival]] = []
    with open_store(tmp_path) as store:
        store.on_arrival.append(heard.append)
        put_ok(store, message(0, tags="A"), message(1, sys_flag=4), message(2, queue_id=1))
    assert [[(a.queue_id, a.max_offset, a.tags_code) for a in batch] for batch in heard] == [
        [(0, 1, 65), (1, 1, 0)]
    ]


def test_a_slave_and_a_closed_store_refuse(tmp_path: Path) -> None:
    store = opened(tmp_path, broker_role=BrokerRole.SLAVE)
    assert statuses(store.put([message()])) == ["SERVICE_NOT_AVAILABLE"]
    assert store.unwritable_reason == "messages are put to the slave"
    closed(store)
    assert store.put([message()])[0].status is PutStatus.SERVICE_NOT_AVAILABLE
    assert store.unwritable_reason == "message store has been shut down"


def test_entries_in_memory_are_limited(tmp_path: Path) -> None:
    with open_store(tmp_path, max_unwritten_entries=10) as store:
        put_ok(store, *(message(i) for i in range(11)))
        assert statuses(store.put([message()])) == ["OS_PAGE_CACHE_BUSY"]


def test_body_may_be_a_view_of_a_frame(tmp_path: Path) -> None:
    frame = b"xxhello worldyy"
    clock = ManualClock(START_MS)
    with open_store(tmp_path, clock=clock) as store:
        put_ok(store, Message("T", 0, 0, 0, 1, BORN, memoryview(frame)[2:13], b""))
        assert bodies(store, "T") == [b"hello world"]


def test_several_log_directories_share_the_files(tmp_path: Path) -> None:
    paths = f"{tmp_path / 'a'},{tmp_path / 'b'}"
    with open_store(tmp_path / "root", store_path_commit_log=paths) as store:
        put_ok(store, *(message(i, body=bytes(1000)) for i in range(8)))
    with open_store(tmp_path / "root", store_path_commit_log=paths) as store:
        assert len(bodies(store)) == 8
    assert sorted(os.listdir(tmp_path / "a")) == [f"{0:020d}", f"{8192:020d}"]
    assert sorted(os.listdir(tmp_path / "b")) == [f"{4096:020d}"]
