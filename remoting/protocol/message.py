"""Messages as they travel and rest: properties, ids, hashes, flags, and the stored layout.

A pulled message is the stored message, byte for byte, so broker, store and clients share this module.
Java sources of the rules: `MessageDecoder`, `MessageConst`, `MessageSysFlag`, `String.hashCode`.

Stored layout, big-endian (`host` is 4 or 16 bytes of address and an int32 port, by the sysFlag bits):

    total size      int32
    magic           int32   V1 0xDAA320A7, V2 0xDAA320AB (two-byte topic length)
    body CRC        int32   CRC-32 of the body, lowest 31 bits
    queue id        int32
    flag            int32
    queue offset    int64
    physical offset int64
    sys flag        int32
    born timestamp  int64   ms
    born host       host
    store timestamp int64   ms
    store host      host
    reconsume times int32
    prepared transaction offset int64
    body            int32 length + bytes
    topic           int8 (V1) or int16 (V2) length + UTF-8
    properties      int16 length + UTF-8
"""

from __future__ import annotations

import ipaddress
import re
import struct
import zlib
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

import attrs

from remoting.errors import RemoteFault

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# Property names (Java: MessageConst).
PROPERTY_KEYS: Final = "KEYS"
PROPERTY_TAGS: Final = "TAGS"
PROPERTY_WAIT_STORE_MSG_OK: Final = "WAIT"
PROPERTY_DELAY_TIME_LEVEL: Final = "DELAY"
PROPERTY_RETRY_TOPIC: Final = "RETRY_TOPIC"
PROPERTY_REAL_TOPIC: Final = "REAL_TOPIC"
PROPERTY_REAL_QUEUE_ID: Final = "REAL_QID"
PROPERTY_TRANSACTION_PREPARED: Final = "TRAN_MSG"
PROPERTY_PRODUCER_GROUP: Final = "PGROUP"
PROPERTY_MIN_OFFSET: Final = "MIN_OFFSET"
PROPERTY_MAX_OFFSET: Final = "MAX_OFFSET"
PROPERTY_BUYER_ID: Final = "BUYER_ID"
PROPERTY_ORIGIN_MESSAGE_ID: Final = "ORIGIN_MESSAGE_ID"
PROPERTY_TRANSFER_FLAG: Final = "TRANSFER_FLAG"
PROPERTY_CORRECTION_FLAG: Final = "CORRECTION_FLAG"
PROPERTY_MQ2_FLAG: Final = "MQ2_FLAG"
PROPERTY_RECONSUME_TIME: Final = "RECONSUME_TIME"
PROPERTY_MSG_REGION: Final = "MSG_REGION"
PROPERTY_TRACE_SWITCH: Final = "TRACE_ON"
PROPERTY_UNIQ_CLIENT_MESSAGE_ID_KEYIDX: Final = "UNIQ_KEY"
PROPERTY_EXTEND_UNIQ_INFO: Final = "EXTEND_UNIQ_INFO"
PROPERTY_MAX_RECONSUME_TIMES: Final = "MAX_RECONSUME_TIMES"
PROPERTY_CONSUME_START_TIMESTAMP: Final = "CONSUME_START_TIME"
PROPERTY_INNER_NUM: Final = "INNER_NUM"
PROPERTY_INNER_BASE: Final = "INNER_BASE"
PROPERTY_CHECK_IMMUNITY_TIME_IN_SECONDS: Final = "CHECK_IMMUNITY_TIME_IN_SECONDS"
PROPERTY_TRANSACTION_PREPARED_QUEUE_OFFSET: Final = "TRAN_PREPARED_QUEUE_OFFSET"
PROPERTY_TRANSACTION_ID: Final = "__transactionId__"
PROPERTY_TRANSACTION_CHECK_TIMES: Final = "TRANSACTION_CHECK_TIMES"
PROPERTY_INSTANCE_ID: Final = "INSTANCE_ID"
PROPERTY_CORRELATION_ID: Final = "CORRELATION_ID"
PROPERTY_MESSAGE_REPLY_TO_CLIENT: Final = "REPLY_TO_CLIENT"
PROPERTY_MESSAGE_TTL: Final = "TTL"
PROPERTY_REPLY_MESSAGE_ARRIVE_TIME: Final = "ARRIVE_TIME"
PROPERTY_PUSH_REPLY_TIME: Final = "PUSH_REPLY_TIME"
PROPERTY_CLUSTER: Final = "CLUSTER"
PROPERTY_MESSAGE_TYPE: Final = "MSG_TYPE"
PROPERTY_POP_CK: Final = "POP_CK"
PROPERTY_POP_CK_OFFSET: Final = "POP_CK_OFFSET"
PROPERTY_FIRST_POP_TIME: Final = "1ST_POP_TIME"
PROPERTY_SHARDING_KEY: Final = "__SHARDINGKEY"
PROPERTY_REDIRECT: Final = "REDIRECT"
PROPERTY_INNER_MULTI_DISPATCH: Final = "INNER_MULTI_DISPATCH"
PROPERTY_INNER_MULTI_QUEUE_OFFSET: Final = "INNER_MULTI_QUEUE_OFFSET"
PROPERTY_TRACE_CONTEXT: Final = "TRACE_CONTEXT"
PROPERTY_BORN_HOST: Final = "__BORNHOST"
PROPERTY_BORN_TIMESTAMP: Final = "BORN_TIMESTAMP"
PROPERTY_TIMER_DELAY_SEC: Final = "TIMER_DELAY_SEC"
PROPERTY_TIMER_DELAY_MS: Final = "TIMER_DELAY_MS"
PROPERTY_TIMER_DELIVER_MS: Final = "TIMER_DELIVER_MS"
PROPERTY_TIMER_ENQUEUE_MS: Final = "TIMER_ENQUEUE_MS"
PROPERTY_TIMER_DEQUEUE_MS: Final = "TIMER_DEQUEUE_MS"
PROPERTY_TIMER_ROLL_TIMES: Final = "TIMER_ROLL_TIMES"
PROPERTY_TIMER_OUT_MS: Final = "TIMER_OUT_MS"
PROPERTY_TIMER_DEL_UNIQKEY: Final = "TIMER_DEL_UNIQKEY"
PROPERTY_TIMER_DELAY_LEVEL: Final = "TIMER_DELAY_LEVEL"
PROPERTY_CRC32: Final = "__CRC32#"
PROPERTY_DLQ_ORIGIN_TOPIC: Final = "DLQ_ORIGIN_TOPIC"
PROPERTY_DLQ_ORIGIN_MESSAGE_ID: Final = "DLQ_ORIGIN_MESSAGE_ID"
KEY_SEPARATOR: Final = " "

