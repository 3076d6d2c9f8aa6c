"""A pass over many queues is written and settled some at a time; what fails in between stays in memory."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest
from store_kit import FaultyDisk, bodies, closed, fail, message, opened, put_ok

from store import write_behind
from store.errors import StoreIOError

if TYPE_CHECKING:
    from pathlib import Path

QUEUES = 23
TOGETHER = 5


@pytest.fixture(autouse=True)
def _few_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_behind, "_TOGETHER", TOGETHER)


def written_queues(disk: FaultyDisk) -> int:
    return sum(operation == "pwrite" and "consumequeue" in path for operation, path in disk.calls)


async def test_each_queue_is_written_once_and_the_loop_settles_portions(tmp_path: Path) -> None:
    disk = FaultyDisk()
    store = opened(tmp_path, files=disk)
    behind, queues = store._behind, store._queues
    put_ok(store, *(message(each, queue_id=each) for each in range(QUEUES)))
    settled: list[int] = []
    passes = behind.statistics().passes

    def look(operation: str, path: str, _detail: int) -> None:
        if operation == "pwrite" and "consumequeue" in path:
            settled.append(sum(queue.unwritten == 0 for queue in queues.queues.values()))

    disk.hook = look
    await behind.write()
    assert settled == [each // TOGETHER * TOGETHER for each in range(QUEUES)]
    assert (behind.unwritten, queues.has_dirty, behind.statistics().passes) == (0, False, passes + 1)
    closed(store)


async def test_a_portion_that_fails_leaves_the_later_ones_for_the_next_pass(tmp_path: Path) -> None:
    disk = FaultyDisk()
    store = opened(tmp_path, files=disk)
    behind, queues = store._behind, store._queues
    put_ok(store, *(message(each, queue_id=each) for each in range(QUEUES)))

    def refuse(operation: str, path: str, _detail: int) -> None:
        if operation == "pwrite" and "consumequeue" in path and written_queues(disk) > 12:
            fail(errno.EIO, path)

    disk.hook = refuse
    with pytest.raises(StoreIOError):
        await behind.write()
    assert behind.unwritten == QUEUES - 12
    assert len(queues.dirty_queues()) == QUEUES - 12
    put_ok(store, message(100, queue_id=0), message(101, queue_id=QUEUES - 1))
    disk.hook = lambda _operation, _path, _detail: None
    disk.calls.clear()
    await behind.write()
    assert written_queues(disk) == QUEUES - 12 + 1
    assert (behind.unwritten, queues.has_dirty) == (0, False)
    closed(store)
    again = opened(tmp_path)
    assert [len(bodies(again, queue_id=each)) for each in range(QUEUES)] == [2, *[1] * (QUEUES - 2), 2]
    closed(again)
