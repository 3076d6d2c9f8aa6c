"""A process of ours collects what a closed broker leaves behind, although its collections are rare."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING, cast

import pytest
import trio

from tools.broker_garbage import BrokerGarbage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from container import InnerBroker


class Closable:
    """What the hook needs of a broker."""

    def __init__(self) -> None:
        self.closed = trio.Event()
        self.knot = self  # as the objects of a broker do

    async def wait_closed(self) -> None:
        await self.closed.wait()


@pytest.fixture(autouse=True)
def _no_automatic_collections() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


async def test_a_closed_broker_is_collected(autojump_clock: object) -> None:
    hook = BrokerGarbage()
    brokers = [Closable(), Closable()]
    left = [weakref.ref(broker) for broker in brokers]
    for broker in brokers:
        hook.before_start(cast("InnerBroker", broker), {})
    await trio.sleep(10)
    assert all(reference() is not None for reference in left)
    for broker in brokers:
        broker.closed.set()
    del broker
    brokers.clear()
    await trio.sleep(10)
    assert [reference() for reference in left] == [None, None]
