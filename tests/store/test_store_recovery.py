"""Recovery, each kind of damage by name. `killed` = memory is lost and ``abort`` stays."""

from __future__ import annotations

import os
import shutil
import struct
from typing import TYPE_CHECKING

import pytest
from store_kit import (
    START_MS,
    ManualClock,
    bodies,
    closed,
    make_store,
    message,
    open_store,
    opened,
    put_ok,
    queried,
)

from store import MessageStoreConfig, StoreCorruptError
from store.consume_queue import UNIT

if TYPE_CHECKING:
    from pathlib import Path

    from store import MessageStore

COUNT = 60
PADDING = "p\x01" + "y" * 50 + "\x02"
EXPECTED = [f"body-{i}".encode() for i in range(COUNT)]


def fill(root: Path, *, clean: bool, write_behind: bool = True, clock: ManualClock | None = None) -> int:
    """60 messages in two queues over several files; returns the log's tail."""
    store = opened(root, clock=clock)
    for i in range(COUNT):
        put_ok(store, message(i, queue_id=i % 2, keys=(f"U{i}", "all"), tags="A", extra=PADDING))
    tail = store.max_phy_offset
    assert 3 * 4096 - 300 > tail > 2 * 4096 + 300
    if write_behind:
        store._behind.write_blocking()
    closed(store, clean=clean)
    return tail


def check(store: MessageStore, count: int = COUNT) -> None:
    for queue_id in (0, 1):
        assert bodies(store, queue_id=queue_id) == EXPECTED[queue_id:count:2]
    for i in (0, 1, count - 1):
        assert queried(store, f"U{i}") == [EXPECTED[i]]
    assert queried(store, f"U{count}") == []
    [result] = put_ok(store, message(count, queue_id=count % 2, keys=("next",)))
    assert result.queue_offset == count // 2
    assert bodies(store, queue_id=count % 2)[-1] == f"body-{count}".encode()
    assert queried(store, "next") == [f"body-{count}".encode()]


def check_twice(root: Path, count: int = COUNT, *, tail: int | None = None) -> None:
    with open_store(root) as store:
        if tail is not None:
            assert store.max_phy_offset == tail
        check(store, count)
    with open_store(root) as store:
        assert store.recovery is not None
        assert store.recovery.clean
        assert len(bodies(store)) + len(bodies(store, queue_id=1)) == count + 1


def log_file(root: Path, offset: int) -> tuple[Path, int]:
    return root / "commitlog" / f"{offset - offset % 4096:020d}", offset % 4096


def overwrite(root: Path, offset: int, data: bytes) -> None:
    path, position = log_file(root, offset)
    with path.open("r+b") as file:
        file.seek(position)
        file.write(data)


def test_clean_stop_reads_one_message(tmp_path: Path) -> None:
    tail = fill(tmp_path, clean=True)
    assert not (tmp_path / "abort").exists()
    with open_store(tmp_path) as store:
        assert (tmp_path / "abort").exists()
        assert store.recovery is not None
        assert (store.recovery.clean, store.recovery.messages) == (True, 1)
        assert store.max_phy_offset == tail
        check(store)


def test_killed_with_everything_written(tmp_path: Path) -> None:
    tail = fill(tmp_path, clean=False)
    check_twice(tmp_path, tail=tail)


def test_killed_before_anything_derived_was_written(tmp_path: Path) -> None:
    tail = fill(tmp_path, clean=False, write_behind=False)
    assert not list((tmp_path / "consumequeue").iterdir())
    check_twice(tmp_path, tail=tail)


def test_last_message_torn(tmp_path: Path) -> None:
    tail = fill(tmp_path, clean=False)
    overwrite(tmp_path, tail - 20, bytes(20))
    check_twice(tmp_path, COUNT - 1)


def test_body_of_the_last_message_torn(tmp_path: Path) -> None:
    tail = fill(tmp_path, clean=False)
    path, _ = log_file(tmp_path, tail)
    at = path.read_bytes().rindex(b"body-59")
    overwrite(tmp_path, tail - tail % 4096 + at, b"\x00")
    check_twice(tmp_path, COUNT - 1)


def test_garbage_behind_the_end(tmp_path: Path) -> None:
    tail = fill(tmp_path, clean=False)
    overwrite(tmp_path, tail, b"\x77" * 200)
    check_twice(tmp_path, tail=tail)


