"""`printMsg`, `sendMessage`, `consumeMessage`."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import click

from client import routing
from client.message import Message, plain_body
from client.pull import TOOLS_CONSUMER_GROUP, PullStatus
from client.trace import trace_send
from remoting.protocol.body import MessageQueue
from tools.admin.command import AdminContext, CommandFailed, admin_command, java_boolean
from tools.admin.java_text import parse_timestamp
from tools.admin.message_text import decode_text, message_line, message_value, queue_text
from tools.admin.output import Table

if TYPE_CHECKING:
    from client import Puller
    from client.pull import PullResult

__all__ = ["COMMANDS"]

_PULL_SIZE = 32
_SEPARATOR = "-" * 56
_SENT = Table(
    ("#Broker Name", "#QID", "#Send Result", "#MsgId"),
    "%-32s  %-4s  %-20s    %s",
    "%-32s  %-4s  %-20s    %s",
    numeric=frozenset({1}),
)
_TIME_HELP = "as milliseconds or yyyy-MM-dd#HH:mm:ss:SSS."


class _Timestamp(click.ParamType):  # type: ignore[type-arg] # a generic class only in newer click
    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return parse_timestamp(str(value).strip())
        except ValueError as fault:
            self.fail(f"{fault}.", param, ctx)


_timestamp = _Timestamp()


@admin_command("sendMessage")
@click.option("topic", "-t", "--topic", required=True, help="Topic to send to.")
@click.option("body", "-p", "--body", required=True, help="The body, sent as UTF-8.")
@click.option("keys", "-k", "--key", help="Keys, joined by spaces.")
@click.option("tags", "-c", "--tags", help="Tags.")
@click.option("broker_name", "-b", "--broker", help="Name of the broker. [default: any that has the topic]")
@click.option(
    "queue_id", "-i", "--qid", type=click.IntRange(0), help="With -b: number of the queue. [default: any]"
)
@click.option(
    "trace",
    "-m",
    "--msgTraceEnable",
    type=java_boolean,
    default=False,
    help="Write a trace record. [default: false]",
)
async def send_message(
    context: AdminContext,
    topic: str,
    body: str,
    keys: str | None,
    tags: str | None,
    broker_name: str | None,
    queue_id: int | None,
    trace: bool,
) -> None:
    if queue_id is not None and broker_name is None:
        raise click.UsageError("A queue (-i) needs its broker (-b).")
    message = Message(
        topic=topic.strip(),
        body=body.strip().encode(),
        tags=tags.strip() if tags else None,
        keys=tuple(keys.split()) if keys else (),
    )
    queue = None
    if broker_name is not None:
        queue = await _queue_of(context, message.topic, broker_name.strip(), queue_id)
    group = str(time.time_ns() // 1_000_000)
    producer = context.admin.producer(group)
    begin = time.monotonic()
    result = await producer.send(message, queue)
    took_ms = round((time.monotonic() - begin) * 1000)
    context.out.table(
        _SENT, [(result.queue.broker_name, result.queue.queue_id, result.status.name, result.message_id)]
    )
    context.out.value(
        {
            "topic": message.topic,
            "brokerName": result.queue.broker_name,
            "queueId": result.queue.queue_id,
            "queueOffset": result.queue_offset,
            "sendStatus": result.status.name,
            "msgId": result.message_id,
            "offsetMsgId": result.offset_message_id,
        }
    )
    if trace:
        await trace_send(context.admin, group, message, result, took_ms)


async def _queue_of(
    context: AdminContext, topic: str, broker_name: str, queue_id: int | None
) -> MessageQueue:
    """The chosen queue of a broker, or any. (Java sends to any broker when no queue is chosen.)"""
    if queue_id is not None:
        return MessageQueue(topic, broker_name, queue_id)
    queues = routing.publish_queues(topic, await context.admin.route(topic))
    found = [queue for queue in queues if queue.broker_name == broker_name]
    if not found:
        raise CommandFailed(f"broker {broker_name} has no queue of topic {topic} that can be written")
    return random.choice(found)  # noqa: S311 - any will do


@admin_command("printMsg")
@click.option("topic", "-t", "--topic", required=True, help="Topic to print.")
@click.option(
    "charset", "-c", "--charsetName", default="UTF-8", show_default=True, help="Charset of the bodies."
)
@click.option("expression", "-s", "--subExpression", default="*", help="Tags, joined by ||. [default: all]")
@click.option(
    "begin_ms", "-b", "--beginTimestamp", type=_timestamp, help=f"Stored at this time or later, {_TIME_HELP}"
)
@click.option(
    "end_ms", "-e", "--endTimestamp", type=_timestamp, help=f"Stored before this time, {_TIME_HELP}"
)
@click.option(
    "print_body",
    "-d",
    "--printBody",
    type=java_boolean,
    default=True,
    help="Print the bodies. [default: true]",
)
@click.option(
    "parent_topic", "-l", "--lmqParentTopic", help="Parent topic, whose route leads to a light queue."
)
async def print_msg(
    context: AdminContext,
    topic: str,
    charset: str,
    expression: str,
    begin_ms: int | None,
    end_ms: int | None,
    print_body: bool,
    parent_topic: str | None,
) -> None:
    """With --json each message is one line."""
    puller = context.admin.puller()
    queues = await puller.queues(topic.strip(), route_topic=parent_topic)
    with context.progress("printing queues") as tell:
        for number, queue in enumerate(queues):
            begin = await puller.min_offset(queue, route_topic=parent_topic)
            end = await puller.max_offset(queue, route_topic=parent_topic)
            if begin_ms is not None:
                begin = await puller.search_offset(queue, begin_ms, route_topic=parent_topic)
            if end_ms is not None:
                end = await puller.search_offset(queue, end_ms, route_topic=parent_topic)
            context.out.line(f"minOffset={begin}, maxOffset={end}, {queue_text(queue)}")
            offset = begin
            while offset < end:
                tell(number + (offset - begin) / (end - begin), len(queues))
                result = await puller.pull(
                    queue,
                    offset,
                    min(_PULL_SIZE, end - offset),
                    expression=expression.strip(),
                    route_topic=parent_topic,
                )
                _print_messages(context, queue, result, charset if print_body else None)
                if result.status in (PullStatus.NO_NEW_MSG, PullStatus.OFFSET_ILLEGAL):
                    break
                if result.next_begin_offset <= offset:
                    raise CommandFailed(
                        f"{queue.broker_name} does not get past offset {offset} of {queue_text(queue)}"
                    )
                offset = result.next_begin_offset
            context.out.line(_SEPARATOR)


def _print_messages(
    context: AdminContext, queue: MessageQueue, result: PullResult, charset: str | None
) -> None:
    """The messages of one pull, and why there are none; with None for the charset, without bodies."""
    for message in result.messages:
        text = "NOT PRINT BODY" if charset is None else decode_text(plain_body(message), charset)
        context.out.line(message_line(message, queue.broker_name, text))
        context.out.record(message_value(message, with_body=charset is not None, charset=charset or "utf-8"))
    said = f"status={result.status.name}, offset={result.next_begin_offset}"
    if result.status is PullStatus.NO_MATCHED_MSG:
        context.out.line(f"{queue_text(queue)} no matched msg. {said}")
    if result.status in (PullStatus.NO_NEW_MSG, PullStatus.OFFSET_ILLEGAL):
        context.out.line(f"{queue_text(queue)} print msg finished. {said}")


@admin_command("consumeMessage")
@click.option("topic", "-t", "--topic", required=True, help="Topic to read.")
@click.option("broker_name", "-b", "--brokerName", help="Only this broker's queue -i.")
@click.option("queue_id", "-i", "--queueId", type=click.IntRange(0), help="Number of the queue, with -b.")
@click.option("offset", "-o", "--offset", type=click.IntRange(0), help="Offset to begin at, with -i.")
@click.option(
    "group",
    "-g",
    "--consumerGroup",
    default=TOOLS_CONSUMER_GROUP,
    show_default=True,
    help="Group to read as.",
)
@click.option(
    "begin_ms", "-s", "--beginTimestamp", type=_timestamp, help=f"Stored at this time or later, {_TIME_HELP}"
)
@click.option(
    "end_ms", "-e", "--endTimestamp", type=_timestamp, help=f"Stored before this time, {_TIME_HELP}"
)
@click.option(
    "count",
    "-c",
    "--MessageNumber",
    type=click.IntRange(1),
    default=128,
    show_default=True,
    help="At most so many messages.",
)
async def consume_message(
    context: AdminContext,
    topic: str,
    broker_name: str | None,
    queue_id: int | None,
    offset: int | None,
    group: str,
    begin_ms: int | None,
    end_ms: int | None,
    count: int,
) -> None:
    """Offsets of the group are not changed. With --json each message is one line."""
    now_ms = time.time_ns() // 1_000_000
    if queue_id is not None and broker_name is None:
        raise click.UsageError("Please set the brokerName before queueId!")
    if offset is not None and queue_id is None:
        raise click.UsageError("Please set queueId before offset!")
    if (begin_ms or 0) > now_ms:
        raise click.UsageError("Please set the beginTimestamp before now!")
    if (end_ms or 0) > now_ms:
        raise click.UsageError("Please set the endTimestamp before now!")
    if begin_ms is not None and end_ms is not None and begin_ms > end_ms:
        raise click.UsageError("The beginTimestamp must not be later than the endTimestamp.")
    puller = context.admin.puller(group.strip())
    queues = await puller.queues(topic.strip())
    if broker_name is not None:
        queues = [
            queue
            for queue in queues
            if queue.broker_name == broker_name.strip() and queue_id in (None, queue.queue_id)
        ]
        if not queues:
            raise CommandFailed(f"broker {broker_name.strip()} has no such queue of topic {topic.strip()}")
    left = count
    for queue in context.walk(queues, "reading queues"):
        if left == 0:
            break
        left -= await _consume_queue(context, puller, queue, offset, begin_ms, end_ms, left)


async def _consume_queue(
    context: AdminContext,
    puller: Puller,
    queue: MessageQueue,
    offset: int | None,
    begin_ms: int | None,
    end_ms: int | None,
    limit: int,
) -> int:
    """Prints at most `limit` messages of a queue; returns how many."""
    begin = await puller.min_offset(queue)
    end = await puller.max_offset(queue)
    if begin_ms is not None:
        begin = await puller.search_offset(queue, begin_ms)
    if end_ms is not None:
        end = await puller.search_offset(queue, end_ms)
    if offset is not None:
        if offset > end:
            context.out.line(f"{queue_text(queue)} no matched msg, offset={offset}")
            return 0
        begin = max(begin, offset)
    if end - begin > limit:
        context.out.line(f"The older {limit} message of the {queue.queue_id} queue will be provided")
    shown = 0
    position = begin
    while shown < limit and (end_ms is None or position < end):
        result = await puller.pull(queue, position, min(_PULL_SIZE, limit - shown))
        previous, position = position, result.next_begin_offset
        match result.status:
            case PullStatus.FOUND:
                context.out.line("Consume ok")
                for message in result.messages:
                    text = decode_text(plain_body(message), "utf-8")
                    context.out.line(message_line(message, queue.broker_name, text))
                    context.out.record(message_value(message))
                shown += len(result.messages)
            case PullStatus.NO_MATCHED_MSG:
                context.out.line(
                    f"{queue_text(queue)} no matched msg. status={result.status.name}, offset={position}"
                )
            case PullStatus.NO_NEW_MSG | PullStatus.OFFSET_ILLEGAL:
                context.out.line(
                    f"{queue_text(queue)} print msg finished. status={result.status.name}, offset={position}"
                )
                break
        if position <= previous:
            break
    return shown


COMMANDS = {"printMsg": print_msg, "sendMessage": send_message, "consumeMessage": consume_message}
