"""Real file systems that are full: refused in time, read on, nothing lost, nothing torn, well again."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing
from store_kit import a_second_later, bodies, closed, make_store, message, opened, put_ok, queried, running

from store import ConfigTable, OsFileSystem, StoreError
from tests.small_disks import BLOCK, KINDS, Filler, free_bytes, small_disk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from store import MessageStore

MIB = 1 << 20
SIZES: dict[str, Any] = {
    "mapped_file_size_commit_log": 256 << 10,
    "mapped_file_size_consume_queue": 20_000,
    "max_hash_slot_num": 5000,
    "max_index_num": 20_000,
    "delete_commit_log_files_interval": 0,
}
NOT_FORCED: dict[str, Any] = {"clean_file_forcibly_enable": False}


@pytest.fixture(params=KINDS)
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    with small_disk(request.param, tmp_path, 16 * MIB) as path:
        yield path


def statuses(store: MessageStore, *numbers: int, size: int = 1000) -> list[str]:
    results = store.put([message(number, body=body(number, size)) for number in numbers])
    return [result.status.name for result in results]


def body(number: int, size: int = 1000) -> bytes:
    return f"{number:08d}".encode() * (size // 8)


def accepted(store: MessageStore, first: int, count: int) -> list[bytes]:
    """Put `count` messages one by one and return the bodies of those that were taken."""
    numbers = range(first, first + count)
    return [body(number) for number in numbers if statuses(store, number) == ["PUT_OK"]]


def test_a_batch_that_meets_the_end_of_the_disk_leaves_no_trace(disk: Path) -> None:
    root, filler = disk / "store", Filler(disk)
    store = opened(root, **SIZES)
    kept = accepted(store, 0, 10)
    store._behind.write_blocking()
    filler.leave(20_000)
    assert statuses(store, *range(10, 110)) == ["SERVICE_NOT_AVAILABLE"] * 100
    assert "the broker's disk is full" in (store.unwritable_reason or "")
    assert bodies(store) == kept
    assert queried(store, "U00000003") == [body(3)]
    filler.leave(0)
    a_second_later(store)
    assert not store.writable
    assert bodies(store) == kept
    closed(store, clean=False)

    store = opened(root, **SIZES, **NOT_FORCED)  # the machine restarts, the disk is as full as before
    assert bodies(store) == kept
    assert not store.writable
    filler.remove()
    a_second_later(store)
    kept += accepted(store, 200, 20)
    assert len(kept) == 30
    closed(store)
    store = opened(root, **SIZES)
    assert bodies(store) == kept
    closed(store)


def test_reading_where_nothing_was_written_is_harmless(disk: Path) -> None:
    """A mapping of a tmpfs would take a page for it, and there is none: SIGBUS."""
    store = opened(disk / "store", **SIZES)
    put_ok(store, *(message(number, body=bytes(100_000)) for number in range(3)))
    assert store.max_phy_offset > SIZES["mapped_file_size_commit_log"]
    Filler(disk).leave(0)
    for offset in range(205_000, 255_000, BLOCK):
        assert store.message_at(offset) is None
    assert OsFileSystem().maps_holes(str(disk)) is ("tmpfs" not in str(disk))
    assert len(bodies(store)) == 3
    closed(store, clean=False)


def test_every_end_of_the_disk_keeps_what_was_acknowledged(disk: Path) -> None:
    """The write fails at another place of a record each time."""
    root, filler = disk / "store", Filler(disk)
    kept: list[bytes] = []
    for turn in range(12):
        store = opened(root, **SIZES, **NOT_FORCED)
        assert bodies(store) == kept
        kept += accepted(store, 1000 * turn, 5 + turn)
        filler.leave(0)
        taken = accepted(store, 1000 * turn + 100, 30 + turn)
        kept += taken
        assert len(taken) < 30 + turn
        assert bodies(store) == kept
        filler.remove()
        a_second_later(store)
        kept += accepted(store, 1000 * turn + 200, 2)
        closed(store, clean=bool(turn % 2))
    store = opened(root, **SIZES)
    assert bodies(store) == kept
    assert queried(store, f"U{11_200:08d}") == [body(11_200)]
    closed(store)


async def test_a_fast_writer_is_refused_before_the_disk_is_full(
    disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reserved = 2 * MIB
    settings = SIZES | NOT_FORCED | {"mapped_file_size_commit_log": 4 * MIB}
    store = opened(disk / "store", **settings, disk_space_reserved_bytes=reserved)
    count = 0
    async with running(store):
        while store.writable:
            count += statuses(store, *range(count, count + 20), size=8000).count("PUT_OK")  # or busy
            await trio.lowlevel.checkpoint()
        await trio.to_thread.run_sync(os.sync)
        assert free_bytes(disk) > reserved // 2
        assert "a write found no space" not in caplog.text
        assert count > 500
        assert len(bodies(store)) == count
    closed(store)


@pytest.mark.parametrize("ratio", [85, 60])
def test_forced_cleaning_frees_what_the_rules_say_and_messages_are_accepted_again(
    disk: Path, ratio: int
) -> None:
    store = opened(disk / "store", **SIZES, disk_space_clean_forcibly_ratio=ratio)
    kept: list[bytes] = []
    while store._cleaner.measure().row != "1":
        kept += accepted(store, len(kept), 100)
        store._behind.write_blocking()
    assert not store.writable
    for _ in range(20):
        store._cleaner.pass_once()
    use = store.disk_use()
    assert store.writable
    assert ratio / 100 - 0.05 < use.used_ratio <= ratio / 100
    left = bodies(store)
    assert left == kept[-len(left) :]
    kept_again = accepted(store, 50_000, 10)
    assert len(kept_again) == 10
    closed(store, clean=False)
    store = opened(disk / "store", **SIZES)
    assert bodies(store) == [*left, *kept_again]
    closed(store)


async def test_queues_on_a_full_disk_stay_in_memory_and_are_written_later(
    disk: Path, tmp_path: Path, virtual_time: trio.testing.MockClock
) -> None:
    root, filler = tmp_path / "root", Filler(disk)
    settings = SIZES | {"store_path_consume_queue": str(disk / "queues"), "max_msgs_num_batch": 64}
    store = opened(root, **settings)
    async with running(store):
        filler.leave(0)
        kept = accepted(store, 0, 5)
        await trio.sleep(2)
        assert store.statistics().write_behind.failures > 0
        assert statuses(store, 5) == ["SERVICE_NOT_AVAILABLE"]
        assert bodies(store) == kept
        filler.remove()
        await trio.sleep(5)
        kept += accepted(store, 6, 5)
        await trio.sleep(2)
        assert store.statistics().write_behind.unwritten == 0
        assert len(kept) == 10
        filler.leave(0)
        await trio.sleep(5)
        assert not store.writable
    closed(store)
    filler.remove()
    store = opened(root, **settings)
    assert bodies(store) == kept
    closed(store)


async def test_a_broker_is_well_again_by_itself_and_its_neighbour_never_notices(
    disk: Path, tmp_path: Path, virtual_time: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "rocketmq.store")
    filler = Filler(disk)
    store = opened(disk / "store", **SIZES, **NOT_FORCED)
    neighbour = opened(tmp_path / "neighbour", **SIZES)
    async with running(store), running(neighbour):
        kept = accepted(store, 0, 50)
        filler.leave(0)
        kept += accepted(store, 100, 1000)
        for second in range(5):
            await trio.sleep(1)
            assert statuses(store, 5000 + second) == ["SERVICE_NOT_AVAILABLE"]
            assert statuses(neighbour, *range(100)) == ["PUT_OK"] * 100
            assert bodies(store) == kept
        filler.remove()
        await trio.sleep(1.1)
        assert store.writable
        kept += accepted(store, 6000, 5)
        assert bodies(store) == kept
        assert len(bodies(neighbour)) == 500
    refused = [record.message for record in caplog.records if "messages are refused" in record.message]
    assert refused
    assert "messages are accepted again: enough space" in caplog.text
    closed(store)
    closed(neighbour)
    store = opened(disk / "store", **SIZES)
    assert bodies(store) == kept
    closed(store)


def test_a_store_stops_and_starts_on_a_full_disk(disk: Path) -> None:
    root, filler = disk / "store", Filler(disk)
    store = opened(root, **SIZES, **NOT_FORCED)
    kept = accepted(store, 0, 10)
    store._behind.write_blocking()
    store._behind.sync_blocking(store._dispatcher.timestamp)
    kept += [body(number) for number in range(100, 103) if statuses(store, number) == ["PUT_OK"]]
    store.put([message(7, queue_id=queue_id) for queue_id in range(1, 40)])
    filler.leave(0)
    store.shutdown()
    store.release()
    assert (root / "abort").exists()
    for clean in (False, True):
        store = opened(root, **SIZES, **NOT_FORCED)
        assert bodies(store) == kept
        assert [bodies(store, queue_id=queue_id) for queue_id in range(1, 40)] == [[b"body-7"]] * 39
        assert not store.writable
        closed(store, clean=clean)
    filler.remove()
    store = opened(root, **SIZES)
    put_ok(store, message(5))
    closed(store)
    assert not (root / "abort").exists()


def reserve_and_load(store: MessageStore) -> None:
    store.reserve()
    store.load()


def test_a_new_store_on_a_full_disk_says_why_it_cannot_start_or_takes_nothing(disk: Path) -> None:
    filler = Filler(disk)
    filler.leave(0)
    store = make_store(disk / "store", **SIZES)
    try:
        if disk.name == "tmpfs-mount":  # where a directory takes no space
            reserve_and_load(store)
            assert statuses(store, 0) == ["SERVICE_NOT_AVAILABLE"]
            assert "disk is full" in str(store.unwritable_reason)
        else:
            with pytest.raises(StoreError, match="No space left on device"):
                reserve_and_load(store)
    finally:
        store.shutdown()
        store.release()
    filler.remove()
    closed(opened(disk / "store", **SIZES))


def test_a_store_whose_lock_file_is_empty_starts_on_a_full_disk(disk: Path) -> None:
    """Found by crash schedules: a loss of power took the word that a full disk has no room for."""
    root, filler = disk / "store", Filler(disk)
    store = opened(root, **SIZES, **NOT_FORCED)
    kept = accepted(store, 0, 3)
    closed(store)
    os.truncate(root / "lock", 0)
    filler.leave(0)
    store = opened(root, **SIZES, **NOT_FORCED)
    assert (root / "lock").stat().st_size == 0
    assert bodies(store) == kept
    taken = f"import fcntl; fcntl.lockf(open({str(root / 'lock')!r}, 'r+'), fcntl.LOCK_EX | fcntl.LOCK_NB, 1)"
    other = subprocess.run([sys.executable, "-c", taken], capture_output=True, text=True, check=False)
    assert "BlockingIOError" in other.stderr
    filler.remove()
    closed(store)


def test_a_table_on_a_full_disk_keeps_its_old_text(disk: Path) -> None:
    table = ConfigTable(str(disk / "config" / "topics.json"))
    table.save("old" * 1000)
    filler = Filler(disk)
    filler.leave(0)
    with pytest.raises(StoreError, match="No space left on device"):
        table.save("new" * 100_000)
    assert table.load() == "old" * 1000
    assert not any(name.endswith(".tmp") for name in os.listdir(disk / "config"))
    filler.remove()
    table.save("new" * 100_000)
    assert table.load() == "new" * 100_000


def test_an_index_on_a_full_disk_gets_every_entry_once(disk: Path) -> None:
    root, filler = disk / "store", Filler(disk)
    store = opened(root, **SIZES, **NOT_FORCED)
    accepted(store, 0, 3)
    store._behind.write_blocking()
    store.put([message(number, keys=(f"key-{number}",)) for number in range(100, 1100)])
    filler.leave(0)
    failures = 0
    for _ in range(5):
        try:
            store._behind.write_blocking()
        except StoreError:
            failures += 1
        assert queried(store, "key-777") == [b"body-777"]
        assert queried(store, "nobody") == []
    assert failures
    filler.remove()
    store._behind.write_blocking()
    statistics = store.statistics().index
    assert statistics is not None
    assert (statistics.entries, statistics.unwritten_messages) == (1003, 0)
    closed(store)
    store = opened(root, **SIZES)
    for number in (100, 500, 1099):
        assert queried(store, f"key-{number}") == [f"body-{number}".encode()]
    closed(store)
