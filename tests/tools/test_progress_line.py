"""How far a long command is: drawn on a terminal only, below what is printed, and gone at the end."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

import pytest
import trio
from admin_peer import Peer, running_peer
from terminal import COLOURS_AND_MOVES, OnTerminal

from tools.admin.output import Mode, Output, Table
from tools.admin.progress_line import ProgressLine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ERASED = "\r\x1b[2K"


class Clock:
    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def terminal() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def line(terminal: io.StringIO, clock: Clock) -> ProgressLine:
    return ProgressLine(terminal, clock=clock)


@pytest.fixture
def out(terminal: io.StringIO, line: ProgressLine) -> Output:
    """Results and progress share one terminal."""
    return Output(Mode.RICH, terminal, terminal, busy=line)


def drawn(terminal: io.StringIO) -> str:
    """What stands on the last line now."""
    return COLOURS_AND_MOVES.sub("", terminal.getvalue().rpartition(ERASED)[2])


def test_what_is_done_soon_is_never_drawn(
    out: Output, line: ProgressLine, terminal: io.StringIO, clock: Clock
) -> None:
    with out.progress("asking brokers") as tell:
        tell(1, 2)
        clock.seconds += 0.3
        line.draw()
    assert terminal.getvalue() == ""


def test_steps_are_shown_after_a_moment_and_nothing_remains(
    out: Output, line: ProgressLine, terminal: io.StringIO, clock: Clock
) -> None:
    with out.progress("asking brokers") as tell:
        clock.seconds += 1
        line.draw()
        assert drawn(terminal).startswith("asking brokers ")
        tell(3.7, 16)
        line.draw()
        assert "3/16" in drawn(terminal)
        assert "\n" not in terminal.getvalue()
    assert terminal.getvalue().endswith(ERASED)
    line.draw()
    assert drawn(terminal) == ""


def test_results_stand_above_it(out: Output, line: ProgressLine, terminal: io.StringIO, clock: Clock) -> None:
    table = Table(("#Name",), "%s", "%s")
    for number in out.walk(range(3), "brokers"):
        clock.seconds += 1
        line.draw()
        assert f"{number}/3" in drawn(terminal)
        out.line(f"line {number}")
        assert drawn(terminal) == f"line {number}\n"
        line.draw()
        out.failure("it failed")
        assert drawn(terminal) == "mqadmin: it failed\n"
        line.draw()
        out.table(table, [("row",)])
        assert drawn(terminal).split() == ["Name", "row"]


def test_who_stops_in_the_middle_leaves_nothing(
    out: Output, line: ProgressLine, terminal: io.StringIO, clock: Clock
) -> None:
    for _ in out.walk(range(3), "brokers"):
        clock.seconds += 1
        line.draw()
        break
    assert terminal.getvalue().endswith(ERASED)


def test_without_a_terminal_the_steps_just_happen() -> None:
    stream = io.StringIO()
    out = Output(Mode.PLAIN, stream, stream)
    with out.progress("asking brokers") as tell:
        tell(1, 2)
    assert list(out.walk("abc", "letters")) == ["a", "b", "c"]
    assert stream.getvalue() == ""


@pytest.mark.parametrize(("term", "watched"), [("xterm", True), ("dumb", False)])
def test_only_a_terminal_that_can_erase_gets_one(
    monkeypatch: pytest.MonkeyPatch, term: str, watched: bool
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr("sys.stderr", Terminal())
    assert (Output.choose(as_json=True).busy is not None) is watched


# --- the commands ------------------------------------------------------------------------------------------


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    async with running_peer() as running:
        yield running


@pytest.mark.parametrize(
    "arguments",
    [
        ("printMsg", "-t", "Hello"),
        ("consumeMessage", "-t", "Hello"),
        ("consumerProgress",),
        ("queryMsgByKey", "-t", "Hello", "-k", "key1"),
        ("resetOffsetByTime", "-g", "please_rename_unique_group_name_4", "-t", "TopicTest", "-s", "-1"),
        ("topicStatus", "-t", "Hello"),
        ("clusterList",),
    ],
    ids=lambda arguments: arguments[0],
)
async def test_a_long_command_tells_how_far_it_is(peer: Peer, arguments: tuple[str, ...]) -> None:
    told: list[tuple[str, float, float | None]] = []
    await trio.to_thread.run_sync(_run_watched, peer, arguments, told)
    what = {each[0] for each in told}
    assert len(what) == 1
    assert any(total and done < total for _, done, total in told)


def _run_watched(peer: Peer, arguments: tuple[str, ...], told: list[tuple[str, float, float | None]]) -> None:
    from click.testing import CliRunner

    from tools.mqadmin import mqadmin

    class Watched(ProgressLine):
        what = ""

        def begin(self, what: str) -> None:
            self.what = what

        def at(self, done: float, total: float | None) -> None:
            told.append((self.what, done, total))

    def choose(*, as_json: bool) -> Output:
        assert not as_json
        return Output(Mode.PLAIN, io.StringIO(), io.StringIO(), busy=Watched(io.StringIO()))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Output, "choose", choose)
        environment = {"NAMESRV_ADDR": peer.address}
        result = CliRunner().invoke(mqadmin, list(arguments), env=environment, prog_name="mqadmin")
    assert result.exit_code == 0, result.output


async def test_results_in_a_pipe_stay_clean_under_a_bar(peer: Peer) -> None:
    reader, writer = os.pipe()
    with OnTerminal.mqadmin("printMsg", "-t", "Hello", "-n", peer.address, stdout=writer) as admin:
        os.close(writer)
        with os.fdopen(reader) as results:
            printed = await trio.to_thread.run_sync(results.read)
        seen, code = await trio.to_thread.run_sync(admin.read_to_end)
    assert code == 0
    assert "\x1b" not in printed
    assert "\r" not in printed
    assert printed.count("MSGID: ") == 2
    assert "MSGID" not in seen
