"""Offsets that consumers ask for and keep: codes 14 and 15 (a group's), 29, 30, 31 and 32 (a queue's).

Java: ConsumerManageProcessor and AdminBrokerProcessor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from remoting.errors import CommandError
from remoting.protocol.headers import (
    GetEarliestMsgStoretimeRequestHeader,
    GetMaxOffsetRequestHeader,
    GetMaxOffsetResponseHeader,
    GetMinOffsetRequestHeader,
    QueryConsumerOffsetRequestHeader,
    SearchOffsetRequestHeader,
    UpdateConsumerOffsetRequestHeader,
)
from remoting.protocol.request_code import RequestCode
from remoting.protocol.response_code import ResponseCode
from store.worker_threads import in_request_thread

if TYPE_CHECKING:
    from broker.context import BrokerContext
    from remoting.command import RemotingCommand
    from remoting.server import Connection, ProcessorTable
    from store import Boundary

__all__ = ["OffsetQueries", "register"]


def register(table: ProcessorTable, context: BrokerContext) -> None:
    """Serve the codes of this module by `table`."""
    queries = OffsetQueries(context)
    table.call((RequestCode.QUERY_CONSUMER_OFFSET,), queries.query_consumer_offset)
    table.call((RequestCode.UPDATE_CONSUMER_OFFSET,), queries.update_consumer_offset)
    table.task((RequestCode.SEARCH_OFFSET_BY_TIMESTAMP,), queries.search_offset)
    table.task((RequestCode.GET_MAX_OFFSET,), queries.max_offset)
    table.call((RequestCode.GET_MIN_OFFSET,), queries.min_offset)
    table.task((RequestCode.GET_EARLIEST_MSG_STORETIME,), queries.earliest_store_time)


@attrs.frozen
class OffsetQueries:
    """Handlers of one broker."""

    context: BrokerContext

    def query_consumer_offset(self, _: Connection, request: RemotingCommand) -> RemotingCommand:
        """14: where a group goes on in a queue.

        A group that never committed there is told 0 when the queue still begins at 0 and its first message is
        in memory, so that the first messages of a new topic are not lost to a new group; otherwise 22, and
        the client decides by its consumeFromWhere.
        """
        header = QueryConsumerOffsetRequestHeader.decode(request.ext_fields)
        topic, queue_id = header.topic, header.queue_id
        offset = self.context.offsets.query(header.consumer_group, topic, queue_id)
        if offset < 0:
            if header.set_zero_if_not_found is False:
                raise CommandError(
                    ResponseCode.QUERY_NOT_FOUND, "Not found, do not set to zero, maybe this group boot first"
                )
            store = self.context.store
            if store.min_offset(topic, queue_id) > 0 or not store.is_in_memory(topic, queue_id, 0):
                raise CommandError(
                    ResponseCode.QUERY_NOT_FOUND,
                    "Not found, V3_0_6_SNAPSHOT maybe this group consumer boot first",
                )
            offset = 0
        return _offset_answer(request, offset)

    def update_consumer_offset(self, connection: Connection, request: RemotingCommand) -> RemotingCommand:
        """15: a group keeps its offset; ignored while a reset waits for the group's next pull."""
        context = self.context
        fields = request.ext_fields
        group, topic = fields.get("consumerGroup", ""), fields.get("topic", "")
        if not context.groups.contains(group):
            raise CommandError(ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, f"Group {group} not exist!")
        if context.topics.get(topic) is None:
            raise CommandError(ResponseCode.TOPIC_NOT_EXIST, f"Topic {topic} not exist!")
        if fields.get("queueId") is None:
            raise CommandError(ResponseCode.INVALID_PARAMETER, f"QueueId is null, topic is {topic}")
        if fields.get("commitOffset") is None:
            raise CommandError(ResponseCode.INVALID_PARAMETER, f"Offset is null, topic is {topic}")
        header = UpdateConsumerOffsetRequestHeader.decode(fields)
        queue_id = header.queue_id
        if queue_id < 0 or header.commit_offset < 0:
            raise CommandError(
                ResponseCode.INVALID_PARAMETER,
                f"QueueId {queue_id} or offset {header.commit_offset} is negative, topic is {topic}",
            )
        if context.config.use_server_side_reset_offset and context.offsets.has_reset(group, topic, queue_id):
            return request.response(ResponseCode.SUCCESS, "Offset has been previously reset")
        context.offsets.commit(connection.remote_address, group, topic, queue_id, header.commit_offset)
        return request.response(ResponseCode.SUCCESS)

    async def search_offset(self, _: Connection, request: RemotingCommand) -> RemotingCommand:
        """29: the offset of a queue at a time."""
        return await self._search(request, SearchOffsetRequestHeader.decode(request.ext_fields))

    async def max_offset(self, _: Connection, request: RemotingCommand) -> RemotingCommand:
        """30: the offset that the next message of a queue gets, 0 for an unknown queue.

        The Go client 2.1.2 sends its search by time under this code, with the names capitalised; Java answers
        that with code 1. Here it gets what it means.
        """
        fields = request.ext_fields
        if "topic" not in fields and "Topic" in fields and "Timestamp" in fields:
            meant = {name[:1].lower() + name[1:]: value for name, value in fields.items()}
            return await self._search(request, SearchOffsetRequestHeader.decode(meant))
        header = GetMaxOffsetRequestHeader.decode(fields)
        return _offset_answer(request, self.context.store.max_offset(header.topic, header.queue_id))

    def min_offset(self, _: Connection, request: RemotingCommand) -> RemotingCommand:
        """31: the first offset of a queue that can be read, 0 for an unknown queue."""
        header = GetMinOffsetRequestHeader.decode(request.ext_fields)
        return _offset_answer(request, max(self.context.store.min_offset(header.topic, header.queue_id), 0))

    async def earliest_store_time(self, _: Connection, request: RemotingCommand) -> RemotingCommand:
        """32: when the first readable message of a queue was stored, -1 without one."""
        header = GetEarliestMsgStoretimeRequestHeader.decode(request.ext_fields)
        timestamp = await in_request_thread(self.context.store.earliest_time, header.topic, header.queue_id)
        return request.response(ResponseCode.SUCCESS, None, {"timestamp": str(timestamp)})

    async def _search(self, request: RemotingCommand, header: SearchOffsetRequestHeader) -> RemotingCommand:
        boundary: Boundary = "UPPER" if header.boundary_type.upper() == "UPPER" else "LOWER"
        offset = await in_request_thread(
            self.context.store.offset_by_time, header.topic, header.queue_id, header.timestamp, boundary
        )
        return _offset_answer(request, offset)


def _offset_answer(request: RemotingCommand, offset: int) -> RemotingCommand:
    return request.response(ResponseCode.SUCCESS, None, GetMaxOffsetResponseHeader(offset).encode())
