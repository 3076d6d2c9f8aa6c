"""The store: 306 and 316 clean queues, 329 deletes expired log files, 321 shows a consume queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from broker.admin.answers import body_answer, success
from remoting.errors import CommandError
from remoting.protocol import headers
from remoting.protocol.admin_body import ConsumeQueueData, QueryConsumeQueueResponseBody
from remoting.protocol.message import LMQ_PREFIX
from remoting.protocol.request_code import RequestCode
from remoting.protocol.response_code import ResponseCode
from store.worker_threads import in_request_thread

if TYPE_CHECKING:
    from broker.context import BrokerContext
    from remoting.command import RemotingCommand
    from remoting.connection import Connection
    from remoting.processors import ProcessorTable

__all__ = ["StoreRequests", "register"]

_MOST_UNITS = 10_000


def register(table: ProcessorTable, context: BrokerContext) -> None:
    """Serve the codes of this module by `table`."""
    requests = StoreRequests(context)
    table.task((RequestCode.CLEAN_EXPIRED_CONSUMEQUEUE,), requests.clean_expired)
    table.task((RequestCode.CLEAN_UNUSED_TOPIC,), requests.clean_unused)
    table.task((RequestCode.DELETE_EXPIRED_COMMITLOG,), requests.delete_expired)
    table.task((RequestCode.QUERY_CONSUME_QUEUE,), requests.consume_queue)


@attrs.frozen
class StoreRequests:
    """Handlers of one broker."""

    context: BrokerContext

    async def clean_expired(self, _: Connection, request: RemotingCommand) -> RemotingCommand:
        """CLEAN_EXPIRED_CONSUMEQUEUE (306): queues whose messages are all gone."""
        await in_request_thread(self.context.store.clean_expired_consume_queues)
        return success(request)

    async def clean_unused(self, _: Connection, request: RemotingCommand) -> RemotingCommand:
        """CLEAN_UNUSED_TOPIC (316): queues of topics that the broker no longer has."""
        topics = self.context.topics
        unused = [
            topic
            for topic in self.context.store.topics()
            if topics.get(topic) is None and not topics.is_system(topic) and not topic.startswith(LMQ_PREFIX)
        ]
        if unused:
            await in_request_thread(self.context.store.delete_topics, unused)
        return success(request)

    async def delete_expired(self, _: Connection, request: RemotingCommand) -> RemotingCommand:
        """DELETE_EXPIRED_COMMITLOG (329): let the cleaner do now what it does in its hours."""
        self.context.store.delete_expired_files(manual=True)
        return success(request)

    async def consume_queue(self, _: Connection, request: RemotingCommand) -> RemotingCommand:
        """QUERY_CONSUME_QUEUE (321): entries from `index` on, at most 10000."""
        context = self.context
        header = headers.QueryConsumeQueueRequestHeader.decode(request.ext_fields)
        topic, queue_id, index = header.topic or "", header.queue_id, header.index
        if queue_id not in context.store.queues(topic):
            raise CommandError(ResponseCode.SYSTEM_ERROR, f"{queue_id}@{topic} is not exist!")
        first, end = context.store.min_offset(topic, queue_id), context.store.max_offset(topic, queue_id)
        if not first <= index < end:
            raise CommandError(ResponseCode.SUCCESS, f"Index {index} of {queue_id}@{topic} is not exist!")
        most = max(0, min(header.count, _MOST_UNITS))
        units = await in_request_thread(context.store.consume_queue_units, topic, queue_id, index, most)
        group, subscription, filter_data = header.consumer_group, None, None
        if group is not None:
            subscription = context.consumers.find_subscription(group, topic)
            filter_data = "null" if subscription else f"{group}@{topic} is not online!"
        body = QueryConsumeQueueResponseBody(
            subscription_data=subscription,
            filter_data=filter_data,
            queue_data=[
                ConsumeQueueData(physic_offset=physical, physic_size=size, tags_code=tags_code)
                for physical, size, tags_code in units
            ],
            max_queue_index=end,
            min_queue_index=first,
        )
        return body_answer(request, body)
