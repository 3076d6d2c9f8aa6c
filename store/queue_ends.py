"""``queueEnds``: where each consume queue began and ended at a clean stop.

After a clean stop recovery reads next to nothing of the log, so it cannot see that one
queue lost units while the store was closed (a file removed, a backup half restored).
This file lets it: it is written when everything else is on the device, and taken away
before the next run changes anything, so it never speaks of another stop than the last.

It holds one JSON document behind its CRC, ``<8 hex digits>\\n{"tail": …, "queues": [[topic,
queue id, first unit in files, max offset, max physical], …]}``. Only ends are compared, no
unit in between. Java RocketMQ ignores the file; if it appended since, the log's tail is
another and the file is ignored here too.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING
from zlib import crc32

import attrs

from store.errors import StoreMissingError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from store.consume_queue import ConsumeQueue
    from store.files import FileSystem

QUEUE_ENDS_NAME = "queueEnds"


@attrs.frozen
class QueueEnd:
    """One queue at a clean stop; offsets count units, `max_physical` is -1 for an empty queue."""

    topic: str
    queue_id: int
    first_offset: int
    max_offset: int
    max_physical: int


@attrs.frozen
class QueueEnds:
    """All queues at a clean stop, when the log ended at `tail`."""

    tail: int
    queues: list[QueueEnd]


def save_queue_ends(path: str, tail: int, queues: Iterable[ConsumeQueue], files: FileSystem) -> None:
    """Write the file durably; everything it speaks of must be on the device.

    Raises:
        StoreIOError: the file may be incomplete, which `load_queue_ends` sees.
    """
    rows = [
        (queue.topic, queue.queue_id, queue.first_file_offset, queue.max_offset, queue.max_physical)
        for queue in queues
    ]
    body = json.dumps({"tail": tail, "queues": rows}, separators=(",", ":")).encode()
    file = files.open(path, create=True)
    try:
        file.truncate(0)
        file.pwrite(b"%08x\n" % crc32(body) + body, 0)
        file.fdatasync()
    finally:
        file.close()
    files.sync_directory(os.path.dirname(path))


def load_queue_ends(path: str, files: FileSystem) -> QueueEnds | None:
    """Read the file; None when it is missing or damaged. Remove it with `drop_queue_ends`."""
    try:
        file = files.open(path, writable=False)
    except StoreMissingError:
        return None
    try:
        data = file.pread(file.size(), 0)
    finally:
        file.close()
    crc, _, body = data.partition(b"\n")
    if crc != b"%08x" % crc32(body):
        return None
    document = json.loads(body)
    return QueueEnds(document["tail"], [QueueEnd(*row) for row in document["queues"]])


def drop_queue_ends(path: str, files: FileSystem) -> None:
    """Remove the file, if there is one; queues may change from now on."""
    if files.exists(path):
        files.remove(path)
