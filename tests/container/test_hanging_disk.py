"""A broker whose disk hangs holds up its own readers, and nobody else: not even its own services."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import trio
from container_rig import a_broker, a_client, address_of, ask, send, until

from container import open_container
from remoting.command import RemotingCommand
from remoting.errors import RemotingError
from remoting.protocol.request_code import RequestCode
from store import FlushDiskType
from store.worker_threads import REQUEST_THREADS

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

MANY = 100


async def test_reads_that_never_end_take_no_thread_from_the_neighbours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configs = [a_broker(tmp_path, name) for name in "ab"]
    for _, store_config in configs:
        store_config.flush_disk_type = FlushDiskType.SYNC_FLUSH
    async with open_container(configs, directory=tmp_path) as container:
        hanging, neighbour = container.get_broker_controllers()
        assert hanging.broker is not None
        assert hanging.broker.context is not None
        go, inside = threading.Event(), threading.Semaphore(0)

        def hang(_offset: int) -> None:
            inside.release()
            go.wait(60)

        monkeypatch.setattr(hanging.broker.context.store, "message_at", hang)

        async def read_forever(address: str) -> None:
            async with a_client() as client:
                request = RemotingCommand.request(RequestCode.VIEW_MESSAGE_BY_ID, {"offset": "0"})
                try:
                    await client.invoke(address, request, 60_000)
                except RemotingError:
                    return  # the broker was stopped first

        async with trio.open_nursery() as nursery:
            for _ in range(MANY):
                nursery.start_soon(read_forever, address_of(hanging))
            await until(lambda: inside._value == REQUEST_THREADS)
            for inner in (neighbour, hanging):
                assert (await send(address_of(inner), "T", b"flushed")).code == 0
            found = await ask(address_of(neighbour), RequestCode.VIEW_MESSAGE_BY_ID, offset="0")
            assert found.code == 0
            assert inside._value == REQUEST_THREADS
            go.set()
            nursery.cancel_scope.cancel()
