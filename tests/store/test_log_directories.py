"""A commit log in several directories: who gets the next file, what is found again, what is full."""

from __future__ import annotations

import errno
import os
from itertools import permutations
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing
from store_kit import (
    SizedDisk,
    bodies,
    closed,
    failing,
    make_store,
    message,
    new_disk,
    open_store,
    opened,
    put_ok,
    running,
)

from store import StoreCorruptError
from store.log_directories import LogDirectories

if TYPE_CHECKING:
    from pathlib import Path

    from tests.simulation.disk import SimulatedDisk


def paths(root: Path, *names: str) -> str:
    return ",".join(str(root / name) for name in names)


def files_in(root: Path, name: str) -> list[int]:
    directory = root / name
    return [int(each) // 4096 for each in sorted(os.listdir(directory))] if directory.exists() else []


def big(number: int) -> Any:
    return message(number, body=bytes([number]) * 3500)


def put_files(store: Any, first: int, count: int) -> None:
    """One message per file."""
    for number in range(first, first + count):
        put_ok(store, big(number))


def test_files_go_in_turn_whatever_the_order_of_the_list(tmp_path: Path) -> None:
    for number, names in enumerate(permutations("abc")):
        root = tmp_path / str(number)
        with open_store(root / "root", store_path_commit_log=paths(root, *names)) as store:
            put_files(store, 0, 6)
        assert [files_in(root, name) for name in "abc"] == [[0, 3], [1, 4], [2, 5]]


def test_a_list_may_be_reordered_and_grow(tmp_path: Path) -> None:
    lists = [("b",), ("b", "a"), ("c", "a", "b"), ("a", "b", "c")]
    for number, names in enumerate(lists):
        listed = paths(tmp_path, *names)
        with open_store(tmp_path / "root", store_path_commit_log=listed + ", ,") as store:
            assert len(bodies(store)) == 2 * number
            put_files(store, 2 * number, 2)
    with open_store(tmp_path / "root", store_path_commit_log=paths(tmp_path, "a", "b", "c")) as store:
        assert bodies(store) == [bytes([number]) * 3500 for number in range(8)]
    assert sorted(files_in(tmp_path, "a") + files_in(tmp_path, "b") + files_in(tmp_path, "c")) == list(
        range(8)
    )


def test_recovery_after_a_crash_reads_all_directories(tmp_path: Path) -> None:
    listed = paths(tmp_path, "a", "b", "c")
    store = opened(tmp_path / "root", store_path_commit_log=listed)
    put_files(store, 0, 7)
    store._log.keep_next_file(store._log.prepare_next_file())
    closed(store, clean=False)
    with open_store(tmp_path / "root", store_path_commit_log=listed) as store:
        assert len(bodies(store)) == 7
        put_files(store, 7, 2)
        assert len(bodies(store)) == 9


def test_a_directory_that_is_missing_in_the_list_is_noticed(tmp_path: Path) -> None:
    with open_store(tmp_path / "root", store_path_commit_log=paths(tmp_path, "a", "b", "c")) as store:
        put_files(store, 0, 6)
    store = opened_failing(tmp_path / "root", paths(tmp_path, "a", "c"))
    assert "one is missing (or its directory in storePathCommitLog)" in store
    with open_store(tmp_path / "root", store_path_commit_log=paths(tmp_path, "a", "b", "c")) as reopened:
        assert len(bodies(reopened)) == 6


def opened_failing(root: Path, listed: str) -> str:
    store = make_store(root, store_path_commit_log=listed)
    store.reserve()
    try:
        with pytest.raises(StoreCorruptError) as caught:
            store.load()
    finally:
        store.shutdown()
        store.release()
    return str(caught.value)


def test_a_file_of_another_size_is_named_in_any_directory(tmp_path: Path) -> None:
    with open_store(tmp_path / "root", store_path_commit_log=paths(tmp_path, "a", "b")) as store:
        put_files(store, 0, 4)
    os.truncate(tmp_path / "b" / f"{4096:020d}", 100)
    error = opened_failing(tmp_path / "root", paths(tmp_path, "a", "b"))
    assert f"b/{4096:020d}: has 100 bytes where the configuration says 4096" in error


def test_of_twins_the_one_that_was_written_counts(tmp_path: Path) -> None:
    listed = paths(tmp_path, "a", "b")
    with open_store(tmp_path / "root", store_path_commit_log=listed) as store:
        put_files(store, 0, 4)
    for name, base in (("b", 0), ("a", 4096), ("a", 4 * 4096), ("b", 4 * 4096)):
        (tmp_path / name / f"{base:020d}").write_bytes(bytes(4096))
    with open_store(tmp_path / "root", store_path_commit_log=listed) as store:
        assert len(bodies(store)) == 4
        put_files(store, 4, 1)
    (tmp_path / "b" / f"{0:020d}").write_bytes((tmp_path / "a" / f"{0:020d}").read_bytes())
    assert "is in " in opened_failing(tmp_path / "root", listed)


def test_read_only_directories_are_read_and_get_no_new_files(tmp_path: Path) -> None:
    with open_store(tmp_path / "root", store_path_commit_log=paths(tmp_path, "old")) as store:
        put_files(store, 0, 3)
    settings = {
        "store_path_commit_log": paths(tmp_path, "old", "new"),
        "read_only_commit_log_store_paths": paths(tmp_path, "old"),
    }
    with open_store(tmp_path / "root", **settings) as store:
        put_files(store, 3, 3)
        assert len(bodies(store)) == 6
    assert (files_in(tmp_path, "old"), files_in(tmp_path, "new")) == ([0, 1, 2], [3, 4, 5])
    with open_store(tmp_path / "root", **settings) as store:
        assert len(bodies(store)) == 6


def test_full_directories_are_left_out_until_all_are_full(tmp_path: Path) -> None:
    disk = SizedDisk()
    disk.fills = {"/a": 0.86, "/b": 0.85, "/c": 0.10}
    with open_store(
        tmp_path / "root", files=disk, store_path_commit_log=paths(tmp_path, "a", "b", "c")
    ) as store:
        store._cleaner.measure()
        put_files(store, 0, 4)
        assert [files_in(tmp_path, name) for name in "abc"] == [[], [0, 2], [1, 3]]
        disk.fills["/b"] = 0.87
        store._cleaner.measure()
        put_files(store, 4, 2)
        assert [files_in(tmp_path, name) for name in "abc"] == [[], [0, 2], [1, 3, 4, 5]]
        assert store._cleaner.disk_full is False
        disk.fills["/c"] = 0.89
        assert store._cleaner.measure().row == "2"
        put_files(store, 6, 3)
        assert [files_in(tmp_path, name) for name in "abc"] == [[6], [0, 2, 7], [1, 3, 4, 5, 8]]
        assert len(bodies(store)) == 9


def test_the_emptiest_partition_is_the_one_that_counts(tmp_path: Path) -> None:
    disk = SizedDisk()
    disk.fills = {"/a": 0.95, "/b": 0.50}
    with open_store(
        tmp_path / "root",
        files=disk,
        store_path_commit_log=paths(tmp_path, "a", "b"),
        disk_space_reserved_bytes=100_000,
    ) as store:
        assert store.writable
        assert store.disk_use().used_ratio == 0.5
        assert store.unwritable_reason is None
        disk.fills["/b"] = 0.91
        store._cleaner.measure()
        assert store.disk_use().disk_full
        assert "the broker's disk is full [CL:  0.91 CQ:  0.10 INDEX: " in (store.unwritable_reason or "")


def test_a_new_file_goes_where_a_whole_one_fits(tmp_path: Path) -> None:
    disk = SizedDisk()
    directories = LogDirectories([str(tmp_path / "a"), str(tmp_path / "b")], 200_000, disk)
    for path in directories.paths:
        os.makedirs(path)
    disk.fills = {"/a": 0.81, "/b": 0.10}
    assert [directories.measured_directory_for(n * 200_000)[-1] for n in range(4)] == ["b"] * 4
    disk.fills = {"/a": 0.81, "/b": 0.82}
    assert [directories.measured_directory_for(n * 200_000)[-1] for n in range(4)] == ["a", "b", "a", "b"]


@pytest.mark.parametrize("ahead", [False, True])
def test_a_log_goes_on_elsewhere_when_its_directory_has_no_space(tmp_path: Path, ahead: bool) -> None:
    disk = SizedDisk()
    listed = paths(tmp_path, "a", "b")
    store = opened(tmp_path / "root", files=disk, store_path_commit_log=listed)
    put_ok(store, message(0), message(1))
    if ahead:
        put_ok(store, message(2, body=bytes(2500)))
        store._log.keep_next_file(store._log.prepare_next_file())

    def full(name: str, path: str, size: int) -> None:
        if name == "pwrite" and "/a/" in path and size > 8:
            failing("pwrite", "/a/", errno.ENOSPC)(name, path, size)

    disk.hook = full
    put_ok(store, *(message(10 + i, body=bytes(1000)) for i in range(4)))
    assert store._cleaner.disk_full is False
    expected = len(bodies(store))
    assert expected == 6 + ahead
    assert (files_in(tmp_path, "a"), files_in(tmp_path, "b")) == ([0], [1, 2])
    disk.hook = lambda *_: None
    closed(store, clean=False)
    with open_store(tmp_path / "root", files=disk, store_path_commit_log=listed) as store:
        assert len(bodies(store)) == expected
        assert put_ok(store, message(99))[0].queue_offset == expected


def test_a_file_that_was_only_begun_is_begun_elsewhere(tmp_path: Path) -> None:
    disk = SizedDisk()
    listed = paths(tmp_path, "a", "b")
    with open_store(tmp_path / "root", files=disk, store_path_commit_log=listed) as store:
        disk.hook = failing("pwrite", "/a/", errno.ENOSPC)
        put_ok(store, message(0))
        assert (files_in(tmp_path, "a"), files_in(tmp_path, "b")) == ([], [0])
        disk.hook = failing("create", "/b/", errno.ENOSPC)
        store._cleaner.measure()
        put_ok(store, big(1))
        put_ok(store, big(2))
        assert (files_in(tmp_path, "a"), files_in(tmp_path, "b")) == ([1], [0])
        assert bodies(store) == [b"body-0", bytes([1]) * 3500, bytes([2]) * 3500]


def test_a_file_that_a_failed_write_left_short_is_not_left_so(tmp_path: Path) -> None:
    """What the write left cannot be cleared: the file has its size again before the log goes on elsewhere."""
    disk = SizedDisk()
    listed = paths(tmp_path, "a", "b")
    with open_store(tmp_path / "root", files=disk, store_path_commit_log=listed) as store:
        put_ok(store, message(0))
        truncates = [0]

        def fails(name: str, path: str, size: int) -> None:
            if "/a/" in path and name == "pwrite" and size > 8:
                failing("pwrite", "/a/", errno.EIO if not truncates[0] else errno.ENOSPC)(name, path, size)
            if "/a/" in path and name == "truncate":
                truncates[0] += 1
                if truncates[0] % 2 == 0:
                    failing("truncate", "/a/", errno.ENOSPC)(name, path, size)

        disk.hook = fails
        statuses = [result.status.name for each in range(2) for result in store.put([message(1 + each)])]
        disk.hook = lambda *_: None
        assert "PUT_OK" not in statuses
    with open_store(tmp_path / "root", files=disk, store_path_commit_log=listed) as store:
        assert bodies(store) == [b"body-0"]


@pytest.mark.parametrize("clean", [False, True])
def test_what_stayed_of_a_file_that_had_no_room_goes_with_the_file(tmp_path: Path, clean: bool) -> None:
    """Found by crash schedules: the next start took what had stayed for the first file of the log."""
    disk = SizedDisk()
    listed = paths(tmp_path, "a", "b")
    store = opened(tmp_path / "root", files=disk, store_path_commit_log=listed)
    disk.hook = failing("truncate", "/a/", errno.ENOSPC)
    put_files(store, 0, 1)
    disk.hook = lambda *_: None
    put_files(store, 1, 2)
    assert files_in(tmp_path, "a")[0] == files_in(tmp_path, "b")[0] == 0
    store._log.remove_first_file()
    assert 0 not in files_in(tmp_path, "a") + files_in(tmp_path, "b")
    closed(store, clean=clean)
    with open_store(tmp_path / "root", files=disk, store_path_commit_log=listed) as store:
        assert store.min_phy_offset == 4096
        assert bodies(store) == [bytes([1]) * 3500, bytes([2]) * 3500]


def _left_by_a_failed_truncate(disk: SimulatedDisk, store: Any) -> Any:
    disk.fail = lambda name, path: errno.ENOSPC if name == "truncate" and "/a/" in path else None
    put_files(store, 0, 1)
    disk.fail = None
    disk.sync_directory("/s/a")
    closed(store)
    store = opened("/s", files=disk, store_path_commit_log="/s/a,/s/b")
    put_files(store, 1, 1)
    store._log.sync_from(0)
    store._log.remove_first_file()
    return store


def _left_ahead_too_late(_disk: SimulatedDisk, store: Any) -> Any:
    put_files(store, 0, 1)
    late = store._log.prepare_next_file()
    store._log.directories.full = frozenset({"/s/b"})
    put_files(store, 1, 1)
    store._log.keep_next_file(late)
    put_files(store, 2, 1)
    store._log.sync_from(0)
    store._log.remove_first_file()
    store._log.remove_first_file()
    return store


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("leave", [_left_by_a_failed_truncate, _left_ahead_too_late])
def test_what_was_removed_beside_a_file_does_not_come_back_when_power_fails(leave: Any, seed: int) -> None:
    disk = new_disk(seed)
    store = leave(disk, opened("/s", files=disk, store_path_commit_log="/s/a,/s/b"))
    minimum = store.min_phy_offset
    assert len(store._log.bases()) == 1
    store.release()
    disk.crash(Random(seed), "power", names="posix")
    with open_store("/s", files=disk, store_path_commit_log="/s/a,/s/b") as store:
        assert store.min_phy_offset == minimum > 0
        assert len(bodies(store)) == 1


def test_messages_are_refused_when_no_directory_has_space(tmp_path: Path) -> None:
    disk = SizedDisk()
    listed = paths(tmp_path, "a", "b")
    with open_store(tmp_path / "root", files=disk, store_path_commit_log=listed) as store:
        put_ok(store, message(0))
        disk.hook = failing("pwrite", "/", errno.ENOSPC)
        assert [result.status.name for result in store.put([message(1)])] == ["SERVICE_NOT_AVAILABLE"]
        disk.hook = lambda *_: None
        assert bodies(store) == [b"body-0"]


async def test_a_directory_below_the_reserve_is_left_before_it_is_full(
    tmp_path: Path, virtual_time: trio.testing.MockClock
) -> None:
    disk = SizedDisk()
    store = opened(
        tmp_path / "root",
        files=disk,
        store_path_commit_log=paths(tmp_path, "a", "b"),
        disk_space_reserved_bytes=100_000,
    )
    async with running(store):
        put_ok(store, message(0))
        disk.fills = {"/a": 0.905, "/b": 0.5}
        store._cleaner.measure_soon()
        await trio.sleep(0.1)
        assert store.writable
        put_ok(store, message(1))
        assert (files_in(tmp_path, "a"), files_in(tmp_path, "b")) == ([0], [1])
        assert bodies(store) == [b"body-0", b"body-1"]
    closed(store)