NAME_VALUE_SEPARATOR: Final = "\x01"
PROPERTY_SEPARATOR: Final = "\x02"
MAX_PROPERTIES_BYTES: Final = 32767

# sysFlag bits (Java: MessageSysFlag).
COMPRESSED_FLAG: Final = 0x1
MULTI_TAGS_FLAG: Final = 0x2
TRANSACTION_NOT_TYPE: Final = 0
TRANSACTION_PREPARED_TYPE: Final = 0x4
TRANSACTION_COMMIT_TYPE: Final = 0x8
TRANSACTION_ROLLBACK_TYPE: Final = 0xC
TRANSACTION_MASK: Final = 0xC
BORNHOST_V6_FLAG: Final = 0x10
STOREHOSTADDRESS_V6_FLAG: Final = 0x20
NEED_UNWRAP_FLAG: Final = 0x40
INNER_BATCH_FLAG: Final = 0x80
COMPRESSION_TYPE_MASK: Final = 0x700
COMPRESSION_LZ4_TYPE: Final = 0x100
COMPRESSION_ZSTD_TYPE: Final = 0x200
COMPRESSION_ZLIB_TYPE: Final = 0x300

MESSAGE_MAGIC_V1: Final = 0xDAA320A7 - (1 << 32)
MESSAGE_MAGIC_V2: Final = 0xDAA320AB - (1 << 32)
BLANK_MAGIC: Final = 0xCBD43194 - (1 << 32)
MAX_V1_TOPIC_BYTES: Final = 127

# Offsets of fixed fields in a stored message.
QUEUE_ID_POSITION: Final = 12
FLAG_POSITION: Final = 16
QUEUE_OFFSET_POSITION: Final = 20
PHYSICAL_OFFSET_POSITION: Final = 28
SYS_FLAG_POSITION: Final = 36
BORN_TIMESTAMP_POSITION: Final = 40
BORN_HOST_POSITION: Final = 48

