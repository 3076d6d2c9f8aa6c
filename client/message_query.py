"""Finding messages by key, by the producer's id and by place; and what became of them in consumer groups."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

import attrs

from client.errors import AnswerError, ClientError, NotFound
from client.message import message_id
from client.routing import serving_addresses
from client.walk import walk
from remoting.errors import RemotingError
from remoting.protocol import headers
from remoting.protocol.message import (
    KEY_SEPARATOR,
    LMQ_PREFIX,
    PROPERTY_KEYS,
    PROPERTY_TAGS,
    TIMER_TOPIC,
    UNIQUE_MSG_QUERY_FLAG,
    decode_message,
    decode_message_id,
    decode_messages,
    encode_host,
)
from remoting.protocol.request_code import RequestCode
from remoting.protocol.response_code import ResponseCode

if TYPE_CHECKING:
    from client.admin import AdminClient
    from client.remote import Remote
    from client.routes import Routes
    from client.walk import Tell
    from remoting.protocol.admin_body import ConsumerConnection
    from remoting.protocol.message import MessageExt, MessageId

__all__ = [
    "LONG_MAX",
    "KeyKind",
    "MessageQueries",
    "MessageTrack",
    "TrackType",
    "route_topic_of",
    "track_message",
]

LONG_MAX = 2**63 - 1
MAX_BY_UNIQUE_KEY = 32


class KeyKind(Enum):
    """What a key is looked up as; brokers before 5.5 know keys only."""

    KEYS = "K"
    TAGS = "T"


def route_topic_of(topic: str, cluster: str | None) -> str:
    """The topic whose route leads to `topic`: light queues and the timer have none, `-c` names it."""
    if cluster and (topic.startswith(LMQ_PREFIX) or topic == TIMER_TOPIC):
        return cluster
    return topic


class MessageQueries:
    """Asks every broker of a topic for messages.

    Args:
        remote: Asks the brokers.
        routes: Knows their addresses.
    """

    def __init__(self, remote: Remote, routes: Routes) -> None:
        self._remote = remote
        self._routes = routes

    async def at_offset_id(self, topic: str, offset_message_id: str) -> MessageExt:
        """The message at the place that an offset id names; the broker in it is asked.

        Raises:
            ValueError: It is not an offset id.
            NotFound: The broker has no message there.
        """
        place = decode_message_id(offset_message_id)
        address = _address(place)
        header = headers.ViewMessageRequestHeader(topic=topic, offset=place.offset)
        try:
            answer = await self._remote.ask(address, RequestCode.VIEW_MESSAGE_BY_ID, header)
        except AnswerError as fault:
            raise NotFound(f"{address} has no message {offset_message_id}") from fault
        return decode_message(answer.body)

    async def by_any_id(self, topic: str, id_text: str, cluster: str | None = None) -> MessageExt:
        """The message with an offset id or a producer's id.

        Both have 32 or 56 digits. An id whose host part is the address of a broker of the topic names a
        place. Any other is a producer's id; should no message have it, an id that at least carries the port
        of one of the topic's brokers (one behind address translation) is looked up as a place too.

        Raises:
            NotFound: There is no such message.
        """
        try:
            place = decode_message_id(id_text)
        except ValueError:
            return (await self.by_unique_key(topic, id_text, cluster=cluster))[0]
        route = await self._routes.route(route_topic_of(topic, cluster))
        known = {address for broker in route.broker_datas for address in broker.broker_addrs.values()}
        if _address(place) in known:
            return await self.at_offset_id(topic, id_text)
        try:
            return (await self.by_unique_key(topic, id_text, cluster=cluster))[0]
        except NotFound:
            if not any(address.endswith(f":{place.port}") for address in known):
                raise
            return await self.at_offset_id(topic, id_text)

    async def by_unique_key(
        self,
        topic: str,
        unique_key: str,
        *,
        cluster: str | None = None,
        begin_ms: int = 0,
        end_ms: int = LONG_MAX,
        tell: Tell | None = None,
    ) -> list[MessageExt]:
        """The messages with a producer's id, at most 32 of each broker, the oldest first.

        Args:
            tell: Hears how many brokers are done.

        Raises:
            NotFound: There is none.
        """
        extra = {UNIQUE_MSG_QUERY_FLAG: "true"}
        return await self._query(topic, unique_key, cluster, MAX_BY_UNIQUE_KEY, begin_ms, end_ms, extra, tell)

    async def by_key(
        self,
        topic: str,
        key: str,
        *,
        cluster: str | None = None,
        max_messages: int = 64,
        begin_ms: int = 0,
        end_ms: int = LONG_MAX,
        kind: KeyKind | None = None,
        last_key: str | None = None,
        tell: Tell | None = None,
    ) -> list[MessageExt]:
        """The messages with a key, at most `max_messages` of each broker, the oldest first.

        Args:
            kind: Look up tags instead; brokers that do not know it take it for a key.
            last_key: Where an earlier answer of a 5.5 broker ended.
            tell: Hears how many brokers are done.

        Raises:
            NotFound: There is none.
        """
        extra = {}
        if kind is not None:
            extra["indexType"] = kind.value
        if last_key is not None:
            extra["lastKey"] = last_key
        return await self._query(topic, key, cluster, max_messages, begin_ms, end_ms, extra, tell)

    async def _query(
        self,
        topic: str,
        key: str,
        cluster: str | None,
        max_messages: int,
        begin_ms: int,
        end_ms: int,
        extra: dict[str, str],
        tell: Tell | None = None,
    ) -> list[MessageExt]:
        route = await self._routes.route(route_topic_of(topic, cluster))
        light = topic.startswith(LMQ_PREFIX)
        header = headers.QueryMessageRequestHeader(
            topic=cluster if light and cluster else topic,
            key=key,
            max_num=max_messages,
            begin_timestamp=begin_ms,
            end_timestamp=end_ms,
        )
        found: list[MessageExt] = []
        fault: AnswerError | RemotingError | None = None
        brokers = serving_addresses(route, cluster=None if light or topic == TIMER_TOPIC else cluster)
        for _, address in walk(brokers, tell):
            try:
                answer = await self._remote.ask(
                    address,
                    RequestCode.QUERY_MESSAGE,
                    header,
                    extra=extra,
                    timeout_ms=self._remote.timeout_ms * 3,
                )
            except AnswerError as refusal:
                if refusal.code != ResponseCode.QUERY_NOT_FOUND:
                    fault = refusal
            except RemotingError as unreachable:
                fault = unreachable
            else:
                found += decode_messages(answer.body)
        chosen = [each for each in found if _has_key(each, topic, key, extra, light=light)]
        if chosen:
            return sorted(chosen, key=lambda each: each.store_timestamp)
        if fault is not None:
            raise fault
        raise NotFound(f"topic {topic} has no message with the key {key}")


def _address(place: MessageId) -> str:
    return f"[{place.host}]:{place.port}" if ":" in place.host else f"{place.host}:{place.port}"


def _has_key(message: MessageExt, topic: str, key: str, extra: dict[str, str], *, light: bool) -> bool:
    """Brokers match hash codes only."""
    if UNIQUE_MSG_QUERY_FLAG in extra:
        return message_id(message) == key
    if message.topic != topic and not light:
        return False
    if extra.get("indexType") == KeyKind.TAGS.value:
        return message.properties.get(PROPERTY_TAGS) == key
    return key in message.properties.get(PROPERTY_KEYS, "").split(KEY_SEPARATOR)


class TrackType(Enum):
    """What a consumer group did with a message."""

    CONSUMED = "CONSUMED"
    CONSUMED_BUT_FILTERED = "CONSUMED_BUT_FILTERED"
    PULL = "PULL"
    NOT_CONSUME_YET = "NOT_CONSUME_YET"
    NOT_ONLINE = "NOT_ONLINE"
    CONSUME_BROADCASTING = "CONSUME_BROADCASTING"
    UNKNOWN = "UNKNOWN"


@attrs.frozen
class MessageTrack:
    """One group's part in the life of a message; `reason` says why it is not known better."""

    consumer_group: str
    track_type: TrackType
    reason: str | None = None


