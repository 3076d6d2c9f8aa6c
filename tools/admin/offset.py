"""`resetOffsetByTime`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from client.errors import AnswerError
from remoting.protocol.response_code import ResponseCode
from tools.admin.command import AdminContext, admin_command, java_boolean
from tools.admin.java_text import boolean, parse_timestamp
from tools.admin.moved_offsets import show_committed, show_moved

if TYPE_CHECKING:
    from client.offset_reset import Rollback

__all__ = ["COMMANDS"]


@admin_command("resetOffsetByTime")
@click.option("group", "-g", "--group", required=True, help="Name of the consumer group.")
@click.option("topic", "-t", "--topic", required=True, help="Name of the topic.")
@click.option(
    "moment",
    "-s",
    "--timestamp",
    required=True,
    help="now, -1 (the end), milliseconds or yyyy-MM-dd#HH:mm:ss:SSS.",
)
@click.option(
    "force", "-f", "--force", type=java_boolean, default=True, help="Also move forward. [default: true]"
)
@click.option("address", "-b", "--broker", metavar="HOST:PORT", help="With -q: only this broker's queue.")
@click.option("queue_id", "-q", "--queue", type=click.IntRange(0), help="With -b: number of the queue.")
@click.option(
    "offset", "-o", "--offset", type=click.IntRange(0), help="With -b and -q: this offset instead of a time."
)
@click.option(
    "cluster", "-c", "--cluster", help="Cluster, or parent topic, whose route leads to a light queue."
)
async def reset_offset_by_time(
    context: AdminContext,
    group: str,
    topic: str,
    moment: str,
    force: bool,
    address: str | None,
    queue_id: int | None,
    offset: int | None,
    cluster: str | None,
) -> None:
    """Consumers that are online go on from there at their next pull."""
    group, topic, moment = group.strip(), topic.strip(), moment.strip()
    if (address is None) != (queue_id is None):
        raise click.UsageError("A broker (-b) and a queue (-q) are given together or not at all.")
    if offset is not None and address is None:
        raise click.UsageError("An offset (-o) needs its broker (-b) and queue (-q).")
    try:
        timestamp_ms = time.time_ns() // 1_000_000 if moment == "now" else parse_timestamp(moment)
    except ValueError as fault:
        raise click.UsageError(f"{fault}, nor 'now'.") from fault
    when = f"timestamp(string)[{moment}], timestamp(long)[{timestamp_ms}]"
    if address is not None and queue_id is not None:
        await _reset_queue(context, group, topic, address.strip(), queue_id, offset, timestamp_ms, when)
        return
    try:
        with context.progress("asking brokers") as tell:
            moved = await context.admin.offsets.by_time(
                group, topic, timestamp_ms, force=force, cluster=cluster, tell=tell
            )
    except AnswerError as fault:
        if fault.code != ResponseCode.CONSUMER_NOT_ONLINE:
            raise
        with context.progress("moving brokers") as tell:
            done = await context.admin.offsets.by_commit(
                group, topic, timestamp_ms, force=force, cluster=cluster, tell=tell
            )
        _show_committed(context, group, topic, boolean(force), when, done)
        return
    context.out.line(
        f"start reset consumer offset by specified, group[{group}], topic[{topic}], "
        f"force[{boolean(force)}], {when}"
    )
    show_moved(context, group, topic, moved)


async def _reset_queue(
    context: AdminContext,
    group: str,
    topic: str,
    address: str,
    queue_id: int,
    offset: int | None,
    timestamp_ms: int,
    when: str,
) -> None:
    context.out.line(
        f"start reset consumer offset by specified, group[{group}], topic[{topic}], queueId[{queue_id}], "
        f"broker[{address}], {when}"
    )
    if offset is None:
        offset = await context.admin.offsets.search(address, topic, queue_id, timestamp_ms)
    context.out.line(f"reset consumer offset to {offset}")
    await context.admin.offsets.queue(address, group, topic, queue_id, offset)
    context.out.value(
        {"consumerGroup": group, "topic": topic, "broker": address, "queueId": queue_id, "offset": offset}
    )


def _show_committed(
    context: AdminContext, group: str, topic: str, force: str, when: str, done: list[Rollback]
) -> None:
    context.out.line(
        f"reset consumer offset by specified consumerGroup[{group}], topic[{topic}], force[{force}], {when}"
    )
    show_committed(context, group, topic, done, last_heading="#resetOffset")


COMMANDS = {"resetOffsetByTime": reset_offset_by_time}
