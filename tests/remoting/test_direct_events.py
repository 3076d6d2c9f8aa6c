"""Sockets that are served between two turns of trio."""

from __future__ import annotations

import gc
import socket
from contextlib import closing, contextmanager, suppress
from contextvars import ContextVar
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from wire_rig import connect, echo_table, request_bytes, serving, until

from remoting import ProcessorTable
from remoting.connection import Connection
from remoting.direct_events import DirectEvents, direct_events

if TYPE_CHECKING:
    from collections.abc import Iterator

    from remoting.processors import Processor

MIB = 1 << 20
speaker: ContextVar[str] = ContextVar("speaker", default="nobody")


@contextmanager
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    mine, theirs = socket.socketpair()
    with closing(mine), closing(theirs):
        mine.setblocking(False)
        theirs.setblocking(False)
        yield mine, theirs


@contextmanager
def watched() -> Iterator[list[str]]:
    """What an instrument is told of waits and passes, as it comes."""
    seen: list[str] = []

    class Watch(trio.abc.Instrument):
        def before_io_wait(self, timeout: float) -> None:
            seen.append("wait")

        def after_io_wait(self, timeout: float) -> None:
            seen.append("pass")

    watch = Watch()
    trio.lowlevel.add_instrument(watch)
    try:
        yield seen
    finally:
        trio.lowlevel.remove_instrument(watch)


def installed() -> DirectEvents:
    events = direct_events()
    assert events is not None, "this trio looks different inside: connections are read by tasks"
    return events


async def test_the_trio_of_these_tests_has_it_and_all_of_a_run_share_it() -> None:
    assert installed() is installed()
    async with serving(echo_table()) as server:
        peer = await connect(server)
        assert (await peer.ask(10)).code == 0
        assert len(installed()) == 1
        (connection,) = server.connections
        connection.close("done")
        assert len(installed()) == 0


def test_each_run_has_its_own() -> None:
    async def main() -> DirectEvents:
        await trio.lowlevel.checkpoint()
        return installed()

    assert trio.run(main) is not trio.run(main)


async def test_a_clock_that_jumps_needs_trio_as_it_is(autojump_clock: trio.testing.MockClock) -> None:
    assert direct_events() is None
    async with serving(echo_table()) as server:
        peer = await connect(server)
        assert (await peer.ask(10)).code == 0


def test_a_guest_waits_in_a_thread_and_is_left_alone() -> None:
    from queue import SimpleQueue

    jobs: SimpleQueue[object] = SimpleQueue()
    outcomes: list[object] = []

    async def main() -> DirectEvents | None:
        await trio.lowlevel.checkpoint()
        return direct_events()

    trio.lowlevel.start_guest_run(
        main,
        run_sync_soon_threadsafe=jobs.put,
        done_callback=lambda outcome: outcomes.append(outcome.unwrap()),
    )
    while not outcomes:
        jobs.get()()  # type: ignore[operator]
    assert outcomes == [None]


def test_a_trio_that_looks_different_inside_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from trio._core import _run

    async def main() -> DirectEvents | None:
        await trio.lowlevel.checkpoint()
        monkeypatch.delattr(_run, "SystemClock")
        try:
            return direct_events()
        finally:
            monkeypatch.undo()

    assert trio.run(main) is None


def test_outside_of_trio_there_is_none() -> None:
    with pytest.raises(RuntimeError):
        direct_events()


async def test_a_reader_is_called_as_long_as_something_is_left() -> None:
    events = installed()
    with pair() as (mine, theirs):
        read: list[bytes] = []
        events.when_readable(mine.fileno(), lambda: read.append(mine.recv(2)))
        theirs.send(b"abcde")
        await until(lambda: sum(map(len, read)) == 5)
        assert read == [b"ab", b"cd", b"e"]
        events.remove(mine.fileno())
        events.remove(mine.fileno())
        theirs.send(b"f")
        await trio.sleep(0.01)
        assert read == [b"ab", b"cd", b"e"]


async def test_tasks_deadlines_and_threads_go_on_beside_a_socket_that_is_always_ready() -> None:
    events = installed()
    with pair() as (mine, theirs):
        calls = 0

        def readable() -> None:
            nonlocal calls
            calls += 1

        theirs.send(b"never read")
        events.when_readable(mine.fileno(), readable)
        with trio.move_on_after(0.02) as scope:
            await trio.sleep_forever()
        assert scope.cancelled_caught
        assert await trio.to_thread.run_sync(lambda: "from a thread") == "from a thread"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep, 0.01)
        left, right = trio.socket.socketpair()
        with left, right:
            await left.send(b"x")
            assert await right.recv(1) == b"x"
        assert calls > 2
        events.remove(mine.fileno())


