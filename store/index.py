"""The index: commit log offsets by topic and key, for queries.

Entries wait in memory until a worker thread writes them in batches, file after file (`store.index_file`).
"""

from __future__ import annotations

import logging
import os
import time
from contextlib import ExitStack
from itertools import pairwise
from typing import TYPE_CHECKING

import attrs

from remoting.protocol.message import PROPERTY_TAGS
from store.errors import StoreIOError
from store.index_file import ENTRY_BYTES, HEADER_BYTES, IndexFile
from store.key_hash import key_hash, key_hashes
from store.message_codec import property_mark, property_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from store.clock import Clock
    from store.files import FileSystem

log = logging.getLogger("rocketmq.store")

_NAME_DIGITS = 17

IndexEntry = tuple[str, tuple[str, ...], int, int, bytes]
"""(topic, keys, commit log offset, store timestamp in ms, property text) of one message.

Java 5.5 finds messages by tag too: under the key ``T#<tags>``, after their own keys.
"""

_TAGS = property_mark(PROPERTY_TAGS)
INDEX_TAG_TYPE = "T"
_TAG_KEYS_MAX = 4096


def typed_key(key: str, index_type: str | None) -> str:
    """The key under which the index knows `key`: tags (type ``T``) have a name space of their own."""
    return f"{INDEX_TAG_TYPE}#{key}" if index_type == INDEX_TAG_TYPE else key


class _TagKeys(dict[bytes, str]):
    """Keys by stored tags: few different ones come."""

    def __missing__(self, tags: bytes) -> str:
        if len(self) >= _TAG_KEYS_MAX:
            self.clear()
        key = self[tags] = typed_key(tags.decode("utf-8", "replace"), INDEX_TAG_TYPE)
        return key


_tag_keys = _TagKeys()


def _tag_key(properties: bytes) -> str | None:
    tags = property_value(properties, _TAGS)
    return _tag_keys[tags] if tags else None


def _has_keys(entry: IndexEntry) -> bool:
    return bool(entry[1]) or _tag_key(entry[4]) is not None


@attrs.frozen
class IndexStatistics:
    files: int
    entries: int
    unwritten_messages: int


def _hashed(entries: list[IndexEntry]) -> list[tuple[int, int, int]]:
    """(key hash, commit log offset, store timestamp in ms) of each key of messages, in their order."""
    texts: list[str] = []
    physicals: list[int] = []
    timestamps: list[int] = []
    for topic, keys, physical, timestamp, properties in entries:
        tag_key = _tag_key(properties)
        for key in keys if tag_key is None else (*keys, tag_key):
            texts.append(f"{topic}#{key}")
            physicals.append(physical)
            timestamps.append(timestamp)
    return list(zip(key_hashes(texts), physicals, timestamps, strict=True))


