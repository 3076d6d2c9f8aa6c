"""Flushing: who is told what and when, and what a failing device means."""

from __future__ import annotations

import errno
import threading
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from store_kit import (
    FaultyDisk,
    bodies,
    closed,
    failing,
    make_store,
    message,
    open_store,
    opened,
    put_ok,
    running,
)

from store import FlushDiskType, PutStatus, StoreIOError

if TYPE_CHECKING:
    from pathlib import Path

SYNC = {"flush_disk_type": FlushDiskType.SYNC_FLUSH}


class Gate:
    """Blocks `fdatasync` of the commit log until the test opens it."""

    def __init__(self, disk: FaultyDisk) -> None:
        self.entered = threading.Semaphore(0)
        self._open = threading.Semaphore(0)
        disk.hook = self._hook

    def _hook(self, name: str, path: str, _detail: int) -> None:
        if name == "fdatasync" and "commitlog" in path:
            self.entered.release()
            assert self._open.acquire(timeout=10)

    def open(self, times: int = 1) -> None:
        self._open.release(times)

    async def wait(self) -> None:
        assert await trio.to_thread.run_sync(self.entered.acquire, True, 10)


async def test_sync_flush_answers_after_the_bytes_are_on_the_device_in_order(tmp_path: Path) -> None:
    disk = FaultyDisk()
    store = opened(tmp_path, files=disk, **SYNC)
    gate = Gate(disk)
    answers: list[tuple[int, str]] = []
    done = trio.Event()

    def told(number: int, status: PutStatus) -> None:
        answers.append((number, status.name))
        if number == 2:
            done.set()

    async with running(store):
        for number in range(3):
            [result] = put_ok(store, message(number))
            store.when_durable(result.end_offset, lambda status, number=number: told(number, status))
            if number == 0:
                await gate.wait()
        assert answers == []
        assert bodies(store) == []
        gate.open()
        await gate.wait()
        assert answers == [(0, "PUT_OK")]
        assert bodies(store) == [b"body-0"]
        gate.open(10)
        await done.wait()
        assert answers == [(number, "PUT_OK") for number in range(3)]
        assert store.flushed_offset == store.max_phy_offset
        assert store.statistics().flush.flushes == 2
    closed(store)


