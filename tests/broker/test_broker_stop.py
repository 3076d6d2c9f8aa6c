"""A broker that stops: what its clients hear, how long it waits for others, and a recovery that gives up."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest
import trio

from broker.broker import BrokerState
from remoting.client import RemotingClient
from remoting.command import RemotingCommand
from remoting.config import RemotingClientConfig
from remoting.protocol.mq_version import V5_3_1
from remoting.protocol.request_code import RequestCode
from remoting.protocol.response_code import ResponseCode
from store import FlushDiskType
from tests.failing_files import FailingFiles, Holdings, as_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SEND = {
    "a": "p", "b": "t", "c": "TBW102", "d": "4", "e": "0", "f": "0", "g": "1700000000000", "h": "0", "i": "",
    "j": "0", "k": "false", "m": "false",
}  # fmt: skip
PULL = {
    "consumerGroup": "g", "topic": "t", "queueId": "1", "queueOffset": "0", "maxMsgNums": "32",
    "sysFlag": "6", "commitOffset": "0", "suspendTimeoutMillis": "15000", "subVersion": "1",
    "subscription": "*", "expressionType": "TAG",
}  # fmt: skip
NEWER, OLDER = V5_3_1 + 1, V5_3_1


def request(code: int, fields: dict[str, str], version: int, body: bytes = b"") -> RemotingCommand:
    made = RemotingCommand.request(code, dict(fields), body)
    made.version = version
    return made


async def until(holds: Callable[[], bool]) -> None:
    """Let others run as long as it takes."""
    while not holds():
        await trio.lowlevel.checkpoint()


class SlowDevice:
    """Syncs of the commit log wait until they are let through."""

    def __init__(self) -> None:
        self.token = trio.lowlevel.current_trio_token()
        self.is_slow = False
        self.waits = trio.Event()
        self.goes_on = trio.Event()

    def __call__(self, _number: int, name: str, path: str) -> bool:
        if self.is_slow and name == "fdatasync" and "commitlog" in path:
            trio.from_thread.run(self._wait, trio_token=self.token)
        return False

    async def _wait(self) -> None:
        self.waits.set()
        await self.goes_on.wait()


@pytest.mark.parametrize("version", [NEWER, OLDER])
async def test_a_send_under_way_is_answered_before_the_broker_goes(
    tmp_path: Path, make_broker: Any, version: int
) -> None:
    device = SlowDevice()
    files = as_files(FailingFiles(device))
    sync = {"flush_disk_type": FlushDiskType.SYNC_FLUSH, "sync_flush_timeout": 60_000}
    broker = make_broker(tmp_path, files=files, **sync)
    answers = []
    async with RemotingClient(RemotingClientConfig()) as client, trio.open_nursery() as outer:
        scope = trio.CancelScope()

        async def live(*, task_status: trio.TaskStatus[Any]) -> None:
            with scope:
                await broker.run(task_status=task_status)

        async def send() -> None:
            asked = request(RequestCode.SEND_MESSAGE_V2, SEND, version, b"hello")
            answers.append(await client.invoke(broker.address, asked, 30_000))

        await outer.start(live)
        device.is_slow = True
        outer.start_soon(send)
        await device.waits.wait()
        scope.cancel()
        await until(lambda: broker.state is BrokerState.STOPPING)
        device.is_slow = False
        device.goes_on.set()
    assert [answer.code for answer in answers] == [0]


async def test_a_newer_client_that_waits_or_asks_is_told_to_go_away(tmp_path: Path, make_broker: Any) -> None:
    device = SlowDevice()
    sync = {"flush_disk_type": FlushDiskType.SYNC_FLUSH, "sync_flush_timeout": 60_000}
    broker = make_broker(tmp_path, files=as_files(FailingFiles(device)), **sync)
    codes: dict[str, int] = {}
    config = RemotingClientConfig(enable_reconnect_for_go_away=False)
    async with RemotingClient(config) as client, trio.open_nursery() as outer:
        scope = trio.CancelScope()

        async def live(*, task_status: trio.TaskStatus[Any]) -> None:
            with scope:
                await broker.run(task_status=task_status)

        async def ask(name: str, asked: RemotingCommand) -> None:
            codes[name] = (await client.invoke(broker.address, asked, 30_000)).code

        await outer.start(live)
        await ask("first", request(RequestCode.SEND_MESSAGE_V2, SEND, NEWER, b"hello"))
        group = b'{"groupName":"g"}'
        await ask("group", request(RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, {}, NEWER, group))
        outer.start_soon(ask, "held", request(RequestCode.PULL_MESSAGE, PULL, NEWER))
        await until(lambda: broker.context.hold.statistics().held == 1)
        device.is_slow = True
        outer.start_soon(ask, "under way", request(RequestCode.SEND_MESSAGE_V2, SEND, OLDER, b"hello"))
        await device.waits.wait()
        scope.cancel()
        await until(lambda: all(server.draining for server in broker._servers))
        await ask("late", request(RequestCode.SEND_MESSAGE_V2, SEND, NEWER, b"hello"))
        await ask("late and old", request(RequestCode.GET_MAX_OFFSET, {"topic": "t", "queueId": "0"}, OLDER))
        device.is_slow = False
        device.goes_on.set()
    away = ResponseCode.GO_AWAY
    assert codes == {"first": 0, "group": 0, "held": away, "under way": 0, "late": away, "late and old": 0}


async def test_a_stop_waits_for_name_servers_only_as_long_as_told(
    tmp_path: Path, make_broker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(_registration: object) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr("broker.registration.Registration.unregister", never)
    broker = make_broker(tmp_path)
    async with trio.open_nursery() as nursery:
        await nursery.start(broker.run)
        broker.stop_within(0.1)
        nursery.cancel_scope.cancel()
    assert broker.state is BrokerState.STOPPED
    assert not (tmp_path / "abort").exists()


async def test_a_stop_under_way_can_be_hurried(
    tmp_path: Path, make_broker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.broker._DRAIN_S", 3600)
    device = SlowDevice()
    sync = {"flush_disk_type": FlushDiskType.SYNC_FLUSH, "sync_flush_timeout": 60_000}
    broker = make_broker(tmp_path, files=as_files(FailingFiles(device)), **sync)
    async with RemotingClient(RemotingClientConfig()) as client, trio.open_nursery() as outer:
        scope = trio.CancelScope()

        async def live(*, task_status: trio.TaskStatus[Any]) -> None:
            with scope:
                await broker.run(task_status=task_status)

        await outer.start(live)
        device.is_slow = True
        asked = request(RequestCode.SEND_MESSAGE_V2, SEND, OLDER, b"hello")
        client.invoke_callback(broker.address, asked, 30_000, lambda _answer: None)
        await device.waits.wait()
        broker.stop_within(3600)
        scope.cancel()
        await until(lambda: broker.state is BrokerState.STOPPING)
        broker.stop_within(0)
        await until(lambda: broker.statistics().connections == 0)
        device.is_slow = False
        device.goes_on.set()


async def test_a_recovery_gives_up_when_the_broker_is_stopped_and_is_done_again(
    tmp_path: Path, make_broker: Any, running_broker: Any, asking: Any
) -> None:
    count = 1500
    async with running_broker(tmp_path / "first") as broker, asking(broker) as ask:
        for _ in range(count // 50):
            body = b"x" * 3000
            async with trio.open_nursery() as nursery:
                for _ in range(50):
                    nursery.start_soon(ask.client.invoke, ask.address, request(310, SEND, NEWER, body), 5000)
        shutil.copytree(tmp_path / "first", tmp_path / "a")
    before = Holdings.now(tmp_path / "a")
    calls = []
    scope = trio.CancelScope()

    def progress(done: int, total: int) -> None:
        calls.append((done, total))
        trio.from_thread.run_sync(scope.cancel)

    broker = make_broker(tmp_path / "a", progress=progress)
    with scope:
        await broker.run()
    assert scope.cancelled_caught
    assert broker.state is BrokerState.STOPPED
    assert len(calls) == 1
    assert calls[0][0] < calls[0][1]
    assert (tmp_path / "a" / "abort").exists()
    before.check_now(tmp_path / "a")
    async with running_broker(tmp_path / "a") as again, asking(again) as ask:
        assert not again.context.store.recovery.clean
        end = await ask(RequestCode.GET_MAX_OFFSET, topic="t", queueId=0)
        assert int(end.ext_fields["offset"]) == count
