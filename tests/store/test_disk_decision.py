"""The table of `store.retention`, row by row and at each boundary (container.md section 3)."""

from __future__ import annotations

import time

import pytest

from configuration import ConfigError
from store import MessageStoreConfig
from store.config import check_quota, quota_share
from store.retention import (
    Cleaning,
    DiskLimits,
    Full,
    Measured,
    decide_cleaning,
    files_above_quota,
    is_time_to_delete,
)

LIMITS = DiskLimits(max_used=0.75, clean=0.85, warning=0.90, quota_clean=0.80)
OK, EXPIRED, FORCED = (False, False), (True, False), (True, True)
LOG, QUEUE, RESERVE = Full(commit_log=True), Full(consume_queue=True), Full(reserve=True)
NONE = Full()


def decided(full: Full, limits: DiskLimits = LIMITS, **measured: object) -> Cleaning:
    values = {"commit_log": 0.1, "consume_queue": 0.1} | measured
    return decide_cleaning(Measured(**values), full, limits)


@pytest.mark.parametrize(
    ("log", "queue", "before", "row", "after", "action"),
    [
        (0.91, 0.10, NONE, "1", LOG, FORCED),
        (0.91, 0.10, LOG, "1", LOG, FORCED),
        (1.00, 0.95, NONE, "1", LOG, FORCED),
        (0.91, 0.10, QUEUE, "1", Full(commit_log=True, consume_queue=True), FORCED),
        (0.90, 0.10, NONE, "2", NONE, FORCED),
        (0.90, 0.10, LOG, "2", LOG, FORCED),
        (0.86, 0.95, LOG, "2", LOG, FORCED),
        (0.86, 0.95, NONE, "2", NONE, FORCED),
        (0.85, 0.10, LOG, "7a", NONE, EXPIRED),
        (0.80, 0.91, NONE, "4", QUEUE, FORCED),
        (0.80, 0.91, LOG, "4", QUEUE, FORCED),
        (0.80, 0.90, NONE, "5", NONE, FORCED),
        (0.80, 0.90, QUEUE, "5", QUEUE, FORCED),
        (0.80, 0.86, LOG, "5", NONE, FORCED),
        (0.10, 0.85, QUEUE, "7a", NONE, EXPIRED),
        (0.76, 0.10, NONE, "7a", NONE, EXPIRED),
        (0.75, 0.75, NONE, "", NONE, OK),
        (0.75, 0.76, NONE, "7a", NONE, EXPIRED),
        (0.10, 0.10, LOG, "", NONE, OK),
        (0.00, 0.00, NONE, "", NONE, OK),
        (-1.0, 0.10, NONE, "7a", NONE, EXPIRED),
        (-1.0, 0.10, LOG, "7a", NONE, EXPIRED),
        (0.10, -1.0, NONE, "7a", NONE, EXPIRED),
        (-1.0, 0.91, NONE, "4", QUEUE, FORCED),
    ],
)
def test_rows_of_the_partitions(
    log: float, queue: float, before: Full, row: str, after: Full, action: tuple[bool, bool]
) -> None:
    decision = decided(before, commit_log=log, consume_queue=queue)
    assert (decision.row, decision.full, (decision.delete, decision.forced)) == (row, after, action)
    assert decision.rule


@pytest.mark.parametrize(
    ("quota", "log", "queue", "row", "action"),
    [
        (0.81, 0.10, 0.10, "7b", FORCED),
        (0.8001, 0.10, 0.10, "7b", FORCED),
        (5.0, 0.10, 0.10, "7b", FORCED),
        (0.80, 0.10, 0.10, "7c", EXPIRED),
        (0.7501, 0.10, 0.10, "7c", EXPIRED),
        (0.75, 0.10, 0.10, "", OK),
        (0.0, 0.10, 0.10, "", OK),
        # With a quota M is about the quota, not about the partition.
        (0.10, 0.80, 0.80, "", OK),
        (0.10, -1.0, -1.0, "", OK),
        # The partition still comes first.
        (0.10, 0.86, 0.10, "2", FORCED),
        (0.10, 0.91, 0.10, "1", FORCED),
        (0.10, 0.10, 0.86, "5", FORCED),
        (0.99, 0.10, 0.91, "4", FORCED),
    ],
)
def test_rows_of_the_quota(
    quota: float, log: float, queue: float, row: str, action: tuple[bool, bool]
) -> None:
    decision = decided(NONE, quota=quota, commit_log=log, consume_queue=queue)
    assert (decision.row, (decision.delete, decision.forced)) == (row, action)


@pytest.mark.parametrize("quota", [0.81, 1.0, 100.0])
def test_the_quota_never_refuses_messages(quota: float) -> None:
    assert not decided(NONE, quota=quota).full
    assert not decided(LOG, quota=quota).full


def test_a_quota_that_waits_deletes_nothing_but_the_partition_still_does() -> None:
    waiting = decided(NONE, quota=0.9, quota_waits=True)
    assert (waiting.row, waiting.delete, waiting.forced) == ("7b", False, False)
    assert "quotaPurgeConfirmed" in waiting.rule
    assert decided(NONE, quota=0.8, quota_waits=True).row == "7c"
    assert decided(NONE, quota=0.9, quota_waits=True, commit_log=0.86).forced


