"""Damaged files of a store, each kind by name; `tests.format_fuzz` finds such kinds by chance.

What can be known from other files is mended, what cannot is lost and named, and nothing else.
"""

from __future__ import annotations

import os
import shutil
import struct
from typing import TYPE_CHECKING

import pytest
from store_kit import (
    START_MS,
    ManualClock,
    bodies,
    closed,
    make_store,
    message,
    open_store,
    opened,
    put_ok,
    queried,
)

from store import StoreCorruptError
from store.consume_queue import PADDING_SIZE, UNIT, UNIT_BYTES

if TYPE_CHECKING:
    from pathlib import Path

    from store import MessageStore

COUNT = 60
LOG_FILE_BYTES = 4096
UNITS_PER_FILE = 10
PADDING = "p\x01" + "y" * 50 + "\x02"
BODIES = [f"body-{number}".encode() for number in range(COUNT)]
INDEX = {"max_hash_slot_num": 20, "max_index_num": 21}


def fill(root: Path, *, clean: bool = True, expired_files: int = 0, **sizes: int) -> list[int]:
    """60 messages of one queue in three log files, six queue files; where each begins in the log."""
    clock = ManualClock(START_MS)
    store = opened(root, clock=clock, **sizes)
    places = []
    for number in range(COUNT):
        clock.advance(1000)
        [result] = put_ok(store, message(number, keys=(f"U{number}",), tags="A", extra=PADDING))
        places.append(result.end_offset - result.size)
    assert places[-1] > 2 * LOG_FILE_BYTES
    store._behind.write_blocking()
    for _ in range(expired_files):
        minimum = store._log.remove_first_file()
        for queue in store._queues.queues.values():
            queue.delete_expired_files(minimum)
            queue.correct_min_offset(minimum)
    store._log.sync_from(store._log.flushed)
    store._flush.flushed_timestamp = store._last_store_timestamp
    store._behind.sync_blocking(store._dispatcher.timestamp)
    closed(store, clean=clean)
    return places


def log_file(root: Path, physical: int) -> Path:
    return root / "commitlog" / f"{physical - physical % LOG_FILE_BYTES:020d}"


def queue_file(root: Path, offset: int) -> Path:
    first = offset - offset % UNITS_PER_FILE
    return root / "consumequeue" / "TopicTest" / "0" / f"{first * UNIT_BYTES:020d}"


def overwrite(path: Path, position: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(position)
        file.write(data)


def overwrite_log(root: Path, physical: int, data: bytes) -> None:
    overwrite(log_file(root, physical), physical % LOG_FILE_BYTES, data)


def overwrite_unit(root: Path, offset: int, physical: int, size: int) -> None:
    overwrite(queue_file(root, offset), offset % UNITS_PER_FILE * UNIT_BYTES, UNIT.pack(physical, size, 65))


def refusal(root: Path) -> StoreCorruptError:
    store = make_store(root)
    store.reserve()
    try:
        with pytest.raises(StoreCorruptError) as caught:
            store.load()
    finally:
        closed(store)
    return caught.value


def check_takes_more(store: MessageStore) -> None:
    """No offset is given again, and what is new is read behind what is old."""
    [result] = put_ok(store, message(COUNT))
    assert result.queue_offset == COUNT
    assert bodies(store)[-1] == f"body-{COUNT}".encode()


@pytest.mark.parametrize("clean", [True, False])
def test_a_damaged_body_is_lost_and_named_and_the_log_goes_on_behind_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, clean: bool
) -> None:
    places = fill(tmp_path, clean=clean)
    at = log_file(tmp_path, places[50]).read_bytes().index(BODIES[50])
    overwrite(log_file(tmp_path, places[50]), at, b"B")
    if clean:
        shutil.rmtree(tmp_path / "consumequeue")  # so that the log is read again
    with open_store(tmp_path) as store:
        assert bodies(store) == BODIES[:50] + BODIES[51:]
        check_takes_more(store)
        assert store.recovery is not None
        assert store.recovery.damaged == ((places[50], places[51]),)
    position, size = places[50] % LOG_FILE_BYTES, places[51] - places[50]
    assert (
        f"{log_file(tmp_path, places[50])}: damaged from byte {position} on,"
        f" {size} bytes up to the next sound message are lost"
    ) in caplog.messages


def test_a_zeroed_end_of_the_log_is_named_and_its_offsets_are_not_given_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    places = fill(tmp_path)
    overwrite_log(tmp_path, places[55], bytes(LOG_FILE_BYTES - places[55] % LOG_FILE_BYTES))
    with open_store(tmp_path) as store:
        assert bodies(store) == BODIES[:55]
        check_takes_more(store)
    assert (
        f"{log_file(tmp_path, places[55])}: the log ends at byte {places[55] % LOG_FILE_BYTES},"
        " but more was on the device: that is lost"
    ) in caplog.messages


