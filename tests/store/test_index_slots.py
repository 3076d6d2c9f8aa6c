"""The slots of an index file: near ones are written together, and none that is not new changes."""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store import StoreIOError
from store.index_file import HEADER_BYTES, IndexFile
from tests.failing_files import FailingFiles

if TYPE_CHECKING:
    from pathlib import Path

SLOTS = 200_000
PAGE_SLOTS = 1024
SLOT_NUMBERS = st.one_of(
    st.integers(0, SLOTS - 1),
    st.integers(0, 40),
    st.integers(0, SLOTS // PAGE_SLOTS - 1).map(lambda page: page * PAGE_SLOTS),
    st.integers(SLOTS - 40, SLOTS - 1),
)


def slots_of(path: Path) -> dict[int, int]:
    """Number by slot, of those in use."""
    numbers = struct.unpack_from(f">{SLOTS}i", path.read_bytes(), HEADER_BYTES)
    return {slot: number for slot, number in enumerate(numbers) if number}


@settings(max_examples=25, deadline=None)
@given(batches=st.lists(st.lists(SLOT_NUMBERS, min_size=1, max_size=60), max_size=4))
def test_slots_name_the_newest_entry_and_no_other_slot_changes(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[int]]
) -> None:
    path = tmp_path_factory.mktemp("index") / "20261121000000000"
    file = IndexFile(str(path), SLOTS, 1000, FailingFiles(), create=True)
    expected: dict[int, int] = {}
    number = 0
    for hashes in batches:
        assert file.add([(slot, 100, 0) for slot in hashes]) == len(hashes)
        file.finish()
        for slot in hashes:
            number += 1
            expected[slot] = number
    file.close()
    assert slots_of(path) == expected


def test_slots_of_a_page_take_one_write(tmp_path: Path) -> None:
    files = FailingFiles()
    path = tmp_path / "20261121000000000"
    file = IndexFile(str(path), SLOTS, 1000, files, create=True)

    def writes_for(hashes: list[int]) -> int:
        file.add([(hashed, 100, 0) for hashed in hashes])
        files.operations.clear()
        file.finish()
        return [name for name, _ in files.operations].count("pwrite")

    entries_and_header = 2
    assert writes_for(list(range(0, 400, 2))) == entries_and_header + 1
    assert writes_for([0, PAGE_SLOTS - 1, 3 * PAGE_SLOTS]) == entries_and_header + 2
    file.close()
    assert slots_of(path)[PAGE_SLOTS - 1] == 202


@pytest.mark.parametrize("failing", [1, 2, 3, 4])
def test_a_write_that_failed_is_made_good_by_the_next_call(tmp_path: Path, failing: int) -> None:
    writes: list[int] = []

    def fails(_number: int, name: str, _path: str) -> bool:
        if name == "pwrite":
            writes.append(1)
        return name == "pwrite" and len(writes) == failing

    path = tmp_path / "20261121000000000"
    file = IndexFile(str(path), SLOTS, 1000, FailingFiles(fails), create=True)
    file.add([(7, 100, 0), (5000, 200, 0), (5001, 200, 0)])
    with pytest.raises(StoreIOError, match="pwrite") as raised:
        file.finish()
    assert raised.value.errno == errno.EIO
    file.finish()
    file.close()
    assert slots_of(path) == {7: 1, 5000: 2, 5001: 3}
