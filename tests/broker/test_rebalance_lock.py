"""Locks of queues for ordered consumption."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from broker import rebalance_lock
from broker.rebalance_lock import LOCK_MAX_LIVE_MS, RebalanceLockManager
from remoting.command import RemotingCommand
from remoting.errors import CommandError
from remoting.processors import ProcessorTable
from remoting.protocol.body import MessageQueue

Q0 = MessageQueue(topic="T", broker_name="broker-a", queue_id=0)
Q1 = MessageQueue(topic="T", broker_name="broker-a", queue_id=1)


class Clock:
    now_ms = 1_000_000

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def locks(clock: Clock) -> RebalanceLockManager:
    return RebalanceLockManager(cast("Any", SimpleNamespace(clock_ms=clock)))


def test_a_queue_is_held_by_one_client_at_a_time(locks: RebalanceLockManager) -> None:
    assert locks.lock("g", "c1", [Q0, Q1]) == [Q0, Q1]
    assert locks.lock("g", "c2", [Q0, Q1]) == []
    assert locks.lock("other", "c2", [Q0]) == [Q0]


def test_a_lock_that_is_renewed_in_time_is_kept(locks: RebalanceLockManager, clock: Clock) -> None:
    locks.lock("g", "c1", [Q0])
    clock.now_ms += LOCK_MAX_LIVE_MS
    assert locks.lock("g", "c1", [Q0]) == [Q0]
    clock.now_ms += LOCK_MAX_LIVE_MS
    assert locks.lock("g", "c2", [Q0]) == []


def test_an_expired_lock_is_taken_over(locks: RebalanceLockManager, clock: Clock) -> None:
    locks.lock("g", "c1", [Q0])
    clock.now_ms += LOCK_MAX_LIVE_MS + 1
    assert locks.is_lock_all_expired("g")
    assert locks.lock("g", "c2", [Q0]) == [Q0]
    assert not locks.is_lock_all_expired("g")


def test_only_the_holder_unlocks(locks: RebalanceLockManager) -> None:
    locks.lock("g", "c1", [Q0])
    locks.unlock("g", "c2", [Q0, Q1])
    assert not locks.is_lock_all_expired("g")
    locks.unlock("g", "c1", [Q0])
    assert locks.is_lock_all_expired("g")


async def ask(locks: RebalanceLockManager, code: int, body: bytes) -> RemotingCommand:
    table = ProcessorTable()
    rebalance_lock.register(table, cast("Any", SimpleNamespace(locks=locks)))
    entry = table.find(code)
    assert entry is not None
    assert entry.call is not None
    answer = entry.call(cast("Any", None), RemotingCommand.request(code, body=body))
    assert answer is not None
    return answer


BODY = (
    b'{"clientId":"%s","consumerGroup":"g","mqSet":[{"brokerName":"broker-a","queueId":0,"topic":"T"}],'
    b'"onlyThisBroker":false}'
)


async def test_requests_as_java_sends_them(locks: RebalanceLockManager) -> None:
    answer = await ask(locks, 41, BODY % b"c1")
    assert bytes(answer.body) == b'{"lockOKMQSet":[{"brokerName":"broker-a","queueId":0,"topic":"T"}]}'
    assert bytes((await ask(locks, 41, BODY % b"c2")).body) == b'{"lockOKMQSet":[]}'
    assert (await ask(locks, 42, BODY % b"c1")).code == 0
    assert locks.is_lock_all_expired("g")


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b"{}", b'{"consumerGroup":"g","clientId":"c","mqSet":[{"topic":"T"}]}']
)
@pytest.mark.parametrize("code", [41, 42])
async def test_an_unreadable_body_is_refused(locks: RebalanceLockManager, body: bytes, code: int) -> None:
    with pytest.raises(CommandError) as refused:
        await ask(locks, code, body)
    assert refused.value.code == 1