def test_log_files_that_changed_places_are_refused(tmp_path: Path) -> None:
    fill(tmp_path)
    first, second, *_ = sorted((tmp_path / "commitlog").iterdir())
    content = first.read_bytes(), second.read_bytes()
    first.write_bytes(content[1])
    second.write_bytes(content[0])
    error = refusal(tmp_path)
    assert error.path == str(first)
    assert f"at byte 0: it is the content of the file {LOG_FILE_BYTES:020d}" in str(error)
    assert (first.read_bytes(), second.read_bytes()) == content[::-1]


def test_a_missing_log_file_in_the_middle_is_refused(tmp_path: Path) -> None:
    fill(tmp_path)
    log_file(tmp_path, LOG_FILE_BYTES).unlink()
    error = refusal(tmp_path)
    assert error.path == str(log_file(tmp_path, 2 * LOG_FILE_BYTES))
    assert f"follows {LOG_FILE_BYTES}, one is missing" in str(error)


def test_all_log_files_missing_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fill(tmp_path)
    shutil.rmtree(tmp_path / "commitlog")
    with open_store(tmp_path) as store:
        assert bodies(store) == []
    assert (
        f"{tmp_path}/commitlog: no file is left of a log that had messages: all are lost" in caplog.messages
    )


@pytest.mark.parametrize("wrong", ["elsewhere", "across two files", "behind the log", "empty"])
def test_a_unit_that_leads_nowhere_is_mended_when_it_is_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, wrong: str
) -> None:
    places = fill(tmp_path)
    size = places[14] - places[13]
    physical = {
        "elsewhere": places[13] + 3,
        "across two files": LOG_FILE_BYTES - 10,
        "behind the log": 1 << 40,
        "empty": 0,
    }[wrong]
    overwrite_unit(tmp_path, 13, physical, 0 if wrong == "empty" else size)
    with open_store(tmp_path) as store:
        assert bodies(store) == BODIES
        assert bodies(store) == BODIES
    said = f"{queue_file(tmp_path, 13)}: the unit at byte 60 did not lead to its message, it is mended"
    assert caplog.messages.count(said) == 1
    assert UNIT.unpack_from(queue_file(tmp_path, 13).read_bytes(), 60)[:2] == (places[13], size)