_HEAD = struct.Struct(">iiIiiqqiq")
_TAIL = struct.Struct(">iq")
_INT16 = struct.Struct(">h")
_INT32 = struct.Struct(">i")
_INT64 = struct.Struct(">q")
_BATCH_ITEM = struct.Struct(">iiIii")
_BATCH_ITEM_LENGTH = struct.Struct(">12xii")  # flag and length of the body only
_new_tuple = tuple.__new__  # a third of what the constructor of a named tuple takes


def reset_transaction_value(sys_flag: int, transaction_type: int) -> int:
    """`sys_flag` with its transaction bits replaced."""
    return (sys_flag & ~TRANSACTION_MASK) | transaction_type


@lru_cache(maxsize=4096)
def java_string_hash(text: str) -> int:
    """Java's `String.hashCode()`: over UTF-16 code units, wrapping at int32."""
    value = 0
    for unit in memoryview(text.encode("utf-16-le", "surrogatepass")).cast("H"):
        value = (31 * value + unit) & 0xFFFFFFFF
    return value - (1 << 32) if value & 0x80000000 else value


def tags_code(tags: str | None) -> int:
    """The consume queue's filter code of a TAGS property, 0 without tags."""
    return java_string_hash(tags) if tags else 0


def body_crc(body: bytes | memoryview) -> int:
    """CRC-32 of the body as the message layout keeps it: the lowest 31 bits."""
    return zlib.crc32(body) & 0x7FFFFFFF


def encode_properties(properties: Mapping[str, str]) -> bytes:
    """`name \\x01 value \\x02` for each entry, in the mapping's order, UTF-8."""
    return "".join(
        [f"{name}{NAME_VALUE_SEPARATOR}{value}{PROPERTY_SEPARATOR}" for name, value in properties.items()]
    ).encode("utf-8", "replace")


def decode_properties(text: bytes | memoryview | str) -> dict[str, str]:
    """The entries of a property text; the last separator may be missing.

    As in Java an entry without a name, without a value or without the separator between them is skipped, and
    a name that comes twice keeps its last value.
    """
    if not isinstance(text, str):
        text = str(text, "utf-8", "replace")
    properties: dict[str, str] = {}
    for entry in text.split(PROPERTY_SEPARATOR):
        name, separator, value = entry.partition(NAME_VALUE_SEPARATOR)
        if separator and name and value:
            properties[name] = value
    return properties


def encode_host(host: str, port: int) -> bytes:
    """Packed address (4 or 16 bytes) and int32 port. `host` is an address, not a name.

    Raises:
        ValueError: `host` is not an IP address.
    """
    return ipaddress.ip_address(host.partition("%")[0]).packed + _INT32.pack(port)


def decode_host(packed: bytes | memoryview) -> tuple[str, int]:
    """The inverse of `encode_host`."""
    raw = bytes(packed)
    return str(ipaddress.ip_address(raw[:-4])), _INT32.unpack(raw[-4:])[0]


class MessageId(NamedTuple):
    """Where a message lies: the broker's store host and the commit log offset."""

    host: str
    port: int
    offset: int


def encode_message_id(store_host: bytes, physical_offset: int) -> str:
    """The offset message id: upper-case hex of packed store host and offset; 32 or 56 characters."""
    return (store_host + _INT64.pack(physical_offset)).hex().upper()


def decode_message_id(message_id: str) -> MessageId:
    """The inverse of `encode_message_id`.

    Raises:
        ValueError: not 32 or 56 hex digits.
    """
    if len(message_id) not in (32, 56):
        raise ValueError(f"a message id has 32 or 56 hex digits, not {len(message_id)}: {message_id!r}")
    raw = bytes.fromhex(message_id)
    if len(raw) * 2 != len(message_id):
        raise ValueError(f"not a message id: {message_id!r}")
    host, port = decode_host(raw[:-8])
    return MessageId(host, port, _INT64.unpack(raw[-8:])[0])


@attrs.frozen(kw_only=True)
class MessageExt:
    """A stored message, decoded. `body` is as stored: still compressed when sysFlag says so."""

    topic: str
    queue_id: int
    flag: int
    queue_offset: int
    commit_log_offset: int
    sys_flag: int
    born_timestamp: int
    born_host: tuple[str, int]
    store_timestamp: int
    store_host: tuple[str, int]
    reconsume_times: int
    prepared_transaction_offset: int
    body: bytes
    body_crc: int
    properties: dict[str, str]
    store_size: int
    msg_id: str
    """The offset message id."""


