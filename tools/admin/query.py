"""`queryMsgById`, `queryMsgByKey`, `queryMsgByUniqueKey`, `queryMsgByOffset`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from client import routing
from client.errors import ClientError, NotFound
from client.message import Message, message_id, plain_body
from client.message_query import LONG_MAX, KeyKind, track_message
from remoting.errors import RemotingError
from remoting.protocol.body import MessageQueue
from remoting.protocol.message import PROPERTY_WAIT_STORE_MSG_OK
from tools.admin.command import AdminContext, CommandFailed, admin_command, java_boolean
from tools.admin.java_text import to_string
from tools.admin.message_text import (
    decode_text,
    detail_lines,
    message_value,
    queue_text,
    save_body,
    track_text,
)
from tools.admin.output import Table

if TYPE_CHECKING:
    from remoting.protocol.admin_body import ConsumeMessageDirectlyResult
    from remoting.protocol.message import MessageExt

__all__ = ["COMMANDS"]

_RESEND_GROUP = "ReSendMsgById"
_MS_PER_HOUR = 3_600_000
_FOUND = Table(
    ("#Message ID", "#QID", "#Offset", "#IndexKey"),
    "%-50s %4s %40s %-200s",
    "%-50s %4d %40d %-200s",
    numeric=frozenset({1, 2}),
)


async def _show(
    context: AdminContext,
    message: MessageExt,
    *,
    with_offset_id: bool = True,
    charset: str | None = None,
    index: int = 0,
) -> dict[str, Any]:
    """Prints a message, where its body is, and what consumer groups did with it; the same for JSON."""
    body_path = save_body(message, index)
    for line in detail_lines(message, with_offset_id=with_offset_id):
        context.out.line(line)
    context.out.line(f"{'Message Body Path:':<20} {body_path}")
    if charset is not None:
        context.out.line(f"{'Message Body:':<20} {decode_text(plain_body(message), charset)}")
    context.out.line()
    context.out.line()
    value = message_value(message, charset=charset or "utf-8") | {"bodyPath": str(body_path)}
    try:
        tracks = await track_message(context.admin, message)
    except (ClientError, RemotingError) as fault:
        context.failed(f"the consumer groups of message {message_id(message)} cannot be had: {fault}")
        return value
    for track in tracks:
        context.out.line(track_text(track))
    if not tracks:
        context.out.line("WARN: No Consumer")
    value["tracks"] = [
        {"consumerGroup": each.consumer_group, "trackType": each.track_type.value, "reason": each.reason}
        for each in tracks
    ]
    return value


def _consumed_text(result: ConsumeMessageDirectlyResult) -> str:
    fields = {
        "order": result.order,
        "autoCommit": result.auto_commit,
        "consumeResult": result.consume_result,
        "remark": result.remark,
        "spentTimeMills": result.spent_time_mills,
    }
    return to_string("ConsumeMessageDirectlyResult ", fields, brackets="[]")


async def _consume(
    context: AdminContext, group: str, client_id: str, topic: str, id_text: str, cluster: str | None
) -> dict[str, Any]:
    """Has one online push consumer consume a message now."""
    info = await context.admin.consumer_running_info(group, client_id)
    if info.properties.get("PROP_CONSUME_TYPE") != "CONSUME_PASSIVELY":
        raise CommandFailed(f"client {client_id} is no push consumer, only those can be given a message")
    message = await context.admin.messages.by_any_id(topic, id_text, cluster)
    route = await context.admin.route(topic)
    address = f"{message.store_host[0]}:{message.store_host[1]}"
    holder = next(
        (broker for broker in route.broker_datas if address in broker.broker_addrs.values()),
        route.broker_datas[0],
    )
    result = await context.admin.consume_directly(
        group,
        client_id,
        topic,
        holder.broker_addrs[min(holder.broker_addrs)],
        routing.name_of(holder),
        message.msg_id,
    )
    context.out.line(_consumed_text(result))
    return {"msgId": id_text, "consumeResult": result.consume_result, "remark": result.remark}


async def _resend(context: AdminContext, topic: str, id_text: str, cluster: str | None) -> dict[str, Any]:
    """Sends a message once more, with the properties it has."""
    message = await context.admin.messages.by_any_id(topic, id_text, cluster)
    again = Message(
        topic=message.topic,
        body=plain_body(message),
        flag=message.flag,
        properties=message.properties,
        wait_store_ok=message.properties.get(PROPERTY_WAIT_STORE_MSG_OK, "true") == "true",
    )
    context.out.line(f"prepare resend msg. originalMsgId={id_text}")
    result = await context.admin.producer(_RESEND_GROUP).send(again)
    context.out.line(
        f"SendResult [sendStatus={result.status.name}, msgId={result.message_id}, "
        f"offsetMsgId={result.offset_message_id}, messageQueue={queue_text(result.queue)}, "
        f"queueOffset={result.queue_offset}, recallHandle=null]"
    )
    return {"msgId": id_text, "sendStatus": result.status.name, "offsetMsgId": result.offset_message_id}


@admin_command("queryMsgById")
@click.option("topic", "-t", "--topic", required=True, help="Topic of the messages.")
@click.option(
    "ids", "-i", "--msgId", required=True, help="Ids, joined by commas; the broker's or the producer's."
)
@click.option("group", "-g", "--consumerGroup", help="With -d: have this group's consumer consume them.")
@click.option("client_id", "-d", "--clientId", help="With -g: the consumer.")
@click.option(
    "resend",
    "-s",
    "--sendMessage",
    type=java_boolean,
    default=False,
    help="Send them again. [default: false]",
)
@click.option("unit_name", "-u", "--unitName", help="With -s: unit of the sender; accepted, has no effect.")
@click.option("charset", "-f", "--bodyFormat", help="Print the body too, in this charset.")
@click.option(
    "cluster", "-c", "--cluster", help="Cluster, or parent topic, whose route leads to a light queue."
)
async def query_msg_by_id(
    context: AdminContext,
    topic: str,
    ids: str,
    group: str | None,
    client_id: str | None,
    resend: bool,
    unit_name: str | None,
    charset: str | None,
    cluster: str | None,
) -> None:
    del unit_name
    topic = topic.strip()
    values = []
    wanted = [part.strip() for part in ids.split(",") if part.strip()]
    for id_text in context.walk(wanted, "looking for messages"):
        try:
            if group and client_id:
                value = await _consume(context, group.strip(), client_id.strip(), topic, id_text, cluster)
            elif resend:
                value = await _resend(context, topic, id_text, cluster)
            else:
                message = await context.admin.messages.by_any_id(topic, id_text, cluster)
                value = await _show(context, message, charset=charset)
        except (ClientError, CommandFailed, RemotingError) as fault:
            context.failed(f"queryMsgById: {fault}")
        else:
            values.append(value)
    context.out.value(values)


@admin_command("queryMsgByUniqueKey")
@click.option("topic", "-t", "--topic", required=True, help="Topic of the message.")
@click.option("id_text", "-i", "--msgId", required=True, help="The producer's id.")
@click.option("group", "-g", "--consumerGroup", help="With -d: have this group's consumer consume it.")
@click.option("client_id", "-d", "--clientId", help="With -g: the consumer.")
@click.option("show_all", "-a", "--showAll", is_flag=True, help="Show all messages with that id, at most 32.")
@click.option(
    "cluster", "-c", "--cluster", help="Cluster, or parent topic, whose route leads to a light queue."
)
@click.option("begin_ms", "-s", "--startTime", type=int, default=0, help="Stored at this time or later (ms).")
@click.option(
    "end_ms", "-e", "--endTime", type=int, default=LONG_MAX, help="Stored at this time or earlier (ms)."
)
async def query_msg_by_unique_key(
    context: AdminContext,
    topic: str,
    id_text: str,
    group: str | None,
    client_id: str | None,
    show_all: bool,
    cluster: str | None,
    begin_ms: int,
    end_ms: int,
) -> None:
    topic, id_text = topic.strip(), id_text.strip()
    if group and client_id:
        value = await _consume(context, group.strip(), client_id.strip(), topic, id_text, cluster)
        context.out.value(value)
        return
    with context.progress("asking brokers") as tell:
        found = await context.admin.messages.by_unique_key(
            topic, id_text, cluster=cluster, begin_ms=begin_ms, end_ms=end_ms, tell=tell
        )
    shown = found if show_all else found[:1]
    context.out.value(
        [
            await _show(context, message, with_offset_id=False, index=index)
            for index, message in enumerate(shown)
        ]
    )


def _index_key(message: MessageExt, kind: KeyKind, key: str) -> str:
    """What 5.5 brokers call the message's place in their key index; `-l` goes on behind it."""
    hour = message.store_timestamp - message.store_timestamp % _MS_PER_HOUR
    return f"{hour}@{message.topic}@{kind.value}@{key}@{message_id(message)}@{message.commit_log_offset}"


