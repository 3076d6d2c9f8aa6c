"""GROUP_GET_FALL_SIZE and GROUP_GET_FALL_TIME: how far a group's pulls of a queue are behind its end.

Java (`BrokerStatsManager.recordDiskFallBehindSize` and `...Time`) notes both at each pull, writes them to
stats.log every five minutes and does not show them to code 315. Here they are computed when somebody asks,
from where the group's pulls are, so no pull pays for them and the answer is never old.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.offsets import NO_OFFSET
from broker.stats import StatsSnapshot, StatsWindow

if TYPE_CHECKING:
    from broker.context import BrokerContext

__all__ = ["FALL_SIZE", "FALL_TIME", "fall_behind"]

FALL_SIZE = "GROUP_GET_FALL_SIZE"
FALL_TIME = "GROUP_GET_FALL_TIME"


def fall_behind(context: BrokerContext, name: str, key: str) -> StatsSnapshot | None:
    """The figure as sum and average of each window; it is of this moment, so all windows are equal.

    Reads the store; for a worker thread.

    Args:
        name: FALL_SIZE, the bytes of commit log from the first message that was not pulled yet to the end;
            or FALL_TIME, the milliseconds that this message has been waiting. Both are 0 at the queue's end.
        key: `queueId@topic@group`.

    Returns:
        None when the group never pulled from that queue.
    """
    parts = key.split("@")
    if len(parts) != 3 or not parts[0].isdecimal():
        return None
    queue_id, topic, group = int(parts[0]), parts[1], parts[2]
    if context.offsets.query_pull(group, topic, queue_id) == NO_OFFSET:
        return None
    behind = _bytes_behind if name == FALL_SIZE else _milliseconds_behind
    figure = behind(context, topic, queue_id, _first_not_pulled(context, group, topic, queue_id))
    window = StatsWindow(sum=figure, tps=0.0, average=float(figure))
    return StatsSnapshot(minute=window, hour=window, day=window)


def _first_not_pulled(context: BrokerContext, group: str, topic: str, queue_id: int) -> int:
    """At least the queue's first offset: what was deleted in the meantime is not waiting any more."""
    return max(
        context.offsets.query_pull(group, topic, queue_id), context.store.min_offset(topic, queue_id), 0
    )


def _bytes_behind(context: BrokerContext, topic: str, queue_id: int, offset: int) -> int:
    units = context.store.consume_queue_units(topic, queue_id, offset, 1)
    return max(0, context.store.max_phy_offset - units[0][0]) if units else 0


def _milliseconds_behind(context: BrokerContext, topic: str, queue_id: int, offset: int) -> int:
    stored_ms = context.store.store_time_at(topic, queue_id, offset)
    return max(0, context.clock_ms() - stored_ms) if stored_ms > 0 else 0