def decode_message(data: bytes | memoryview, position: int = 0, *, check_crc: bool = False) -> MessageExt:
    """One stored message that starts at `position`.

    Args:
        data: at least the whole message; more may follow.
        position: byte offset of its total size field.
        check_crc: compare the body with its CRC.

    Raises:
        RemoteFault: torn, blank, or otherwise not a message.
    """
    try:
        return _decode_message(memoryview(data), position, check_crc)
    except (struct.error, ValueError, UnicodeDecodeError) as error:
        raise RemoteFault(f"not a stored message at {position}: {error}") from error


def _decode_message(view: memoryview, position: int, check_crc: bool) -> MessageExt:
    (size, magic, crc, queue_id, flag, queue_offset, physical_offset, sys_flag, born_timestamp) = (
        _HEAD.unpack_from(view, position)
    )
    if magic not in (MESSAGE_MAGIC_V1, MESSAGE_MAGIC_V2):
        raise ValueError(f"magic {magic & 0xFFFFFFFF:#x}")
    if size < 0 or size > len(view) - position:
        raise ValueError(f"size {size} with {len(view) - position} bytes there")
    view = view[position : position + size]
    at = BORN_HOST_POSITION
    born_length = 20 if sys_flag & BORNHOST_V6_FLAG else 8
    born_host = view[at : at + born_length]
    at += born_length
    store_timestamp = _INT64.unpack_from(view, at)[0]
    at += 8
    store_length = 20 if sys_flag & STOREHOSTADDRESS_V6_FLAG else 8
    store_host = view[at : at + store_length]
    at += store_length
    reconsume_times, prepared_offset = _TAIL.unpack_from(view, at)
    at += 12
    body, at = _field(view, at, _INT32.unpack_from(view, at)[0], 4)
    if magic == MESSAGE_MAGIC_V1:
        topic, at = _field(view, at, view[at], 1)
    else:
        topic, at = _field(view, at, _INT16.unpack_from(view, at)[0], 2)
    properties, at = _field(view, at, _INT16.unpack_from(view, at)[0], 2)
    if check_crc and body_crc(body) != crc:
        raise ValueError(f"body CRC {body_crc(body):#x}, the header says {crc:#x}")
    return MessageExt(
        topic=str(topic, "utf-8"),
        queue_id=queue_id,
        flag=flag,
        queue_offset=queue_offset,
        commit_log_offset=physical_offset,
        sys_flag=sys_flag,
        born_timestamp=born_timestamp,
        born_host=decode_host(born_host),
        store_timestamp=store_timestamp,
        store_host=decode_host(store_host),
        reconsume_times=reconsume_times,
        prepared_transaction_offset=prepared_offset,
        body=bytes(body),
        body_crc=crc,
        properties=decode_properties(properties),
        store_size=size,
        msg_id=encode_message_id(bytes(store_host), physical_offset),
    )


def _field(view: memoryview, at: int, length: int, width: int) -> tuple[memoryview, int]:
    start = at + width
    end = start + length
    if length < 0 or end > len(view):
        raise ValueError(f"a field of {length} bytes at {at} in a message of {len(view)}")
    return view[start:end], end


def decode_messages(data: bytes | memoryview) -> list[MessageExt]:
    """Stored messages back to back, as the body of a pull answer has them.

    Raises:
        RemoteFault: something in between is not a message.
    """
    view = memoryview(data)
    messages = []
    position = 0
    while position < len(view):
        message = decode_message(view, position)
        messages.append(message)
        position += message.store_size
    return messages


def encode_message(message: MessageExt) -> bytes:
    """The stored layout of a message; the inverse of `decode_message`.

    V2 is chosen for topics above 127 bytes. The address families of the hosts set the sysFlag bits. Size, CRC
    and message id are computed, not taken from the message.

    Raises:
        ValueError: topic or properties too long for their length fields.
    """
    topic = message.topic.encode()
    properties = encode_properties(message.properties)
    if len(properties) > MAX_PROPERTIES_BYTES or len(topic) > MAX_PROPERTIES_BYTES:
        raise ValueError("topic or properties above 32767 bytes")
    born_host = encode_host(*message.born_host)
    store_host = encode_host(*message.store_host)
    sys_flag = message.sys_flag & ~(BORNHOST_V6_FLAG | STOREHOSTADDRESS_V6_FLAG)
    sys_flag |= (BORNHOST_V6_FLAG if len(born_host) == 20 else 0) | (
        STOREHOSTADDRESS_V6_FLAG if len(store_host) == 20 else 0
    )
    long_topic = len(topic) > MAX_V1_TOPIC_BYTES
    rest = b"".join(
        (
            born_host,
            _INT64.pack(message.store_timestamp),
            store_host,
            _TAIL.pack(message.reconsume_times, message.prepared_transaction_offset),
            _INT32.pack(len(message.body)),
            message.body,
            _INT16.pack(len(topic)) if long_topic else bytes((len(topic),)),
            topic,
            _INT16.pack(len(properties)),
            properties,
        )
    )
    head = _HEAD.pack(
        _HEAD.size + len(rest),
        MESSAGE_MAGIC_V2 if long_topic else MESSAGE_MAGIC_V1,
        body_crc(message.body),
        message.queue_id,
        message.flag,
        message.queue_offset,
        message.commit_log_offset,
        sys_flag,
        message.born_timestamp,
    )
    return head + rest


