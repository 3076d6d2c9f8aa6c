"""A store with 20,000 queues: what it opens, what it asks of the disk, what it does while idle."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio
import trio.testing
from store_kit import FaultyDisk, closed, message, opened, put_ok, running

TOPICS = 200
QUEUES_OF_EACH = 100
QUEUES = TOPICS * QUEUES_OF_EACH
SIZES = {
    "mapped_file_size_commit_log": 8 << 20,
    "mapped_file_size_consume_queue": 20,
    "message_index_enable": False,
}


class CountingDisk(FaultyDisk):
    """Counts questions about names too."""

    def listdir(self, path: str) -> list[str]:
        self._before("listdir", path)
        return super().listdir(path)

    def file_size(self, path: str) -> int:
        self._before("stat", path)
        return super().file_size(path)

    def exists(self, path: str) -> bool:
        self._before("stat", path)
        return super().exists(path)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One message in each queue, closed in order."""
    root = tmp_path_factory.mktemp("many")
    store = opened(root, **SIZES)
    for topic in range(TOPICS):
        put_ok(store, *(message(q, topic=f"T{topic}", queue_id=q, keys=()) for q in range(QUEUES_OF_EACH)))
    store._behind.write_blocking()
    # The device is not what is tested: 20,000 syncs would only take time.
    store._queues._unsynced.clear()
    for queue in store._queues.queues.values():
        queue.unsynced.clear()
        queue.names_changed = False
    closed(store)
    return root


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are counted by /proc")
def test_queues_hold_no_descriptors_and_load_reads_little_of_each(root: Path) -> None:
    disk = CountingDisk()
    before = open_files()
    store = opened(root, files=disk, **SIZES)
    try:
        assert store.statistics().queues.queues == QUEUES
        assert open_files() - before <= 4
        assert store.recovery is not None
        assert store.recovery.messages == 1
        of_queues = [name for name, path in disk.calls if "consumequeue" in path]
        assert len(of_queues) <= 11 * QUEUES
        # The last message is dispatched again; nothing else is written.
        assert [of_queues.count(name) for name in ("create", "pwrite", "fdatasync")] == [0, 1, 1]
    finally:
        closed(store)
    assert open_files() == before


async def test_an_idle_hour_asks_the_disk_as_little_as_with_one_queue(
    root: Path, virtual_time: trio.testing.MockClock
) -> None:
    disk = CountingDisk()
    store = opened(root, files=disk, **SIZES)
    interval_s = store.config.clean_resource_interval / 1000
    async with running(store):
        await trio.testing.wait_all_tasks_blocked()
        disk.calls.clear()
        await trio.sleep(3600)
        assert [name for name, _ in disk.calls if name not in ("stat", "listdir")] == []
        assert len(disk.calls) <= 4 * (3600 / interval_s + 1)
        assert store.statistics().write_behind.passes <= 2
    closed(store)


async def test_one_message_touches_the_files_of_one_queue(
    root: Path, virtual_time: trio.testing.MockClock
) -> None:
    disk = CountingDisk()
    store = opened(root, files=disk, **SIZES)
    async with running(store):
        await trio.testing.wait_all_tasks_blocked()
        disk.calls.clear()
        put_ok(store, message(0, topic="T7", queue_id=7, keys=()))
        await trio.sleep(120)
        touched = {os.path.dirname(path) for _, path in disk.calls if "consumequeue/" in path}
        assert touched == {str(root / "consumequeue" / "T7" / "7")}
    closed(store)
