"""Messages as applications see them: what a producer sends, and the body of what a consumer got."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import attrs

from client.errors import ClientError
from remoting.protocol.message import (
    COMPRESSED_FLAG,
    COMPRESSION_LZ4_TYPE,
    COMPRESSION_TYPE_MASK,
    COMPRESSION_ZLIB_TYPE,
    COMPRESSION_ZSTD_TYPE,
    KEY_SEPARATOR,
    PROPERTY_DELAY_TIME_LEVEL,
    PROPERTY_KEYS,
    PROPERTY_TAGS,
    PROPERTY_UNIQ_CLIENT_MESSAGE_ID_KEYIDX,
    PROPERTY_WAIT_STORE_MSG_OK,
    topic_fault,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from remoting.protocol.message import MessageExt

__all__ = ["MAX_BODY_BYTES", "Message", "compressed_body", "message_id", "plain_body"]

MAX_BODY_BYTES = 4 * 1024 * 1024
_COMPRESSION_LEVEL = 5
_MAX_PLAIN_BYTES = 64 * 1024 * 1024


@attrs.frozen(kw_only=True)
class Message:
    """A message to send.

    Attributes:
        topic: Name of 1 to 127 characters out of letters, digits, `%`, `|`, `_` and `-`.
        body: 0 to 4 MiB.
        tags: What consumers filter by, or None.
        keys: Keys to find it by later; no spaces inside one.
        delay_level: 1 to 18 to have it delivered later (1 s … 2 h), 0 for at once.
        flag: A number of the application's own, carried along.
        wait_store_ok: Whether the answer waits for what the broker promises (flush, replication).
        properties: Further properties; names of the protocol win over them.
    """

    topic: str = attrs.field()
    body: bytes = attrs.field()
    tags: str | None = None
    keys: tuple[str, ...] = ()
    delay_level: int = 0
    flag: int = 0
    wait_store_ok: bool = True
    properties: Mapping[str, str] = attrs.field(factory=dict)

    @topic.validator
    def _check_topic(self, attribute: object, topic: str) -> None:
        fault = topic_fault(topic)
        if fault is not None:
            raise ClientError(fault)

    @body.validator
    def _check_body(self, attribute: object, body: bytes) -> None:
        if len(body) > MAX_BODY_BYTES:
            raise ClientError(f"the body has {len(body)} bytes, {MAX_BODY_BYTES} are allowed")

    def wire_properties(self, unique_id: str) -> dict[str, str]:
        """The properties as they travel. An id that the message brings along (a message sent again) stays."""
        properties = dict(self.properties)
        properties.setdefault(PROPERTY_UNIQ_CLIENT_MESSAGE_ID_KEYIDX, unique_id)
        properties[PROPERTY_WAIT_STORE_MSG_OK] = "true" if self.wait_store_ok else "false"
        if self.tags:
            properties[PROPERTY_TAGS] = self.tags
        if self.keys:
            properties[PROPERTY_KEYS] = KEY_SEPARATOR.join(self.keys)
        if self.delay_level:
            properties[PROPERTY_DELAY_TIME_LEVEL] = str(self.delay_level)
        return properties


def compressed_body(body: bytes) -> tuple[bytes, int]:
    """The zlib form of a body and the sysFlag bits that say so."""
    return zlib.compress(body, _COMPRESSION_LEVEL), COMPRESSED_FLAG | COMPRESSION_ZLIB_TYPE


def plain_body(message: MessageExt) -> bytes:
    """The body as the application sent it.

    Raises:
        ClientError: It is compressed with LZ4 or ZSTD, which this client does not know, it is damaged, or it
            would have more than 64 MiB.
    """
    if not message.sys_flag & COMPRESSED_FLAG:
        return message.body
    kind = message.sys_flag & COMPRESSION_TYPE_MASK
    if kind in (COMPRESSION_LZ4_TYPE, COMPRESSION_ZSTD_TYPE):
        name = "LZ4" if kind == COMPRESSION_LZ4_TYPE else "ZSTD"
        raise ClientError(f"message {message.msg_id} is compressed with {name}, which is not supported")
    decompressor = zlib.decompressobj()
    try:
        body = decompressor.decompress(message.body, _MAX_PLAIN_BYTES)
    except zlib.error as fault:
        raise ClientError(f"message {message.msg_id} has a damaged body: {fault}") from fault
    if not decompressor.eof:
        raise ClientError(
            f"message {message.msg_id} has a body that is torn or above {_MAX_PLAIN_BYTES} bytes"
        )
    return body


def message_id(message: MessageExt) -> str:
    """What users know a message by: its producer's id, or the offset id when it has none."""
    return message.properties.get(PROPERTY_UNIQ_CLIENT_MESSAGE_ID_KEYIDX, message.msg_id)
