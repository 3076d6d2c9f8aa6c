"""Consumer offsets: what is asked, what is kept, what a crash leaves."""

from __future__ import annotations

import errno
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trio
from memory_table import FakeClock, MemoryTable

from broker.offset_journal import OffsetJournal
from broker.offsets import NO_OFFSET, ConsumerOffsetManager
from remoting.json_dialect import loads
from store import ConfigTable, OsFileSystem, StoreError
from tests.failing_files import failing_once
from tests.simulation.disk import SimulatedDisk


def make_offsets(file: Any = None, **more: Any) -> ConsumerOffsetManager:
    return ConsumerOffsetManager(file or MemoryTable(), clock_ms=FakeClock(), **more)


def on_disk(directory: Path) -> ConsumerOffsetManager:
    files = OsFileSystem()
    path = str(directory / "config" / "consumerOffset.json")
    journal = OffsetJournal(str(directory / "config" / "consumerOffset.journal"), files)
    offsets = make_offsets(ConfigTable(path, files), journal=journal)
    offsets.load()
    return offsets


def java_file(name: str) -> str:
    """What the `ConsumerOffsetManager` of RocketMQ 5.5.0 wrote (`encode(true)`), its clock set to ours."""
    return (Path(__file__).parent / "fixtures" / name).read_text()


def tear_the_journal(directory: Path) -> None:
    newest = max(directory.glob("*.journal.*"), key=lambda path: path.stat().st_size)
    newest.write_bytes(newest.read_bytes()[:-3])


def test_a_queue_never_committed_has_no_offset() -> None:
    offsets = make_offsets()
    offsets.commit("client", "g", "t", 0, 5)
    assert offsets.query("g", "t", 0) == 5
    assert offsets.query("g", "t", 1) == NO_OFFSET
    assert offsets.query("other", "t", 0) == NO_OFFSET


def test_a_consumer_may_commit_backwards() -> None:
    offsets = make_offsets()
    offsets.commit("client", "g", "t", 0, 5)
    offsets.commit("client", "g", "t", 0, 3)
    assert offsets.query("g", "t", 0) == 3


def test_the_same_offset_again_changes_nothing() -> None:
    offsets = make_offsets()
    offsets.commit("client", "g", "t", 0, 5)
    generation = offsets.file._generation
    offsets.commit("client", "g", "t", 0, 5)
    assert offsets.file._generation == generation


def test_what_is_in_flight_is_what_was_pulled_and_not_committed() -> None:
    offsets = make_offsets()
    offsets.commit("client", "g", "t", 0, 5)
    assert offsets.query_pull("g", "t", 0) == 5
    offsets.commit_pull("g", "t", 0, 37)
    assert offsets.query_pull("g", "t", 0) == 37


def test_a_reset_is_handed_out_once_and_blocks_commits_until_then() -> None:
    offsets = make_offsets()
    offsets.commit("client", "g", "t", 0, 50)
    offsets.reset("g", "t", 0, 10)
    assert offsets.has_reset("g", "t", 0)
    assert offsets.query("g", "t", 0) == 10
    assert offsets.take_reset("g", "t", 0) == 10
    assert offsets.take_reset("g", "t", 0) is None
    assert not offsets.has_reset("g", "t", 0)
    assert offsets.query("g", "t", 0) == 10


def test_groups_and_topics_are_found_by_each_other() -> None:
    offsets = make_offsets()
    offsets.commit("client", "g1", "t1", 0, 1)
    offsets.commit("client", "g1", "t2", 0, 1)
    offsets.commit("client", "g2", "t1", 0, 1)
    assert offsets.which_topics_by_consumer("g1") == {"t1", "t2"}
    assert offsets.which_groups_by_topic("t1") == {"g1", "g2"}
    offsets.remove_group("g1")
    assert offsets.which_groups_by_topic("t1") == {"g2"}
    offsets.remove_topic("t1")
    assert offsets.which_groups_by_topic("t1") == set()


def test_a_clone_is_independent_of_its_source() -> None:
    offsets = make_offsets()
    offsets.commit("client", "g", "t", 0, 7)
    offsets.clone("g", "h", "t")
    offsets.commit("client", "g", "t", 0, 8)
    assert offsets.query("h", "t", 0) == 7


def test_the_data_version_counts_every_so_many_commits() -> None:
    offsets = make_offsets(version_step=lambda: 3)
    for offset in range(7):
        offsets.commit("client", "g", "t", 0, offset)
    assert offsets.data_version.counter == 2


async def test_the_file_has_numeric_keys_without_quotes_and_is_read_back() -> None:
    file = MemoryTable()
    offsets = make_offsets(file)
    offsets.commit("client", "g", "t", 0, 5)
    offsets.commit("client", "g", "t", 1, 7)
    await offsets.file.saved()
    assert file.text is not None
    assert "0:5," in file.text
    again = make_offsets(MemoryTable(file.text))
    again.load()
    assert again.query("g", "t", 1) == 7


async def test_quoted_keys_are_read_too() -> None:
    offsets = make_offsets(MemoryTable('{"offsetTable":{"t@g":{"0":12}}}'))
    offsets.load()
    assert offsets.query("g", "t", 0) == 12