def test_a_unit_without_a_sound_message_becomes_padding(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    places = fill(tmp_path)
    overwrite_log(tmp_path, places[13], bytes(40))
    with open_store(tmp_path) as store:
        assert bodies(store) == BODIES[:13] + BODIES[14:]
        assert bodies(store) == BODIES[:13] + BODIES[14:]
        check_takes_more(store)
    assert UNIT.unpack_from(queue_file(tmp_path, 13).read_bytes(), 60)[1] == PADDING_SIZE
    said = f"{log_file(tmp_path, places[13])}: no sound message at byte {places[13] % LOG_FILE_BYTES}"
    assert sum(line.startswith(said) for line in caplog.messages) == 1


def test_a_last_unit_that_leads_before_the_log_is_mended_after_a_crash(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    places = fill(tmp_path, clean=False, expired_files=1)
    overwrite_unit(tmp_path, COUNT - 1, 10, 130)
    first = next(number for number, place in enumerate(places) if place >= LOG_FILE_BYTES)
    with open_store(tmp_path) as store:
        assert bodies(store) == BODIES[first:]
        check_takes_more(store)
    said = (
        f"{queue_file(tmp_path, COUNT - 1)}: the unit at byte 180 did not lead to its message, it is mended"
    )
    assert said in caplog.messages


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("damage", ["cut", "exchanged"])
def test_queue_files_that_do_not_fit_are_made_again(tmp_path: Path, clean: bool, damage: str) -> None:
    fill(tmp_path, clean=clean)
    first, second = queue_file(tmp_path, 20), queue_file(tmp_path, 30)
    if damage == "cut":
        os.truncate(first, 77)
    else:
        content = first.read_bytes()
        first.write_bytes(second.read_bytes())
        second.write_bytes(content)
    with open_store(tmp_path) as store:
        assert bodies(store) == BODIES
        check_takes_more(store)


@pytest.mark.parametrize("clean", [True, False])
def test_a_missing_front_of_a_queue_is_made_again_where_the_log_does_not_begin_at_0(
    tmp_path: Path, clean: bool
) -> None:
    places = fill(tmp_path, clean=clean, expired_files=1)
    first = next(number for number, place in enumerate(places) if place >= LOG_FILE_BYTES)
    files = sorted(queue_file(tmp_path, 0).parent.iterdir())
    assert files[0] == queue_file(tmp_path, first)
    files[0].unlink()
    with open_store(tmp_path) as store:
        assert store.min_offset("TopicTest", 0) == first
        assert bodies(store) == BODIES[first:]
        check_takes_more(store)


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("which", [0, 2, -1])
def test_an_index_file_that_is_missing_is_made_again(tmp_path: Path, clean: bool, which: int) -> None:
    fill(tmp_path, clean=clean, **INDEX)
    files = sorted((tmp_path / "index").iterdir())
    assert len(files) > 4
    files[which].unlink()
    with open_store(tmp_path, **INDEX) as store:
        for number in range(COUNT):
            assert queried(store, f"U{number}") == [BODIES[number]]


@pytest.mark.parametrize("field", [0, 8, 16, 24, 36])
@pytest.mark.parametrize("clean", [True, False])
def test_an_index_file_with_a_wrong_header_is_made_again(tmp_path: Path, clean: bool, field: int) -> None:
    fill(tmp_path, clean=clean, **INDEX)
    damaged = sorted((tmp_path / "index").iterdir())[2]
    overwrite(damaged, field + 2, b"\x5a")
    with open_store(tmp_path, **INDEX) as store:
        for number in range(COUNT):
            assert queried(store, f"U{number}") == [BODIES[number]]


def test_a_damaged_time_of_the_last_message_hides_no_index_file(tmp_path: Path) -> None:
    places = fill(tmp_path, clean=False)
    overwrite_log(tmp_path, places[COUNT - 1] + 56, b"\xff")  # the sign of its store timestamp
    shutil.rmtree(tmp_path / "index")
    with open_store(tmp_path) as store:
        for number in range(COUNT - 1):
            assert queried(store, f"U{number}") == [BODIES[number]]


@pytest.mark.parametrize("wrong", [5, 1000, 1 << 40])
def test_a_message_with_a_wrong_offset_of_its_queue_does_not_move_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, wrong: int
) -> None:
    places = fill(tmp_path)
    overwrite_log(tmp_path, places[30] + 20, wrong.to_bytes(8, "big"))
    shutil.rmtree(tmp_path / "consumequeue")
    with open_store(tmp_path) as store:
        assert bodies(store) == BODIES[:30] + BODIES[31:]
        check_takes_more(store)
    position = places[30] % LOG_FILE_BYTES
    said = f"{log_file(tmp_path, places[30])}: the message at byte {position} says that it has offset {wrong}"
    assert any(line.startswith(said) for line in caplog.messages)


def test_an_offset_is_not_given_again_where_the_last_message_went_to_another_topic(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    places = fill(tmp_path)
    at = log_file(tmp_path, places[-1]).read_bytes().rindex(b"TopicTest")
    overwrite(log_file(tmp_path, places[-1]), at, b"B")  # no checksum covers the topic
    shutil.rmtree(tmp_path / "consumequeue")
    with open_store(tmp_path) as store:
        assert bodies(store) == BODIES[:-1]
        assert bodies(store, topic="BopicTest") == BODIES[-1:]
        check_takes_more(store)
    with open_store(tmp_path) as store:
        assert bodies(store) == [*BODIES[:-1], b"body-60"]


def test_a_wrong_first_time_of_an_index_file_is_seen_where_its_first_message_is_expired(
    tmp_path: Path,
) -> None:
    places = fill(tmp_path, expired_files=1, **INDEX)
    first = next(number for number, place in enumerate(places) if place >= LOG_FILE_BYTES)
    for path in (tmp_path / "index").iterdir():
        begins, ends = struct.unpack(">qq", path.read_bytes()[16:32])
        if begins < LOG_FILE_BYTES <= ends:
            overwrite(path, 1, b"\x20")
            break
    else:
        raise AssertionError("no index file begins before the log")
    with open_store(tmp_path, **INDEX) as store:
        for number in range(first, COUNT):
            stored = START_MS + 1000 * (number + 1)
            found = store.query("TopicTest", f"U{number}", 64, stored - 2000, stored + 2000)
            assert len(found.buffers) == 1


def test_a_wrong_offset_of_the_first_message_after_expired_ones_moves_no_other(tmp_path: Path) -> None:
    places = fill(tmp_path, clean=False, expired_files=1)
    first = next(number for number, place in enumerate(places) if place >= LOG_FILE_BYTES)
    overwrite_log(tmp_path, places[first] + 27, b"\xff")
    with open_store(tmp_path) as store:
        assert [body for body in bodies(store) if body != BODIES[first]] == BODIES[first + 1 :]
        check_takes_more(store)
