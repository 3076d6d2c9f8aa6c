"""`topicList`, `topicRoute`, `topicStatus`, `topicClusterList`, `updateTopic`, `deleteTopic`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from client import routing
from client.admin import ORDER_TOPIC_NAMESPACE
from client.errors import ClientError
from remoting.errors import RemotingError
from remoting.json_dialect import dumps_pretty
from remoting.protocol.admin_body import TopicConfig
from remoting.protocol.message import DLQ_GROUP_TOPIC_PREFIX, RETRY_GROUP_TOPIC_PREFIX
from tools.admin.command import (
    AdminContext,
    CommandFailed,
    admin_command,
    broker_or_cluster,
    java_boolean,
    targets,
)
from tools.admin.java_text import map_text, milliseconds_text, permission_text, to_string
from tools.admin.output import Mode, Table

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["COMMANDS", "TOPIC_PERMISSION", "delete_topic_everywhere", "parse_attributes"]

TOPIC_PERMISSION = click.IntRange(0, 7)
"""4 read, 2 write, 1 passed on to topics made from it; Java's tool refuses the rest as well."""

_LIST = Table(
    ("#Cluster Name", "#Topic", "#Consumer Group"),
    "%-20s  %-48s  %-48s",
    "%-20.20s  %-64.64s  %-64.64s",
)
_ROUTE = Table(
    ("#ClusterName", "#BrokerName", "#BrokerAddrs", "#ReadQueue", "#WriteQueue", "#Perm"),
    "%-45s %-32s %-50s %-10s %-11s %-5s",
    "%-45s %-32s %-50s %-10s %-11s %-5s",
    numeric=frozenset({3, 4, 5}),
)
_ROUTE_RULE = "-" * 158
_STATUS = Table(
    ("#Broker Name", "#QID", "#Min Offset", "#Max Offset", "#Last Updated"),
    "%-32s  %-4s  %-20s  %-20s    %s",
    "%-32.32s  %-4d  %-20d  %-20d    %s",
    numeric=frozenset({1, 2, 3}),
)
_UNIT_FLAG, _UNIT_SUB_FLAG = 1, 2


@admin_command("topicList")
@click.option(
    "with_clusters", "-c", "--clusterModel", is_flag=True, help="With clusters and consumer groups."
)
async def topic_list(context: AdminContext, with_clusters: bool) -> None:
    topics = await context.admin.topic_names()
    if not with_clusters:
        for topic in topics:
            context.out.line(topic)
        context.out.value(topics)
        return
    info = await context.admin.cluster_info()
    rows = []
    plain = [
        topic for topic in topics if not topic.startswith((RETRY_GROUP_TOPIC_PREFIX, DLQ_GROUP_TOPIC_PREFIX))
    ]
    for topic in context.walk(plain, "asking about topics"):
        clusters: list[str] = []
        groups: list[str] = []
        try:
            clusters = routing.clusters_of_topic(info, await context.admin.route(topic))
            groups = await context.admin.groups_of_topic(topic)
        except (ClientError, RemotingError) as fault:
            context.failed(f"topicList: {fault}")
        rows += [(cluster, topic, group) for cluster in clusters or [""] for group in groups or [""]]
    context.out.table(_LIST, rows)
    context.out.value(
        [
            {"cluster": cluster, "topic": topic, "consumerGroup": group or None}
            for cluster, topic, group in rows
        ]
    )


@admin_command("topicRoute")
@click.option("topic", "-t", "--topic", required=True, help="Name of the topic.")
@click.option("as_list", "-l", "--list", is_flag=True, help="Show a table instead of JSON.")
async def topic_route(context: AdminContext, topic: str, as_list: bool) -> None:
    route = await context.admin.route(topic.strip())
    context.out.value(_standard(route.to_json_object()))
    if not as_list and context.out.mode is Mode.PLAIN:
        context.out.line(str(dumps_pretty(route.to_json_object()), "utf-8"))
        return
    queues = {queue.broker_name: queue for queue in route.queue_datas}
    rows: list[tuple[Any, ...]] = []
    for broker in sorted(route.broker_datas, key=routing.name_of):
        queue = queues.get(broker.broker_name)
        rows.append(
            (
                broker.cluster,
                broker.broker_name,
                map_text(dict(sorted(broker.broker_addrs.items()))),
                queue.read_queue_nums if queue else 0,
                queue.write_queue_nums if queue else 0,
                queue.perm if queue else 0,
            )
        )
    context.out.table(_ROUTE, rows)
    if context.out.mode is Mode.PLAIN:
        context.out.line(_ROUTE_RULE)
        reads, writes = sum(row[3] for row in rows), sum(row[4] for row in rows)
        context.out.line(_ROUTE.row_format % ("Total:", len(queues), "", reads, writes, ""))


