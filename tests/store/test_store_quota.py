"""A broker's share of its partition: what it deletes, and what waits until somebody confirms."""

from __future__ import annotations

import errno
import json
import logging
import os
from typing import TYPE_CHECKING, Any

import pytest
from store_kit import SizedDisk, closed, failing, message, open_store, opened, put_ok

from configuration import ConfigError
from store import OsFileSystem
from store.quota_consent import Purge, PurgeConsent, ShareInForce, decide_consent

if TYPE_CHECKING:
    from pathlib import Path

    from store import MessageStore

NOTHING, SOME = Purge(0, 0), Purge(3, 3 * 4096)


@pytest.mark.parametrize(
    ("known", "share", "purge", "confirmed", "after", "waits"),
    [
        # A share that deletes nothing is in force at once, and so is a greater one.
        (ShareInForce(), 1.0, NOTHING, False, ShareInForce(), False),
        (ShareInForce(), 0.5, NOTHING, False, ShareInForce(0.5), False),
        (ShareInForce(0.5), 0.25, NOTHING, False, ShareInForce(0.25), False),
        (ShareInForce(0.25), 0.5, SOME, False, ShareInForce(0.5), False),
        (ShareInForce(0.25), 1.0, NOTHING, False, ShareInForce(1.0), False),
        # One that is in force is never asked about again.
        (ShareInForce(0.25), 0.25, SOME, False, ShareInForce(0.25), False),
        # A new or smaller one waits if it would delete.
        (ShareInForce(), 0.5, SOME, False, ShareInForce(), True),
        (ShareInForce(0.5), 0.25, SOME, False, ShareInForce(0.5), True),
        (ShareInForce(), 0.5, SOME, True, ShareInForce(0.5, 0.5), False),
        # A confirmation is good for one share.
        (ShareInForce(0.5, 0.5), 0.25, SOME, True, ShareInForce(0.5, 0.5), True),
        (ShareInForce(0.5, 0.5), 0.25, SOME, False, ShareInForce(0.5), True),
        (ShareInForce(0.5), 0.25, SOME, True, ShareInForce(0.25, 0.25), False),
        (ShareInForce(1.0, 0.5), 0.5, SOME, True, ShareInForce(0.5, 0.5), False),
        # One that nothing was deleted for is not used up.
        (ShareInForce(), 0.5, NOTHING, True, ShareInForce(0.5), False),
    ],
)
def test_when_a_share_waits(
    known: ShareInForce, share: float, purge: Purge, confirmed: bool, after: ShareInForce, waits: bool
) -> None:
    assert decide_consent(known, share, purge, confirmed=confirmed) == (after, waits)


def filled(root: Path, disk: SizedDisk | None = None, **changes: Any) -> MessageStore:
    settings = {"delete_commit_log_files_interval": 0, "message_index_enable": False}
    store = opened(root, files=disk or SizedDisk(), **settings | changes)
    if store.max_phy_offset == 0:
        put_ok(store, *(message(i, body=bytes([i]) * 1000) for i in range(30)))
        store._behind.write_blocking()
    return store


