"""`AdminClient`: what an administrator asks of name servers and brokers, as typed methods.

    async with AdminClient(["127.0.0.1:9876"]) as admin:
        info = await admin.cluster_info()
        for address in await admin.master_addresses("DefaultCluster"):
            await admin.put_topic(address, TopicConfig(topic_name="Orders", ...))

Methods whose names end in `_at` talk to one address; the others find the brokers by themselves. Each raises
`AnswerError` when a peer refuses, `NotFound` when there is nobody to ask, and `RemotingError` when nobody
answers.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Self

from client import routing
from client.containers import Containers
from client.errors import AnswerError, NotFound
from client.message_query import MessageQueries, route_topic_of
from client.offset_reset import OffsetReset
from client.producer import Producer
from client.pull import TOOLS_CONSUMER_GROUP, Puller
from client.remote import DEFAULT_TIMEOUT_MS, Remote
from client.routes import Routes
from client.walk import walk
from remoting.client import RemotingClient
from remoting.protocol import headers
from remoting.protocol.admin_body import (
    ConsumeMessageDirectlyResult,
    ConsumerConnection,
    ConsumerRunningInfo,
    ConsumeStats,
    GroupList,
    KVTable,
    ProducerConnection,
    TopicList,
    TopicStatsTable,
)
from remoting.protocol.message import retry_topic
from remoting.protocol.request_code import RequestCode
from remoting.protocol.response_code import ResponseCode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from client.walk import Tell
    from remoting.protocol.admin_body import ClusterInfo, Connection, SubscriptionGroupConfig, TopicConfig
    from remoting.protocol.route import TopicRouteData

__all__ = ["ORDER_TOPIC_NAMESPACE", "AdminClient", "parse_properties"]

ORDER_TOPIC_NAMESPACE = "ORDER_TOPIC_CONFIG"
_CONSUME_STATS_FACTOR = 3
_FORWARDED_TIMEOUT_MS = 15_000
_CLEANING_TIMEOUT_MS = 60_000


def parse_properties(text: str) -> dict[str, str]:
    """The `key=value` lines of a configuration answer, in their order.

    Brokers write them plainly (Java's `MixAll.properties2String`): no escapes, one per line.
    """
    lines = (line.strip() for line in text.splitlines())
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {key.strip(): value.strip() for key, _, value in pairs}


def _properties_body(changes: Mapping[str, str]) -> bytes:
    return "".join(f"{key}={value}\n" for key, value in changes.items()).encode()


class AdminClient:
    """An async context manager that owns its connections.

    Args:
        name_servers: `host:port` of each; may be empty if only `_at` methods are used.
        timeout_ms: For one request.
        client: Makes the connections; entered and left with this object.

    Attributes:
        remote: Asks single peers.
        routes: Routes and cluster tables.
        messages: Finds messages.
        offsets: Moves consumer groups.
        containers: Adds brokers to containers, removes them, shows them.
    """

    def __init__(
        self,
        name_servers: Sequence[str],
        *,
        timeout_ms: int = DEFAULT_TIMEOUT_MS,
        client: RemotingClient | None = None,
    ) -> None:
        self._client = client or RemotingClient()
        self._stack = AsyncExitStack()
        self.remote = Remote(self._client, name_servers, timeout_ms=timeout_ms)
        self.routes = Routes(self.remote)
        self.messages = MessageQueries(self.remote, self.routes)
        self.offsets = OffsetReset(self.remote, self.routes, self)
        self.containers = Containers(self.remote)

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._client)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return await self._stack.__aexit__(kind, fault, traceback)

    def producer(self, group: str) -> Producer:
        """A producer that shares this client's connections."""
        return Producer(self.remote, self.routes, group)

    def puller(self, group: str = TOOLS_CONSUMER_GROUP) -> Puller:
        """A reader that shares this client's connections."""
        return Puller(self.remote, self.routes, group)

    # --- clusters and routes -----------------------------------------------------------------------------

    async def cluster_info(self) -> ClusterInfo:
        """Brokers by cluster and name."""
        return await self.routes.cluster_info()

    async def master_addresses(self, cluster: str) -> list[str]:
        """The masters of a cluster, by broker name."""
        return routing.master_addresses(await self.cluster_info(), cluster)

    async def route(self, topic: str) -> TopicRouteData:
        """Brokers and queues of a topic."""
        return await self.routes.route(topic)

    async def clusters_of_topic(self, topic: str) -> list[str]:
        """Names of the clusters that serve a topic."""
        return routing.clusters_of_topic(await self.cluster_info(), await self.route(topic))

    # --- topics ------------------------------------------------------------------------------------------

    async def topic_names(self) -> list[str]:
        """Every topic that the name server knows, in its order."""
        answer = await self.remote.ask_name_server(RequestCode.GET_ALL_TOPIC_LIST_FROM_NAMESERVER)
        return list(TopicList.decode(answer.body).topic_list)

    async def put_topic_at(self, address: str, config: TopicConfig) -> None:
        """Creates a topic on a master, or changes it."""
        header = headers.CreateTopicRequestHeader(
            topic=config.topic_name,
            default_topic="TBW102",
            read_queue_nums=config.read_queue_nums,
            write_queue_nums=config.write_queue_nums,
            perm=config.perm,
            topic_filter_type=config.topic_filter_type,
            topic_sys_flag=config.topic_sys_flag,
            order=config.order,
            attributes=",".join(
                f"{key}={value}" if value else key for key, value in config.attributes.items()
            ),
        )
        await self.remote.ask(address, RequestCode.UPDATE_AND_CREATE_TOPIC, header)
        self.routes.forget(config.topic_name)

    async def delete_topic_at(self, address: str, topic: str) -> None:
        """Deletes a topic from one broker."""
        header = headers.DeleteTopicRequestHeader(topic=topic)
        await self.remote.ask(address, RequestCode.DELETE_TOPIC_IN_BROKER, header)

    async def delete_topic_in_name_servers(self, topic: str, cluster: str | None = None) -> None:
        """Deletes a topic's route from every name server."""
        header = headers.DeleteTopicFromNamesrvRequestHeader(topic=topic, cluster_name=cluster)
        await self.remote.ask_each_name_server(RequestCode.DELETE_TOPIC_IN_NAMESRV, header)
        self.routes.forget(topic)

    async def topic_stats_at(self, address: str, topic: str) -> TopicStatsTable:
        """Offsets of the queues that one broker has of a topic."""
        header = headers.GetTopicStatsInfoRequestHeader(topic=topic)
        answer = await self.remote.ask(address, RequestCode.GET_TOPIC_STATS_INFO, header)
        return TopicStatsTable.decode(answer.body)

    async def topic_stats(
        self, topic: str, *, route_topic: str | None = None, tell: Tell | None = None
    ) -> TopicStatsTable:
        """Offsets of all queues of a topic, and the rate at which they grow.

        Args:
            route_topic: The topic (a cluster's name is one) whose route leads to the brokers.
            tell: Hears how many brokers are done.

        Raises:
            NotFound: The topic has no queues.
        """
        offsets = {}
        put_tps = 0.0
        brokers = routing.serving_addresses(await self.route(route_topic or topic))
        for _, address in walk(brokers, tell):
            stats = await self.topic_stats_at(address, topic)
            offsets.update(stats.offset_table)
            put_tps += stats.topic_put_tps
        if not offsets:
            raise NotFound(f"topic {topic} has no queues")
        return TopicStatsTable(offset_table=offsets, topic_put_tps=put_tps)

    async def groups_of_topic(self, topic: str) -> list[str]:
        """Consumer groups that read a topic, or have offsets of it, on any of its brokers; sorted."""
        header = headers.QueryTopicConsumeByWhoRequestHeader(topic=topic)
        groups: set[str] = set()
        for _, address in routing.serving_addresses(await self.route(topic)):
            answer = await self.remote.ask(address, RequestCode.QUERY_TOPIC_CONSUME_BY_WHO, header)
            groups.update(GroupList.decode(answer.body).group_list)
        return sorted(groups)

    # --- consumer groups ---------------------------------------------------------------------------------

    async def put_group_at(self, address: str, config: SubscriptionGroupConfig) -> None:
        """Creates a consumer group on a broker, or changes it."""
        await self.remote.ask(address, RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, body=config.encode())

    async def delete_group_at(self, address: str, group: str, *, clean_offset: bool = False) -> None:
        """Deletes a consumer group from a broker.

        Args:
            clean_offset: Its offsets as well.
        """
        header = headers.DeleteSubscriptionGroupRequestHeader(group_name=group, clean_offset=clean_offset)
        await self.remote.ask(address, RequestCode.DELETE_SUBSCRIPTIONGROUP, header)

    async def consume_stats_at(self, address: str, group: str, topic: str | None = None) -> ConsumeStats:
        """Offsets of a group on one broker; all of its topics, or one."""
        header = headers.GetConsumeStatsRequestHeader(consumer_group=group, topic=topic)
        answer = await self.remote.ask(
            address,
            RequestCode.GET_CONSUME_STATS,
            header,
            timeout_ms=self.remote.timeout_ms * _CONSUME_STATS_FACTOR,
        )
        return ConsumeStats.decode(answer.body)

    async def consume_stats(
        self,
        group: str,
        topic: str | None = None,
        *,
        cluster: str | None = None,
        tell: Tell | None = None,
    ) -> ConsumeStats:
        """Offsets of a group on all brokers that have its retry topic, or else the topic itself.

        Args:
            tell: Hears how many brokers are done.

        Raises:
            NotFound: No broker has one of them.
            AnswerError: With 206, no offsets and nobody online; with 213, a broadcasting group, whose
                offsets only its consumers know.
        """
        offsets = {}
        tps = 0.0
        address = ""
        brokers = routing.serving_addresses(await self._group_route(group, topic, cluster))
        for _, address in walk(brokers, tell):
            stats = await self.consume_stats_at(address, group, topic)
            offsets.update(stats.offset_table)
            tps += stats.consume_tps
        if not offsets:
            await self._explain_no_offsets(group, address)
        return ConsumeStats(offset_table=offsets, consume_tps=tps)

    async def _group_route(self, group: str, topic: str | None, cluster: str | None) -> TopicRouteData:
        candidates = [retry_topic(group)]
        if topic is not None:
            candidates += [topic, f"{retry_topic(group)}_{topic}"]
            if (parent := route_topic_of(topic, cluster)) != topic:
                candidates.append(parent)
        for candidate in candidates:
            try:
                return await self.route(candidate)
            except NotFound:
                continue
        raise NotFound(f"no name server knows consumer group {group} (there is no topic {candidates[0]})")

    async def _explain_no_offsets(self, group: str, address: str) -> None:
        try:
            connection = await self.consumer_connection(group)
        except (AnswerError, NotFound):
            raise AnswerError(
                ResponseCode.CONSUMER_NOT_ONLINE,
                f"consumer group {group} has no offsets and no consumer online",
                address,
            ) from None
        if connection.message_model == "BROADCASTING":
            raise AnswerError(
                ResponseCode.BROADCAST_CONSUMPTION,
                f"consumer group {group} broadcasts: its consumers keep their offsets themselves",
                address,
            )

    async def consumer_connection(self, group: str, address: str | None = None) -> ConsumerConnection:
        """Who consumes for a group, and what.

        Args:
            address: The broker to ask; by default the first that has the group's retry topic and answers.

        Raises:
            AnswerError: 206 when nobody is online.
        """
        if address is None:
            serving = routing.serving_addresses(await self._group_route(group, None, None))
            if not serving:
                raise NotFound(f"no broker serves consumer group {group}")
            address = serving[0][1]
        header = headers.GetConsumerConnectionListRequestHeader(consumer_group=group)
        answer = await self.remote.ask(address, RequestCode.GET_CONSUMER_CONNECTION_LIST, header)
        connection = ConsumerConnection.decode(answer.body)
        if not connection.connection_set:
            raise AnswerError(
                ResponseCode.CONSUMER_NOT_ONLINE, f"consumer group {group} has nobody online", address
            )
        return connection

    async def producer_connection(self, group: str, topic: str) -> ProducerConnection:
        """Who produces for a group to a topic, on all brokers of the topic.

        Raises:
            AnswerError: No broker knows the group.
        """
        header = headers.GetProducerConnectionListRequestHeader(producer_group=group)
        connections: dict[str | None, Connection] = {}
        refusal: AnswerError | None = None
        for _, address in routing.serving_addresses(await self.route(topic)):
            try:
                answer = await self.remote.ask(address, RequestCode.GET_PRODUCER_CONNECTION_LIST, header)
            except AnswerError as fault:
                refusal = fault
                continue
            found = ProducerConnection.decode(answer.body)
            connections |= {each.client_id: each for each in found.connection_set}
        if not connections:
            raise refusal or NotFound(f"producer group {group} has nobody online")
        return ProducerConnection(connection_set=list(connections.values()))

    async def consumer_running_info(
        self, group: str, client_id: str, *, jstack: bool = False
    ) -> ConsumerRunningInfo:
        """What a consumer tells about itself, through the first broker that can reach it.

        Raises:
            AnswerError: No broker could; 207 when the consumer did not answer in time.
        """
        header = headers.GetConsumerRunningInfoRequestHeader(
            consumer_group=group, client_id=client_id, jstack_enable=jstack
        )
        fault: AnswerError | None = None
        for _, address in routing.serving_addresses(await self._group_route(group, None, None)):
            try:
                answer = await self.remote.ask(
                    address, RequestCode.GET_CONSUMER_RUNNING_INFO, header, timeout_ms=_FORWARDED_TIMEOUT_MS
                )
            except AnswerError as refusal:
                fault = refusal
            else:
                return ConsumerRunningInfo.decode(answer.body)
        raise fault or NotFound(f"no broker serves consumer group {group}")

    async def consume_directly(
        self, group: str, client_id: str, topic: str, address: str, broker_name: str, offset_message_id: str
    ) -> ConsumeMessageDirectlyResult:
        """Has one consumer consume one message now.

        Args:
            address: The broker that stores the message.
            offset_message_id: Its place.
        """
        header = headers.ConsumeMessageDirectlyResultRequestHeader(
            consumer_group=group,
            client_id=client_id,
            msg_id=offset_message_id,
            broker_name=broker_name,
            topic=topic,
        )
        answer = await self.remote.ask(
            address, RequestCode.CONSUME_MESSAGE_DIRECTLY, header, timeout_ms=_FORWARDED_TIMEOUT_MS
        )
        return ConsumeMessageDirectlyResult.decode(answer.body)

    # --- configuration and figures of brokers ------------------------------------------------------------

    async def broker_config_at(self, address: str) -> dict[str, str]:
        """The configuration of a broker (or a container), as it prints it."""
        answer = await self.remote.ask(address, RequestCode.GET_BROKER_CONFIG)
        return parse_properties(str(answer.body, "utf-8"))

    async def update_broker_config_at(self, address: str, changes: Mapping[str, str]) -> str:
        """Changes configuration keys of a broker (or a container).

        Returns:
            What it has to say about that, as which keys wait for its next start; "" from Java's.
        """
        answer = await self.remote.ask(
            address, RequestCode.UPDATE_BROKER_CONFIG, body=_properties_body(changes)
        )
        return answer.remark or ""

    async def runtime_info_at(self, address: str) -> dict[str, str]:
        """A broker's figures by name."""
        answer = await self.remote.ask(address, RequestCode.GET_BROKER_RUNTIME_INFO)
        return dict(KVTable.decode(answer.body).table)

    # --- cleaning up in brokers --------------------------------------------------------------------------

    async def clean_expired_consume_queues_at(self, address: str) -> None:
        """Drops the consume queue entries of a broker whose messages are gone."""
        await self.remote.ask(
            address, RequestCode.CLEAN_EXPIRED_CONSUMEQUEUE, timeout_ms=_CLEANING_TIMEOUT_MS
        )

    async def clean_unused_topics_at(self, address: str) -> None:
        """Drops the queues of topics that a broker no longer has."""
        await self.remote.ask(address, RequestCode.CLEAN_UNUSED_TOPIC, timeout_ms=_CLEANING_TIMEOUT_MS)

    async def delete_expired_commit_log_at(self, address: str) -> None:
        """Has a broker delete expired log files now instead of in its hours; it goes on after its answer."""
        await self.remote.ask(address, RequestCode.DELETE_EXPIRED_COMMITLOG, timeout_ms=_CLEANING_TIMEOUT_MS)

    # --- name servers ------------------------------------------------------------------------------------

    async def name_server_configs(self) -> dict[str, dict[str, str]]:
        """The configuration of each name server by its address."""
        answers = await self.remote.ask_each_name_server(RequestCode.GET_NAMESRV_CONFIG)
        return {address: parse_properties(str(answer.body, "utf-8")) for address, answer in answers.items()}

    async def update_name_server_configs(self, changes: Mapping[str, str]) -> None:
        """Changes configuration keys of every name server."""
        await self.remote.ask_each_name_server(
            RequestCode.UPDATE_NAMESRV_CONFIG, body=_properties_body(changes)
        )

    async def put_kv(self, namespace: str, key: str, value: str) -> None:
        """Sets a key in the key-value table of every name server."""
        header = headers.PutKVConfigRequestHeader(namespace=namespace, key=key, value=value)
        await self.remote.ask_each_name_server(RequestCode.PUT_KV_CONFIG, header)

    async def get_kv(self, namespace: str, key: str) -> str | None:
        """A value of the key-value table, None without one."""
        header = headers.GetKVConfigRequestHeader(namespace=namespace, key=key)
        answer = await self.remote.ask_name_server(
            RequestCode.GET_KV_CONFIG, header, accept=(ResponseCode.SUCCESS, ResponseCode.QUERY_NOT_FOUND)
        )
        return answer.ext_fields.get("value") if answer.code == ResponseCode.SUCCESS else None

    async def delete_kv(self, namespace: str, key: str) -> None:
        """Removes a key from the key-value table of every name server."""
        header = headers.DeleteKVConfigRequestHeader(namespace=namespace, key=key)
        await self.remote.ask_each_name_server(RequestCode.DELETE_KV_CONFIG, header)

    async def put_order_conf(self, topic: str, broker_name: str, queues: int) -> None:
        """Adds or replaces a broker's part of a topic's order configuration."""
        parts = {}
        for part in ((await self.get_kv(ORDER_TOPIC_NAMESPACE, topic)) or "").split(";"):
            if part:
                parts[part.partition(":")[0]] = part
        parts[broker_name] = f"{broker_name}:{queues}"
        await self.put_kv(ORDER_TOPIC_NAMESPACE, topic, ";".join(parts.values()))

    async def wipe_write_perm_at(self, name_server: str, broker_name: str) -> int:
        """Takes write permission from a broker's queues; returns how many topics changed."""
        answer = await self.remote.ask(
            name_server,
            RequestCode.WIPE_WRITE_PERM_OF_BROKER,
            headers.WipeWritePermOfBrokerRequestHeader(broker_name=broker_name),
        )
        return headers.WipeWritePermOfBrokerResponseHeader.decode(answer.ext_fields).wipe_topic_count

    async def add_write_perm_at(self, name_server: str, broker_name: str) -> int:
        """Gives write permission back; returns how many topics changed."""
        answer = await self.remote.ask(
            name_server,
            RequestCode.ADD_WRITE_PERM_OF_BROKER,
            headers.AddWritePermOfBrokerRequestHeader(broker_name=broker_name),
        )
        return headers.AddWritePermOfBrokerResponseHeader.decode(answer.ext_fields).add_topic_count
