"""What follows from a route: queues to write to and read from, addresses, clusters. Pure functions.

Rules of Java's `MQClientInstance.topicRouteData2TopicPublishInfo`, `topicRouteData2TopicSubscribeInfo` and
`BrokerData.selectBrokerAddr`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from client.errors import NotFound
from remoting.protocol.body import MessageQueue

if TYPE_CHECKING:
    from remoting.protocol.admin_body import ClusterInfo
    from remoting.protocol.route import BrokerData, QueueData, TopicRouteData

__all__ = [
    "MASTER_ID",
    "broker_name_at",
    "brokers_of_cluster",
    "clusters_of_broker",
    "clusters_of_topic",
    "master_addresses",
    "master_of",
    "name_of",
    "publish_queues",
    "replica_addresses",
    "serving_address",
    "serving_addresses",
    "subscribe_queues",
]

MASTER_ID = 0
_WRITE, _READ = 2, 4


def name_of(part: BrokerData | QueueData) -> str:
    """The broker name; peers that leave it out mean none."""
    return part.broker_name or ""


def master_of(broker: BrokerData) -> str | None:
    """The master's address, None while there is no master."""
    return broker.broker_addrs.get(MASTER_ID)


def serving_address(broker: BrokerData) -> str | None:
    """The master's address, else that of the replica with the lowest id (Java picks one at random)."""
    if not broker.broker_addrs:
        return None
    return broker.broker_addrs[min(broker.broker_addrs)]


def serving_addresses(route: TopicRouteData, *, cluster: str | None = None) -> list[tuple[str, str]]:
    """(broker name, address) of each broker of a route that can be read from, sorted by name.

    Args:
        cluster: Only brokers of this one.
    """
    found = []
    for broker in sorted(route.broker_datas, key=name_of):
        address = serving_address(broker)
        if address is not None and cluster in (None, broker.cluster):
            found.append((name_of(broker), address))
    return found


def publish_queues(topic: str, route: TopicRouteData) -> list[MessageQueue]:
    """The queues that a producer may write to: writable ones of brokers that have a master.

    A route with an order configuration (`broker:queues;broker:queues`) names the queues itself.
    """
    with_master = {name_of(broker) for broker in route.broker_datas if master_of(broker) is not None}
    if route.order_topic_conf:
        queues = []
        for part in filter(None, route.order_topic_conf.split(";")):
            name, _, number = part.partition(":")
            queues += [MessageQueue(topic, name, queue_id) for queue_id in range(int(number or 0))]
        return queues
    return [
        MessageQueue(topic, name_of(queue), queue_id)
        for queue in sorted(route.queue_datas, key=name_of)
        if queue.perm & _WRITE and name_of(queue) in with_master
        for queue_id in range(queue.write_queue_nums)
    ]


def subscribe_queues(topic: str, route: TopicRouteData) -> list[MessageQueue]:
    """The queues that consumers read, by broker name and number."""
    return [
        MessageQueue(topic, name_of(queue), queue_id)
        for queue in sorted(route.queue_datas, key=name_of)
        if queue.perm & _READ
        for queue_id in range(queue.read_queue_nums)
    ]


def brokers_of_cluster(info: ClusterInfo, cluster: str) -> list[BrokerData]:
    """The brokers of a cluster by name.

    Raises:
        NotFound: The name server knows no such cluster.
    """
    names = info.cluster_addr_table.get(cluster)
    if not names:
        known = ", ".join(sorted(info.cluster_addr_table)) or "none"
        raise NotFound(f"there is no cluster {cluster} (known: {known})")
    return [info.broker_addr_table[name] for name in sorted(names) if name in info.broker_addr_table]


def master_addresses(info: ClusterInfo, cluster: str) -> list[str]:
    """The masters of a cluster by broker name.

    Raises:
        NotFound: No such cluster, or none of its brokers has a master.
    """
    addresses = [master_of(broker) for broker in brokers_of_cluster(info, cluster)]
    masters = [address for address in addresses if address is not None]
    if not masters:
        raise NotFound(f"no broker of cluster {cluster} has a master")
    return masters


def replica_addresses(info: ClusterInfo, cluster: str) -> list[str]:
    """All brokers of a cluster, by name and id.

    Raises:
        NotFound: The name server knows no such cluster.
    """
    return [
        address
        for broker in brokers_of_cluster(info, cluster)
        for _, address in sorted(broker.broker_addrs.items())
    ]


def broker_name_at(info: ClusterInfo, address: str) -> str:
    """The name of the broker at an address.

    Raises:
        NotFound: None is registered with that address.
    """
    for name, broker in info.broker_addr_table.items():
        if address in broker.broker_addrs.values():
            return name
    raise NotFound(f"no broker is registered at {address}")


def clusters_of_broker(info: ClusterInfo, broker_name: str) -> list[str]:
    """The clusters that a broker name belongs to, sorted."""
    return sorted(cluster for cluster, names in info.cluster_addr_table.items() if broker_name in names)


def clusters_of_topic(info: ClusterInfo, route: TopicRouteData) -> list[str]:
    """The clusters whose brokers serve a route, sorted. (Java looks at the first broker only.)"""
    return sorted(
        {cluster for broker in route.broker_datas for cluster in clusters_of_broker(info, name_of(broker))}
    )
