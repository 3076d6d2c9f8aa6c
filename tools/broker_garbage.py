"""What a closed broker leaves behind is freed soon, not after hours.

The objects of a broker refer to each other, some hundred KB, and in a process of ours collections are rare
(`tools.process`): brokers that come and go would pile up.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from container import InnerBroker

__all__ = ["BrokerGarbage"]

_REST_S = 1.0
"""From the end of a broker to the collection: its tasks have unwound, and others that end share it."""


class BrokerGarbage:
    """A boot hook that has garbage collected after each broker's end, at most once a second."""

    name = "broker garbage"

    def __init__(self) -> None:
        self._expected = False

    def before_start(self, broker: InnerBroker, _properties: Mapping[str, str]) -> None:
        trio.lowlevel.spawn_system_task(self._collect_after, broker.wait_closed)

    def after_start(self, broker: InnerBroker, _properties: Mapping[str, str]) -> None: ...

    async def _collect_after(self, closed: Callable[[], Awaitable[None]]) -> None:
        await closed()
        del closed  # it holds the broker
        if self._expected:
            return
        self._expected = True
        await trio.sleep(_REST_S)
        self._expected = False
        gc.collect()
