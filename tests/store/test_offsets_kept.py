"""No offset of a queue is given twice, also when all its messages are expired and a crash comes."""

from __future__ import annotations

import errno
from random import Random

import pytest
import trio
from store_kit import (
    ROOT,
    START_MS,
    bodies,
    checkpointed,
    closed,
    message,
    new_disk,
    open_store,
    opened,
    put_ok,
    running,
)

from store import ManualClock, MessageStore, PutStatus, StoreIOError

SEEDS = range(12)


def filled(store: MessageStore, topic: str, count: int, size: int = 700) -> None:
    put_ok(store, *[message(each, topic=topic, body=bytes([each]) * size) for each in range(count)])


def next_offset(store: MessageStore, topic: str) -> int:
    [result] = put_ok(store, message(topic=topic))
    return int(result.queue_offset)


def expired_up_to_the_last_file(store: MessageStore) -> None:
    while store._log.oldest_file() is not None:
        store._log.remove_first_file()
    store._cleaner._follow_min_offset()


@pytest.mark.parametrize("seed", SEEDS)
def test_offsets_go_on_when_the_only_file_of_the_log_was_not_on_the_device(seed: int) -> None:
    """Retention took all files but the one that is written, and of that the device had nothing."""
    disk = new_disk(seed)
    store = opened(ROOT, files=disk)
    filled(store, "old", 5)
    checkpointed(store)
    put_ok(store, message(9, topic="young", body=b"y" * 2000))
    assert store.max_phy_offset > 4096 > store.flushed_offset
    expired_up_to_the_last_file(store)
    store.release()
    disk.crash(Random(seed), "power")
    with open_store(ROOT, files=disk) as store:
        assert store.min_phy_offset == 4096
        assert next_offset(store, "old") == 5


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("keep", ["clean", "process", "power"])
def test_a_queue_of_expired_messages_whose_file_was_given_up_keeps_its_end(seed: int, keep: str) -> None:
    disk = new_disk(seed)
    store = opened(ROOT, files=disk)
    filled(store, "old", 5)
    filled(store, "young", 9)
    checkpointed(store)
    expired_up_to_the_last_file(store)
    closed(store)
    file = disk.open(f"{ROOT}/consumequeue/old/0/{0:020d}")
    file.truncate(100)  # as a loss of power leaves it
    file.close()
    store = opened(ROOT, files=disk)
    assert store.max_offset("old", 0) == 5
    if keep == "clean":
        closed(store)
    else:
        store.release()
        disk.crash(Random(seed), keep)  # type: ignore[arg-type]
    with open_store(ROOT, files=disk) as store:
        assert bodies(store, "old") == []
        assert next_offset(store, "old") == 5


@pytest.mark.parametrize("seed", SEEDS)
def test_offsets_go_on_when_all_of_the_log_is_lost_that_was_on_the_device(seed: int) -> None:
    disk = new_disk(seed)
    store = opened(ROOT, files=disk)
    filled(store, "old", 14, size=50)
    checkpointed(store)
    store.release()
    disk.crash(Random(seed), "process")
    file = disk.open(f"{ROOT}/commitlog/{0:020d}")
    file.truncate(0)
    file.truncate(4096)
    file.close()
    opened(ROOT, files=disk).release()
    disk.crash(Random(seed), "process")
    with open_store(ROOT, files=disk) as store:
        assert next_offset(store, "old") == 14


@pytest.mark.parametrize("seed", SEEDS)
def test_a_queue_made_by_a_run_that_was_killed_outlives_the_machine(seed: int) -> None:
    """Nobody synced the name of its file before the kill; the start after it has to."""
    disk = new_disk(seed)
    store = opened(ROOT, files=disk)
    filled(store, "old", 5)
    filled(store, "young", 9)
    store._behind.write_blocking()
    store.release()
    disk.crash(Random(seed), "process")
    store = opened(ROOT, files=disk)
    expired_up_to_the_last_file(store)
    store.release()
    disk.crash(Random(seed), "power")
    with open_store(ROOT, files=disk) as store:
        assert next_offset(store, "old") == 5


