"""A broker whose device once failed to sync ends, and after its restart keeps what it acknowledges."""

from __future__ import annotations

import errno
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trio

from broker.broker import BrokerState
from remoting.protocol.request_code import RequestCode
from remoting.protocol.response_code import ResponseCode
from store import FlushDiskType, StoreIOError
from tests.simulation.disk import SimulatedDisk
from tests.store.store_kit import bodies

ROOT = Path("/store/a")
SYNC = {"flush_disk_type": FlushDiskType.SYNC_FLUSH, "sync_flush_timeout": 60_000}
SEND = {
    "a": "p", "b": "t", "c": "TBW102", "d": 4, "e": 0, "f": 0, "g": 1_700_000_000_000, "h": 0, "i": "",
    "j": 0, "k": False, "m": False,
}  # fmt: skip


def a_disk(seed: int) -> SimulatedDisk:
    disk = SimulatedDisk(seed)
    disk.makedirs(str(ROOT))
    disk.sync_directory("/store")
    disk.sync_directory("/")
    return disk


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("seed", range(6))
async def test_a_failed_sync_ends_the_broker_and_nothing_acknowledged_after_its_restart_is_lost(
    make_broker: Any, running_broker: Any, asking: Any, seed: int, number: int
) -> None:
    """The second sync of the same file would have said that all is well (`store.commit_log`)."""
    disk = a_disk(seed)
    broken = False

    def fails_once(operation: str, path: str) -> int | None:
        nonlocal broken
        if not broken or operation != "fdatasync" or "commitlog" not in path:
            return None
        broken = False
        return number

    disk.fail = fails_once
    answers = []
    broker = make_broker(ROOT, files=disk, **SYNC)

    async def lose_a_sync() -> None:
        nonlocal broken
        async with trio.open_nursery() as nursery:
            await nursery.start(broker.run)
            async with asking(broker) as ask:
                assert (await ask(RequestCode.SEND_MESSAGE_V2, b"0" * 5000, **SEND)).code == 0
                broken = True
                with trio.CancelScope(shield=True):
                    answers.append(await ask(RequestCode.SEND_MESSAGE_V2, b"1" * 50_000, **SEND))

    with pytest.raises(ExceptionGroup) as failure:
        await lose_a_sync()
    assert [answer.code for answer in answers] == [ResponseCode.SYSTEM_ERROR]
    assert broker.state is BrokerState.FAILED
    assert failure.group_contains(StoreIOError, match="commitlog/0+: fdatasync failed")
    assert disk.open_handles() == []

    with suppress(BaseExceptionGroup):  # the disk goes away below a broker that runs
        async with running_broker(ROOT, files=disk, **SYNC) as again, asking(again) as ask:
            for _ in range(3):
                assert (await ask(RequestCode.SEND_MESSAGE_V2, b"2" * 5000, **SEND)).code == 0
            disk.crash(Random(seed), "power")

    async with running_broker(ROOT, files=disk, **SYNC) as last:
        found = [body[:1] for body in bodies(last.context.store, "t", 0)]
        assert found == [b"0", b"1", b"2", b"2", b"2"]
