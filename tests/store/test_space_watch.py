"""Between the cleaner's passes: how often space is measured, and what failing devices mean."""

from __future__ import annotations

import errno
import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing
from store_kit import (
    SizedDisk,
    a_second_later,
    bodies,
    closed,
    fail,
    failing,
    message,
    open_store,
    opened,
    put_ok,
    running,
)

from store import StoreIOError

if TYPE_CHECKING:
    from store import DiskSpace, MessageStore

MIB = 1 << 20


class WideDisk(SizedDisk):
    """Like `SizedDisk`, a thousand MiB wide; counts and may fail."""

    def __init__(self) -> None:
        super().__init__()
        self.measured = 0
        self.broken = False

    def space(self, path: str) -> DiskSpace:
        self.measured += 1
        if self.broken:
            fail(errno.EIO, path, "measure space")
        space = super().space(path)
        return type(space)(space.total * 1000, space.free * 1000, space.available * 1000)


def watched(root: Path, disk: SizedDisk, **changes: Any) -> MessageStore:
    settings: dict[str, Any] = {"mapped_file_size_commit_log": 64 * MIB, "message_index_enable": False}
    return opened(root, files=disk, **settings | changes)


def put_mib(store: MessageStore) -> str:
    [result] = store.put([message(body=bytes(MIB - 200))])
    return result.status.name


async def settle() -> None:
    await trio.sleep(0.01)


async def test_space_is_measured_more_often_the_less_there_is(
    tmp_path: Path, virtual_time: trio.testing.MockClock
) -> None:
    disk = WideDisk()
    store = watched(tmp_path, disk)
    async with running(store):
        await settle()
        for used, every in ((0.1, 17), (0.895, 2), (0.8999, 1)):
            disk.used = used
            store._cleaner.measure_soon()
            await settle()
            before = store.statistics().cleaner.measurements
            for _ in range(2 * every):
                assert put_mib(store) == "PUT_OK"
                await settle()
            measured = store.statistics().cleaner.measurements - before
            # Above 85 % a pass of the cleaner follows each, which measures too.
            assert 1 <= measured <= (2 if used < 0.85 else 4), used
    closed(store)


async def test_a_disk_that_others_fill_is_noticed_between_two_passes(
    tmp_path: Path, virtual_time: trio.testing.MockClock
) -> None:
    disk = WideDisk()
    store = watched(tmp_path, disk, clean_resource_interval=3_600_000)
    async with running(store):
        await settle()
        disk.used = 0.91
        count = 0
        while store.writable:
            assert put_mib(store) == "PUT_OK"
            await settle()
            count += 1
        assert count <= 17
        assert store.disk_use().note == (
            "messages are refused: the disk of the commit log is used to 91%, above 90%"
            " (diskSpaceWarningLevelRatio)"
        )
        disk.used = 0.84
        await trio.sleep(1.1)
        assert store.writable
        assert store.disk_use().note is None
    closed(store)


def test_nobody_writes_more_than_was_free_before_it_is_measured_again(tmp_path: Path) -> None:
    """The measurement is late: the writer waits for it, the disk is not filled."""
    disk = WideDisk()
    disk.used = 0.895
    store = watched(tmp_path, disk)
    written = 0
    while put_mib(store) == "PUT_OK":
        written += 1
    assert written in (5, 6)
    assert put_mib(store) == "OS_PAGE_CACHE_BUSY"
    assert store.writable
    store._cleaner.measure()
    assert put_mib(store) == "PUT_OK"
    closed(store)


async def test_a_disk_that_cannot_be_measured_is_reported_and_measured_again(
    tmp_path: Path, virtual_time: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    disk = WideDisk()
    store = watched(tmp_path, disk)
    async with running(store):
        await settle()
        disk.broken = True
        store._cleaner.measure_soon()
        await trio.sleep(30)
        assert "disk space cannot be measured" in caplog.text
        assert put_mib(store) == "PUT_OK"
        assert put_mib(store) == "OS_PAGE_CACHE_BUSY"
        with pytest.raises(StoreIOError):
            store.disk_use()
        disk.broken = False
        await trio.sleep(11)
        assert put_mib(store) == "PUT_OK"
    closed(store)


@pytest.mark.parametrize("clean", [True, False])
def test_remains_that_cannot_be_cleared_come_back_never(tmp_path: Path, clean: bool) -> None:
    disk = SizedDisk()
    store = opened(tmp_path, files=disk)
    put_ok(store, message(0))
    position = store.max_phy_offset

    def torn(name: str, path: str, detail: int) -> None:
        if name == "pwrite" and "commitlog" in path:
            whole = batch(store, 1, 2)
            with open(path, "r+b") as file:
                file.seek(position)
                file.write(whole)
            fail(errno.ENOSPC, path)
        failing("truncate", "commitlog", errno.EIO)(name, path, detail)

    disk.hook = torn
    assert {result.status.name for result in store.put([message(1), message(2)])} == {"SERVICE_NOT_AVAILABLE"}
    disk.hook = failing("truncate", "commitlog", errno.EIO)
    a_second_later(store)
    assert {result.status.name for result in store.put([message(3)])} == {"UNKNOWN_ERROR"}
    disk.hook = lambda *_: None
    if not clean:
        put_ok(store, message(4, body=b"body-1"))
    closed(store, clean=clean)
    with open_store(tmp_path) as store:
        assert bodies(store) == ([b"body-0"] if clean else [b"body-0", b"body-1"])


def batch(store: MessageStore, *numbers: int) -> bytes:
    """What a put of these messages would append, as another store writes it."""
    with tempfile.TemporaryDirectory() as directory, open_store(Path(directory)) as other:
        put_ok(other, message(0))
        start = other.max_phy_offset
        put_ok(other, *map(message, numbers))
        return bytes(other._log.read(start, other.max_phy_offset - start, blocking=True) or b"")


async def test_after_a_failed_sync_of_queues_no_checkpoint_is_written_any_more(
    tmp_path: Path, virtual_time: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    disk = SizedDisk()
    store = opened(tmp_path, files=disk)
    async with running(store):
        put_ok(store, message(0))
        disk.hook = failing("fdatasync", "consumequeue", errno.EIO)
        await trio.sleep(70)
        disk.hook = lambda *_: None
        saved = (tmp_path / "checkpoint").read_bytes()
        put_ok(store, message(1))
        await trio.sleep(200)
        assert (tmp_path / "checkpoint").read_bytes() == saved
        assert caplog.text.count("no checkpoint is written any more") == 1
        assert store.writable
    closed(store)
    assert (tmp_path / "abort").exists()
    with open_store(tmp_path) as store:
        assert store.recovery is not None
        assert not store.recovery.clean
        assert bodies(store) == [b"body-0", b"body-1"]


async def test_queues_without_space_refuse_messages_until_they_are_written(
    tmp_path: Path, virtual_time: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "rocketmq.store")
    disk = SizedDisk()
    store = opened(tmp_path, files=disk)
    async with running(store):
        disk.hook = failing("pwrite", "index/", errno.EDQUOT)
        put_ok(store, message(0))
        await trio.sleep(1.5)
        assert not store.writable
        await trio.sleep(60)
        assert caplog.text.count("consume queue or index cannot be written") == 1
        disk.hook = lambda *_: None
        await trio.sleep(3)
        assert store.writable
        assert "consume queues and index are written again" in caplog.text
        put_ok(store, message(1))
    closed(store)
    with open_store(tmp_path) as store:
        assert store.recovery is not None
        assert store.recovery.clean
        assert len(bodies(store)) == 2
