"""Bytes of one message as it lies in the commit log and travels in a pull answer.

| off | len     | field | | off | len     | field |
|-----|---------|-------|-|-----|---------|-------|
| 0   | 4       | total size | | 56* | 8   | store timestamp, ms |
| 4   | 4       | magic (V1, V2, blank) | | 64* | 8 or 20 | store host: ip, port int32 |
| 8   | 4       | CRC32 of the body, 31 bits | | 72* | 4 | reconsume times |
| 12  | 4       | queue id | | 76* | 8 | prepared transaction offset |
| 16  | 4       | flag | | 84* | 4 + n | body |
| 20  | 8       | queue offset | | …   | 1 (V1) or 2 (V2) + n | topic |
| 28  | 8       | physical offset | | …   | 2 + n | properties |
| 36  | 4       | system flag | |     |     | |
| 40  | 8       | born timestamp, ms | |     |     | * with IPv4 hosts |
| 48  | 8 or 20 | born host: ip, port int32 | |     |     | |

Integers are big-endian. V2 is used when the topic is longer than 127 bytes.
Source: Java's ``MessageExtEncoder`` and ``CommitLog.checkMessageAndReturnSize``.
"""

from __future__ import annotations

import struct
from zlib import crc32

from remoting.protocol.message import BORNHOST_V6_FLAG, STOREHOSTADDRESS_V6_FLAG

MAGIC_V1 = 0xDAA320A7
MAGIC_V2 = 0xDAA320AB
MAGIC_BLANK = 0xCBD43194
BLANK_BYTES = 8
_HOLE = bytes(16)
"""Room that every append leaves at the end of a file for the blank record."""

V1_MAX_TOPIC_BYTES = 127
MAX_TOPIC_BYTES = 255

HEAD = struct.Struct(">IIIiiqqiq8sq8siqi")
"""Everything before the body, for two IPv4 hosts: the common case and the hot one."""

HEAD_BYTES = HEAD.size
FIXED_BYTES = HEAD_BYTES + 2
"""Bytes beside body, topic (with its length) and properties, for two IPv4 hosts."""

BLANK = struct.Struct(">II")
_HEADS: dict[tuple[int, int], struct.Struct] = {
    (born, store): struct.Struct(f">IIIiiqqiq{born}sq{store}siqi") for born in (8, 20) for store in (8, 20)
}
_PREFIX = struct.Struct(">IIIiiqqiq")
_SIZE_MAGIC = struct.Struct(">II")


def topic_block(topic: str) -> tuple[bytes, int]:
    """The topic with its length in front, and the magic that this length asks for.

    Raises:
        ValueError: longer than 255 bytes, or empty.
    """
    data = topic.encode()
    if not 0 < len(data) <= MAX_TOPIC_BYTES:
        raise ValueError(f"topic of {len(data)} bytes")
    if len(data) > V1_MAX_TOPIC_BYTES:
        return len(data).to_bytes(2, "big") + data, MAGIC_V2
    return bytes((len(data),)) + data, MAGIC_V1


def encode_head(
    *,
    total_size: int,
    magic: int,
    crc: int,
    queue_id: int,
    flag: int,
    queue_offset: int,
    physical_offset: int,
    sys_flag: int,
    born_timestamp: int,
    born_host: bytes,
    store_timestamp: int,
    store_host: bytes,
    reconsume_times: int,
    prepared_transaction_offset: int,
    body_length: int,
) -> bytes:
    """The bytes before the body, for any mix of host families (the flags must fit the hosts)."""
    return _HEADS[len(born_host), len(store_host)].pack(
        total_size, magic, crc, queue_id, flag, queue_offset, physical_offset, sys_flag,
        born_timestamp, born_host, store_timestamp, store_host, reconsume_times,
        prepared_transaction_offset, body_length,
    )  # fmt: skip


def store_timestamp_position(sys_flag: int) -> int:
    """Where the store timestamp lies in a message with this system flag."""
    return 68 if sys_flag & BORNHOST_V6_FLAG else 56


STORE_TIMESTAMP_PREFIX_BYTES = 76
"""Enough leading bytes of any message to read its store timestamp."""


def read_store_timestamp(prefix: bytes | memoryview) -> int:
    """Store timestamp from the first 76 bytes of a message."""
    (sys_flag,) = struct.unpack_from(">i", prefix, 36)
    (timestamp,) = struct.unpack_from(">q", prefix, store_timestamp_position(sys_flag))
    return int(timestamp)


