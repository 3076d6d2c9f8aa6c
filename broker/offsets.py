"""Consumer offsets: how far each group has come in each queue, and where it has been told to go.

Mirrors `org.apache.rocketmq.broker.offset.ConsumerOffsetManager`; the file is `config/consumerOffset.json`.
`query` and `commit` are on the way of every pull: two dictionary look-ups, nothing else.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from broker.saved_table import SavedTable
from broker.table_content import int64, section
from broker.versions import next_version, version_from
from remoting.protocol.body import DataVersion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from broker.offset_journal import OffsetJournal
    from store import ConfigTable

__all__ = ["NO_OFFSET", "ConsumerOffsetManager"]

_log = logging.getLogger("rocketmq.broker")

NO_OFFSET = -1
"""What a query answers when the group has no offset in the queue."""

_Table = dict[str, dict[int, int]]


class ConsumerOffsetManager:
    """Offsets by `topic@group` and queue id.

    Args:
        file: consumerOffset.json.
        clock_ms: time of the data version.
        journal: keeps commits between two saves of the file through a crash.
        version_step: commits from one data version to the next (consumerOffsetUpdateVersionStep).
    """

    def __init__(
        self,
        file: ConfigTable,
        *,
        clock_ms: Callable[[], int],
        journal: OffsetJournal | None = None,
        version_step: Callable[[], int] = lambda: 500,
    ) -> None:
        self.data_version = DataVersion(counter=0, state_version=0, timestamp=clock_ms())
        self.file = SavedTable(file, snapshot=self._snapshot, to_json_object=_to_json_object, journal=journal)
        self._journal = journal
        self._clock_ms = clock_ms
        self._version_step = version_step
        self._commits = 0
        self._offsets: _Table = {}
        self._pull_offsets: _Table = {}
        self._resets: _Table = {}

    def load(self) -> None:
        """Read the file and the journal. Blocks; call it in a worker thread before the broker serves.

        The table is to be saved once before the first commit: that begins the journal's first segment.

        Raises:
            StoreCorruptError: the file is damaged, and so is its backup.
            StoreIOError: a file cannot be read.
        """
        found, text = self.file.load_with_text(_parsed) or (None, "")
        if found is not None:
            version, self._offsets = found
            self.data_version = version or self.data_version
        if self._journal is not None:
            for record in self._journal.replay(text):
                self._offsets.setdefault(record.key, {})[record.queue_id] = record.offset
        self.file.changed()

    def close(self) -> None:
        """The table was saved and nothing commits any more: the journal can go. Blocks."""
        if self._journal is not None:
            self._journal.discard()

    def release(self) -> None:
        """Nothing commits any more: the journal is closed and stays. A second call does nothing."""
        if self._journal is not None:
            self._journal.close()

    # The way of every pull

    def query(self, group: str, topic: str, queue_id: int) -> int:
        """The offset that the group reads next, or -1; an offset that is being reset comes first."""
        key = f"{topic}@{group}"
        if self._resets and (reset := self._resets.get(key)) is not None and queue_id in reset:
            return reset[queue_id]
        row = self._offsets.get(key)
        return NO_OFFSET if row is None else row.get(queue_id, NO_OFFSET)

    def commit(self, client_host: str, group: str, topic: str, queue_id: int, offset: int) -> None:
        """Keep `offset`; it may go down, because only the consumer knows what it wants to read again."""
        key = f"{topic}@{group}"
        row = self._offsets.get(key)
        if row is None:
            row = self._offsets[key] = {}
        old = row.get(queue_id)
        if old == offset:
            return
        if old is not None and offset < old:
            _log.warning(
                "update consumer offset to less than it was, clientHost=%s, key=%s, queueId=%d, "
                "requestOffset=%d, storeOffset=%d",
                client_host, key, queue_id, offset, old,
            )  # fmt: skip
        row[queue_id] = offset
        self._commits += 1
        if self._commits % self._version_step() == 0:
            self._next_version()
        self._keep(key, queue_id, offset)
        self.file.changed()

    def _keep(self, key: str, queue_id: int, offset: int) -> None:
        """Let the offset live through a crash before the table is saved."""
        if self._journal is not None:
            self._journal.append(key, queue_id, offset)

    def commit_pull(self, group: str, topic: str, queue_id: int, offset: int) -> None:
        """Remember how far messages were handed out (in memory only): what lies between is in flight."""
        key = f"{topic}@{group}"
        row = self._pull_offsets.get(key)
        if row is None:
            row = self._pull_offsets[key] = {}
        row[queue_id] = offset

    def query_pull(self, group: str, topic: str, queue_id: int) -> int:
        """How far messages were handed out, or the committed offset when none were since the start."""
        row = self._pull_offsets.get(f"{topic}@{group}")
        if row is None or queue_id not in row:
            return self.query(group, topic, queue_id)
        return row[queue_id]

    # Resetting at the broker (useServerSideResetOffset)

    def reset(self, group: str, topic: str, queue_id: int, offset: int) -> None:
        """Let the next pull of the queue be told to go on at `offset`, and keep it as the offset."""
        if not topic or not group or queue_id < 0 or offset < 0:
            raise ValueError(f"cannot reset {topic}@{group} queue {queue_id} to {offset}")
        key = f"{topic}@{group}"
        self._resets.setdefault(key, {})[queue_id] = offset
        self._offsets.setdefault(key, {})[queue_id] = offset
        self._keep(key, queue_id, offset)
        self._next_version()
        self.file.changed()

    def has_reset(self, group: str, topic: str, queue_id: int) -> bool:
        """Whether a reset of the queue waits for its next pull; commits are ignored as long as it does."""
        return bool(self._resets) and queue_id in self._resets.get(f"{topic}@{group}", ())

    def take_reset(self, group: str, topic: str, queue_id: int) -> int | None:
        """The offset that the queue was reset to, once; None when there is none."""
        if not self._resets:
            return None
        key = f"{topic}@{group}"
        row = self._resets.get(key)
        if row is None:
            return None
        offset = row.pop(queue_id, None)
        if not row:
            del self._resets[key]
        return offset

    # Administration

    def row(self, group: str, topic: str) -> Mapping[int, int]:
        """Offsets of the group by queue id; empty when it has none."""
        return self._offsets.get(f"{topic}@{group}", {})

    def which_topics_by_consumer(self, group: str) -> set[str]:
        """Topics in which the group has offsets."""
        return {topic for topic, other in self._keys() if other == group}

    def which_groups_by_topic(self, topic: str) -> set[str]:
        """Groups that have offsets in the topic."""
        return {group for other, group in self._keys() if other == topic}

    def clone(self, source_group: str, target_group: str, topic: str) -> None:
        """Give `target_group` the offsets of `source_group` in the topic."""
        row = self._offsets.get(f"{topic}@{source_group}")
        if row is not None:
            target = f"{topic}@{target_group}"
            self._offsets[target] = dict(row)
            for queue_id, offset in row.items():
                self._keep(target, queue_id, offset)
            self._next_version()
            self.file.changed()

    def remove_group(self, group: str) -> None:
        """Forget every offset of a group."""
        self._remove([key for key in self._all_keys() if key.endswith(f"@{group}")])

    def remove_topic(self, topic: str) -> None:
        """Forget every offset in a topic."""
        self._remove([key for key in self._all_keys() if key.startswith(f"{topic}@")])

    def to_json_object(self) -> dict[str, Any]:
        """The content of consumerOffset.json as it would be written now."""
        return _to_json_object(self._snapshot())

    def _keys(self) -> Iterable[tuple[str, str]]:
        for key in self._offsets:
            topic, _, group = key.partition("@")
            yield topic, group

    def _all_keys(self) -> set[str]:
        return {*self._offsets, *self._pull_offsets, *self._resets}

    def _remove(self, keys: list[str]) -> None:
        for key in keys:
            for table in (self._offsets, self._pull_offsets, self._resets):
                table.pop(key, None)
        if keys:
            self._next_version()
            self.file.changed()

    def _next_version(self) -> None:
        self.data_version = next_version(self.data_version, self._clock_ms())

    def _snapshot(self) -> _Snapshot:
        return _Snapshot(self.data_version, _copy(self._offsets), _copy(self._pull_offsets))


class _Snapshot(NamedTuple):
    data_version: DataVersion
    offsets: _Table
    pull_offsets: _Table


def _copy(table: _Table) -> _Table:
    return {key: dict(row) for key, row in table.items()}


def _parsed(content: dict[str, Any]) -> tuple[DataVersion | None, _Table]:
    table = section(content, "offsetTable")
    return version_from(content), {
        str(key): {
            int64(queue_id, f"a queue of {key}"): int64(offset, f"offset of {key}")
            for queue_id, offset in section(table, key).items()
        }
        for key in table
    }


def _to_json_object(snapshot: _Snapshot) -> dict[str, Any]:
    """Java's four keys. It reads back only the version and the offsets; the others are for people."""
    topics: dict[str, list[str]] = {}
    for key in sorted(snapshot.offsets):
        topic, at, group = key.partition("@")
        if at and "@" not in group:
            topics.setdefault(group, []).append(topic)
    return {
        "dataVersion": snapshot.data_version.to_json_object(),
        "groupTopicMap": topics,
        "offsetTable": snapshot.offsets,
        "pullOffsetTable": snapshot.pull_offsets,
    }
