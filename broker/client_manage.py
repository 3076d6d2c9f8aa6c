"""Clients come, stay and go: HEART_BEAT (34), UNREGISTER_CLIENT (35), GET_CONSUMER_LIST_BY_GROUP (38) and
CHECK_CLIENT_CONFIG (46).

Java: ClientManageProcessor and ConsumerManageProcessor.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import attrs

from broker.clients import ClientChannelInfo
from broker.publication import published
from broker.request_body import decoded_body
from broker.subscription_match import is_tag_type
from broker.topics import PERM_READ, PERM_WRITE
from remoting.errors import CommandError
from remoting.protocol.body import GetConsumerListByGroupResponseBody
from remoting.protocol.headers import GetConsumerListByGroupRequestHeader, UnregisterClientRequestHeader
from remoting.protocol.heartbeat import CheckClientRequestBody, HeartbeatData
from remoting.protocol.message import retry_topic
from remoting.protocol.request_code import RequestCode
from remoting.protocol.response_code import ResponseCode

if TYPE_CHECKING:
    from broker.context import BrokerContext
    from remoting.command import RemotingCommand
    from remoting.protocol.heartbeat import ConsumerData
    from remoting.server import Connection, ProcessorTable

__all__ = ["ClientRequests", "register"]

_log = logging.getLogger("rocketmq.broker")

_CONSUME_ACTIVELY = "CONSUME_ACTIVELY"
_CONSUME_PASSIVELY = "CONSUME_PASSIVELY"
_CLUSTERING = "CLUSTERING"
_FROM_LAST = "CONSUME_FROM_LAST_OFFSET"
_UNIT_SUB_FLAG = 0x2


def register(table: ProcessorTable, context: BrokerContext) -> None:
    """Serve the codes of this module by `table`."""
    requests = ClientRequests(context)
    table.call((RequestCode.HEART_BEAT,), requests.heartbeat)
    table.call((RequestCode.UNREGISTER_CLIENT,), requests.unregister)
    table.call((RequestCode.GET_CONSUMER_LIST_BY_GROUP,), requests.consumer_list)
    table.call((RequestCode.CHECK_CLIENT_CONFIG,), requests.check_config)


@attrs.frozen
class ClientRequests:
    """Handlers of one broker."""

    context: BrokerContext
    _fingerprints: dict[str, int] = attrs.field(factory=dict)
    """By group, the fingerprint of the last heartbeat: tells a V2 client whether another differs from it."""

    def heartbeat(self, connection: Connection, request: RemotingCommand) -> RemotingCommand | None:
        """34: producers and consumers behind a connection are alive; consumers bring their subscriptions.

        If a retry topic was created by it, the answer waits until the name servers know that topic: clients
        ask them for its route next.
        """
        beat = decoded_body(HeartbeatData, request)
        if not beat.client_id:
            raise CommandError(ResponseCode.SYSTEM_ERROR, "the heartbeat has no clientID")
        version = self.context.topics.data_version
        has_changed = False
        for consumer in beat.consumer_data_set:
            known = self._fingerprints.get(consumer.group_name)
            has_changed = has_changed or (known is not None and known != beat.heartbeat_fingerprint)
            self._register_consumer(connection, request, beat, consumer)
        for producer in beat.producer_data_set:
            client = self._client(connection, request, beat.client_id)
            self.context.producers.register(producer.group_name, client)
        if beat.heartbeat_fingerprint == 0:
            has_changed = True
        answer = request.response(
            ResponseCode.SUCCESS,
            None,
            {"IS_SUPPORT_HEART_BEAT_V2": "true", "IS_SUB_CHANGE": "true" if has_changed else "false"},
        )
        if self.context.topics.data_version == version:
            return answer
        later = self.context.hold.spawn(self._answer_when_routed, connection, request, answer)
        return None if later else answer

    async def _answer_when_routed(
        self, connection: Connection, request: RemotingCommand, answer: RemotingCommand
    ) -> None:
        await published(self.context)
        connection.reply(request, answer)

    def unregister(self, connection: Connection, request: RemotingCommand) -> RemotingCommand:
        """35: a client leaves a group of its own accord."""
        header = UnregisterClientRequestHeader.decode(request.ext_fields)
        producer_group, consumer_group = header.producer_group, header.consumer_group
        if producer_group:
            self.context.producers.unregister(producer_group, connection)
        if consumer_group:
            config = self.context.groups.find(consumer_group)
            notify = config is None or config.notify_consumer_ids_changed_enable
            self.context.consumers.unregister(consumer_group, connection, notify=notify)
            if self.context.consumers.consumer_group_info(consumer_group) is None:
                self._fingerprints.pop(consumer_group, None)
        return request.response(ResponseCode.SUCCESS)

    def consumer_list(self, _: Connection, request: RemotingCommand) -> RemotingCommand:
        """38: client ids of a group's members, by which each of them divides the queues."""
        group = GetConsumerListByGroupRequestHeader.decode(request.ext_fields).consumer_group
        info = self.context.consumers.consumer_group_info(group)
        client_ids = info.client_ids() if info is not None else []
        if not client_ids:
            raise CommandError(ResponseCode.SYSTEM_ERROR, f"no consumer for this group, {group}")
        body = GetConsumerListByGroupResponseBody(consumer_id_list=client_ids)
        return request.response(ResponseCode.SUCCESS, body=body.encode())

    def check_config(self, _: Connection, request: RemotingCommand) -> RemotingCommand:
        """46: whether this broker can filter by an expression."""
        subscription = decoded_body(CheckClientRequestBody, request).subscription_data
        if subscription is not None and not is_tag_type(subscription.expression_type):
            raise CommandError(
                ResponseCode.SYSTEM_ERROR,
                f"The broker does not support consumer to filter message by {subscription.expression_type}",
            )
        return request.response(ResponseCode.SUCCESS)

    def _register_consumer(
        self, connection: Connection, request: RemotingCommand, beat: HeartbeatData, consumer: ConsumerData
    ) -> None:
        context = self.context
        if context.config.reject_pull_consumer_enable and consumer.consume_type == _CONSUME_ACTIVELY:
            return
        group = context.groups.find(consumer.group_name)
        if group is None:
            return
        self._fingerprints[consumer.group_name] = beat.heartbeat_fingerprint
        subscriptions = [each for each in consumer.subscription_data_set if each.topic]
        found = [context.topics.get(subscription.topic or "") for subscription in subscriptions]
        context.topics.create_in_send_back(
            retry_topic(consumer.group_name),
            group.retry_queue_nums,
            PERM_WRITE | PERM_READ,
            _UNIT_SUB_FLAG if consumer.unit_mode else 0,
            order=any(topic is not None and topic.order for topic in found),
        )
        changed = context.consumers.register(
            consumer.group_name,
            self._client(connection, request, beat.client_id),
            consume_type=consumer.consume_type or _CONSUME_PASSIVELY,
            message_model=consumer.message_model or _CLUSTERING,
            consume_from_where=consumer.consume_from_where or _FROM_LAST,
            subscriptions=None if beat.without_sub and beat.heartbeat_fingerprint else subscriptions,
            notify=group.notify_consumer_ids_changed_enable,
        )
        if changed:
            _log.info("consumer %s of group %s has changed", beat.client_id, consumer.group_name)

    def _client(self, connection: Connection, request: RemotingCommand, client_id: str) -> ClientChannelInfo:
        return ClientChannelInfo(
            connection, client_id, request.language, request.version, self.context.clock_ms()
        )