@admin_command("queryMsgByKey")
@click.option("topic", "-t", "--topic", required=True, help="Topic of the messages.")
@click.option("key", "-k", "--msgKey", required=True, help="One of their keys.")
@click.option(
    "begin_ms",
    "-b",
    "--beginTimestamp",
    type=int,
    default=0,
    show_default=True,
    help="Stored at this time or later (ms).",
)
@click.option(
    "end_ms", "-e", "--endTimestamp", type=int, default=LONG_MAX, help="Stored at this time or earlier (ms)."
)
@click.option(
    "max_messages",
    "-m",
    "--maxNum",
    type=click.IntRange(1),
    default=64,
    show_default=True,
    help="At most so many of each broker.",
)
@click.option(
    "kind",
    "-p",
    "--keyType",
    type=click.Choice([each.value for each in KeyKind]),
    help="K for keys, T for tags (brokers from 5.5 on).",
)
@click.option("last_key", "-l", "--lastKey", help="Go on behind this index key (brokers from 5.5 on).")
@click.option(
    "cluster", "-c", "--cluster", help="Cluster, or parent topic, whose route leads to a light queue."
)
async def query_msg_by_key(
    context: AdminContext,
    topic: str,
    key: str,
    begin_ms: int,
    end_ms: int,
    max_messages: int,
    kind: str | None,
    last_key: str | None,
    cluster: str | None,
) -> None:
    with context.progress("asking brokers") as tell:
        found = await context.admin.messages.by_key(
            topic.strip(),
            key.strip(),
            cluster=cluster,
            max_messages=max_messages,
            begin_ms=begin_ms,
            end_ms=end_ms,
            kind=KeyKind(kind) if kind else None,
            last_key=last_key,
            tell=tell,
        )
    shown_kind = KeyKind(kind) if kind else KeyKind.KEYS
    rows = [
        (message_id(each), each.queue_id, each.queue_offset, _index_key(each, shown_kind, key.strip()))
        for each in found
    ]
    context.out.table(_FOUND, rows)
    context.out.value([message_value(each) for each in found])


