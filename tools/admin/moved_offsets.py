"""What a command shows of a group whose offsets it has moved: the queues and where each stands now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tools.admin.output import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from client.offset_reset import Rollback
    from remoting.protocol.body import MessageQueue
    from tools.admin.command import AdminContext

__all__ = ["MOVED", "rows_of", "show_committed", "show_moved"]

MOVED = Table(
    ("#brokerName", "#queueId", "#offset"),
    "%-40s  %-40s  %-40s",
    "%-40.32s  %-40d  %-40d",
    numeric=frozenset({1, 2}),
)


def rows_of(moved: Mapping[MessageQueue, int]) -> list[tuple[Any, ...]]:
    """A row of `MOVED` for each queue, in order."""
    return sorted((queue.broker_name, queue.queue_id, offset) for queue, offset in moved.items())


def show_moved(context: AdminContext, group: str, topic: str, moved: Mapping[MessageQueue, int]) -> None:
    """The queues of a group whose online consumers were told."""
    _show(context, group, topic, MOVED, ("brokerName", "queueId", "offset"), rows_of(moved))


def show_committed(
    context: AdminContext, group: str, topic: str, done: Iterable[Rollback], *, last_heading: str
) -> None:
    """The queues of a group that is not online, whose offsets were committed in its place.

    Args:
        last_heading: Java's commands differ in it.
    """
    table = Table(
        ("#brokerName", "#queueId", "#brokerOffset", "#consumerOffset", "#timestampOffset", last_heading),
        "%-20s  %-20s  %-20s  %-20s  %-20s  %-20s",
        "%-20.32s  %-20d  %-20d  %-20d  %-20d  %-20d",
        numeric=frozenset({1, 2, 3, 4, 5}),
    )
    names = ("brokerName", "queueId", "brokerOffset", "consumerOffset", "timestampOffset", "offset")
    rows = [
        (
            each.broker_name,
            each.queue_id,
            each.broker_offset,
            each.consumer_offset,
            each.timestamp_offset,
            each.rollback_offset,
        )
        for each in done
    ]
    _show(context, group, topic, table, names, rows)


def _show(
    context: AdminContext,
    group: str,
    topic: str,
    table: Table,
    names: tuple[str, ...],
    rows: list[tuple[Any, ...]],
) -> None:
    context.out.table(table, rows)
    context.out.value(
        {
            "consumerGroup": group,
            "topic": topic,
            "queues": [dict(zip(names, row, strict=True)) for row in rows],
        }
    )
