"""Connected clients: 203, 204 and 328 who is there, 307 and 309 passed on to one consumer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from broker.admin.answers import body_answer
from remoting.command import RemotingCommand
from remoting.errors import CommandError, RemotingError, TimeoutError_
from remoting.protocol import admin_body, headers
from remoting.protocol.message import decode_message_id
from remoting.protocol.mq_version import V3_1_8_SNAPSHOT, version_desc
from remoting.protocol.request_code import RequestCode
from remoting.protocol.response_code import ResponseCode
from store.worker_threads import in_request_thread

if TYPE_CHECKING:
    from broker.clients import ClientChannelInfo
    from broker.context import BrokerContext
    from remoting.connection import Connection
    from remoting.processors import ProcessorTable

__all__ = ["ClientRequests", "register"]

_CLIENT_TIMEOUT_MS = 10_000


def register(table: ProcessorTable, context: BrokerContext) -> None:
    """Serve the codes of this module by `table`."""
    requests = ClientRequests(context)
    table.task((RequestCode.GET_CONSUMER_CONNECTION_LIST,), requests.consumers)
    table.task((RequestCode.GET_PRODUCER_CONNECTION_LIST,), requests.producers)
    table.task((RequestCode.GET_ALL_PRODUCER_INFO,), requests.all_producers)
    table.task((RequestCode.GET_CONSUMER_RUNNING_INFO,), requests.running_info)
    table.task((RequestCode.CONSUME_MESSAGE_DIRECTLY,), requests.consume_directly)


@attrs.frozen
class ClientRequests:
    """Handlers of one broker."""

    context: BrokerContext

    async def consumers(self, _: Connection, request: RemotingCommand) -> RemotingCommand:
        """GET_CONSUMER_CONNECTION_LIST (203)."""
        group = headers.GetConsumerConnectionListRequestHeader.decode(request.ext_fields).consumer_group
        info = self.context.consumers.consumer_group_info(group)
        if info is None:
            raise CommandError(ResponseCode.CONSUMER_NOT_ONLINE, f"the consumer group[{group}] not online")
        body = admin_body.ConsumerConnection(
            connection_set=[_connection(member) for member in info.members.values()],
            subscription_table=dict(info.subscriptions),
            consume_type=info.consume_type,
            message_model=info.message_model,
            consume_from_where=info.consume_from_where,
        )
        return body_answer(request, body)

    async def producers(self, _: Connection, request: RemotingCommand) -> RemotingCommand:
        """GET_PRODUCER_CONNECTION_LIST (204)."""
        group = headers.GetProducerConnectionListRequestHeader.decode(request.ext_fields).producer_group
        members = self.context.producers.table.get(group)
        if members is None:
            raise CommandError(ResponseCode.SYSTEM_ERROR, f"the producer group[{group}] not exist")
        connections = [_connection(member) for member in members.values()]
        return body_answer(request, admin_body.ProducerConnection(connection_set=connections))

    async def all_producers(self, _: Connection, request: RemotingCommand) -> RemotingCommand:
        """GET_ALL_PRODUCER_INFO (328)."""
        data: dict[str, list[admin_body.ProducerInfo]] = {}
        for group, client in self.context.producers.clients():
            data.setdefault(group, []).append(
                admin_body.ProducerInfo(
                    client_id=client.client_id,
                    remote_ip=client.connection.remote_address,
                    language=client.language,
                    version=client.version,
                    last_update_timestamp=client.last_update_ms,
                )
            )
        return body_answer(request, admin_body.ProducerTableInfo(data=data))

    async def running_info(self, _: Connection, request: RemotingCommand) -> RemotingCommand:
        """GET_CONSUMER_RUNNING_INFO (307)."""
        header = headers.GetConsumerRunningInfoRequestHeader.decode(request.ext_fields)
        fields = dict(request.ext_fields)
        return await self._ask_consumer(
            request, header.consumer_group, header.client_id, fields, request.body
        )

    async def consume_directly(self, _: Connection, request: RemotingCommand) -> RemotingCommand:
        """CONSUME_MESSAGE_DIRECTLY (309): the message is read here and given to the consumer."""
        context, fields = self.context, dict(request.ext_fields)
        header = headers.ConsumeMessageDirectlyResultRequestHeader.decode(fields)
        try:
            offset = decode_message_id(header.msg_id or "").offset
        except ValueError as error:
            raise CommandError(ResponseCode.SYSTEM_ERROR, str(error)) from error
        message = await in_request_thread(context.store.message_at, offset)
        if message is None:
            raise CommandError(ResponseCode.SYSTEM_ERROR, f"can not find message by the offset, {offset}")
        fields["brokerName"] = context.identity.name
        topic = context.topics.get(header.topic or "")
        if topic is not None:
            fields["topicSysFlag"] = str(topic.topic_sys_flag)
        group = context.groups.find(header.consumer_group)
        if group is not None:
            fields["groupSysFlag"] = str(group.group_sys_flag)
        return await self._ask_consumer(
            request, header.consumer_group, header.client_id or "", fields, message
        )

    async def _ask_consumer(
        self,
        request: RemotingCommand,
        group: str,
        client_id: str,
        fields: dict[str, str],
        body: bytes | memoryview,
    ) -> RemotingCommand:
        """Pass the request on to a consumer and its answer back."""
        client = self.context.consumers.find_client(group, client_id)
        if client is None:
            raise CommandError(ResponseCode.SYSTEM_ERROR, f"The Consumer <{group}> <{client_id}> not online")
        if client.version < V3_1_8_SNAPSHOT:
            raise CommandError(
                ResponseCode.SYSTEM_ERROR,
                f"The Consumer <{client_id}> Version <{version_desc(client.version)}> too low to finish, "
                "please upgrade it to V3_1_8_SNAPSHOT",
            )
        question = RemotingCommand.request(request.code, fields, body)
        try:
            answer = await client.connection.invoke(question, _CLIENT_TIMEOUT_MS)
        except TimeoutError_ as error:
            raise CommandError(
                ResponseCode.CONSUME_MSG_TIMEOUT, f"consumer <{group}> <{client_id}> Timeout: {error}"
            ) from error
        except RemotingError as error:
            raise CommandError(
                ResponseCode.SYSTEM_ERROR, f"invoke consumer <{group}> <{client_id}> Exception: {error}"
            ) from error
        return request.response(answer.code, answer.remark, answer.ext_fields, answer.body)


def _connection(client: ClientChannelInfo) -> admin_body.Connection:
    return admin_body.Connection(
        client_id=client.client_id,
        client_addr=client.connection.remote_address,
        language=client.language,
        version=client.version,
    )