async def test_the_file_is_byte_for_byte_what_a_java_broker_writes() -> None:
    file = MemoryTable()
    offsets = make_offsets(file)
    offsets.file.changed()
    await offsets.file.saved()
    assert file.text == java_file("consumerOffset-empty.json")

    for queue_id, offset in ((10, 9), (0, 5), (1, 7)):
        offsets.commit("client", "g", "TopicTest", queue_id, offset)
    offsets.commit_pull("g", "TopicTest", 0, 6)
    offsets.commit_pull("g", "TopicTest", 1, 7)
    await offsets.file.saved()
    assert file.text == java_file("consumerOffset.json")


async def test_a_file_of_a_java_broker_is_read() -> None:
    offsets = make_offsets(MemoryTable(java_file("consumerOffset.json")))
    offsets.load()
    assert offsets.row("g", "TopicTest") == {0: 5, 1: 7, 10: 9}
    assert offsets.query_pull("g", "TopicTest", 0) == 5


def test_groups_are_listed_with_their_topics() -> None:
    offsets = make_offsets()
    for group, topic in (("g", "b"), ("h", "a"), ("g", "a"), ("b@c", "a")):
        offsets.commit("client", group, topic, 0, 1)
    assert offsets.to_json_object()["groupTopicMap"] == {"g": ["a", "b"], "h": ["a"]}


async def test_a_crash_loses_no_commit(tmp_path: Path) -> None:
    offsets = on_disk(tmp_path)
    await offsets.file.saved()
    offsets.commit("client", "g", "t", 0, 5)
    await offsets.file.saved()
    offsets.commit("client", "g", "t", 0, 6)
    offsets.commit("client", "g", "t", 3, 9)
    # no save, no close: the process is gone
    again = on_disk(tmp_path)
    assert again.query("g", "t", 0) == 6
    assert again.query("g", "t", 3) == 9


async def test_a_crash_between_two_journals_loses_no_commit(tmp_path: Path) -> None:
    offsets = on_disk(tmp_path)
    await offsets.file.saved()
    offsets.commit("client", "g", "t", 0, 5)
    assert offsets._journal is not None
    offsets._journal.begin_segment()  # the snapshot is taken, the table never reaches the disk
    offsets.commit("client", "g", "t", 1, 6)
    again = on_disk(tmp_path)
    assert again.query("g", "t", 0) == 5
    assert again.query("g", "t", 1) == 6


async def test_a_second_crash_before_the_first_save_of_the_next_start_loses_no_commit(
    tmp_path: Path,
) -> None:
    offsets = on_disk(tmp_path)
    await offsets.file.saved()
    offsets.commit("client", "g", "t", 0, 5)
    assert offsets._journal is not None
    offsets._journal.begin_segment()
    offsets.commit("client", "g", "t", 1, 6)
    again = on_disk(tmp_path)
    assert again._journal is not None
    again._journal.begin_segment()  # the process is gone before the table is written
    saved = (tmp_path / "config" / "consumerOffset.json").read_text()
    again._journal.set_bases(saved, "what never reached the disk")
    last = on_disk(tmp_path)
    assert last.query("g", "t", 0) == 5
    assert last.query("g", "t", 1) == 6


async def test_a_torn_record_ends_the_journal(tmp_path: Path) -> None:
    offsets = on_disk(tmp_path)
    await offsets.file.saved()
    offsets.commit("client", "g", "t", 0, 5)
    offsets.commit("client", "g", "t", 0, 6)
    tear_the_journal(tmp_path / "config")
    assert on_disk(tmp_path).query("g", "t", 0) == 5


async def test_a_journal_does_not_override_a_table_that_somebody_else_wrote(tmp_path: Path) -> None:
    offsets = on_disk(tmp_path)
    await offsets.file.saved()
    offsets.commit("client", "g", "t", 0, 5)
    (tmp_path / "config" / "consumerOffset.json").write_text('{"offsetTable":{"t@g":{0:100}}}')
    assert on_disk(tmp_path).query("g", "t", 0) == 100


async def test_a_clean_stop_leaves_no_journal(tmp_path: Path) -> None:
    offsets = on_disk(tmp_path)
    await offsets.file.saved()
    offsets.commit("client", "g", "t", 0, 5)
    await offsets.file.saved()
    offsets.close()
    assert sorted(path.name for path in (tmp_path / "config").iterdir()) == [
        "consumerOffset.json",
        "consumerOffset.json.bak",
    ]
    assert on_disk(tmp_path).query("g", "t", 0) == 5


async def test_offsets_are_saved_some_time_after_the_first_change(
    autojump_clock: trio.testing.MockClock,
) -> None:
    file = MemoryTable()
    offsets = make_offsets(file)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(offsets.file.run, lambda: 5.0)
        await trio.sleep(100)
        assert file.writes == 0
        offsets.commit("client", "g", "t", 0, 5)
        await trio.sleep(4)
        offsets.commit("client", "g", "t", 0, 6)
        assert file.writes == 0
        await trio.sleep(2)
        nursery.cancel_scope.cancel()
    assert file.writes == 1
    assert file.text is not None
    assert loads(file.text)["offsetTable"] == {"t@g": {0: 6}}


