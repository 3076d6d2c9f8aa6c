"""The independent reader of store files: it agrees with Java's files and ours, and sees what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from store_kit import message, open_store, opened, put_ok, unpack_java_store

from tests.kill.ledger import Ledger, Place, body_of
from tests.store_reader import UnsoundError, parse_message, read_checkpoint, read_store, split_messages

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SLOTS, ENTRIES = 100, 400


def filled(root: Path) -> Ledger:
    """A store of several files of each kind, closed in order, and what it promised."""
    ledger = Ledger()
    with open_store(root) as store:
        for number in range(150):
            topic, queue_id = ("A", number % 3) if number % 2 else ("B", 0)
            assert ledger.number(topic, queue_id) == number
            [result] = put_ok(
                store, message(number, topic, queue_id, body=body_of(number, number * 3), tags="t")
            )
            ledger.acknowledged[number] = Place(result.queue_offset, result.physical_offset)
    return ledger


def test_a_store_of_ours_closed_in_order_has_no_faults(tmp_path: Path) -> None:
    ledger = filled(tmp_path)
    image = read_store(tmp_path, slots=SLOTS, index_entries=ENTRIES)
    assert len(image.log.messages) == 150
    assert len(image.log.bases) > 3
    assert len(image.index) == 1 + 300 // ENTRIES
    assert not image.aborted
    assert str(ledger.check(image, complete=True)) == "0 faults:\n"
    assert read_checkpoint(tmp_path / "checkpoint")[0] > 0


def test_a_store_that_was_left_alone_has_no_faults_but_is_not_complete(tmp_path: Path) -> None:
    store = opened(tmp_path)
    put_ok(store, *(message(number) for number in range(50)))
    store.release()
    image = read_store(tmp_path, slots=SLOTS, index_entries=ENTRIES)
    assert image.aborted
    assert image.faults(complete=False).count == 0
    assert image.faults(complete=True).count > 0


def test_java_files_have_no_faults(tmp_path: Path) -> None:
    unpack_java_store(tmp_path)
    (log,) = tmp_path.rglob("commitlog")
    image = read_store(log.parent, slots=SLOTS, index_entries=ENTRIES)
    assert len(image.log.messages) > 10
    assert image.queues
    assert str(image.faults(complete=False)) == "0 faults:\n"


def _flip(root: Path, kind: str, at: int) -> None:
    path = sorted(each for each in (root / kind).rglob("*") if each.is_file())[0]
    data = bytearray(path.read_bytes())
    data[at] ^= 0x41
    path.write_bytes(data)


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(lambda root: _flip(root, "commitlog", 100), id="a body of the log"),
        pytest.param(lambda root: _flip(root, "commitlog", 27), id="a queue offset of the log"),
        pytest.param(lambda root: _flip(root, "consumequeue", 7), id="a unit's place"),
        pytest.param(lambda root: _flip(root, "consumequeue", 19), id="a unit's tags code"),
        pytest.param(
            lambda root: _flip(root, "index", 40 + SLOTS * 4 + 20 + 11), id="an index entry's place"
        ),
        pytest.param(lambda root: _drop_last(root / "commitlog"), id="the last log file gone"),
        pytest.param(
            lambda root: _drop_last(root / "consumequeue" / "B" / "0"), id="the last queue file gone"
        ),
    ],
)
def test_harm_is_seen(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    """The proof can fail."""
    ledger = filled(tmp_path)
    harm(tmp_path)
    image = read_store(tmp_path, slots=SLOTS, index_entries=ENTRIES)
    assert ledger.check(image, complete=True).count


def _drop_last(directory: Path) -> None:
    sorted(directory.iterdir())[-1].unlink()


def test_a_missing_file_in_the_middle_is_refused(tmp_path: Path) -> None:
    filled(tmp_path)
    sorted((tmp_path / "commitlog").iterdir())[1].unlink()
    with pytest.raises(UnsoundError, match="the file before it ends at 4096"):
        read_store(tmp_path, slots=SLOTS, index_entries=ENTRIES)


def test_a_cut_index_file_is_what_a_killed_start_may_leave_but_not_a_stop_in_order(tmp_path: Path) -> None:
    ledger = filled(tmp_path)
    cut = sorted((tmp_path / "index").iterdir())[-1]
    with cut.open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(UnsoundError, match="1000 bytes"):
        read_store(tmp_path, slots=SLOTS, index_entries=ENTRIES)
    (tmp_path / "abort").touch()
    image = read_store(tmp_path, slots=SLOTS, index_entries=ENTRIES)
    assert str(cut) not in [file.name for file in image.index]
    assert ledger.check(image).count == 0


def test_promises_that_are_not_kept_are_seen(tmp_path: Path) -> None:
    ledger = filled(tmp_path)
    image = read_store(tmp_path, slots=SLOTS, index_entries=ENTRIES)
    ledger.acknowledged[150] = Place(75, image.log.tail)
    ledger.refused.add(3)
    del ledger.sent[9]
    del ledger.acknowledged[9]
    texts = str(ledger.check(image))
    for part in ("message 150, acknowledged", "message 3 was refused", "nobody sent it"):
        assert part in texts


def test_half_a_message_is_none(tmp_path: Path) -> None:
    filled(tmp_path)
    data = sorted((tmp_path / "commitlog").iterdir())[0].read_bytes()
    first = parse_message(data)
    assert split_messages(data[: first.size]) == [first]
    with pytest.raises(UnsoundError):
        split_messages(data[: first.size - 1])
