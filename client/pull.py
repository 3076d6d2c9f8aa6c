"""Reading queues at offsets: what `DefaultMQPullConsumer` is to Java, without its background tasks."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

import attrs

from client import subscription
from client.errors import AnswerError, NotFound
from client.routing import serving_address, subscribe_queues
from remoting.protocol import headers
from remoting.protocol.message import (
    PROPERTY_MAX_OFFSET,
    PROPERTY_MIN_OFFSET,
    PROPERTY_TAGS,
    decode_messages,
)
from remoting.protocol.request_code import RequestCode
from remoting.protocol.response_code import ResponseCode

if TYPE_CHECKING:
    from client.remote import Remote
    from client.routes import Routes
    from remoting.protocol.body import MessageQueue
    from remoting.protocol.message import MessageExt

__all__ = ["TOOLS_CONSUMER_GROUP", "PullResult", "PullStatus", "Puller"]

TOOLS_CONSUMER_GROUP = "TOOLS_CONSUMER"
_SUSPEND, _SUBSCRIPTION = 0x2, 0x4
_ANSWER_MARGIN_MS = 10_000


class PullStatus(Enum):
    """How a pull ended, by Java's names."""

    FOUND = ResponseCode.SUCCESS
    NO_NEW_MSG = ResponseCode.PULL_NOT_FOUND
    NO_MATCHED_MSG = ResponseCode.PULL_RETRY_IMMEDIATELY
    OFFSET_ILLEGAL = ResponseCode.PULL_OFFSET_MOVED


_ACCEPTED = frozenset(int(status.value) for status in PullStatus)


@attrs.frozen
class PullResult:
    """The answer to one pull.

    Attributes:
        status: Whether there are messages, and if not, why.
        messages: In queue order; those whose tags do not match are left out.
        next_begin_offset: Where to go on.
        min_offset: First offset of the queue.
        max_offset: One behind its last.
    """

    status: PullStatus
    messages: tuple[MessageExt, ...]
    next_begin_offset: int
    min_offset: int
    max_offset: int


