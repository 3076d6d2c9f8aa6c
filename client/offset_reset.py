"""Moving consumer groups to another place of their queues."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from client.message_query import route_topic_of
from client.routing import serving_addresses
from client.walk import walk
from remoting.protocol import headers
from remoting.protocol.body import MessageQueue, ResetOffsetBody
from remoting.protocol.request_code import RequestCode

if TYPE_CHECKING:
    from client.admin import AdminClient
    from client.remote import Remote
    from client.routes import Routes
    from client.walk import Tell

__all__ = ["QUEUE_END", "OffsetReset", "Rollback"]

QUEUE_END = -1
"""The timestamp that means "the end of the queue"."""


@attrs.frozen
class Rollback:
    """What a reset by commit did to one queue (Java: `RollbackStats`)."""

    broker_name: str
    queue_id: int
    broker_offset: int
    consumer_offset: int
    timestamp_offset: int
    rollback_offset: int


class OffsetReset:
    """Resets through the brokers' own reset, or by committing offsets while no consumer is there.

    Args:
        remote: Asks the brokers.
        routes: Knows their addresses.
        admin: For the figures that the second way needs.
    """

    def __init__(self, remote: Remote, routes: Routes, admin: AdminClient) -> None:
        self._remote = remote
        self._routes = routes
        self._admin = admin

    async def by_time(
        self,
        group: str,
        topic: str,
        timestamp_ms: int,
        *,
        force: bool = True,
        cluster: str | None = None,
        tell: Tell | None = None,
    ) -> dict[MessageQueue, int]:
        """Moves all queues of a topic to the first message stored at `timestamp_ms` or later.

        Args:
            timestamp_ms: -1 for the end.
            force: False leaves queues alone that would move forward; only brokers that do not keep the reset
                themselves look at it.
            tell: Hears how many brokers are done.

        Returns:
            The new offset of each queue that moved.

        Raises:
            AnswerError: A broker refused; with 206 (no consumer online) `by_commit` is the way to go.
        """
        moved: dict[MessageQueue, int] = {}
        route = await self._routes.route(route_topic_of(topic, cluster))
        for _, address in walk(serving_addresses(route), tell):
            moved |= await self._ask(address, group, topic, timestamp_ms, force=force)
        return moved

    async def queue(self, address: str, group: str, topic: str, queue_id: int, offset: int) -> None:
        """Moves one queue of one broker to an offset between its first and one behind its last.

        Raises:
            AnswerError: The broker refused.
        """
        await self.commit(address, group, topic, queue_id, offset)
        await self._ask(address, group, topic, 0, force=False, queue_id=queue_id, offset=offset)

    async def search(self, address: str, topic: str, queue_id: int, timestamp_ms: int) -> int:
        """The offset that `timestamp_ms` stands for in one queue."""
        if timestamp_ms == QUEUE_END:
            answer = await self._remote.ask(
                address,
                RequestCode.GET_MAX_OFFSET,
                headers.GetMaxOffsetRequestHeader(topic=topic, queue_id=queue_id),
            )
            return headers.GetMaxOffsetResponseHeader.decode(answer.ext_fields).offset
        answer = await self._remote.ask(
            address,
            RequestCode.SEARCH_OFFSET_BY_TIMESTAMP,
            headers.SearchOffsetRequestHeader(topic=topic, queue_id=queue_id, timestamp=timestamp_ms),
        )
        return headers.SearchOffsetResponseHeader.decode(answer.ext_fields).offset

    async def by_commit(
        self,
        group: str,
        topic: str,
        timestamp_ms: int,
        *,
        force: bool = True,
        cluster: str | None = None,
        tell: Tell | None = None,
    ) -> list[Rollback]:
        """The same by committing offsets, for groups without a consumer that is online.

        Args:
            force: False leaves queues alone that would move forward.
            tell: Hears how many brokers are done.
        """
        done = []
        route = await self._routes.route(route_topic_of(topic, cluster))
        for broker_name, address in walk(serving_addresses(route), tell):
            for queue_id, (end, consumed) in (await self._positions(address, group, topic)).items():
                wanted = await self.search(address, topic, queue_id, timestamp_ms)
                target = consumed
                if force or wanted <= consumed:
                    target = wanted
                    await self.commit(address, group, topic, queue_id, wanted)
                done.append(Rollback(broker_name, queue_id, end, consumed, wanted, target))
        return done

    async def _positions(self, address: str, group: str, topic: str) -> dict[int, tuple[int, int]]:
        """Queue → (end, consumed up to); of a group that never came, its queues from their beginnings."""
        stats = await self._admin.consume_stats_at(address, group)
        known = {
            queue.queue_id: (each.broker_offset, each.consumer_offset)
            for queue, each in stats.offset_table.items()
            if queue.topic == topic
        }
        if not known:
            topic_stats = await self._admin.topic_stats_at(address, topic)
            known = {
                queue.queue_id: (each.max_offset, each.min_offset)
                for queue, each in topic_stats.offset_table.items()
            }
        return dict(sorted(known.items()))

    async def commit(self, address: str, group: str, topic: str, queue_id: int, offset: int) -> None:
        """Writes the offset of one queue; consumers that are online do not hear of it and go on as before.

        Raises:
            AnswerError: The broker refused; with 26 it does not have the group.
        """
        header = headers.UpdateConsumerOffsetRequestHeader(
            consumer_group=group, topic=topic, queue_id=queue_id, commit_offset=offset
        )
        await self._remote.ask(address, RequestCode.UPDATE_CONSUMER_OFFSET, header)

    async def _ask(
        self,
        address: str,
        group: str,
        topic: str,
        timestamp_ms: int,
        *,
        force: bool,
        queue_id: int = -1,
        offset: int = -1,
    ) -> dict[MessageQueue, int]:
        header = headers.ResetOffsetRequestHeader(
            topic=topic, group=group, queue_id=queue_id, offset=offset, timestamp=timestamp_ms, is_force=force
        )
        answer = await self._remote.ask(address, RequestCode.INVOKE_BROKER_TO_RESET_OFFSET, header)
        if not answer.body:
            return {}
        return dict(ResetOffsetBody.decode(answer.body).offset_table)
