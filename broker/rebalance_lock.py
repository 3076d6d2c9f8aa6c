"""Locks of queues for ordered consumption: LOCK_BATCH_MQ (41) and UNLOCK_BATCH_MQ (42).

A consumer of an ordered group may consume a queue only while it holds its lock; it renews every 20 s, and
a lock not renewed for 60 s may be taken over (RebalanceLockManager). Locks are in memory only: after a
restart consumers take them again.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import attrs

from broker.request_body import decoded_body
from remoting.errors import CommandError
from remoting.protocol.body import LockBatchRequestBody, LockBatchResponseBody, UnlockBatchRequestBody
from remoting.protocol.request_code import RequestCode
from remoting.protocol.response_code import ResponseCode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from broker.context import BrokerContext
    from remoting.command import RemotingCommand
    from remoting.protocol.body import MessageQueue
    from remoting.server import Connection, ProcessorTable

__all__ = ["LOCK_MAX_LIVE_MS", "RebalanceLockManager", "register"]

_log = logging.getLogger("rocketmq.lock")

LOCK_MAX_LIVE_MS = 60_000
"""A lock that was not renewed for so long is free (`rocketmq.broker.rebalance.lockMaxLiveTime`)."""


@attrs.define
class _Lock:
    client_id: str
    renewed_ms: int


class RebalanceLockManager:
    """Who holds which queue, by group."""

    def __init__(self, context: BrokerContext) -> None:
        self._clock_ms: Callable[[], int] = context.clock_ms
        self._locks: dict[str, dict[MessageQueue, _Lock]] = {}

    def lock(self, group: str, client_id: str, queues: Iterable[MessageQueue]) -> list[MessageQueue]:
        """Take or renew the locks of `queues`; returns those that the client holds now."""
        locks = self._locks.setdefault(group, {})
        now_ms = self._clock_ms()
        held = []
        for queue in queues:
            lock = locks.get(queue)
            if lock is None or (lock.client_id != client_id and self._is_expired(lock, now_ms)):
                _log.info("group %s: %s locks %s (before: %s)", group, client_id, queue, lock)
                locks[queue] = _Lock(client_id, now_ms)
            elif lock.client_id == client_id:
                lock.renewed_ms = now_ms
            else:
                _log.warning("group %s: %s is held by %s, not by %s", group, queue, lock.client_id, client_id)
                continue
            held.append(queue)
        return held

    def unlock(self, group: str, client_id: str, queues: Iterable[MessageQueue]) -> None:
        """Give up the locks of `queues` as far as the client holds them."""
        locks = self._locks.get(group)
        if locks is None:
            return
        for queue in queues:
            lock = locks.get(queue)
            if lock is not None and lock.client_id == client_id:
                _log.info("group %s: %s unlocks %s", group, client_id, queue)
                del locks[queue]
        if not locks:
            del self._locks[group]

    def is_lock_all_expired(self, group: str) -> bool:
        """Whether nobody holds a queue of the group: false means that it consumes in order right now."""
        locks = self._locks.get(group)
        if not locks:
            return True
        now_ms = self._clock_ms()
        return all(self._is_expired(lock, now_ms) for lock in locks.values())

    def forget_group(self, group: str) -> None:
        """Drop the locks of a group that was deleted."""
        self._locks.pop(group, None)

    @staticmethod
    def _is_expired(lock: _Lock, now_ms: int) -> bool:
        return now_ms - lock.renewed_ms > LOCK_MAX_LIVE_MS


def register(table: ProcessorTable, context: BrokerContext) -> None:
    """Serve 41 and 42 on the port whose table this is."""

    def lock(_: Connection, request: RemotingCommand) -> RemotingCommand:
        wanted = decoded_body(LockBatchRequestBody, request)
        held = context.locks.lock(*_holder(wanted), wanted.mq_set)
        body = LockBatchResponseBody(lock_ok_mq_set=frozenset(held))
        return request.response(ResponseCode.SUCCESS, body=body.encode())

    def unlock(_: Connection, request: RemotingCommand) -> RemotingCommand:
        wanted = decoded_body(UnlockBatchRequestBody, request)
        context.locks.unlock(*_holder(wanted), wanted.mq_set)
        return request.response(ResponseCode.SUCCESS)

    table.call((RequestCode.LOCK_BATCH_MQ,), lock)
    table.call((RequestCode.UNLOCK_BATCH_MQ,), unlock)


def _holder(wanted: LockBatchRequestBody | UnlockBatchRequestBody) -> tuple[str, str]:
    """Group and client of a request."""
    if not wanted.consumer_group or not wanted.client_id:
        raise CommandError(
            ResponseCode.SYSTEM_ERROR, "the body of the request lacks consumerGroup or clientId"
        )
    return wanted.consumer_group, wanted.client_id
