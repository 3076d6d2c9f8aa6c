"""From a message in the log to its entries in queue and index.

Used by recovery and by whatever appends raw log bytes; `MessageStore.put` does the same
from the message object, without decoding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from remoting.protocol.message import (
    KEY_SEPARATOR,
    PROPERTY_DELAY_TIME_LEVEL,
    PROPERTY_KEYS,
    PROPERTY_TAGS,
    PROPERTY_UNIQ_CLIENT_MESSAGE_ID_KEYIDX,
    RMQ_SYS_SCHEDULE_TOPIC,
    TRANSACTION_MASK,
    TRANSACTION_PREPARED_TYPE,
    TRANSACTION_ROLLBACK_TYPE,
    java_string_hash,
)
from store.message_codec import StoredMessage, property_value

if TYPE_CHECKING:
    from store.delay_levels import DelayLevels

_KEYS = PROPERTY_KEYS.encode()
_TAGS = PROPERTY_TAGS.encode()
_UNIQ_KEY = PROPERTY_UNIQ_CLIENT_MESSAGE_ID_KEYIDX.encode()
_DELAY = PROPERTY_DELAY_TIME_LEVEL.encode()


def has_queue_entry(sys_flag: int) -> bool:
    """False for half and rolled-back messages: no consumer ever sees them."""
    return sys_flag & TRANSACTION_MASK not in (TRANSACTION_PREPARED_TYPE, TRANSACTION_ROLLBACK_TYPE)


def schedule_tags_code(properties: bytes, store_timestamp: int, levels: DelayLevels) -> int | None:
    """Delivery time of a message in the schedule topic; None when it has no delay level."""
    return levels.tags_code(property_value(properties, _DELAY), store_timestamp)


def tags_code_of(message: StoredMessage, levels: DelayLevels) -> int:
    """Tags code for the queue unit of a message that was read from the log."""
    if message.topic == RMQ_SYS_SCHEDULE_TOPIC:
        due = schedule_tags_code(message.properties, message.store_timestamp, levels)
        if due is not None:
            return due
    tags = property_value(message.properties, _TAGS)
    return java_string_hash(tags.decode("utf-8", "replace")) if tags else 0


def index_keys_of(message: StoredMessage) -> tuple[str, ...]:
    """UNIQ_KEY and each part of KEYS; nothing for a rolled-back message."""
    if message.sys_flag & TRANSACTION_MASK == TRANSACTION_ROLLBACK_TYPE:
        return ()
    keys: list[str] = []
    unique = property_value(message.properties, _UNIQ_KEY)
    if unique is not None:
        keys.append(unique.decode("utf-8", "replace"))
    text = property_value(message.properties, _KEYS)
    if text:
        keys += [key for key in text.decode("utf-8", "replace").split(KEY_SEPARATOR) if key]
    return tuple(keys)
