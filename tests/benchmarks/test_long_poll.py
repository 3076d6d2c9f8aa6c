"""The client that times messages to a held pull, against a real broker."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio

from benchmarks.long_poll import RefusedSendError, long_poll_seconds
from container import open_container
from tests.interop.processes import ProcessError
from tests.interop.wire import ask

if TYPE_CHECKING:
    from pathlib import Path

TOPIC = "Polled"
UPDATE_AND_CREATE_TOPIC = 17
WRITE_ONLY, READ_AND_WRITE = 2, 6
TOO_LARGE_BYTES = 5 << 20


async def run(directory: Path, perm: int, body_bytes: int = 100) -> list[float]:
    """Times 20 messages after 10 that do not count."""
    async with open_container(["timed"], directory=directory) as container:
        (inner,) = container.get_broker_controllers()
        assert inner.broker is not None
        address = inner.broker.address
        topic = {"topic": TOPIC, "readQueueNums": "1", "writeQueueNums": "1", "perm": str(perm)}
        fields = topic | {"defaultTopic": "TBW102", "topicFilterType": "SINGLE_TAG", "order": "false"}
        made = await trio.to_thread.run_sync(ask, address, UPDATE_AND_CREATE_TOPIC, fields)
        assert made.code == 0
        time_them = partial(
            long_poll_seconds,
            address,
            TOPIC,
            rate=1000,
            warm_up_seconds=0.01,
            seconds=0.02,
            body_bytes=body_bytes,
        )
        return await trio.to_thread.run_sync(time_them)


async def test_each_counted_message_has_its_latency(tmp_path: Path) -> None:
    seconds = await run(tmp_path, READ_AND_WRITE)
    assert len(seconds) == 20
    assert min(seconds) > 0


async def test_a_refused_pull_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ProcessError, match="a pull is answered 16"):
        await run(tmp_path, WRITE_ONLY)


async def test_a_refused_send_makes_the_run_void(tmp_path: Path) -> None:
    with pytest.raises(RefusedSendError, match="a send is answered 13"):
        await run(tmp_path, READ_AND_WRITE, TOO_LARGE_BYTES)
