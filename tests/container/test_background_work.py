"""What brokers do in the background takes turns; what somebody waits for, and the end of a broker, do not."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from container_rig import a_broker, address_of, send, until

from container import open_container
from store import FlushDiskType, worker_threads
from store.background_turns import BackgroundTurns

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from container import InnerBroker


def passes(inner: InnerBroker) -> int:
    """Of its store, over the files of queues and index."""
    assert inner.broker is not None
    assert inner.broker.context is not None
    return inner.broker.context.store.statistics().write_behind.passes


async def test_queue_files_of_many_brokers_are_written_in_turns_and_nobody_waits_for_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = BackgroundTurns(counted_s=math.inf)
    monkeypatch.setattr(worker_threads, "background_turns", lambda: turns)
    configs = [a_broker(tmp_path, name) for name in "abc"]
    for _, store_config in configs:
        store_config.flush_disk_type = FlushDiskType.SYNC_FLUSH
        store_config.flush_interval_consume_queue = 1
        store_config.clean_resource_interval = 3_600_000
    async with open_container(configs, directory=tmp_path) as container:
        brokers = container.get_broker_controllers()

        def written() -> list[int]:
            return [passes(inner) for inner in brokers]

        async with turns.turn():  # another broker's, which takes long
            before = written()
            for inner in brokers:
                assert (await send(address_of(inner), "T", b"flushed")).code == 0
            await until(lambda: turns.statistics().waiting >= len(brokers) or written() != before)
            assert written() == before
            *left, removed = brokers
            await container.remove_broker(removed.identity)
        await until(lambda: all(passes(inner) > number for inner, number in zip(left, before, strict=False)))
    figures = turns.statistics()
    assert (figures.counted, figures.waiting, figures.outlasted) == (0, 0, 0)