class Puller:
    """Pulls for one consumer group.

    Args:
        remote: Asks the brokers.
        routes: Knows their addresses.
        group: Must be known to the brokers or be created by them.
    """

    def __init__(self, remote: Remote, routes: Routes, group: str = TOOLS_CONSUMER_GROUP) -> None:
        self.group = group
        self._remote = remote
        self._routes = routes

    async def queues(self, topic: str, *, route_topic: str | None = None) -> list[MessageQueue]:
        """The readable queues of a topic.

        Args:
            route_topic: The topic whose route to use; light queues have none of their own.

        Raises:
            NotFound: There is no route, or no readable queue in it.
        """
        queues = subscribe_queues(topic, await self._routes.route(route_topic or topic))
        if not queues:
            raise NotFound(f"topic {topic} has no readable queue")
        return queues

    async def address(self, queue: MessageQueue, *, route_topic: str | None = None) -> str:
        """Where a queue is read: the master, or a replica while there is none.

        Raises:
            NotFound: The broker does not serve the topic.
        """
        route = await self._routes.route(route_topic or queue.topic)
        for broker in route.broker_datas:
            if broker.broker_name == queue.broker_name and (address := serving_address(broker)) is not None:
                return address
        raise NotFound(f"broker {queue.broker_name} does not serve topic {queue.topic}")

    async def min_offset(self, queue: MessageQueue, *, route_topic: str | None = None) -> int:
        """The first offset that a queue still has."""
        header = headers.GetMinOffsetRequestHeader(topic=queue.topic, queue_id=queue.queue_id)
        answer = await self._remote.ask(
            await self.address(queue, route_topic=route_topic), RequestCode.GET_MIN_OFFSET, header
        )
        return headers.GetMinOffsetResponseHeader.decode(answer.ext_fields).offset

    async def max_offset(self, queue: MessageQueue, *, route_topic: str | None = None) -> int:
        """One behind the last offset of a queue."""
        header = headers.GetMaxOffsetRequestHeader(topic=queue.topic, queue_id=queue.queue_id)
        answer = await self._remote.ask(
            await self.address(queue, route_topic=route_topic), RequestCode.GET_MAX_OFFSET, header
        )
        return headers.GetMaxOffsetResponseHeader.decode(answer.ext_fields).offset

    async def search_offset(
        self, queue: MessageQueue, timestamp_ms: int, *, route_topic: str | None = None
    ) -> int:
        """The first offset whose message was stored at `timestamp_ms` or later."""
        header = headers.SearchOffsetRequestHeader(
            topic=queue.topic, queue_id=queue.queue_id, timestamp=timestamp_ms, boundary_type="LOWER"
        )
        answer = await self._remote.ask(
            await self.address(queue, route_topic=route_topic), RequestCode.SEARCH_OFFSET_BY_TIMESTAMP, header
        )
        return headers.SearchOffsetResponseHeader.decode(answer.ext_fields).offset

    async def committed_offset(self, queue: MessageQueue) -> int | None:
        """Where the group goes on, None if it never committed."""
        header = headers.QueryConsumerOffsetRequestHeader(
            consumer_group=self.group, topic=queue.topic, queue_id=queue.queue_id, set_zero_if_not_found=False
        )
        try:
            answer = await self._remote.ask(
                await self.address(queue), RequestCode.QUERY_CONSUMER_OFFSET, header
            )
        except AnswerError as fault:
            if fault.code == ResponseCode.QUERY_NOT_FOUND:
                return None
            raise
        return headers.QueryConsumerOffsetResponseHeader.decode(answer.ext_fields).offset

    async def commit(self, queue: MessageQueue, offset: int) -> None:
        """Makes `offset` the place where the group goes on."""
        header = headers.UpdateConsumerOffsetRequestHeader(
            consumer_group=self.group, topic=queue.topic, queue_id=queue.queue_id, commit_offset=offset
        )
        await self._remote.ask(await self.address(queue), RequestCode.UPDATE_CONSUMER_OFFSET, header)

    async def pull(
        self,
        queue: MessageQueue,
        offset: int,
        max_messages: int = 32,
        *,
        expression: str = subscription.ALL,
        suspend_ms: int = 0,
        route_topic: str | None = None,
    ) -> PullResult:
        """One pull.

        Args:
            queue: Where from.
            offset: First wanted offset.
            max_messages: At most so many; brokers give fewer of large ones.
            expression: Tags, see `client.subscription`.
            suspend_ms: How long the broker may hold the request while there is nothing; 0 for not at all.

        Raises:
            AnswerError: The broker refused.
            NotFound: Nobody serves the queue.
        """
        header = headers.PullMessageRequestHeader(
            consumer_group=self.group,
            topic=queue.topic,
            queue_id=queue.queue_id,
            queue_offset=offset,
            max_msg_nums=max_messages,
            sys_flag=_SUBSCRIPTION | (_SUSPEND if suspend_ms else 0),
            commit_offset=0,
            suspend_timeout_millis=suspend_ms,
            subscription=expression,
            sub_version=0,
            expression_type="TAG",
        )
        answer = await self._remote.ask(
            await self.address(queue, route_topic=route_topic),
            RequestCode.PULL_MESSAGE,
            header,
            accept=_ACCEPTED,
            timeout_ms=suspend_ms + _ANSWER_MARGIN_MS,
        )
        offsets = headers.PullMessageResponseHeader.decode(answer.ext_fields)
        found = decode_messages(answer.body) if answer.code == ResponseCode.SUCCESS else []
        return PullResult(
            PullStatus(answer.code),
            tuple(_filtered(found, expression, queue.queue_id, offsets)),
            offsets.next_begin_offset,
            offsets.min_offset,
            offsets.max_offset,
        )


def _filtered(
    found: list[MessageExt], expression: str, queue_id: int, offsets: headers.PullMessageResponseHeader
) -> list[MessageExt]:
    """The messages that pass the tags; they get the queue's bounds as properties, as in Java's consumers."""
    wanted = subscription.tags_of(expression)
    bounds = {PROPERTY_MIN_OFFSET: str(offsets.min_offset), PROPERTY_MAX_OFFSET: str(offsets.max_offset)}
    return [
        attrs.evolve(
            message,
            properties={**message.properties, **bounds},
            queue_id=queue_id,
            queue_offset=message.queue_offset + (offsets.offset_delta or 0),
        )
        for message in found
        if subscription.matches(wanted, message.properties.get(PROPERTY_TAGS))
    ]
