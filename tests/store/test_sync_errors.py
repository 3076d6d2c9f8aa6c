"""What a failed sync means: of the log the end, of what can be made again a longer next start."""

from __future__ import annotations

import errno
import threading
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from store_kit import (
    ROOT,
    FaultyDisk,
    bodies,
    closed,
    fail,
    make_store,
    message,
    new_disk,
    opened,
    put_ok,
    queried,
    running,
)

from store import ConfigTable, FlushDiskType, MessageStore, PutStatus, StoreIOError
from store.checkpoint import load_checkpoint
from tests.failing_files import failing_once

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.simulation.disk import SimulatedDisk

NO_SYNC = [errno.EIO, errno.ENOSPC, errno.EDQUOT]
MODES = [FlushDiskType.SYNC_FLUSH, FlushDiskType.ASYNC_FLUSH]
SEEDS = range(12)


def syncs(disk: SimulatedDisk, part: str) -> int:
    return sum(each.name == "fdatasync" and part in each.path for each in disk.operations)


async def run_until_it_ends(store: MessageStore, *, then: Callable[[], None]) -> list[BaseException]:
    """What ended the services of a running store, after `then` was done beside them."""
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(store.run)
            then()
    except BaseExceptionGroup as group:
        found: list[BaseException] = []
        groups: list[BaseException] = [group]
        while groups:
            each = groups.pop()
            if isinstance(each, BaseExceptionGroup):
                groups += each.exceptions
            else:
                found.append(each)
        return found
    return []


# The commit log.


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("number", NO_SYNC)
async def test_after_a_failed_sync_of_the_log_nothing_is_acknowledged_and_no_sync_is_tried(
    virtual_time: trio.testing.MockClock, mode: FlushDiskType, number: int
) -> None:
    disk = new_disk()
    store = opened(ROOT, files=disk, flush_disk_type=mode)
    answers: list[PutStatus] = []
    before = syncs(disk, "commitlog")
    disk.fail = failing_once("fdatasync", "commitlog", number)

    def send() -> None:
        [result] = put_ok(store, message())
        store.when_durable(result.end_offset, answers.append)

    [error] = await run_until_it_ends(store, then=send)
    assert isinstance(error, StoreIOError)
    assert (error.errno, error.operation) == (number, "fdatasync")
    is_sync = mode is FlushDiskType.SYNC_FLUSH
    assert answers == [PutStatus.UNKNOWN_ERROR if is_sync else PutStatus.PUT_OK]
    assert store.flushed_offset == 0
    store.when_durable(1, answers.append)
    assert answers[1:] == [PutStatus.UNKNOWN_ERROR]
    assert store.put([message(1)])[0].status is PutStatus.SERVICE_NOT_AVAILABLE
    assert "commitlog/00000000000000000000: fdatasync failed" in (store.unwritable_reason or "")
    closed(store)
    assert syncs(disk, "commitlog") == before + 1
    assert disk.exists(f"{ROOT}/abort")
    assert disk.open_handles() == []


