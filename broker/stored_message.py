"""Takes a stored message apart so that it can be stored again elsewhere: retries, delayed delivery.

Hosts stay bytes, the body stays a slice of the log and the properties stay text: what is only passed on
is not converted. `remoting.protocol.message` has the layout.
"""

from __future__ import annotations

import struct

import attrs

__all__ = ["StoredMessage", "take_apart"]

_PREFIX = struct.Struct(">IIIiiqqiq")
_MAGIC_V2 = 0xDAA320AB
_BORN_HOST_V6 = 0x10
_STORE_HOST_V6 = 0x20


@attrs.frozen
class StoredMessage:
    """The parts of one stored message that another copy of it keeps."""

    topic: str
    queue_id: int
    flag: int
    sys_flag: int
    born_timestamp: int
    born_host: bytes
    reconsume_times: int
    body: memoryview
    """A slice of the commit log: give it to the store in the same pass, do not keep it."""
    properties: str
    offset_message_id: str
    """Id by store host and commit log offset, as clients know the stored message."""


def take_apart(data: bytes | memoryview) -> StoredMessage:
    """Parts of the one message that `data` holds. The bytes must come from the store: they are not checked.

    Raises:
        struct.error, IndexError, UnicodeDecodeError: it is no stored message.
    """
    view = memoryview(data)
    _, magic, _, queue_id, flag, _, physical_offset, sys_flag, born_timestamp = _PREFIX.unpack_from(view)
    position = _PREFIX.size

    def parts(size: int) -> memoryview:
        nonlocal position
        position += size
        return view[position - size : position]

    born_host = bytes(parts(20 if sys_flag & _BORN_HOST_V6 else 8))
    parts(8)
    store_host = bytes(parts(20 if sys_flag & _STORE_HOST_V6 else 8))
    reconsume_times = int.from_bytes(parts(4), "big", signed=True)
    parts(8)
    body = parts(int.from_bytes(parts(4), "big"))
    topic = str(parts(int.from_bytes(parts(2 if magic == _MAGIC_V2 else 1), "big")), "utf-8")
    properties = str(parts(int.from_bytes(parts(2), "big")), "utf-8", "replace")
    return StoredMessage(
        topic=topic,
        queue_id=queue_id,
        flag=flag,
        sys_flag=sys_flag,
        born_timestamp=born_timestamp,
        born_host=born_host,
        reconsume_times=reconsume_times,
        body=body,
        properties=properties,
        offset_message_id=(store_host + physical_offset.to_bytes(8, "big")).hex().upper(),
    )
