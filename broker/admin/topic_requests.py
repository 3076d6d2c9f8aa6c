"""Topics: 17 and 18 create or change, 215 delete, 21 and 351 read, 202 positions, 305 system topics."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import trio

from broker.admin.answers import (
    QUEUES_MAX,
    body_answer,
    decoded,
    is_int32,
    large_body_answer,
    queue,
    refuse_on_slave,
    save,
    success,
)
from broker.stats import StatsName
from broker.versions import version_from_text
from remoting.errors import CommandError
from remoting.protocol import headers
from remoting.protocol.admin_body import (
    CreateTopicListRequestBody,
    TopicConfig,
    TopicConfigAndMappingSerializeWrapper,
    TopicOffset,
    TopicStatsTable,
)
from remoting.protocol.body import TopicList
from remoting.protocol.message import topic_fault
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

__all__ = ["TopicRequests", "register"]

_REGISTRATION_S = 2.5
"""How long a change waits for the name servers to know it; clients wait 3 s for its answer."""
_POP_RETRY_SEPARATORS = ("+", "_")
_FILTER_TYPES = ("SINGLE_TAG", "MULTI_TAG")


def register(table: ProcessorTable, context: BrokerContext) -> None:
    """Serve the codes of this module by `table`."""
    requests = TopicRequests(context)
    table.task((RequestCode.UPDATE_AND_CREATE_TOPIC,), requests.update)
    table.task((RequestCode.UPDATE_AND_CREATE_TOPIC_LIST,), requests.update_list)
    table.task((RequestCode.DELETE_TOPIC_IN_BROKER,), requests.delete)
    table.task((RequestCode.GET_ALL_TOPIC_CONFIG,), requests.get_all)
    table.task((RequestCode.GET_TOPIC_CONFIG,), requests.get)
    table.task((RequestCode.GET_TOPIC_STATS_INFO,), requests.positions)
    table.task((RequestCode.GET_SYSTEM_TOPIC_LIST_FROM_BROKER,), requests.system_topics)


@attrs.frozen
class TopicRequests:
    """Handlers of one broker."""

    context: BrokerContext

    async def update(self, _: Connection, request: RemotingCommand) -> RemotingCommand:
        """UPDATE_AND_CREATE_TOPIC (17): answers when the change is on disk."""
        header = headers.CreateTopicRequestHeader.decode(request.ext_fields)
        topic = TopicConfig(
            topic_name=header.topic,
            read_queue_nums=header.read_queue_nums,
            write_queue_nums=header.write_queue_nums,
            perm=header.perm,
            topic_filter_type=header.topic_filter_type,
            topic_sys_flag=header.topic_sys_flag or 0,
            order=header.order,
            attributes=_parse_attributes(header.attributes),
        )
        await self._apply([topic])
        return success(request)

    async def update_list(self, _: Connection, request: RemotingCommand) -> RemotingCommand:
        """UPDATE_AND_CREATE_TOPIC_LIST (18): all of them or none."""
        await self._apply(decoded(CreateTopicListRequestBody, request).topic_config_list)
        return success(request)

    async def _apply(self, topics: list[TopicConfig]) -> None:
        context = self.context
        refuse_on_slave(context, "create or update topic")
        for topic in topics:
            self._check(topic)
        changed = [topic for topic in topics if topic != context.topics.get(topic.topic_name)]
        if changed:
            context.topics.update(*changed)
        await save(context.topics.file)
        with trio.move_on_after(_REGISTRATION_S):
            await context.registration.settled()

    def _check(self, topic: TopicConfig) -> None:
        name = topic.topic_name
        if (fault := topic_fault(name)) is not None:
            raise CommandError(ResponseCode.INVALID_PARAMETER, fault)
        self._refuse_system(name)
        mixed = topic.attributes.get("+message.type") == "MIXED"
        if mixed and not self.context.config.enable_mixed_message_type:
            raise CommandError(ResponseCode.INVALID_PARAMETER, "MIXED message type is not supported.")
        if topic.topic_filter_type not in _FILTER_TYPES:
            raise CommandError(
                ResponseCode.SYSTEM_ERROR, f"topicFilterType = [{topic.topic_filter_type}] value invalid"
            )
        if not is_int32(topic.topic_sys_flag):
            raise CommandError(
                ResponseCode.INVALID_PARAMETER,
                f"topicSysFlag {topic.topic_sys_flag} of topic {name} is no int32",
            )
        queues_fit = 0 <= topic.read_queue_nums <= QUEUES_MAX and 0 <= topic.write_queue_nums <= QUEUES_MAX
        if not queues_fit or not 0 <= topic.perm <= 15:
            raise CommandError(
                ResponseCode.INVALID_PARAMETER,
                f"topic {name} cannot have {topic.read_queue_nums} read queues, {topic.write_queue_nums} "
                f"write queues and permission {topic.perm}; at most are {QUEUES_MAX} queues and 15",
            )

    def _refuse_system(self, topic: str) -> None:
        context = self.context
        if context.config.validate_system_topic_when_update_topic and context.topics.is_system(topic):
            raise CommandError(
                ResponseCode.INVALID_PARAMETER, f"The topic[{topic}] is conflict with system topic."
            )

    async def delete(self, _: Connection, request: RemotingCommand) -> RemotingCommand:
        """DELETE_TOPIC_IN_BROKER (215): the topic, its pop retry topics, their offsets and queues."""
        context = self.context
        topic = headers.DeleteTopicRequestHeader.decode(request.ext_fields).topic
        if not topic.strip():
            raise CommandError(ResponseCode.INVALID_PARAMETER, "The specified topic is blank.")
        refuse_on_slave(context, "delete topic")
        self._refuse_system(topic)
        doomed = [topic]
        if context.config.clear_retry_topic_when_delete_topic:
            doomed += self._pop_retry_topics(topic)
        for each in doomed:
            context.topics.delete(each)
            context.offsets.remove_topic(each)
            if context.config.auto_delete_unused_stats:
                context.stats.forget_topic(each)
            context.hold.wake_topic(each)
        try:
            await save(context.topics.file, context.offsets.file)
        finally:  # a full disk may be why the topic has to go
            await in_request_thread(context.store.delete_topics, doomed)
        return success(request)

    def _pop_retry_topics(self, topic: str) -> Iterable[str]:
        for group in self.context.offsets.which_groups_by_topic(topic):
            for separator in _POP_RETRY_SEPARATORS:
                name = f"%RETRY%{group}{separator}{topic}"
                if self.context.topics.get(name) is not None:
                    yield name

    async def get_all(self, _: Connection, request: RemotingCommand) -> RemotingCommand:
        """GET_ALL_TOPIC_CONFIG (21): the table, or the part of it that the peer asks for."""
        context = self.context
        header = headers.GetAllTopicConfigRequestHeader.decode(request.ext_fields)
        table = context.topics.table
        asks_for_part = any(name in request.ext_fields for name in ("dataVersion", "topicSeq", "maxTopicNum"))
        if context.config.enable_split_metadata and asks_for_part:
            size = context.config.split_metadata_size
            most = size if header.max_topic_num is None else min(size, header.max_topic_num)
            table = context.topics.part(version_from_text(header.data_version), header.topic_seq, most)
        body = TopicConfigAndMappingSerializeWrapper(
            data_version=context.topics.data_version, topic_config_table=dict(table)
        )
        total = headers.GetAllTopicConfigResponseHeader(len(context.topics.table))
        return await large_body_answer(request, body, total.encode())

    async def get(self, _: Connection, request: RemotingCommand) -> RemotingCommand:
        """GET_TOPIC_CONFIG (351)."""
        name = headers.GetTopicConfigRequestHeader.decode(request.ext_fields).topic
        topic = self.context.topics.get(name)
        if topic is None:
            raise CommandError(ResponseCode.TOPIC_NOT_EXIST, f"No topic in this broker. topic: {name}")
        return body_answer(request, topic)

    async def positions(self, _: Connection, request: RemotingCommand) -> RemotingCommand:
        """GET_TOPIC_STATS_INFO (202): first and last offset of each queue, and when it last grew."""
        context = self.context
        name = headers.GetTopicStatsInfoRequestHeader.decode(request.ext_fields).topic
        topic = context.topics.get(name)
        if topic is None:
            raise CommandError(ResponseCode.TOPIC_NOT_EXIST, f"topic[{name}] not exist")
        queues = range(max(topic.write_queue_nums, topic.read_queue_nums))

        def read() -> dict[MessageQueue, TopicOffset]:
            return {queue(context, name, queue_id): self._position(name, queue_id) for queue_id in queues}

        body = TopicStatsTable(
            offset_table=await in_request_thread(read),
            topic_put_tps=context.stats.tps(StatsName.TOPIC_PUT_NUMS, name),
        )
        return await large_body_answer(request, body)

    def _position(self, topic: str, queue_id: int) -> TopicOffset:
        """Reads the store; for a worker thread."""
        store = self.context.store
        end = max(0, store.max_offset(topic, queue_id))
        return TopicOffset(
            min_offset=max(0, store.min_offset(topic, queue_id)),
            max_offset=end,
            last_update_timestamp=store.store_time_at(topic, queue_id, end - 1) if end else 0,
        )

    async def system_topics(self, _: Connection, request: RemotingCommand) -> RemotingCommand:
        """GET_SYSTEM_TOPIC_LIST_FROM_BROKER (305)."""
        return body_answer(request, TopicList(topic_list=sorted(self.context.topics.system_topics)))


def _parse_attributes(text: str | None) -> dict[str, str]:
    """`+key=value,-key` as mapping with the signs kept (`AttributeParser.parseToMap`)."""
    attributes: dict[str, str] = {}
    for item in (text or "").split(","):
        if not item.strip():
            continue
        key, equals, value = item.strip().partition("=")
        adds = key.startswith("+")
        if adds and not equals:
            raise CommandError(ResponseCode.SYSTEM_ERROR, f"attribute {key} has no value")
        if not adds and not key.startswith("-"):
            raise CommandError(ResponseCode.SYSTEM_ERROR, "add/alter attribute format is wrong: " + key)
        if key in attributes:
            raise CommandError(ResponseCode.SYSTEM_ERROR, f"key duplication: {key}")
        attributes[key] = value
    return attributes
