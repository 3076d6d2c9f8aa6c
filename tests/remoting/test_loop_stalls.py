"""The stall metric: what it counts, what it tells of it, what it costs nobody."""

from __future__ import annotations

import logging
import os
import socket
import time

import pytest
import trio
import trio.testing

from remoting.direct_events import direct_events
from remoting.loop_stalls import LoopStalls, loop_stalls, watched_loop


def stand_still(seconds: float) -> None:
    """Computes for so long; it takes longer where others have the cores."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


class Loop:
    """A loop without trio: time passes when it is told to."""

    def __init__(self, warn_millis: int = 0) -> None:
        self.now = 1000.0
        self.process_cpu = self.thread_cpu = 10.0
        self.looks = 0
        self.stalls = LoopStalls(
            lambda: warn_millis,
            now=lambda: self.now,
            process_cpu=self._look_at_process_cpu,
            thread_cpu=lambda: self.thread_cpu,
        )

    def _look_at_process_cpu(self) -> float:
        self.looks += 1
        return self.process_cpu

    def turn(
        self,
        wait: float,
        work: float,
        *,
        timeout: float | None = None,
        own: float = 0.0,
        others: float = 0.0,
        others_in_wait: float = 0.0,
    ) -> None:
        """Waits for I/O until something comes, or the timeout, and then works.

        Args:
            wait, work: how long.
            timeout: `wait` by default.
            own, others: CPU time that the loop and other threads use in `work`.
            others_in_wait: CPU time that other threads use in `wait`.
        """
        timeout = wait if timeout is None else timeout
        self.stalls.before_io_wait(timeout)
        self.now += wait
        self.process_cpu += others_in_wait
        self.stalls.after_io_wait(timeout)
        self.now += work
        self.process_cpu += own + others
        self.thread_cpu += own
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


@pytest.mark.parametrize(("niceness", "slack"), [(0, 0.001), (5, 0.005)])
def test_what_the_kernel_may_add_to_a_long_timeout_is_no_stall(
    monkeypatch: pytest.MonkeyPatch, niceness: int, slack: float
) -> None:
    monkeypatch.setattr(os, "getpriority", lambda which, who: niceness)
    loop = Loop()
    loop.turn(10.0 + 10 * slack, 0.0, timeout=10.0)
    loop.turn(10.0 + 10 * slack + 0.0019, 0.0, timeout=10.0)
    assert loop.stalls.statistics().passes == 0
    late = 10 * slack + 0.0021
    loop.turn(10.0 + late, 0.0, timeout=10.0)
    figures = loop.stalls.statistics()
    assert (figures.passes, figures.longest_s) == (1, pytest.approx(late))


def test_the_kernel_s_slack_is_bounded() -> None:
    loop = Loop()
    loop.turn(86_400.103, 0.0, timeout=86_400.0)
    assert loop.stalls.statistics().longest_s == pytest.approx(0.103)


def test_a_stall_of_the_machine_is_told_from_one_of_ours() -> None:
    loop = Loop()
    loop.turn(1.0, 0.2)  # no core
    loop.turn(1.0, 0.08, own=0.005, others=0.06)  # the interpreter was with another thread
    loop.turn(1.0, 0.05, own=0.03)
    figures = loop.stalls.statistics()
    assert figures.longest_s == pytest.approx(0.2)
    assert figures.computing_longest_s == pytest.approx(0.065)
    assert figures.own_longest_s == pytest.approx(0.03)
    allowed = figures.watched_s * 0.001
    assert figures.lateness_p999_s == pytest.approx(0.2 - allowed)
    assert figures.computing_p999_s == pytest.approx(0.065 - allowed)
    assert figures.own_p999_s == pytest.approx(0.03 - allowed)


def test_threads_that_compute_beside_each_other_make_no_pass_longer() -> None:
    loop = Loop()
    loop.turn(1.0, 0.02, own=0.02, others=0.06)
    figures = loop.stalls.statistics()
    assert figures.computing_longest_s == pytest.approx(0.02)


def test_what_was_computed_before_a_pass_is_not_its_own() -> None:
    loop = Loop()
    loop.turn(1.0, 0.0009, own=0.0009)
    loop.turn(5.0, 0.1, others_in_wait=4.0)
    figures = loop.stalls.statistics()
    assert figures.longest_s == pytest.approx(0.1)
    assert (figures.computing_longest_s, figures.own_longest_s) == (0, 0)


def test_a_timer_is_late_because_another_thread_computes() -> None:
    loop = Loop()
    loop.turn(1.05, 0.0, timeout=1.0, others_in_wait=0.7)
    loop.turn(1.04, 0.0, timeout=1.0, others_in_wait=0.0)
    figures = loop.stalls.statistics()
    assert figures.longest_s == figures.computing_longest_s == pytest.approx(0.05)
    assert figures.own_longest_s == 0


def test_short_passes_share_a_look_at_the_cpu_clocks() -> None:
    loop = Loop()
    loop.looks = 0
    for _ in range(200):
        loop.turn(0.00005, 0.00005)
    assert 15 <= loop.looks <= 20  # in 20 milliseconds


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


def test_a_warning_tells_how_much_of_the_stall_was_ours(caplog: pytest.LogCaptureFixture) -> None:
    loop = Loop(warn_millis=100)
    with caplog.at_level(logging.WARNING, "rocketmq.remoting"):
        loop.turn(1.0, 0.25, own=0.01, others=0.2)
    (message,) = caplog.messages
    assert message.endswith(
        " for 250 ms: nobody was served meanwhile; this process computed for 210 ms of that, the loop itself"
        " for 10 ms"
    )


def test_zero_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    Loop(warn_millis=0).turn(0.0, 9.0)
    assert not caplog.messages


async def test_a_real_loop_that_computes_is_seen() -> None:
    with watched_loop() as stalls:
        await trio.lowlevel.checkpoint()
        stand_still(0.02)
        await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()
        figures = stalls.statistics()
        assert figures.longest_s >= 0.02
        assert 0.02 <= figures.own_longest_s <= figures.computing_longest_s <= figures.longest_s
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
