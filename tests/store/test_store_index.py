"""The index: layout, several files, what is still in memory."""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING

import pytest
from store_kit import (
    ALL_TIME,
    START_MS,
    FaultyDisk,
    ManualClock,
    bodies,
    checkpointed,
    closed,
    failing,
    message,
    open_store,
    opened,
    put_ok,
    queried,
)

from store import StoreIOError
from store.checkpoint import load_checkpoint
from store.files import OsFileSystem
from store.index import MessageIndex
from store.key_hash import key_hash

if TYPE_CHECKING:
    from pathlib import Path


def test_layout_of_a_file(tmp_path: Path) -> None:
    clock = ManualClock(START_MS)
    with open_store(tmp_path, clock=clock) as store:
        first, second = put_ok(store, message(0, keys=("a",)), message(1, keys=("a",)))
        clock.advance(5500)
        [third] = put_ok(store, message(2, keys=("a", "b")))
    [path] = (tmp_path / "index").iterdir()
    assert len(path.name) == 17
    data = path.read_bytes()
    assert len(data) == 40 + 100 * 4 + 400 * 20
    assert struct.unpack_from(">qqqqii", data) == (
        START_MS, START_MS + 5500, first.physical_offset, third.physical_offset, 2, 5,
    )  # fmt: skip
    hash_a, hash_b = key_hash("TopicTest", "a"), key_hash("TopicTest", "b")
    entries = [struct.unpack_from(">iqii", data, 440 + 20 * number) for number in range(6)]
    assert entries == [
        (0, 0, 0, 0),
        (hash_a, first.physical_offset, 0, 0),
        (hash_a, second.physical_offset, 0, 1),
        (hash_a, third.physical_offset, 5, 2),
        (hash_b, third.physical_offset, 5, 0),
        (0, 0, 0, 0),
    ]
    assert struct.unpack_from(">i", data, 40 + hash_a % 100 * 4) == (3,)
    assert struct.unpack_from(">i", data, 40 + hash_b % 100 * 4) == (4,)


@pytest.mark.parametrize("written", [False, True])
def test_query_by_key_time_and_tag(tmp_path: Path, written: bool) -> None:
    clock = ManualClock(START_MS)
    with open_store(tmp_path, clock=clock) as store:
        for number in range(10):
            put_ok(store, message(number, keys=(f"U{number}", "all"), tags="Red" if number < 3 else ""))
            clock.advance(10_000)
        if written:
            store._behind.write_blocking()
        assert queried(store, "U4") == [b"body-4"]
        assert queried(store, "all") == bodies(store)
        assert len(store.query("TopicTest", "all", 3, 0, 1 << 60).buffers) == 3
        begin, end = START_MS + 20_000, START_MS + 40_000
        assert len(store.query("TopicTest", "all", 64, begin, end).buffers) == 3
        assert queried(store, "all", "Other") == []
        assert len(store.query("TopicTest", "Red", 64, 0, 1 << 60, "T").buffers) == 3
        assert queried(store, "Red") == []


def test_query_tells_how_far_it_sees_including_what_is_in_memory(tmp_path: Path) -> None:
    clock = ManualClock(START_MS)

    def told() -> tuple[int, int]:
        return store.query("TopicTest", "any", 1, *ALL_TIME)[1:]

    with open_store(tmp_path, clock=clock) as store:
        assert told() == (0, 0)
        put_ok(store, message(0, keys=("a",)))
        assert told() == (START_MS, 0)
        store._behind.write_blocking()
        clock.advance(10)
        [newest] = put_ok(store, message(1, tags="A"))
        put_ok(store, message(2, keys=(), extra="other\x01x\x02"))
        assert told() == (START_MS + 10, newest.physical_offset)
        assert store._index is not None
        assert store._index.take_pending()
        assert told() == (START_MS + 10, newest.physical_offset)
        store._index.write_behind()
        assert told() == (START_MS + 10, newest.physical_offset)


def test_a_full_file_is_continued_in_the_next(tmp_path: Path) -> None:
    with open_store(tmp_path, max_index_num=20) as store:
        for number in range(50):
            put_ok(store, message(number, keys=(f"U{number}", "all")))
            if number % 9 == 0:
                store._behind.write_blocking()
        store._behind.write_blocking()
        assert len(list((tmp_path / "index").iterdir())) == 6
        assert queried(store, "all") == bodies(store)
        assert queried(store, "U3") == [b"body-3"]
    with open_store(tmp_path, max_index_num=20) as store:
        assert queried(store, "all") == bodies(store)