def test_the_step_of_the_quota_is_the_key_and_no_clamp() -> None:
    limits = DiskLimits.of(MessageStoreConfig(logical_disk_space_clean_forcibly_threshold=0.2))
    assert decided(NONE, limits, quota=0.2).row == ""
    assert decided(NONE, limits, quota=0.21).row == "7b"


@pytest.mark.parametrize(
    ("free", "reserved", "before", "row", "refused"),
    [
        (999, 1000, NONE, "0", True),
        (1000, 1000, NONE, "", False),
        (1000, 1000, RESERVE, "0", True),
        (1249, 1000, RESERVE, "0", True),
        (1250, 1000, RESERVE, "", False),
        (0, 0, NONE, "", False),
        (0, 0, RESERVE, "", False),
    ],
)
def test_row_of_the_reserved_bytes(free: int, reserved: int, before: Full, row: str, refused: bool) -> None:
    decision = decided(before, free_bytes=free, reserved_bytes=reserved)
    assert (decision.row, bool(decision.full)) == (row, refused)
    assert (decision.delete, decision.forced) == (FORCED if refused else OK)


def test_reserved_bytes_come_first_and_leave_the_partitions_as_they_were() -> None:
    short = decided(LOG, free_bytes=1, reserved_bytes=2, commit_log=0.2)
    assert (short.row, short.full) == ("0", Full(commit_log=True, reserve=True))
    assert decided(short.full, free_bytes=10, reserved_bytes=2, commit_log=0.2).full == NONE


@pytest.mark.parametrize(("ratio", "forced"), [(0.10, False), (0.76, False), (0.86, True), (0.91, True)])
def test_a_failed_write_refuses_and_deletes_what_the_rows_allow(ratio: float, forced: bool) -> None:
    decision = decided(NONE, commit_log=ratio, write_failed=True)
    assert decision.full.write
    assert decision.delete
    assert decision.forced is forced
    assert "a write found no space" in decision.rule
    assert not decided(decision.full, commit_log=0.1).full


def test_a_failed_write_does_not_override_a_waiting_quota() -> None:
    decision = decided(NONE, quota=0.9, quota_waits=True, write_failed=True)
    assert (decision.delete, decision.forced) == EXPIRED


@pytest.mark.parametrize(
    ("clean", "warning", "expected"),
    [
        (85, 90, (0.85, 0.90)),
        (86, 91, (0.85, 0.90)),
        (99, 99, (0.85, 0.90)),
        (84, 89, (0.84, 0.89)),
        (30, 35, (0.30, 0.35)),
        (29, 34, (0.30, 0.35)),
        (0, 0, (0.30, 0.35)),
    ],
)
def test_ratios_are_clamped_as_java_clamps_them(
    clean: int, warning: int, expected: tuple[float, float]
) -> None:
    config = MessageStoreConfig(disk_space_clean_forcibly_ratio=clean, disk_space_warning_level_ratio=warning)
    limits = DiskLimits.of(config)
    assert (limits.clean, limits.warning) == expected


@pytest.mark.parametrize(
    ("files", "used", "limit", "expected"),
    [(10, 1000, 1000, 0), (10, 1001, 1000, 1), (10, 1100, 1000, 1), (10, 1101, 1000, 2), (3, 9999, 0, 2),
     (1, 9999, 0, 0), (0, 50, 0, 0)],
)  # fmt: skip
def test_files_that_a_purge_would_delete(files: int, used: int, limit: int, expected: int) -> None:
    assert files_above_quota(files, 100, used, limit) == expected


def test_delete_when_lists_local_hours() -> None:
    for hour in range(24):
        moment = int(time.mktime((2024, 5, 6, hour, 59, 59, 0, 0, -1))) * 1000
        assert is_time_to_delete("04;17", moment) == (hour in (4, 17))
        assert not is_time_to_delete("", moment)


@pytest.mark.parametrize(
    ("percent", "replicas", "share"),
    [(1.0, 1, 1.0), (0.25, 1, 0.25), (1.0, 4, 0.25), (0.25, 4, 0.25), (0.33, 3, 0.33), (1.0, 3, 1 / 3)],
)
def test_either_key_says_the_share(percent: float, replicas: int, share: float) -> None:
    config = MessageStoreConfig(
        quota_percent_for_disk_partition=percent, replicas_per_disk_partition=replicas
    )
    check_quota(config)
    assert quota_share(config) == share


@pytest.mark.parametrize(("percent", "replicas"), [(0.5, 3), (0.25, 2), (0.99, 2), (0.1, 100)])
def test_shares_that_contradict_each_other_are_refused(percent: float, replicas: int) -> None:
    config = MessageStoreConfig(
        quota_percent_for_disk_partition=percent, replicas_per_disk_partition=replicas
    )
    with pytest.raises(ConfigError, match="contradict each other"):
        check_quota(config)


@pytest.mark.parametrize(
    ("key", "value"),
    [("quota_percent_for_disk_partition", 0.0), ("quota_percent_for_disk_partition", 1.01),
     ("quota_percent_for_disk_partition", -0.5), ("replicas_per_disk_partition", 0),
     ("disk_space_reserved_bytes", -1)],
)  # fmt: skip
def test_shares_that_are_none_are_refused(key: str, value: float) -> None:
    with pytest.raises(ConfigError):
        MessageStoreConfig(**{key: value})
