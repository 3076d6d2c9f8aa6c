"""What operators see of a store: its statistics and the disk's part of the runtime table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from store.disk_space import emptiest, measure
from store.runtime_text import human_bytes

if TYPE_CHECKING:
    from store.cleaner import CleanerStatistics
    from store.commit_log import CommitLog, CommitLogStatistics
    from store.files import FileSystem
    from store.flush import FlushStatistics
    from store.index import IndexStatistics
    from store.queue_table import QueueTableStatistics
    from store.write_behind import WriteBehindStatistics


@attrs.frozen
class StoreStatistics:
    """Counters of one store and its parts."""

    commit_log: CommitLogStatistics
    queues: QueueTableStatistics
    index: IndexStatistics | None
    flush: FlushStatistics
    write_behind: WriteBehindStatistics
    cleaner: CleanerStatistics
    messages_put: int
    bytes_put: int
    messages_refused: int
    messages_got: int
    gets_found: int
    gets_missed: int
    cold_gets: int
    put_tps: float
    """Messages put per second, over the last 10 s."""
    get_tps: float
    """Messages got per second, over the last 10 s."""


def disk_table(
    commit_log: CommitLog, commit_log_paths: list[str], consume_queue_path: str, files: FileSystem
) -> dict[str, str]:
    """Keys of the runtime table (code 28) about log and disk; measures space, reads no file.

    Raises:
        StoreIOError: the space of a partition cannot be measured.
    """
    space = files.space(commit_log_paths[0])
    spaces = [measure(path, files) for path in commit_log_paths]
    info = {
        # No lock: the loop that appends is the one that answers, so no append is under way then.
        "pageCacheLockTimeMills": "0",
        # No transient pool; this is what Java says without one.
        "remainTransientStoreBufferNumbs": str(2**31 - 1),
        "remainHowManyDataToFlush": human_bytes(commit_log.tail - commit_log.flushed),
        "consumeQueueDiskRatio": str(measure(consume_queue_path, files).used_ratio),
        "commitLogDiskRatio": str(emptiest(spaces).used_ratio),
        "commitLogMinOffset": str(commit_log.min_offset),
        "commitLogMaxOffset": str(commit_log.tail),
        "commitLogDirCapacity": f"Total : {human_bytes(space.total)}, Free : {human_bytes(space.free)}.",
    }
    for each in spaces:
        info[f"commitLogDiskRatio_{each.path}"] = str(each.used_ratio)
    return info