@pytest.mark.parametrize(
    ("messages", "per_ms", "keeps"),
    [(10, 1, False), (100, 1, True), (100, 3, True), (220, 7, True), (220, 9, True), (131, 11, True)],
)
def test_what_the_checkpoint_says_lets_a_java_broker_lose_no_entry(
    tmp_path: Path, messages: int, per_ms: int, keeps: bool
) -> None:
    """Java's rule after a crash (messageIndexSafe): files that end later go, newer messages come again."""
    clock = ManualClock(START_MS)
    stored: list[tuple[int, int]] = []
    store = opened(tmp_path, max_index_num=20, clock=clock)
    for number in range(messages):
        clock.advance(number % per_ms == 0)
        [result] = put_ok(store, message(number, body=bytes(200)))
        stored.append((clock.now_ms(), result.physical_offset))
        store._behind.write_blocking()
        if number == messages * 9 // 10:
            store._behind.sync_blocking(clock.now_ms())
    closed(store, clean=False)
    told = load_checkpoint(str(tmp_path / "checkpoint"), OsFileSystem()).index_msg_timestamp
    kept_until = -1
    for path in sorted((tmp_path / "index").iterdir()):
        _, end, _, end_physical = struct.unpack_from(">qqqq", path.read_bytes())
        if end <= told:
            kept_until = end_physical
    starts = {physical - physical % 4096: timestamp for timestamp, physical in reversed(stored)}
    read_from = max((start for start, timestamp in starts.items() if timestamp <= told), default=0)
    assert not [physical for _, physical in stored if kept_until < physical < read_from]
    assert (kept_until >= 0) is keeps


def test_a_failed_write_is_made_good_with_what_came_since(tmp_path: Path) -> None:
    disk = FaultyDisk()
    with open_store(tmp_path, files=disk) as store:
        put_ok(store, message(0, keys=("all",)))
        disk.hook = failing("pwrite", "index", errno.EIO)
        with pytest.raises(StoreIOError):
            store._behind.write_blocking()
        disk.hook = lambda _operation, _path, _detail: None
        put_ok(store, message(1, keys=("all",)))
        assert queried(store, "all") == [b"body-0", b"body-1"]
    with open_store(tmp_path) as store:
        assert store.recovery is not None
        assert store.recovery.messages == 1
        assert queried(store, "all") == [b"body-0", b"body-1"]


def test_index_can_be_switched_off(tmp_path: Path) -> None:
    with open_store(tmp_path, message_index_enable=False) as store:
        put_ok(store, message(0))
        assert queried(store, "U00000000") == []
    assert not (tmp_path / "index").exists()


def test_a_message_whose_keys_lie_in_two_files_is_given_up_in_both(tmp_path: Path) -> None:
    index = MessageIndex(str(tmp_path), 10, 5, OsFileSystem(), ManualClock(START_MS))
    first, second, third = (
        ("T", (f"a{number}", f"b{number}", f"c{number}"), 1000 * number, START_MS + number, b"")
        for number in (1, 2, 3)
    )
    index.append([first, second, third])
    index.take_pending()
    index.write_behind()
    assert [file.end_physical for file in index.files] == [2000, 3000, 3000]
    # The file that holds the first key of the second message is trusted, what follows is dispatched again.
    index.repair(3000, START_MS + 3)
    assert index.end_physical == 1000
    assert [index.query("T", key, 5, *ALL_TIME) for key in ("a1", "c1", "a2", "c2", "a3")] == [
        [1000], [1000], [], [], [],
    ]  # fmt: skip
    index.close()


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("damage", ["cut", "of no time"])
@pytest.mark.parametrize("position", [0, 1, 2, 3])
def test_keys_are_whole_where_a_file_and_all_behind_it_are_made_again(
    tmp_path: Path, position: int, damage: str, clean: bool
) -> None:
    keys = [(f"a{number}", f"b{number}", f"c{number}") for number in range(8)]
    store = opened(tmp_path, max_hash_slot_num=10, max_index_num=6)
    for number, each in enumerate(keys):
        put_ok(store, message(number, keys=each))
    checkpointed(store)
    closed(store, clean=clean)
    paths = sorted((tmp_path / "index").iterdir())
    assert len(paths) == 5  # five entries each: most messages have keys in two of them
    with paths[position].open("r+b") as file:
        if damage == "cut":
            file.truncate(100)
        else:
            file.write(bytes(16))
    with open_store(tmp_path, max_hash_slot_num=10, max_index_num=6) as store:
        for number, each in enumerate(keys):
            for key in each:
                assert queried(store, key) == [b"body-%d" % number], key
