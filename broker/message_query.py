"""Finding messages otherwise than by pulling: QUERY_MESSAGE (12) by key, VIEW_MESSAGE_BY_ID (33) by position.

Java: QueryMessageProcessor. Bodies are raw stored messages; the client filters on the real key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from broker.remarks import OVERLOAD
from remoting.errors import CommandError
from remoting.protocol.headers import (
    QueryMessageRequestHeader,
    QueryMessageResponseHeader,
    ViewMessageRequestHeader,
)
from remoting.protocol.message import UNIQUE_MSG_QUERY_FLAG
from remoting.protocol.request_code import RequestCode
from remoting.protocol.response_code import ResponseCode
from store.worker_threads import in_request_thread

if TYPE_CHECKING:
    from broker.context import BrokerContext
    from remoting.command import RemotingCommand
    from remoting.server import Connection, ProcessorTable

__all__ = ["MessageQueries", "register"]

_MOST_MESSAGES = 64


def register(table: ProcessorTable, context: BrokerContext) -> None:
    """Serve the codes of this module by `table`."""
    queries = MessageQueries(context)
    table.task((RequestCode.QUERY_MESSAGE,), queries.query)
    table.task((RequestCode.VIEW_MESSAGE_BY_ID,), queries.view)


@attrs.define
class MessageQueries:
    """Handlers of one broker; at most queryThreadPoolQueueCapacity of them are under way."""

    context: BrokerContext
    _under_way: int = 0

    async def query(self, _: Connection, request: RemotingCommand) -> RemotingCommand:
        """12: messages of a topic that have a key, within a time range."""
        fields = request.ext_fields
        header = QueryMessageRequestHeader.decode(fields)
        by_unique_key = fields.get(UNIQUE_MSG_QUERY_FLAG) == "true"
        most = self.context.store_config.default_query_max_num if by_unique_key else header.max_num
        if self._under_way >= self.context.config.query_thread_pool_queue_capacity:
            raise CommandError(ResponseCode.SYSTEM_BUSY, OVERLOAD)
        self._under_way += 1
        try:
            result = await in_request_thread(
                self.context.store.query,
                header.topic,
                header.key,
                max(0, min(most, _MOST_MESSAGES)),
                header.begin_timestamp,
                header.end_timestamp,
            )
        finally:
            self._under_way -= 1
        answer = QueryMessageResponseHeader(
            index_last_update_timestamp=result.index_last_update_timestamp,
            index_last_update_phyoffset=result.index_last_update_physical_offset,
        ).encode()
        if not result.buffers:
            return request.response(
                ResponseCode.QUERY_NOT_FOUND, "can not find message, maybe time range not correct", answer
            )
        return request.response(ResponseCode.SUCCESS, None, answer, b"".join(result.buffers))

    async def view(self, _: Connection, request: RemotingCommand) -> RemotingCommand:
        """33: the message at an offset of the commit log."""
        offset = ViewMessageRequestHeader.decode(request.ext_fields).offset
        data = await in_request_thread(self.context.store.message_at, offset)
        if data is None:
            raise CommandError(ResponseCode.SYSTEM_ERROR, f"can not find message by the offset, {offset}")
        return request.response(ResponseCode.SUCCESS, body=data)
