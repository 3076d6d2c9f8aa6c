"""Whether index files fit each other and the log, as far as their headers and ends tell.

Entries have no checksum and are too many to be read at each start. But the header of each
file names its first and its last message, with their times; the log knows these times.
And nothing that has a key may lie in the log between the end of one file and the
beginning of the next: there a file is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.dispatch import index_keys_of
from store.message_codec import BLANK_BYTES, MAGIC_BLANK, frame_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from store.commit_log import CommitLog
    from store.index_file import IndexFile
    from store.message_codec import StoredMessage

_MAX_STEPS = 10_000
_ROUNDED_MS = 1000
"""Entries count whole seconds, and a header that was made from them alone does too."""


def first_unfit(
    files: Sequence[IndexFile], commit_log: CommitLog, message_at: Callable[[int], StoredMessage | None]
) -> int:
    """Position of the first of `files` that does not fit; their number when all do.

    Args:
        files: All files of the index, oldest first.
        message_at: The message at a commit log offset; None when the log is not sound there.
    """
    indexed_upto = commit_log.min_offset
    is_begin = True
    for position, file in enumerate(files):
        if file.count <= 1:
            if position < len(files) - 1:
                return position
            continue
        if not (file.ends_fit() and _times_fit(file, commit_log, message_at)):
            return position
        if file.begin_physical >= indexed_upto:
            found = _next_with_keys(commit_log, indexed_upto, message_at, behind=not is_begin)
            if found is not None and found < file.begin_physical:
                return position
        elif not is_begin and file.begin_physical < indexed_upto:
            return position
        if file.end_physical >= commit_log.min_offset:
            indexed_upto, is_begin = file.end_physical, False
    return len(files)


def _times_fit(
    file: IndexFile, commit_log: CommitLog, message_at: Callable[[int], StoredMessage | None]
) -> bool:
    """Whether the log has the first and the last message of the file at the times of the header."""
    ends = ((file.begin_physical, file.begin_timestamp), (file.end_physical, file.end_timestamp))
    for physical, timestamp in ends:
        if physical < commit_log.min_offset:
            continue
        message = message_at(physical)
        if message is not None and not 0 <= message.store_timestamp - timestamp < _ROUNDED_MS:
            return False
    return True


def _next_with_keys(
    commit_log: CommitLog, start: int, message_at: Callable[[int], StoredMessage | None], *, behind: bool
) -> int | None:
    """Where the next message that has keys begins, from `start` on or behind the message there.

    Returns:
        None when that is not to be seen: the log ends or is damaged before, or it is far away.
    """
    at = start
    for _ in range(_MAX_STEPS):
        message = message_at(at)
        if message is None:
            following = commit_log.next_file_offset(at)
            if following - at < BLANK_BYTES or _is_blank(commit_log, at):
                at = following
                continue
            return None
        if index_keys_of(message) and not (behind and at == start):
            return at
        at += message.size
    return None


def _is_blank(commit_log: CommitLog, offset: int) -> bool:
    """Whether the record that ends a file lies at `offset`."""
    file = commit_log.file_at(offset - offset % commit_log.file_size)
    if file is None:
        return False
    position = offset - file.base
    return frame_of(file.file.pread(BLANK_BYTES, position), 0) == (file.size - position, MAGIC_BLANK)