def log_files(root: Path) -> list[int]:
    return [int(name) // 4096 for name in sorted(os.listdir(root / "commitlog"))]


def remembered(root: Path) -> Any:
    return json.loads((root / "config" / "diskShare.json").read_text())


def test_nothing_is_remembered_without_a_share(tmp_path: Path) -> None:
    store = filled(tmp_path)
    store._cleaner.pass_once()
    assert not (tmp_path / "config" / "diskShare.json").exists()
    use = store.disk_use()
    assert (use.share, use.quota_bytes, use.partition_bytes, use.used_ratio) == (1, 10**6, 10**6, 0.1)
    assert (use.note, use.disk_full, use.rule) == (None, False, "enough space")
    assert use.partition == os.stat(tmp_path).st_dev
    closed(store)


def test_used_bytes_are_full_sizes_of_log_queues_and_index(tmp_path: Path) -> None:
    with open_store(tmp_path, files=SizedDisk()) as store:
        put_ok(store, *(message(i, queue_id=i % 2, body=bytes(1000)) for i in range(6)))
        store._behind.write_blocking()
        assert len(os.listdir(tmp_path / "commitlog")) == 2
        index_size = 40 + 100 * 4 + 400 * 20
        assert store.disk_use().used_bytes == 2 * 4096 + 2 * 200 + index_size


@pytest.mark.parametrize(
    "keys",
    [
        {"quota_percent_for_disk_partition": 0.05},
        {"replicas_per_disk_partition": 20},
        {"quota_percent_for_disk_partition": 0.05, "replicas_per_disk_partition": 20},
    ],
)
def test_a_quota_is_kept_by_deleting_the_oldest_files_and_no_more(tmp_path: Path, keys: Any) -> None:
    disk = SizedDisk()
    store = opened(
        tmp_path, files=disk, delete_commit_log_files_interval=0, message_index_enable=False, **keys
    )
    for i in range(40):
        put_ok(store, message(i, body=bytes([i]) * 1000))
        store._cleaner.pass_once()
        assert store.writable
    store._behind.write_blocking()
    store._cleaner.pass_once()
    use = store.disk_use()
    assert (use.share, use.quota_bytes) == (0.05, 50_000)
    assert 0.8 * 50_000 - 4096 < use.used_bytes <= 0.8 * 50_000
    assert log_files(tmp_path)[-1] == 13
    assert use.note is None
    closed(store)


def test_expired_files_go_above_the_lower_step(tmp_path: Path) -> None:
    store = filled(
        tmp_path,
        quota_percent_for_disk_partition=0.053,
        file_reserved_time=0,
        disk_max_used_space_ratio=75,
        delete_file_batch_max=1,
    )
    assert 0.75 < store.disk_use().used_bytes / 53_000 < 0.8
    store._cleaner.pass_once()
    assert "0.75" not in store.disk_use().rule
    assert store.disk_use().rule.endswith("above 75% (diskMaxUsedSpaceRatio)")
    assert log_files(tmp_path) == list(range(10))  # mtime is not older than the test's clock
    store._cleaner._clock.current_ms = 1 << 60  # type: ignore[attr-defined]
    store._cleaner.pass_once()
    assert log_files(tmp_path) == list(range(1, 10))
    closed(store)


def test_a_new_share_that_would_purge_waits_says_so_and_goes_on_when_confirmed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "rocketmq.store")
    closed(filled(tmp_path))
    store = filled(tmp_path, quota_percent_for_disk_partition=0.025)
    store._cleaner.pass_once()
    store._cleaner.pass_once()
    note = (
        "a share of 0.025 would delete about 6 commit log files (24576 bytes) at once; nothing is deleted"
        " for it until that is confirmed: set quotaPurgeConfirmed=true"
    )
    assert store.disk_use().note == note
    assert [record.message for record in caplog.records].count(note) == 1
    assert log_files(tmp_path) == list(range(10))
    assert store.writable
    store.config.quota_purge_confirmed = True
    store._cleaner.pass_once()
    assert store.disk_use().note is None
    assert len(log_files(tmp_path)) == 4
    assert store.disk_use().used_bytes <= 0.8 * 25_000
    assert "a share of 0.025 of the disk is in force now" in caplog.text
    assert remembered(tmp_path) == {"share": 0.025, "confirmedShare": 0.025}
    closed(store)


def test_a_broker_that_has_lived_under_its_share_is_not_asked_again_after_a_crash(tmp_path: Path) -> None:
    keys: dict[str, Any] = {"quota_percent_for_disk_partition": 0.05}
    store = opened(tmp_path, files=SizedDisk(), message_index_enable=False, **keys)
    assert remembered(tmp_path)["share"] == 0.05
    put_ok(store, *(message(i, body=bytes(1000)) for i in range(60)))
    closed(store, clean=False)
    store = filled(tmp_path, **keys)
    assert store.disk_use().note is None
    for _ in range(2):
        store._cleaner.pass_once()
    assert store.disk_use().used_bytes <= 0.8 * 50_000
    closed(store)


