"""The event loop puts and reads while real threads flush, write behind, query and clean."""

from __future__ import annotations

import shutil
import threading
from typing import TYPE_CHECKING

import trio
import trio.testing
from store_kit import ALL_TIME, FaultyDisk, bodies, closed, message, open_store, opened, put_ok, running

from remoting.protocol.message import decode_messages
from store import FlushDiskType, SystemClock

if TYPE_CHECKING:
    from pathlib import Path

    from store import MessageStore

QUEUES = 4
BATCHES = 250
BATCH = 12
EXPECTED = [
    [b"body-%d" % i for i in range(BATCHES * BATCH) if i % QUEUES == queue_id] for queue_id in range(QUEUES)
]
SETTINGS = {
    "mapped_file_size_commit_log": 64 << 10,
    "mapped_file_size_consume_queue": 20 * 50,
    "max_index_num": 900,
    "flush_interval_commit_log": 1,
    "flush_commit_log_least_pages": 0,
    "flush_interval_consume_queue": 1,
    "flush_consume_queue_thorough_interval": 2,
    "clean_resource_interval": 1,
}


async def put_all(store: MessageStore) -> None:
    for first in range(0, BATCHES * BATCH, BATCH):
        results = store.put(
            [message(i, queue_id=i % QUEUES, keys=(f"U{i}", "all")) for i in range(first, first + BATCH)]
        )
        for i, result in enumerate(results, first):
            assert (result.ok, result.queue_offset) == (True, i // QUEUES)
        await trio.lowlevel.checkpoint()


async def read_all(store: MessageStore, queue_id: int) -> None:
    """Follow the queue to its end while it grows, from memory and from files."""
    found: list[bytes] = []
    while len(found) < len(EXPECTED[queue_id]):
        ask = ("g", "TopicTest", queue_id, len(found), 32)
        result = store.get(*ask) or await store.get_cold(*ask)
        read = [item.body for buffer in result.buffers for item in decode_messages(buffer)]
        assert len(read) == result.message_count
        found += read
        await trio.lowlevel.checkpoint()
    assert found == EXPECTED[queue_id]


async def query_for_ever(store: MessageStore, *, task_status: trio.TaskStatus[None]) -> None:
    task_status.started()
    while True:
        tail = store.max_offset("TopicTest", 0) - 1
        if tail >= 0:
            number = tail * QUEUES
            found = await trio.to_thread.run_sync(store.query, "TopicTest", f"U{number}", 9, *ALL_TIME)
            assert [decode_messages(buffer)[0].body for buffer in found.buffers] == [b"body-%d" % number]
        await trio.lowlevel.checkpoint()


async def load_the_store(store: MessageStore) -> None:
    async with running(store), trio.open_nursery() as nursery:
        await nursery.start(query_for_ever, store)
        async with trio.open_nursery() as work:
            work.start_soon(put_all, store)
            for queue_id in range(QUEUES):
                work.start_soon(read_all, store, queue_id)
        nursery.cancel_scope.cancel()


def check(store: MessageStore) -> None:
    for queue_id in range(QUEUES):
        assert bodies(store, queue_id=queue_id) == EXPECTED[queue_id]
    for i in (0, BATCHES * BATCH // 2, BATCHES * BATCH - 1):
        [found] = store.query("TopicTest", f"U{i}", 9, *ALL_TIME).buffers
        assert decode_messages(found)[0].body == b"body-%d" % i


def files_below(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


async def stress(root: Path, flush: FlushDiskType) -> None:
    settings = SETTINGS | {"flush_disk_type": flush}
    store = opened(root, clock=SystemClock(), **settings)
    with trio.fail_after(60):
        await load_the_store(store)
    check(store)
    statistics = store.statistics()
    assert statistics.write_behind.passes > 1
    assert statistics.write_behind.failures == 0
    assert statistics.flush.flushes > 1
    closed(store)
    written = files_below(root / "consumequeue")
    with open_store(root, **settings) as store:
        assert store.recovery is not None
        assert store.recovery.messages == 1
        check(store)
    shutil.rmtree(root / "consumequeue")
    shutil.rmtree(root / "index")
    with open_store(root, **settings) as store:
        check(store)
    assert files_below(root / "consumequeue") == written


async def test_write_behind_passes_come_one_after_the_other(tmp_path: Path) -> None:
    """A pass that ends before the one that began first would throw away units that are in memory only."""
    disk = FaultyDisk()
    go_on = threading.Event()

    def wait_in_a_queue(operation: str, path: str, _detail: int) -> None:
        if operation == "pwrite" and "consumequeue" in path:
            assert go_on.wait(10)

    with open_store(tmp_path, files=disk) as store:
        disk.hook = wait_in_a_queue
        put_ok(store, message(0))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store._behind.write)
            await trio.testing.wait_all_tasks_blocked()
            put_ok(store, message(1))
            nursery.start_soon(store._behind.write)
            await trio.testing.wait_all_tasks_blocked()
            assert store._queues.has_dirty
            go_on.set()
        assert not store._queues.has_dirty
        assert bodies(store) == [b"body-0", b"body-1"]


async def test_puts_beside_write_behind_lose_and_double_nothing(tmp_path: Path) -> None:
    await stress(tmp_path, FlushDiskType.ASYNC_FLUSH)


async def test_puts_beside_group_commit_lose_and_double_nothing(tmp_path: Path) -> None:
    await stress(tmp_path, FlushDiskType.SYNC_FLUSH)
