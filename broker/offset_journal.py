"""Consumer offsets between two saves of their table: kept through a crash of the process.

consumerOffset.json is written every few seconds. What is committed in between is appended here, without a
sync: the bytes are with the operating system at once, so killing the process loses none of them (losing
power may). A directory that was closed in order has no journal; RocketMQ in Java never looks at it.

Two files take turns. Each begins when a snapshot of the table is taken, and names the saved table that it
goes on from by the CRC of its text:

    offset  size  field
    0       4     magic "OFJ1"
    4       4     1 when the base is set, else 0
    8       8     sequence number of this segment
    16      4     CRC-32 of the text of the table that this segment goes on from (the base)
    20      ...   records: length of key u32, CRC-32 of the rest u32, queue id i32, offset i64, key UTF-8

The base is written just before the new table is renamed over the old one, so at any moment the table on
disk is the base of one segment, and that segment and the next hold everything newer. A table that somebody
else wrote is the base of none: then the journal is out of date and is ignored.
"""

from __future__ import annotations

import logging
import os
import struct
import zlib
from typing import TYPE_CHECKING, NamedTuple

from store import StoreError
from store.errors import StoreMissingError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from store import FileSystem, StoreFile

__all__ = ["OffsetJournal", "OffsetRecord"]

_log = logging.getLogger("rocketmq.broker")

_MAGIC = b"OFJ1"
_HEADER = struct.Struct(">4sIQI")
_RECORD = struct.Struct(">IIiq")
_REST = struct.Struct(">iq")


class OffsetRecord(NamedTuple):
    """One commit: the newest offset of a queue."""

    key: str
    queue_id: int
    offset: int


class OffsetJournal:
    """The journal beside one offset table.

    Args:
        path: full path without the suffix `.0` or `.1` of its two files.
    """

    def __init__(self, path: str, files: FileSystem) -> None:
        self._paths = (f"{path}.0", f"{path}.1")
        self._files = files
        self._file: StoreFile | None = None
        self._sequence = 0
        self._end = 0
        self._confirmed = True
        self._broken = False
        self._is_first = True
        self._first_base = 0

    def replay(self, table_text: str) -> Iterator[OffsetRecord]:
        """Records newer than the table, oldest first. Blocks; call it before the first commit."""
        segments = sorted(filter(None, map(self._read, self._paths)))
        if segments:
            self._sequence = segments[-1][0]
        base = zlib.crc32(table_text.encode())
        going_on = False
        for _, segment_base, content in segments:
            going_on = going_on or segment_base == base
            if going_on:
                yield from _records(content)

    def begin_segment(self) -> None:
        """A snapshot of the table is being taken: what comes from now on goes to a new segment.

        If the table could not be saved last time, the current segment goes on: it holds what is not saved.
        The first segment begins only when the table is saved (:meth:`confirm`): until then the segments of
        the process before are all there is of their commits, and must not be overwritten.
        """
        if self._confirmed and not self._is_first:
            self._begin(None)

    def _begin(self, base: int | None) -> None:
        """Begin a segment; `base` is the CRC of the table that it goes on from, if that is saved already."""
        self._sequence += 1
        self.close()
        path = self._paths[self._sequence & 1]
        try:
            self._files.makedirs(os.path.dirname(path))
            self._file = self._files.open(path, create=True)
            self._file.truncate(0)
            self._file.pwrite(_HEADER.pack(_MAGIC, base is not None, self._sequence, base or 0), 0)
            self._broken = False
        except StoreError as error:
            self._break(error)
        self._end = _HEADER.size
        self._confirmed = base is not None

    def set_base(self, table_text: str) -> None:
        """The table is about to be saved with this text. Called in the saving thread."""
        base = zlib.crc32(table_text.encode())
        if self._is_first:
            self._first_base = base
        elif self._file is not None:
            self._file.pwrite(_HEADER.pack(_MAGIC, 1, self._sequence, base), 0)

    def confirm(self) -> None:
        """The table was saved."""
        if self._is_first:
            self._is_first = False
            self._begin(self._first_base)
        self._confirmed = True

    def append(self, key: str, queue_id: int, offset: int) -> None:
        """Keep one commit."""
        file = self._file
        if file is None:
            return
        rest = _REST.pack(queue_id, offset) + key.encode()
        record = struct.pack(">II", len(rest) - _REST.size, zlib.crc32(rest)) + rest
        try:
            file.pwrite(record, self._end)
        except StoreError as error:
            self._break(error)
            return
        self._end += len(record)

    def close(self) -> None:
        """Close the current segment; commits are no longer kept."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def discard(self) -> None:
        """Remove the journal: the table on disk is complete. Blocks."""
        self.close()
        for path in self._paths:
            if self._files.exists(path):
                self._files.remove(path)

    def _break(self, error: StoreError) -> None:
        if not self._broken:
            _log.error("offsets committed since the last save would be lost in a crash: %s", error)
            self._broken = True
        self.close()

    def _read(self, path: str) -> tuple[int, int | None, bytes] | None:
        try:
            file = self._files.open(path, writable=False)
        except StoreMissingError:
            return None
        try:
            content = file.pread(file.size(), 0)
        finally:
            file.close()
        if len(content) < _HEADER.size:
            return None
        magic, has_base, sequence, base = _HEADER.unpack_from(content)
        if magic != _MAGIC:
            return None
        return sequence, base if has_base else None, content


def _records(content: bytes) -> Iterator[OffsetRecord]:
    position = _HEADER.size
    while position + _RECORD.size <= len(content):
        key_length, crc, queue_id, offset = _RECORD.unpack_from(content, position)
        end = position + _RECORD.size + key_length
        if end > len(content) or zlib.crc32(content[position + 8 : end]) != crc:
            return
        yield OffsetRecord(content[position + _RECORD.size : end].decode(), queue_id, offset)
        position = end
