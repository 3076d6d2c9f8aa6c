"""Retention of files so young that the queue entries of their messages are in memory only."""

from __future__ import annotations

import errno
from random import Random
from typing import Literal

import pytest
import trio
from store_kit import closed, message, opened, put_ok, running

from tests.simulation.disk import SimulatedDisk

EXPIRED_AT_ONCE = {
    "file_reserved_time": 0,
    "delete_when": ";".join(f"{hour:02d}" for hour in range(24)),
    "clean_resource_interval": 10,
    "delete_commit_log_files_interval": 0,
    "flush_interval_consume_queue": 3_600_000,
    "flush_consume_queue_thorough_interval": 3_600_000,
}


@pytest.mark.parametrize("keep", ["process", "power"])
async def test_queue_offsets_go_on_after_a_crash_when_all_messages_have_expired(
    virtual_time: trio.testing.MockClock, keep: Literal["process", "power"]
) -> None:
    """Found by `python -m tests.kill`: the log went before the entries were written, offsets began again."""
    disk = SimulatedDisk(1)
    store = opened("/store", files=disk, **EXPIRED_AT_ONCE)
    put_ok(store, *(message(number) for number in range(100)))
    end = store.max_phy_offset
    put_ok(store, *(message(number, "Other", body=bytes(1000)) for number in range(5)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(store._cleaner.run)
        await trio.sleep(1)
        assert store.min_phy_offset >= end
        nursery.cancel_scope.cancel()
    disk.crash(Random(3), keep, names="journal")
    closed(store, clean=False)
    store = opened("/store", files=disk, **EXPIRED_AT_ONCE)
    [result] = put_ok(store, message(7))
    assert result.queue_offset == 100
    disk.crash(Random(3), "process")
    closed(store, clean=False)


def refusing_entries(number: int) -> SimulatedDisk:
    """A disk on which writes to consume queues fail with this errno."""
    disk = SimulatedDisk(1)
    disk.fail = lambda name, path: number if name == "write" and "/consumequeue/" in path else None
    return disk


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
async def test_files_stay_until_their_entries_can_be_written(
    virtual_time: trio.testing.MockClock, number: int
) -> None:
    disk = refusing_entries(number)
    store = opened("/store", files=disk, **EXPIRED_AT_ONCE)
    async with running(store):
        put_ok(store, *(message(each) for each in range(100)))
        await trio.sleep(1)
        assert store.statistics().cleaner.passes > 5
        assert store.min_phy_offset == 0
        disk.fail = None
        await trio.sleep(1)
        assert store.min_phy_offset > 0
    closed(store)
