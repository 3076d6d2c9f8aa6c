"""`updateSubGroup`, `deleteSubGroup`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from client.errors import ClientError
from remoting.errors import RemotingError
from remoting.protocol.admin_body import SubscriptionGroupConfig
from remoting.protocol.message import dlq_topic, retry_topic
from tools.admin.command import (
    AdminContext,
    CommandFailed,
    admin_command,
    broker_or_cluster,
    java_boolean,
    targets,
)
from tools.admin.java_text import to_string
from tools.admin.output import Mode
from tools.admin.topic import delete_topic_everywhere, parse_attributes

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["COMMANDS"]

_RETRY_POLICY_PARTS = {
    "EXPONENTIAL": ("exponentialRetryPolicy", "ExponentialRetryPolicy", ("initial", "max", "multiplier")),
    "CUSTOMIZED": ("customizedRetryPolicy", "CustomizedRetryPolicy", ("next",)),
}


def _parse_retry_policy(text: str | None) -> dict[str, Any] | None:
    """The JSON of `-p`.

    Raises:
        click.UsageError: Not JSON, or not one of the two policies.
    """
    if text is None:
        return None
    try:
        policy = json.loads(text)
    except ValueError as fault:
        raise click.UsageError(f"The retry policy is not JSON: {fault}.") from fault
    if not isinstance(policy, dict) or policy.get("type") not in _RETRY_POLICY_PARTS:
        raise click.UsageError(f"The retry policy needs a type, one of {', '.join(_RETRY_POLICY_PARTS)}.")
    return policy


def _retry_policy_text(policy: Mapping[str, Any]) -> str:
    def part(kind: str) -> str:
        key, name, fields = _RETRY_POLICY_PARTS[kind]
        value = policy.get(key)
        return "null" if value is None else to_string(name, {each: value.get(each) for each in fields})

    return (
        f"GroupRetryPolicy{{type={policy.get('type', 'CUSTOMIZED')}, "
        f"exponentialRetryPolicy={part('EXPONENTIAL')}, customizedRetryPolicy={part('CUSTOMIZED')}}}"
    )


def group_config_text(value: Mapping[str, Any]) -> str:
    """A group as Java prints it, from its JSON object."""
    fields = {
        name: value.get(name)
        for name in (
            "groupName",
            "consumeEnable",
            "consumeFromMinEnable",
            "consumeBroadcastEnable",
            "consumeMessageOrderly",
            "retryQueueNums",
            "retryMaxTimes",
            "groupRetryPolicy",
            "brokerId",
            "whichBrokerWhenConsumeSlowly",
            "notifyConsumerIdsChangedEnable",
            "groupSysFlag",
            "consumeTimeoutMinute",
            "subscriptionDataSet",
            "attributes",
        )
    }
    fields["groupRetryPolicy"] = _retry_policy_text(value.get("groupRetryPolicy") or {})
    fields["attributes"] = fields["attributes"] or {}
    return to_string("SubscriptionGroupConfig", fields)


@admin_command("updateSubGroup")
@broker_or_cluster
@click.option("group", "-g", "--groupName", required=True, help="Name of the consumer group.")
@click.option(
    "consume", "-s", "--consumeEnable", type=java_boolean, default=True, help="May consume. [default: true]"
)
@click.option(
    "from_min",
    "-m",
    "--consumeFromMinEnable",
    type=java_boolean,
    default=False,
    help="New consumers begin at the oldest message. [default: false]",
)
@click.option(
    "broadcast",
    "-d",
    "--consumeBroadcastEnable",
    type=java_boolean,
    default=False,
    help="May broadcast. [default: false]",
)
@click.option(
    "orderly",
    "-o",
    "--consumeMessageOrderly",
    type=java_boolean,
    default=False,
    help="Consumes in order. [default: false]",
)
@click.option(
    "retry_queues",
    "-q",
    "--retryQueueNums",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    help="Queues of the retry topic.",
)
@click.option(
    "retries",
    "-r",
    "--retryMaxTimes",
    type=int,
    default=16,
    show_default=True,
    help="Retries before the dead-letter queue.",
)
@click.option(
    "policy",
    "-p",
    "--groupRetryPolicy",
    metavar="JSON",
    help="Retry policy, of type EXPONENTIAL or CUSTOMIZED.",
)
@click.option(
    "broker_id",
    "-i",
    "--brokerId",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Replica to consume from.",
)
@click.option(
    "slow_broker_id",
    "-w",
    "--whichBrokerWhenConsumeSlowly",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    help="Replica for those far behind.",
)
@click.option(
    "notify",
    "-a",
    "--notifyConsumerIdsChanged",
    type=java_boolean,
    default=True,
    help="Tell members of changes at once. [default: true]",
)
@click.option("attributes", "--attributes", help="Attributes to set and to remove: +name=value,-name.")
async def update_sub_group(
    context: AdminContext,
    address: str | None,
    cluster: str | None,
    group: str,
    consume: bool,
    from_min: bool,
    broadcast: bool,
    orderly: bool,
    retry_queues: int,
    retries: int,
    policy: str | None,
    broker_id: int,
    slow_broker_id: int,
    notify: bool,
    attributes: str | None,
) -> None:
    config = SubscriptionGroupConfig(
        group_name=group.strip(),
        consume_enable=consume,
        consume_from_min_enable=from_min,
        consume_broadcast_enable=broadcast,
        consume_message_orderly=orderly,
        retry_queue_nums=retry_queues,
        retry_max_times=retries,
        group_retry_policy=_parse_retry_policy(policy) or {"type": "CUSTOMIZED"},
        broker_id=broker_id,
        which_broker_when_consume_slowly=slow_broker_id,
        notify_consumer_ids_changed_enable=notify,
        attributes=parse_attributes(attributes),
    )
    value = config.to_json_object()
    done = []
    for each in await targets(context, address, cluster):
        try:
            await context.admin.put_group_at(each, config)
        except (ClientError, RemotingError) as fault:
            context.failed(f"updateSubGroup: {fault}")
            continue
        done.append(each)
        context.out.line(f"create subscription group to {each} success.")
    if done:
        context.out.line(group_config_text(value))
    context.out.value({"addresses": done, "group": value})


@admin_command("deleteSubGroup")
@broker_or_cluster
@click.option("group", "-g", "--groupName", required=True, help="Name of the consumer group.")
@click.option(
    "remove_offset",
    "-r",
    "--removeOffset",
    type=java_boolean,
    default=False,
    help="Its offsets as well. [default: false]",
)
async def delete_sub_group(
    context: AdminContext, address: str | None, cluster: str | None, group: str, remove_offset: bool
) -> None:
    """With -c its retry and dead-letter topics are deleted too."""
    group = group.strip()
    done = []
    for each in await targets(context, address, cluster):
        try:
            await context.admin.delete_group_at(each, group, clean_offset=remove_offset)
        except (ClientError, RemotingError) as fault:
            context.failed(f"deleteSubGroup: {fault}")
            continue
        done.append(each)
        within = f" in cluster [{cluster.strip()}]" if cluster is not None else ""
        context.out.line(f"delete subscription group [{group}] from broker [{each}]{within} success.")
    if cluster is not None:
        for topic in (retry_topic(group), dlq_topic(group)):
            try:
                await delete_topic_everywhere(context, topic, cluster.strip())
            except (ClientError, CommandFailed, RemotingError) as fault:
                context.failed(f"deleteSubGroup: {fault}")
                continue
            if context.out.mode is Mode.RICH:  # Java does not mention them
                context.out.line(f"delete topic [{topic}] from cluster [{cluster.strip()}] success.")
    context.out.value({"group": group, "addresses": done})


COMMANDS = {"updateSubGroup": update_sub_group, "deleteSubGroup": delete_sub_group}