async def test_async_flush_answers_at_once(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        [result] = put_ok(store, message())
        answers: list[PutStatus] = []
        store.when_durable(result.end_offset, answers.append)
        assert answers == [PutStatus.PUT_OK]
        assert store.flushed_offset == 0


async def test_sync_flush_timeout(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    disk = FaultyDisk()
    store = opened(tmp_path, files=disk, sync_flush_timeout=700, **SYNC)
    gate = Gate(disk)
    answers: list[PutStatus] = []
    told = trio.Event()

    def answer(status: PutStatus) -> None:
        answers.append(status)
        told.set()

    async with running(store):
        [result] = put_ok(store, message())
        before = trio.current_time()
        store.when_durable(result.end_offset, answer)
        await told.wait()
        assert answers == [PutStatus.FLUSH_DISK_TIMEOUT]
        assert trio.current_time() - before == pytest.approx(0.7)
        gate.open(10)
    closed(store)
    with open_store(tmp_path) as store:
        assert bodies(store) == [b"body-0"]


async def test_a_failing_device_ends_the_store_and_nothing_is_acknowledged(tmp_path: Path) -> None:
    disk = FaultyDisk()
    store = opened(tmp_path, files=disk, **SYNC)
    disk.hook = failing("fdatasync", "commitlog", errno.EIO)
    answers: list[str] = []
    with (
        pytest.RaisesGroup(StoreIOError, flatten_subgroups=True)
        if hasattr(pytest, "RaisesGroup")
        else pytest.raises(BaseExceptionGroup)
    ):
        async with trio.open_nursery() as nursery:
            await nursery.start(store.run)
            [result] = put_ok(store, message())
            store.when_durable(result.end_offset, lambda status: answers.append(status.name))
            await trio.sleep_forever()
    assert answers == ["UNKNOWN_ERROR"]
    assert store.put([message()])[0].status is PutStatus.SERVICE_NOT_AVAILABLE
    assert "Input/output error" in (store.unwritable_reason or "")
    store.when_durable(0, lambda status: answers.append(status.name))
    assert answers == ["UNKNOWN_ERROR"] * 2
    assert bodies(store) == []
    disk.hook = lambda *_: None
    closed(store)
    assert (tmp_path / "abort").exists()


async def test_async_flush_waits_for_pages_or_for_the_thorough_interval(
    tmp_path: Path, virtual_time: trio.testing.MockClock
) -> None:
    with open_store(tmp_path, mapped_file_size_commit_log=1 << 20) as store:
        async with running(store):
            started = trio.current_time()
            put_ok(store, message())
            await trio.sleep(5)
            assert store.flushed_offset == 0
            await trio.sleep_until(started + 10.1)
            assert store.flushed_offset == store.max_phy_offset
            put_ok(store, *(message(body=bytes(1000)) for _ in range(20)))
            await trio.sleep(0.6)
            assert store.flushed_offset == store.max_phy_offset


async def test_an_idle_store_does_nothing(tmp_path: Path, virtual_time: trio.testing.MockClock) -> None:
    disk = FaultyDisk()
    with open_store(tmp_path, files=disk) as store:
        async with running(store):
            put_ok(store, message())
            await trio.sleep(200)
            calls, passes = len(disk.calls), store.statistics().write_behind.passes
            await trio.sleep(3600)
            assert len(disk.calls) == calls
            assert store.statistics().write_behind.passes == passes


async def test_queue_and_index_entries_are_written_in_batches_and_checkpointed(
    tmp_path: Path, virtual_time: trio.testing.MockClock
) -> None:
    disk = FaultyDisk()
    with open_store(tmp_path, files=disk, mapped_file_size_commit_log=1 << 20) as store:
        async with running(store):
            disk.calls.clear()
            for number in range(10):
                put_ok(store, message(number))
            assert disk.count("pwrite", "consumequeue") == 0
            await trio.sleep(1.5)
            assert disk.count("pwrite", "consumequeue") == 1
            assert store.statistics().write_behind.unwritten == 0
            await trio.sleep(120)
            assert disk.count("fdatasync", "consumequeue") == 1
            assert disk.count("fdatasync", "checkpoint") >= 1


async def test_unwritable_queues_are_kept_in_memory_and_written_later(
    tmp_path: Path, virtual_time: trio.testing.MockClock
) -> None:
    disk = FaultyDisk()
    with open_store(tmp_path, files=disk) as store:
        async with running(store):
            disk.hook = failing("pwrite", "consumequeue", errno.ENOSPC)
            put_ok(store, message(0), message(1, queue_id=1))
            await trio.sleep(5)
            assert store.statistics().write_behind.failures > 0
            assert bodies(store) == [b"body-0"]
            disk.hook = lambda *_: None
            await trio.sleep(5)
            assert store.statistics().write_behind.unwritten == 0
    with open_store(tmp_path) as store:
        assert bodies(store) == [b"body-0"]
        assert bodies(store, queue_id=1) == [b"body-1"]


async def test_next_log_file_is_created_ahead(tmp_path: Path) -> None:
    disk = FaultyDisk()
    created = trio.Event()
    token = trio.lowlevel.current_trio_token()

    def hook(name: str, path: str, _detail: int) -> None:
        if name == "create" and path.endswith(f"{4096:020d}"):
            token.run_sync_soon(created.set)

    with open_store(tmp_path, files=disk) as store:
        disk.hook = hook
        async with running(store):
            put_ok(store, message(body=bytes(2500)))
            await created.wait()
            await trio.testing.wait_all_tasks_blocked()
        put_ok(store, message(body=bytes(2500)))
        assert disk.count("create", f"{4096:020d}") == 1


async def test_cancelling_the_services_flushes_what_was_put(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    store.reserve()
    store.load()
    async with running(store):
        put_ok(store, message())
    assert store.flushed_offset == store.max_phy_offset
    closed(store)