async def test_what_is_called_can_wake_tasks_and_bring_deadlines_forward() -> None:
    events = installed()
    with pair() as (mine, theirs):
        woken = trio.Event()
        scope = trio.CancelScope()

        def readable() -> None:
            mine.recv(100)
            woken.set()
            scope.deadline = trio.current_time()

        events.when_readable(mine.fileno(), readable)
        theirs.send(b"x")
        with scope:
            await trio.sleep_forever()
        await woken.wait()
        events.remove(mine.fileno())


async def test_a_writer_is_called_once_and_an_end_reaches_both_sides() -> None:
    events = installed()
    with pair() as (mine, theirs):
        with suppress(BlockingIOError):
            while mine.send(bytes(65536)):
                pass
        told: list[str] = []
        events.when_writable(mine.fileno(), lambda: told.append("writable"))
        await trio.sleep(0.01)
        assert told == []
        with suppress(BlockingIOError):
            while theirs.recv(MIB):
                pass
        await until(lambda: told)
        await trio.sleep(0.01)
        assert told == ["writable"]

        def readable() -> None:
            told.append("readable")
            events.remove(mine.fileno())

        events.when_readable(mine.fileno(), readable)
        events.when_writable(mine.fileno(), lambda: told.append("writable again"))
        theirs.close()
        await until(lambda: "readable" in told)
        assert told == ["writable", "writable again", "readable"]


async def test_a_socket_that_a_task_waited_for_before_is_taken_over() -> None:
    events = installed()
    with pair() as (mine, theirs):
        theirs.send(b"x")
        await trio.lowlevel.wait_readable(mine)
        read: list[bytes] = []
        events.when_readable(mine.fileno(), lambda: read.append(mine.recv(2)))
        await until(lambda: read)
        events.remove(mine.fileno())


async def test_instruments_see_what_is_served_here_in_passes_of_the_loop() -> None:
    events = installed()
    with pair() as (mine, theirs):
        served: list[int] = []

        def readable() -> None:
            mine.recv(100)
            served.append(len(seen))

        events.when_readable(mine.fileno(), readable)
        with watched() as seen:
            theirs.send(b"x")
            await until(lambda: served)
        assert seen[served[0] - 1] == "pass"
        assert ("wait", "wait") not in pairwise(seen), seen
        events.remove(mine.fileno())


async def test_what_wakes_no_task_is_no_turn_of_trio() -> None:
    events = installed()
    done = trio.Event()
    with pair() as (mine, theirs):
        served: list[int] = []

        def readable() -> None:
            served.append(len(seen))
            mine.recv(100)
            if len(served) < 5:
                theirs.send(b"x")
            else:
                done.set()

        events.when_readable(mine.fileno(), readable)
        with watched() as seen:
            theirs.send(b"x")
            await done.wait()
        events.remove(mine.fileno())
    assert seen[served[0] : served[-1]] == ["wait", "pass"] * 4


async def test_requests_are_served_in_the_context_of_their_port() -> None:
    said: list[str] = []
    table = ProcessorTable()

    def handler(_connection: Connection, request: object) -> None:
        said.append(speaker.get())

    table.call([10], handler)
    speaker.set("a broker")
    async with serving(table) as server:
        speaker.set("somebody else")
        peer = await connect(server)
        await peer.send(request_bytes(10, flag=2))
        await until(lambda: said)
    assert said == ["a broker"]


async def test_a_fault_of_ours_in_a_read_ends_the_server_as_it_would_from_a_task(
    way_of_reading: str,
) -> None:
    def find(_code: int) -> Processor | None:
        raise ZeroDivisionError("a fault of ours")

    table = echo_table()
    table.find = find
    with pytest.RaisesGroup(ZeroDivisionError, flatten_subgroups=True):
        async with serving(table) as server:
            peer = await connect(server)
            await peer.send(request_bytes(10))
            await trio.sleep_forever()


async def test_a_connection_that_closes_in_its_own_read_pass_is_left_whole(way_of_reading: str) -> None:
    table = ProcessorTable()
    table.call([10], lambda connection, _request: connection.close("asked to"))
    async with serving(table) as server:
        peer = await connect(server)
        await peer.send(request_bytes(10) + request_bytes(10, opaque=2))
        assert await peer.ended()
        assert not server.connections


async def test_closed_connections_leave_nothing_behind() -> None:
    async with serving(echo_table()) as server:
        for _ in range(20):
            peer = await connect(server)
            assert (await peer.ask(10)).code == 0
            await peer.stream.aclose()
        await until(lambda: not server.connections)
        assert len(installed()) == 0
        await trio.testing.wait_all_tasks_blocked()
    gc.collect()
    assert not [each for each in gc.get_objects() if isinstance(each, Connection) and not each.closed]
