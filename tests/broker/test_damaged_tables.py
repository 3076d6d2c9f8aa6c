"""Damaged files of a broker's tables: their backup counts, or the broker is refused with the place named."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from memory_table import FakeClock
from test_consumer_offsets import make_offsets

from broker.broker import BrokerState
from broker.config import BrokerConfig
from broker.former_identities import FormerIdentities, RegisteredIdentity
from broker.groups import SubscriptionGroupManager
from broker.offset_journal import OffsetJournal
from broker.table_content import int64
from broker.topics import TopicConfigManager
from remoting.errors import BodyFault
from store import ConfigTable, OsFileSystem, StoreCorruptError

if TYPE_CHECKING:
    from pathlib import Path

    from broker.offsets import ConsumerOffsetManager

TOPIC = {"topicName": "T", "readQueueNums": 3, "writeQueueNums": 3, "perm": 6}
SOUND = json.dumps({"topicConfigTable": {"T": TOPIC}})


def topics(path: Path) -> TopicConfigManager:
    manager = TopicConfigManager(
        BrokerConfig(broker_ip1="127.0.0.1"), ConfigTable(str(path)), clock_ms=FakeClock()
    )
    manager.load()
    return manager


DAMAGED_TOPICS: dict[str, tuple[bytes, str]] = {
    "torn": (
        b'{"topicConfigTable":{"T":{"topicName":"T"',
        "neither comma nor brace after a value at character 41",
    ),
    "no UTF-8": (SOUND.encode().replace(b'"T"', b'"\xd4"'), "is not UTF-8 from byte 23 on"),
    "no object": (b"[1]", "is no JSON object"),
    "no table": (
        SOUND.replace("topicConfigTable", "topicConfigTabme").encode(),
        "has no object topicConfigTable",
    ),
    "no topic": (b'{"topicConfigTable":{"T":7}}', "TopicConfig is not an object"),
    "no number": (SOUND.replace("3", '"x"').encode(), "TopicConfig.readQueueNums: not an int64"),
    "two names": (SOUND.replace('"T":', '"U":').encode(), "has topic 'U' under the name 'T'"),
}


@pytest.mark.parametrize("damage", DAMAGED_TOPICS)
def test_a_damaged_table_gives_way_to_its_backup_or_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    data, reason = DAMAGED_TOPICS[damage]
    path, backup = tmp_path / "topics.json", tmp_path / "topics.json.bak"
    path.write_bytes(data)
    with pytest.raises(StoreCorruptError, match="and there is no sound version beside it") as caught:
        topics(path)
    assert caught.value.path == str(path)
    assert reason in str(caught.value)
    assert path.read_bytes() == data
    backup.write_text(SOUND)
    assert topics(path).table["T"].read_queue_nums == 3
    [said] = caplog.messages
    assert said.startswith(f"{path}: ")
    assert said.endswith(f"{reason}: its previous version {backup} is used")


def test_a_damaged_file_does_not_become_the_backup(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    path.write_text("{")
    (tmp_path / "table.json.bak").write_text("sound")
    table = ConfigTable(str(path))
    assert table.load(lambda text: None if text == "sound" else "is torn") == "sound"
    table.save("new")
    assert (path.read_text(), (tmp_path / "table.json.bak").read_text()) == ("new", "sound")
    table.save("newer")
    assert (path.read_text(), (tmp_path / "table.json.bak").read_text()) == ("newer", "new")


def test_an_empty_file_without_a_backup_is_an_empty_table_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "topics.json"
    path.touch()
    assert "T" not in topics(path).table
    assert caplog.messages == [f"{path}: is empty, and there is no previous version"]


def test_a_table_above_the_limit_of_a_request_is_read(tmp_path: Path) -> None:
    path = tmp_path / "topics.json"
    path.write_text(json.dumps({"filler": "x" * (17 << 20), "topicConfigTable": {"T": TOPIC}}))
    assert "T" in topics(path).table


def test_a_group_under_another_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "subscriptionGroup.json"
    path.write_text('{"subscriptionGroupTable":{"g":{"groupName":"h"}}}')
    groups = SubscriptionGroupManager(
        BrokerConfig(broker_ip1="127.0.0.1"), ConfigTable(str(path)), clock_ms=FakeClock()
    )
    with pytest.raises(StoreCorruptError, match="has group 'g' under the name 'h'"):
        groups.load()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"offsetTable":{"t@g":{"x":1}}}', "a queue of t@g is no int64: 'x'"),
        ('{"offsetTable":{"t@g":{0:1.5}}}', "offset of t@g is no int64: 1.5"),
        ('{"offsetTable":{"t@g":{0:9223372036854775808}}}', "offset of t@g is no int64: 9223372036854775808"),
        ('{"offsetTable":{"t@g":7}}', "has no object t@g"),
        ('{"offsetTablf":{}}', "has no object offsetTable"),
    ],
)
def test_damaged_offsets_are_refused(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "consumerOffset.json"
    path.write_text(text)
    with pytest.raises(StoreCorruptError) as caught:
        make_offsets(ConfigTable(str(path))).load()
    assert str(caught.value) == f"{path}: {reason}, and there is no sound version beside it"


def test_numbers_may_be_texts() -> None:
    assert [int64(value, "x") for value in (7, "7", "-7", 2**63 - 1)] == [7, 7, -7, 2**63 - 1]
    for value in (True, None, 1.0, "1.0", "", 2**63, -(2**63) - 1, [1]):
        with pytest.raises(BodyFault, match="x is no int64"):
            int64(value, "x")


class Journalled:
    """Offsets with a journal: saved once with 10, then 20 in one segment and 30 in the next."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        offsets = self.open()
        self.save(offsets)
        self.table = (directory / "consumerOffset.json").read_bytes()
        for offset in (20, 30):
            offsets.commit("host", "g", "t", 0, offset)
            if offset == 20:
                assert offsets._journal is not None
                offsets._journal.begin_segment()
        offsets.release()

    def open(self) -> ConsumerOffsetManager:
        files = OsFileSystem()
        journal = OffsetJournal(str(self.directory / "consumerOffset.journal"), files)
        offsets = make_offsets(
            ConfigTable(str(self.directory / "consumerOffset.json"), files), journal=journal
        )
        offsets.load()
        return offsets

    def save(self, offsets: ConsumerOffsetManager) -> None:
        offsets.commit("host", "g", "t", 0, 10)
        offsets.file._write_snapshot(offsets._snapshot())
        assert offsets._journal is not None
        offsets._journal.confirm()

    def offset(self) -> int:
        offsets = self.open()
        offsets.release()
        return offsets.query("g", "t", 0)

    def flip(self, number: int, position: int) -> Path:
        path = self.directory / f"consumerOffset.journal.{number}"
        data = bytearray(path.read_bytes())
        data[position] ^= 4
        path.write_bytes(data)
        return path


