"""`skipAccumulatedMessage`, `cloneGroupOffset`."""

from __future__ import annotations

import click

from client.errors import AnswerError
from client.offset_clone import clone_offsets
from client.offset_reset import QUEUE_END
from remoting.protocol.response_code import ResponseCode
from tools.admin.command import AdminContext, admin_command, java_boolean
from tools.admin.moved_offsets import MOVED, rows_of, show_committed, show_moved
from tools.admin.output import Mode

__all__ = ["COMMANDS"]


@admin_command("skipAccumulatedMessage")
@click.option("group", "-g", "--group", required=True, help="Name of the consumer group.")
@click.option("topic", "-t", "--topic", required=True, help="Name of the topic.")
@click.option(
    "force", "-f", "--force", type=java_boolean, default=True, help="Also move forward. [default: true]"
)
@click.option(
    "cluster", "-c", "--cluster", help="Cluster, or parent topic, whose route leads to a light queue."
)
async def skip_accumulated_message(
    context: AdminContext, group: str, topic: str, force: bool, cluster: str | None
) -> None:
    """Moves the group to the end of every queue; consumers that are online go on there at their next pull."""
    group, topic = group.strip(), topic.strip()
    offsets = context.admin.offsets
    try:
        with context.progress("brokers") as tell:
            moved = await offsets.by_time(group, topic, QUEUE_END, force=force, cluster=cluster, tell=tell)
    except AnswerError as fault:
        if fault.code != ResponseCode.CONSUMER_NOT_ONLINE:
            raise
        with context.progress("brokers") as tell:
            done = await offsets.by_commit(group, topic, QUEUE_END, force=force, cluster=cluster, tell=tell)
        show_committed(context, group, topic, done, last_heading="#rollbackOffset")
        return
    show_moved(context, group, topic, moved)


@admin_command("cloneGroupOffset")
@click.option("source", "-s", "--srcGroup", required=True, help="The consumer group to copy from.")
@click.option("destination", "-d", "--destGroup", required=True, help="The consumer group to move.")
@click.option("topic", "-t", "--topic", required=True, help="Name of the topic.")
@click.option(
    "_offline",
    "-o",
    "--offline",
    type=java_boolean,
    default=False,
    help="Taken for Java's scripts, not used.",
)
async def clone_group_offset(
    context: AdminContext, source: str, destination: str, topic: str, _offline: bool
) -> None:
    """Only this topic's offsets are copied. The group that is moved must exist; consumers of it that are
    online go on there at their next pull.
    """
    source, destination, topic = source.strip(), destination.strip(), topic.strip()
    rows = rows_of(await clone_offsets(context.admin, source, destination, topic))
    if context.out.mode is Mode.RICH:
        context.out.table(MOVED, rows)
    context.out.unended_line(
        f"clone group offset success. srcGroup[{source}], destGroup=[{destination}], topic[{topic}]"
    )
    names = ("brokerName", "queueId", "offset")
    context.out.value(
        {
            "srcGroup": source,
            "destGroup": destination,
            "topic": topic,
            "queues": [dict(zip(names, row, strict=True)) for row in rows],
        }
    )


COMMANDS = {"skipAccumulatedMessage": skip_accumulated_message, "cloneGroupOffset": clone_group_offset}
