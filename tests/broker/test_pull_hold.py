"""Held pulls: who is woken, when, and never twice."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
import trio
from fake_connection import FakeConnection, FakeTransport

from broker.pull_hold import HeldPull, PullRequestHold
from remoting.command import RemotingCommand
from store import Arrival

if TYPE_CHECKING:
    from collections.abc import Callable


class Held:
    """A hold with pulls that only note when they run again."""

    def __init__(self) -> None:
        self.config = SimpleNamespace(long_polling_enable=True)
        context = SimpleNamespace(config=self.config, transport=FakeTransport())
        self.hold = PullRequestHold(cast("Any", context))
        self.connection = FakeConnection()
        self.resumed: list[str] = []

    def add(
        self,
        name: str,
        *,
        queue_id: int = 0,
        offset: int = 10,
        timeout_ms: float = 15_000,
        match: Callable[[int], bool] | None = None,
        connection: FakeConnection | None = None,
    ) -> None:
        pull = HeldPull(
            connection=cast("Any", connection or self.connection),
            request=RemotingCommand.request(11),
            topic="T",
            queue_id=queue_id,
            queue_offset=offset,
            match=match,
            resume=lambda: self.resumed.append(name),
        )
        self.hold.hold(pull, timeout_ms)


def arrival(queue_id: int = 0, max_offset: int = 11, tags_code: int = 0) -> Arrival:
    return Arrival("T", queue_id, max_offset, tags_code, 0, 0, 0, b"")


@pytest.fixture
async def held() -> Held:
    return Held()


async def test_an_arrival_wakes_the_pulls_of_its_queue_at_once(held: Held) -> None:
    held.add("a")
    held.add("b", queue_id=1)
    held.hold.on_arrival([arrival()])
    assert held.resumed == ["a"]
    held.hold.on_arrival([arrival()])
    assert held.resumed == ["a"]
    assert len(held.hold) == 1


async def test_a_message_before_the_wanted_offset_wakes_nobody(held: Held) -> None:
    held.add("a", offset=20)
    held.hold.on_arrival([arrival(max_offset=20)])
    assert held.resumed == []
    held.hold.on_arrival([arrival(max_offset=21)])
    assert held.resumed == ["a"]


async def test_only_a_message_with_a_wanted_tag_wakes(held: Held) -> None:
    held.add("a", match={5}.__contains__)
    held.hold.on_arrival([arrival(tags_code=4)])
    assert held.resumed == []
    held.hold.on_arrival([arrival(tags_code=4), arrival(max_offset=12, tags_code=5)])
    assert held.resumed == ["a"]


async def test_without_long_polling_arrivals_wake_nobody(held: Held) -> None:
    held.config.long_polling_enable = False
    held.add("a")
    held.hold.on_arrival([arrival()])
    assert held.resumed == []


async def test_deadlines_are_served_in_order_by_one_task(
    held: Held, nursery: trio.Nursery, autojump_clock: trio.abc.Clock
) -> None:
    await nursery.start(held.hold.run)
    held.add("late", timeout_ms=20_000)
    held.add("early", timeout_ms=5_000)
    held.add("woken", queue_id=1, timeout_ms=6_000)
    start = trio.current_time()
    held.hold.on_arrival([arrival(queue_id=1)])
    await trio.sleep(5.001)
    assert held.resumed == ["woken", "early"]
    held.add("after", timeout_ms=1_000)
    await trio.sleep(1.001)
    assert held.resumed == ["woken", "early", "after"]
    await trio.sleep_until(start + 20.001)
    assert held.resumed == ["woken", "early", "after", "late"]
    assert held.hold.statistics().expired == 3


async def test_pulls_of_a_closed_connection_are_dropped(held: Held) -> None:
    other = FakeConnection(2)
    held.add("a")
    held.add("b", connection=other)
    held.hold.on_close(cast("Any", held.connection))
    held.hold.on_arrival([arrival()])
    assert held.resumed == ["b"]
    assert held.hold.statistics().dropped == 1


async def test_stopping_answers_what_is_held(held: Held) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(held.hold.run)
        held.add("a")
        nursery.cancel_scope.cancel()
    assert held.resumed == ["a"]
    assert not held.hold.spawn(trio.sleep, 0)


async def test_a_pull_that_fails_is_answered_and_the_others_go_on(held: Held) -> None:
    def fail() -> None:
        raise RuntimeError("broken")

    request = RemotingCommand.request(11)
    pull = HeldPull(cast("Any", held.connection), request, "T", 0, 0, None, fail)
    held.hold.hold(pull, 1000)
    held.add("b")
    held.hold.on_arrival([arrival()])
    assert held.resumed == ["b"]
    assert held.connection.answer_to(request).code == 1


async def test_deadlines_of_woken_pulls_do_not_pile_up(held: Held) -> None:
    for number in range(5000):
        held.add("x", offset=number)
        held.hold.on_arrival([arrival(max_offset=number + 1)])
    assert len(held.resumed) == 5000
    assert len(held.hold._deadlines) < 1100


async def test_waking_a_topic_runs_its_pulls_again(held: Held) -> None:
    held.add("a")
    held.add("b", queue_id=3)
    held.hold.wake_topic("T")
    assert sorted(held.resumed) == ["a", "b"]
