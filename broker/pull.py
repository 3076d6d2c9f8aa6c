"""Pulls: PULL_MESSAGE (11) and LITE_PULL_MESSAGE (361).

Request, consume-queue range, slices of the mapped log, one answer of header and slices: nothing is
copied, and the whole way is one synchronous call. Only two pulls take longer: one whose messages are no
longer in memory goes on beside the loop, and one that finds nothing is held (:mod:`broker.pull_hold`).
Checks, their order, codes and remarks follow PullMessageProcessor and DefaultPullMessageResultHandler.
"""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING

from broker.header_fields import (
    optional_integer,
    required,
    required_integer,
    required_integer32,
)
from broker.pull_hold import HeldPull
from broker.remarks import FAQ, OVERLOAD, REJECTED
from broker.reply_frames import FrameTemplate, frame_template
from broker.subscription_match import inline_subscription, is_tag_type, match_of
from broker.topics import PERM_READ
from remoting.errors import CommandError
from remoting.protocol.header_fields import integer32, integer64
from remoting.protocol.message import CID_RMQ_SYS_PREFIX
from remoting.protocol.request_code import RequestCode
from remoting.protocol.response_code import ResponseCode
from store import GetResult, GetStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.context import BrokerContext
    from remoting.command import RemotingCommand
    from remoting.protocol.admin_body import SubscriptionGroupConfig, TopicConfig
    from remoting.protocol.heartbeat import SubscriptionData
    from remoting.server import Connection, ProcessorTable

    Match = Callable[[int], bool] | None

__all__ = ["PullMessageProcessor", "PullRequest", "register"]

_log = logging.getLogger("rocketmq.broker")

_COMMIT_OFFSET_FLAG = 0x1
_SUSPEND_FLAG = 0x2
_SUBSCRIPTION_FLAG = 0x4

_BROKER_FORBIDDEN = 1
_GROUP_FORBIDDEN = 2
_TOPIC_FORBIDDEN = 3
_BROADCASTING_DISABLED = 4
_SUBSCRIPTION_FORBIDDEN = 5
_READ_BIT = 1

_MAX_BYTES = 2**31 - 1
_ANSWER_NAMES = (
    "groupSysFlag", "maxOffset", "minOffset", "nextBeginOffset", "suggestWhichBrokerId", "topicSysFlag",
)  # fmt: skip

_CODES: dict[GetStatus, int] = {
    GetStatus.FOUND: ResponseCode.SUCCESS,
    GetStatus.MESSAGE_WAS_REMOVING: ResponseCode.PULL_RETRY_IMMEDIATELY,
    GetStatus.NO_MATCHED_MESSAGE: ResponseCode.PULL_RETRY_IMMEDIATELY,
    GetStatus.NO_MATCHED_LOGIC_QUEUE: ResponseCode.PULL_OFFSET_MOVED,
    GetStatus.NO_MESSAGE_IN_QUEUE: ResponseCode.PULL_OFFSET_MOVED,
    GetStatus.OFFSET_FOUND_NULL: ResponseCode.PULL_NOT_FOUND,
    GetStatus.OFFSET_OVERFLOW_ONE: ResponseCode.PULL_NOT_FOUND,
    GetStatus.OFFSET_OVERFLOW_BADLY: ResponseCode.PULL_OFFSET_MOVED,
    GetStatus.OFFSET_RESET: ResponseCode.PULL_OFFSET_MOVED,
    GetStatus.OFFSET_TOO_SMALL: ResponseCode.PULL_OFFSET_MOVED,
}
_EMPTY_QUEUE = (GetStatus.NO_MATCHED_LOGIC_QUEUE, GetStatus.NO_MESSAGE_IN_QUEUE)


class _ForbiddenError(CommandError):
    """A refusal with 16 that says in the header why."""

    def __init__(self, remark: str, forbidden_type: int) -> None:
        super().__init__(ResponseCode.NO_PERMISSION, remark)
        self.forbidden_type = forbidden_type


