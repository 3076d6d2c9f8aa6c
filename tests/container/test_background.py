"""The container in a thread, as plain pytest and unittest use it: no test here is async."""

from __future__ import annotations

import signal
import threading
import unittest
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio
from host_state import process_state

from client import AdminClient, AnswerError, Message, NotFound
from container import BootRefusedError, BrokerState
from container.background import ContainerFailedError, RunningContainer, running_container
from container.open_container import light_broker

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import FrameType

    from container import InnerBroker


async def _send(name_server: str, topic: str, body: bytes) -> str:
    async with AdminClient([name_server]) as admin:
        result = await admin.producer("senders").send(Message(topic=topic, body=body))
        return result.status.name


async def _queues(name_server: str, topic: str) -> int:
    async with AdminClient([name_server]) as admin:
        return len(await admin.puller().queues(topic))


def send(running: RunningContainer, body: bytes = b"hello") -> str:
    return trio.run(_send, running.namesrv_address, "Topic", body)


def root_of(running: RunningContainer) -> Path:
    source = running.container.settings.source
    assert source is not None
    return source.parent


def test_a_blocking_program_has_a_broker_while_the_block_lasts() -> None:
    with running_container(["broker-a"]) as container:
        assert list(container.broker_addresses) == ["broker-a"]
        assert send(container) == "SEND_OK"
        assert container.failed_brokers == ()
        root = root_of(container)
    assert container.broker_addresses == {}
    assert container.failed_brokers == ()
    assert not root.exists()
    assert "broker container" not in [thread.name for thread in threading.enumerate()]


def test_the_stop_is_an_orderly_one_and_the_next_start_finds_the_data(tmp_path: Path) -> None:
    for already in range(2):
        with running_container(["broker-a"], directory=tmp_path) as container:

            async def stored() -> int:
                async with AdminClient([container.namesrv_address]) as admin:
                    stats = await admin.topic_stats("Topic")
                    return sum(offset.max_offset for offset in stats.offset_table.values())

            if already:
                assert trio.run(stored) == already
            send(container)
        assert not (tmp_path / "broker-a" / "abort").exists()


def test_a_topic_that_was_made_has_its_route_at_once() -> None:
    with running_container(["broker-a", "broker-b"]) as container:
        with pytest.raises(NotFound):
            trio.run(_queues, container.namesrv_address, "Made")
        container.create_topic("Made", queues=3)
        assert trio.run(_queues, container.namesrv_address, "Made") == 6
        with pytest.raises(AnswerError, match="not a name"):
            container.create_topic("not a name")


def test_functions_run_in_the_thread_of_the_container() -> None:
    async def where(word: str) -> tuple[str, str]:
        return threading.current_thread().name, word

    with running_container() as container:
        assert container.run(where, "hello") == ("broker container", "hello")
    with pytest.raises(trio.RunFinishedError):
        container.run(where, "too late")


def test_a_broker_that_cannot_start_is_an_error_of_the_caller(tmp_path: Path) -> None:
    good, bad = light_broker("good", tmp_path), light_broker("bad", Path("/proc/nowhere"))
    with (
        pytest.raises(BootRefusedError, match="bad: /proc"),
        running_container([good, bad], directory=tmp_path),
    ):
        pytest.fail("it must not start")
    assert not (tmp_path / "good" / "abort").exists()


def test_a_mistake_in_the_arguments_is_an_error_of_the_caller() -> None:
    with pytest.raises(TypeError), running_container([42]):  # type: ignore[list-item]
        pytest.fail("it must not start")


class Breaks:
    """A hook that lets the first broker fail while it runs, when told to."""

    name = "breaks"

    def before_start(self, broker: InnerBroker, _properties: Mapping[str, str]) -> None: ...

    def after_start(self, broker: InnerBroker, _properties: Mapping[str, str]) -> None:
        self.broker = broker

    async def fail(self) -> None:
        """Returns when the broker is closed."""
        assert self.broker.broker is not None
        assert self.broker.broker.context is not None

        def burst() -> None:
            raise OSError(5, "Input/output error", "commitlog")

        self.broker.broker.context.consumers.flush_notifications = burst  # type: ignore[method-assign]
        await self.broker.wait_closed()


