"""What the running infos of a group's members (307) say about the group. Pure functions.

After Java's `ConsumerRunningInfo.analyzeSubscription`, `analyzeRebalance` and `analyzeProcessQueue`.
"""

from __future__ import annotations

from collections import Counter
from enum import Enum
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from remoting.protocol.admin_body import ConsumerRunningInfo
    from remoting.protocol.body import MessageQueue

__all__ = ["Hindrance", "StuckQueue", "held_twice", "is_push", "same_subscription", "stuck_queues"]

_PUSH = "CONSUME_PASSIVELY"
_CONSUME_TYPE = "PROP_CONSUME_TYPE"
_ORDERLY = "PROP_CONSUMEORDERLY"
_QUIET_MS = 60_000


def is_push(info: ConsumerRunningInfo) -> bool:
    """Whether the client is a push consumer: only those tell of subscriptions and queues."""
    return info.properties.get(_CONSUME_TYPE) == _PUSH


def same_subscription(infos: Iterable[ConsumerRunningInfo]) -> bool:
    """Whether all push consumers among the members want the same messages, as members of a group must.

    Java looks only at groups whose first member has been running for two minutes and calls all others equal.
    """
    wanted = {
        frozenset((each.topic, each.sub_string, each.expression_type) for each in info.subscription_set)
        for info in infos
        if is_push(info)
    }
    return len(wanted) <= 1


def held_twice(infos: Iterable[ConsumerRunningInfo]) -> list[MessageQueue]:
    """Queues that more than one member has at the moment, which in a group that shares its queues is wrong.

    Java has such a test by name only: it is always content.
    """
    holders = Counter(
        queue for info in infos if is_push(info) for queue, state in info.mq_table.items() if not state.droped
    )
    return sorted(
        (queue for queue, members in holders.items() if members > 1),
        key=lambda each: (each.topic, each.broker_name, each.queue_id),
    )


class Hindrance(Enum):
    """Why a queue of a push consumer does not move."""

    NOT_LOCKED = "not locked"
    NOT_UNLOCKED = "not unlocked"
    NOT_CONSUMED = "not consumed"


@attrs.frozen
class StuckQueue:
    """A queue that does not move.

    Attributes:
        number: Milliseconds since the last lock (NOT_LOCKED) or the last consumption (NOT_CONSUMED), or
            how often unlocking was tried (NOT_UNLOCKED).
    """

    queue: MessageQueue
    hindrance: Hindrance
    number: int


def stuck_queues(info: ConsumerRunningInfo, now_ms: int) -> Iterator[StuckQueue]:
    """The queues of a push consumer that do not move: an ordered one that has no lock or cannot give it back,
    another one with messages of which none was consumed for a minute.
    """
    if not is_push(info):
        return
    orderly = info.properties.get(_ORDERLY) == "true"
    for queue, state in sorted(
        info.mq_table.items(), key=lambda item: (item[0].topic, item[0].broker_name, item[0].queue_id)
    ):
        if orderly and not state.locked:
            yield StuckQueue(queue, Hindrance.NOT_LOCKED, now_ms - state.last_lock_timestamp)
        elif orderly and state.droped and state.try_unlock_times > 0:
            yield StuckQueue(queue, Hindrance.NOT_UNLOCKED, state.try_unlock_times)
        elif not orderly and state.cached_msg_count > 0:
            quiet_ms = now_ms - state.last_consume_timestamp
            if quiet_ms > _QUIET_MS:
                yield StuckQueue(queue, Hindrance.NOT_CONSUMED, quiet_ms)
