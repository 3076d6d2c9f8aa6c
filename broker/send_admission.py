"""Which sends are taken: the checks of a send, in Java's order, and the messages that come of it.

Checks, codes and remarks follow SendMessageProcessor and AbstractSendMessageProcessor. A send by the old
header (10) is brought into the short names of the new one (310) first, so that there is one way only. What a
topic's checks have come to is kept as long as the topic's configuration stays the same object.
"""

from __future__ import annotations

import logging
import random
from typing import TYPE_CHECKING, TypeAlias

from broker.header_fields import required_integer, required_integer32
from broker.message_properties import PropertyReader
from broker.put_answers import illegal_message_remark
from broker.remarks import FAQ, custom_field_is_null
from broker.topics import PERM_READ, PERM_WRITE
from remoting.errors import CommandError, RemoteFault
from remoting.protocol.header_fields import integer32, integer64
from remoting.protocol.message import (
    MULTI_TAGS_FLAG,
    NOT_ALLOWED_SEND_TOPICS,
    RETRY_GROUP_TOPIC_PREFIX,
    TRANSACTION_MASK,
    TRANSACTION_PREPARED_TYPE,
    TRANSACTION_ROLLBACK_TYPE,
    decode_properties,
    dlq_topic,
    encode_properties,
    split_batch,
    topic_fault,
)
from remoting.protocol.request_code import RequestCode
from remoting.protocol.response_code import ResponseCode
from store import Message

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.context import BrokerContext
    from broker.message_properties import PropertyFacts
    from remoting.command import RemotingCommand
    from remoting.protocol.admin_body import TopicConfig
    from remoting.server import Connection

__all__ = ["AdmittedSend", "SendAdmission"]

_log = logging.getLogger("rocketmq.broker")

_SEND_MESSAGE = int(RequestCode.SEND_MESSAGE)
_SHORT_NAMES = {
    "producerGroup": "a",
    "topic": "b",
    "defaultTopic": "c",
    "defaultTopicQueueNums": "d",
    "queueId": "e",
    "sysFlag": "f",
    "bornTimestamp": "g",
    "flag": "h",
    "properties": "i",
    "reconsumeTimes": "j",
    "unitMode": "k",
    "maxReconsumeTimes": "l",
    "batch": "m",
}
_LONG_NAMES = {short: long for long, short in _SHORT_NAMES.items()}

_INT32_FIELDS = frozenset("defhjl")
_INT64_FIELDS = frozenset("g")

_TOPICS_MAX = 10_000
_NUMBERS_MAX = 4096
_V3_4_9 = 121
_DLQ_QUEUES = 1
_POP_RETRY_SEPARATOR = "+"
_UNIT_FLAG = 0x1
_UNIT_SUB_FLAG = 0x2
_BATCH_TOPIC_MAX = 127
_BATCH_ITEM_BYTES = 256
"""More than a message of a batch takes in the log beside its body and properties."""


AdmittedSend: TypeAlias = "tuple[RemotingCommand, int, str | None, int, int, bool]"
"""One request whose messages may be stored; a plain tuple, because one is made for each:

    request
    queue id        what the answer names as the queue, even if the message has to wait elsewhere first
    unique key      the transaction id of the answer; None for a batch
    first           index of its first message among those of the read
    number          of its messages
    wait for store  whether the answer waits for the flush that the store is configured to
"""


class _SendTopic:
    """What the checks of a topic have come to, as long as its configuration is `config`."""

    __slots__ = ("config", "is_retry", "queue_limit", "sys_flag")

    def __init__(self, config: TopicConfig, queue_limit: int, sys_flag: int, *, is_retry: bool) -> None:
        self.config = config
        self.queue_limit = queue_limit
        self.sys_flag = sys_flag
        self.is_retry = is_retry


class _Int32(dict[str, int]):
    """Numbers by their text: few different ones come, and each is checked once."""

    def __missing__(self, text: str) -> int:
        value = integer32(text)
        if len(self) >= _NUMBERS_MAX:
            self.clear()
        self[text] = value
        return value