def on_simulated_disk(disk: SimulatedDisk) -> ConsumerOffsetManager:
    journal = OffsetJournal("/s/config/consumerOffset.journal", disk)
    offsets = make_offsets(ConfigTable("/s/config/consumerOffset.json", disk), journal=journal)
    offsets.load()
    return offsets


@pytest.mark.parametrize("attempts", [1, 2, 3, 4])
@pytest.mark.parametrize("fails_in", ["consumerOffset.json.bak", "consumerOffset.json"])
async def test_a_kill_between_two_attempts_to_save_the_table_loses_no_commit(
    fails_in: str, attempts: int
) -> None:
    """The first replaced the table and could not sync its name; the others did not come to replace it."""
    disk = SimulatedDisk(0)
    offsets = on_simulated_disk(disk)
    await offsets.file.saved()
    offsets.commit("client", "g", "t", 0, 5)
    disk.fail = failing_once("sync directory", "config")
    with pytest.raises(StoreError):
        await offsets.file.saved()
    if fails_in == "consumerOffset.json":
        disk.fail = lambda name, path: errno.EIO if name == "rename" and not path.endswith("bak") else None
    else:
        disk.fail = lambda name, path: errno.EIO if name == "sync directory" else None
    for number in range(attempts):
        offsets.commit("client", "g", "t", 0, 6 + number)
        with pytest.raises(StoreError):
            await offsets.file.saved()
    offsets.commit("client", "g", "t", 1, 7)
    disk.fail = None
    disk.crash(Random(0), "process")
    again = on_simulated_disk(disk)
    assert [again.query("g", "t", queue_id) for queue_id in (0, 1)] == [5 + attempts, 7]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9])
async def test_a_torn_header_loses_no_commit(share: float) -> None:
    disk = SimulatedDisk(0)
    disk.partial_write = share
    offsets = on_simulated_disk(disk)
    await offsets.file.saved()
    for number in range(1, 4):
        offsets.commit("client", "g", "t", 0, number)
        await offsets.file.saved()
        offsets.commit("client", "g", "t", 0, 10 + number)
        disk.fail = failing_once("write", "journal", skip=1)
        with pytest.raises(StoreError):
            await offsets.file.saved()
        disk.fail = None
    disk.crash(Random(0), "process")
    assert on_simulated_disk(disk).query("g", "t", 0) == 13


async def test_a_segment_that_cannot_be_closed_is_not_overwritten(caplog: pytest.LogCaptureFixture) -> None:
    disk = SimulatedDisk(0)
    offsets = on_simulated_disk(disk)
    await offsets.file.saved()
    offsets.commit("client", "g", "t", 0, 5)
    disk.fail = lambda name, path: (
        errno.EIO if name == "close" or ("json" in path and name != "read") else None
    )
    for _ in range(2):
        with pytest.raises(StoreError):
            await offsets.file.saved()
    disk.fail = None
    disk.crash(Random(0), "process")
    assert on_simulated_disk(disk).query("g", "t", 0) == 5
    assert "would be lost in a crash" in caplog.text


async def test_a_commit_is_no_error_when_the_journal_can_neither_be_written_nor_closed() -> None:
    disk = SimulatedDisk(0)
    offsets = on_simulated_disk(disk)
    await offsets.file.saved()
    disk.fail = lambda name, path: errno.EIO if "journal" in path else None
    offsets.commit("client", "g", "t", 0, 5)
    assert offsets.query("g", "t", 0) == 5


@pytest.mark.parametrize("seed", range(40))
async def test_records_of_an_older_segment_do_not_come_back_behind_a_new_header(seed: int) -> None:
    disk = SimulatedDisk(seed)
    offsets = on_simulated_disk(disk)
    await offsets.file.saved()
    disk.sync_directory("/s")
    disk.sync_directory("/")
    for offset in (5, 6, 7):
        offsets.commit("client", "g", "t", 0, offset)
        for path in disk.paths():
            if "journal" in path:
                disk.open(path).fdatasync()
        await offsets.file.saved()
    disk.crash(Random(seed), "power")
    assert on_simulated_disk(disk).query("g", "t", 0) == 7


@pytest.mark.parametrize("seed", range(10))
async def test_a_start_believes_no_table_whose_name_may_not_be_synced(seed: int) -> None:
    """The save at the start found the text that was there already, and the journal went at the stop."""
    disk = SimulatedDisk(seed)
    offsets = on_simulated_disk(disk)
    offsets.commit("client", "g", "t", 0, 5)
    await offsets.file.saved()
    disk.sync_directory("/s")
    disk.sync_directory("/")
    offsets.commit("client", "g", "t", 0, 6)
    disk.fail = failing_once("sync directory", "config", skip=1)
    with pytest.raises(StoreError):
        await offsets.file.saved()
    disk.crash(Random(seed), "process")
    offsets = on_simulated_disk(disk)
    await offsets.file.saved()
    offsets.close()
    disk.crash(Random(seed), "power")
    assert on_simulated_disk(disk).query("g", "t", 0) == 6
