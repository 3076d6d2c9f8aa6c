"""Services of all brokers take turns with what computes, and one that hangs holds up nobody for long."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from store.background_turns import COUNTED_S, BackgroundTurns, background_turns
from store.worker_threads import busy_service_threads, in_background_thread, in_service_thread


class Work:
    """Tasks that take a turn each and say when."""

    def __init__(self, turns: BackgroundTurns) -> None:
        self.turns = turns
        self.running: list[str] = []
        self.log: list[str] = []
        self.ends: dict[str, trio.Event] = {}

    async def one(self, name: str) -> None:
        """Takes a turn, and keeps it until `ends[name]` is set."""
        self.ends[name] = trio.Event()
        async with self.turns.turn():
            self.running.append(name)
            self.log.append(name)
            try:
                await self.ends[name].wait()
            finally:
                self.running.remove(name)

    async def start(self, nursery: trio.Nursery, *names: str) -> None:
        """They come in this order."""
        for name in names:
            nursery.start_soon(self.one, name)
            await trio.testing.wait_all_tasks_blocked()

    async def end(self, name: str) -> None:
        """One is done, and what follows from that has happened."""
        self.ends[name].set()
        await trio.testing.wait_all_tasks_blocked()


async def test_turns_come_one_after_the_other_in_the_order_of_the_asking() -> None:
    work = Work(BackgroundTurns(at_once=1, counted_s=60))
    async with trio.open_nursery() as nursery:
        await work.start(nursery, "a", "b", "c")
        for name in "abc":
            assert work.running == [name]
            await work.end(name)
    assert work.log == ["a", "b", "c"]


async def test_so_many_at_a_time_as_it_is_told() -> None:
    work = Work(BackgroundTurns(at_once=2, counted_s=60))
    async with trio.open_nursery() as nursery:
        await work.start(nursery, "a", "b", "c", "d")
        figures = work.turns.statistics()
        assert (figures.counted, figures.waiting, figures.outlasted) == (2, 2, 0)
        assert work.running == ["a", "b"]
        await work.end("b")
        assert work.running == ["a", "c"]
        nursery.cancel_scope.cancel()


async def test_a_turn_that_lasts_counts_no_longer(autojump_clock: trio.testing.MockClock) -> None:
    work = Work(BackgroundTurns(at_once=1, counted_s=0.5))
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(work.one, "a")
        await trio.testing.wait_all_tasks_blocked()
        async with work.turns.turn():
            assert trio.current_time() - began == pytest.approx(0.5)
        assert work.running == ["a"]
        figures = work.turns.statistics()
        assert (figures.counted, figures.waiting, figures.outlasted) == (0, 0, 1)
        nursery.cancel_scope.cancel()
    assert work.turns.statistics().counted == 0


async def test_the_late_end_of_a_turn_that_counts_no_longer_is_not_that_of_another(
    autojump_clock: trio.testing.MockClock,
) -> None:
    work = Work(BackgroundTurns(at_once=1, counted_s=0.5))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(work.one, "hangs")
        await trio.sleep(1)
        nursery.start_soon(work.one, "second")
        await trio.sleep(0.1)
        nursery.start_soon(work.one, "third")
        await trio.sleep(0.1)
        work.ends["hangs"].set()
        await trio.sleep(0.1)
        assert work.running == ["second"]
        nursery.cancel_scope.cancel()


async def test_a_turn_that_ends_with_an_exception_or_is_given_up_leaves_its_place() -> None:
    work = Work(BackgroundTurns(at_once=1, counted_s=60))
    with pytest.raises(ZeroDivisionError):
        async with work.turns.turn():
            raise ZeroDivisionError
    async with trio.open_nursery() as nursery:
        await work.start(nursery, "a")
        async with trio.open_nursery() as waiting:
            await work.start(waiting, "given up")
            waiting.cancel_scope.cancel()
        await work.start(nursery, "b")
        assert work.turns.statistics().waiting == 1
        await work.end("a")
        assert work.running == ["b"]
        await work.end("b")
    assert work.log == ["a", "b"]
    assert work.turns.statistics().counted == work.turns.statistics().waiting == 0


async def test_what_nobody_waits_for_has_a_thread_only_in_its_turn() -> None:
    done: list[str] = []
    turns = background_turns()
    assert background_turns() is turns
    async with trio.open_nursery() as nursery, turns.turn():
        turns._began = dict.fromkeys(turns._began, trio.current_time() + 60)  # counts for a minute
        nursery.start_soon(in_background_thread, done.append, "background")
        while not (turns.statistics().waiting or done):
            await trio.lowlevel.checkpoint()
        await in_service_thread(done.append, "service")
        assert done == ["service"]
    assert done == ["service", "background"]
    assert busy_service_threads() == 0


def test_each_loop_has_turns_of_its_own() -> None:
    async def turns() -> BackgroundTurns:
        return background_turns()

    assert trio.run(turns) is not trio.run(turns)
    assert COUNTED_S < 1
