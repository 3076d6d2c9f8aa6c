"""One message as text and as JSON, and its body as a file."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from client.message import message_id, plain_body
from remoting.protocol.message import PROPERTY_KEYS, PROPERTY_TAGS
from tools.admin.command import CommandFailed
from tools.admin.java_text import map_text, milliseconds_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from client import MessageTrack
    from remoting.protocol.body import MessageQueue
    from remoting.protocol.message import MessageExt

__all__ = [
    "decode_text",
    "detail_lines",
    "message_line",
    "message_value",
    "queue_text",
    "save_body",
    "track_text",
]

_FILE_NAME = re.compile(r"[0-9A-Za-z_-]{1,128}")


def queue_text(queue: MessageQueue) -> str:
    return f"MessageQueue [topic={queue.topic}, brokerName={queue.broker_name}, queueId={queue.queue_id}]"


def _host(host: tuple[str, int]) -> str:
    return f"{host[0]}:{host[1]}"


def decode_text(body: bytes, charset: str) -> str:
    """A body as text, with a replacement character for what is not of that charset.

    Raises:
        CommandFailed: There is no such charset.
    """
    try:
        return body.decode(charset, "replace")
    except LookupError as fault:
        raise CommandFailed(f"there is no charset {charset}") from fault


def message_line(message: MessageExt, broker_name: str, body_text: str) -> str:
    """The line of `printMsg` and `consumeMessage` (Java: `MessageExt.toString`)."""
    signed = ", ".join(str(byte - 256 if byte > 127 else byte) for byte in plain_body(message))
    inner = (
        f"Message{{topic='{message.topic}', flag={message.flag}, properties={map_text(message.properties)}, "
        f"body=[{signed}], transactionId='null'}}"
    )
    return (
        f"MSGID: {message_id(message)} MessageExt [brokerName={broker_name}, queueId={message.queue_id}, "
        f"storeSize={message.store_size}, queueOffset={message.queue_offset}, sysFlag={message.sys_flag}, "
        f"bornTimestamp={message.born_timestamp}, bornHost=/{_host(message.born_host)}, "
        f"storeTimestamp={message.store_timestamp}, storeHost=/{_host(message.store_host)}, "
        f"msgId={message.msg_id}, commitLogOffset={message.commit_log_offset}, bodyCRC={message.body_crc}, "
        f"reconsumeTimes={message.reconsume_times}, "
        f"preparedTransactionOffset={message.prepared_transaction_offset}, toString()={inner}] "
        f"BODY: {body_text}"
    )


def detail_lines(message: MessageExt, *, with_offset_id: bool) -> Iterator[str]:
    """The lines of `queryMsgById` and its kin, up to the properties."""
    fields: list[tuple[str, object]] = [
        ("OffsetID:", message.msg_id),
        ("Topic:", message.topic),
        ("Tags:", f"[{message.properties.get(PROPERTY_TAGS, 'null')}]"),
        ("Keys:", f"[{message.properties.get(PROPERTY_KEYS, 'null')}]"),
        ("Queue ID:", message.queue_id),
        ("Queue Offset:", message.queue_offset),
        ("CommitLog Offset:", message.commit_log_offset),
        ("Reconsume Times:", message.reconsume_times),
        ("Born Timestamp:", milliseconds_text(message.born_timestamp)),
        ("Store Timestamp:", milliseconds_text(message.store_timestamp)),
        ("Born Host:", _host(message.born_host)),
        ("Store Host:", _host(message.store_host)),
        ("System Flag:", message.sys_flag),
        ("Properties:", map_text(message.properties)),
    ]
    for name, value in fields if with_offset_id else fields[1:]:
        yield f"{name:<20} {value}"


def message_value(message: MessageExt, *, with_body: bool = True, charset: str = "utf-8") -> dict[str, Any]:
    """A message for `--json`; a body that is not text of `charset` is given as `bodyBase64`."""
    value: dict[str, Any] = {
        "msgId": message_id(message),
        "offsetMsgId": message.msg_id,
        "topic": message.topic,
        "tags": message.properties.get(PROPERTY_TAGS),
        "keys": message.properties.get(PROPERTY_KEYS),
        "queueId": message.queue_id,
        "queueOffset": message.queue_offset,
        "commitLogOffset": message.commit_log_offset,
        "storeSize": message.store_size,
        "reconsumeTimes": message.reconsume_times,
        "bornTimestamp": message.born_timestamp,
        "storeTimestamp": message.store_timestamp,
        "bornHost": _host(message.born_host),
        "storeHost": _host(message.store_host),
        "sysFlag": message.sys_flag,
        "flag": message.flag,
        "properties": message.properties,
    }
    if with_body:
        body = plain_body(message)
        try:
            value["body"] = body.decode(charset)
        except (LookupError, UnicodeDecodeError):
            value["bodyBase64"] = base64.b64encode(body).decode("ascii")
    return value


def save_body(message: MessageExt, index: int = 0) -> Path:
    """Writes a body to `<temporary directory>/rocketmq/msgbodys/<message id>` and returns the path.

    The id comes with the message, from anybody: one that could be more than a file name is not used as one,
    and links that wait at the path are not followed.

    Raises:
        CommandFailed: It cannot be written.
    """
    name = message_id(message)
    if _FILE_NAME.fullmatch(name) is None:
        name = message.msg_id
    directory = Path(tempfile.gettempdir()) / "rocketmq" / "msgbodys"
    path = directory / (f"{name}_{index}" if index else name)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(plain_body(message))
    except OSError as fault:
        raise CommandFailed(f"the body cannot be written to {path}: {fault.strerror}") from fault
    return path


def track_text(track: MessageTrack) -> str:
    return (
        f"MessageTrack [consumerGroup={track.consumer_group}, trackType={track.track_type.value}, "
        f"exceptionDesc={track.reason or 'null'}]"
    )
