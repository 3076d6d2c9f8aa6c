"""Reading: statuses, batches, filters, cold data, and files that disappear meanwhile."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest
import trio
from store_kit import (
    START_MS,
    FaultyDisk,
    ManualClock,
    bodies,
    message,
    open_store,
    put_ok,
)

from remoting.protocol.message import decode_messages
from store import FlushDiskType, GetStatus
from store.consume_queue import PADDING_UNIT

if TYPE_CHECKING:
    from pathlib import Path


def test_statuses_and_corrected_offsets(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        put_ok(store, *(message(i) for i in range(3)))

        def ask(offset: int, topic: str = "TopicTest") -> tuple[str, int]:
            result = store.get("g", topic, 0, offset, 32)
            assert result is not None
            return result.status.name, result.next_begin_offset

        assert ask(0) == ("FOUND", 3)
        assert ask(3) == ("OFFSET_OVERFLOW_ONE", 3)
        assert ask(9) == ("OFFSET_OVERFLOW_BADLY", 3)
        assert ask(-1) == ("OFFSET_TOO_SMALL", 0)
        assert ask(5, "Nothing") == ("NO_MATCHED_LOGIC_QUEUE", 0)
        store._queues.create("Empty", 0)
        assert ask(5, "Empty") == ("NO_MESSAGE_IN_QUEUE", 0)


def test_neighbours_share_one_buffer(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        put_ok(store, *(message(i, queue_id=0 if i < 5 else i % 2) for i in range(12)))
        result = store.get("g", "TopicTest", 0, 0, 32)
        assert result is not None
        assert result.message_count == 8
        assert len(result.buffers) == 4
        assert sum(len(buffer) for buffer in result.buffers) == result.size
        read = [item.body for buffer in result.buffers for item in decode_messages(buffer)]
        assert read == bodies(store)


@pytest.mark.parametrize(
    ("limits", "arguments", "count"),
    [
        ({}, (32, 1 << 20), 20),
        ({}, (7, 1 << 20), 7),
        ({}, (32, 450), 3),
        ({}, (32, 1), 1),
        ({"max_transfer_count_on_message_in_memory": 4}, (32, 1 << 20), 4),
        ({"max_transfer_bytes_on_message_in_memory": 300}, (32, 1 << 20), 2),
        ({"access_message_in_memory_max_ratio": 0}, (32, 1 << 20), 8),
        (
            {"access_message_in_memory_max_ratio": 0, "max_transfer_bytes_on_message_in_disk": 300},
            (32, 1 << 20),
            2,
        ),
    ],
)
def test_batch_limits(tmp_path: Path, limits: dict[str, int], arguments: tuple[int, int], count: int) -> None:
    with open_store(tmp_path, **limits) as store:
        put_ok(store, *(message(i, body=b"0123456789") for i in range(20)))
        result = store.get("g", "TopicTest", 0, 0, *arguments)
        assert result is not None
        assert (result.message_count, result.next_begin_offset) == (count, count)


def test_filtered_pull_advances_over_what_it_looked_at(tmp_path: Path) -> None:
    with open_store(tmp_path, max_filter_message_size=200) as store:
        put_ok(store, *(message(i, tags="A" if i == 25 else "B") for i in range(40)))
        seen = []
        offset = 0
        while offset < 40:
            result = store.get("g", "TopicTest", 0, offset, 5, 1 << 20, lambda code: code == 65)
            assert result is not None
            seen.append((result.status.name, result.message_count, result.next_begin_offset))
            offset = result.next_begin_offset
        assert [status for status, _, _ in seen] == [
            "NO_MATCHED_MESSAGE",
            "NO_MATCHED_MESSAGE",
            "FOUND",
            "NO_MATCHED_MESSAGE",
        ]


@pytest.mark.parametrize("written", [False, True])
def test_units_are_read_from_memory_and_from_files(tmp_path: Path, written: bool) -> None:
    with open_store(tmp_path) as store:
        put_ok(store, *(message(i) for i in range(25)))
        if written:
            store._behind.write_blocking()
        put_ok(store, *(message(i) for i in range(25, 33)))
        assert len(bodies(store)) == 33
        assert len(store.consume_queue_units("TopicTest", 0, 3, 100)) == 30
        assert store.consume_queue_units("TopicTest", 0, 33, 1) == []


def test_padding_units_are_never_delivered(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        put_ok(store, message(0))
        queue = store._queues.queues["TopicTest", 0]
        queue.append_padding(3)
        queue.next_offset = queue.max_offset
        put_ok(store, message(1))
        result = store.get("g", "TopicTest", 0, 0, 32)
        assert result is not None
        assert (result.message_count, result.next_begin_offset) == (2, 5)
        assert PADDING_UNIT.hex() == "0000000000000000" + "7fffffff" + "0000000000000000"


async def test_cold_data_is_asked_for_in_a_thread(tmp_path: Path) -> None:
    disk = FaultyDisk()
    with open_store(tmp_path) as store:
        put_ok(store, *(message(i, queue_id=i % 2) for i in range(40)))
        expected = bodies(store)
    with open_store(tmp_path, files=disk) as store:
        disk.always_cold = True
        assert store.get("g", "TopicTest", 0, 0, 32) is None
        result = await store.get_cold("g", "TopicTest", 0, 0, 32)
        read = [item.body for buffer in result.buffers for item in decode_messages(buffer)]
        assert read == expected
        assert store.statistics().cold_gets == 1
        put_ok(store, message(99))
        result_or_none = store.get("g", "TopicTest", 0, 20, 32)
        assert result_or_none is not None
        assert result_or_none.status is GetStatus.FOUND
        disk.always_cold = False
        warm = store.get("g", "TopicTest", 0, 0, 32)
        assert warm is not None
        assert warm.size == result.size + result_or_none.size


async def test_a_pull_in_progress_keeps_the_bytes_of_a_deleted_file(tmp_path: Path) -> None:
    clock = ManualClock(START_MS)
    with open_store(tmp_path, clock=clock, delete_commit_log_files_interval=0) as store:
        put_ok(store, *(message(i, body=bytes([i]) * 1000) for i in range(12)))
        result = store.get("g", "TopicTest", 0, 0, 32)
        assert result is not None
        before = [bytes(buffer) for buffer in result.buffers]
        clock.current_ms = 1 << 60
        for _ in range(3):
            store._cleaner.delete_manually()
            await trio.to_thread.run_sync(store._cleaner.pass_once)
            gc.collect()
        assert not (tmp_path / "commitlog" / f"{0:020d}").exists()
        assert [bytes(buffer) for buffer in result.buffers] == before
        late = store.get("g", "TopicTest", 0, 0, 32)
        assert late is not None
        assert late.status is GetStatus.OFFSET_TOO_SMALL
        assert bodies(store) == [bytes([i]) * 1000 for i in range(9, 12)]
        assert store.message_at(0) is None


def test_message_at_only_answers_for_real_beginnings(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        results = put_ok(store, message(0), message(1))
        for result in results:
            found = store.message_at(result.physical_offset)
            assert found is not None
            assert len(found) == result.size
        for offset in (-1, 1, 4, 8, results[1].end_offset, 1 << 40):
            assert store.message_at(offset) is None


@pytest.mark.parametrize("gap", [100, 9000])
def test_interleaved_messages_far_behind_the_tail_are_read_together_when_they_lie_close(
    tmp_path: Path, gap: int
) -> None:
    disk = FaultyDisk()
    sizes = {"mapped_file_size_commit_log": 1 << 20, "mapped_file_size_consume_queue": 20 * 1000}
    with open_store(tmp_path, files=disk, hot_tail_bytes=0, **sizes) as store:
        for i in range(16):
            put_ok(store, message(i), message(i, queue_id=1, body=bytes(gap)))
        disk.calls.clear()
        result = store.get("g", "TopicTest", 0, 0, 32)
        assert result is not None
        assert len(result.buffers) == result.message_count == 16
        assert disk.count("pread", "commitlog") == (1 if gap == 100 else 16)
        assert [decode_messages(buffer)[0].body for buffer in result.buffers] == [
            b"body-%d" % i for i in range(16)
        ]


def test_spans_of_several_files_come_in_order(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        for i in range(20):
            put_ok(store, message(i, body=bytes([i]) * 500), message(i, queue_id=1, body=bytes(500)))
        hot = bodies(store)
        store._log._hot_bytes = 1500
        assert bodies(store) == hot == [bytes([i]) * 500 for i in range(20)]


def test_a_file_that_goes_between_selection_and_reading_is_not_half_of_an_answer(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        put_ok(store, *(message(i, body=bytes([i]) * 1000) for i in range(12)))
        selected: list[int] = []

        def lose_the_first_with_the_last(tags_code: int) -> bool:
            selected.append(tags_code)
            if len(selected) == 12:
                store._log.remove_first_file()
            return True

        result = store._reader.get_blocking("TopicTest", 0, 0, 32, 1 << 20, lose_the_first_with_the_last)
        read = [item.body for buffer in result.buffers for item in decode_messages(buffer)]
        assert read == [bytes([i]) * 1000 for i in range(3, 12)]
        assert result.message_count == 9
        assert len(selected) > 12, "it was selected once more"


def test_a_full_answer_reads_nothing_behind_its_last_message(tmp_path: Path) -> None:
    disk = FaultyDisk()
    with open_store(tmp_path, files=disk) as store:
        put_ok(store, *(message(i) for i in range(40)))
        store._behind.write_blocking()
        disk.calls.clear()
        result = store.get("group", "TopicTest", 0, 2, 8)  # up to the end of a file
        assert result is not None
        assert (result.message_count, result.next_begin_offset) == (8, 10)
        assert disk.count("open", "consumequeue") == 1


def test_units_without_waiting_for_the_disk(tmp_path: Path) -> None:
    disk = FaultyDisk()
    with open_store(tmp_path, files=disk) as store:
        put_ok(store, *(message(i) for i in range(5)))
        store._behind.write_blocking()
        put_ok(store, message(5))
        ask = ("TopicTest", 0, 0, 9)
        assert store.consume_queue_units_nowait(*ask) == store.consume_queue_units(*ask)
        assert store.is_in_memory("TopicTest", 0, 0)
        disk.always_cold = True
        assert store.consume_queue_units_nowait(*ask) is None
        assert len(store.consume_queue_units(*ask)) == 6
        assert not store.is_in_memory("TopicTest", 0, 0)
        assert len(store.consume_queue_units_nowait("TopicTest", 0, 5, 9) or ()) == 1
        assert store.consume_queue_units_nowait("Nothing", 0, 0, 9) == []


def test_runtime_table_has_the_keys_that_tools_parse(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        put_ok(store, *(message(i) for i in range(20)))
        bodies(store)
        info = store.runtime_info()
        assert info["putTps"].split(" ")[0] == "2.0"
        assert info["commitLogMaxOffset"] == str(store.max_phy_offset)
        assert info["earliestMessageTimeStamp"] == str(START_MS)
        assert info["commitLogDirCapacity"].startswith("Total : ")
        assert 0 <= float(info["commitLogDiskRatio"]) <= 1
        assert (
            info["dispatchBehindBytes"] == info["pageCacheLockTimeMills"] == info["dispatchMaxBuffer"] == "0"
        )
        assert all(isinstance(value, str) for value in info.values())


async def test_runtime_table_measures_puts_until_they_are_durable_and_gets_until_they_are_read(
    tmp_path: Path,
) -> None:
    clock = ManualClock(START_MS - START_MS % 60_000)
    disk = FaultyDisk()
    with open_store(tmp_path, clock=clock, files=disk, flush_disk_type=FlushDiskType.SYNC_FLUSH) as store:
        put_ok(store, message(0), message(1))
        clock.advance(40)
        [third] = put_ok(store, message(2))
        assert store.dispatch_behind_bytes == store.max_phy_offset == third.end_offset
        info = store.runtime_info()
        assert info["dispatchBehindBytes"] == str(third.end_offset)
        assert info["remainHowManyDataToFlush"] == f"{third.end_offset} B"
        clock.advance(5)
        await store._flush.flush()
        info = store.runtime_info()
        assert (info["dispatchBehindBytes"], info["remainHowManyDataToFlush"]) == ("0", "0 B")
        assert info["putMessageEntireTimeMax"] == "45"
        assert "[10~50ms]:0" in info["putMessageDistributeTime"]
        clock.advance(60_000)
        info = store.runtime_info()
        assert info["putMessageDistributeTime"].startswith("[<=0ms]:0 [0~10ms]:1 [10~50ms]:2 [50~100ms]:0")
        assert (info["putLatency99"], info["getMessageEntireTimeMax"]) == ("45.00", "0")
        clock.advance(60_000)
        assert "[10~50ms]:0" in store.runtime_info()["putMessageDistributeTime"]
        store._behind.write_blocking()
        disk.hook = lambda operation, _path, _detail: clock.advance(7 if operation == "open" else 0)
        await store.get_cold("g", "TopicTest", 0, 0, 32)
        assert store.runtime_info()["getMessageEntireTimeMax"] == "7"
