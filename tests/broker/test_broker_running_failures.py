"""What fails while a broker serves ends it with that failure, in order, and nobody else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import trio

from broker.broker import BrokerState
from remoting.config import RemotingServerConfig
from remoting.protocol.request_code import RequestCode
from remoting.server import Transport
from store import FlushDiskType, StoreError, StoreIOError
from tests.failing_files import FailingFiles, Holdings, as_files

if TYPE_CHECKING:
    from pathlib import Path

    from broker.broker import Broker

SEND = {
    "a": "p", "c": "TBW102", "d": 4, "e": 0, "f": 0, "g": 1_700_000_000_000, "h": 0, "i": "", "j": 0,
    "k": False, "m": False,
}  # fmt: skip


class BrokenError(Exception):
    """On purpose."""


class Breaker:
    """Something of a broker that goes on as before until it is told to fail."""

    def __init__(self) -> None:
        self.broken = trio.Event()

    async def fail(self, *_: object, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        await self.broken.wait()
        raise BrokenError


def break_store(broker: Broker, breaker: Breaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("store.cleaner.Cleaner.run", breaker.fail)


def break_hold(broker: Broker, breaker: Breaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broker.pull_hold.PullRequestHold._wait_for_deadline", breaker.fail)


def break_schedule(broker: Broker, breaker: Breaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broker.schedule.ScheduleMessageService._deliver_for_ever", breaker.fail)


def break_registration(broker: Broker, breaker: Breaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broker.registration.Registration.run", breaker.fail)


def break_tables(broker: Broker, breaker: Breaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broker.saved_table.SavedTable.run", breaker.fail)


def break_housekeeping(broker: Broker, breaker: Breaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "_keep_house", breaker.fail)


def break_port(broker: Broker, breaker: Breaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("remoting.server.SubServer._watch_idle", breaker.fail)


@pytest.mark.parametrize(
    "break_it",
    [
        break_store,
        break_hold,
        break_schedule,
        break_registration,
        break_tables,
        break_housekeeping,
        break_port,
    ],
)
async def test_a_service_that_fails_ends_its_broker_and_nothing_else(
    tmp_path: Path,
    make_broker: Any,
    running_broker: Any,
    asking: Any,
    monkeypatch: pytest.MonkeyPatch,
    break_it: Any,
) -> None:
    transport = Transport(RemotingServerConfig(bind_address="127.0.0.1"))
    async with (
        running_broker(tmp_path / "neighbour", transport=transport) as neighbour,
        asking(neighbour) as ask,
    ):
        assert (await ask(RequestCode.SEND_MESSAGE_V2, b"hello", b="t", **SEND)).code == 0
        before = Holdings.now(tmp_path / "a", alone=False)
        broker, breaker = make_broker(tmp_path / "a", transport=transport), Breaker()

        async def fail() -> None:
            async with trio.open_nursery() as nursery:
                await nursery.start(broker.run)
                async with asking(broker) as other:
                    sent = await other(RequestCode.SEND_MESSAGE_V2, b"hello", b="t", **SEND)
                    assert sent.code == 0
                breaker.broken.set()

        with monkeypatch.context() as patched:
            break_it(broker, breaker, patched)
            with pytest.raises(ExceptionGroup) as failure:
                await fail()
        assert failure.group_contains(BrokenError)
        assert broker.state is BrokerState.FAILED
        assert (await ask(RequestCode.SEND_MESSAGE_V2, b"hello", b="t", **SEND)).code == 0
        before.check_now(tmp_path / "a")
        assert len(transport.statistics().ports) == 2
    async with running_broker(tmp_path / "a") as again, asking(again) as ask:
        assert again.context.store.recovery.clean
        end = await ask(RequestCode.GET_MAX_OFFSET, topic="t", queueId=0)
        assert end.ext_fields["offset"] == "1"


async def test_a_device_that_fails_answers_who_waits_for_it_and_ends_the_broker(
    tmp_path: Path, make_broker: Any, running_broker: Any, asking: Any
) -> None:
    is_gone = False

    def fails(_number: int, name: str, path: str) -> bool:
        return is_gone and name == "fdatasync" and "commitlog" in path

    sync = {"flush_disk_type": FlushDiskType.SYNC_FLUSH, "sync_flush_timeout": 60_000}
    broker = make_broker(tmp_path / "a", files=as_files(FailingFiles(fails)), **sync)
    before = Holdings.now(tmp_path / "a")
    answers = []

    async def lose_the_device() -> None:
        nonlocal is_gone
        async with trio.open_nursery() as nursery:
            await nursery.start(broker.run)
            async with asking(broker) as ask:
                assert (await ask(RequestCode.SEND_MESSAGE_V2, b"safe", b="t", **SEND)).code == 0
                is_gone = True
                with trio.CancelScope(shield=True):
                    answers.append(await ask(RequestCode.SEND_MESSAGE_V2, b"lost", b="t", **SEND))

    with pytest.raises(ExceptionGroup) as failure:
        await lose_the_device()
    assert [answer.code for answer in answers] == [1]
    assert broker.state is BrokerState.FAILED
    assert failure.group_contains(StoreIOError, match="commitlog.*Input/output error")
    before.check_now(tmp_path / "a")
    assert (tmp_path / "a" / "abort").exists()
    async with running_broker(tmp_path / "a", listen_port=broker.listen_port) as again, asking(again) as ask:
        end = await ask(RequestCode.GET_MAX_OFFSET, topic="t", queueId=0)
        assert int(end.ext_fields["offset"]) >= 1


async def test_tables_that_cannot_be_written_keep_no_broker_from_serving_or_stopping(
    tmp_path: Path, running_broker: Any, asking: Any
) -> None:
    def fails(_number: int, name: str, path: str) -> bool:
        return name == "pwrite" and "/config/" in path

    files = as_files(FailingFiles(fails))
    async with running_broker(tmp_path / "a", files=files) as broker, asking(broker) as ask:
        assert (await ask(RequestCode.SEND_MESSAGE_V2, b"hello", b="t", **SEND)).code == 0
    assert broker.state is BrokerState.STOPPED
    async with running_broker(tmp_path / "a") as again, asking(again) as ask:
        assert again.context.store.recovery.clean
        end = await ask(RequestCode.GET_MAX_OFFSET, topic="t", queueId=0)
        assert end.ext_fields["offset"] == "1"


async def test_changes_that_cannot_be_saved_count_and_are_answered_with_the_reason(
    tmp_path: Path, running_broker: Any, asking: Any, caplog: pytest.LogCaptureFixture
) -> None:
    is_full = False

    def fails(_number: int, name: str, path: str) -> bool:
        return is_full and name == "pwrite" and "/config/" in path

    async with running_broker(tmp_path, files=as_files(FailingFiles(fails))) as broker, asking(broker) as ask:
        assert (await ask(RequestCode.SEND_MESSAGE_V2, b"hello", b="doomed", **SEND)).code == 0
        is_full = True
        queues = {"readQueueNums": 1, "writeQueueNums": 1, "perm": 6}
        flags = {"defaultTopic": "TBW102", "topicFilterType": "SINGLE_TAG", "topicSysFlag": 0, "order": False}
        answers = [
            await ask(RequestCode.UPDATE_AND_CREATE_TOPIC, topic="made", **queues, **flags),
            await ask(RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, b'{"groupName":"g"}'),
            await ask(RequestCode.DELETE_TOPIC_IN_BROKER, topic="doomed"),
        ]
        for answer, table in zip(answers, ("topics", "subscriptionGroup", "topics"), strict=True):
            assert answer.code == 1
            assert answer.remark.startswith("changed, but not saved yet: ")
            assert f"{table}.json" in answer.remark
        assert (await ask(RequestCode.SEND_MESSAGE_V2, b"hello", b="made", **SEND)).code == 0
        assert broker.context is not None
        assert broker.context.groups.table["g"]
        assert not (tmp_path / "consumequeue" / "doomed").exists(), "it may be there to make room"
        assert not any(record.exc_info for record in caplog.records), "a full disk is nobody's bug"
        is_full = False
        assert (await ask(RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, b'{"groupName":"h"}')).code == 0
    async with running_broker(tmp_path) as again:
        assert again.context is not None
        assert {"g", "h"} <= set(again.context.groups.table)
        assert "made" in again.context.topics.table
        assert "doomed" not in again.context.topics.table


async def test_a_stop_that_cannot_save_is_a_failure_and_the_next_start_recovers(
    tmp_path: Path, make_broker: Any, running_broker: Any, asking: Any
) -> None:
    broker = make_broker(
        tmp_path / "a",
        files=as_files(FailingFiles(lambda _number, name, path: name == "pwrite" and "queueEnds" in path)),
    )

    async def start_and_stop() -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(broker.run)
            nursery.cancel_scope.cancel()

    with pytest.raises(ExceptionGroup) as failure:
        await start_and_stop()
    assert failure.group_contains(StoreError)
    assert broker.state is BrokerState.FAILED
    async with running_broker(tmp_path / "a") as again:
        assert again.state is BrokerState.RUNNING
