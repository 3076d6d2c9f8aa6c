"""The request codes of a name server: header and body in, answer out.

Follows Java's `DefaultRequestProcessor` and `ClientRequestProcessor`. A missing required field is answered
with code 1, as every fault of a handler.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import trio

from configuration import ConfigError, ForbiddenKeyError
from namesrv.kv_config import NAMESPACE_ORDER_TOPIC_CONFIG
from namesrv.register_body import decode_register_body
from namesrv.routes import Registration, filter_by_zone
from remoting.errors import BodyFault, CommandError
from remoting.json_dialect import dumps, dumps_standard
from remoting.protocol import headers, mq_version
from remoting.protocol.admin_body import ClusterInfo
from remoting.protocol.body import (
    BrokerMemberGroup,
    DataVersion,
    GetBrokerMemberGroupResponseBody,
    KVTable,
    TopicList,
)
from remoting.protocol.body_fields import Body
from remoting.protocol.message import body_crc
from remoting.protocol.request_code import RequestCode
from remoting.protocol.response_code import ResponseCode
from remoting.protocol.route import TopicRouteData

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from configuration import Configuration
    from namesrv.config import NamesrvConfig
    from namesrv.kv_config import KVConfigManager
    from namesrv.routes import MinBrokerIdChange, RouteInfoManager
    from remoting.command import RemotingCommand
    from remoting.connection import Connection
    from remoting.processors import ProcessorTable

__all__ = ["NameServerProcessor"]

ZONE_NAME = "__ZONE_NAME"
ZONE_MODE = "__ZONE_MODE"
ALWAYS_FORBIDDEN = ("configBlackList", "configStorePath", "kvConfigPath", "rocketmqHome")

_QUICK_BODY_BYTES = 32 * 1024
"""Registrations up to this size are decoded at once; larger ones would hold up the event loop."""

_MOST_WRITTEN_ROUTES = 10_000
_FAQ = "\nSee https://rocketmq.apache.org/docs/bestPractice/06FAQ for further details."

B = TypeVar("B", bound=Body)

log = logging.getLogger("rocketmq.namesrv")


class NameServerProcessor:
    """Answers from the tables of one name server.

    Args:
        config: asked at each request.
        configuration: what codes 318 and 319 change and show.
        routes: the routing tables.
        kv: the key-value tables.
        clock_ms: milliseconds on a clock that only goes forward.
        on_effects: gets what must be told to brokers.
    """

    def __init__(
        self,
        config: NamesrvConfig,
        configuration: Configuration,
        routes: RouteInfoManager,
        kv: KVConfigManager,
        clock_ms: Callable[[], int],
        on_effects: Callable[[Iterable[MinBrokerIdChange]], None],
    ) -> None:
        self._config = config
        self._configuration = configuration
        self._routes = routes
        self._kv = kv
        self._clock_ms = clock_ms
        self._on_effects = on_effects
        self._started_ms = clock_ms()
        self._files = trio.Lock()
        self._written: dict[tuple[str, bool], bytes] = {}
        self._written_for: tuple[int, bool, bool] | None = None

    def register(self, table: ProcessorTable) -> None:
        """Enter every code into a port's table."""
        calls = {
            RequestCode.GET_ROUTEINFO_BY_TOPIC: self._get_route,
            RequestCode.UNREGISTER_BROKER: self._unregister_broker,
            RequestCode.QUERY_DATA_VERSION: self._query_data_version,
            RequestCode.BROKER_HEARTBEAT: self._heartbeat,
            RequestCode.GET_BROKER_MEMBER_GROUP: self._get_member_group,
            RequestCode.GET_BROKER_CLUSTER_INFO: self._get_cluster_info,
            RequestCode.GET_ALL_TOPIC_LIST_FROM_NAMESERVER: self._get_all_topics,
            RequestCode.GET_TOPICS_BY_CLUSTER: self._get_topics_by_cluster,
            RequestCode.GET_SYSTEM_TOPIC_LIST_FROM_NS: self._get_system_topics,
            RequestCode.GET_UNIT_TOPIC_LIST: self._get_unit_topics,
            RequestCode.GET_HAS_UNIT_SUB_TOPIC_LIST: self._get_unit_topics,
            RequestCode.GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST: self._get_unit_topics,
            RequestCode.GET_KV_CONFIG: self._get_kv,
            RequestCode.GET_KVLIST_BY_NAMESPACE: self._get_kv_list,
            RequestCode.DELETE_TOPIC_IN_NAMESRV: self._delete_topic,
            RequestCode.REGISTER_TOPIC_IN_NAMESRV: self._register_topic,
            RequestCode.WIPE_WRITE_PERM_OF_BROKER: self._wipe_write_perm,
            RequestCode.ADD_WRITE_PERM_OF_BROKER: self._add_write_perm,
            RequestCode.GET_NAMESRV_CONFIG: self._get_config,
        }
        for code, function in calls.items():
            table.call([code], function)
        table.task([RequestCode.REGISTER_BROKER], self._register_broker)
        table.task([RequestCode.PUT_KV_CONFIG], self._put_kv)
        table.task([RequestCode.DELETE_KV_CONFIG], self._delete_kv)
        table.task([RequestCode.UPDATE_NAMESRV_CONFIG], self._update_config)

    # Routes

    def _get_route(self, connection: Connection, request: RemotingCommand) -> RemotingCommand:
        header = headers.GetRouteInfoRequestHeader.decode(request.ext_fields)
        config = self._config
        if config.need_wait_for_service:
            waited_ms = self._clock_ms() - self._started_ms
            if waited_ms < config.wait_seconds_for_service * 1000:
                return request.response(ResponseCode.SYSTEM_ERROR, "name server not ready")
        standard = request.version >= mq_version.V4_9_4 or bool(header.accept_standard_json_only)
        zone = request.ext_fields.get(ZONE_NAME, "").strip()
        if request.ext_fields.get(ZONE_MODE, "").lower() != "true":
            zone = ""
        written = self._written_routes()
        body = None if zone else written.get((header.topic, standard))
        if body is None:
            body = self._write_route(header.topic, zone, standard)
            if body is not None and not zone:
                written[header.topic, standard] = body
        if body is None:
            return request.response(
                ResponseCode.TOPIC_NOT_EXIST,
                f"No topic route info in name server for the topic: {header.topic}{_FAQ}",
            )
        return request.response(ResponseCode.SUCCESS, body=body)

    def _write_route(self, topic: str, zone: str, standard: bool) -> bytes | None:
        route = self._routes.route(topic)
        if route is None:
            return None
        if zone:
            route = filter_by_zone(route, zone)
        found = route.to_json_object()
        if self._config.order_message_enable:
            found["orderTopicConf"] = self._kv.get(NAMESPACE_ORDER_TOPIC_CONFIG, topic)
        return dumps_standard(found) if standard else dumps(found)

    def _written_routes(self) -> dict[tuple[str, bool], bytes]:
        """Bodies of earlier answers, for as long as nothing that they are made of changes."""
        config = self._config
        state = (self._routes.generation, config.support_acting_master, config.order_message_enable)
        if state != self._written_for or len(self._written) >= _MOST_WRITTEN_ROUTES:
            self._written.clear()
            self._written_for = state
        return self._written

    def _get_cluster_info(self, connection: Connection, request: RemotingCommand) -> RemotingCommand:
        found = ClusterInfo(
            broker_addr_table=self._routes.brokers(), cluster_addr_table=self._routes.clusters()
        )
        return _answer(request, found)

    def _get_member_group(self, connection: Connection, request: RemotingCommand) -> RemotingCommand:
        header = headers.GetBrokerMemberGroupRequestHeader.decode(request.ext_fields)
        group = BrokerMemberGroup(
            cluster=header.cluster_name,
            broker_name=header.broker_name,
            broker_addrs=self._routes.member_addrs(header.broker_name),
        )
        return _answer(request, GetBrokerMemberGroupResponseBody(broker_member_group=group))

    # Brokers

    async def _register_broker(
        self, connection: Connection, request: RemotingCommand
    ) -> RemotingCommand | None:
        header = headers.RegisterBrokerRequestHeader.decode(request.ext_fields)
        if header.body_crc32 and body_crc(request.body) != header.body_crc32:
            log.warning(
                "registration of %s from %s: wrong crc32", header.broker_name, connection.remote_address
            )
            return request.response(ResponseCode.SYSTEM_ERROR, "crc32 not match")
        decode = partial(
            decode_register_body,
            request.body,
            broker_name=header.broker_name,
            compressed=header.compressed,
            version=request.version,
        )
        try:
            if header.compressed or len(request.body) > _QUICK_BODY_BYTES:
                body = await trio.to_thread.run_sync(decode)
            else:
                body = decode()
        except BodyFault as wrong:
            raise CommandError(
                ResponseCode.SYSTEM_ERROR, f"Failed to decode RegisterBrokerBody: {wrong}"
            ) from wrong
        if connection.closed:
            return None
        registration = Registration(
            cluster=header.cluster_name,
            broker_addr=header.broker_addr,
            broker_name=header.broker_name,
            broker_id=header.broker_id,
            ha_server_addr=header.ha_server_addr or "",
            zone_name=request.ext_fields.get(ZONE_NAME),
            heartbeat_timeout_ms=header.heartbeat_timeout_millis,
            enable_acting_master=header.enable_acting_master,
            data_version=body.data_version,
            queues=body.queues,
            mappings=body.mappings,
            filter_servers=body.filter_servers,
        )
        result = self._routes.register(registration, connection, self._clock_ms())
        if result is None:
            return request.response(ResponseCode.SYSTEM_ERROR, "register broker failed")
        self._on_effects(result.effects)
        answer = headers.RegisterBrokerResponseHeader(
            ha_server_addr=result.ha_server_addr, master_addr=result.master_addr
        )
        order = None
        if self._config.return_order_topic_config_to_broker:
            order = self._kv.namespace(NAMESPACE_ORDER_TOPIC_CONFIG)
        return request.response(
            ResponseCode.SUCCESS,
            ext_fields=answer.encode(),
            body=b"" if order is None else KVTable(table=order).encode(),
        )

    def _unregister_broker(self, connection: Connection, request: RemotingCommand) -> RemotingCommand:
        header = headers.UnRegisterBrokerRequestHeader.decode(request.ext_fields)
        self._on_effects(self._routes.unregister(header.cluster_name, header.broker_addr, header.broker_name))
        return request.response(ResponseCode.SUCCESS)

    def _query_data_version(self, connection: Connection, request: RemotingCommand) -> RemotingCommand:
        header = headers.QueryDataVersionRequestHeader.decode(request.ext_fields)
        known = self._routes.data_version(header.cluster_name, header.broker_addr)
        asked = _body(request, DataVersion)
        self._routes.touch(header.cluster_name, header.broker_addr, self._clock_ms())
        return request.response(
            ResponseCode.SUCCESS,
            ext_fields=headers.QueryDataVersionResponseHeader(changed=known != asked).encode(),
            body=b"" if known is None else known.encode(),
        )

    def _heartbeat(self, connection: Connection, request: RemotingCommand) -> RemotingCommand:
        header = headers.BrokerHeartbeatRequestHeader.decode(request.ext_fields)
        self._routes.touch(header.cluster_name, header.broker_addr, self._clock_ms())
        return request.response(ResponseCode.SUCCESS)

    def _wipe_write_perm(self, connection: Connection, request: RemotingCommand) -> RemotingCommand:
        header = headers.WipeWritePermOfBrokerRequestHeader.decode(request.ext_fields)
        count = self._routes.wipe_write_perm(header.broker_name)
        log.info("%s wiped write permission of %s: %d", connection.remote_address, header.broker_name, count)
        answer = headers.WipeWritePermOfBrokerResponseHeader(wipe_topic_count=count)
        return request.response(ResponseCode.SUCCESS, ext_fields=answer.encode())

    def _add_write_perm(self, connection: Connection, request: RemotingCommand) -> RemotingCommand:
        header = headers.AddWritePermOfBrokerRequestHeader.decode(request.ext_fields)
        count = self._routes.add_write_perm(header.broker_name)
        log.info("%s added write permission of %s: %d", connection.remote_address, header.broker_name, count)
        answer = headers.AddWritePermOfBrokerResponseHeader(add_topic_count=count)
        return request.response(ResponseCode.SUCCESS, ext_fields=answer.encode())

    # Topics

    def _get_all_topics(self, connection: Connection, request: RemotingCommand) -> RemotingCommand:
        if not self._config.enable_all_topic_list:
            return request.response(ResponseCode.SYSTEM_ERROR, "disable")
        return _answer(request, TopicList(topic_list=self._routes.topics()))

    def _get_topics_by_cluster(self, connection: Connection, request: RemotingCommand) -> RemotingCommand:
        if not self._config.enable_topic_list:
            return request.response(ResponseCode.SYSTEM_ERROR, "disable")
        header = headers.GetTopicsByClusterRequestHeader.decode(request.ext_fields)
        return _answer(request, TopicList(topic_list=self._routes.topics_of_cluster(header.cluster)))

    def _get_system_topics(self, connection: Connection, request: RemotingCommand) -> RemotingCommand:
        topics, broker_addr = self._routes.system_topics()
        return _answer(request, TopicList(topic_list=topics, broker_addr=broker_addr))

    def _get_unit_topics(self, connection: Connection, request: RemotingCommand) -> RemotingCommand:
        if not self._config.enable_topic_list:
            return request.response(ResponseCode.SYSTEM_ERROR, "disable")
        topics = self._routes.unit_topics(**_UNIT_FLAGS[request.code])
        return _answer(request, TopicList(topic_list=topics))

    def _delete_topic(self, connection: Connection, request: RemotingCommand) -> RemotingCommand:
        header = headers.DeleteTopicFromNamesrvRequestHeader.decode(request.ext_fields)
        self._routes.delete_topic(header.topic, header.cluster_name)
        log.info("%s deleted the route of %s", connection.remote_address, header.topic)
        return request.response(ResponseCode.SUCCESS)

    def _register_topic(self, connection: Connection, request: RemotingCommand) -> RemotingCommand:
        header = headers.RegisterTopicRequestHeader.decode(request.ext_fields)
        if request.body:
            self._routes.register_topic(header.topic, _body(request, TopicRouteData).queue_datas)
        return request.response(ResponseCode.SUCCESS)

    # Key-value configuration

    def _get_kv(self, connection: Connection, request: RemotingCommand) -> RemotingCommand:
        header = headers.GetKVConfigRequestHeader.decode(request.ext_fields)
        value = self._kv.get(header.namespace, header.key)
        if value is None:
            return request.response(
                ResponseCode.QUERY_NOT_FOUND,
                f"No config item, Namespace: {header.namespace} Key: {header.key}",
            )
        return request.response(
            ResponseCode.SUCCESS, ext_fields=headers.GetKVConfigResponseHeader(value=value).encode()
        )

    def _get_kv_list(self, connection: Connection, request: RemotingCommand) -> RemotingCommand:
        header = headers.GetKVListByNamespaceRequestHeader.decode(request.ext_fields)
        found = self._kv.namespace(header.namespace)
        if found is None:
            return request.response(
                ResponseCode.QUERY_NOT_FOUND, f"No config item, Namespace: {header.namespace}"
            )
        return _answer(request, KVTable(table=found))

    async def _put_kv(self, connection: Connection, request: RemotingCommand) -> RemotingCommand:
        header = headers.PutKVConfigRequestHeader.decode(request.ext_fields)
        self._kv.put(header.namespace, header.key, header.value)
        self._written_for = None
        await self._save_kv()
        return request.response(ResponseCode.SUCCESS)

    async def _delete_kv(self, connection: Connection, request: RemotingCommand) -> RemotingCommand:
        header = headers.DeleteKVConfigRequestHeader.decode(request.ext_fields)
        self._kv.delete(header.namespace, header.key)
        self._written_for = None
        await self._save_kv()
        return request.response(ResponseCode.SUCCESS)

    async def _save_kv(self) -> None:
        async with self._files:
            try:
                await trio.to_thread.run_sync(self._kv.save, self._kv.content())
            except OSError as wrong:
                log.error("key-value configuration not saved: %s", wrong)
                raise CommandError(
                    ResponseCode.SYSTEM_ERROR, f"changed, but not saved: {wrong.strerror}"
                ) from wrong

    # The name server's own configuration

    def _get_config(self, connection: Connection, request: RemotingCommand) -> RemotingCommand:
        return request.response(ResponseCode.SUCCESS, body=self._configuration.text().encode())

    async def _update_config(self, connection: Connection, request: RemotingCommand) -> RemotingCommand:
        async with self._files:
            try:
                update = await trio.to_thread.run_sync(self._configuration.update, bytes(request.body))
            except ForbiddenKeyError as wrong:
                return request.response(ResponseCode.NO_PERMISSION, wrong.message)
            except ConfigError as wrong:
                return request.response(ResponseCode.SYSTEM_ERROR, str(wrong))
        log.info(
            "%s changed the configuration: %s; from the next start on: %s",
            connection.remote_address,
            update.shown,
            ", ".join(update.pending) or "nothing",
        )
        return request.response(ResponseCode.SUCCESS, update.remark("the name server"))


_UNIT_FLAGS: dict[int, dict[str, bool]] = {
    RequestCode.GET_UNIT_TOPIC_LIST: {"unit": True},
    RequestCode.GET_HAS_UNIT_SUB_TOPIC_LIST: {"unit_sub": True},
    RequestCode.GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST: {"unit": False, "unit_sub": True},
}


def _answer(request: RemotingCommand, found: Body) -> RemotingCommand:
    return request.response(ResponseCode.SUCCESS, body=found.encode())


def _body(request: RemotingCommand, kind: type[B]) -> B:
    """The body of a request; whatever is wrong with it is answered with code 1."""
    try:
        return kind.decode(request.body)
    except BodyFault as wrong:
        raise CommandError(ResponseCode.SYSTEM_ERROR, f"the body is not usable: {wrong}") from wrong