_BY_CODE = {
    int(ResponseCode.CONSUMER_NOT_ONLINE): TrackType.NOT_ONLINE,
    int(ResponseCode.BROADCAST_CONSUMPTION): TrackType.CONSUME_BROADCASTING,
}


async def track_message(admin: AdminClient, message: MessageExt) -> list[MessageTrack]:
    """What each group that reads the message's topic did with it.

    Raises:
        ClientError, RemotingError: The groups of the topic cannot be had. Faults of one group are a result.
    """
    tracks = []
    for group in await admin.groups_of_topic(message.topic):
        try:
            track_type = await _track(admin, message, group)
        except AnswerError as fault:
            track_type = _BY_CODE.get(fault.code, TrackType.UNKNOWN)
            tracks.append(MessageTrack(group, track_type, f"CODE:{fault.code} DESC:{fault.remark}"))
        except (ClientError, RemotingError) as fault:
            tracks.append(MessageTrack(group, TrackType.UNKNOWN, str(fault)))
        else:
            tracks.append(MessageTrack(group, track_type))
    return tracks


async def _track(admin: AdminClient, message: MessageExt, group: str) -> TrackType:
    connection = await admin.consumer_connection(group)
    if connection.consume_type == "CONSUME_ACTIVELY":
        return TrackType.PULL
    if connection.consume_type != "CONSUME_PASSIVELY":
        return TrackType.UNKNOWN
    if not await _is_behind_offset(admin, message, group):
        return TrackType.NOT_CONSUME_YET
    return TrackType.CONSUMED if _wants(connection, message) else TrackType.CONSUMED_BUT_FILTERED


async def _is_behind_offset(admin: AdminClient, message: MessageExt, group: str) -> bool:
    """Whether the group's offset of the message's queue, on the broker that stores it, is past it."""
    stats = await admin.consume_stats(group)
    info = await admin.cluster_info()
    host, port = message.store_host
    for queue, offsets in stats.offset_table.items():
        if (queue.topic, queue.queue_id) != (message.topic, message.queue_id):
            continue
        broker = info.broker_addr_table.get(queue.broker_name)
        address = None if broker is None else broker.broker_addrs.get(0)
        if address is not None and _same_host(address, host, port):
            return offsets.consumer_offset > message.queue_offset
    return False


def _same_host(address: str, host: str, port: int) -> bool:
    name, _, port_text = address.rpartition(":")
    if port_text != str(port):
        return False
    try:
        return encode_host(name.strip("[]"), port) == encode_host(host, port)
    except ValueError:  # a host name; its addresses are the resolver's business
        return True


def _wants(connection: ConsumerConnection, message: MessageExt) -> bool:
    subscription = connection.subscription_table.get(message.topic)
    if subscription is None or not subscription.tags_set or "*" in subscription.tags_set:
        return True
    return message.properties.get(PROPERTY_TAGS) in subscription.tags_set
