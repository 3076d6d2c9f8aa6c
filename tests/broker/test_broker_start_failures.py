"""A start that fails, at whatever operation on the disk, leaves nothing behind, and the next one succeeds."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio

from broker.broker import BrokerState
from remoting.protocol.message import decode_message
from remoting.protocol.request_code import RequestCode
from store import StoreError
from tests.failing_files import FailingFiles, Holdings, as_files, from_nth, nth

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.broker import Broker

    Fails = Callable[[int, str, str], bool]

MESSAGES = 20
STRIDE = 5
"""Every so many operations are enough where each costs much and neighbours do the same."""
SEND = {
    "a": "p", "c": "TBW102", "d": 4, "e": 0, "f": 0, "g": 1_700_000_000_000, "h": 0, "i": "", "j": 0,
    "k": False, "m": False,
}  # fmt: skip


@attrs.define
class Outcome:
    """How one start went."""

    broker: Broker
    disk: FailingFiles
    failure: BaseException | None = None

    @property
    def started(self) -> bool:
        """Whether the broker served; a cancellation may keep `nursery.start` from telling."""
        return self.broker._has_run

    @property
    def failed_at(self) -> str:
        return ", ".join(f"{name} {path}" for name, path in self.disk.failed[:1])


@pytest.fixture
def stores(tmp_path: Path, running_broker: Any, asking: Any) -> Any:
    """Makes the three kinds of store that a start may find."""

    async def make(kind: str) -> Path:
        template = tmp_path / "template"
        if kind == "fresh":
            return template
        async with running_broker(tmp_path / "first") as broker, asking(broker) as ask:
            for number in range(MESSAGES):
                sent = await ask(RequestCode.SEND_MESSAGE_V2, b"m%d" % number, b="t", **SEND)
                assert sent.code == 0
            group = b'{"groupName":"g","retryMaxTimes":3}'
            assert (await ask(RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, group)).code == 0
            commit = {"consumerGroup": "g", "topic": "t", "queueId": 0, "commitOffset": 7}
            assert (await ask(RequestCode.UPDATE_CONSUMER_OFFSET, **commit)).code == 0
            if kind == "crashed":
                shutil.copytree(tmp_path / "first", template)
        if kind == "closed":
            shutil.copytree(tmp_path / "first", template)
        return template

    return make


async def start(make_broker: Any, root: Path, fails: Fails, scope: trio.CancelScope | None = None) -> Outcome:
    """Start on `root` until the broker serves or has failed; one that serves is stopped in order."""
    disk = FailingFiles(fails)
    outcome = Outcome(make_broker(root, files=as_files(disk)), disk)
    try:
        with scope or trio.CancelScope():
            async with trio.open_nursery() as nursery:
                await nursery.start(outcome.broker.run)
                nursery.cancel_scope.cancel()
    except (StoreError, ExceptionGroup) as failure:
        outcome.failure = failure
    return outcome


def rebind(ports: tuple[int, ...]) -> None:
    """All of them are free: each can be listened on."""
    for port in ports:
        if port:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
                probe.listen()


async def ordinary_start(running_broker: Any, asking: Any, root: Path, kind: str) -> bool:
    """An ordinary start finds everything; returns whether the store was closed in order before."""
    files = as_files(FailingFiles())
    async with running_broker(root, files=files) as broker, asking(broker) as ask:
        clean = bool(broker.context.store.recovery.clean)
        if kind == "fresh":
            assert (await ask(RequestCode.SEND_MESSAGE_V2, b"hello", b="t", **SEND)).code == 0
            return clean
        end = await ask(RequestCode.GET_MAX_OFFSET, topic="t", queueId=0)
        assert int(end.ext_fields["offset"]) == MESSAGES
        units = broker.context.store.consume_queue_units("t", 0, 0, MESSAGES)
        bodies = [decode_message(bytes(broker.context.store.message_at(unit[0]))).body for unit in units]
        assert bodies == [b"m%d" % number for number in range(MESSAGES)]
        offset = await ask(RequestCode.QUERY_CONSUMER_OFFSET, consumerGroup="g", topic="t", queueId=0)
        assert offset.ext_fields["offset"] == "7"
        return clean


@attrs.define
class Trial:
    """Starts on copies of one store, each with one thing going wrong, and what must hold after each."""

    kind: str
    template: Path
    root: Path
    make_broker: Any
    running_broker: Any
    asking: Any
    before: Holdings
    recovering: range = range(0)
    """The operations from the first change that recovery makes to its last."""

    async def run(self, fails: Fails, scope: trio.CancelScope | None = None) -> Outcome:
        shutil.rmtree(self.root, ignore_errors=True)
        if self.template.exists():
            shutil.copytree(self.template, self.root)
        outcome = await start(self.make_broker, self.root, fails, scope)
        rebind(outcome.broker.ports)
        assert outcome.broker.context is None
        assert outcome.broker._transport.statistics().ports == ()
        self.before.check_now(self.root)
        return outcome

    async def measure(self) -> int:
        """How many operations an undisturbed start and stop need."""
        outcome = await self.run(lambda *_: False)
        assert outcome.started
        assert outcome.failure is None
        names = [f"{name} {Path(path).name}" for name, path in outcome.disk.operations]
        last = names.index("open delayOffset.json")
        self.recovering = range(names.index("sync_directory a", names.index("open abort")) + 2, last + 1)
        return len(names)

    async def check_next_start(self, outcome: Outcome, number: int) -> None:
        clean = await ordinary_start(self.running_broker, self.asking, self.root, self.kind)
        if self.kind == "closed" and not outcome.started and number not in self.recovering:
            assert clean


@pytest.fixture(params=["fresh", "closed", "crashed"])
async def trial(
    request: pytest.FixtureRequest,
    stores: Any,
    make_broker: Any,
    running_broker: Any,
    asking: Any,
    tmp_path: Path,
) -> Trial:
    template = await stores(request.param)
    root = tmp_path / "a"
    async with running_broker(tmp_path / "warm"):
        pass  # what a process makes once: its first worker threads, the sockets that wake it
    return Trial(request.param, template, root, make_broker, running_broker, asking, Holdings.now(root))


async def test_whichever_operation_fails_nothing_is_left_and_the_next_start_succeeds(trial: Trial) -> None:
    for number in range(1, await trial.measure() + 1):
        outcome = await trial.run(nth(number))
        failed_to_stop = outcome.started and outcome.failure is not None
        expected = BrokerState.STOPPED if outcome.failure is None else BrokerState.FAILED
        assert outcome.broker.state is expected, outcome.failed_at
        if trial.kind == "fresh" and not outcome.started:
            assert not trial.root.exists(), outcome.failed_at
        if not failed_to_stop or number % STRIDE == 0:
            await trial.check_next_start(outcome, number)


async def test_whenever_the_disk_goes_everything_is_released_and_served_when_it_returns(trial: Trial) -> None:
    for number in range(1, await trial.measure() + 1, STRIDE):
        outcome = await trial.run(from_nth(number))
        assert outcome.failure is not None, outcome.failed_at
        await ordinary_start(trial.running_broker, trial.asking, trial.root, trial.kind)


async def test_whenever_a_start_is_cancelled_it_is_undone(trial: Trial) -> None:
    token = trio.lowlevel.current_trio_token()
    for number in range(1, await trial.measure() + 1, STRIDE):
        scope = trio.CancelScope()

        def cancel(
            count: int, _name: str, _path: str, at: int = number, it: trio.CancelScope = scope
        ) -> bool:
            if count == at:
                token.run_sync_soon(it.cancel)
            return False

        outcome = await trial.run(cancel, scope)
        assert outcome.failure is None
        assert outcome.broker.state is BrokerState.STOPPED
        if trial.kind == "fresh" and not outcome.started:
            assert not trial.root.exists()
        await ordinary_start(trial.running_broker, trial.asking, trial.root, trial.kind)