class SendAdmission:
    """Checks sends for one broker."""

    def __init__(self, context: BrokerContext) -> None:
        self._context = context
        self._find_topic = context.topics.get
        self._topics: dict[str, _SendTopic] = {}
        self._int32 = _Int32()
        self.follow_config()

    def follow_config(self) -> None:
        """Take over the settings that go into stored messages."""
        config = self._context.config
        self._properties = PropertyReader(
            config.region_id, trace_on=config.trace_on, cluster=config.broker_cluster_name
        )

    def admit(
        self, connection: Connection, request: RemotingCommand, messages: list[Message], now_ms: int
    ) -> AdmittedSend:
        """Append the messages of one request.

        Raises:
            CommandError: the request is to be refused like this; `messages` is as it was.
        """
        fields = request.ext_fields
        if request.code == _SEND_MESSAGE:
            fields = {short: fields[long] for long, short in _SHORT_NAMES.items() if long in fields}
        try:
            return self._admit(connection, request, fields, messages, now_ms)
        except KeyError as error:
            name = error.args[0]
            if request.code == _SEND_MESSAGE:
                name = _LONG_NAMES.get(name, name)
            raise CommandError(ResponseCode.SYSTEM_ERROR, custom_field_is_null(name)) from error
        except ValueError as error:
            raise _number_fault(request, error) from error

    def _admit(
        self,
        connection: Connection,
        request: RemotingCommand,
        fields: Mapping[str, str],
        messages: list[Message],
        now_ms: int,
    ) -> AdmittedSend:
        int32 = self._int32
        _ = fields["a"], fields["c"], int32[fields["d"]]  # Java insists on them, even where it needs them not
        topic = fields["b"]
        queue_id = int32[fields["e"]]
        retry_limit = fields.get("l")
        if retry_limit is not None:
            _ = int32[retry_limit]
        known = self._topics.get(topic)
        if known is None or known.config is not self._find_topic(topic):
            known = self._check_topic(connection, topic, fields)
        if queue_id >= known.queue_limit:
            raise _illegal_queue(queue_id, known.config, connection)
        if queue_id < 0:
            queue_id = random.randrange(99_999_999) % max(known.config.write_queue_nums, 1)  # noqa: S311
        body = request.body
        if not body:
            raise self._illegal()
        is_batch = fields.get("m")
        if is_batch and is_batch.lower() == "true":
            return self._admit_batch(connection, request, fields, known, queue_id, messages)

        facts, unique_key, properties = self._properties.read(fields.get("i") or "", now_ms)
        message = Message(
            topic,
            queue_id,
            int32[fields["h"]],
            int32[fields["f"]] | known.sys_flag,
            integer64(fields["g"]),
            connection.remote_host,
            body,
            properties,
            facts.tags_code,
            (unique_key, *facts.keys) if facts.keys else (unique_key,),
            int32[fields.get("j", "0")],
        )
        if known.is_retry or facts.special:
            self._treat_specially(message, request, fields, facts, is_retry=known.is_retry)
        messages.append(message)
        return request, queue_id, unique_key, len(messages) - 1, 1, facts.wait_store

    def _check_topic(self, connection: Connection, topic: str, fields: Mapping[str, str]) -> _SendTopic:
        context = self._context
        config = context.topics.get(topic)
        if config is not None and config.order and not context.config.broker_permission & PERM_WRITE:
            raise CommandError(
                ResponseCode.NO_PERMISSION,
                f"the broker[{context.config.broker_ip1}] sending message is forbidden",
            )
        problem = topic_fault(topic)
        if problem is not None:
            raise CommandError(ResponseCode.INVALID_PARAMETER, problem)
        if topic in NOT_ALLOWED_SEND_TOPICS:
            raise CommandError(ResponseCode.NO_PERMISSION, f"Sending message to topic[{topic}] is forbidden.")
        if config is None:
            config = self._create_topic(connection, topic, fields)
        known = _SendTopic(
            config,
            max(config.write_queue_nums, config.read_queue_nums),
            MULTI_TAGS_FLAG if config.topic_filter_type == "MULTI_TAG" else 0,
            is_retry=topic.startswith(RETRY_GROUP_TOPIC_PREFIX),
        )
        if not config.order:
            if len(self._topics) >= _TOPICS_MAX:
                self._topics.clear()
            self._topics[topic] = known
        return known

    def _create_topic(self, connection: Connection, topic: str, fields: Mapping[str, str]) -> TopicConfig:
        topics = self._context.topics
        is_retry = topic.startswith(RETRY_GROUP_TOPIC_PREFIX)
        sys_flag = 0
        if fields.get("k", "").lower() == "true":
            sys_flag = _UNIT_SUB_FLAG if is_retry else _UNIT_FLAG
        created = topics.create_in_send(
            topic, fields["c"], connection.remote_address, self._int32[fields["d"]], sys_flag
        )
        if created is None and is_retry:
            created = topics.create_in_send_back(topic, 1, PERM_WRITE | PERM_READ, sys_flag)
        if created is None:
            raise CommandError(
                ResponseCode.TOPIC_NOT_EXIST, f"topic[{topic}] not exist, apply first please!{FAQ}"
            )
        return created

    def _admit_batch(
        self,
        connection: Connection,
        request: RemotingCommand,
        fields: Mapping[str, str],
        known: _SendTopic,
        queue_id: int,
        messages: list[Message],
    ) -> AdmittedSend:
        """The messages of a batch; they are stored with the properties that the producer gave each."""
        _ = self._int32[fields["h"]], self._int32[fields.get("j", "0")]
        topic = known.config.topic_name
        if len(topic) > _BATCH_TOPIC_MAX:
            raise CommandError(ResponseCode.MESSAGE_ILLEGAL, f"message topic length too long {len(topic)}")
        if known.is_retry:
            raise CommandError(
                ResponseCode.MESSAGE_ILLEGAL, f"batch request does not support retry group {topic}"
            )
        outer, _ = self._properties.peek(fields.get("i") or "")
        sys_flag = self._int32[fields["f"]] | known.sys_flag
        if outer.delay_level > 0 or sys_flag & TRANSACTION_MASK:
            raise self._illegal()
        born_timestamp = integer64(fields["g"])
        batch: list[Message] = []
        try:
            items = split_batch(request.body)
        except RemoteFault as error:
            raise CommandError(ResponseCode.MESSAGE_ILLEGAL, f"the message is illegal, {error}") from error
        limits = self._context.store_config
        # It is stored whole, so one file must hold it.
        if len(request.body) + len(items) * _BATCH_ITEM_BYTES > limits.mapped_file_size_commit_log:
            raise self._illegal()
        peek, born_host = self._properties.peek_stored, connection.remote_host
        for flag, body, properties in items:
            facts, unique_key = peek(properties)
            if facts.delay_level > 0 or len(body) > limits.max_message_size or properties.endswith(b"\0"):
                raise self._illegal()
            keys = facts.keys if unique_key is None else (unique_key, *facts.keys)
            batch.append(
                Message(
                    topic, queue_id, flag, sys_flag, born_timestamp, born_host, body, properties,
                    facts.tags_code, keys,
                )
            )  # fmt: skip
        first = len(messages)
        messages += batch
        return request, queue_id, None, first, len(batch), outer.wait_store

    def _treat_specially(
        self,
        message: Message,
        request: RemotingCommand,
        fields: Mapping[str, str],
        facts: PropertyFacts,
        *,
        is_retry: bool,
    ) -> None:
        """Retries, delays, and what is refused because of properties."""
        is_dead = is_retry and self._is_dead_letter(message, request, fields.get("l"))
        if facts.delay_illegal is not None:
            raise CommandError(ResponseCode.SYSTEM_ERROR, f'For input string: "{facts.delay_illegal}"')
        if facts.inner_batch:
            raise self._illegal()
        if facts.transaction and not (message.reconsume_times > 0 and facts.delay_level > 0):
            raise self._no_transactions()
        if message.sys_flag & TRANSACTION_MASK in (TRANSACTION_PREPARED_TYPE, TRANSACTION_ROLLBACK_TYPE):
            return
        if facts.timer:
            raise CommandError(
                ResponseCode.SYSTEM_ERROR, "accurate timer message is not enabled, timerWheelEnable is false"
            )
        if facts.delay_level > 0 and not is_dead:
            self._context.schedule.redirect(message, facts.delay_level)

    def _is_dead_letter(
        self, message: Message, request: RemotingCommand, max_reconsume_times: str | None
    ) -> bool:
        """A consumer sends a message to its retry topic itself; too often, and it becomes a dead letter."""
        group = message.topic[len(RETRY_GROUP_TOPIC_PREFIX) :].split(_POP_RETRY_SEPARATOR, 1)[0]
        config = self._context.groups.find(group)
        if config is None:
            raise CommandError(
                ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, f"subscription group not exist, {group} {FAQ}"
            )
        limit = config.retry_max_times
        if request.version >= _V3_4_9 and max_reconsume_times:
            limit = self._int32[max_reconsume_times]
        gave_up = not self._context.locks.is_lock_all_expired(group)
        if gave_up:
            _log.info("group %s consumes in order: its retry goes to the dead letters at once", group)
        if message.reconsume_times <= limit and not gave_up:
            return False
        topic = dlq_topic(group)
        self._context.topics.create_in_send_back(topic, _DLQ_QUEUES, PERM_WRITE | PERM_READ)
        message.topic = topic
        message.queue_id = 0
        pairs = decode_properties(message.properties)
        pairs["DELAY"] = "-1"
        message.properties = encode_properties(pairs)
        return True

    def _no_transactions(self) -> CommandError:
        """16 if the operator wants none, else a code that producers show at once instead of trying again."""
        config = self._context.config
        if config.reject_transaction_message:
            return CommandError(
                ResponseCode.NO_PERMISSION,
                f"the broker[{config.broker_ip1}] sending transaction message is forbidden",
            )
        return CommandError(
            ResponseCode.REQUEST_CODE_NOT_SUPPORTED, "this broker does not serve transaction messages yet"
        )

    def _illegal(self) -> CommandError:
        return CommandError(ResponseCode.MESSAGE_ILLEGAL, illegal_message_remark(self._context))


def _number_fault(request: RemotingCommand, error: ValueError) -> CommandError:
    """The refusal of a header in which something is no number, naming the field."""
    fields = request.ext_fields
    for long, short in _SHORT_NAMES.items():
        name = long if request.code == _SEND_MESSAGE else short
        if name in fields and (short in _INT32_FIELDS or short in _INT64_FIELDS):
            if short in _INT32_FIELDS:
                required_integer32(fields, name)
            else:
                required_integer(fields, name)
    return CommandError(ResponseCode.SYSTEM_ERROR, str(error))


def _illegal_queue(queue_id: int, config: TopicConfig, connection: Connection) -> CommandError:
    remark = f"request queueId[{queue_id}] is illegal, {config} Producer: {connection.remote_address}"
    return CommandError(ResponseCode.INVALID_PARAMETER, remark)
