"""Trace records: what was sent, kept as messages of `RMQ_SYS_TRACE_TOPIC` that `queryMsgTraceById` reads.

Layout of Java's `TraceDataEncoder`: fields end with \\x01, records with \\x02.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from client.errors import NotFound
from client.message import Message
from client.producer import SendStatus
from remoting.protocol.message import DEFAULT_TRACE_REGION_ID, RMQ_SYS_TRACE_TOPIC

if TYPE_CHECKING:
    from client.admin import AdminClient
    from client.producer import SendResult

__all__ = ["publish_record", "trace_send"]

_FIELD_END, _RECORD_END = "\x01", "\x02"
_NORMAL, _DELAYED = 0, 3
_TRACE_GROUP = "_INNER_TRACE_PRODUCER"


def publish_record(
    group: str, message: Message, result: SendResult, *, store_host: str, sent_ms: int, took_ms: int
) -> str:
    """The record of one send.

    Args:
        store_host: `host:port` of the broker that has the message.
        sent_ms: When it was sent, milliseconds since 1970.
        took_ms: How long the broker took.
    """
    fields = (
        "Pub",
        sent_ms,
        DEFAULT_TRACE_REGION_ID,
        group,
        message.topic,
        result.message_id,
        message.tags or "",
        " ".join(message.keys),
        store_host,
        len(message.body),
        took_ms,
        _DELAYED if message.delay_level else _NORMAL,
        result.offset_message_id,
        "true" if result.status is SendStatus.SEND_OK else "false",
    )
    return _FIELD_END.join(str(field) for field in fields) + _RECORD_END


async def trace_send(
    admin: AdminClient, group: str, message: Message, result: SendResult, took_ms: int
) -> None:
    """Writes the record of a send.

    Raises:
        NotFound: The cluster keeps no traces (`traceTopicEnable` is off on its brokers).
    """
    store_host = await admin.routes.master_of_broker(message.topic, result.queue.broker_name)
    record = publish_record(
        group,
        message,
        result,
        store_host=store_host,
        sent_ms=time.time_ns() // 1_000_000 - took_ms,
        took_ms=took_ms,
    )
    try:
        await admin.routes.route(RMQ_SYS_TRACE_TOPIC)
    except NotFound:
        raise NotFound(f"no broker keeps traces: there is no topic {RMQ_SYS_TRACE_TOPIC}") from None
    await admin.producer(_TRACE_GROUP).send(
        Message(
            topic=RMQ_SYS_TRACE_TOPIC,
            body=record.encode(),
            keys=(result.message_id, *message.keys),
            wait_store_ok=False,
        )
    )
