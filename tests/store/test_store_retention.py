"""What goes, when, and when messages are refused: the cleaner at work on small files."""

from __future__ import annotations

import errno
import os
import time
from typing import TYPE_CHECKING

import pytest
from store_kit import (
    START_MS,
    FaultyDisk,
    ManualClock,
    SizedDisk,
    bodies,
    closed,
    failing,
    make_store,
    message,
    open_store,
    opened,
    put_ok,
)

from store import PutStatus, StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from store import MessageStore


HOUR_MS = 3_600_000
NOT_NOW = f"{(time.localtime().tm_hour + 12) % 24:02d}"


def filled(root: Path, **changes: object) -> tuple[MessageStore, SizedDisk, ManualClock]:
    disk = SizedDisk()
    clock = ManualClock(time.time_ns() // 1_000_000)
    store = opened(
        root, files=disk, clock=clock, disk_max_used_space_ratio=75,
        **{"delete_when": NOT_NOW, "delete_commit_log_files_interval": 0} | changes,
    )  # fmt: skip
    put_ok(store, *(message(i, body=bytes([i]) * 1000) for i in range(30)))
    store._behind.write_blocking()
    return store, disk, clock


def file_names(root: Path) -> list[int]:
    return [int(name) // 4096 for name in sorted(os.listdir(root / "commitlog"))]


def test_nothing_goes_before_its_time(tmp_path: Path) -> None:
    store, _, clock = filled(tmp_path)
    clock.advance(73 * HOUR_MS)
    store._cleaner.pass_once()
    assert file_names(tmp_path) == list(range(10))
    closed(store)


def test_expired_files_go_in_the_deletion_hour_oldest_first_in_bounds(tmp_path: Path) -> None:
    hours = ";".join(f"{hour:02d}" for hour in range(24))
    store, _, clock = filled(tmp_path, delete_when=hours, delete_file_batch_max=4)
    store._cleaner.pass_once()
    assert file_names(tmp_path) == list(range(10))
    clock.advance(73 * HOUR_MS)
    store._cleaner.pass_once()
    assert file_names(tmp_path) == [4, 5, 6, 7, 8, 9]
    store._cleaner.pass_once()
    store._cleaner.pass_once()
    assert file_names(tmp_path) == [9]
    assert store.min_phy_offset == 9 * 4096
    assert store.min_offset("TopicTest", 0) == 27
    assert bodies(store) == [bytes([i]) * 1000 for i in range(27, 30)]
    assert len(os.listdir(tmp_path / "consumequeue" / "TopicTest" / "0")) == 1
    closed(store)
    with open_store(tmp_path) as store:
        assert store.min_offset("TopicTest", 0) == 27
        assert put_ok(store, message())[0].queue_offset == 30


def test_manual_deletion_ignores_the_hour_for_twenty_rounds(tmp_path: Path) -> None:
    store, _, clock = filled(tmp_path, delete_file_batch_max=1)
    clock.advance(73 * HOUR_MS)
    store.delete_expired_files()
    for _ in range(3):
        store._cleaner.pass_once()
    assert file_names(tmp_path) == list(range(3, 10))
    assert store.statistics().cleaner.manual_rounds == 17
    closed(store)


@pytest.mark.parametrize(
    ("used", "enabled", "left"),
    [
        (0.87, True, list(range(5, 10))),
        (0.99, True, [9]),
        (0.87, False, list(range(10))),
        (0.99, False, list(range(10))),
    ],
)
def test_a_fuller_disk_takes_unexpired_files_as_many_as_it_needs_and_only_when_allowed(
    tmp_path: Path, used: float, enabled: bool, left: list[int]
) -> None:
    store, disk, _ = filled(tmp_path, clean_file_forcibly_enable=enabled)
    disk.used = used
    store._cleaner.pass_once()
    assert file_names(tmp_path) == left
    assert store.writable is (used < 0.9)
    closed(store)


def test_one_pass_deletes_no_more_than_the_batch(tmp_path: Path) -> None:
    store, disk, _ = filled(tmp_path, delete_file_batch_max=2)
    disk.used = 0.99
    store._cleaner.pass_once()
    assert file_names(tmp_path) == list(range(2, 10))
    store._cleaner.pass_once()
    assert file_names(tmp_path) == list(range(4, 10))
    closed(store)


@pytest.mark.parametrize("prepared", [False, True])
def test_the_file_that_is_written_is_never_deleted(tmp_path: Path, prepared: bool) -> None:
    store, disk, clock = filled(tmp_path, delete_file_batch_max=100)
    if prepared:
        store._log.keep_next_file(store._log.prepare_next_file())
    active = store._log.tail // 4096
    clock.advance(1000 * HOUR_MS)
    disk.used = 0.99
    store.delete_expired_files()
    for _ in range(5):
        store._cleaner.pass_once()
    assert file_names(tmp_path)[0] == active
    assert bodies(store)
    disk.used = 0.1
    store._cleaner.pass_once()
    put_ok(store, *(message(i, body=bytes(1000)) for i in range(5)))
    assert len(bodies(store)) >= 6
    closed(store)


def test_queues_follow_the_log_after_a_pass_that_failed(tmp_path: Path) -> None:
    disk = FaultyDisk()
    clock = ManualClock(START_MS)
    store = opened(tmp_path, files=disk, clock=clock, delete_commit_log_files_interval=0)
    put_ok(store, *(message(i, body=bytes([i]) * 1000) for i in range(30)))
    store._behind.write_blocking()
    clock.current_ms = 1 << 60
    store.delete_expired_files()
    disk.hook = failing("remove", "consumequeue", errno.EIO)
    with pytest.raises(StoreError):
        store._cleaner.pass_once()
    disk.hook = lambda _operation, _path, _detail: None
    store._cleaner.pass_once()
    assert store.min_offset("TopicTest", 0) == 27
    closed(store)


def test_a_full_disk_refuses_until_the_lower_mark(tmp_path: Path) -> None:
    store, disk, _ = filled(tmp_path)
    for used, writable in ((0.91, False), (0.87, False), (0.84, True), (0.88, True)):
        disk.used = used
        store._cleaner.pass_once()
        assert store.writable is writable, used
        if not writable:
            assert store.put([message()])[0].status is PutStatus.SERVICE_NOT_AVAILABLE
            assert store.unwritable_reason == (
                f"the broker's disk is full [CL:  {used:.2f} CQ:  {used:.2f} INDEX:  {used:.2f}]"
            )
    closed(store)


def test_queues_without_messages_are_cleaned_by_hand(tmp_path: Path) -> None:
    clock = ManualClock(time.time_ns() // 1_000_000)
    with open_store(tmp_path, clock=clock, delete_commit_log_files_interval=0) as store:
        put_ok(store, message(topic="Old"), message(topic="rmq_sys_x"))
        put_ok(store, *(message(i, body=bytes(1000)) for i in range(12)))
        store._behind.write_blocking()
        assert store.clean_expired_consume_queues() == 0
        clock.advance(100 * HOUR_MS)
        store.delete_expired_files()
        store._cleaner.pass_once()
        assert store.clean_expired_consume_queues() == 1
        assert store.topics() == {"TopicTest", "rmq_sys_x"}
        assert not (tmp_path / "consumequeue" / "Old").exists()


def test_delete_topic_starts_its_queues_again_at_zero(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        put_ok(store, message(0), message(1, queue_id=3))
        store._behind.write_blocking()
        assert store.queues("TopicTest") == [0, 3]
        assert store.delete_topics(["TopicTest"]) == 1
        assert not (tmp_path / "consumequeue" / "TopicTest").exists()
        assert put_ok(store, message(2))[0].queue_offset == 0
        assert bodies(store) == [b"body-2"]
    with open_store(tmp_path) as store:
        assert bodies(store) == [b"body-2"]


def test_store_that_was_never_loaded_can_be_shut_down(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    store.shutdown()
    store.release()
    assert not (tmp_path / "abort").exists()
