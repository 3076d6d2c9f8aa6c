"""Shares of a partition that promise more than there is."""

from __future__ import annotations

from container.container_status import share_warnings
from store.disk_space import DiskUse


def use(partition: int, share: float) -> DiskUse:
    return DiskUse(
        share=share,
        quota_bytes=int(1000 * share),
        used_bytes=0,
        partition=partition,
        partition_bytes=1000,
        used_ratio=0.1,
        disk_full=False,
        note=None,
        rule="",
    )


def test_shares_that_fit_say_nothing() -> None:
    assert share_warnings([("a", use(1, 0.4)), ("b", use(1, 0.6)), ("c", use(2, 0.9))]) == []


def test_brokers_without_quota_say_nothing() -> None:
    assert share_warnings([("a", use(1, 1.0)), ("b", use(1, 1.0))]) == []


def test_more_than_all_of_a_partition_is_said_with_names() -> None:
    (warning,) = share_warnings([("a", use(1, 0.7)), ("b", use(1, 0.6)), ("c", use(2, 0.5))])
    assert "1.3" in warning
    assert "a 0.7, b 0.6" in warning


def test_a_broker_without_quota_beside_one_with_a_quota_is_said() -> None:
    (warning,) = share_warnings([("a", use(1, 0.5)), ("b", use(1, 1.0))])
    assert "1.5" in warning
