"""Moving consumers: 222 resets a group to a time or an offset, 314 copies one group's offsets to another."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import attrs

from broker.admin.answers import body_answer, queue, refuse_on_slave, save, success
from broker.offsets import NO_OFFSET
from remoting.command import RemotingCommand
from remoting.errors import CommandError
from remoting.protocol import headers
from remoting.protocol.body import MessageQueueForC, ResetOffsetBody, ResetOffsetBodyForC
from remoting.protocol.message import group_fault
from remoting.protocol.mq_version import V3_0_7_SNAPSHOT, version_desc
from remoting.protocol.request_code import RequestCode
from remoting.protocol.response_code import ResponseCode
from store.worker_threads import in_request_thread

if TYPE_CHECKING:
    from broker.context import BrokerContext
    from remoting.connection import Connection
    from remoting.processors import ProcessorTable
    from remoting.protocol.admin_body import TopicConfig

__all__ = ["OffsetRequests", "register"]

_log = logging.getLogger("rocketmq.broker")

_BY_TIME = -1
"""The offset of a request that goes by its timestamp."""


def register(table: ProcessorTable, context: BrokerContext) -> None:
    """Serve the codes of this module by `table`."""
    requests = OffsetRequests(context)
    table.task((RequestCode.INVOKE_BROKER_TO_RESET_OFFSET,), requests.reset)
    table.task((RequestCode.CLONE_GROUP_OFFSET,), requests.clone)


@attrs.frozen
class OffsetRequests:
    """Handlers of one broker."""

    context: BrokerContext

    async def reset(self, connection: Connection, request: RemotingCommand) -> RemotingCommand:
        """INVOKE_BROKER_TO_RESET_OFFSET (222): here, or by the consumers (useServerSideResetOffset=false)."""
        header = headers.ResetOffsetRequestHeader.decode(request.ext_fields)
        _log.info(
            "reset of %s@%s to %d asked by %s",
            header.topic, header.group, header.timestamp, connection.remote_address,
        )  # fmt: skip
        config = self.context.topics.get(header.topic)
        if self.context.config.use_server_side_reset_offset:
            targets = await self._reset_here(header, config)
        else:
            targets = await self._reset_by_consumers(header, config, for_cpp=request.language == "CPP")
        return body_answer(request, self._body(header.topic, targets))

    async def _reset_here(
        self, header: headers.ResetOffsetRequestHeader, config: TopicConfig | None
    ) -> dict[int, int]:
        """Keep the new offsets; the next pull of each queue is told."""
        context = self.context
        topic, group, queue_id = header.topic, header.group, header.queue_id
        refuse_on_slave(context, "reset offset")
        if config is None:
            raise CommandError(ResponseCode.TOPIC_NOT_EXIST, f"Topic {topic} does not exist")
        if not context.groups.contains(group):
            raise CommandError(ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, f"Group {group} does not exist")
        if queue_id >= max(config.read_queue_nums, config.write_queue_nums):
            raise CommandError(
                ResponseCode.SYSTEM_ERROR,
                f"queueId[{queue_id}] is illegal, topic:[{topic}] has {config.read_queue_nums} queues",
            )
        if queue_id >= 0 and header.offset is not None and header.offset != _BY_TIME:
            self._check_offset(topic, queue_id, header.offset)
            targets = {queue_id: header.offset}
        else:
            queues = [queue_id] if queue_id >= 0 else list(range(config.read_queue_nums))
            targets = await self._offsets_at(topic, queues, header.timestamp)
        if not targets:
            raise CommandError(ResponseCode.SYSTEM_ERROR, "No queues to reset.")
        for each, target in targets.items():
            context.offsets.reset(group, topic, each, target)
        await save(context.offsets.file)
        for each in targets:
            context.hold.wake_queue(topic, each)
        return targets

    def _check_offset(self, topic: str, queue_id: int, offset: int) -> None:
        least = self.context.store.min_offset(topic, queue_id)
        most = self.context.store.max_offset(topic, queue_id)
        if offset < max(0, least) or offset > most + 1:
            raise CommandError(
                ResponseCode.SYSTEM_ERROR,
                f"Target offset {offset} not in consume queue range [{least}-{most}]",
            )

    async def _offsets_at(self, topic: str, queues: list[int], timestamp: int) -> dict[int, int]:
        store = self.context.store

        def read() -> dict[int, int]:
            if timestamp < 0:
                return {queue_id: max(0, store.max_offset(topic, queue_id)) for queue_id in queues}
            return {queue_id: max(0, store.offset_by_time(topic, queue_id, timestamp)) for queue_id in queues}

        return await in_request_thread(read)

    async def _reset_by_consumers(
        self, header: headers.ResetOffsetRequestHeader, config: TopicConfig | None, *, for_cpp: bool
    ) -> dict[int, int]:
        """Tell every consumer of the group (220) where to go; without `isForce` only backwards."""
        context = self.context
        topic, group = header.topic, header.group
        if config is None:
            raise CommandError(
                ResponseCode.TOPIC_NOT_EXIST,
                f"[reset-offset] reset offset failed, no topic in this broker. topic={topic}",
            )
        queues = list(range(config.write_queue_nums))
        consumed = {queue_id: context.offsets.query(group, topic, queue_id) for queue_id in queues}
        if NO_OFFSET in consumed.values():
            raise CommandError(ResponseCode.SYSTEM_ERROR, f"THe consumer group <{group}> not exist")
        targets = await self._offsets_at(topic, queues, header.timestamp)
        if not header.is_force:
            targets = {queue_id: min(target, consumed[queue_id]) for queue_id, target in targets.items()}
        self._tell_consumers(header, targets, for_cpp=for_cpp)
        return targets

    def _tell_consumers(
        self, header: headers.ResetOffsetRequestHeader, targets: dict[int, int], *, for_cpp: bool
    ) -> None:
        context = self.context
        info = context.consumers.consumer_group_info(header.group)
        if info is None:
            raise CommandError(
                ResponseCode.CONSUMER_NOT_ONLINE,
                f"Consumer not online, so can not reset offset, Group: {header.group} Topic: {header.topic} "
                f"Timestamp: {header.timestamp}",
            )
        body = self._body_for_cpp(header.topic, targets) if for_cpp else self._body(header.topic, targets)
        encoded = body.encode()
        for member in list(info.members.values()):
            if member.version < V3_0_7_SNAPSHOT:
                raise CommandError(
                    ResponseCode.SYSTEM_ERROR,
                    f"the client does not support this feature. version={version_desc(member.version)}",
                )
            fields = {
                "topic": header.topic,
                "group": header.group,
                "timestamp": str(header.timestamp),
                "isForce": "false",
            }
            member.connection.oneway(
                RemotingCommand.request(RequestCode.RESET_CONSUMER_CLIENT_OFFSET, fields, encoded)
            )

    def _body(self, topic: str, targets: dict[int, int]) -> ResetOffsetBody:
        return ResetOffsetBody(
            offset_table={queue(self.context, topic, each): target for each, target in targets.items()}
        )

    def _body_for_cpp(self, topic: str, targets: dict[int, int]) -> ResetOffsetBodyForC:
        name = self.context.identity.name
        return ResetOffsetBodyForC(
            offset_table=[
                MessageQueueForC(topic=topic, broker_name=name, queue_id=each, offset=target)
                for each, target in targets.items()
            ]
        )

    async def clone(self, _: Connection, request: RemotingCommand) -> RemotingCommand:
        """CLONE_GROUP_OFFSET (314): one topic, or every topic in which the source group has offsets."""
        context = self.context
        header = headers.CloneGroupOffsetRequestHeader.decode(request.ext_fields)
        source = header.src_group
        if (fault := group_fault(header.dest_group)) is not None:
            raise CommandError(ResponseCode.INVALID_PARAMETER, fault)
        if header.topic and header.topic.strip():
            topics = [header.topic]
        else:
            topics = sorted(context.offsets.which_topics_by_consumer(source))
        for topic in topics:
            if context.topics.get(topic) is None:
                continue
            if not header.offline and self._subscribes_elsewhere(source, topic):
                continue
            context.offsets.clone(source, header.dest_group, topic)
        await save(context.offsets.file)
        return success(request)

    def _subscribes_elsewhere(self, group: str, topic: str) -> bool:
        info = self.context.consumers.consumer_group_info(group)
        if info is None or not info.subscriptions:
            return False
        return self.context.consumers.find_subscription(group, topic) is None
