"""Delayed delivery: when, where, once, over restarts."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing
from rig import NOW_MS, Rig, open_rig, properties, send_request

from remoting.json_dialect import loads
from store import ManualClock, PutResult, PutStatus

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from store import Message


class TrioTime(ManualClock):
    """Wall clock that goes with trio's, so that an autojump moves both."""

    def __init__(self) -> None:
        super().__init__(NOW_MS)
        self._start = trio.current_time()

    def now_ms(self) -> int:
        return NOW_MS + round((trio.current_time() - self._start) * 1000)


def delayed(level: int, name: str = "A", **changes: str) -> Any:
    return send_request(
        body=name.encode(), i=properties(UNIQ_KEY=name, TAGS="t", DELAY=str(level)), **changes
    )


async def deliver_for(rig: Rig, seconds: float) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(rig.context.schedule.run)
        await trio.sleep(seconds)
        nursery.cancel_scope.cancel()


async def test_a_message_is_delivered_when_it_is_due_with_all_its_parts(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    with open_rig(tmp_path, clock=TrioTime()) as rig:
        rig.topic("T")
        async with trio.open_nursery() as nursery:
            await nursery.start(rig.context.schedule.run)
            await trio.sleep(100)
            rig.send(delayed(1, e="2", h="5"))
            await trio.sleep(0.999)
            assert rig.messages("T", 2) == []
            await trio.sleep(0.002)
            (message,) = rig.messages("T", 2)
            nursery.cancel_scope.cancel()
        assert message.store_timestamp - NOW_MS in range(101_000, 101_050)
        assert (message.body, message.flag) == (b"A", 5)
        assert message.properties["DELAY"] == "1"
        assert message.properties["REAL_TOPIC"] == "T"
        ((_, _, code),) = rig.context.store.consume_queue_units("T", 2, 0, 9)
        assert code == ord("t")


async def test_levels_are_independent_and_a_shorter_one_wakes_the_sleeper(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    with open_rig(tmp_path, clock=TrioTime()) as rig:
        rig.topic("T")
        async with trio.open_nursery() as nursery:
            await nursery.start(rig.context.schedule.run)
            rig.send(delayed(3, "ten"))
            await trio.sleep(0.5)
            rig.send(delayed(1, "one"))
            await trio.sleep(1.01)
            assert [message.body for message in rig.messages("T")] == [b"one"]
            await trio.sleep(8.5)
            assert [message.body for message in rig.messages("T")] == [b"one", b"ten"]
            nursery.cancel_scope.cancel()


async def test_many_due_messages_go_in_few_puts(
    tmp_path: Path, autojump_clock: trio.abc.Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_rig(tmp_path, clock=TrioTime()) as rig:
        rig.topic("T")
        rig.send(*[delayed(1, f"m{number}") for number in range(200)])
        sizes: list[int] = []
        put = rig.context.store.put

        def counted(messages: Sequence[Message]) -> list[PutResult]:
            sizes.append(len(messages))
            return put(messages)

        monkeypatch.setattr(rig.context.store, "put", counted)
        await deliver_for(rig, 1.1)
        assert sum(sizes) == 200
        assert len(sizes) <= 4
        assert [message.body for message in rig.messages("T")] == [b"m%d" % number for number in range(200)]


async def test_nothing_is_looked_at_while_nothing_is_due(
    tmp_path: Path, autojump_clock: trio.abc.Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_rig(tmp_path, clock=TrioTime()) as rig:
        rig.topic("T")
        looks: list[int] = []
        units = rig.context.store.consume_queue_units_nowait
        monkeypatch.setattr(
            rig.context.store, "consume_queue_units_nowait", lambda *a: looks.append(a[1]) or units(*a)
        )
        async with trio.open_nursery() as nursery:
            await nursery.start(rig.context.schedule.run)
            await trio.sleep(3600)
            assert looks == []
            rig.send(delayed(3))
            await trio.sleep(9.9)
            assert looks == []
            await trio.sleep(0.2)
            assert looks == [2]
            nursery.cancel_scope.cancel()


async def test_units_that_are_not_in_memory_are_read_beside_the_loop(
    tmp_path: Path, autojump_clock: trio.abc.Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[str] = []
    with open_rig(tmp_path, clock=TrioTime()) as rig:
        rig.topic("T")
        rig.send(delayed(1))
        units = rig.context.store.consume_queue_units

        def in_a_thread(*ask: Any) -> Any:
            threads.append(threading.current_thread().name)
            return units(*ask)

        monkeypatch.setattr(rig.context.store, "consume_queue_units_nowait", lambda *_: None)
        monkeypatch.setattr(rig.context.store, "consume_queue_units", in_a_thread)
        await trio.sleep(2)
        await rig.context.schedule._deliver_due(1)
        assert len(threads) == 1
        assert threads[0] != threading.main_thread().name
        monkeypatch.undo()
        assert [message.body for message in rig.messages("T")] == [b"A"]


async def test_over_a_clean_restart_everything_comes_once(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    clock = TrioTime()
    with open_rig(tmp_path, clock=clock) as rig:
        rig.topic("T")
        rig.send(delayed(1, "a"), delayed(2, "b"), delayed(1, "c"))
        await deliver_for(rig, 1.1)
        assert rig.context.schedule.offsets == {1: 2}
    content = loads((tmp_path / "config/delayOffset.json").read_text())
    assert content["offsetTable"] in ({1: 2}, {"1": 2})
    with open_rig(tmp_path, clock=clock) as rig:
        await deliver_for(rig, 10)
        assert [message.body for message in rig.messages("T")] == [b"a", b"c", b"b"]
        assert rig.context.schedule.runtime_info() == {
            "scheduleMessageOffset_1": "2,2",
            "scheduleMessageOffset_2": "1,1",
        }


async def test_what_became_due_while_the_broker_was_down_comes_at_its_start(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    clock = TrioTime()
    with open_rig(tmp_path, clock=clock) as rig:
        rig.topic("T")
        rig.send(delayed(4))
    await trio.sleep(3600)
    with open_rig(tmp_path, clock=clock) as rig:
        await deliver_for(rig, 0.01)
        assert len(rig.messages("T")) == 1


@pytest.mark.parametrize("changes", [{}, {"flush_delay_offset_interval": 2000}])
async def test_offsets_are_saved_after_flush_delay_offset_interval(
    tmp_path: Path, autojump_clock: trio.abc.Clock, changes: dict[str, int]
) -> None:
    with open_rig(tmp_path, clock=TrioTime(), store=changes) as rig:
        interval_s = rig.context.store_config.flush_delay_offset_interval / 1000
        rig.topic("T")
        rig.send(delayed(1))
        async with trio.open_nursery() as nursery:
            await nursery.start(rig.context.schedule.run)
            await trio.sleep(1 + interval_s - 0.1)
            assert not (tmp_path / "config/delayOffset.json").exists()
            await trio.sleep(0.2)
            while rig.context.schedule.file.dirty:
                await trio.lowlevel.checkpoint()
            assert (tmp_path / "config/delayOffset.json").exists()
            nursery.cancel_scope.cancel()


async def test_a_store_that_refuses_is_tried_again_and_nothing_is_lost_or_doubled(
    tmp_path: Path, autojump_clock: trio.abc.Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_rig(tmp_path, clock=TrioTime()) as rig:
        rig.topic("T")
        rig.send(*[delayed(1, f"m{number}") for number in range(3)])
        put = rig.context.store.put
        refusals = [True, True]

        def unreliable(messages: Sequence[Message]) -> list[PutResult]:
            if refusals:
                refusals.pop()
                stored = put(messages[:1])
                refused = [PutResult(PutStatus.SERVICE_NOT_AVAILABLE) for _ in messages[1:]]
                return stored + refused
            return put(messages)

        monkeypatch.setattr(rig.context.store, "put", unreliable)
        await deliver_for(rig, 2)
        assert [message.body for message in rig.messages("T")] == [b"m0", b"m1", b"m2"]


async def test_a_message_that_can_never_be_delivered_does_not_stop_the_others(
    tmp_path: Path, autojump_clock: trio.abc.Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_rig(tmp_path, clock=TrioTime()) as rig:
        rig.topic("T")
        rig.send(delayed(1, "much too long"), delayed(1, "ok"))
        rig.context.store_config.max_message_size = 10
        await deliver_for(rig, 2)
        assert [message.body for message in rig.messages("T")] == [b"ok"]


async def test_offsets_beyond_the_queue_are_brought_back(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config/delayOffset.json").write_text('{"offsetTable":{1:7,2:3}}')
    with open_rig(tmp_path, clock=TrioTime()) as rig:
        assert rig.context.schedule.offsets == {1: 0, 2: 0}
        rig.topic("T")
        rig.send(delayed(1))
        await deliver_for(rig, 2)
        assert len(rig.messages("T")) == 1


async def test_a_deliver_time_from_a_clock_far_ahead_does_not_wait_for_it(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    with open_rig(tmp_path, clock=ManualClock(NOW_MS + 86_400_000)) as rig:
        rig.topic("T")
        rig.send(delayed(1))
    with open_rig(tmp_path, clock=TrioTime()) as rig:
        await deliver_for(rig, 0.01)
        assert len(rig.messages("T")) == 1
