"""The stall metric: what it counts, what it tells of it, what it costs nobody."""

from __future__ import annotations

import logging
import socket
import time

import pytest
import trio
import trio.testing

from remoting.direct_events import direct_events
from remoting.loop_stalls import LoopStalls, loop_stalls, watched_loop


def stand_still(seconds: float) -> None:
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


class Loop:
    """A loop without trio: time passes when it is told to."""

    def __init__(self, warn_millis: int = 0) -> None:
        self.now = 1000.0
        self.stalls = LoopStalls(lambda: warn_millis, now=lambda: self.now)

    def turn(self, wait: float, work: float, *, timeout: float | None = None) -> None:
        """Waits for I/O until something comes, or the timeout, and then works."""
        timeout = wait if timeout is None else timeout
        self.stalls.before_io_wait(timeout)
        self.now += wait
        self.stalls.after_io_wait(timeout)
        self.now += work
        self.stalls.before_io_wait(0)


def test_short_passes_are_no_stalls() -> None:
    loop = Loop()
    for _ in range(1000):
        loop.turn(0.0, 0.0009)
    figures = loop.stalls.statistics()
    assert (figures.passes, figures.longest_s, figures.lateness_p999_s) == (0, 0, 0)


def test_the_longest_pass_is_told_however_short_the_others_are() -> None:
    loop = Loop()
    for work in (0.002, 0.25, 0.004):
        loop.turn(1.0, work)
    figures = loop.stalls.statistics()
    assert figures.passes == 3
    assert figures.longest_s == pytest.approx(0.25)
    assert figures.watched_s == pytest.approx(3.256)


def test_waiting_is_no_stall() -> None:
    loop = Loop()
    loop.turn(300.0, 0.0001)
    loop.turn(5.0, 0.0001, timeout=20.0)  # something came before the timeout
    assert loop.stalls.statistics().passes == 0


def test_a_timer_that_fires_late_is_a_stall() -> None:
    loop = Loop()
    loop.turn(1.05, 0.0001, timeout=1.0)
    figures = loop.stalls.statistics()
    assert figures.passes == 1
    assert figures.longest_s == pytest.approx(0.05)


def test_sockets_that_are_served_and_tasks_that_follow_are_one_pass() -> None:
    loop = Loop()
    loop.stalls.before_io_wait(5.0)
    loop.stalls.after_io_wait(5.0)
    loop.now += 0.003  # `direct_events` serves
    loop.stalls.after_io_wait(5.0)  # and hands on to trio
    loop.now += 0.004
    loop.stalls.before_io_wait(0)
    figures = loop.stalls.statistics()
    assert (figures.passes, figures.longest_s) == (1, pytest.approx(0.007))


def test_a_timer_is_late_by_the_timeout_of_the_last_wait() -> None:
    loop = Loop()
    loop.stalls.before_io_wait(0.1)
    loop.stalls.after_io_wait(0.1)
    loop.stalls.before_io_wait(5.0)  # `direct_events` moved the deadline and waits again
    loop.now += 5.0
    loop.stalls.after_io_wait(0.1)  # as trio knows it
    assert loop.stalls.statistics().passes == 0
    loop.stalls.before_io_wait(9.0)
    loop.stalls.after_io_wait(9.0)
    loop.stalls.before_io_wait(0.5)
    loop.now += 0.75
    loop.stalls.after_io_wait(9.0)
    assert loop.stalls.statistics().longest_s == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("lengths", "seconds", "expected"),
    [
        ([1.0], 1000.0, 0.0),  # one moment of a thousand lies in it: the wait is at most nothing
        ([1.0], 100.0, 0.9),  # in a tenth of a second at its beginning the wait is longer
        ([0.1] * 10, 100.0, 0.09),
        ([0.5, *[0.002] * 50], 100.0, 0.4),
        ([0.5, 0.5, *[0.3] * 10], 1000.0, 0.25),  # 2 (0.5 − x) + 10 (0.3 − x) = 1
    ],
)
def test_lateness_is_what_a_random_moment_meets(
    lengths: list[float], seconds: float, expected: float
) -> None:
    loop = Loop()
    for length in lengths:
        loop.turn(0.0, length)
    loop.turn(seconds - sum(lengths), 0.0)
    assert loop.stalls.statistics().lateness_p999_s == pytest.approx(expected, abs=1e-9)