class BatchItem(NamedTuple):
    """One message inside the body of a SEND_BATCH_MESSAGE request."""

    flag: int
    body: bytes | memoryview
    properties: bytes
    """Complete property text, see `decode_properties`."""


def split_batch(body: bytes | memoryview) -> list[BatchItem]:
    """The items of a SEND_BATCH_MESSAGE body: size, magic, CRC, flag (int32 each), body, int16 properties.

    Size, magic and CRC are not looked at, as in Java, which writes 0 into the latter two. Bodies are slices
    of `body`, properties are copies.

    Raises:
        RemoteFault: an item is torn.
    """
    view = memoryview(body)
    end = len(view)
    at = begin = 0
    items: list[BatchItem] = []
    try:
        while at < end:
            begin = at
            flag, body_length = _BATCH_ITEM_LENGTH.unpack_from(view, at)
            body_at = at + _BATCH_ITEM.size
            body_end = body_at + body_length
            (properties_length,) = _INT16.unpack_from(view, body_end)
            properties_at = body_end + 2
            at = properties_at + properties_length
            if body_length < 0 or properties_length < 0 or at > end:
                raise ValueError(f"{body_length} and {properties_length} bytes of {end}")
            item = (flag, view[body_at:body_end], bytes(view[properties_at:at]))
            items.append(_new_tuple(BatchItem, item))
    except (struct.error, ValueError) as error:
        raise RemoteFault(f"not a batch item at {begin}: {error}") from error
    return items


def encode_batch(items: Iterable[BatchItem]) -> bytes:
    """The body of a SEND_BATCH_MESSAGE request; the inverse of `split_batch`."""
    parts: list[bytes | memoryview] = []
    for flag, body, properties in items:
        size = _BATCH_ITEM.size + len(body) + 2 + len(properties)
        parts += (
            _BATCH_ITEM.pack(size, 0, 0, flag, len(body)),
            body,
            _INT16.pack(len(properties)),
            properties,
        )
    return b"".join(parts)


# Topics and groups (Java: TopicValidator, MixAll).
AUTO_CREATE_TOPIC_KEY_TOPIC: Final = "TBW102"
RMQ_SYS_SCHEDULE_TOPIC: Final = "SCHEDULE_TOPIC_XXXX"
RMQ_SYS_BENCHMARK_TOPIC: Final = "BenchmarkTest"
RMQ_SYS_TRANS_HALF_TOPIC: Final = "RMQ_SYS_TRANS_HALF_TOPIC"
RMQ_SYS_TRACE_TOPIC: Final = "RMQ_SYS_TRACE_TOPIC"
RMQ_SYS_TRANS_OP_HALF_TOPIC: Final = "RMQ_SYS_TRANS_OP_HALF_TOPIC"
RMQ_SYS_TRANS_CHECK_MAX_TIME_TOPIC: Final = "TRANS_CHECK_MAX_TIME_TOPIC"
RMQ_SYS_SELF_TEST_TOPIC: Final = "SELF_TEST_TOPIC"
RMQ_SYS_OFFSET_MOVED_EVENT: Final = "OFFSET_MOVED_EVENT"
RMQ_SYS_ROCKSDB_OFFSET_TOPIC: Final = "CHECKPOINT_TOPIC"
TIMER_TOPIC: Final = "rmq_sys_wheel_timer"
REVIVE_TOPIC_PREFIX: Final = "rmq_sys_REVIVE_LOG_"
SYSTEM_TOPIC_PREFIX: Final = "rmq_sys_"
SYNC_BROKER_MEMBER_GROUP_PREFIX: Final = "rmq_sys_SYNC_BROKER_MEMBER_"
REPLY_TOPIC_POSTFIX: Final = "REPLY_TOPIC"
RETRY_GROUP_TOPIC_PREFIX: Final = "%RETRY%"
DLQ_GROUP_TOPIC_PREFIX: Final = "%DLQ%"
LMQ_PREFIX: Final = "%LMQ%"
CID_RMQ_SYS_PREFIX: Final = "CID_RMQ_SYS_"
DEFAULT_TRACE_REGION_ID: Final = "DefaultRegion"
CLIENT_INNER_PRODUCER_GROUP: Final = "CLIENT_INNER_PRODUCER"
UNIQUE_MSG_QUERY_FLAG: Final = "_UNIQUE_KEY_QUERY"