def _standard(value: Any) -> Any:
    """JSON objects may only have strings as keys."""
    if isinstance(value, dict):
        return {str(key): _standard(each) for key, each in value.items() if each is not None}
    if isinstance(value, list | tuple):
        return [_standard(each) for each in value]
    return value


@admin_command("topicStatus")
@click.option("topic", "-t", "--topic", required=True, help="Name of the topic.")
@click.option(
    "cluster", "-c", "--cluster", help="Cluster, or parent topic, whose route leads to the brokers."
)
async def topic_status(context: AdminContext, topic: str, cluster: str | None) -> None:
    route_topic = cluster.strip() if cluster else None
    with context.progress("asking brokers") as tell:
        stats = await context.admin.topic_stats(topic.strip(), route_topic=route_topic, tell=tell)
    queues = sorted(stats.offset_table, key=lambda each: (each.topic, each.broker_name, each.queue_id))
    rows = []
    values = []
    for queue in queues:
        offsets = stats.offset_table[queue]
        updated = offsets.last_update_timestamp
        rows.append(
            (
                queue.broker_name,
                queue.queue_id,
                offsets.min_offset,
                offsets.max_offset,
                milliseconds_text(updated) if updated > 0 else "",
            )
        )
        values.append(
            {
                "brokerName": queue.broker_name,
                "queueId": queue.queue_id,
                "minOffset": offsets.min_offset,
                "maxOffset": offsets.max_offset,
                "lastUpdateTimestamp": updated,
            }
        )
    context.out.table(_STATUS, rows)
    context.out.line()
    context.out.line(f"Topic Put TPS: {float(stats.topic_put_tps)}")
    context.out.value({"topic": topic.strip(), "queues": values, "topicPutTps": stats.topic_put_tps})


@admin_command("topicClusterList")
@click.option("topic", "-t", "--topic", required=True, help="Name of the topic.")
async def topic_cluster_list(context: AdminContext, topic: str) -> None:
    clusters = await context.admin.clusters_of_topic(topic.strip())
    for cluster in clusters:
        context.out.line(cluster)
    context.out.value(clusters)


def parse_attributes(text: str | None) -> dict[str, str]:
    """`+a=b,+c=d,-e` as {"+a": "b", "+c": "d", "-e": ""}.

    Raises:
        click.UsageError: A part is neither, or a name comes twice.
    """
    attributes: dict[str, str] = {}
    for part in filter(None, (text or "").strip().split(",")):
        name, equals, value = part.partition("=")
        if len(name) < 2 or name[0] != ("+" if equals else "-"):
            raise click.UsageError(f"The attribute {part!r} is neither +name=value nor -name.")
        if name in attributes:
            raise click.UsageError(f"The attribute {name[1:]} comes twice.")
        attributes[name] = value
    return attributes


def topic_config_text(config: TopicConfig) -> str:
    fields = {
        "topicName": config.topic_name,
        "readQueueNums": config.read_queue_nums,
        "writeQueueNums": config.write_queue_nums,
        "perm": permission_text(config.perm),
        "topicFilterType": config.topic_filter_type,
        "topicSysFlag": config.topic_sys_flag,
        "order": config.order,
        "attributes": config.attributes,
    }
    return to_string("TopicConfig ", fields, brackets="[]")