async def test_a_sync_that_nobody_waits_for_any_more_is_believed_when_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop does not wait for a sync under way; the last flush is another one, which says OK."""
    disk = FaultyDisk()
    store = opened(tmp_path, files=disk, flush_disk_type=FlushDiskType.SYNC_FLUSH)
    entered, may_fail = threading.Event(), threading.Event()
    counted: list[str] = []

    def first_fails(name: str, path: str, _detail: int) -> None:
        if name == "fdatasync" and "commitlog" in path:
            counted.append(path)
            if len(counted) == 1:
                entered.set()
                assert may_fail.wait(10)
                fail(errno.EIO, path, name)

    disk.hook = first_fails
    answers: list[PutStatus] = []
    flush = store._flush.flush

    async def last_flush() -> None:
        may_fail.set()
        await flush()

    async def stop_in_the_midst_of_it() -> None:
        async with running(store):
            [result] = put_ok(store, message())
            store.when_durable(result.end_offset, answers.append)
            await trio.to_thread.run_sync(entered.wait, 10)
            monkeypatch.setattr(store._flush, "flush", last_flush)

    with pytest.raises(BaseExceptionGroup):
        await stop_in_the_midst_of_it()
    assert answers == [PutStatus.UNKNOWN_ERROR]
    closed(store)
    assert (tmp_path / "abort").exists()
    assert len(counted) == 1


@pytest.mark.parametrize("number", NO_SYNC)
def test_a_failed_sync_at_the_stop_keeps_the_abort_file(number: int) -> None:
    disk = new_disk()
    store = opened(ROOT, files=disk)
    put_ok(store, message())
    disk.fail = failing_once("fdatasync", "commitlog", number)
    with pytest.raises(StoreIOError, match=r"commitlog.*fdatasync failed"):
        store.shutdown()
    store.shutdown()
    store.release()
    assert disk.exists(f"{ROOT}/abort")
    assert store.flushed_offset == 0
    assert disk.open_handles() == []


@pytest.mark.parametrize("number", NO_SYNC)
def test_a_failed_sync_at_the_start_ends_the_start_and_the_next_one_writes_the_log_again(number: int) -> None:
    disk = new_disk()
    store = opened(ROOT, files=disk)
    put_ok(store, *[message(each) for each in range(60)])
    store.release()
    disk.crash(Random(0), "process")
    for _ in range(3):
        disk.fail = failing_once("fdatasync", "commitlog", number)
        store = make_store(ROOT, files=disk)
        store.reserve()
        with pytest.raises(StoreIOError, match=r"commitlog.*fdatasync failed"):
            store.load()
        closed(store)
    disk.fail = None
    written = sum(each.name == "write" and "commitlog" in each.path for each in disk.operations)
    store = opened(ROOT, files=disk)
    again = sum(each.name == "write" and "commitlog" in each.path for each in disk.operations) - written
    assert again == len(disk.listdir(f"{ROOT}/commitlog")) > 1
    closed(store)
    assert not disk.exists(f"{ROOT}/abort")


@pytest.mark.parametrize("read_before", [0, 1], ids=["from the beginning", "from within a page"])
def test_a_log_is_written_again_on_a_full_disk(read_before: int) -> None:
    """Found by crash schedules: the hole behind a blank record took space when it was written again."""
    disk = new_disk()
    store = opened(ROOT, files=disk, mapped_file_size_commit_log=16384)
    results = put_ok(store, *[message(each, body=bytes([each]) * 700) for each in (1, 2)])
    put_ok(store, message(3, body=bytes([3]) * 15000))
    assert store._log.tail > 16384, "the first file ends with a blank record and a hole"
    disk.fail = failing_once("fdatasync", "commitlog")
    with suppress(StoreIOError):
        store.shutdown()
    store.release()
    disk.capacity_bytes = disk.used_bytes
    store = make_store(ROOT, files=disk, mapped_file_size_commit_log=16384)
    store.reserve()
    used = disk.used_bytes
    store.load()
    store._log.write_again_from(results[read_before].physical_offset)
    assert disk.used_bytes == used
    disk.capacity_bytes = 1 << 62
    assert bodies(store) == [bytes([1]) * 700, bytes([2]) * 700, bytes([3]) * 15000]
    closed(store)


def acknowledged_in_a_second_run(
    seed: int, *, kill_the_second_start: bool = False
) -> tuple[int, list[bytes]]:
    """How many messages were acknowledged, and what a loss of power left of all, in order.

    The first run ends by a failed sync, so that its messages are in the page cache and some of them not
    on the device. The second one, of the same machine, appends behind them and its syncs succeed.
    """
    disk = new_disk(seed)
    store = opened(ROOT, files=disk)
    put_ok(store, *[message(each, body=b"%03d" % each * 50) for each in range(60)])
    disk.fail = failing_once("fdatasync", "commitlog")
    with pytest.raises(StoreIOError):
        store._log.sync_from(0)
    store.release()
    disk.crash(Random(seed), "process")
    if kill_the_second_start:
        disk.fail = failing_once("fdatasync", "commitlog")
        with pytest.raises(StoreIOError):
            opened(ROOT, files=disk)
        disk.crash(Random(seed), "process")
        _forget_claims(ROOT)
    store = opened(ROOT, files=disk)
    assert len(bodies(store)) == 60
    put_ok(store, *[message(each, body=b"%03d" % each * 50) for each in range(60, 80)])
    store._log.sync_from(store._log.flushed)
    store.release()
    disk.crash(Random(seed), "power")
    store = opened(ROOT, files=disk)
    found = bodies(store)
    closed(store)
    return 80, found


def _forget_claims(root: str) -> None:
    from store.path_registry import PROCESS_PATHS

    PROCESS_PATHS.release([root, f"{root}/commitlog", f"{root}/consumequeue"])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kill_the_second_start", [False, True])
def test_messages_of_a_run_that_ended_by_a_failed_sync_leave_no_hole_before_those_of_the_next(
    seed: int, kill_the_second_start: bool
) -> None:
    count, found = acknowledged_in_a_second_run(seed, kill_the_second_start=kill_the_second_start)
    assert found == [b"%03d" % each * 50 for each in range(count)]


def test_the_abort_file_says_unsynced_until_the_log_is_written_again() -> None:
    disk = new_disk()
    store = opened(ROOT, files=disk)
    put_ok(store, message())
    assert b"unsynced" not in disk.contents(f"{ROOT}/abort")
    disk.fail = failing_once("fdatasync", "commitlog")
    with suppress(StoreIOError):
        store.shutdown()
    store.release()
    assert disk.contents(f"{ROOT}/abort").endswith(b"\nunsynced\n")
    store = opened(ROOT, files=disk)
    assert b"unsynced" not in disk.contents(f"{ROOT}/abort")
    closed(store)


def test_an_abort_file_that_cannot_be_written_is_said(caplog: pytest.LogCaptureFixture) -> None:
    disk = new_disk()
    store = opened(ROOT, files=disk)
    put_ok(store, message())

    def dead(operation: str, path: str) -> int | None:
        return errno.EIO if operation in ("fdatasync", "write") and ROOT in path else None

    disk.fail = dead
    with pytest.raises(StoreIOError, match="commitlog"):
        store.shutdown()
    store.release()
    assert "the next start will not know that a sync of the commit log failed" in caplog.text


# What is made from the log.


@pytest.mark.parametrize("part", ["consumequeue", "index"])
@pytest.mark.parametrize("operation", ["fdatasync", "sync directory"])
@pytest.mark.parametrize("number", NO_SYNC)
async def test_a_failed_sync_of_a_derived_file_ends_checkpoints_and_nothing_else(
    virtual_time: trio.testing.MockClock, part: str, operation: str, number: int
) -> None:
    disk = new_disk()
    store = opened(ROOT, files=disk, flush_disk_type=FlushDiskType.SYNC_FLUSH)
    checkpoint = f"{ROOT}/checkpoint"
    answers: list[PutStatus] = []
    async with running(store):
        disk.fail = failing_once(operation, part, number)
        put_ok(store, message(0))
        await trio.sleep(200)
        before = load_checkpoint(checkpoint, disk) if disk.exists(checkpoint) else None
        tried = syncs(disk, part)
        [result] = put_ok(store, message(1))
        store.when_durable(result.end_offset, answers.append)
        await trio.sleep(200)
        assert answers == [PutStatus.PUT_OK]
        assert store.writable
        assert syncs(disk, part) == tried, "a sync that succeeds now would say nothing"
        after = load_checkpoint(checkpoint, disk) if disk.exists(checkpoint) else None
        assert after == before
    closed(store)
    assert disk.exists(f"{ROOT}/abort")
    store = opened(ROOT, files=disk)
    assert store.recovery is not None
    assert not store.recovery.clean
    assert bodies(store) == [b"body-0", b"body-1"]
    closed(store)
    assert not disk.exists(f"{ROOT}/abort")


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("part", ["consumequeue", "index"])
def test_what_a_failed_sync_lost_of_a_derived_file_is_made_again(seed: int, part: str) -> None:
    disk = new_disk(seed)
    store = opened(ROOT, files=disk)
    put_ok(store, *[message(each) for each in range(40)])
    store._log.sync_from(0)
    store._behind.write_blocking()
    disk.fail = failing_once("fdatasync", part)
    with pytest.raises(StoreIOError):
        store._behind.sync_blocking(store._dispatcher.timestamp)
    closed(store)
    disk.crash(Random(seed), "process")
    store = opened(ROOT, files=disk)
    closed(store)
    assert not disk.exists(f"{ROOT}/abort"), "the second run is sure of its files"
    disk.crash(Random(seed), "power")
    store = opened(ROOT, files=disk)
    assert bodies(store) == [b"body-%d" % each for each in range(40)]
    assert all(queried(store, f"U{each:08d}") == [b"body-%d" % each] for each in range(40))
    closed(store)


# Small files.


def test_a_checkpoint_whose_sync_failed_is_saved_again() -> None:
    disk = new_disk()
    store = opened(ROOT, files=disk)
    put_ok(store, message())
    store._log.sync_from(0)
    store._behind.write_blocking()
    disk.fail = failing_once("fdatasync", "checkpoint")
    with pytest.raises(StoreIOError, match="checkpoint"):
        store._behind.sync_blocking(store._dispatcher.timestamp)
    assert store._behind.trusted, "what it says is true on the device and off it"
    store._behind.sync_blocking(store._dispatcher.timestamp)
    closed(store)
    assert not disk.exists(f"{ROOT}/abort")


def test_queue_ends_whose_sync_failed_make_no_clean_stop() -> None:
    disk = new_disk()
    store = opened(ROOT, files=disk)
    put_ok(store, message())
    disk.fail = failing_once("fdatasync", "queueEnds")
    with pytest.raises(StoreIOError, match="queueEnds"):
        store.shutdown()
    store.release()
    assert disk.exists(f"{ROOT}/abort")
    store = opened(ROOT, files=disk)
    assert bodies(store) == [b"body-0"]
    closed(store)


@pytest.mark.parametrize("operation", ["fdatasync", "sync directory"])
def test_a_start_whose_abort_file_is_not_durable_changes_nothing(operation: str) -> None:
    disk = new_disk()
    store = opened(ROOT, files=disk)
    put_ok(store, message())
    closed(store)
    disk.fail = failing_once(operation, "abort" if operation == "fdatasync" else ROOT)
    store = make_store(ROOT, files=disk)
    store.reserve()
    with pytest.raises(StoreIOError):
        store.load()
    closed(store)
    assert not disk.exists(f"{ROOT}/abort")
    store = opened(ROOT, files=disk)
    assert store.recovery is not None
    assert store.recovery.clean
    closed(store)


def test_an_abort_file_on_a_full_disk_need_not_hold_anything() -> None:
    disk = new_disk()
    disk.fail = failing_once("fdatasync", "abort", errno.ENOSPC)
    store = opened(ROOT, files=disk)
    assert disk.exists(f"{ROOT}/abort")
    closed(store)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("skip", [0, 1], ids=["backup", "table"])
@pytest.mark.parametrize("operation", ["fdatasync", "sync directory"])
def test_a_table_whose_sync_failed_is_written_again_from_the_beginning(
    seed: int, operation: str, skip: int
) -> None:
    disk = new_disk(seed)
    table = ConfigTable(f"{ROOT}/topics.json", disk)
    table.save("old")
    part = "topics.json" if operation == "fdatasync" else ROOT
    disk.fail = failing_once(operation, part, skip=skip)
    with pytest.raises(StoreIOError):
        table.save("old and new")
    writes = sum(each.name == "write" for each in disk.operations)
    table.save("old and new")
    assert sum(each.name == "write" for each in disk.operations) > writes
    disk.crash(Random(seed), "power")
    assert ConfigTable(f"{ROOT}/topics.json", disk).load() == "old and new"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_table_that_another_process_left_is_not_believed_to_be_synced(seed: int) -> None:
    disk = new_disk(seed)
    table = ConfigTable(f"{ROOT}/topics.json", disk)
    table.save("old")
    disk.fail = failing_once("sync directory", ROOT, skip=1)  # the name of the new text
    with pytest.raises(StoreIOError):
        table.save("old and new")
    disk.crash(Random(seed), "process")
    table = ConfigTable(f"{ROOT}/topics.json", disk)
    assert table.load() == "old and new"
    table.save("old and new")
    writes = sum(each.name == "write" for each in disk.operations)
    table.save("old and new")
    assert sum(each.name == "write" for each in disk.operations) == writes
    disk.crash(Random(seed), "power")
    assert ConfigTable(f"{ROOT}/topics.json", disk).load() == "old and new"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_table_whose_sync_failed_is_whole_in_one_version(seed: int) -> None:
    disk = new_disk(seed)
    table = ConfigTable(f"{ROOT}/topics.json", disk)
    table.save("old")
    disk.fail = failing_once("fdatasync", "topics.json.tmp", errno.ENOSPC)
    with pytest.raises(StoreIOError):
        table.save("new" * 5000)
    disk.crash(Random(seed), "power")
    assert ConfigTable(f"{ROOT}/topics.json", disk).load() == "old"
