"""How full the partitions under a store are, and how much of them the store uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from store.config import quota_share
from store.errors import StoreMissingError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from store.commit_log import CommitLog
    from store.config import MessageStoreConfig
    from store.files import DiskSpace, FileSystem
    from store.index import MessageIndex
    from store.queue_table import QueueTable


@attrs.frozen(kw_only=True)
class DiskUse:
    """One broker's disk at a moment.

    Attributes:
        share: The part of the partition that the broker may fill, 0 < share <= 1; 1 without a quota.
        quota_bytes: What that is in bytes.
        used_bytes: Full sizes of the files of commit log, queues and index, holes and all; the quota is
            about these.
        partition: ``st_dev`` of the partition that counts: that of the commit log, the emptiest of several.
        partition_bytes: Its size, without what only the superuser may use; -1 unknown.
        used_ratio: Its used share, by whomever, 0 to 1 in whole percent; -1 unknown.
        disk_full: Messages are refused for lack of space.
        note: What somebody should know or do; None when there is nothing.
        rule: The rule that decided in the last pass of the cleaner.
    """

    share: float
    quota_bytes: int
    used_bytes: int
    partition: int
    partition_bytes: int
    used_ratio: float
    disk_full: bool
    note: str | None
    rule: str


@attrs.frozen
class PathSpace:
    """The partition of one directory; `space` is None and `device` -1 when the directory does not exist."""

    path: str
    space: DiskSpace | None
    device: int = -1

    @property
    def used_ratio(self) -> float:
        return -1.0 if self.space is None else self.space.used_ratio

    @property
    def available(self) -> int:
        """Bytes that can be written; no limit is known where the directory is missing."""
        return 1 << 62 if self.space is None else self.space.available

    def plus(self, freed: int) -> PathSpace:
        """The same once `freed` bytes more are free."""
        space = self.space
        if space is None or not freed:
            return self
        more = attrs.evolve(space, free=space.free + freed, available=space.available + freed)
        return attrs.evolve(self, space=more)


def measure(path: str, files: FileSystem) -> PathSpace:
    """Measure the partition of `path`.

    Raises:
        StoreIOError: the path exists and cannot be measured.
    """
    try:
        return PathSpace(path, files.space(path), files.device(path))
    except StoreMissingError:
        return PathSpace(path, None)


def emptiest(spaces: Sequence[PathSpace]) -> PathSpace:
    """The one with the smallest used share, the first of equal ones; a missing one only if all are."""
    return min(spaces, key=lambda each: (each.space is None, each.used_ratio))


def store_bytes(commit_log: CommitLog, queues: QueueTable, index: MessageIndex | None) -> int:
    """Full sizes of all files that the quota is about (Java: ``getMajorFileSize``); reads no disk."""
    return commit_log.total_bytes + queues.total_bytes + (0 if index is None else index.total_bytes)


def quota_bytes(space: DiskSpace | None, config: MessageStoreConfig) -> int:
    """The broker's share of a partition in bytes, 0 when it is unknown."""
    return 0 if space is None else int(space.usable * quota_share(config))


def ratio_text(commit_log: PathSpace, consume_queue: PathSpace, index: PathSpace) -> str:
    """``[CL: x CQ: y INDEX: z]``, used shares of the partitions, as the text of code 14 shows them."""
    ratios = (commit_log.used_ratio, consume_queue.used_ratio, index.used_ratio)
    return "[CL: {:5.2f} CQ: {:5.2f} INDEX: {:5.2f}]".format(*ratios)
