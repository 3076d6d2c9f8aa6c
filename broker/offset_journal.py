"""Consumer offsets between two saves of their table: kept through a crash of the process.

consumerOffset.json is written every few seconds. What is committed in between is appended here, without a
sync: the bytes are with the operating system at once, so killing the process loses none of them (losing
power may). A directory that was closed in order has no journal; RocketMQ in Java never looks at it.

Two files take turns. Each begins when a snapshot of the table is taken, and names two tables that it may go
on from by the CRC of their text:

    offset  size  field
    0       24    header
    24      24    header, or zeros
    48      ...   records: length of key u32, CRC-32 of the rest u32, queue id i32, offset i64, key UTF-8

    of a header
    0       4     magic "OFJ2"
    4       8     sequence number of this segment
    12      4     CRC-32 of the text of the table that is on disk
    16      4     CRC-32 of the text of the table that is about to replace it, or has
    20      4     CRC-32 of the header before

The CRC of a record begins with the sequence number: after a loss of power a new header may stand before the
records of an older segment. What is not sound is left out, with all behind it, and said.

Both tables are named before anything happens to the table on disk, and again before each new attempt to save
it: one that failed may have replaced it or not. The two headers take turns, so one is whole at any moment.
Thus the table on disk is always named by one segment, and that segment and the next hold everything newer. A
table that somebody else wrote is named by none: then the journal is out of date and is ignored.
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

_MAGIC = b"OFJ2"
_HEADER = struct.Struct(">4sQII")
_CRC = struct.Struct(">I")
_HEADER_BYTES = _HEADER.size + _CRC.size
_RECORDS_AT = 2 * _HEADER_BYTES
_RECORD = struct.Struct(">IIiq")
_REST = struct.Struct(">iq")


class OffsetRecord(NamedTuple):
    """One commit: the newest offset of a queue."""

    key: str
    queue_id: int
    offset: int


class _Segment(NamedTuple):
    """One file of a journal."""

    sequence: int
    bases: frozenset[int]
    content: bytes
    path: str


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
        self._header_at = 0
        self._confirmed = True
        self._broken = False
        self._is_first = True
        self._base = 0

    def replay(self, table_text: str) -> Iterator[OffsetRecord]:
        """Records newer than the table, oldest first. Blocks; call it before the first commit."""
        segments = sorted(filter(None, map(self._read, self._paths)), key=lambda segment: segment.sequence)
        if len(segments) > 1 and segments[0].sequence == segments[1].sequence:
            path = self._paths[1 - (segments.pop().sequence & 1)]
            _log.error("%s: has the content of the other segment: its own offsets are lost", path)
        base = zlib.crc32(table_text.encode())
        following: int | None = None
        for segment in segments:
            self._sequence = segment.sequence
            if base in segment.bases or segment.sequence == following:
                following = segment.sequence + 1
                yield from _records(segment)
        if segments and following != self._sequence + 1:
            _log.warning(
                "%s does not go on from the table of offsets that is there: it is left out", segments[-1].path
            )

    def begin_segment(self) -> None:
        """A snapshot of the table is being taken: what comes from now on goes to a new segment.

        If the table could not be saved last time, the current segment goes on: it holds what is not saved.
        The first segment begins only when the table is saved (:meth:`confirm`): until then the segments of
        the process before are all there is of their commits, and must not be overwritten.
        """
        if self._confirmed and not self._is_first:
            self._begin()
            self._confirmed = False

    def _begin(self) -> None:
        """Begin a segment that goes on from the table that was saved last."""
        self._sequence += 1
        self.close()
        path = self._paths[self._sequence & 1]
        try:
            self._files.makedirs(os.path.dirname(path))
            self._file = self._files.open(path, create=True)
            self._file.truncate(0)
            self._file.pwrite(_header(self._sequence, self._base, self._base), 0)
            self._broken = False
        except StoreError as error:
            self._break(error)
        self._header_at, self._end = _HEADER_BYTES, _RECORDS_AT

    def set_bases(self, saved_text: str, table_text: str) -> None:
        """The table on disk is about to be replaced. Called in the saving thread.

        Args:
            saved_text: Text of the table that is there, empty without any.
            table_text: Text of the table to come.

        Raises:
            StoreIOError: the segment does not name them; the table must not be replaced.
        """
        self._base = zlib.crc32(table_text.encode())
        if not self._is_first and self._file is not None:
            saved = zlib.crc32(saved_text.encode())
            self._file.pwrite(_header(self._sequence, saved, self._base), self._header_at)
            self._header_at = _HEADER_BYTES - self._header_at

    def confirm(self) -> None:
        """The table was saved."""
        if self._is_first:
            self._is_first = False
            self._begin()
        self._confirmed = True

    def append(self, key: str, queue_id: int, offset: int) -> None:
        """Keep one commit."""
        file = self._file
        if file is None:
            return
        rest = _REST.pack(queue_id, offset) + key.encode()
        record = struct.pack(">II", len(rest) - _REST.size, zlib.crc32(rest, self._sequence)) + rest
        try:
            file.pwrite(record, self._end)
        except StoreError as error:
            self._break(error)
            return
        self._end += len(record)

    def close(self) -> None:
        """Close the current segment, whatever the disk says to it; commits are no longer kept."""
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except StoreError as error:
                self._say(error)

    def discard(self) -> None:
        """Remove the journal: the table on disk is complete. Blocks."""
        self.close()
        for path in self._paths:
            if self._files.exists(path):
                self._files.remove(path)

    def _break(self, error: StoreError) -> None:
        self._say(error)
        self.close()

    def _say(self, error: StoreError) -> None:
        if not self._broken:
            _log.error("offsets committed since the last save would be lost in a crash: %s", error)
            self._broken = True

    def _read(self, path: str) -> _Segment | None:
        try:
            file = self._files.open(path, writable=False)
        except StoreMissingError:
            return None
        try:
            content = file.pread(file.size(), 0)
        finally:
            file.close()
        headers = list(filter(None, (_header_of(content, at) for at in (0, _HEADER_BYTES))))
        if not headers:
            _log.error("%s: no sound header at byte 0: offsets that it may hold are lost", path)
            return None
        sequence = max(found for found, _, _ in headers)
        bases = frozenset(base for found, *pair in headers if found == sequence for base in pair)
        return _Segment(sequence, bases, content, path)


def _header(sequence: int, saved: int, to_come: int) -> bytes:
    header = _HEADER.pack(_MAGIC, sequence, saved, to_come)
    return header + _CRC.pack(zlib.crc32(header))


def _header_of(content: bytes, position: int) -> tuple[int, int, int] | None:
    """Sequence number and bases of a sound header."""
    header = content[position : position + _HEADER_BYTES]
    if len(header) < _HEADER_BYTES:
        return None
    _, sequence, saved, to_come = _HEADER.unpack_from(header)
    return (sequence, saved, to_come) if header == _header(sequence, saved, to_come) else None


def _records(segment: _Segment) -> Iterator[OffsetRecord]:
    content, position = segment.content, _RECORDS_AT
    while position + _RECORD.size <= len(content):
        key_length, crc, queue_id, offset = _RECORD.unpack_from(content, position)
        end = position + _RECORD.size + key_length
        if end > len(content) or zlib.crc32(content[position + 8 : end], segment.sequence) != crc:
            break
        yield OffsetRecord(content[position + _RECORD.size : end].decode(), queue_id, offset)
        position = end
    if position < len(content):
        _log.error(
            "%s: no sound record at byte %d: offsets committed later may be lost", segment.path, position
        )
