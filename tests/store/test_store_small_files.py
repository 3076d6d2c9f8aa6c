"""checkpoint, config tables, delay levels, rates, texts."""

from __future__ import annotations

import errno
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_kit import FaultyDisk, failing, message, open_store, put_ok

from store import ConfigTable, OsFileSystem, PutStatus, StoreError
from store.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from store.delay_levels import DelayLevels
from store.message_codec import parse_message, property_mark, property_value
from store.rates import Rates
from store.runtime_text import human_bytes, runtime_text
from tests.simulation.disk import SimulatedDisk


def test_checkpoint_layout(tmp_path: Path) -> None:
    path = str(tmp_path / "checkpoint")
    assert load_checkpoint(path, OsFileSystem()) == Checkpoint()
    saved = Checkpoint(10_000, 9_000, 8_000, 7, 6)
    save_checkpoint(path, saved, OsFileSystem())
    data = Path(path).read_bytes()
    assert len(data) == 4096
    assert struct.unpack_from(">qqqqq", data) == (10_000, 9_000, 8_000, 7, 6)
    assert not any(data[40:])
    assert load_checkpoint(path, OsFileSystem()) == saved
    assert saved.min_timestamp == 6_000
    assert Checkpoint(1, 1).min_timestamp == 0


def test_config_table_keeps_the_previous_version(tmp_path: Path) -> None:
    table = ConfigTable(str(tmp_path / "config" / "topics.json"))
    assert table.load() is None
    table.save("one")
    table.save("two")
    assert (table.load(), Path(table.backup_path).read_text()) == ("two", "one")
    table.save("two")
    assert Path(table.backup_path).read_text() == "one"
    Path(table.path).write_text("")
    assert table.load() == "one"
    Path(table.path).write_text("{broken")
    assert table.load(lambda text: "not whole" if text.startswith("{broken") else None) == "one"
    Path(table.path).unlink()
    assert table.load() == "one"


def test_config_table_survives_a_full_disk(tmp_path: Path) -> None:
    disk = FaultyDisk()
    table = ConfigTable(str(tmp_path / "topics.json"), disk)
    table.save("one")
    disk.hook = failing("pwrite", "topics.json", errno.ENOSPC)
    with pytest.raises(StoreError, match="No space left"):
        table.save("two")
    disk.hook = lambda *_: None
    assert table.load() == "one"


def test_delay_levels() -> None:
    levels = DelayLevels("1s 5m 2h 1d")
    assert levels.delays_ms == [1000, 300_000, 7_200_000, 86_400_000]
    assert levels.deliver_timestamp(2, 7) == 300_007
    assert levels.deliver_timestamp(9, 7) == 1007
    assert levels.tags_code(b"9", 7) == 86_400_007
    assert levels.tags_code(b"0", 7) is None
    assert levels.tags_code(None, 7) is None
    assert levels.tags_code(b"x", 7) is None
    for bad in ("1", "s", "1s x5m", "1w"):
        with pytest.raises(StoreError, match="messageDelayLevel"):
            DelayLevels(bad)


def test_rates_over_three_windows() -> None:
    rates = Rates(("put",))
    for second in range(100):
        rates.tick(second * 1000)
        rates.counts[0] += 5
    assert rates.text("put", 99_900) == "5.0 5.0 0.8333333333333334"
    assert rates.per_second("put", 10, 105_000) == 2.0
    assert rates.text("put", 10_000_000) == "0.0 0.0 0.0"


def test_texts() -> None:
    assert runtime_text(93_784_000) == "[ 1 days, 2 hours, 3 minutes, 4 seconds ]"
    assert [human_bytes(size) for size in (0, 1023, 1024, 1536, 5 << 30, 1 << 80)] == [
        "0 B", "1023 B", "1.0 KiB", "1.5 KiB", "5.0 GiB", "1048576.0 EiB",
    ]  # fmt: skip


def test_property_value_takes_whole_names_and_the_last_of_two() -> None:
    text = b"XTAGS\x01no\x02TAGS\x01a\x02KEYS\x01k\x02TAGS\x01b\x02LAST\x01z"
    assert property_value(text, property_mark("TAGS")) == b"b"
    assert property_value(text, property_mark("KEYS")) == b"k"
    assert property_value(text, property_mark("LAST")) == b"z"
    assert property_value(text, property_mark("XTAGS")) == b"no"
    assert property_value(text, property_mark("AGS")) is None
    assert property_value(b"", property_mark("TAGS")) is None


@given(st.binary(max_size=300), st.integers(0, 20))
def test_garbage_is_never_a_message_and_never_raises(data: bytes, position: int) -> None:
    assert parse_message(data, min(position, len(data)), position) is None


@pytest.mark.parametrize("topic", ["TopicTest", "l" * 150])
def test_a_record_whose_topic_was_cut_off_is_not_a_message(topic: str) -> None:
    """Without properties, zeros in place of the end of the topic fit every length in the record."""
    with open_store("/s", files=SimulatedDisk(0)) as store:
        put_ok(store, message(1, topic=topic, keys=()))
        data = bytes(store.message_at(0) or b"")
    assert parse_message(data, 0, 0) is not None
    for lost in range(1, len(topic)):
        assert parse_message(data[: -2 - lost] + bytes(2 + lost), 0, 0) is None


@pytest.mark.parametrize("hole", [16, 512])
def test_a_record_with_a_hole_in_its_properties_is_not_a_message_and_none_is_stored(hole: int) -> None:
    with open_store("/s", files=SimulatedDisk(0)) as store:
        put_ok(store, message(1, extra="p\x01" + "y" * 600 + "\x02", body=b"b"))
        data = bytes(store.message_at(0) or b"")
        [refused] = store.put([message(2, extra="p\x01" + "\0" * hole + "y\x02")])
        put_ok(store, message(3, extra="p\x01" + "\0" * 15 + "y\x02"))
    assert refused.status is PutStatus.MESSAGE_ILLEGAL
    assert parse_message(data, 0, 0) is not None
    at = len(data) - 10 - hole
    assert parse_message(data[:at] + bytes(hole) + data[at + hole :], 0, 0) is None
