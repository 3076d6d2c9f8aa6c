"""All consume queues of a store, by (topic, queue id).

Directory layout: ``consumequeue/<topic>/<queueId>/<20 digits>``.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import attrs

from remoting.protocol.message import is_system_topic
from store.consume_queue import ConsumeQueue

if TYPE_CHECKING:
    from collections.abc import Iterable

    from store.files import FileSystem


@attrs.frozen
class QueueTableStatistics:
    queues: int
    dirty_queues: int
    unsynced_queues: int


class QueueTable:
    """Queues are created by the first message for them, their files by the first write."""

    def __init__(self, directory: str, file_size: int, files: FileSystem) -> None:
        self._directory = directory
        self._file_size = file_size
        self._disk = files
        self.queues: dict[tuple[str, int], ConsumeQueue] = {}
        self._dirty: list[ConsumeQueue] = []
        self._unsynced: dict[ConsumeQueue, None] = {}  # in the order of the writes

    def __repr__(self) -> str:
        return f"<QueueTable {self._directory!r} queues={len(self.queues)}>"

    def statistics(self) -> QueueTableStatistics:
        return QueueTableStatistics(len(self.queues), len(self._dirty), len(self._unsynced))

    def load(self) -> None:
        """Find the queues on disk and their ends; blocking."""
        self._disk.makedirs(self._directory)
        for topic in self._disk.listdir(self._directory):
            topic_directory = os.path.join(self._directory, topic)
            if not self._disk.is_directory(topic_directory):
                continue
            for name in self._disk.listdir(topic_directory):
                if name.isdigit():
                    self.create(topic, int(name)).load()

    def create(self, topic: str, queue_id: int) -> ConsumeQueue:
        """The queue, new or not.

        Raises:
            ValueError: `topic` cannot be stored (empty, longer than 255 bytes, a path).
        """
        queue = self.queues.get((topic, queue_id))
        if queue is None:
            if "/" in topic or "\0" in topic or topic in (".", "..") or queue_id < 0:
                raise ValueError(f"no directory can have the name of {topic!r}-{queue_id}")
            directory = os.path.join(self._directory, topic, str(queue_id))
            queue = ConsumeQueue(topic, queue_id, directory, self._file_size, self._disk)
            self.queues[topic, queue_id] = queue
        return queue

    def topic_known(self, topic: str) -> bool:
        """True when the topic has a directory."""
        return self._disk.is_directory(os.path.join(self._directory, topic))

    def of_topic(self, topic: str) -> list[ConsumeQueue]:
        """Queues of one topic by id."""
        found = [queue for (name, _), queue in list(self.queues.items()) if name == topic]
        return sorted(found, key=lambda queue: queue.queue_id)

    @property
    def total_bytes(self) -> int:
        """Full sizes of all files (container.md section 3, G)."""
        return sum(queue.file_count * queue.file_size for queue in list(self.queues.values()))

    def mark_dirty(self, queue: ConsumeQueue) -> None:
        """Remember that `queue` has units in memory only."""
        if not queue.dirty and not queue.removed:
            queue.dirty = True
            self._dirty.append(queue)

    @property
    def has_dirty(self) -> bool:
        return bool(self._dirty)

    def dirty_queues(self) -> list[ConsumeQueue]:
        """The queues that `take_dirty` would take."""
        return self._dirty

    def take_dirty(self) -> list[ConsumeQueue]:
        """The queues to write now; give them back with `mark_dirty` when writing failed."""
        taken, self._dirty = self._dirty, []
        for queue in taken:
            queue.dirty = False
        return taken

    def write(self, queues: Iterable[ConsumeQueue], marks: list[int]) -> None:
        """Write each queue's units; `marks` gets one mark per queue done. For a worker thread."""
        for queue in queues:
            marks.append(queue.max_offset if queue.removed else queue.write_behind())
            self._unsynced[queue] = None

    def sync(self) -> None:
        """Make all written units durable, with the names of their files; for a worker thread.

        Raises:
            StoreIOError: nobody knows what the device has.
        """
        for queue in list(self.queues.values()):
            if queue.unsynced or queue.names_changed:
                self._unsynced[queue] = None
        self._sync_names()
        for queue in list(self._unsynced):
            if not queue.removed:
                queue.sync()
            self._unsynced.pop(queue, None)

    def _sync_names(self) -> None:
        changed = [queue for queue in self._unsynced if queue.names_changed and not queue.removed]
        directories: dict[str, None] = {}
        for queue in changed:
            directories |= dict.fromkeys((queue.directory, os.path.dirname(queue.directory)))
        for directory in [*directories, self._directory] if changed else ():
            if self._disk.is_directory(directory):
                self._disk.sync_directory(directory)
        for queue in changed:
            queue.names_changed = False

    def expired(self, min_physical: int) -> list[ConsumeQueue]:
        """Queues of ordinary topics all of whose messages lie before `min_physical`."""
        return [
            queue
            for queue in list(self.queues.values())
            if 0 <= queue.max_physical <= min_physical and not is_system_topic(queue.topic)
        ]

    def forget(self, queues: Iterable[ConsumeQueue]) -> list[ConsumeQueue]:
        """Take queues out of the table; their files are removed by `remove_files`."""
        gone = []
        for queue in queues:
            if self.queues.pop((queue.topic, queue.queue_id), None) is queue:
                queue.removed = True
                gone.append(queue)
        return gone

    def remove_files(self, queues: Iterable[ConsumeQueue]) -> None:
        """Remove files of forgotten queues and topic directories that became empty; blocking."""
        for queue in queues:
            queue.remove_files()
            self._disk.remove_directory(os.path.dirname(queue.directory))
