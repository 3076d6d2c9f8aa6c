"""Consumer groups: 200 and 225 create or change, 207 delete, 201 and 352 read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import attrs

from broker.admin.answers import (
    QUEUES_MAX,
    body_answer,
    decoded,
    is_int32,
    large_body_answer,
    refuse_on_slave,
    save,
    success,
)
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

_RETRY_POLICIES = ("CUSTOMIZED", "EXPONENTIAL")


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
            if (fault := _figures_fault(group)) is not None:
                raise CommandError(ResponseCode.INVALID_PARAMETER, fault)
        if groups:
            self.context.groups.update(*groups)
        await save(self.context.groups.file)

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
        changed = [context.groups.file]
        if header.clean_offset:
            context.offsets.remove_group(group)
            changed.append(context.offsets.file)
        await save(*changed)
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


def _figures_fault(group: SubscriptionGroupConfig) -> str | None:
    """Why the parts of a group beside its name are refused, or None."""
    name = group.group_name
    if not 0 <= group.retry_queue_nums <= QUEUES_MAX:
        return f"group {name}: retryQueueNums {group.retry_queue_nums} is not between 0 and {QUEUES_MAX}"
    figures = {
        "retryMaxTimes": group.retry_max_times,
        "groupSysFlag": group.group_sys_flag,
        "consumeTimeoutMinute": group.consume_timeout_minute,
    }
    for key, figure in figures.items():
        if not is_int32(figure):
            return f"group {name}: {key} {figure} is no int32"
    if group.group_retry_policy.get("type", "CUSTOMIZED") not in _RETRY_POLICIES:
        return f"group {name}: the type of groupRetryPolicy is not one of {', '.join(_RETRY_POLICIES)}"
    if not all(isinstance(each, Mapping) for each in group.subscription_data_set or ()):
        return f"group {name}: subscriptionDataSet holds something else than objects"
    return None