@pytest.fixture
def breaks(monkeypatch: pytest.MonkeyPatch) -> Breaks:
    monkeypatch.setattr("broker.broker.SAMPLE_INTERVAL_S", 0.01)
    return Breaks()


def test_a_broker_that_fails_later_is_an_error_at_the_end_and_whenever_one_asks(breaks: Breaks) -> None:
    def program() -> None:
        with running_container(["broker-a"], hooks=[breaks]) as container:
            container.check()
            container.run(breaks.fail)
            assert [one.canonical_name for one in container.failed_brokers] == ["DefaultCluster_broker-a_0"]
            with pytest.raises(ContainerFailedError, match="Input/output error"):
                container.check()

    with pytest.raises(ContainerFailedError, match="broker-a_0: commitlog: Input/output error"):
        program()


def test_an_error_of_the_block_tells_of_a_broker_that_has_failed(breaks: Breaks) -> None:
    def program() -> None:
        with running_container(["broker-a"], hooks=[breaks]) as container:
            container.run(breaks.fail)
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine") as caught:
        program()
    assert caught.value.__notes__ == [
        "meanwhile broker DefaultCluster_broker-a_0 has failed: commitlog: Input/output error"
    ]


class Interrupts:
    """A hook that has the main thread interrupted while it waits for the start."""

    name = "interrupts"

    def __init__(self) -> None:
        self.heard = threading.Event()

    def hear(self, _number: int, _frame: FrameType | None) -> None:
        self.heard.set()
        raise KeyboardInterrupt

    def before_start(self, broker: InnerBroker, _properties: Mapping[str, str]) -> None:
        self.broker = broker
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        self.heard.wait()

    def after_start(self, broker: InnerBroker, _properties: Mapping[str, str]) -> None: ...


def test_an_interrupted_start_leaves_nothing_behind(tmp_path: Path) -> None:
    hook = Interrupts()
    before = signal.signal(signal.SIGINT, hook.hear)
    try:
        with (
            pytest.raises(KeyboardInterrupt),
            running_container(["broker-a"], directory=tmp_path, hooks=[hook]),
        ):
            pytest.fail("it must not start")
    finally:
        signal.signal(signal.SIGINT, before)
    assert hook.broker.state is BrokerState.CLOSED
    assert "broker container" not in [thread.name for thread in threading.enumerate()]


def test_an_interrupt_while_the_thread_starts_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begins = threading.Event()
    start = threading.Thread.start

    class Begins(Breaks):
        def before_start(self, broker: InnerBroker, _properties: Mapping[str, str]) -> None:
            self.broker = broker
            begins.set()

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        if thread.name == "broker container":
            begins.wait()
            raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    hook = Begins()
    with pytest.raises(KeyboardInterrupt), running_container(["broker-a"], directory=tmp_path, hooks=[hook]):
        pytest.fail("it must not start")
    assert hook.broker.state is BrokerState.CLOSED
    assert "broker container" not in [thread.name for thread in threading.enumerate()]


def test_two_threads_hold_two_containers() -> None:
    with running_container(["broker-a"]) as first, running_container(["broker-a"]) as second:
        assert first.namesrv_address != second.namesrv_address
        assert send(first) == send(second) == "SEND_OK"


def test_a_thread_leaves_the_process_of_the_host_as_it_was() -> None:
    before = process_state()
    with running_container(["broker-a"]) as container:
        send(container)
        assert process_state() == before
    assert process_state() == before


class TestUnittest(unittest.TestCase):
    """As a reader without pytest writes it."""

    container: RunningContainer

    @classmethod
    def setUpClass(cls) -> None:
        cls.container = cls.enterClassContext(running_container(["broker-a"]))

    def test_it_sends(self) -> None:
        self.assertEqual(send(self.container), "SEND_OK")  # noqa: PT009 - that is how unittest is used