def test_stale_messages_behind_the_end_never_come_back(tmp_path: Path) -> None:
    tail = fill(tmp_path, clean=False)
    first = make_size(tmp_path, tail)
    overwrite(tmp_path, tail - 2 * first, bytes(8))
    with open_store(tmp_path) as store:
        assert store.max_phy_offset == tail - 2 * first
        path, position = log_file(tmp_path, store.max_phy_offset)
        assert not any(path.read_bytes()[position:])


def make_size(root: Path, tail: int) -> int:
    path, position = log_file(root, tail)
    data = path.read_bytes()
    at = data.rindex(b"body-59") - 88
    (size,) = struct.unpack_from(">I", data, at)
    assert at + size == position
    return int(size)


def test_empty_last_log_file_of_zero_length(tmp_path: Path) -> None:
    tail = fill(tmp_path, clean=False)
    (tmp_path / "commitlog" / f"{tail - tail % 4096 + 4096:020d}").touch()
    check_twice(tmp_path, tail=tail)


def test_empty_last_log_file_created_ahead(tmp_path: Path) -> None:
    tail = fill(tmp_path, clean=True)
    ahead = tmp_path / "commitlog" / f"{tail - tail % 4096 + 4096:020d}"
    ahead.write_bytes(bytes(4096))
    check_twice(tmp_path, tail=tail)


def test_missing_checkpoint(tmp_path: Path) -> None:
    tail = fill(tmp_path, clean=False)
    (tmp_path / "checkpoint").unlink()
    check_twice(tmp_path, tail=tail)


@pytest.mark.parametrize("stamp", [1, START_MS - 10_000_000, START_MS + 10_000_000])
def test_stale_or_wrong_checkpoint(tmp_path: Path, stamp: int) -> None:
    tail = fill(tmp_path, clean=False)
    (tmp_path / "checkpoint").write_bytes(struct.pack(">qqqqq", stamp, stamp, stamp, 0, 0).ljust(4096, b"\0"))
    check_twice(tmp_path, tail=tail)


def test_checkpoint_newer_than_what_queues_have(tmp_path: Path) -> None:
    tail = fill(tmp_path, clean=False)
    shutil.rmtree(tmp_path / "consumequeue" / "TopicTest" / "0")
    stamp = START_MS + 10_000_000
    (tmp_path / "checkpoint").write_bytes(struct.pack(">qqqqq", stamp, stamp, stamp, 0, 0).ljust(4096, b"\0"))
    with open_store(tmp_path) as store:
        assert store.recovery is not None
        assert store.recovery.rebuilt
        assert store.max_phy_offset == tail
        check(store)


def test_recovery_begins_at_the_checkpoint(tmp_path: Path) -> None:
    clock = ManualClock(START_MS)
    store = opened(tmp_path, clock=clock)
    for i in range(COUNT):
        clock.advance(1000)
        put_ok(store, message(i, queue_id=i % 2, keys=(f"U{i}", "all"), tags="A", extra=PADDING))
        if i == 40:
            store._behind.write_blocking()
            store._flush.flushed_timestamp = clock.now_ms()
            store._behind.sync_blocking(clock.now_ms())
    closed(store, clean=False)
    with open_store(tmp_path) as store:
        assert store.recovery is not None
        assert 0 < store.recovery.start < store.recovery.tail
        check(store)


@pytest.mark.parametrize("clean", [True, False])
def test_consume_queues_shorter_than_the_log(tmp_path: Path, clean: bool) -> None:
    tail = fill(tmp_path, clean=clean)
    for queue_id in ("0", "1"):
        for path in sorted((tmp_path / "consumequeue" / "TopicTest" / queue_id).iterdir())[1:]:
            path.unlink()
    check_twice(tmp_path, tail=tail)


def shorten(root: Path, damage: str) -> None:
    """What a hand may do to queue 0, which has files of ten units at 0, 200 and 400."""
    directory = root / "consumequeue" / "TopicTest" / "0"
    if damage == "directory":
        shutil.rmtree(directory)
    elif damage == "zeros":
        (directory / f"{200:020d}").write_bytes(bytes(200))
        (directory / f"{400:020d}").write_bytes(bytes(200))
    else:
        files = sorted(directory.iterdir())
        for path in {"last": files[-1:], "all but one": files[1:], "first": files[:1]}[damage]:
            path.unlink()


@pytest.mark.parametrize("damage", ["last", "all but one", "first", "zeros", "directory"])
def test_one_queue_that_lost_units_after_a_clean_stop_is_made_again(tmp_path: Path, damage: str) -> None:
    tail = fill(tmp_path, clean=True)
    shorten(tmp_path, damage)
    with open_store(tmp_path) as store:
        assert store.recovery is not None
        assert (store.recovery.clean, store.recovery.rebuilt) == (True, False)
        assert 0 < store.recovery.messages <= COUNT
        assert store.max_phy_offset == tail
        assert store.min_offset("TopicTest", 0) == 0
        check(store)
    with open_store(tmp_path) as store:
        assert store.recovery is not None
        assert store.recovery.messages == 1
        assert bodies(store)[:30] == EXPECTED[0::2]