class MessageIndex:
    """All index files of a store and the entries that still are in memory."""

    def __init__(self, directory: str, slots: int, entries: int, files: FileSystem, clock: Clock) -> None:
        self._directory = directory
        self._slots = slots
        self._capacity = entries
        self._disk = files
        self._clock = clock
        self._files: list[IndexFile] = []
        self._pending: list[IndexEntry] = []
        self._writing: list[IndexEntry] = []
        self._hashed = 0
        self._items: list[tuple[int, int, int]] = []
        self._unsynced: dict[IndexFile, None] = {}  # in the order of the writes
        self._removed: list[IndexFile] = []
        self._names_changed = False
        self._cut = False  # files behind the last one were dropped, with keys of its last message maybe

    def statistics(self) -> IndexStatistics:
        files = self._files
        return IndexStatistics(
            len(files), sum(file.count - 1 for file in files), len(self._pending) + len(self._writing)
        )

    @property
    def total_bytes(self) -> int:
        """Full sizes of all files (container.md section 3, G)."""
        files = self._files
        return len(files) * files[0].size if files else 0

    @property
    def end_physical(self) -> int:
        """Commit log offset of the newest written entry's message, 0 without any."""
        return self._files[-1].end_physical if self._files else 0

    @property
    def end_timestamp(self) -> int:
        return self._files[-1].end_timestamp if self._files else 0

    def reached(self) -> tuple[int, int]:
        """(store timestamp in ms, commit log offset) of the newest message that `query` can find."""
        for entries in (self._pending, self._writing):
            for entry in reversed(entries):
                if _has_keys(entry):
                    return entry[3], entry[2]
        return self.end_timestamp, self.end_physical

    @property
    def unwritten(self) -> int:
        """Messages whose entries exist in memory only."""
        return len(self._pending)

    def load(self) -> None:
        """Open the existing files.

        One of another size is dropped with all behind it: recovery makes them again from the log.
        """
        size = HEADER_BYTES + self._slots * 4 + self._capacity * ENTRY_BYTES
        unfit = False
        for name in self._disk.listdir(self._directory):
            if len(name) != _NAME_DIGITS or not name.isdigit():
                continue
            path = os.path.join(self._directory, name)
            if not unfit and self._disk.file_size(path) != size:
                unfit = True
                log.warning(
                    "%s has not %d bytes: it and all behind it are made again from the log", path, size
                )
            if unfit:
                self._names_changed = self._cut = True
                self._disk.remove(path)
                continue
            file = IndexFile(path, self._slots, self._capacity, self._disk, create=False)
            self._files.append(file)
            file.load_header()

    @property
    def files(self) -> tuple[IndexFile, ...]:
        """All files, oldest first."""
        return tuple(self._files)

    def give_up_from(self, position: int) -> None:
        """Remove the file at `position` of `files` and all behind it: recovery makes them again."""
        log.warning(
            "%s does not fit the log or the file before: it and all behind it are made again from the log",
            self._files[position].path,
        )
        self._drop_from(position)

    def mend_border(self) -> None:
        """Take out the last message when files behind it were dropped: some of its keys may have been there.

        Recovery makes its entries again from the log, with all behind it.

        Raises:
            StoreIOError: a file cannot be read or written.
        """
        while self._cut and self._files:
            last = self._files[-1]
            self._cut = (last.full or last.count <= 1) and self._drop_last_message()

    def repair(
        self, physical_limit: int, trusted_timestamp: int, progress: Callable[[], None] = lambda: None
    ) -> None:
        """Drop what points at or behind `physical_limit`, and what a crash left in part.

        Where one file ends before it is full, those behind it go, and so do the entries of the last
        message in a file that is not trusted: the log has them.

        Args:
            physical_limit: First commit log offset that will be dispatched again.
            trusted_timestamp: Files whose end is not older than this are not trusted and get
                new slots from their entries.
            progress: Called now and then.

        Raises:
            StoreIOError: a file cannot be read or written, for another reason than a full disk.
        """
        while self._files and self._files[-1].count > 1 and self._files[-1].begin_physical >= physical_limit:
            self._remove(self._files.pop())
        rebuilt: set[IndexFile] = set()
        try:
            for number, file in enumerate(self._files):
                is_last = number == len(self._files) - 1
                is_old = file.end_physical < physical_limit and file.end_timestamp < trusted_timestamp
                if is_old and (file.full or is_last) and file.begin_timestamp:
                    continue
                if not file.begin_timestamp:  # its header never reached the device
                    self._drop_from(number)
                    break
                file.rebuild(physical_limit, progress)
                rebuilt.add(file)
                self._unsynced[file] = None
                if not file.full:
                    self._drop_from(number + 1)
                    break
            begins = -1
            while self._files:
                last = self._files[-1]
                # The message that was dropped may have begun in this file: its other keys are to go, too.
                if last not in rebuilt and last.end_physical != begins:
                    break
                begins = last.begin_physical
                if not self._drop_last_message():
                    break
        except StoreIOError as error:
            if not error.disk_full:
                raise
            log.warning("%s: it and all behind it are made again from the log", error)
            self._drop_from(next(at for at, file in enumerate(self._files) if file.path == error.path))

    def cut(self, physical_limit: int, progress: Callable[[], None] = lambda: None) -> None:
        """Drop what points at or behind `physical_limit`, where the log ends.

        Raises:
            StoreIOError: a file cannot be read or written.
        """
        while self._files and self._files[-1].begin_physical >= physical_limit:
            self._remove(self._files.pop())
        if self._files and self._files[-1].end_physical >= physical_limit:
            self._files[-1].rebuild(physical_limit, progress)
            self._unsynced[self._files[-1]] = None

    def _drop_last_message(self) -> bool:
        """Take the last message out of the last file; whether the file is gone with it."""
        last = self._files[-1]
        last.drop_last_message()
        self._unsynced[last] = None
        if last.count > 1:
            return False
        self._remove(self._files.pop())
        return True

    def _drop_from(self, number: int) -> None:
        while len(self._files) > number:
            self._cut = True
            self._remove(self._files.pop())

    def _remove(self, file: IndexFile) -> None:
        self._unsynced.pop(file, None)
        self._names_changed = True
        file.close()
        self._disk.remove(file.path)

    def append(self, entries: Iterable[IndexEntry]) -> None:
        """Take messages that have keys or tags; in memory only."""
        self._pending += entries

    def take_pending(self) -> bool:
        """Set aside what is in memory for `write_behind`, behind what that could not write before.

        Where `append` is called, never beside `write_behind`.

        Returns:
            False when there is nothing to write.
        """
        if self._pending:
            self._writing, self._pending = [*self._writing, *self._pending], []
        return bool(self._writing)

    def write_behind(self) -> None:
        """Write what `take_pending` set aside; for a worker thread, one at a time.

        Raises:
            StoreIOError: the rest is written by the next call, each entry once; until then
                queries find it in memory.
        """
        batch = self._writing
        if batch:
            self._items += _hashed(batch[self._hashed :])
            self._hashed = len(batch)
            if self._files:
                self._files[-1].finish()
            while self._items:
                file = self._file_for_writing()
                taken = file.add(self._items)
                self._unsynced[file] = None
                del self._items[:taken]
                file.finish()
            self._writing = []
            self._hashed = 0

    def _file_for_writing(self) -> IndexFile:
        last = self._files[-1] if self._files else None
        if last is not None and not last.full:
            return last
        self._names_changed = True
        self._disk.makedirs(self._directory)
        now = self._clock.now_ms()
        name = time.strftime("%Y%m%d%H%M%S", time.localtime(now // 1000)) + f"{now % 1000:03d}"
        if last is not None:  # their order is what counts, also where the clock was set back
            name = max(name, f"{int(os.path.basename(last.path)) + 1:0{_NAME_DIGITS}d}")
        while self._disk.exists(path := os.path.join(self._directory, name)):
            name = f"{int(name) + 1:0{_NAME_DIGITS}d}"
        file = IndexFile(path, self._slots, self._capacity, self._disk, create=True)
        if last is not None:
            file.continue_from(last)
        self._files = [*self._files, file]
        return file

    def complete_until(self, next_log_file_begins: Callable[[int], int]) -> int:
        """Store timestamp in ms that lets a Java broker lose nothing of the index; 0 without any.

        It is what the checkpoint says of the index. After a crash a Java broker deletes each file that ends
        later, and reads the log again from its newest file whose first message is not newer (IndexService,
        CommitLog; messageIndexSafe=true). So where two files share a millisecond, no file of the log may
        begin in that millisecond behind the first entry of the newer one.

        Args:
            next_log_file_begins: Store timestamp of the first message of the first log file behind an
                offset; -1 when there is none.
        """
        files = [file for file in self._files if file.count > 1]
        for newer, older in pairwise(reversed(files)):
            if older.end_timestamp < newer.begin_timestamp:
                return newer.begin_timestamp - 1
            begins = next_log_file_begins(newer.begin_physical)
            if (files[-1].end_timestamp if begins < 0 else begins) > older.end_timestamp:
                return older.end_timestamp
        return files[0].begin_timestamp - 1 if files else 0

    def sync(self) -> None:
        """Make the written entries durable, with the names of their files; for a worker thread.

        Raises:
            StoreIOError: nobody knows what the device has.
        """
        if self._names_changed:
            for directory in (self._directory, os.path.dirname(self._directory)):
                if self._disk.is_directory(directory):
                    self._disk.sync_directory(directory)
            self._names_changed = False
        for file in list(self._unsynced):
            file.sync()
            self._unsynced.pop(file, None)

    def query(self, topic: str, key: str, maximum: int, begin: int, end: int) -> list[int]:
        """Commit log offsets of messages with this key hash, newest first; may block.

        Different keys can share a hash: whoever asked compares the real keys.

        Args:
            topic: Topic name.
            key: One key, as `typed_key` makes it.
            maximum: Most offsets to return.
            begin: Oldest store timestamp, ms.
            end: Newest store timestamp, ms.
        """
        found: list[int] = []
        for entries in (list(self._pending), self._writing):
            for entry_topic, keys, physical, timestamp, properties in reversed(entries):
                if len(found) >= maximum:
                    return found
                if (
                    entry_topic == topic
                    and begin <= timestamp <= end
                    and (key in keys or key == _tag_key(properties))
                ):
                    found.append(physical)
        hashed = key_hash(topic, key)
        for file in reversed(self._files):
            if len(found) >= maximum:
                break
            if file.overlaps(begin, end):
                file.select(found, hashed, maximum, begin, end)
            if file.begin_timestamp < begin:
                break
        return list(dict.fromkeys(found))[:maximum]

    def delete_expired_files(self, min_physical: int) -> int:
        """Remove files that end before `min_physical`, never the last; for a worker thread."""
        count = 0
        self._close_removed_files()
        while len(self._files) > 1 and self._files[0].end_physical < min_physical:
            file, self._files = self._files[0], self._files[1:]
            self._unsynced.pop(file, None)
            self._removed.append(file)
            self._names_changed = True
            self._disk.remove(file.path)
            count += 1
        return count

    def _close_removed_files(self) -> None:
        """Close descriptors of files that were removed a pass ago: no query is in them any more."""
        while self._removed:
            self._removed.pop().close()

    def close(self) -> None:
        """Close all descriptors, also if one of them fails."""
        with ExitStack() as closing:
            for file in [*self._files, *self._removed]:
                closing.callback(file.close)
            self._files, self._removed = [], []