def test_a_sound_journal_is_read_to_its_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert Journalled(tmp_path).offset() == 30
    assert not caplog.messages


@pytest.mark.parametrize(("number", "left"), [(1, 30), (0, 20)])
@pytest.mark.parametrize("position", range(24))
def test_a_damaged_header_of_a_journal_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, number: int, left: int, position: int
) -> None:
    journalled = Journalled(tmp_path)
    path = journalled.flip(number, position)
    assert journalled.offset() == left
    assert f"{path}: no sound header at byte 0: offsets that it may hold are lost" in caplog.messages


@pytest.mark.parametrize("position", range(48, 68))
def test_a_damaged_record_of_a_journal_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, position: int
) -> None:
    journalled = Journalled(tmp_path)
    path = journalled.flip(0, position)
    assert journalled.offset() == 20
    assert f"{path}: no sound record at byte 48: offsets committed later may be lost" in caplog.messages


@pytest.mark.parametrize(("number", "left"), [(1, 30), (0, 20)])
def test_a_segment_with_the_content_of_the_other_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, number: int, left: int
) -> None:
    journalled = Journalled(tmp_path)
    path, other = (tmp_path / f"consumerOffset.journal.{each}" for each in (number, 1 - number))
    path.write_bytes(other.read_bytes())
    assert journalled.offset() == left
    assert caplog.messages == [f"{path}: has the content of the other segment: its own offsets are lost"]


def test_a_table_that_the_journal_does_not_go_on_from_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journalled = Journalled(tmp_path)
    (tmp_path / "consumerOffset.json").write_bytes(journalled.table.replace(b"10", b"11"))
    assert journalled.offset() == 11
    [said] = caplog.messages
    assert said.endswith("does not go on from the table of offsets that is there: it is left out")


def test_a_damaged_table_of_offsets_loses_no_commit_while_backup_and_journal_are_sound(
    tmp_path: Path,
) -> None:
    journalled = Journalled(tmp_path)
    (tmp_path / "consumerOffset.json.bak").write_bytes(journalled.table)
    (tmp_path / "consumerOffset.json").write_text("{")
    assert journalled.offset() == 30


def test_names_that_cannot_be_read_are_forgotten_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "registeredAs.json"
    path.write_text('{"identities":[{"brokerName":"b"}]}')
    former = FormerIdentities(ConfigTable(str(path)), RegisteredIdentity("c", "b", 0, "127.0.0.1:10911"))
    former.load()
    assert former.former == []
    [said] = caplog.messages
    assert f"{path}: names no brokers" in said


def test_what_a_table_reads_it_writes(tmp_path: Path) -> None:
    path = tmp_path / "topics.json"
    path.write_text(SOUND)
    manager = topics(path)
    manager.file._write_snapshot(manager._snapshot())
    written: Any = json.loads(path.read_text())
    assert written["topicConfigTable"]["T"]["readQueueNums"] == 3


@pytest.mark.parametrize("name", ["topics", "subscriptionGroup", "consumerOffset", "delayOffset"])
async def test_a_broker_is_refused_by_a_sentence(
    tmp_path: Path, make_broker: Any, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    path = tmp_path / "store" / "config" / f"{name}.json"
    path.parent.mkdir(parents=True)
    path.write_text("{")
    broker = make_broker(tmp_path / "store")
    with pytest.raises(
        StoreCorruptError, match=rf"^{path}: not JSON: no key at character 1, and there is no"
    ):
        await broker.run()
    assert broker.state is BrokerState.FAILED
    assert path.read_text() == "{"
    assert not any(record.exc_info for record in caplog.records)