@admin_command("queryMsgByOffset")
@click.option("topic", "-t", "--topic", required=True, help="Topic of the message.")
@click.option("broker_name", "-b", "--brokerName", required=True, help="Name of the broker.")
@click.option(
    "queue_id", "-i", "--queueId", type=click.IntRange(0), required=True, help="Number of the queue."
)
@click.option("offset", "-o", "--offset", type=click.IntRange(0), required=True, help="Offset in the queue.")
@click.option("charset", "-f", "--bodyFormat", help="Print the body too, in this charset.")
@click.option("route_topic", "-r", "--routeTopic", help="Topic whose route leads to the broker.")
async def query_msg_by_offset(
    context: AdminContext,
    topic: str,
    broker_name: str,
    queue_id: int,
    offset: int,
    charset: str | None,
    route_topic: str | None,
) -> None:
    queue = MessageQueue(topic.strip(), broker_name.strip(), queue_id)
    result = await context.admin.puller().pull(queue, offset, 1, route_topic=route_topic)
    if not result.messages:
        raise NotFound(
            f"queue {queue_id} of topic {queue.topic} on {queue.broker_name} has no message at {offset} "
            f"(it has {result.min_offset} to {result.max_offset - 1}; {result.status.name})"
        )
    context.out.value(await _show(context, result.messages[0], charset=charset))


COMMANDS = {
    "queryMsgById": query_msg_by_id,
    "queryMsgByKey": query_msg_by_key,
    "queryMsgByUniqueKey": query_msg_by_unique_key,
    "queryMsgByOffset": query_msg_by_offset,
}
