"""A topic that a client's request created is answered for once others can find it.

Java saves the topic table and registers before it answers such a request; a consumer that starts right after
the producer's first send would otherwise meet no route and wait for its next poll.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

from store import StoreError

if TYPE_CHECKING:
    from broker.context import BrokerContext

__all__ = ["published"]

_log = logging.getLogger("rocketmq.broker")

_PUBLICATION_S = 2.0
"""Below the 3 s that clients wait for an answer."""


async def published(context: BrokerContext) -> None:
    """Return when the topic table is on disk and known to the name servers, or after two seconds.

    A table that cannot be written is logged; its own task tries again. Cancellation ends the waiting only.
    """
    with trio.move_on_after(_PUBLICATION_S):
        try:
            await context.topics.file.saved()
        except StoreError as error:
            _log.error("a new topic is not saved yet: %s", error)
        await context.registration.settled()
