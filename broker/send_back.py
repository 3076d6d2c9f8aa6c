"""CONSUMER_SEND_MSG_BACK (36): a consumer could not handle a message and gives it back for later.

The message is stored again in `%RETRY%group`, after a delay that grows with the number of tries, or in
`%DLQ%group` when there were too many or the consumer asks for it (AbstractSendMessageProcessor).
"""

from __future__ import annotations

import logging
import random
from typing import TYPE_CHECKING

from broker.remarks import FAQ
from broker.stored_message import take_apart
from broker.topics import PERM_READ, PERM_WRITE
from remoting.errors import CommandError
from remoting.protocol.headers import ConsumerSendMsgBackRequestHeader
from remoting.protocol.message import (
    decode_properties,
    dlq_topic,
    encode_properties,
    retry_topic,
    tags_code,
)
from remoting.protocol.request_code import RequestCode
from remoting.protocol.response_code import ResponseCode
from store import Message, PutStatus
from store.worker_threads import in_request_thread

if TYPE_CHECKING:
    from broker.context import BrokerContext
    from broker.stored_message import StoredMessage
    from remoting.command import RemotingCommand
    from remoting.protocol.admin_body import SubscriptionGroupConfig
    from remoting.server import Connection, ProcessorTable

__all__ = ["register"]

_log = logging.getLogger("rocketmq.broker")

_V3_4_9 = 121
_UNIT_SUB_FLAG = 0x2
_FIRST_RETRY_LEVEL = 3
_DLQ_QUEUES = 1


class _SendBack:
    def __init__(self, context: BrokerContext) -> None:
        self._context = context

    async def __call__(self, _: Connection, request: RemotingCommand) -> RemotingCommand:
        context = self._context
        header = ConsumerSendMsgBackRequestHeader.decode(request.ext_fields)
        if context.is_slave:
            raise CommandError(
                ResponseCode.SYSTEM_ERROR, f"no master available along with {context.config.broker_ip1}"
            )
        group = header.group
        config = context.groups.find(group)
        if config is None:
            raise CommandError(
                ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, f"subscription group not exist, {group} {FAQ}"
            )
        if not context.config.broker_permission & PERM_WRITE:
            raise CommandError(
                ResponseCode.NO_PERMISSION,
                f"the broker[{context.config.broker_ip1}] sending message is forbidden",
            )
        if config.retry_queue_nums <= 0:
            return request.response(ResponseCode.SUCCESS)
        self._retry_topic(config, header)
        offset = header.offset
        if context.store.is_hot(offset):
            data = context.store.message_at(offset)
        else:
            data = await in_request_thread(context.store.message_at, offset)
        if data is None:
            raise CommandError(ResponseCode.SYSTEM_ERROR, f"look message by offset failed, {offset}")
        stored = take_apart(data)
        message, origin_topic = self._message(request, header, config, stored)
        (result,) = context.store.put([message])
        if result.status is not PutStatus.PUT_OK:
            raise CommandError(ResponseCode.SYSTEM_ERROR, result.status.name)
        context.stats.put(message.topic, message.queue_id, 1, result.size)
        context.stats.sent_back(group, origin_topic)
        return request.response(ResponseCode.SUCCESS)

    def _retry_topic(self, config: SubscriptionGroupConfig, header: ConsumerSendMsgBackRequestHeader) -> None:
        """Make sure that the group has a retry topic that may be written to."""
        sys_flag = _UNIT_SUB_FLAG if header.unit_mode else 0
        topic = self._context.topics.create_in_send_back(
            retry_topic(header.group), config.retry_queue_nums, PERM_WRITE | PERM_READ, sys_flag
        )
        if not topic.perm & PERM_WRITE:
            raise CommandError(
                ResponseCode.NO_PERMISSION, f"the topic[{topic.topic_name}] sending message is forbidden"
            )

    def _message(
        self,
        request: RemotingCommand,
        header: ConsumerSendMsgBackRequestHeader,
        config: SubscriptionGroupConfig,
        stored: StoredMessage,
    ) -> tuple[Message, str]:
        """The message to store, and the topic in which the original was once sent."""
        context = self._context
        pairs = decode_properties(stored.properties)
        origin_topic = pairs.setdefault("RETRY_TOPIC", stored.topic)
        pairs.setdefault("ORIGIN_MESSAGE_ID", stored.offset_message_id)
        pairs["WAIT"] = "false"
        delay_level = header.delay_level
        limit = config.retry_max_times
        if request.version >= _V3_4_9 and header.max_reconsume_times is not None:
            limit = header.max_reconsume_times
        pairs.pop("REAL_TOPIC", None)
        pairs.pop("REAL_QID", None)
        level = 0
        if delay_level < 0 or stored.reconsume_times >= limit:
            topic, queue_id = dlq_topic(header.group), 0
            context.topics.create_in_send_back(topic, _DLQ_QUEUES, PERM_WRITE | PERM_READ)
            pairs["DELAY"] = "0"
            pairs.setdefault("DLQ_ORIGIN_TOPIC", origin_topic)
            pairs.setdefault("DLQ_ORIGIN_MESSAGE_ID", pairs["ORIGIN_MESSAGE_ID"])
            _log.info(
                "message %s of topic %s goes to %s after %d tries",
                pairs.get("UNIQ_KEY"), origin_topic, topic, stored.reconsume_times,
            )  # fmt: skip
        else:
            topic = retry_topic(header.group)
            queue_id = random.randrange(config.retry_queue_nums)  # noqa: S311 - spreads load, keeps no secret
            level = min(
                delay_level or _FIRST_RETRY_LEVEL + stored.reconsume_times, context.schedule.levels.maximum
            )
            pairs["DELAY"] = str(level)
        unique_key = pairs.get("UNIQ_KEY")
        keys = [key for key in pairs.get("KEYS", "").split(" ") if key]
        message = Message(
            topic=topic,
            queue_id=queue_id,
            flag=stored.flag,
            sys_flag=stored.sys_flag,
            born_timestamp=stored.born_timestamp,
            born_host=stored.born_host,
            body=stored.body,
            properties=encode_properties(pairs),
            tags_code=tags_code(pairs.get("TAGS")),
            keys=tuple([unique_key, *keys] if unique_key else keys),
            reconsume_times=stored.reconsume_times + 1,
        )
        if level:
            context.schedule.redirect(message, level)
        return message, origin_topic


def register(table: ProcessorTable, context: BrokerContext) -> None:
    """Serve 36 on the port whose table this is."""
    table.task((RequestCode.CONSUMER_SEND_MSG_BACK,), _SendBack(context))
