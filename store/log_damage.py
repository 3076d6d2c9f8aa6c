"""Damage inside the commit log: where sound messages go on, and whose content a file has.

What was written before a loss of power may end anywhere, so behind the first unsound
record nothing counts. But what is known to have been on the device can only be damaged:
then the log goes on at the next sound message, and what lies between is lost and named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.message_codec import (
    BLANK_BYTES,
    FIXED_BYTES,
    MAGIC_BLANK,
    MAGIC_V1,
    MAGIC_V2,
    frame_of,
    parse_message,
)

if TYPE_CHECKING:
    from store.commit_log import CommitLog
    from store.mapped_files import LogFile

_MAGICS = tuple(magic.to_bytes(4, "big") for magic in (MAGIC_V1, MAGIC_V2))
_PHYSICAL_AT = 28
_WINDOW_BYTES = 1 << 20


def next_sound(commit_log: CommitLog, offset: int, *, check_crc: bool) -> int | None:
    """Where the first sound message behind the unsound record at `offset` begins; None without any.

    Raises:
        StoreIOError: a file cannot be read.
    """
    for base in commit_log.bases():
        file = commit_log.file_at(base)
        if file is not None and base + file.size > offset:
            found = _sound_in(file, max(offset + 1 - base, 0), check_crc=check_crc)
            if found is not None:
                return base + found
    return None


def _sound_in(file: LogFile, position: int, *, check_crc: bool) -> int | None:
    """Position of the first sound message of a file at or behind `position`."""
    while position + FIXED_BYTES <= file.size:
        window = file.file.pread(min(_WINDOW_BYTES, file.size - position), position)
        if any(window):
            for at in _magic_positions(window):
                if _is_sound(file, position + at - 4, check_crc=check_crc):
                    return position + at - 4
        position += max(len(window) - 4 - len(_MAGICS[0]), 1)
    return None


def _magic_positions(window: bytes) -> list[int]:
    """Where in `window` a magic number begins that may have a size before it."""
    found = []
    for magic in _MAGICS:
        at = window.find(magic, 4)
        while at >= 0:
            found.append(at)
            at = window.find(magic, at + 1)
    return sorted(found)


def _is_sound(file: LogFile, position: int, *, check_crc: bool) -> bool:
    head = file.file.pread(FIXED_BYTES, position)
    if len(head) < FIXED_BYTES:
        return False
    size, _ = frame_of(head, 0)
    if not FIXED_BYTES <= size <= file.size - position:
        return False
    offset = file.base + position
    if int.from_bytes(head[_PHYSICAL_AT : _PHYSICAL_AT + 8], "big") != offset:
        return False
    return parse_message(file.file.pread(size, position), 0, offset, check_crc=check_crc) is not None


def foreign_offset(file: LogFile) -> int | None:
    """The offset that the first message of a file was written at, if that is sound and not here.

    Such a file has the content of another one: its messages are there, in the wrong place.
    """
    head = file.file.pread(FIXED_BYTES, 0)
    if len(head) < FIXED_BYTES:
        return None
    size, magic = frame_of(head, 0)
    physical = int.from_bytes(head[_PHYSICAL_AT : _PHYSICAL_AT + 8], "big", signed=True)
    if magic == MAGIC_BLANK or physical == file.base or not FIXED_BYTES <= size <= file.size - BLANK_BYTES:
        return None
    message = parse_message(file.file.pread(size, 0), 0, physical)
    return None if message is None or physical % file.size else physical
