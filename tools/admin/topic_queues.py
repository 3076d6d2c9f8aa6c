"""How the queues of a topic may be used: `updateTopicPerm`, `updateOrderConf`, `allocateMQ`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from client import routing
from client.admin import ORDER_TOPIC_NAMESPACE
from client.allocation import allocate_averagely
from client.errors import ClientError, NotFound
from remoting.errors import RemotingError
from remoting.json_dialect import dumps
from remoting.protocol.admin_body import TopicConfig
from tools.admin.command import AdminContext, CommandFailed, admin_command, broker_or_cluster, one_target
from tools.admin.output import Mode, Table
from tools.admin.topic import TOPIC_PERMISSION, topic_config_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from remoting.protocol.body import MessageQueue
    from remoting.protocol.route import BrokerData, QueueData, TopicRouteData

__all__ = ["COMMANDS"]

_ORDER_CONF = re.compile(r"[^;:\s]+:\d+(;[^;:\s]+:\d+)*;?")
_ALLOCATION = Table(("#Client", "#Broker Name", "#QID"), "%s  %s  %s", "%s  %s  %s", numeric=frozenset({2}))


@admin_command("updateTopicPerm")
@broker_or_cluster
@click.option("topic", "-t", "--topic", required=True, help="Name of the topic.")
@click.option(
    "permission", "-p", "--perm", type=TOPIC_PERMISSION, required=True, help="2 write, 4 read, 6 both."
)
async def update_topic_perm(
    context: AdminContext, address: str | None, cluster: str | None, topic: str, permission: int
) -> None:
    """With -c, the brokers of the cluster that have the topic; what else a topic is on a broker stays."""
    target = one_target(address, cluster)
    route = await context.admin.route(topic.strip())
    if not target.is_cluster:
        changed = await _permission_at(context, route, topic.strip(), target.name, permission)
    else:
        changed = await _permission_in(context, route, topic.strip(), target.name, permission)
    context.out.value({"topic": topic.strip(), "perm": permission, "addresses": changed})


def _with_permission(route: TopicRouteData, topic: str, queues: QueueData, permission: int) -> TopicConfig:
    """The topic as the broker of `queues` has it, but for the permission. (Java takes the first broker's.)"""
    return TopicConfig(
        topic_name=topic,
        read_queue_nums=queues.read_queue_nums,
        write_queue_nums=queues.write_queue_nums,
        perm=permission,
        topic_sys_flag=queues.topic_sys_flag,
        order=bool(route.order_topic_conf),
    )


async def _permission_at(
    context: AdminContext, route: TopicRouteData, topic: str, address: str, permission: int
) -> list[str]:
    broker = next((each for each in route.broker_datas if routing.master_of(each) == address), None)
    queues = None if broker is None else _queues_of(route, broker)
    if queues is None:
        context.out.line("updateTopicPerm error broker not exit or broker is not master!.")
        raise CommandFailed(f"{address} is not the master of a broker that has topic {topic}")
    if queues.perm == permission:
        context.out.line("new perm equals to the old one!")
        return []
    config = _with_permission(route, topic, queues, permission)
    await context.admin.put_topic_at(address, config)
    context.out.line(f"update topic perm from {queues.perm} to {permission} in {address} success.")
    context.out.line(f"{topic_config_text(config)}.")
    return [address]


async def _permission_in(
    context: AdminContext, route: TopicRouteData, topic: str, cluster: str, permission: int
) -> list[str]:
    info = await context.admin.cluster_info()
    names = {routing.name_of(broker) for broker in routing.brokers_of_cluster(info, cluster)}
    found = [
        (address, queues)
        for broker in sorted(route.broker_datas, key=routing.name_of)
        if routing.name_of(broker) in names
        and (address := routing.master_of(broker)) is not None
        and (queues := _queues_of(route, broker)) is not None
    ]
    if not found:
        raise NotFound(f"no broker of cluster {cluster} that has topic {topic} has a master")
    changed = []
    for address, queues in context.walk(found, "brokers"):
        try:
            await context.admin.put_topic_at(address, _with_permission(route, topic, queues, permission))
        except (ClientError, RemotingError) as fault:
            context.failed(f"updateTopicPerm: {fault}")
            continue
        changed.append(address)
        context.out.line(f"update topic perm from {queues.perm} to {permission} in {address} success.")
    return changed


def _queues_of(route: TopicRouteData, broker: BrokerData) -> QueueData | None:
    name = routing.name_of(broker)
    return next((each for each in route.queue_datas if routing.name_of(each) == name), None)


@admin_command("updateOrderConf")
@click.option("topic", "-t", "--topic", required=True, help="Name of the topic.")
@click.option("order_conf", "-v", "--orderConf", help="With put: brokerName1:queues;brokerName2:queues.")
@click.option(
    "method",
    "-m",
    "--method",
    type=click.Choice(["put", "get", "delete"]),
    required=True,
    help="What to do with it.",
)
async def update_order_conf(context: AdminContext, topic: str, order_conf: str | None, method: str) -> None:
    """The queues that producers of an ordered topic write to, whatever brokers are there at the moment."""
    topic, order_conf = topic.strip(), (order_conf or "").strip()
    if method == "get":
        found = await context.admin.get_kv(ORDER_TOPIC_NAMESPACE, topic)
        if found is None:
            raise NotFound(f"topic {topic} has no order configuration")
        order_conf = found
        context.out.unended_line(f"get orderConf success. topic=[{topic}], orderConf=[{order_conf}] ")
    elif method == "put":
        if not order_conf:
            raise click.UsageError("please set orderConf with option -v.")
        if _ORDER_CONF.fullmatch(order_conf) is None:
            raise click.UsageError(f"{order_conf!r} is not brokerName:queues;brokerName:queues.")
        await context.admin.put_kv(ORDER_TOPIC_NAMESPACE, topic, order_conf)
        context.out.unended_line(f"update orderConf success. topic=[{topic}], orderConf=[{order_conf}]")
    else:
        await context.admin.delete_kv(ORDER_TOPIC_NAMESPACE, topic)
        order_conf = ""
        context.out.unended_line(f"delete orderConf success. topic=[{topic}]")
    context.out.value({"topic": topic, "method": method, "orderConf": order_conf or None})


@admin_command("allocateMQ")
@click.option("topic", "-t", "--topic", required=True, help="Name of the topic.")
@click.option(
    "clients", "-i", "--ipList", required=True, help="Addresses or ids of a group's consumers, with commas."
)
async def allocate_mq(context: AdminContext, topic: str, clients: str) -> None:
    """By the rule that consumers of a group use unless told otherwise; nobody is asked or changed.

    The queues are in the order in which consumers share them out.
    """
    topic = topic.strip()
    names = [name for name in (part.strip() for part in clients.split(",")) if name]
    if not names:
        raise click.UsageError("-i names no consumer.")
    queues = routing.subscribe_queues(topic, await context.admin.route(topic))
    if not queues:
        raise NotFound(f"topic {topic} has no queue that can be read")
    shares = {name: allocate_averagely(name, queues, names) for name in names}
    result = {"result": {name: [_plain(queue) for queue in share] for name, share in shares.items()}}
    context.out.value(result)
    if context.out.mode is Mode.PLAIN:
        context.out.line(str(dumps(result), "utf-8"))
        return
    rows: list[tuple[Any, ...]] = []
    for name, share in shares.items():
        rows += [(name, queue.broker_name, queue.queue_id) for queue in share] or [(name, "none", "")]
    context.out.table(_ALLOCATION, rows)


def _plain(queue: MessageQueue) -> dict[str, Any]:
    return {"brokerName": queue.broker_name, "queueId": queue.queue_id, "topic": queue.topic}


COMMANDS: Mapping[str, click.Command] = {
    "updateTopicPerm": update_topic_perm,
    "updateOrderConf": update_order_conf,
    "allocateMQ": allocate_mq,
}
