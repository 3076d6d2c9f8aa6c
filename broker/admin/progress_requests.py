"""How far consumers have come: 208 for one group, 317 for all, 303 in time; 300 and 343 tell who reads what.

43 and 45 give the offset tables as a whole, for slaves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from broker.admin.answers import body_answer, json_answer, large_body_answer, queue
from broker.stats import StatsName
from remoting.errors import CommandError
from remoting.json_dialect import dumps
from remoting.protocol import headers
from remoting.protocol.admin_body import (
    ConsumeStats,
    ConsumeStatsList,
    OffsetWrapper,
    QueryConsumeTimeSpanBody,
    QueueTimeSpan,
)
from remoting.protocol.body import GroupList, TopicList
from remoting.protocol.request_code import RequestCode
from remoting.protocol.response_code import ResponseCode
from store.worker_threads import in_request_thread

if TYPE_CHECKING:
    from collections.abc import Iterable

    from broker.context import BrokerContext
    from remoting.command import RemotingCommand
    from remoting.connection import Connection
    from remoting.processors import ProcessorTable
    from remoting.protocol.body import MessageQueue

__all__ = ["ProgressRequests", "register"]


def register(table: ProcessorTable, context: BrokerContext) -> None:
    """Serve the codes of this module by `table`."""
    requests = ProgressRequests(context)
    table.task((RequestCode.GET_CONSUME_STATS,), requests.one_group)
    table.task((RequestCode.GET_BROKER_CONSUME_STATS,), requests.all_groups)
    table.task((RequestCode.QUERY_CONSUME_TIME_SPAN,), requests.time_span)
    table.task((RequestCode.QUERY_TOPIC_CONSUME_BY_WHO,), requests.groups_of_topic)
    table.task((RequestCode.QUERY_TOPICS_BY_CONSUMER,), requests.topics_of_group)
    table.task((RequestCode.GET_ALL_CONSUMER_OFFSET,), requests.all_offsets)
    table.task((RequestCode.GET_ALL_DELAY_OFFSET,), requests.all_delay_offsets)


@attrs.frozen
class ProgressRequests:
    """Handlers of one broker."""

    context: BrokerContext

    async def one_group(self, _: Connection, request: RemotingCommand) -> RemotingCommand:
        """GET_CONSUME_STATS (208)."""
        header = headers.GetConsumeStatsRequestHeader.decode(request.ext_fields)
        group = header.consumer_group
        queues = []
        tps = 0.0
        for topic in self._topics_asked(group, header.topic_list, header.topic):
            config = self.context.topics.get(topic)
            if config is None:
                continue
            queues += [(topic, queue_id) for queue_id in range(config.read_queue_nums)]
            tps += self.context.stats.tps(StatsName.GROUP_GET_NUMS, f"{topic}@{group}")
        positions = await in_request_thread(self._positions, group, queues)
        return await large_body_answer(request, ConsumeStats(offset_table=positions, consume_tps=tps))

    def _topics_asked(self, group: str, topic_list: str | None, topic: str | None) -> list[str]:
        """The topics named in the list; else the one named, or all with offsets, as far as subscribed to."""
        listed = [name for name in (topic_list or "").split(";") if name]
        if listed:
            return listed
        topics = (
            [topic]
            if topic and topic.strip()
            else sorted(self.context.offsets.which_topics_by_consumer(group))
        )
        return [name for name in topics if self._is_subscribed(group, name)]

    def _is_subscribed(self, group: str, topic: str) -> bool:
        """False only when the group is online and subscribes to other topics."""
        consumers = self.context.consumers
        info = consumers.consumer_group_info(group)
        online = info is not None and bool(info.subscriptions)
        return not online or consumers.find_subscription(group, topic) is not None

    def _positions(self, group: str, queues: Iterable[tuple[str, int]]) -> dict[MessageQueue, OffsetWrapper]:
        """Reads the store; for a worker thread."""
        store, offsets = self.context.store, self.context.offsets
        positions = {}
        for topic, queue_id in queues:
            consumed = max(0, offsets.query(group, topic, queue_id))
            timestamp = store.store_time_at(topic, queue_id, consumed - 1) if consumed else 0
            positions[queue(self.context, topic, queue_id)] = OffsetWrapper(
                broker_offset=max(0, store.max_offset(topic, queue_id)),
                consumer_offset=consumed,
                pull_offset=max(consumed, offsets.query_pull(group, topic, queue_id)),
                last_timestamp=max(0, timestamp),
            )
        return positions

    async def all_groups(self, _: Connection, request: RemotingCommand) -> RemotingCommand:
        """GET_BROKER_CONSUME_STATS (317): every group with offsets; `isOrder` takes only ordered topics."""
        context = self.context
        ordered_only = headers.GetConsumeStatsInBrokerHeader.decode(request.ext_fields).is_order
        groups = []
        total_diff = total_in_flight = 0
        for group in sorted(context.groups.table):
            per_topic = []
            for topic in sorted(context.offsets.which_topics_by_consumer(group)):
                config = context.topics.get(topic)
                if config is None or (ordered_only and not config.order):
                    continue
                if not self._is_subscribed(group, topic):
                    continue
                queues = [(topic, queue_id) for queue_id in range(config.write_queue_nums)]
                positions = await in_request_thread(self._positions, group, queues)
                total_diff += sum(each.broker_offset - each.consumer_offset for each in positions.values())
                total_in_flight += sum(each.pull_offset - each.consumer_offset for each in positions.values())
                tps = context.stats.tps(StatsName.GROUP_GET_NUMS, f"{topic}@{group}")
                per_topic.append(ConsumeStats(offset_table=positions, consume_tps=tps))
            groups.append({group: per_topic})
        body = ConsumeStatsList(
            consume_stats_list=groups,
            broker_addr=context.address,
            total_diff=total_diff,
            total_inflight_diff=total_in_flight,
        )
        return await large_body_answer(request, body)

    async def time_span(self, _: Connection, request: RemotingCommand) -> RemotingCommand:
        """QUERY_CONSUME_TIME_SPAN (303): from when to when messages are there, and where the group is."""
        header = headers.QueryConsumeTimeSpanRequestHeader.decode(request.ext_fields)
        topic, group = header.topic, header.group
        config = self.context.topics.get(topic)
        if config is None:
            raise CommandError(ResponseCode.TOPIC_NOT_EXIST, f"topic[{topic}] not exist")
        queues = range(config.write_queue_nums)

        def read() -> list[QueueTimeSpan]:
            return [self._queue_time_span(group, topic, queue_id) for queue_id in queues]

        spans = await in_request_thread(read)
        return await large_body_answer(request, QueryConsumeTimeSpanBody(consume_time_span_set=spans))

    def _queue_time_span(self, group: str, topic: str, queue_id: int) -> QueueTimeSpan:
        store = self.context.store
        earliest = store.earliest_time(topic, queue_id)
        end = store.max_offset(topic, queue_id)
        consumed = self.context.offsets.query(group, topic, queue_id)
        delay = 0
        if 0 <= consumed < end:
            delay = self.context.clock_ms() - store.store_time_at(topic, queue_id, consumed)
        at_consumed = store.store_time_at(topic, queue_id, consumed - 1) if consumed > 0 else earliest
        return QueueTimeSpan(
            message_queue=queue(self.context, topic, queue_id),
            min_time_stamp=earliest,
            max_time_stamp=store.store_time_at(topic, queue_id, end - 1),
            consume_time_stamp=at_consumed,
            delay_time=delay,
        )

    async def groups_of_topic(self, _: Connection, request: RemotingCommand) -> RemotingCommand:
        """QUERY_TOPIC_CONSUME_BY_WHO (300): groups that subscribe now or have offsets."""
        topic = headers.QueryTopicConsumeByWhoRequestHeader.decode(request.ext_fields).topic
        groups = self.context.consumers.groups_by_topic(topic)
        groups |= self.context.offsets.which_groups_by_topic(topic)
        return body_answer(request, GroupList(group_list=sorted(groups)))

    async def topics_of_group(self, _: Connection, request: RemotingCommand) -> RemotingCommand:
        """QUERY_TOPICS_BY_CONSUMER (343): topics in which the group has offsets."""
        group = headers.QueryTopicsByConsumerRequestHeader.decode(request.ext_fields).group
        topics = self.context.offsets.which_topics_by_consumer(group)
        return body_answer(request, TopicList(topic_list=sorted(topics), broker_addr=self.context.address))

    async def all_offsets(self, _: Connection, request: RemotingCommand) -> RemotingCommand:
        """GET_ALL_CONSUMER_OFFSET (43): what consumerOffset.json would hold now."""
        encoded = await in_request_thread(dumps, self.context.offsets.to_json_object())
        return request.response(ResponseCode.SUCCESS, None, None, encoded)

    async def all_delay_offsets(self, _: Connection, request: RemotingCommand) -> RemotingCommand:
        """GET_ALL_DELAY_OFFSET (45): what delayOffset.json would hold now."""
        return json_answer(request, self.context.schedule.to_json_object())