def test_the_recent_longest_is_forgotten_after_two_minutes_and_the_longest_is_not() -> None:
    loop = Loop()
    loop.turn(0.0, 0.5)
    loop.turn(70.0, 0.02)
    assert loop.stalls.statistics().recent_longest_s == pytest.approx(0.5)
    loop.turn(60.0, 0.0)
    assert loop.stalls.statistics().recent_longest_s == pytest.approx(0.02)
    loop.turn(600.0, 0.0)
    figures = loop.stalls.statistics()
    assert figures.recent_longest_s == 0
    assert figures.longest_s == pytest.approx(0.5)


def test_a_new_beginning_forgets_the_pass_that_is_under_way() -> None:
    loop = Loop()
    loop.turn(0.0, 0.5)
    loop.now += 2.0
    loop.stalls.after_io_wait(2.0)
    loop.now += 3.0
    loop.stalls.start_over()
    loop.stalls.before_io_wait(0)
    figures = loop.stalls.statistics()
    assert (figures.passes, figures.longest_s) == (0, 0)


def test_a_warning_names_the_length_and_comes_once_a_second(caplog: pytest.LogCaptureFixture) -> None:
    loop = Loop(warn_millis=100)
    with caplog.at_level(logging.WARNING, "rocketmq.remoting"):
        loop.turn(1.0, 0.099)
        assert not caplog.messages
        loop.turn(1.0, 0.25)
        loop.turn(0.1, 0.3)
        loop.turn(2.0, 0.4)
    assert [message.split(" for ")[1][:6] for message in caplog.messages] == ["250 ms", "400 ms"]


def test_zero_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    Loop(warn_millis=0).turn(0.0, 9.0)
    assert not caplog.messages


async def test_a_real_loop_that_computes_is_seen() -> None:
    with watched_loop() as stalls:
        await trio.lowlevel.checkpoint()
        stand_still(0.02)
        await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()
        assert stalls.statistics().longest_s >= 0.02
        assert loop_stalls() is stalls


async def test_what_is_served_between_two_turns_of_trio_is_a_pass_as_well() -> None:
    events = direct_events()
    if events is None:
        pytest.skip("sockets are read by tasks here")
    ours, theirs = socket.socketpair()
    served = trio.Event()

    def compute() -> None:
        ours.recv(1)
        stand_still(0.02)
        served.set()

    with ours, theirs, watched_loop() as stalls:
        ours.setblocking(False)
        events.when_readable(ours.fileno(), compute)
        theirs.send(b"x")
        await served.wait()
        events.remove(ours.fileno())
        await trio.lowlevel.checkpoint()  # the pass is over
        assert stalls.statistics().longest_s >= 0.02


async def test_a_task_that_a_served_socket_wakes_goes_on_with_the_same_pass() -> None:
    events = direct_events()
    if events is None:
        pytest.skip("sockets are read by tasks here")
    ours, theirs = socket.socketpair()
    served = trio.Event()
    computed = trio.Event()

    def compute() -> None:
        ours.recv(1)
        stand_still(0.02)
        served.set()

    async def compute_then(*, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await served.wait()
        stand_still(0.02)
        computed.set()

    with ours, theirs, watched_loop() as stalls:
        ours.setblocking(False)
        events.when_readable(ours.fileno(), compute)
        async with trio.open_nursery() as nursery:
            await nursery.start(compute_then)
            await trio.testing.wait_all_tasks_blocked(0.0)
            theirs.send(b"x")
            await computed.wait()
        events.remove(ours.fileno())
        await trio.lowlevel.checkpoint()
        assert stalls.statistics().longest_s >= 0.04


async def test_several_blocks_share_one_watch_and_the_last_one_ends_it() -> None:
    assert loop_stalls() is None
    first, second = watched_loop(), watched_loop()
    stalls = first.__enter__()
    assert second.__enter__() is stalls
    first.__exit__(None, None, None)
    assert loop_stalls() is stalls
    second.__exit__(None, None, None)
    assert loop_stalls() is None
    with watched_loop() as another:
        assert another is not stalls
