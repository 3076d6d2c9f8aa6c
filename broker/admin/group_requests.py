"""Consumer groups: 200 and 225 create or change, 207 delete, 201 and 352 read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from broker.admin.answers import body_answer, decoded, large_body_answer, refuse_on_slave, success
from broker.versions import version_from_text
from remoting.errors import CommandError
from remoting.protocol import headers
from remoting.protocol.admin_body import (
    SubscriptionGroupConfig,
    SubscriptionGroupList,
    SubscriptionGroupWrapper,
)
from remoting.protocol.message import group_fault
from remoting.protocol.request_code import RequestCode
from remoting.protocol.response_code import ResponseCode

if TYPE_CHECKING:
    from broker.context import BrokerContext
    from remoting.command import RemotingCommand
    from remoting.connection import Connection
    from remoting.processors import ProcessorTable

__all__ = ["GroupRequests", "register"]


def register(table: ProcessorTable, context: BrokerContext) -> None:
    """Serve the codes of this module by `table`."""
    requests = GroupRequests(context)
    table.task((RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP,), requests.update)
    table.task((RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST,), requests.update_list)
    table.task((RequestCode.DELETE_SUBSCRIPTIONGROUP,), requests.delete)
    table.task((RequestCode.GET_ALL_SUBSCRIPTIONGROUP_CONFIG,), requests.get_all)
    table.task((RequestCode.GET_SUBSCRIPTIONGROUP_CONFIG,), requests.get)


@attrs.frozen
class GroupRequests:
    """Handlers of one broker."""

    context: BrokerContext

    async def update(self, _: Connection, request: RemotingCommand) -> RemotingCommand:
        """UPDATE_AND_CREATE_SUBSCRIPTIONGROUP (200): answers when the change is on disk."""
        await self._apply([decoded(SubscriptionGroupConfig, request)])
        return success(request)

    async def update_list(self, _: Connection, request: RemotingCommand) -> RemotingCommand:
        """UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST (225): all of them or none."""
        await self._apply(decoded(SubscriptionGroupList, request).group_config_list)
        return success(request)

    async def _apply(self, groups: list[SubscriptionGroupConfig]) -> None:
        refuse_on_slave(self.context, "create or update subscription group")
        for group in groups:
            if (fault := group_fault(group.group_name)) is not None:
                raise CommandError(ResponseCode.INVALID_PARAMETER, fault)
        if groups:
            self.context.groups.update(*groups)
        await self.context.groups.file.saved()

    async def delete(self, _: Connection, request: RemotingCommand) -> RemotingCommand:
        """DELETE_SUBSCRIPTIONGROUP (207): the group, and its offsets if asked."""
        context = self.context
        header = headers.DeleteSubscriptionGroupRequestHeader.decode(request.ext_fields)
        group = header.group_name
        refuse_on_slave(context, "delete subscription group")
        context.groups.delete(group)
        context.locks.forget_group(group)
        if context.config.auto_delete_unused_stats:
            context.stats.forget_group(group)
        if header.clean_offset:
            context.offsets.remove_group(group)
            await context.offsets.file.saved()
        await context.groups.file.saved()
        return success(request)

    async def get_all(self, _: Connection, request: RemotingCommand) -> RemotingCommand:
        """GET_ALL_SUBSCRIPTIONGROUP_CONFIG (201): the table, or the part of it that the peer asks for."""
        context = self.context
        header = headers.GetAllSubscriptionGroupRequestHeader.decode(request.ext_fields)
        table, forbidden = context.groups.table, context.groups.forbidden_table
        asks_for_part = any(name in request.ext_fields for name in ("dataVersion", "groupSeq", "maxGroupNum"))
        if context.config.enable_split_metadata and asks_for_part:
            size = context.config.split_metadata_size
            most = size if header.max_group_num is None else min(size, header.max_group_num)
            table = context.groups.part(version_from_text(header.data_version), header.group_seq, most)
            forbidden = {group: bits for group, bits in forbidden.items() if group in table}
        body = SubscriptionGroupWrapper(
            data_version=context.groups.data_version,
            forbidden_table={group: dict(bits) for group, bits in forbidden.items()},
            subscription_group_table=dict(table),
        )
        total = headers.GetAllSubscriptionGroupResponseHeader(len(context.groups.table))
        return await large_body_answer(request, body, total.encode())

    async def get(self, _: Connection, request: RemotingCommand) -> RemotingCommand:
        """GET_SUBSCRIPTIONGROUP_CONFIG (352)."""
        header = headers.GetSubscriptionGroupConfigRequestHeader.decode(request.ext_fields)
        group = self.context.groups.find(header.group)
        if group is None:
            raise CommandError(ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, "No group in this broker")
        return body_answer(request, group)