@admin_command("updateTopic")
@broker_or_cluster
@click.option("topic", "-t", "--topic", required=True, help="Name of the topic.")
@click.option(
    "read_queues",
    "-r",
    "--readQueueNums",
    type=click.IntRange(1),
    default=8,
    show_default=True,
    help="Queues to read.",
)
@click.option(
    "write_queues",
    "-w",
    "--writeQueueNums",
    type=click.IntRange(1),
    default=8,
    show_default=True,
    help="Queues to write.",
)
@click.option(
    "permission",
    "-p",
    "--perm",
    type=TOPIC_PERMISSION,
    default=6,
    show_default=True,
    help="2 write, 4 read, 6 both.",
)
@click.option(
    "order",
    "-o",
    "--order",
    type=java_boolean,
    default=False,
    help="Keep the queues in an order configuration.",
)
@click.option("unit", "-u", "--unit", type=java_boolean, default=False, help="Unit topic.")
@click.option(
    "unit_subscription",
    "-s",
    "--hasUnitSub",
    type=java_boolean,
    default=False,
    help="Has unit subscriptions.",
)
@click.option("attributes", "-a", "--attributes", help="Attributes to set and to remove: +name=value,-name.")
async def update_topic(
    context: AdminContext,
    address: str | None,
    cluster: str | None,
    topic: str,
    read_queues: int,
    write_queues: int,
    permission: int,
    order: bool,
    unit: bool,
    unit_subscription: bool,
    attributes: str | None,
) -> None:
    config = TopicConfig(
        topic_name=topic.strip(),
        read_queue_nums=read_queues,
        write_queue_nums=write_queues,
        perm=permission,
        topic_sys_flag=(_UNIT_FLAG if unit else 0) | (_UNIT_SUB_FLAG if unit_subscription else 0),
        order=order,
        attributes=parse_attributes(attributes),
    )
    done = []
    for each in context.walk(await targets(context, address, cluster), "brokers"):
        try:
            await context.admin.put_topic_at(each, config)
        except (ClientError, RemotingError) as fault:
            context.failed(f"updateTopic: {fault}")
            continue
        done.append(each)
        if address is not None and order:
            name = routing.broker_name_at(await context.admin.cluster_info(), each)
            await context.admin.put_order_conf(config.topic_name, name, write_queues)
            context.out.line(f"set broker orderConf. isOrder=true, orderConf=[{name}:{write_queues}]")
        context.out.line(f"create topic to {each} success.")
    if cluster is not None and order and done:
        await _order_cluster(context, cluster.strip(), config)
    if done:
        context.out.line(topic_config_text(config))
    context.out.value({"addresses": done, "topic": _standard(config.to_json_object())})


async def _order_cluster(context: AdminContext, cluster: str, config: TopicConfig) -> None:
    brokers = routing.brokers_of_cluster(await context.admin.cluster_info(), cluster)
    order_conf = ";".join(f"{broker.broker_name}:{config.write_queue_nums}" for broker in brokers)
    await context.admin.put_kv(ORDER_TOPIC_NAMESPACE, config.topic_name, order_conf)
    context.out.line(f"set cluster orderConf. isOrder=true, orderConf=[{order_conf}]")


async def delete_topic_everywhere(context: AdminContext, topic: str, cluster: str) -> list[str]:
    """Deletes a topic from the masters of a cluster, then from the name servers.

    Returns:
        The brokers it was deleted from.

    Raises:
        CommandFailed: A broker still has it; the name servers were not asked then.
    """
    deleted = []
    faults = []
    for address in context.walk(await context.admin.master_addresses(cluster), "brokers"):
        try:
            await context.admin.delete_topic_at(address, topic)
        except (ClientError, RemotingError) as fault:
            faults.append(str(fault))
        else:
            deleted.append(address)
    if faults:
        raise CommandFailed(f"topic {topic} was not deleted everywhere: {'; '.join(faults)}")
    await context.admin.delete_topic_in_name_servers(topic, cluster)
    return deleted


@admin_command("deleteTopic")
@click.option("topic", "-t", "--topic", required=True, help="Name of the topic.")
@click.option("cluster", "-c", "--clusterName", required=True, help="Cluster to delete it from.")
async def delete_topic(context: AdminContext, topic: str, cluster: str) -> None:
    deleted = await delete_topic_everywhere(context, topic.strip(), cluster.strip())
    context.out.line(f"delete topic [{topic.strip()}] from cluster [{cluster.strip()}] success.")
    context.out.line(f"delete topic [{topic.strip()}] from NameServer success.")
    context.out.value({"topic": topic.strip(), "cluster": cluster.strip(), "addresses": deleted})


COMMANDS: Mapping[str, click.Command] = {
    "topicList": topic_list,
    "topicRoute": topic_route,
    "topicStatus": topic_status,
    "topicClusterList": topic_cluster_list,
    "updateTopic": update_topic,
    "deleteTopic": delete_topic,
}