def test_only_what_a_queue_lost_is_read_again(tmp_path: Path) -> None:
    fill(tmp_path, clean=True)
    shorten(tmp_path, "last")
    with open_store(tmp_path) as store:
        assert store.recovery is not None
        assert store.recovery.messages == COUNT - 2 * 20 + 1
        check(store)


@pytest.mark.parametrize("why", ["killed", "damaged", "missing", "appended since"])
def test_queue_ends_speak_of_the_last_clean_stop_only(tmp_path: Path, why: str) -> None:
    fill(tmp_path, clean=True)
    ends = tmp_path / "queueEnds"
    old = ends.read_bytes()
    with open_store(tmp_path) as store:
        assert not ends.exists()
        if why == "appended since":
            put_ok(store, message(COUNT, queue_id=1))
    if why == "killed":
        (tmp_path / "abort").touch()
    elif why == "missing":
        ends.unlink()
    else:
        ends.write_bytes(old if why == "appended since" else old[:-3])
    if why == "appended since":
        # As if the topic had been deleted and made again meanwhile: queue 0 is shorter, and rightly so.
        shorten(tmp_path, "last")
    with open_store(tmp_path) as store:
        assert store.recovery is not None
        assert store.recovery.clean is (why != "killed")
        if why == "appended since":
            assert store.recovery.messages == 1
        else:
            check(store)


def test_queues_whose_messages_are_expired_may_be_gone(tmp_path: Path) -> None:
    store = opened(tmp_path)
    put_ok(store, *(message(i, topic="Old") for i in range(5)))
    for i in range(COUNT):
        put_ok(store, message(i, queue_id=i % 2, extra=PADDING))
    closed(store)
    (tmp_path / "commitlog" / f"{0:020d}").unlink()
    shutil.rmtree(tmp_path / "consumequeue" / "Old")
    with open_store(tmp_path) as store:
        assert store.recovery is not None
        assert store.recovery.messages == 1
        assert store.topics() == {"TopicTest"}


@pytest.mark.parametrize("clean", [True, False])
def test_consume_queues_missing(tmp_path: Path, clean: bool) -> None:
    tail = fill(tmp_path, clean=clean)
    shutil.rmtree(tmp_path / "consumequeue")
    check_twice(tmp_path, tail=tail)


@pytest.mark.parametrize("clean", [True, False])
def test_consume_queue_longer_than_the_log(tmp_path: Path, clean: bool) -> None:
    tail = fill(tmp_path, clean=clean)
    path = tmp_path / "consumequeue" / "TopicTest" / "0" / f"{600:020d}"
    path.write_bytes(b"".join(UNIT.pack(tail + 100 * i, 100, 0) for i in range(5)).ljust(200, b"\0"))
    check_twice(tmp_path, tail=tail)


def test_index_missing(tmp_path: Path) -> None:
    fill(tmp_path, clean=True)
    shutil.rmtree(tmp_path / "index")
    check_twice(tmp_path)


def test_index_shorter_than_the_log(tmp_path: Path) -> None:
    store = opened(tmp_path)
    for i in range(30):
        put_ok(store, message(i, queue_id=i % 2, keys=(f"U{i}", "all"), tags="A", extra=PADDING))
    closed(store)
    short = {path.name: path.read_bytes() for path in (tmp_path / "index").iterdir()}
    store = opened(tmp_path)
    for i in range(30, COUNT):
        put_ok(store, message(i, queue_id=i % 2, keys=(f"U{i}", "all"), tags="A", extra=PADDING))
    closed(store)
    for path in (tmp_path / "index").iterdir():
        path.write_bytes(short[path.name])
    check_twice(tmp_path)


def query_all(store: MessageStore) -> dict[str, list[bytes]]:
    keys = [f"U{i}" for i in range(COUNT)] + ["all", "even", "odd"]
    return {key: queried(store, key) for key in keys}


