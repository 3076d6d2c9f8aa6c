"""`consumerProgress`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from client.errors import ClientError
from remoting.errors import RemotingError
from remoting.protocol.message import RETRY_GROUP_TOPIC_PREFIX
from remoting.protocol.mq_version import version_desc
from tools.admin.command import AdminContext, admin_command, java_boolean
from tools.admin.java_text import seconds_text
from tools.admin.output import Table

if TYPE_CHECKING:
    from remoting.protocol.admin_body import ConsumerConnection, ConsumeStats
    from remoting.protocol.body import MessageQueue

__all__ = ["COMMANDS"]

_QUEUES = Table(
    (
        "#Topic",
        "#Broker Name",
        "#QID",
        "#Broker Offset",
        "#Consumer Offset",
        "#Diff",
        "#Inflight",
        "#LastTime",
    ),
    "%-64s  %-32s  %-4s  %-20s  %-20s  %-20s %-20s%s",
    "%-64.64s  %-32.32s  %-4d  %-20d  %-20d  %-20d %-20d %s",
    numeric=frozenset({2, 3, 4, 5, 6}),
)
_QUEUES_WITH_CLIENTS = Table(
    (*_QUEUES.headings[:5], "#Client IP", *_QUEUES.headings[5:]),
    "%-64s  %-32s  %-4s  %-20s  %-20s  %-20s %-20s %-20s%s",
    "%-64.64s  %-32.32s  %-4d  %-20d  %-20d  %-20s %-20d %-20d %s",
    numeric=frozenset({2, 3, 4, 6, 7}),
)
_GROUPS = Table(
    ("#Group", "#Count", "#Version", "#Type", "#Model", "#TPS", "#Diff Total"),
    "%-64s  %-6s  %-24s %-5s  %-14s  %-7s  %s",
    "%-64.64s  %-6d  %-24s %-5s  %-14s  %-7d  %d",
    numeric=frozenset({1, 5, 6}),
)
_NOT_KNOWN = "N/A"


@admin_command("consumerProgress")
@click.option(
    "group", "-g", "--groupName", help="Name of the consumer group; without it, all groups are listed."
)
@click.option("topic", "-t", "--topicName", help="Only this topic.")
@click.option(
    "show_clients",
    "-s",
    "--showClientIP",
    type=java_boolean,
    default=False,
    help="Show which client has a queue. [default: false]",
)
@click.option(
    "cluster", "-c", "--cluster", help="Cluster, or parent topic, whose route leads to a light queue."
)
async def consumer_progress(
    context: AdminContext, group: str | None, topic: str | None, show_clients: bool, cluster: str | None
) -> None:
    if group is None:
        await _all_groups(context)
    else:
        await _one_group(context, group.strip(), topic.strip() if topic else None, show_clients, cluster)


async def _one_group(
    context: AdminContext, group: str, topic: str | None, show_clients: bool, cluster: str | None
) -> None:
    with context.progress("asking brokers") as tell:
        stats = await context.admin.consume_stats(group, topic, cluster=cluster, tell=tell)
    clients = await _clients_of_queues(context, group) if show_clients else {}
    rows: list[tuple[Any, ...]] = []
    values: list[dict[str, Any]] = []
    for queue in sorted(stats.offset_table, key=lambda each: (each.topic, each.broker_name, each.queue_id)):
        offsets = stats.offset_table[queue]
        difference = offsets.broker_offset - offsets.consumer_offset
        inflight = offsets.pull_offset - offsets.consumer_offset
        client = clients.get(queue, _NOT_KNOWN)
        rows.append(
            (
                queue.topic,
                queue.broker_name,
                queue.queue_id,
                offsets.broker_offset,
                offsets.consumer_offset,
                *((client,) if show_clients else ()),
                difference,
                inflight,
                seconds_text(offsets.last_timestamp) if offsets.last_timestamp else _NOT_KNOWN,
            )
        )
        values.append(
            {
                "topic": queue.topic,
                "brokerName": queue.broker_name,
                "queueId": queue.queue_id,
                "brokerOffset": offsets.broker_offset,
                "consumerOffset": offsets.consumer_offset,
                "diff": difference,
                "inflight": inflight,
                "lastTimestamp": offsets.last_timestamp,
                **({"client": client} if show_clients else {}),
            }
        )
    difference_total = sum(value["diff"] for value in values)
    inflight_total = sum(value["inflight"] for value in values)
    context.out.table(_QUEUES_WITH_CLIENTS if show_clients else _QUEUES, rows)
    context.out.line()
    context.out.line(f"Consume TPS: {stats.consume_tps:.2f}")
    context.out.line(f"Consume Diff Total: {difference_total}")
    context.out.line(f"Consume Inflight Total: {inflight_total}")
    context.out.value(
        {
            "consumerGroup": group,
            "queues": values,
            "consumeTps": stats.consume_tps,
            "diffTotal": difference_total,
            "inflightTotal": inflight_total,
        }
    )


async def _clients_of_queues(context: AdminContext, group: str) -> dict[MessageQueue, str]:
    """Which client has which queue, as far as the clients tell."""
    clients: dict[MessageQueue, str] = {}
    try:
        connections = (await context.admin.consumer_connection(group)).connection_set
        for connection in context.walk(connections, "asking clients"):
            client_id = connection.client_id or ""
            info = await context.admin.consumer_running_info(group, client_id)
            clients |= dict.fromkeys(info.mq_table, client_id.partition("@")[0])
    except (ClientError, RemotingError) as fault:
        context.failed(f"consumerProgress: {fault}")
    return clients


async def _all_groups(context: AdminContext) -> None:
    rows = []
    groups = [
        topic.removeprefix(RETRY_GROUP_TOPIC_PREFIX)
        for topic in await context.admin.topic_names()
        if topic.startswith(RETRY_GROUP_TOPIC_PREFIX)
    ]
    for group in context.walk(groups, "asking about groups"):
        stats: ConsumeStats | None = None
        connection: ConsumerConnection | None = None
        # A group without offsets or without anybody online is a normal row, not a failure.
        try:
            stats = await context.admin.consume_stats(group)
        except ClientError:
            pass
        except RemotingError as fault:
            context.failed(f"consumerProgress: {fault}")
        try:
            connection = await context.admin.consumer_connection(group)
        except ClientError:
            pass
        except RemotingError as fault:
            context.failed(f"consumerProgress: {fault}")
        rows.append(_group_row(group, stats, connection))
    context.out.table(_GROUPS, rows)
    names = ("consumerGroup", "count", "version", "type", "model", "tps", "diffTotal")
    context.out.value([dict(zip(names, row, strict=True)) for row in rows])


def _group_row(
    group: str, stats: ConsumeStats | None, connection: ConsumerConnection | None
) -> tuple[Any, ...]:
    tps, difference = 0, 0
    if stats is not None:
        tps = int(stats.consume_tps)
        difference = sum(each.broker_offset - each.consumer_offset for each in stats.offset_table.values())
    if connection is None:
        return (group, 0, "OFFLINE", "", "", tps, difference)
    passive = connection.consume_type == "CONSUME_PASSIVELY"
    return (
        group,
        len(connection.connection_set),
        version_desc(min(each.version for each in connection.connection_set)),
        "PULL" if connection.consume_type == "CONSUME_ACTIVELY" else "PUSH",
        connection.message_model if passive else "",
        tps,
        difference,
    )


COMMANDS = {"consumerProgress": consumer_progress}
