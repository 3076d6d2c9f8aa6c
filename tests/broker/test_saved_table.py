"""The file of a table when things go wrong."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio
import trio.testing
from memory_table import MemoryTable

from broker import saved_table
from broker.saved_table import SavedTable
from remoting.json_dialect import loads
from store import ConfigTable, StoreError
from store.background_turns import BackgroundTurns

if TYPE_CHECKING:
    from pathlib import Path


@attrs.define(eq=False)
class FailingTable(MemoryTable):
    """Refuses its first writes."""

    failures: int = 1
    written: trio.Event = attrs.field(factory=trio.Event)

    def save(self, text: str, *, before: object = None) -> None:
        if self.failures:
            self.failures -= 1
            raise StoreError("no space left", "memory.json")
        super().save(text)
        trio.from_thread.run_sync(self.written.set)


def make(file: Any, content: dict[str, int]) -> SavedTable:
    return SavedTable(file, snapshot=lambda: dict(content), to_json_object=lambda snapshot: snapshot)


async def test_who_waits_hears_of_a_failed_write_and_the_change_stays_to_be_written() -> None:
    file = FailingTable()
    table = make(file, {"a": 1})
    table.changed()
    with pytest.raises(StoreError):
        await table.saved()
    assert table.dirty
    await table.saved()
    assert not table.dirty
    assert file.text is not None
    assert loads(file.text) == {"a": 1}


async def test_the_service_tries_again_after_a_failed_write_and_says_so_once(
    autojump_clock: object, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "rocketmq.broker")
    file = FailingTable(failures=20)
    table = make(file, {"a": 1})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(table.run)
        table.changed()
        await file.written.wait()
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert file.writes == 1
    assert [record.message for record in caplog.records] == [
        "a table cannot be saved, trying again: memory.json: no space left",
        "memory.json is saved again",
    ]
    assert not any(record.exc_info for record in caplog.records)


async def test_many_changes_at_once_cost_few_writes() -> None:
    file, content = MemoryTable(), {"a": 0}
    table = make(file, content)

    async def change(number: int) -> None:
        content["a"] = number
        table.changed()
        await table.saved()
        assert file.text is not None
        assert loads(file.text)["a"] >= number

    async with trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(change, number)
            await trio.lowlevel.checkpoint()
    assert file.writes < 100


def test_a_file_that_is_no_json_gives_way_to_its_backup(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    path.write_text('{"a":')
    (tmp_path / "table.json.bak").write_text('{"a":7}')
    assert make(ConfigTable(str(path)), {}).load(dict) == {"a": 7}
    path.write_text('{"a":8}')
    assert make(ConfigTable(str(path)), {}).load(dict) == {"a": 8}


def test_no_file_is_no_table(tmp_path: Path) -> None:
    assert make(ConfigTable(str(tmp_path / "none.json")), {}).load(dict) is None


async def test_the_service_saves_in_its_turn_and_who_waits_for_a_save_waits_for_no_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    turns = BackgroundTurns(counted_s=math.inf)
    monkeypatch.setattr(saved_table, "background_turns", lambda: turns)
    file, content = MemoryTable(), {"a": 1}
    table = make(file, content)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(table.run)
        async with turns.turn():
            table.changed()
            await trio.testing.wait_all_tasks_blocked()
            assert turns.statistics().waiting == 1
            assert file.writes == 0
            await table.saved()
            assert file.writes == 1
            content["a"] = 2
            table.changed()
        while table.dirty:
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    assert file.writes == 2
    assert file.text is not None
    assert loads(file.text) == {"a": 2}