def test_many_small_files_with_an_index_made_anew(tmp_path: Path) -> None:
    """Index files of several ages: full and written, half written, and one that fits nothing."""
    sizes = {"mapped_file_size_commit_log": 1024, "max_index_num": 40}
    store = opened(tmp_path, **sizes)
    for i in range(COUNT):
        put_ok(store, message(i, queue_id=i % 2, keys=(f"U{i}", "all", "odd" if i % 2 else "even")))
        if i == COUNT // 2:
            store._behind.write_blocking()
    expected = query_all(store)
    tail = store.max_phy_offset
    assert [len(expected[key]) for key in ("all", "even", "odd", "U59")] == [COUNT, 30, 30, 1]
    closed(store, clean=False)
    assert len(list((tmp_path / "commitlog").iterdir())) == 9
    files = sorted((tmp_path / "index").iterdir())
    assert len(files) > 2
    with files[-1].open("r+b") as newest:
        newest.seek(40)
        newest.write(b"\xff" * 400)
    (tmp_path / "index" / "99990101000000000").write_bytes(bytes(100))
    with open_store(tmp_path, **sizes) as store:
        assert store.max_phy_offset == tail
        assert query_all(store) == expected
        assert not (tmp_path / "index" / "99990101000000000").exists()
    shutil.rmtree(tmp_path / "index")
    with open_store(tmp_path, **sizes) as store:
        assert store.recovery is not None
        assert store.recovery.messages == COUNT
        assert query_all(store) == expected
    with open_store(tmp_path, **sizes) as store:
        assert store.recovery is not None
        assert store.recovery.messages == 1
        assert query_all(store) == expected


@pytest.mark.parametrize("clean", [True, False])
def test_index_longer_than_the_log(tmp_path: Path, clean: bool) -> None:
    tail = fill(tmp_path, clean=clean)
    overwrite(tmp_path, tail - make_size(tmp_path, tail), bytes(8))
    if not clean:
        check_twice(tmp_path, COUNT - 1)
        return
    with open_store(tmp_path) as store:
        assert [len(bodies(store, queue_id=queue_id)) for queue_id in (0, 1)] == [30, 29]
        assert queried(store, "U59") == []
        # The lost message was on the device: its offset is not given to another.
        assert put_ok(store, message(COUNT, queue_id=1))[0].queue_offset == 30


def test_log_files_deleted_by_hand(tmp_path: Path) -> None:
    fill(tmp_path, clean=True)
    shutil.rmtree(tmp_path / "commitlog")
    with open_store(tmp_path) as store:
        assert bodies(store) == []
        assert put_ok(store, message(0))[0].queue_offset == 0
        assert bodies(store) == [b"body-0"]


def test_first_log_files_are_gone(tmp_path: Path) -> None:
    fill(tmp_path, clean=False)
    (tmp_path / "commitlog" / f"{0:020d}").unlink()
    shutil.rmtree(tmp_path / "consumequeue")
    with open_store(tmp_path) as store:
        left = bodies(store)
        assert 0 < len(left) < COUNT // 2
        assert left == EXPECTED[0:COUNT:2][-len(left) :]
        assert store.min_offset("TopicTest", 0) == COUNT // 2 - len(left)
    with open_store(tmp_path) as store:
        assert bodies(store) == left
        assert put_ok(store, message(COUNT))[0].queue_offset == COUNT // 2


def test_deleted_topic_does_not_force_a_rebuild(tmp_path: Path) -> None:
    clock = ManualClock(START_MS)
    store = opened(tmp_path, clock=clock)
    for i in range(COUNT):
        clock.advance(1000)
        put_ok(store, message(i), message(i, topic="Gone"))
    store._behind.write_blocking()
    store._flush.flushed_timestamp = clock.now_ms()
    store._behind.sync_blocking(clock.now_ms())
    assert store.delete_topics(["Gone", "Never"]) == 1
    assert store.topics() == {"TopicTest"}
    closed(store, clean=False)
    with open_store(tmp_path) as store:
        assert store.recovery is not None
        assert not store.recovery.rebuilt
        assert store.recovery.start > 0
        assert bodies(store) == EXPECTED


def test_files_of_another_size_are_refused_and_left_alone(tmp_path: Path) -> None:
    fill(tmp_path, clean=True)
    store = make_store(tmp_path, mapped_file_size_commit_log=8192)
    store.reserve()
    with pytest.raises(
        StoreCorruptError, match=f"{0:020d}: has 4096 bytes where the configuration says 8192"
    ):
        store.load()
    closed(store)
    check_twice(tmp_path)


def test_a_hole_between_log_files_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, clean=True)
    (tmp_path / "commitlog" / f"{4096:020d}").unlink()
    store = make_store(tmp_path)
    store.reserve()
    with pytest.raises(StoreCorruptError, match="one is missing"):
        store.load()
    closed(store)


def queue_files(root: Path, queue_id: int = 0) -> list[Path]:
    return sorted((root / "consumequeue" / "TopicTest" / str(queue_id)).iterdir())


