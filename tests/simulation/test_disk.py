"""The simulated disk behaves as a real one while it works, and as a bad one when power fails."""

from __future__ import annotations

import errno
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from store import FileSystem, OsFileSystem, StoreFile, StoreIOError
from store.errors import StoreError, StoreLockedError, StoreMissingError
from tests.simulation.disk import Names, SimulatedDisk
from tests.store.store_kit import bodies, closed, message, opened, put_ok, queried

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PAGE = 4096
POWER_LOSSES = 300


@pytest.fixture(params=["real", "simulated"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[FileSystem, str]:
    """Each implementation of the seam, with an empty directory in it."""
    if request.param == "real":
        return OsFileSystem(), str(tmp_path)
    disk = SimulatedDisk(0)
    disk.makedirs("/d")
    return disk, "/d"


def refused(call: Callable[[], object]) -> tuple[type[Exception], int | None, str]:
    with pytest.raises(StoreIOError) as caught:
        call()
    return type(caught.value), caught.value.errno, caught.value.operation


# What both disks do.


def test_a_file_reads_what_was_written_and_zeros_in_its_holes(place: tuple[FileSystem, str]) -> None:
    files, root = place
    file = files.open(f"{root}/f", create=True)
    file.truncate(10_000)
    file.pwrite(b"abc", 5000)
    file.pwrite(memoryview(b"xyz"), 9998)
    assert file.size() == files.file_size(f"{root}/f") == 10_001
    assert file.pread(6, 4998) == b"\0\0abc\0"
    assert file.pread(100, 9998) == b"xyz"
    assert file.pread(100, 10_001) == file.pread(100, 20_000) == b""
    file.close()


def test_a_file_that_was_cut_and_grown_again_reads_zeros(place: tuple[FileSystem, str]) -> None:
    files, root = place
    file = files.open(f"{root}/f", create=True)
    file.pwrite(b"x" * 9000, 0)
    file.truncate(100)
    file.truncate(9000)
    assert file.pread(9000, 0) == b"x" * 100 + bytes(8900)
    file.close()


def test_a_mapping_shows_what_is_written_after_it_was_made(place: tuple[FileSystem, str]) -> None:
    files, root = place
    file = files.open(f"{root}/f", create=True)
    file.truncate(PAGE)
    view = file.map_readonly(PAGE)
    tail = view[4000:]
    file.pwrite(b"seen", 4000)
    file.truncate(64 * PAGE)
    file.pwrite(b"SEEN", 4010)
    assert bytes(tail[:14]) == b"seen" + bytes(6) + b"SEEN"
    assert view.readonly
    files.remove(f"{root}/f")
    file.close()
    assert bytes(tail[:4]) == b"seen", "a removed file stays readable"


def test_a_mapping_is_not_longer_than_its_file(place: tuple[FileSystem, str]) -> None:
    files, root = place
    file = files.open(f"{root}/f", create=True)
    file.truncate(PAGE)
    assert refused(lambda: file.map_readonly(PAGE + 1)) == (StoreIOError, errno.EINVAL, "map")
    file.close()


def test_holes_take_no_space(place: tuple[FileSystem, str]) -> None:
    files, root = place
    file = files.open(f"{root}/f", create=True)
    file.truncate(1 << 30)
    assert file.allocated_bytes() == 0
    file.pwrite(b"x", 1 << 29)
    assert 0 < file.allocated_bytes() <= 64 * 1024
    file.truncate(0)
    assert file.allocated_bytes() == 0
    file.close()


def test_names(place: tuple[FileSystem, str]) -> None:
    files, root = place
    files.makedirs(f"{root}/a/b")
    files.makedirs(f"{root}/a/b")
    files.open(f"{root}/a/two", create=True).close()
    files.open(f"{root}/a/one", create=True).close()
    assert files.listdir(f"{root}/a") == ["b", "one", "two"]
    assert files.listdir(f"{root}/absent") == []
    assert files.is_directory(f"{root}/a/b")
    assert not files.is_directory(f"{root}/a/one")
    assert files.exists(f"{root}/a/one")
    assert not files.exists(f"{root}/a/three")
    assert not files.exists(f"{root}/a/one/below")
    file = files.open(f"{root}/a/one")
    file.pwrite(b"1", 0)
    files.replace(f"{root}/a/one", f"{root}/a/two")
    assert file.pread(1, 0) == b"1"
    file.close()
    assert files.listdir(f"{root}/a") == ["b", "two"]
    assert files.file_size(f"{root}/a/two") == 1
    files.remove_directory(f"{root}/a")
    files.remove_directory(f"{root}/absent")
    assert files.is_directory(f"{root}/a"), "it is not empty"
    files.remove_directory(f"{root}/a/b")
    assert not files.exists(f"{root}/a/b")
    assert files.real_path(f"{root}/a/../a/./two") == f"{root}/a/two"


def test_what_is_refused_and_how(place: tuple[FileSystem, str]) -> None:
    files, root = place
    files.makedirs(f"{root}/directory")
    files.open(f"{root}/file", create=True).close()
    missing = StoreMissingError
    assert refused(lambda: files.open(f"{root}/absent")) == (missing, errno.ENOENT, "open")
    assert refused(lambda: files.open(f"{root}/a/b", create=True)) == (missing, errno.ENOENT, "open")
    assert refused(lambda: files.open(f"{root}/file/b")) == (missing, errno.ENOTDIR, "open")
    assert refused(lambda: files.open(f"{root}/directory")) == (StoreIOError, errno.EISDIR, "open")
    assert refused(lambda: files.file_size(f"{root}/absent")) == (missing, errno.ENOENT, "stat")
    assert refused(lambda: files.modified_ms(f"{root}/absent")) == (missing, errno.ENOENT, "stat")
    assert refused(lambda: files.remove(f"{root}/absent")) == (missing, errno.ENOENT, "remove")
    assert refused(lambda: files.remove(f"{root}/directory")) == (StoreIOError, errno.EISDIR, "remove")
    assert refused(lambda: files.listdir(f"{root}/file")) == (missing, errno.ENOTDIR, "list")
    assert refused(lambda: files.sync_directory(f"{root}/absent")) == (
        missing,
        errno.ENOENT,
        "sync directory",
    )
    assert refused(lambda: files.makedirs(f"{root}/file")) == (
        StoreIOError,
        errno.EEXIST,
        "create directory",
    )
    assert refused(lambda: files.replace(f"{root}/absent", f"{root}/x")) == (missing, errno.ENOENT, "rename")
    assert refused(lambda: files.space(f"{root}/absent")) == (missing, errno.ENOENT, "measure space")
    read_only = files.open(f"{root}/file", writable=False)
    assert refused(lambda: read_only.pwrite(b"x", 0)) == (StoreIOError, errno.EBADF, "write")
    read_only.close()
    read_only.close()
    assert refused(lambda: read_only.pread(1, 0)) == (StoreIOError, errno.EBADF, "read")
    assert refused(read_only.fdatasync) == (StoreIOError, errno.EBADF, "fdatasync")
    assert refused(lambda: read_only.map_readonly(1)) == (StoreIOError, errno.EBADF, "map")
    assert refused(read_only.size) == (StoreIOError, errno.EBADF, "stat")


class _UnsyncedFiles(OsFileSystem):
    """Syncs of directories take most of the time and show nothing here."""

    def sync_directory(self, path: str) -> None:
        """Does nothing."""


@pytest.mark.parametrize("seed", range(20))
def test_a_thousand_operations_have_the_results_of_a_real_disk(tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    simulated = SimulatedDisk(seed)
    simulated.makedirs("/d")
    disks: list[tuple[FileSystem, str]] = [(_UnsyncedFiles(), str(tmp_path)), (simulated, "/d")]
    open_files: list[dict[str, StoreFile]] = [{}, {}]
    names = ["a", "b", "c", "sub/a", "sub", "sub/deep/b"]
    for number in range(1000):
        kind = random.choice(
            ("open", "write", "write", "read", "nowait", "cut", "close", "remove", "rename", "dirs")
        )
        name, other = random.choice(names), random.choice(names[:3])
        at, size = random.randrange(20_000), random.randrange(9000)
        create = random.random() < 0.7
        results = []
        for (files, root), handles in zip(disks, open_files, strict=True):
            results.append(_result(files, root, handles, kind, name, other, at, size, create))
        assert results[0] == results[1], f"operation {number}: {kind} {name} {other} {at} {size}"
    for handles in open_files:
        for file in handles.values():
            file.close()
    assert simulated.open_handles() == []


def _result(
    files: FileSystem,
    root: str,
    handles: dict[str, StoreFile],
    kind: str,
    name: str,
    other: str,
    at: int,
    size: int,
    create: bool,
) -> Any:
    path = f"{root}/{name}"
    try:
        if kind == "open" and name not in handles:
            handles[name] = files.open(path, create=create)
        elif kind == "remove":
            files.remove(path)
        elif kind == "rename" and not name.startswith("sub"):
            files.replace(path, f"{root}/{other}")
        elif kind == "dirs":
            if create:
                files.makedirs(f"{root}/sub/deep")
            else:
                files.remove_directory(f"{root}/sub/deep")
        elif name in handles:
            return _file_result(handles, kind, name, at, size)
        return [(each, files.listdir(f"{root}/{each}")) for each in ("", "sub/deep")]
    except StoreError as error:
        return type(error), getattr(error, "errno", None), getattr(error, "operation", "")


def _file_result(handles: dict[str, StoreFile], kind: str, name: str, at: int, size: int) -> Any:
    file = handles[name]
    if kind == "write":
        file.pwrite(bytes([at % 255 + 1]) * size, at)
    elif kind == "cut":
        file.truncate(at)
    elif kind == "close":
        handles.pop(name).close()
        return None
    elif kind == "nowait":
        # A cold page has no answer on a real disk.
        data = file.pread_nowait(min(size, 100), at)
        return data is None or data == file.pread(min(size, 100), at)
    return file.size(), file.pread(size, at)


# What a crash of the process leaves.


def test_a_killed_process_loses_nothing_that_it_wrote() -> None:
    disk = SimulatedDisk(1)
    disk.makedirs("/a/b")
    file = disk.open("/a/b/f", create=True)
    file.pwrite(b"written", 0)
    disk.crash(Random(0), "process")
    assert disk.paths() == ["/a/b/f"]
    assert disk.contents("/a/b/f") == b"written"
    assert disk.unsynced_bytes("/a/b/f") == PAGE, "a later loss of power may still take it"


def test_handles_mappings_and_locks_of_a_crashed_process_are_dead() -> None:
    disk = SimulatedDisk(1)
    file = disk.open("/f", create=True)
    file.truncate(PAGE)
    view = file.map_readonly(PAGE)
    piece = view[:10]
    lock = disk.lock("/lock")
    with pytest.raises(StoreLockedError):
        disk.lock("/lock")
    assert disk.open_handles() == ["/f", "/lock"]
    disk.crash(Random(0), "process")
    assert disk.open_handles() == []
    uses: list[Callable[[], object]] = [
        lambda: file.pwrite(b"x", 0),
        lambda: file.pread(1, 0),
        lambda: file.pread_nowait(1, 0),
        lambda: file.map_readonly(10),
        file.fdatasync,
        lambda: file.truncate(0),
        file.size,
        file.allocated_bytes,
    ]
    for use in uses:
        with pytest.raises(RuntimeError, match="before the crash"):
            use()
    file.close()
    with pytest.raises(ValueError, match="released"):
        view[0]
    again = disk.open("/f")
    again.pwrite(b"new life", 0)
    assert bytes(piece) == bytes(10)
    held = disk.lock("/lock")
    lock.release()
    with pytest.raises(StoreLockedError):
        disk.lock("/lock")
    held.release()
    disk.lock("/lock").release()


def test_a_lock_on_a_full_disk_is_held_without_its_word() -> None:
    disk = SimulatedDisk(1, capacity_bytes=0)
    lock = disk.lock("/lock")
    assert disk.contents("/lock") == b""
    with pytest.raises(StoreLockedError):
        disk.lock("/lock")
    lock.release()
    assert disk.open_handles() == []


# What a loss of power leaves.


def losses(build: Callable[[SimulatedDisk], object], *, names: Names = "posix") -> list[SimulatedDisk]:
    """The disk that `build` made, after one loss of power for each of many seeds."""
    found = []
    for seed in range(POWER_LOSSES):
        disk = SimulatedDisk(seed)
        build(disk)
        disk.crash(Random(seed), "power", names=names)
        found.append(disk)
    return found


def named(disk: SimulatedDisk, path: str) -> Any:
    """A file whose name is durable."""
    file = disk.open(path, create=True)
    disk.sync_directory("/")
    return file


def test_what_was_synced_stays() -> None:
    def build(disk: SimulatedDisk) -> None:
        file = named(disk, "/f")
        file.pwrite(b"a" * 10_000, 0)
        file.truncate(9_000)
        file.fdatasync()
        file.truncate(20_000)
        file.pwrite(b"b" * 5_000, 9_000)

    for disk in losses(build):
        assert disk.contents("/f")[:9_000] == b"a" * 9_000
        assert disk.was_written("/f", 0, 9_000)
        assert set(disk.contents("/f")[9_000:14_000]) <= {0, ord("b")}


def test_unsynced_writes_stay_in_whole_in_part_or_not_at_all() -> None:
    def build(disk: SimulatedDisk) -> None:
        file = named(disk, "/f")
        file.truncate(4 * PAGE)
        file.fdatasync()
        for page in range(4):
            file.pwrite(bytes([page + 1]) * PAGE, page * PAGE)

    kept: list[tuple[int, ...]] = []
    for disk in losses(build):
        data = disk.contents("/f")
        assert len(data) == 4 * PAGE
        for page in range(4):
            assert set(data[page * PAGE : (page + 1) * PAGE]) <= {0, page + 1}
        kept.append(tuple(PAGE - data.count(0, page * PAGE, (page + 1) * PAGE) for page in range(4)))
    assert (0, 0, 0, 0) in kept
    assert (PAGE,) * 4 in kept
    assert any(first < PAGE and last == PAGE for first, *_, last in kept), "reordered"
    torn = [count for counts in kept for count in counts if 0 < count < PAGE]
    assert any(count % 512 for count in torn), "torn within a sector"
    assert any(count % 512 == 0 for count in torn), "torn between sectors"


def test_a_page_that_was_written_twice_may_show_its_first_version() -> None:
    def build(disk: SimulatedDisk) -> None:
        file = named(disk, "/f")
        file.pwrite(b"old", 0)
        file.fdatasync()
        file.pwrite(b"one", 0)
        file.pwrite(b"two", 0)

    found = {disk.contents("/f") for disk in losses(build)}
    assert {b"old", b"one", b"two"} <= found
    assert {b"ond", b"twd", b"tne"} & found, "torn between two versions"


def test_sizes_stay_or_are_lost_in_their_order() -> None:
    def build(disk: SimulatedDisk) -> None:
        file = named(disk, "/f")
        file.truncate(1000)
        file.fdatasync()
        file.truncate(0)
        file.truncate(5000)
        file.truncate(3000)

    assert {len(disk.contents("/f")) for disk in losses(build)} == {1000, 0, 5000, 3000}


def test_what_a_durable_cut_took_away_does_not_come_back() -> None:
    def build(disk: SimulatedDisk) -> None:
        file = named(disk, "/f")
        file.pwrite(b"a" * 3 * PAGE, 0)
        file.fdatasync()
        file.pwrite(b"b" * 3 * PAGE, 0)
        file.truncate(100)
        file.truncate(3 * PAGE + 1)

    seen = set()
    for disk in losses(build):
        data = disk.contents("/f")
        if len(data) == 3 * PAGE + 1:  # the last change of the size is durable, so is the cut
            assert not any(data[100:])
        if len(data) == 3 * PAGE:
            seen.add(data[-1:])
    assert seen == {b"a", b"b"}, "a cut that is not durable takes nothing away"


def test_a_clean_sync_after_a_cut_leaves_zeros() -> None:
    def build(disk: SimulatedDisk) -> None:
        file = named(disk, "/f")
        file.pwrite(b"a" * 3 * PAGE, 0)
        file.fdatasync()
        file.truncate(100)
        file.truncate(3 * PAGE)
        file.fdatasync()

    assert {disk.contents("/f") for disk in losses(build)} == {b"a" * 100 + bytes(3 * PAGE - 100)}


def test_names_without_a_sync_of_their_directory_stay_or_are_lost() -> None:
    def build(disk: SimulatedDisk) -> None:
        named(disk, "/removed").pwrite(b"r", 0)
        disk.open("/one", create=True).fdatasync()
        disk.open("/two", create=True).fdatasync()
        disk.remove("/removed")

    found = {tuple(disk.paths()) for disk in losses(build)}
    assert len(found) == 8, "any of the three changes, whatever became of the others"


def test_a_journal_loses_names_from_the_end() -> None:
    def build(disk: SimulatedDisk) -> None:
        disk.makedirs("/d")
        disk.open("/d/one", create=True)
        disk.sync_directory("/")
        disk.open("/two", create=True)
        disk.open("/d/three", create=True)

    found = {tuple(disk.paths()) for disk in losses(build, names="journal")}
    assert found == {("/d/one",), ("/d/one", "/two"), ("/d/one", "/d/three", "/two")}


def test_a_journal_keeps_the_name_of_a_file_that_was_synced() -> None:
    def build(disk: SimulatedDisk) -> None:
        file = disk.open("/one", create=True)
        file.pwrite(b"x", 0)
        file.fdatasync()
        disk.open("/two", create=True)
        file.pwrite(b"y", 0)
        file.fdatasync()

    found = {tuple(disk.paths()) for disk in losses(build, names="journal")}
    assert found == {("/one",), ("/one", "/two")}, "content alone does not make names durable"
    assert () in {tuple(disk.paths()) for disk in losses(build, names="posix")}


def test_a_directory_whose_name_was_lost_takes_all_in_it_along() -> None:
    def build(disk: SimulatedDisk) -> None:
        disk.makedirs("/d")
        file = disk.open("/d/f", create=True)
        file.pwrite(b"x", 0)
        file.fdatasync()
        disk.sync_directory("/d")

    for disk in losses(build):
        assert disk.paths() == (["/d/f"] if disk.is_directory("/d") else [])
    assert {disk.is_directory("/d") for disk in losses(build)} == {True, False}


def test_a_lost_rename_shows_the_old_file_and_never_none() -> None:
    def build(disk: SimulatedDisk) -> None:
        old = named(disk, "/f")
        old.pwrite(b"old", 0)
        old.fdatasync()
        new = disk.open("/f.tmp", create=True)
        new.pwrite(b"new", 0)
        new.fdatasync()

        def no_sync(operation: str, _path: str) -> int | None:
            return errno.EIO if operation == "sync directory" else None

        disk.fail = no_sync
        with pytest.raises(StoreIOError):
            disk.replace("/f.tmp", "/f")

    for names in ("posix", "journal"):
        found = {(disk.contents("/f"), *disk.paths()) for disk in losses(build, names=names)}
        assert {(b"old", "/f"), (b"old", "/f", "/f.tmp"), (b"new", "/f")} >= found
        assert (b"new", "/f") in found
        assert (b"old", "/f") in found or names == "journal"


def test_a_rename_is_durable_once_it_returns() -> None:
    def build(disk: SimulatedDisk) -> None:
        file = disk.open("/f.tmp", create=True)
        file.pwrite(b"new", 0)
        file.fdatasync()
        disk.replace("/f.tmp", "/f")

    assert {(disk.contents("/f"), *disk.paths()) for disk in losses(build)} == {(b"new", "/f")}


def test_the_same_seed_leaves_the_same_disk() -> None:
    def image(seed: int) -> list[tuple[str, bytes]]:
        disk = SimulatedDisk(seed)
        disk.makedirs("/s")
        disk.sync_directory("/")
        store = opened("/s", files=disk)
        put_ok(store, *[message(number) for number in range(50)])
        closed(store, clean=False)
        disk.crash(Random(seed), "power")
        return [(path, disk.contents(path)) for path in disk.paths() if not path.endswith("abort")]

    assert [image(seed) for seed in range(30)] == [image(seed) for seed in range(30)]
    assert image(1) != image(2)


# Faults.


def failing(operation: str, number: int, times: int = 1) -> Callable[[str, str], int | None]:
    left = [times]

    def fail(name: str, _path: str) -> int | None:
        if name != operation or not left[0]:
            return None
        left[0] -= 1
        return number

    return fail


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_after_a_failed_sync_the_next_one_says_that_all_is_well_and_it_is_not(number: int) -> None:
    def build(disk: SimulatedDisk) -> None:
        file = named(disk, "/f")
        file.truncate(2 * PAGE)
        file.fdatasync()
        file.pwrite(b"a" * 2 * PAGE, 0)
        disk.fail = failing("fdatasync", number)
        assert refused(file.fdatasync) == (StoreIOError, number, "fdatasync")
        file.fdatasync()
        assert file.pread(2 * PAGE, 0) == b"a" * 2 * PAGE, "the page cache still has it"

    counts = {disk.contents("/f").count(b"a") for disk in losses(build)}
    assert {0, 2 * PAGE} < counts


def test_a_page_that_a_failed_sync_lost_is_saved_by_a_later_write_to_it() -> None:
    def build(disk: SimulatedDisk) -> None:
        file = named(disk, "/f")
        file.truncate(2 * PAGE)
        file.fdatasync()
        file.pwrite(b"a" * 2 * PAGE, 0)
        disk.fail = failing("fdatasync", errno.EIO)
        refused(file.fdatasync)
        file.pwrite(b"b", 0)
        file.fdatasync()

    found = {disk.contents("/f")[:PAGE] for disk in losses(build)}
    assert found == {b"b" + b"a" * (PAGE - 1)}


def test_a_failed_write_may_leave_a_part() -> None:
    def length_after(seed: int, partial_write: float | None) -> int:
        disk = SimulatedDisk(seed)
        disk.partial_write = partial_write
        file = disk.open("/f", create=True)
        disk.fail = failing("write", errno.EIO)
        assert refused(lambda: file.pwrite(b"x" * 1000, 0)) == (StoreIOError, errno.EIO, "write")
        return file.size()

    assert len({length_after(seed, None) for seed in range(50)}) > 25
    assert {length_after(seed, 0.25) for seed in range(50)} == {250}


def test_what_the_hook_raises_ends_the_operation_half_done() -> None:
    class PowerError(Exception):
        pass

    def lost(operation: str, _path: str) -> None:
        if operation == "write":
            raise PowerError

    disk = SimulatedDisk(0)
    disk.partial_write = 0.5
    file = disk.open("/f", create=True)
    disk.fail = lost
    with pytest.raises(PowerError):
        file.pwrite(b"12345678", 0)
    assert disk.contents("/f") == b"1234"


def test_too_many_open_files() -> None:
    disk = SimulatedDisk(0)
    disk.fail = failing("open", errno.EMFILE)
    assert refused(lambda: disk.open("/f", create=True)) == (StoreIOError, errno.EMFILE, "open")
    assert disk.paths() == []
    assert disk.open_handles() == []


def test_a_full_disk_takes_what_fits_and_then_refuses() -> None:
    disk = SimulatedDisk(0, capacity_bytes=4 * PAGE)
    file = disk.open("/f", create=True)
    file.truncate(100 * PAGE)
    file.pwrite(b"x" * 2 * PAGE, 100)
    assert disk.used_bytes == 3 * PAGE
    assert disk.space("/").available == PAGE
    assert refused(lambda: file.pwrite(b"y" * 2 * PAGE, 3 * PAGE - 7))[1] == errno.ENOSPC
    assert file.pread(100, 3 * PAGE - 7) == b"y" * 100
    assert disk.contents("/f").count(b"y") == PAGE + 7
    file.pwrite(b"z", 0)
    with pytest.raises(StoreIOError):
        file.pwrite(b"z", 50 * PAGE)
    disk.remove("/f")
    assert disk.used_bytes == 4 * PAGE, "an open file keeps its space"
    file.close()
    assert disk.used_bytes == 0


def test_a_crash_counts_the_space_again() -> None:
    for seed in range(50):
        disk = SimulatedDisk(seed)
        file = disk.open("/f", create=True)
        file.pwrite(b"x" * 3 * PAGE, 0)
        if seed % 2:
            disk.remove("/f")
        disk.crash(Random(seed), "power")
        left = sum(disk.open(path).allocated_bytes() for path in disk.paths())
        assert disk.used_bytes == left
        assert left <= 3 * PAGE


def test_a_cold_disk_sends_readers_to_a_thread() -> None:
    disk = SimulatedDisk(0)
    file = disk.open("/f", create=True)
    file.pwrite(b"warm", 0)
    assert file.pread_nowait(4, 0) == b"warm"
    disk.cold = 1.0
    assert file.pread_nowait(4, 0) is None
    assert file.pread(4, 0) == b"warm"


def test_reads_of_bytes_that_nobody_wrote_are_recorded() -> None:
    disk = SimulatedDisk(0)
    file = disk.open("/f", create=True)
    file.truncate(PAGE)
    file.pwrite(b"abc", 10)
    file.pread(3, 10)
    assert disk.unwritten_reads == []
    file.pread(5, 10)
    assert disk.unwritten_reads == [("/f", 13, 15)]
    assert disk.was_written("/f", 10, 3)
    assert not disk.was_written("/f", 10, 4)
    assert not disk.was_written("/f", PAGE, 1)
    file.pwrite(bytes(5), 13)
    assert disk.was_written("/f", 10, 8), "zeros that were written are written"
    file.truncate(12)
    file.truncate(PAGE)
    assert not disk.was_written("/f", 10, 3)


def test_operations_are_recorded_with_what_failed() -> None:
    disk = SimulatedDisk(0)
    file = disk.open("/f", create=True)
    file.pwrite(b"abc", 7)
    disk.fail = failing("fdatasync", errno.EIO)
    refused(file.fdatasync)
    assert [str(each) for each in disk.operations] == [
        "open /f create",
        "write /f 3 at 7",
        "fdatasync /f -> EIO",
    ]


# The real store on it.


@pytest.mark.parametrize("names", ["posix", "journal"])
@pytest.mark.parametrize("seed", range(25))
def test_a_store_keeps_what_it_synced_when_power_fails(seed: int, names: Names) -> None:
    random = Random(seed)
    disk = SimulatedDisk(seed)
    disk.makedirs("/s")
    disk.sync_directory("/")
    store = opened("/s", files=disk)
    synced = 0
    for number in range(0, 90, 3):
        put_ok(store, *[message(number + each) for each in range(3)])
        if random.random() < 0.1:
            store._log.sync_from(0)
            synced = number + 3
        if random.random() < 0.3:
            store._dispatcher.flushed(store._log.tail)
            store._behind.write_blocking()
    store.release()
    disk.crash(random, "power", names=names)
    store = opened("/s", files=disk)
    found = bodies(store)
    assert found == [f"body-{number}".encode() for number in range(len(found))]
    assert len(found) >= synced
    assert all(queried(store, f"U{number:08d}") == [found[number]] for number in range(len(found)))
    closed(store)
    assert disk.open_handles() == []