class PullRequest:
    """The header of one pull, parsed once for both passes."""

    __slots__ = (
        "commit_offset", "expression_type", "group", "max_bytes", "max_nums", "queue_id", "queue_offset",
        "sub_version", "subscription", "suspend_timeout_ms", "sys_flag", "topic",
    )  # fmt: skip

    def __init__(self, fields: dict[str, str]) -> None:
        """Reads the fields.

        Raises:
            CommandError: 1, one that is needed is missing or no number.
        """
        try:
            self.group = fields["consumerGroup"]
            self.topic = fields["topic"]
            self.queue_id = integer32(fields["queueId"])
            self.queue_offset = integer64(fields["queueOffset"])
            self.max_nums = integer32(fields["maxMsgNums"])
            self.sys_flag = integer32(fields["sysFlag"])
        except (KeyError, ValueError):
            self._explain(fields)
            raise
        commits = self.sys_flag & _COMMIT_OFFSET_FLAG
        self.commit_offset = required_integer(fields, "commitOffset") if commits else 0
        self.suspend_timeout_ms = optional_integer(fields, "suspendTimeoutMillis")
        self.sub_version = optional_integer(fields, "subVersion")
        self.max_bytes = min(optional_integer(fields, "maxMsgBytes", _MAX_BYTES), _MAX_BYTES)
        self.subscription = fields.get("subscription")
        self.expression_type = fields.get("expressionType")

    @staticmethod
    def _explain(fields: dict[str, str]) -> None:
        required(fields, "consumerGroup")
        required(fields, "topic")
        required_integer(fields, "queueOffset")
        for name in ("queueId", "maxMsgNums", "sysFlag"):
            required_integer32(fields, name)