def index_files(root: Path) -> list[Path]:
    return sorted((root / "index").iterdir())


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("which", [0, 1, 2])
def test_consume_queue_file_missing_anywhere(tmp_path: Path, clean: bool, which: int) -> None:
    tail = fill(tmp_path, clean=clean)
    assert len(queue_files(tmp_path)) == 3
    queue_files(tmp_path)[which].unlink()
    check_twice(tmp_path, tail=tail)


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("size", [0, 19, 180, 220, 4096])
@pytest.mark.parametrize("which", [0, 1, 2])
def test_consume_queue_file_of_wrong_size(tmp_path: Path, clean: bool, size: int, which: int) -> None:
    tail = fill(tmp_path, clean=clean)
    os.truncate(queue_files(tmp_path)[which], size)
    check_twice(tmp_path, tail=tail)


def test_only_the_log_behind_a_missing_consume_queue_file_is_read_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fill(tmp_path, clean=True)
    queue_files(tmp_path)[1].unlink()
    with open_store(tmp_path) as store:
        assert store.recovery is not None
        assert store.recovery.start > 0
        assert 30 <= store.recovery.messages < COUNT
        check(store)
    assert "made again from the log" in caplog.text


def test_consume_queues_and_index_are_made_again_in_a_newly_configured_size(tmp_path: Path) -> None:
    tail = fill(tmp_path, clean=True)
    sizes = {"mapped_file_size_consume_queue": 300, "max_index_num": 50}
    with open_store(tmp_path, **sizes) as store:
        assert store.max_phy_offset == tail
        check(store)
    assert {path.stat().st_size for path in queue_files(tmp_path)} == {300}


def test_a_queue_without_messages_keeps_its_end_when_its_files_do_not_fit(tmp_path: Path) -> None:
    clock = ManualClock(START_MS)
    changes = {"clock": clock, "delete_commit_log_files_interval": 0}
    with open_store(tmp_path, **changes) as store:
        put_ok(store, *(message(i, topic="Old") for i in range(7)))
        put_ok(store, *(message(i, body=bytes(1000)) for i in range(12)))
        clock.current_ms = 1 << 60
        for _ in range(3):
            store._cleaner.delete_manually()
            store._cleaner.pass_once()
        assert store.min_offset("Old", 0) == store.max_offset("Old", 0) == 7
    with open_store(tmp_path, mapped_file_size_consume_queue=300) as store:
        assert (store.min_offset("Old", 0), store.max_offset("Old", 0)) == (7, 7)
        assert put_ok(store, message(topic="Old"))[0].queue_offset == 7
        assert bodies(store, "Old") == [b"body-0"]


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("size", [0, 100, 100_000])
@pytest.mark.parametrize("which", [0, -1])
def test_index_file_of_wrong_size(tmp_path: Path, clean: bool, size: int, which: int) -> None:
    store = opened(tmp_path, max_index_num=50)
    for i in range(COUNT):
        put_ok(store, message(i, queue_id=i % 2, keys=(f"U{i}", "all"), tags="A", extra=PADDING))
    store._behind.write_blocking()
    closed(store, clean=clean)
    assert len(index_files(tmp_path)) > 2
    os.truncate(index_files(tmp_path)[which], size)
    with open_store(tmp_path, max_index_num=50) as store:
        assert [queried(store, f"U{i}") for i in range(COUNT)] == [[body] for body in EXPECTED]
        check(store)


def test_progress_is_told_and_a_second_crash_is_survived(tmp_path: Path) -> None:
    store = opened(tmp_path, mapped_file_size_commit_log=1 << 22)
    for _ in range(100):
        put_ok(store, *(message(i, body=bytes(300)) for i in range(100)))
    closed(store, clean=False)
    told: list[tuple[int, int]] = []
    store = make_store(tmp_path, mapped_file_size_commit_log=1 << 22)
    store.reserve()
    store.load(lambda done, total: told.append((done, total)))
    assert told
    assert told == sorted(told)
    assert all(done < total for done, total in told)
    closed(store, clean=False)
    with open_store(tmp_path, mapped_file_size_commit_log=1 << 22) as store:
        assert store.max_offset("TopicTest", 0) == 10_000


def test_default_sizes_are_those_of_java() -> None:
    config = MessageStoreConfig()
    assert config.mapped_file_size_commit_log == 1 << 30
    assert config.mapped_file_size_consume_queue == 6_000_000
    assert 40 + config.max_hash_slot_num * 4 + config.max_index_num * 20 == 420_000_040
