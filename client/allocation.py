"""Which consumer of a group gets which queues (Java: `AllocateMessageQueueAveragely`, the default)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from remoting.protocol.body import MessageQueue

__all__ = ["allocate_averagely"]


def allocate_averagely(
    client: str, queues: Sequence[MessageQueue], clients: Sequence[str]
) -> list[MessageQueue]:
    """The part of `queues` that `client` gets: neighbours, as many as the others get or one more.

    Args:
        client: One of `clients`; one that stands there twice counts where it stands first.
        queues: Sorted, as all members of a group sort them.
        clients: All members of the group, in the order that they all use.
    """
    index = clients.index(client)
    share, rest = divmod(len(queues), len(clients))
    size = share + 1 if index < rest else share
    start = index * size if index < rest else index * size + rest
    return list(queues[start : start + size])