class PullMessageProcessor:
    """Serves the pulls of one broker."""

    def __init__(self, context: BrokerContext) -> None:
        self._context = context
        self._reading_cold = 0
        self._matches: dict[int, tuple[SubscriptionData, Match]] = {}
        self._answers: dict[tuple[GetStatus, int], FrameTemplate] = {}

    def register(self, table: ProcessorTable) -> None:
        """Put the handlers into a port's table."""
        table.call((RequestCode.PULL_MESSAGE, RequestCode.LITE_PULL_MESSAGE), self.process)

    def process(self, connection: Connection, request: RemotingCommand) -> RemotingCommand | None:
        """Answer a pull, or hold it. Never blocks."""
        return self._run(connection, request, PullRequest(request.ext_fields), first_pass=True)

    def _run(
        self, connection: Connection, request: RemotingCommand, pull: PullRequest, *, first_pass: bool
    ) -> RemotingCommand | None:
        """One pass; the second, after a hold, neither holds again nor commits the offset again."""
        context = self._context
        try:
            group, topic, match = self._check(connection, request, pull)
        except _ForbiddenError as error:
            fields = {"forbiddenType": str(error.forbidden_type)}
            return request.response(error.code, error.remark, fields)
        reset = context.offsets.take_reset(pull.group, pull.topic, pull.queue_id)
        if reset is not None and context.config.use_server_side_reset_offset:
            result: GetResult | None = self._reset_result(pull, reset)
        else:
            result = context.store.get(
                pull.group, pull.topic, pull.queue_id, pull.queue_offset, pull.max_nums, pull.max_bytes, match
            )
        if result is None:
            self._read_cold(connection, request, pull, group, topic, match, first_pass=first_pass)
            return None
        self._finish(connection, request, pull, group, topic, match, result, first_pass=first_pass)
        return None

    # Checks

    def _check(
        self, connection: Connection, request: RemotingCommand, pull: PullRequest
    ) -> tuple[SubscriptionGroupConfig, TopicConfig, Match]:
        """The group, the topic and the filter of a pull that may go on.

        Raises:
            CommandError: it may not.
        """
        context = self._context
        config = context.config
        if context.is_slave and not config.slave_read_enable:
            raise CommandError(ResponseCode.SYSTEM_BUSY, REJECTED)
        if not config.broker_permission & PERM_READ:
            raise _ForbiddenError(
                f"the broker[{config.broker_ip1}] pulling message is forbidden", _BROKER_FORBIDDEN
            )
        if request.code == RequestCode.LITE_PULL_MESSAGE and not config.lite_pull_message_enable:
            raise _ForbiddenError(
                f"the broker[{config.broker_ip1}] for lite pull consumer is forbidden", _BROKER_FORBIDDEN
            )
        group = context.groups.find(pull.group)
        if group is None:
            raise CommandError(
                ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST,
                f"subscription group [{pull.group}] does not exist, {FAQ}",
            )
        if not group.consume_enable:
            raise _ForbiddenError(f"subscription group no permission, {pull.group}", _GROUP_FORBIDDEN)
        topic = context.topics.get(pull.topic)
        if topic is None:
            raise CommandError(
                ResponseCode.TOPIC_NOT_EXIST, f"topic[{pull.topic}] not exist, apply first please! {FAQ}"
            )
        if not topic.perm & PERM_READ:
            raise _ForbiddenError(f"the topic[{pull.topic}] pulling message is forbidden", _TOPIC_FORBIDDEN)
        if not 0 <= pull.queue_id < topic.read_queue_nums:
            raise CommandError(
                ResponseCode.INVALID_PARAMETER,
                f"queueId[{pull.queue_id}] is illegal, topic:[{pull.topic}] "
                f"topicConfig.readQueueNums:[{topic.read_queue_nums}] consumer:[{connection.remote_address}]",
            )
        subscription = self._subscription(pull, group)
        if not is_tag_type(subscription.expression_type):
            raise CommandError(
                ResponseCode.SYSTEM_ERROR,
                f"The broker does not support consumer to filter message by {subscription.expression_type}",
            )
        if config.reject_pull_consumer_enable:
            self._check_pull_consumer(connection, pull.group)
        return group, topic, self._match(subscription)

    def _check_pull_consumer(self, connection: Connection, group: str) -> None:
        """With rejectPullConsumerEnable only push consumers that sent a heartbeat may pull."""
        info = self._context.consumers.consumer_group_info(group)
        if info is not None and (info.consume_type != "CONSUME_ACTIVELY" or connection in info.members):
            return
        if not group.startswith(CID_RMQ_SYS_PREFIX):
            raise CommandError(
                ResponseCode.SUBSCRIPTION_NOT_EXIST,
                f"the consumer's group info not exist, or the pull consumer is rejected by server.{FAQ}",
            )

    def _subscription(self, pull: PullRequest, group: SubscriptionGroupConfig) -> SubscriptionData:
        consumers = self._context.consumers
        if pull.sys_flag & _SUBSCRIPTION_FLAG:
            subscription = inline_subscription(
                pull.topic, pull.subscription, pull.expression_type, self._context.clock_ms()
            )
            consumers.compensate(pull.group, subscription)
            return subscription
        info = consumers.consumer_group_info(pull.group)
        if info is None:
            raise CommandError(
                ResponseCode.SUBSCRIPTION_NOT_EXIST, f"the consumer's group info not exist{FAQ}"
            )
        if not group.consume_broadcast_enable and info.is_broadcast:
            raise _ForbiddenError(
                f"the consumer group[{pull.group}] can not consume by broadcast way", _BROADCASTING_DISABLED
            )
        if self._context.groups.forbidden(pull.group, pull.topic, _READ_BIT):
            raise _ForbiddenError(
                f"the consumer group[{pull.group}] is forbidden for topic[{pull.topic}]",
                _SUBSCRIPTION_FORBIDDEN,
            )
        found = info.subscriptions.get(pull.topic)
        if found is None:
            raise CommandError(
                ResponseCode.SUBSCRIPTION_NOT_EXIST, f"the consumer's subscription not exist{FAQ}"
            )
        if found.sub_version < pull.sub_version:
            raise CommandError(ResponseCode.SUBSCRIPTION_NOT_LATEST, "the consumer's subscription not latest")
        return found

    def _match(self, subscription: SubscriptionData) -> Match:
        """The filter of a subscription, made once for each that heartbeats brought."""
        if subscription.sub_string == "*":
            return None
        known = self._matches.get(id(subscription))
        if known is not None and known[0] is subscription:
            return known[1]
        match = match_of(subscription)
        if len(self._matches) >= 10_000:
            self._matches.clear()
        self._matches[id(subscription)] = subscription, match
        return match

    # Reading

    def _reset_result(self, pull: PullRequest, offset: int) -> GetResult:
        """What tells a consumer to go on at `offset`."""
        store = self._context.store
        return GetResult(
            GetStatus.OFFSET_RESET,
            offset,
            store.min_offset(pull.topic, pull.queue_id),
            store.max_offset(pull.topic, pull.queue_id),
        )

    def _read_cold(
        self,
        connection: Connection,
        request: RemotingCommand,
        pull: PullRequest,
        group: SubscriptionGroupConfig,
        topic: TopicConfig,
        match: Match,
        *,
        first_pass: bool,
    ) -> None:
        """Go on beside the loop: the messages must come from the disk."""
        context = self._context
        if self._reading_cold >= context.config.pull_thread_pool_queue_capacity:
            raise CommandError(ResponseCode.SYSTEM_BUSY, OVERLOAD)

        async def read() -> None:
            self._reading_cold += 1
            began_ms = context.clock_ms()
            try:
                result = await context.store.get_cold(
                    pull.group,
                    pull.topic,
                    pull.queue_id,
                    pull.queue_offset,
                    pull.max_nums,
                    pull.max_bytes,
                    match,
                )
                context.stats.read_from_disk(
                    pull.group, pull.topic, pull.queue_id, result.message_count, context.clock_ms() - began_ms
                )
                if result.status is not GetStatus.FOUND:
                    # The queue may have grown while the disk was read: look again before holding.
                    result = (
                        context.store.get(
                            pull.group, pull.topic, pull.queue_id, pull.queue_offset,
                            pull.max_nums, pull.max_bytes, match,
                        )
                        or result
                    )  # fmt: skip
                self._finish(connection, request, pull, group, topic, match, result, first_pass=first_pass)
            except CommandError as error:
                connection.reply(request, request.response(error.code, error.remark))
            except Exception as error:
                _log.exception("cannot read %s-%d at %d", pull.topic, pull.queue_id, pull.queue_offset)
                connection.reply(request, request.response(ResponseCode.SYSTEM_ERROR, repr(error)))
            finally:
                self._reading_cold -= 1

        if not context.hold.spawn(read):
            raise CommandError(ResponseCode.SYSTEM_BUSY, OVERLOAD)

    # Answering

    def _finish(
        self,
        connection: Connection,
        request: RemotingCommand,
        pull: PullRequest,
        group: SubscriptionGroupConfig,
        topic: TopicConfig,
        match: Match,
        result: GetResult,
        *,
        first_pass: bool,
    ) -> None:
        """Answer with what was found, or hold the pull."""
        context = self._context
        status = result.status
        code = _CODES[status]
        if status in _EMPTY_QUEUE and pull.queue_offset == 0:
            code = ResponseCode.PULL_NOT_FOUND
        context.offsets.commit_pull(pull.group, pull.topic, pull.queue_id, result.next_begin_offset)
        if first_pass and pull.sys_flag & _COMMIT_OFFSET_FLAG and pull.commit_offset >= 0:
            context.offsets.commit(
                connection.remote_address, pull.group, pull.topic, pull.queue_id, pull.commit_offset
            )
        if status is GetStatus.FOUND:
            context.stats.got(pull.group, pull.topic, pull.queue_id, result.message_count, result.size)
        else:
            if code == ResponseCode.PULL_NOT_FOUND and first_pass and pull.sys_flag & _SUSPEND_FLAG:
                self._hold(connection, request, pull, match)
                return
            if code == ResponseCode.PULL_OFFSET_MOVED:
                _log.info(
                    "PULL_OFFSET_MOVED:correction offset. topic=%s, groupId=%s, requestOffset=%d, "
                    "newOffset=%d, "
                    "status=%s",
                    pull.topic, pull.group, pull.queue_offset, result.next_begin_offset, status.name,
                )  # fmt: skip
        values = (
            str(group.group_sys_flag),
            str(result.max_offset),
            str(result.min_offset),
            str(result.next_begin_offset),
            self._suggested_broker_id(group, result),
            str(topic.topic_sys_flag),
        )
        template = self._answers.get((status, code))
        if template is None:
            serialize_type = context.transport.serialize_type
            template = frame_template(serialize_type, code, status.name, {}, _ANSWER_NAMES)
            self._answers[status, code] = template
        frame = template.frame(request.opaque, values, result.size)
        connection.reply_encoded(request, [frame, *result.buffers])

    def _suggested_broker_id(self, group: SubscriptionGroupConfig, result: GetResult) -> str:
        config = self._context.config
        if not config.slave_read_enable or config.is_in_broker_container:
            return "0"
        if result.suggest_slave:
            return str(group.which_broker_when_consume_slowly)
        return str(group.broker_id)

    def _hold(
        self, connection: Connection, request: RemotingCommand, pull: PullRequest, match: Match
    ) -> None:
        if connection.closed:
            return
        context = self._context
        config = context.config
        is_lite = request.code == RequestCode.LITE_PULL_MESSAGE
        limit = (
            config.lite_pull_thread_pool_queue_capacity if is_lite else config.pull_thread_pool_queue_capacity
        )
        if len(context.hold) >= limit:
            connection.reply(request, request.response(ResponseCode.SYSTEM_BUSY, OVERLOAD))
            return
        timeout_ms = (
            pull.suspend_timeout_ms if config.long_polling_enable else config.short_polling_time_mills
        )
        held = HeldPull(
            connection=connection,
            request=request,
            topic=pull.topic,
            queue_id=pull.queue_id,
            queue_offset=pull.queue_offset,
            match=match,
            resume=functools.partial(self._resume, connection, request, pull),
        )
        context.hold.hold(held, timeout_ms)

    def _resume(self, connection: Connection, request: RemotingCommand, pull: PullRequest) -> None:
        """The second pass of a pull that was held."""
        try:
            answer = self._run(connection, request, pull, first_pass=False)
        except CommandError as error:
            answer = request.response(error.code, error.remark)
        if answer is not None:
            connection.reply(request, answer)


def register(table: ProcessorTable, context: BrokerContext) -> PullMessageProcessor:
    """Serve the pulls of `context` on the port whose table this is. Not for the fast port."""
    processor = PullMessageProcessor(context)
    processor.register(table)
    return processor
