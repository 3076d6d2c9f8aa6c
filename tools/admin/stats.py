"""`statsAll`, `brokerConsumeStats`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import trio

from client.broker_stats import broker_consume_stats, topic_traffic
from client.errors import ClientError
from remoting.errors import RemotingError
from remoting.protocol.message import DLQ_GROUP_TOPIC_PREFIX, RETRY_GROUP_TOPIC_PREFIX
from tools.admin.command import AdminContext, CommandFailed, admin_command, java_boolean
from tools.admin.java_text import seconds_text
from tools.admin.output import Mode, Table
from tools.admin.rows import Rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from client.broker_stats import TopicTraffic
    from remoting.protocol.admin_body import ConsumeStatsList

__all__ = ["COMMANDS"]

_TRAFFIC = Table(
    ("#Topic", "#Consumer Group", "#Accumulation", "#InTPS", "#OutTPS", "#InMsg24Hour", "#OutMsg24Hour"),
    "%-64s  %-64s %12s %11s %11s %14s %14s",
    "%-64.64s  %-64.64s %12d %11s %11s %14d %14s",
    numeric=frozenset({2, 3, 4, 5, 6}),
)
_POSITIONS = Table(
    (
        "#Topic",
        "#Group",
        "#Broker Name",
        "#QID",
        "#Broker Offset",
        "#Consumer Offset",
        "#Diff",
        "#LastTime",
    ),
    "%-64s  %-64s  %-32s  %-4s  %-20s  %-20s  %-20s  %s",
    "%-64.64s  %-64s  %-32.32s  %-4d  %-20d  %-20d  %-20d  %s",
    numeric=frozenset({3, 4, 5, 6}),
)
_NO_CONSUMER = "NO_CONSUMER"
_TOPICS_AT_A_TIME = 8
_BROKER_TIMEOUT_MS = 50_000


@admin_command("statsAll")
@click.option("active_only", "-a", "--activeTopic", is_flag=True, help="Only what moved in 24 hours.")
@click.option("wanted", "-t", "--topic", help="Only this topic.")
async def stats_all(context: AdminContext, active_only: bool, wanted: str | None) -> None:
    """Messages per second and of the last 24 hours, by topic and consumer group."""
    topics = [
        topic
        for topic in await context.admin.topic_names()
        if not topic.startswith((RETRY_GROUP_TOPIC_PREFIX, DLQ_GROUP_TOPIC_PREFIX))
        and (not wanted or topic == wanted.strip())
    ]
    if wanted and not topics:
        raise CommandFailed(f"no name server knows topic {wanted.strip()}")
    values: list[dict[str, Any]] = []
    with Rows(context.out, _TRAFFIC) as rows, context.progress("topics") as tell:
        for first in range(0, len(topics), _TOPICS_AT_A_TIME):
            tell(first, len(topics))
            for traffic in await _traffic_of(context, topics[first : first + _TOPICS_AT_A_TIME]):
                for value in _traffic_values(traffic):
                    if active_only and not (value["inMsg24Hour"] or value["outMsg24Hour"]):
                        continue
                    values.append(value)
                    rows.add(_traffic_row(value))
    context.out.value(values)


async def _traffic_of(context: AdminContext, topics: Sequence[str]) -> list[TopicTraffic]:
    """The traffic of these topics, asked for side by side, in their order; one that fails is told of."""
    found: dict[str, TopicTraffic] = {}

    async def ask(topic: str) -> None:
        try:
            found[topic] = await topic_traffic(context.admin, topic)
        except (ClientError, RemotingError) as fault:
            context.failed(f"statsAll: topic {topic}: {fault}")

    async with trio.open_nursery() as nursery:
        for topic in topics:
            nursery.start_soon(ask, topic)
    return [found[topic] for topic in topics if topic in found]


def _traffic_values(traffic: TopicTraffic) -> list[dict[str, Any]]:
    """One value for each group; one without a group for a topic that nobody reads."""
    topic: dict[str, Any] = {"topic": traffic.topic, "consumerGroup": None, "accumulation": 0}
    incoming = {"inTps": traffic.incoming.tps, "inMsg24Hour": traffic.incoming.day}
    if not traffic.groups:
        return [topic | incoming | {"outTps": None, "outMsg24Hour": None}]
    return [
        topic
        | {"consumerGroup": each.group, "accumulation": each.accumulation}
        | incoming
        | {"outTps": each.outgoing.tps, "outMsg24Hour": each.outgoing.day}
        for each in traffic.groups
    ]


def _traffic_row(value: dict[str, Any]) -> tuple[Any, ...]:
    has_group = value["consumerGroup"] is not None
    return (
        value["topic"],
        value["consumerGroup"] or "",
        value["accumulation"],
        f"{value['inTps']:.2f}",
        f"{value['outTps']:.2f}" if has_group else "",
        value["inMsg24Hour"],
        value["outMsg24Hour"] if has_group else _NO_CONSUMER,
    )


@admin_command("brokerConsumeStats")
@click.option("address", "-b", "--brokerAddr", required=True, metavar="HOST:PORT", help="The broker.")
@click.option(
    "timeout_ms",
    "-t",
    "--timeoutMillis",
    type=click.IntRange(1),
    default=_BROKER_TIMEOUT_MS,
    show_default=True,
    help="How long the broker may take.",
)
@click.option(
    "threshold", "-l", "--level", type=int, default=0, show_default=True, help="Only queues that far behind."
)
@click.option(
    "ordered_only",
    "-o",
    "--order",
    type=java_boolean,
    default=False,
    help="Only topics marked as ordered. [default: false]",
)
async def broker_consume_stats_command(
    context: AdminContext, address: str, timeout_ms: int, threshold: int, ordered_only: bool
) -> None:
    """Each queue of each group. The plain text leaves out queues of which nothing was consumed yet, as Java's
    does; a terminal and --json show them too.
    """
    with context.progress("groups"):
        found = await broker_consume_stats(
            context.admin, address.strip(), ordered_only=ordered_only, timeout_ms=timeout_ms
        )
    values = [each for each in _positions(found) if each["diff"] >= threshold]
    shown = [each for each in values if each["lastTimestamp"] > 0 or context.out.mode is not Mode.PLAIN]
    context.out.table(_POSITIONS, [_position_row(each) for each in shown])
    context.out.line()
    context.out.line(f"Diff Total: {found.total_diff}")
    context.out.value(
        {
            "brokerAddr": found.broker_addr or address.strip(),
            "queues": values,
            "diffTotal": found.total_diff,
        }
    )


def _positions(found: ConsumeStatsList) -> list[dict[str, Any]]:
    """Every queue in the broker's order of groups and topics, by broker and number within them."""
    values = []
    for by_group in found.consume_stats_list:
        for group, of_topics in by_group.items():
            for stats in of_topics:
                queues = sorted(
                    stats.offset_table, key=lambda each: (each.topic, each.broker_name, each.queue_id)
                )
                for queue in queues:
                    offsets = stats.offset_table[queue]
                    values.append(
                        {
                            "topic": queue.topic,
                            "consumerGroup": group,
                            "brokerName": queue.broker_name,
                            "queueId": queue.queue_id,
                            "brokerOffset": offsets.broker_offset,
                            "consumerOffset": offsets.consumer_offset,
                            "diff": offsets.broker_offset - offsets.consumer_offset,
                            "lastTimestamp": offsets.last_timestamp,
                        }
                    )
    return values


def _position_row(value: dict[str, Any]) -> tuple[Any, ...]:
    *cells, last = value.values()
    return (*cells, seconds_text(last) if last > 0 else "-")


COMMANDS = {"statsAll": stats_all, "brokerConsumeStats": broker_consume_stats_command}
