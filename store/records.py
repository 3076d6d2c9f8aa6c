"""What goes into a store and what comes out of it.

Messages and their results are structs because one of each is made for every send.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

import msgspec

from remoting.protocol.message import encode_message_id


class PutStatus(Enum):
    """Outcome of a put; the names are those of Java's ``PutMessageStatus``."""

    PUT_OK = "PUT_OK"
    FLUSH_DISK_TIMEOUT = "FLUSH_DISK_TIMEOUT"
    FLUSH_SLAVE_TIMEOUT = "FLUSH_SLAVE_TIMEOUT"
    SLAVE_NOT_AVAILABLE = "SLAVE_NOT_AVAILABLE"
    SERVICE_NOT_AVAILABLE = "SERVICE_NOT_AVAILABLE"
    CREATE_MAPPED_FILE_FAILED = "CREATE_MAPPED_FILE_FAILED"
    MESSAGE_ILLEGAL = "MESSAGE_ILLEGAL"
    PROPERTIES_SIZE_EXCEEDED = "PROPERTIES_SIZE_EXCEEDED"
    OS_PAGE_CACHE_BUSY = "OS_PAGE_CACHE_BUSY"
    UNKNOWN_ERROR = "UNKNOWN_ERROR"


class GetStatus(Enum):
    """Outcome of a get; the names are those of Java's ``GetMessageStatus``."""

    FOUND = "FOUND"
    NO_MATCHED_MESSAGE = "NO_MATCHED_MESSAGE"
    MESSAGE_WAS_REMOVING = "MESSAGE_WAS_REMOVING"
    OFFSET_FOUND_NULL = "OFFSET_FOUND_NULL"
    OFFSET_OVERFLOW_BADLY = "OFFSET_OVERFLOW_BADLY"
    OFFSET_OVERFLOW_ONE = "OFFSET_OVERFLOW_ONE"
    OFFSET_TOO_SMALL = "OFFSET_TOO_SMALL"
    NO_MATCHED_LOGIC_QUEUE = "NO_MATCHED_LOGIC_QUEUE"
    NO_MESSAGE_IN_QUEUE = "NO_MESSAGE_IN_QUEUE"
    OFFSET_RESET = "OFFSET_RESET"


class Message(msgspec.Struct, eq=False):
    """One message to store. Hosts of 20 bytes (IPv6) set their sysFlag bit by themselves.

    Attributes:
        born_host: 4 or 16 address bytes and the port as int32.
        born_timestamp: Milliseconds since the epoch.
        body: As sent, still compressed.
        properties: The complete property text, ``key\\x01value\\x02``….
        tags_code: Java hash of the tags, 0 without. For the schedule topic the store
            takes the delivery time from the DELAY property instead.
        keys: What the index shall find the message by: UNIQ_KEY and each part of KEYS. Tags are
            indexed too, from the properties.
    """

    topic: str
    queue_id: int
    flag: int
    sys_flag: int
    born_timestamp: int
    born_host: bytes
    body: bytes | memoryview
    properties: bytes
    tags_code: int = 0
    keys: tuple[str, ...] = ()
    reconsume_times: int = 0
    prepared_transaction_offset: int = 0

    def __repr__(self) -> str:
        return f"<Message {self.topic!r}-{self.queue_id} body={len(self.body)}>"


class PutResult(msgspec.Struct, eq=False, gc=False):
    """Where a message went, or why it did not.

    Attributes:
        queue_offset: Logical offset in its queue.
        physical_offset: First byte in the commit log; -1 when nothing was stored.
        size: Bytes in the commit log.
        store_timestamp: Milliseconds since the epoch.
        store_host: Address and port of the store, as in the message; empty when nothing was stored.
    """

    status: PutStatus
    queue_offset: int = -1
    physical_offset: int = -1
    size: int = 0
    store_timestamp: int = 0
    store_host: bytes = b""

    def __repr__(self) -> str:
        return (
            f"<PutResult {self.status.name} queue_offset={self.queue_offset} "
            f"physical={self.physical_offset} size={self.size}>"
        )

    @property
    def ok(self) -> bool:
        return self.status is PutStatus.PUT_OK

    @property
    def end_offset(self) -> int:
        """First byte of the commit log behind the message; what `when_durable` asks for."""
        return self.physical_offset + self.size

    @property
    def msg_id(self) -> str:
        """Offset message id; ``""`` when nothing was stored."""
        return encode_message_id(self.store_host, self.physical_offset) if self.store_host else ""


class GetResult:
    """Answer of a get.

    Attributes:
        next_begin_offset: Where the next get of this reader should begin.
        buffers: The messages' bytes; neighbours in the log share one buffer.
        suggest_slave: True when the reader is farther behind than memory reaches.
    """

    __slots__ = (
        "buffers", "max_offset", "message_count", "min_offset", "next_begin_offset", "size", "status",
        "suggest_slave",
    )  # fmt: skip

    def __init__(self, status: GetStatus, next_begin_offset: int, min_offset: int, max_offset: int) -> None:
        self.status = status
        self.next_begin_offset = next_begin_offset
        self.min_offset = min_offset
        self.max_offset = max_offset
        self.buffers: list[memoryview | bytes] = []
        self.message_count = 0
        self.size = 0
        self.suggest_slave = False

    def __repr__(self) -> str:
        return (
            f"<GetResult {self.status.name} messages={self.message_count} size={self.size} "
            f"next={self.next_begin_offset} of {self.min_offset}..{self.max_offset}>"
        )


class Arrival(NamedTuple):
    """A message became visible to readers."""

    topic: str
    queue_id: int
    max_offset: int
    """One more than the message's queue offset."""
    tags_code: int
    store_timestamp: int
    physical_offset: int
    size: int
    properties: bytes


class QueryResult(NamedTuple):
    """Messages found by key, oldest first, and how far the index reaches."""

    buffers: list[memoryview | bytes]
    index_last_update_timestamp: int
    index_last_update_physical_offset: int