class StoredMessage:
    """What recovery and dispatch need to know of a message in the log.

    Attributes:
        properties: The property text as it is stored, ``key\\x01value\\x02``….
    """

    __slots__ = (
        "physical_offset", "properties", "queue_id", "queue_offset", "size", "store_timestamp",
        "sys_flag", "topic",
    )  # fmt: skip

    def __init__(
        self,
        topic: str,
        queue_id: int,
        queue_offset: int,
        physical_offset: int,
        size: int,
        sys_flag: int,
        store_timestamp: int,
        properties: bytes,
    ) -> None:
        self.topic = topic
        self.queue_id = queue_id
        self.queue_offset = queue_offset
        self.physical_offset = physical_offset
        self.size = size
        self.sys_flag = sys_flag
        self.store_timestamp = store_timestamp
        self.properties = properties

    def __repr__(self) -> str:
        return (
            f"<StoredMessage {self.topic!r}-{self.queue_id}@{self.queue_offset} "
            f"physical={self.physical_offset} size={self.size}>"
        )


def frame_of(data: bytes | memoryview, position: int) -> tuple[int, int]:
    """Total size and magic of the record at `position` (8 bytes must be there)."""
    size, magic = _SIZE_MAGIC.unpack_from(data, position)
    return size, magic


def looks_torn(properties: bytes) -> bool:
    """Whether properties end with a zero or have a hole, as after a loss of power; none are stored so."""
    return properties[-1:] == b"\0" or _HOLE in properties


def parse_message(
    data: bytes | memoryview, position: int, physical_offset: int, *, check_crc: bool = True
) -> StoredMessage | None:
    """Validate the whole message that begins at `position` and take out what dispatch needs.

    Every length must add up to the total size, the physical offset inside must be
    `physical_offset`, and with `check_crc` the body must match its CRC. The CRC does not
    cover topic and properties; a zero in the topic, and what `looks_torn` says of the properties, is
    the mark of a torn write.

    Returns:
        None when any of that fails: what is there is not a message.
    """
    if len(data) - position < FIXED_BYTES:
        return None
    prefix: tuple[int, int, int, int, int, int, int, int, int] = _PREFIX.unpack_from(data, position)
    total, magic, crc, queue_id, _flag, queue_offset, physical, sys_flag, _born = prefix
    end = position + total
    if (magic != MAGIC_V1 and magic != MAGIC_V2) or physical != physical_offset or end > len(data):
        return None
    at = position + (68 if sys_flag & BORNHOST_V6_FLAG else 56)
    body_at = at + 8 + (20 if sys_flag & STOREHOSTADDRESS_V6_FLAG else 8) + 12 + 4
    if body_at > end:
        return None
    store_timestamp = int.from_bytes(data[at : at + 8], "big", signed=True)
    body_length = int.from_bytes(data[body_at - 4 : body_at], "big", signed=True)
    topic_at = body_at + body_length
    length_bytes = 1 if magic == MAGIC_V1 else 2
    if body_length < 0 or topic_at + length_bytes > end:
        return None
    if check_crc and body_length and crc32(data[body_at:topic_at]) & 0x7FFFFFFF != crc:
        return None
    properties_at = topic_at + length_bytes
    topic_end = properties_at + int.from_bytes(data[topic_at:properties_at], "big")
    if topic_end + 2 > end:
        return None
    properties_length = int.from_bytes(data[topic_end : topic_end + 2], "big", signed=True)
    if properties_length < 0 or topic_end + 2 + properties_length != end:
        return None
    properties = bytes(data[topic_end + 2 : end])
    if looks_torn(properties):
        return None
    try:
        topic = str(data[properties_at:topic_end], "utf-8")
    except UnicodeDecodeError:
        return None
    if not topic or "/" in topic or "\0" in topic or topic in (".", ".."):
        return None
    return StoredMessage(
        topic, queue_id, queue_offset, physical, total, sys_flag, store_timestamp,
        properties,
    )  # fmt: skip


def property_mark(name: str) -> bytes:
    """What `property_value` looks for: the name between the separators."""
    return f"\x02{name}\x01".encode()


def property_value(properties: bytes, mark: bytes) -> bytes | None:
    """Value of the property with this `property_mark` in a stored property text; None when absent."""
    found = properties.rfind(mark)
    if found >= 0:
        start = found + len(mark)
    elif properties.startswith(mark[1:]):
        start = len(mark) - 1
    else:
        return None
    end = properties.find(b"\x02", start)
    return properties[start:] if end < 0 else properties[start:end]