async def test_a_file_goes_after_its_units_are_written_also_on_a_full_disk(
    virtual_time: trio.testing.MockClock,
) -> None:
    disk = new_disk(0)
    full = [""]
    disk.fail = lambda name, path: errno.ENOSPC if name == "write" and full[0] and full[0] in path else None
    clock = ManualClock(START_MS)
    store = opened(ROOT, files=disk, clock=clock, clean_resource_interval=1000, file_reserved_time=1)
    async with running(store):
        filled(store, "written", 5)
        await store._behind.sync()
        full[0] = "consumequeue"
        filled(store, "waiting", 12)
        clock.advance(4_000_000)
        store.delete_expired_files()
        await trio.sleep(5)
        assert store.min_phy_offset == 4096, "the file whose units are written is gone, no other"
    store.release()
    disk.crash(Random(0), "process")
    with open_store(ROOT, files=disk, clock=clock) as store:
        assert next_offset(store, "waiting") == 12


def test_units_of_lost_messages_do_not_lengthen_a_queue_of_a_log_that_begins_at_0() -> None:
    """The second file of the queue is missing, the third leads behind the end of the log."""
    disk = new_disk(0)
    store = opened(ROOT, files=disk, mapped_file_size_consume_queue=20)
    filled(store, "old", 3, size=100)
    store._behind.write_blocking()
    store.release()
    disk.crash(Random(0), "process")
    disk.remove(f"{ROOT}/consumequeue/old/0/{20:020d}")
    file = disk.open(f"{ROOT}/commitlog/{0:020d}")
    file.truncate(0)
    file.truncate(4096)
    file.close()
    with open_store(ROOT, files=disk, mapped_file_size_consume_queue=20) as store:
        assert next_offset(store, "old") == 0


def test_every_removed_file_is_closed_though_one_cannot_be() -> None:
    disk = new_disk(0)
    store = opened(ROOT, files=disk)
    filled(store, "old", 15)
    expired_up_to_the_last_file(store)
    disk.fail = lambda name, path: errno.EIO if name == "close" and path.endswith(f"{0:020d}") else None
    with pytest.raises(StoreIOError, match="close failed"):
        store._log.close_removed_files()
    disk.fail = None
    closed(store)
    assert disk.open_handles() == []


def test_a_file_made_ahead_keeps_its_name_when_making_it_beside_fails() -> None:
    """A worker thread has made the next file, the event loop does not know yet and makes it too."""
    disk = new_disk(0)
    store = opened(ROOT, files=disk)
    filled(store, "t", 4)
    ahead = store._log.prepare_next_file()
    disk.fail = lambda name, path: errno.EIO if name == "sync directory" else None
    [result] = store.put([message(4, topic="t", body=bytes(3500))])
    assert result.status is PutStatus.CREATE_MAPPED_FILE_FAILED
    disk.fail = None
    store._log.keep_next_file(ahead)
    filled(store, "t", 6)
    store.release()
    disk.crash(Random(0), "process")
    with open_store(ROOT, files=disk) as store:
        assert len(bodies(store, "t")) == 10


@pytest.mark.parametrize("seed", SEEDS)
def test_a_queue_whose_first_file_is_expired_and_whose_other_messages_are_lost_goes_on(seed: int) -> None:
    disk = new_disk(seed)
    store = opened(ROOT, files=disk, mapped_file_size_consume_queue=20)
    filled(store, "old", 4)
    checkpointed(store)
    young, _ = put_ok(store, message(9, topic="young", body=bytes(1000)), message(6, topic="old"))
    store._behind.write_blocking()
    store._queues.sync()
    expired_up_to_the_last_file(store)
    store._queues.sync()
    store.release()
    disk.crash(Random(seed), "process")
    file = disk.open(f"{ROOT}/commitlog/{4096:020d}")
    file.truncate(young.size)
    file.truncate(4096)
    file.close()
    with open_store(ROOT, files=disk, mapped_file_size_consume_queue=20) as store:
        assert next_offset(store, "old") >= 4


def test_index_files_that_are_dropped_are_all_closed_though_one_cannot_be() -> None:
    disk = new_disk(0)
    store = opened(ROOT, files=disk, max_index_num=3)
    filled(store, "t", 12, size=50)
    store._behind.write_blocking()
    assert store._index is not None
    disk.fail = lambda name, path: errno.EIO if name == "close" and "/index/" in path else None
    with pytest.raises(StoreIOError, match="close failed"):
        store._index._drop_from(1)
    disk.fail = None
    closed(store)
    assert disk.open_handles() == []