TOPIC_MAX_LENGTH: Final = 127
RETRY_OR_DLQ_TOPIC_MAX_LENGTH: Final = 255
GROUP_MAX_LENGTH: Final = 120

SYSTEM_TOPICS: Final = frozenset(
    {
        AUTO_CREATE_TOPIC_KEY_TOPIC,
        RMQ_SYS_SCHEDULE_TOPIC,
        RMQ_SYS_BENCHMARK_TOPIC,
        RMQ_SYS_TRANS_HALF_TOPIC,
        RMQ_SYS_TRACE_TOPIC,
        RMQ_SYS_TRANS_OP_HALF_TOPIC,
        RMQ_SYS_TRANS_CHECK_MAX_TIME_TOPIC,
        RMQ_SYS_SELF_TEST_TOPIC,
        RMQ_SYS_OFFSET_MOVED_EVENT,
        RMQ_SYS_ROCKSDB_OFFSET_TOPIC,
    }
)
"""System in every broker; a broker adds its cluster and broker names."""

NOT_ALLOWED_SEND_TOPICS: Final = frozenset(
    {
        RMQ_SYS_SCHEDULE_TOPIC,
        RMQ_SYS_TRANS_HALF_TOPIC,
        RMQ_SYS_TRANS_OP_HALF_TOPIC,
        RMQ_SYS_TRANS_CHECK_MAX_TIME_TOPIC,
        RMQ_SYS_SELF_TEST_TOPIC,
        RMQ_SYS_OFFSET_MOVED_EVENT,
    }
)

NAME_PATTERN: Final = "^[%|a-zA-Z0-9_-]+$"
_legal_name = re.compile(r"[%|a-zA-Z0-9_-]+").fullmatch


def is_system_topic(topic: str) -> bool:
    return topic in SYSTEM_TOPICS or topic.startswith(SYSTEM_TOPIC_PREFIX)


def retry_topic(group: str) -> str:
    return RETRY_GROUP_TOPIC_PREFIX + group


def dlq_topic(group: str) -> str:
    return DLQ_GROUP_TOPIC_PREFIX + group


@lru_cache(maxsize=4096)
def topic_fault(topic: str) -> str | None:
    """Why a topic name is refused (the remark for code 29), or None for a good one."""
    if not topic.strip():
        return "The specified topic is blank."
    if _legal_name(topic) is None:
        return f"The specified topic: {topic}, contains illegal characters, allowing only {NAME_PATTERN}"
    if topic.startswith((RETRY_GROUP_TOPIC_PREFIX, DLQ_GROUP_TOPIC_PREFIX)):
        if len(topic) > RETRY_OR_DLQ_TOPIC_MAX_LENGTH:
            return (
                f"The specified topic is DLQ or Retry topic: {topic}, "
                f"and it's longer than topic max length: {RETRY_OR_DLQ_TOPIC_MAX_LENGTH}"
            )
    elif len(topic) > TOPIC_MAX_LENGTH:
        return f"The specified topic: {topic}, is longer than topic max length: {TOPIC_MAX_LENGTH}"
    return None


@lru_cache(maxsize=4096)
def group_fault(group: str) -> str | None:
    """Why a group name is refused (the remark for code 29), or None for a good one."""
    if not group.strip():
        return "The specified group is blank."
    if _legal_name(group) is None:
        return f"The specified group: {group}, contains illegal characters, allowing only {NAME_PATTERN}"
    if len(group) > GROUP_MAX_LENGTH:
        return f"The specified group: {group}, is longer than group max length: {GROUP_MAX_LENGTH}"
    return None
