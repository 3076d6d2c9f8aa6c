"""`printMsgByQueue`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import click

from client.message import plain_body
from client.pull import PullStatus
from remoting.protocol.body import MessageQueue
from remoting.protocol.message import PROPERTY_TAGS
from tools.admin.command import AdminContext, CommandFailed, admin_command, java_boolean, java_time
from tools.admin.message_text import decode_text, message_line, message_value, queue_text
from tools.admin.output import Mode, Table

if TYPE_CHECKING:
    from remoting.protocol.message import MessageExt

__all__ = ["COMMANDS"]

_PULL_SIZE = 32
_TIME_HELP = "as milliseconds or yyyy-MM-dd#HH:mm:ss:SSS."
_TAGS = Table(("#Tag", "#Count"), "%-30s %s", "%-30s %s", numeric=frozenset({1}))


@admin_command("printMsgByQueue")
@click.option("topic", "-t", "--topic", required=True, help="Topic to print.")
@click.option("broker_name", "-a", "--brokerName", required=True, help="Name of the broker.")
@click.option(
    "queue_id", "-i", "--queueId", type=click.IntRange(0), required=True, help="Number of the queue."
)
@click.option(
    "charset", "-c", "--charsetName", default="UTF-8", show_default=True, help="Charset of the bodies."
)
@click.option("expression", "-s", "--subExpression", default="*", help="Tags, joined by ||. [default: all]")
@click.option(
    "begin_ms", "-b", "--beginTimestamp", type=java_time, help=f"Stored at this time or later, {_TIME_HELP}"
)
@click.option("end_ms", "-e", "--endTimestamp", type=java_time, help=f"Stored before this time, {_TIME_HELP}")
@click.option(
    "print_messages",
    "-p",
    "--printMsg",
    type=java_boolean,
    default=False,
    help="Print the messages. [default: false]",
)
@click.option(
    "print_body",
    "-d",
    "--printBody",
    type=java_boolean,
    default=False,
    help="With -p: their bodies as well. [default: false]",
)
@click.option(
    "count_tags",
    "-f",
    "--calculate",
    type=java_boolean,
    default=False,
    help="Count the messages of each tag. [default: false]",
)
async def print_msg_by_queue(
    context: AdminContext,
    topic: str,
    broker_name: str,
    queue_id: int,
    charset: str,
    expression: str,
    begin_ms: int | None,
    end_ms: int | None,
    print_messages: bool,
    print_body: bool,
    count_tags: bool,
) -> None:
    """Without -p and -f the queue is read and nothing printed. With --json each message is one line, and the
    counts of the tags are the last one.
    """
    puller = context.admin.puller()
    queue = MessageQueue(topic.strip(), broker_name.strip(), queue_id)
    if queue not in await puller.queues(queue.topic):
        raise CommandFailed(f"broker {queue.broker_name} has no queue {queue_id} of topic {queue.topic}")
    begin, end = await puller.min_offset(queue), await puller.max_offset(queue)
    if begin_ms is not None:
        begin = await puller.search_offset(queue, begin_ms)
    if end_ms is not None:
        end = await puller.search_offset(queue, end_ms)
    counts: Counter[str] = Counter()
    with context.progress("messages") as tell:
        offset = begin
        while offset < end:
            tell(offset - begin, end - begin)
            result = await puller.pull(
                queue, offset, min(_PULL_SIZE, end - offset), expression=expression.strip()
            )
            for message in result.messages:
                if message.queue_offset >= end:
                    break
                if tags := message.properties.get(PROPERTY_TAGS, "").strip():
                    counts[tags] += 1
                if print_messages:
                    _print(context, queue, message, charset=charset, with_body=print_body)
            if result.status in (PullStatus.NO_NEW_MSG, PullStatus.OFFSET_ILLEGAL):
                break
            if result.next_begin_offset <= offset:
                raise CommandFailed(
                    f"{queue.broker_name} does not get past offset {offset} of {queue_text(queue)}"
                )
            offset = result.next_begin_offset
    if count_tags:
        _show_counts(context, counts)


def _print(
    context: AdminContext, queue: MessageQueue, message: MessageExt, *, charset: str, with_body: bool
) -> None:
    text = decode_text(plain_body(message), charset) if with_body else "NOT PRINT BODY"
    context.out.line(message_line(message, queue.broker_name, text))
    context.out.record(message_value(message, with_body=with_body, charset=charset))


def _show_counts(context: AdminContext, counts: Counter[str]) -> None:
    """The most frequent tag first, those of the same count by name."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    if context.out.mode is Mode.RICH:
        context.out.table(_TAGS, ordered)
    else:
        for tag, count in ordered:
            context.out.line(f"Tag: {tag:<30} Count: {count}")
    context.out.record({"tags": dict(ordered)})


COMMANDS = {"printMsgByQueue": print_msg_by_queue}