def test_a_lower_share_asks_again_and_a_higher_one_does_not(tmp_path: Path) -> None:
    store = filled(tmp_path, quota_percent_for_disk_partition=0.1)
    store._cleaner.pass_once()
    assert store.disk_use().note is None
    store.config.quota_percent_for_disk_partition = 0.04
    store.config.quota_purge_confirmed = True
    store._cleaner.pass_once()
    count = len(log_files(tmp_path))
    assert count < 10
    store.config.quota_percent_for_disk_partition = 0.02
    store._cleaner.pass_once()
    assert "set it to false and to true again" in (store.disk_use().note or "")
    assert len(log_files(tmp_path)) == count
    closed(store)
    # The key stays in the file of the broker; that must not confirm what nobody has seen.
    store = filled(tmp_path, quota_percent_for_disk_partition=0.02, quota_purge_confirmed=True)
    assert "would delete about" in (store.disk_use().note or "")
    store.config.quota_purge_confirmed = False
    store._cleaner.pass_once()
    assert len(log_files(tmp_path)) == count
    store.config.quota_purge_confirmed = True
    store._cleaner.pass_once()
    assert len(log_files(tmp_path)) < count
    store.config.quota_percent_for_disk_partition = 0.03
    store._cleaner.pass_once()
    assert store.disk_use().note is None
    assert remembered(tmp_path)["share"] == 0.03
    closed(store)


def test_a_full_partition_deletes_although_the_share_waits(tmp_path: Path) -> None:
    disk = SizedDisk()
    closed(filled(tmp_path, disk))
    store = filled(tmp_path, disk, quota_percent_for_disk_partition=0.025)
    disk.used = 0.87
    store._cleaner.pass_once()
    assert store.disk_use().note
    assert log_files(tmp_path) == list(range(5, 10))
    closed(store)


def test_a_single_file_above_the_quota_asks_nobody(tmp_path: Path) -> None:
    with open_store(tmp_path, files=SizedDisk(), quota_percent_for_disk_partition=0.001) as store:
        put_ok(store, message())
        store._cleaner.pass_once()
        assert store.disk_use().note is None
        assert store.writable


@pytest.mark.parametrize("text", ["", "{", "[]", '{"share": "x"}', "{}"])
def test_a_damaged_memory_asks(tmp_path: Path, text: str) -> None:
    closed(filled(tmp_path))
    (tmp_path / "config" / "diskShare.json").write_text(text)
    store = filled(tmp_path, quota_percent_for_disk_partition=0.025)
    assert store.disk_use().note
    closed(store)


def test_a_memory_that_cannot_be_written_is_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disk = SizedDisk()
    disk.hook = failing("pwrite", "diskShare", errno.ENOSPC)
    store = filled(tmp_path, disk, quota_percent_for_disk_partition=0.5)
    store._cleaner.pass_once()
    assert caplog.text.count("the share in force cannot be saved") == 1
    assert not (tmp_path / "config" / "diskShare.json.tmp").exists()
    disk.hook = lambda *_: None
    store._cleaner.pass_once()
    assert remembered(tmp_path)["share"] == 0.5
    closed(store)


def test_contradicting_shares_start_no_store(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="quotaPercentForDiskPartition"):
        opened(tmp_path, quota_percent_for_disk_partition=0.5, replicas_per_disk_partition=3)


@pytest.mark.parametrize(
    "text",
    ['{"share":7', "[]", '{"share":"x","confirmedShare":null}', '{"share":7,"confirmedShare":null}', "NaN"],
)
def test_a_damaged_share_in_force_asks_again_and_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    path = tmp_path / "diskShare.json"
    path.write_text(text)
    assert PurgeConsent(str(path), OsFileSystem()).waits(0.5, Purge(1, 4096), confirmed=False)
    assert caplog.messages[0].startswith(f"{path}: is no share: ")
    assert caplog.messages[0].endswith("a share that would delete data asks again")
