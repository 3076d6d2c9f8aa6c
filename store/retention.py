"""What to delete, when, and when to refuse messages for lack of space.

The decision is a pure function over what was measured. Rows 1 to 7 are those of Java's
``CleanCommitLogService`` (P, C: used share of the partitions of commit log and consume
queues; F, W, M: ``diskSpaceCleanForciblyRatio``, ``diskSpaceWarningLevelRatio``,
``diskMaxUsedSpaceRatio``; G: the broker's files against its quota; L:
``logicalDiskSpaceCleanForciblyThreshold``). The first that matches decides:

| row | when | messages are | deleted are |
|-----|------|--------------|-------------|
| 0   | fewer bytes are free than ``diskSpaceReservedBytes`` | refused | expired files, then others |
| 1   | P > W | refused | expired files, then others |
| 2   | P > F | as before | expired files, then others |
| 3   | otherwise | accepted, go on | |
| 4–6 | the same three for C | | |
| 7a  | no quota; P or C unknown or > M | | expired files |
| 7b  | quota; G > L | | expired files, then others |
| 7c  | quota; G > M | | expired files |

Row 0 is ours. Unlike in Java each partition remembers for itself that it was full: the
one of the queues is accepted again at F too, and keeps nobody waiting who never reached W.
A write that found no space refuses messages besides, and deletes expired files.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from store.config import MessageStoreConfig

RESERVE_HYSTERESIS = 1.25
"""Messages are accepted again when this much of the reserve is free."""


@attrs.frozen
class DiskLimits:
    """Ratios 0..1. `clean` and `warning` are clamped as Java clamps them."""

    max_used: float
    clean: float
    warning: float
    quota_clean: float = 0.8

    @classmethod
    def of(cls, config: MessageStoreConfig) -> DiskLimits:
        return cls(
            config.disk_max_used_space_ratio / 100,
            min(max(config.disk_space_clean_forcibly_ratio / 100, 0.30), 0.85),
            min(max(config.disk_space_warning_level_ratio / 100, 0.35), 0.90),
            config.logical_disk_space_clean_forcibly_threshold,
        )


@attrs.frozen
class Full:
    """Why messages are refused, remembered from one decision to the next.

    Attributes:
        commit_log: Its partition came above W and was not at F since.
        consume_queue: The same for the partition of the queues.
        reserve: Row 0 matched.
        write: A write found no space.
    """

    commit_log: bool = False
    consume_queue: bool = False
    reserve: bool = False
    write: bool = False

    def __bool__(self) -> bool:
        return self.commit_log or self.consume_queue or self.reserve or self.write


@attrs.frozen(kw_only=True)
class Measured:
    """What a decision is made of.

    Attributes:
        commit_log: P, used share of the emptiest partition of the commit log; -1 unknown.
        consume_queue: C, used share of the partition of the consume queues; -1 unknown.
        quota: G, the broker's files as a part of its quota; None without a quota.
        quota_waits: Nothing may be deleted because of the quota until somebody confirms.
        free_bytes: Free bytes where the commit log can grow, or of the queues, whichever are fewer.
        reserved_bytes: ``diskSpaceReservedBytes``.
        write_failed: A write found no space a moment ago.
    """

    commit_log: float
    consume_queue: float
    quota: float | None = None
    quota_waits: bool = False
    free_bytes: int = 1 << 62
    reserved_bytes: int = 0
    write_failed: bool = False


@attrs.frozen
class Cleaning:
    """What one pass does.

    Attributes:
        full: Why messages are refused from now on; false when they are accepted.
        delete: Delete expired files.
        forced: Delete others too.
        row: The row of the table that matched, ``""`` when none did.
        rule: The same in words, for the log.
    """

    full: Full
    delete: bool
    forced: bool
    row: str
    rule: str


def decide_cleaning(measured: Measured, full: Full, limits: DiskLimits) -> Cleaning:
    """The table of this module.

    Args:
        measured: The disk now.
        full: What the last decision said.
        limits: Where the steps are.
    """
    decided = _decide_by_space(measured, full, limits)
    if measured.write_failed:
        why = "a write found no space"
        rule = f"{why}; {decided.rule}" if decided.row else why
        return attrs.evolve(decided, full=attrs.evolve(decided.full, write=True), delete=True, rule=rule)
    return decided


def _decide_by_space(measured: Measured, full: Full, limits: DiskLimits) -> Cleaning:
    reserve = measured.reserved_bytes * (RESERVE_HYSTERESIS if full.reserve else 1)
    full = attrs.evolve(full, reserve=measured.free_bytes < reserve, write=False)
    if full.reserve:
        rule = f"{measured.free_bytes} bytes are free where {reserve:.0f} are wanted (diskSpaceReservedBytes)"
        return Cleaning(full, True, True, "0", rule)
    for name, ratio, above_warning, above_clean in (
        ("commit_log", measured.commit_log, "1", "2"),
        ("consume_queue", measured.consume_queue, "4", "5"),
    ):
        disk = f"the disk of the {name.replace('_', ' ')} is used to {ratio:.0%}"
        if ratio > limits.warning:
            rule = f"{disk}, above {limits.warning:.0%} (diskSpaceWarningLevelRatio)"
            return Cleaning(attrs.evolve(full, **{name: True}), True, True, above_warning, rule)
        if ratio > limits.clean:
            rule = f"{disk}, above {limits.clean:.0%} (diskSpaceCleanForciblyRatio)"
            return Cleaning(full, True, True, above_clean, rule)
        full = attrs.evolve(full, **{name: False})
    if measured.quota is not None:
        return _decide_by_quota(measured.quota, measured, full, limits)
    for name, ratio in (("commit log", measured.commit_log), ("consume queue", measured.consume_queue)):
        if ratio < 0:
            return Cleaning(full, True, False, "7a", f"the disk of the {name} is unknown")
        if ratio > limits.max_used:
            rule = f"the disk of the {name} is used to {ratio:.0%}, above {limits.max_used:.0%}"
            return Cleaning(full, True, False, "7a", f"{rule} (diskMaxUsedSpaceRatio)")
    return Cleaning(full, False, False, "", "enough space")


def _decide_by_quota(ratio: float, measured: Measured, full: Full, limits: DiskLimits) -> Cleaning:
    files = f"files take {ratio:.1%} of the quota"
    if ratio > limits.quota_clean:
        rule = f"{files}, above {limits.quota_clean:.0%} (logicalDiskSpaceCleanForciblyThreshold)"
        if measured.quota_waits:
            return Cleaning(full, False, False, "7b", f"{rule}: waits for quotaPurgeConfirmed")
        return Cleaning(full, True, True, "7b", rule)
    if ratio > limits.max_used:
        rule = f"{files}, above {limits.max_used:.0%} (diskMaxUsedSpaceRatio)"
        return Cleaning(full, True, False, "7c", rule)
    return Cleaning(full, False, False, "", "enough space")


def files_above_quota(file_count: int, file_bytes: int, used_bytes: int, limit_bytes: int) -> int:
    """How many commit log files a purge down to `limit_bytes` would delete; the last one always stays.

    What the queues and the index give back with them is not counted.
    """
    excess = max(0, used_bytes - limit_bytes)
    return max(0, min(file_count - 1, -(-excess // file_bytes)))


def is_time_to_delete(delete_when: str, now_ms: int) -> bool:
    """True during the hours (local time) that ``deleteWhen`` lists."""
    hour = time.localtime(now_ms // 1000).tm_hour
    return any(part.strip().isdigit() and int(part) == hour for part in delete_when.split(";"))
