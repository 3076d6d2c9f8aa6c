"""What to delete, when, and when to refuse messages for lack of space.

The decision is a pure function over measured ratios; `container.md` section 3 has the
table (Java: ``CleanCommitLogService``), here in its single-replica form.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from store.config import MessageStoreConfig
    from store.files import FileSystem


@attrs.frozen
class DiskLimits:
    """Ratios 0..1. `clean` and `warning` are clamped as Java clamps them."""

    max_used: float
    clean: float
    warning: float

    @classmethod
    def of(cls, config: MessageStoreConfig) -> DiskLimits:
        return cls(
            config.disk_max_used_space_ratio / 100,
            min(max(config.disk_space_clean_forcibly_ratio / 100, 0.30), 0.85),
            min(max(config.disk_space_warning_level_ratio / 100, 0.35), 0.90),
        )


@attrs.frozen
class Cleaning:
    """What one pass does.

    Attributes:
        disk_full: Refuse messages from now on (True) or accept them (False).
        delete: Delete files.
        forced: Delete unexpired ones too.
        rule: The row of the table that matched, for the log.
    """

    disk_full: bool
    delete: bool
    forced: bool
    rule: str


def decide_cleaning(
    commit_log_ratio: float, consume_queue_ratio: float, disk_full: bool, limits: DiskLimits
) -> Cleaning:
    """Rows 1 to 7a of the table, first match wins.

    Between `clean` and `warning` the state is kept: messages are refused from above
    `warning` until the ratio is back at `clean`.

    Args:
        commit_log_ratio: Used share of the emptiest partition of the commit log, -1 unknown.
        consume_queue_ratio: The same for the consume queues.
        disk_full: Whether messages are refused now.
        limits: Where the steps are.
    """
    measured = (("commit log", commit_log_ratio), ("consume queue", consume_queue_ratio))
    for name, ratio in measured:
        if ratio > limits.warning:
            return Cleaning(True, True, True, f"{name} disk above the warning level")
        if ratio > limits.clean:
            return Cleaning(disk_full, True, True, f"{name} disk above the forcible cleaning level")
    for name, ratio in measured:
        if ratio < 0 or ratio > limits.max_used:
            return Cleaning(False, True, False, f"{name} disk above the maximum used ratio")
    return Cleaning(False, False, False, "enough space")


def is_time_to_delete(delete_when: str, now_ms: int) -> bool:
    """True during the hours (local time) that ``deleteWhen`` lists."""
    hour = time.localtime(now_ms // 1000).tm_hour
    return any(part.strip().isdigit() and int(part) == hour for part in delete_when.split(";"))


def used_ratio(path: str, files: FileSystem) -> float:
    """Used share of the partition of `path`; -1 when the path does not exist."""
    return files.space(path).used_ratio if files.exists(path) else -1.0


def emptiest_ratio(paths: list[str], files: FileSystem) -> float:
    """The smallest `used_ratio` of several paths."""
    return min((used_ratio(path, files) for path in paths), default=-1.0)


def ratio_text(
    commit_log_paths: list[str], consume_queue_path: str, index_path: str, files: FileSystem
) -> str:
    """``[CL: x CQ: y INDEX: z]``, used shares of the partitions, as the text of code 14 shows them."""
    log_ratio = emptiest_ratio(commit_log_paths, files)
    queue_ratio = used_ratio(consume_queue_path, files)
    return f"[CL: {log_ratio:5.2f} CQ: {queue_ratio:5.2f} INDEX: {used_ratio(index_path, files):5.2f}]"
