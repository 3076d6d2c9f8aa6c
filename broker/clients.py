"""Which producers and consumers are connected, by group, and who must hear when that changes.

Mirrors `ProducerManager`, `ConsumerManager`, `ConsumerGroupInfo` and `DefaultConsumerIdsChangeListener` of
`org.apache.rocketmq.broker.client`. A client is known by its connection; it goes when the connection closes,
when it says so (35), or when it has sent no heartbeat for channelExpiredTimeout.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import attrs

from remoting.command import RemotingCommand
from remoting.protocol.request_code import RequestCode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from broker.config import BrokerConfig
    from remoting.connection import Connection
    from remoting.protocol.heartbeat import SubscriptionData

__all__ = ["BROADCASTING", "ClientChannelInfo", "ConsumerGroupInfo", "ConsumerManager", "ProducerManager"]

_log = logging.getLogger("rocketmq.broker")

BROADCASTING = "BROADCASTING"


@attrs.define(eq=False)
class ClientChannelInfo:
    """One client of one group, behind one connection."""

    connection: Connection
    client_id: str
    language: str
    version: int
    last_update_ms: int


@attrs.define(kw_only=True, eq=False)
class ConsumerGroupInfo:
    """The members of a consumer group that are online, and what they subscribe to."""

    group: str
    consume_type: str | None = None
    message_model: str | None = None
    consume_from_where: str | None = None
    subscriptions: dict[str, SubscriptionData] = attrs.field(factory=dict)
    members: dict[Connection, ClientChannelInfo] = attrs.field(factory=dict)

    @property
    def is_broadcast(self) -> bool:
        """Whether each member receives every message."""
        return self.message_model == BROADCASTING

    def client_ids(self) -> list[str]:
        """Client ids of the members."""
        return [member.client_id for member in self.members.values()]

    def find(self, client_id: str) -> ClientChannelInfo | None:
        """The member with this client id."""
        for member in self.members.values():
            if member.client_id == client_id:
                return member
        return None


def notify_consumer_ids_changed(connection: Connection, group: str) -> None:
    """Tell one member (40, one-way) that its group has changed and that it should rebalance."""
    connection.oneway(
        RemotingCommand.request(RequestCode.NOTIFY_CONSUMER_IDS_CHANGED, {"consumerGroup": group})
    )


class ConsumerManager:
    """Consumer groups by name.

    Args:
        notify: how one member of a group is told of a change.
    """

    def __init__(
        self,
        config: BrokerConfig,
        *,
        clock_ms: Callable[[], int],
        notify: Callable[[Connection, str], None] = notify_consumer_ids_changed,
    ) -> None:
        self._config = config
        self._clock_ms = clock_ms
        self._notify = notify
        self._groups: dict[str, ConsumerGroupInfo] = {}
        self._compensated: dict[str, dict[str, SubscriptionData]] = {}
        self._groups_of: dict[Connection, set[str]] = {}
        self._to_notify: set[str] = set()

    @property
    def table(self) -> Mapping[str, ConsumerGroupInfo]:
        """Every group with a member online."""
        return self._groups

    def consumer_group_info(self, group: str) -> ConsumerGroupInfo | None:
        """The group, or None when no member is online."""
        return self._groups.get(group)

    def find_subscription(self, group: str, topic: str) -> SubscriptionData | None:
        """What the group subscribes to in the topic: by heartbeats, else by its pulls."""
        info = self._groups.get(group)
        if info is not None and (found := info.subscriptions.get(topic)) is not None:
            return found
        compensated = self._compensated.get(group)
        return None if compensated is None else compensated.get(topic)

    def find_client(self, group: str, client_id: str) -> ClientChannelInfo | None:
        """A member that is online."""
        info = self._groups.get(group)
        return None if info is None else info.find(client_id)

    def groups_by_topic(self, topic: str) -> set[str]:
        """Groups with a member online that subscribe to the topic."""
        return {group for group, info in self._groups.items() if topic in info.subscriptions}

    def compensate(self, group: str, subscription: SubscriptionData) -> None:
        """Remember a subscription that came with a pull, for a group that sends none in heartbeats."""
        if subscription.topic:
            self._compensated.setdefault(group, {})[subscription.topic] = subscription

    def register(
        self,
        group: str,
        client: ClientChannelInfo,
        *,
        consume_type: str,
        message_model: str,
        consume_from_where: str,
        subscriptions: Iterable[SubscriptionData] | None,
        notify: bool = True,
    ) -> bool:
        """Take in a heartbeat. Returns whether the group's members or its subscriptions changed by it.

        Args:
            subscriptions: all that the client subscribes to; None when the heartbeat carried none and what
                is known stays.
            notify: whether the members are told (notifyConsumerIdsChangedEnable of the group).
        """
        info = self._groups.get(group)
        if info is None:
            info = self._groups[group] = ConsumerGroupInfo(group=group)
        info.consume_type = consume_type
        info.message_model = message_model
        info.consume_from_where = consume_from_where
        is_new = self._update_member(info, client)
        changed = subscriptions is not None and _update_subscriptions(info, subscriptions)
        if (is_new or changed) and notify and not info.is_broadcast:
            self._notify_members(group)
        return is_new or changed

    def unregister(self, group: str, connection: Connection, *, notify: bool = True) -> None:
        """Take a client out of a group, as it asked (35)."""
        info = self._groups.get(group)
        if info is None or info.members.get(connection) is None:
            return
        self._remove_member(info, connection)
        if notify and not info.is_broadcast:
            self._notify_members(group)

    def on_close(self, connection: Connection) -> None:
        """Take the clients behind a closed connection out of their groups."""
        for group in self._groups_of.pop(connection, ()):
            info = self._groups[group]
            _log.info("consumer %s of group %s is gone", info.members[connection].client_id, group)
            self._remove_member(info, connection)
            if not info.is_broadcast:
                self._notify_members(group)

    def scan_expired(self) -> list[Connection]:
        """Take out members without a heartbeat for channelExpiredTimeout, and old inline subscriptions.

        Returns the connections of those members: the caller closes them.
        """
        now_ms = self._clock_ms()
        deadline_ms = now_ms - self._config.channel_expired_timeout
        expired = []
        for group, info in list(self._groups.items()):
            late = [member for member in info.members.values() if member.last_update_ms < deadline_ms]
            for member in late:
                _log.warning("consumer %s of group %s sends no heartbeat", member.client_id, group)
                self._remove_member(info, member.connection)
                expired.append(member.connection)
            if late and not info.is_broadcast:
                self._notify_members(group)
        self._forget_compensated(now_ms - self._config.subscription_expired_timeout)
        return expired

    def flush_notifications(self) -> None:
        """Send what realTimeNotifyConsumerChange=false has put off."""
        groups, self._to_notify = self._to_notify, set()
        for group in groups:
            self._notify_now(group)

    def _update_member(self, info: ConsumerGroupInfo, client: ClientChannelInfo) -> bool:
        old = info.members.get(client.connection)
        if old is not None and old.client_id == client.client_id:
            old.last_update_ms = self._clock_ms()
            return False
        if old is None:
            _log.info("consumer %s joins group %s", client.client_id, info.group)
        else:
            _log.warning(
                "consumer %s of group %s is now %s on the same connection",
                old.client_id, info.group, client.client_id,
            )  # fmt: skip
        client.last_update_ms = self._clock_ms()
        info.members[client.connection] = client
        self._groups_of.setdefault(client.connection, set()).add(info.group)
        return old is None

    def _remove_member(self, info: ConsumerGroupInfo, connection: Connection) -> None:
        del info.members[connection]
        groups = self._groups_of.get(connection)
        if groups is not None:
            groups.discard(info.group)
            if not groups:
                del self._groups_of[connection]
        if not info.members:
            _log.info("no consumer left in group %s", info.group)
            del self._groups[info.group]

    def _notify_members(self, group: str) -> None:
        if not self._config.notify_consumer_ids_changed_enable:
            return
        if self._config.real_time_notify_consumer_change:
            self._notify_now(group)
        else:
            self._to_notify.add(group)

    def _notify_now(self, group: str) -> None:
        info = self._groups.get(group)
        if info is None:
            return
        for connection in list(info.members):
            self._notify(connection, group)

    def _forget_compensated(self, deadline_ms: int) -> None:
        for group, subscriptions in list(self._compensated.items()):
            for topic, subscription in list(subscriptions.items()):
                if subscription.sub_version < deadline_ms:
                    del subscriptions[topic]
            if not subscriptions:
                del self._compensated[group]


def _update_subscriptions(info: ConsumerGroupInfo, subscriptions: Iterable[SubscriptionData]) -> bool:
    """Make the group's subscriptions those of the newest heartbeat; True when topics came or went."""
    changed = False
    topics = set()
    for subscription in subscriptions:
        topic = subscription.topic
        if not topic:
            continue
        topics.add(topic)
        old = info.subscriptions.get(topic)
        if old is None:
            _log.info("group %s subscribes to %s", info.group, subscription)
            info.subscriptions[topic] = subscription
            changed = True
        elif subscription.sub_version > old.sub_version:
            info.subscriptions[topic] = subscription
    for topic in [topic for topic in info.subscriptions if topic not in topics]:
        _log.warning("group %s no longer subscribes to %s", info.group, topic)
        del info.subscriptions[topic]
        changed = True
    return changed


class ProducerManager:
    """Producer groups by name."""

    def __init__(self, config: BrokerConfig, *, clock_ms: Callable[[], int]) -> None:
        self._config = config
        self._clock_ms = clock_ms
        self._groups: dict[str, dict[Connection, ClientChannelInfo]] = {}
        self._groups_of: dict[Connection, set[str]] = {}

    @property
    def table(self) -> Mapping[str, Mapping[Connection, ClientChannelInfo]]:
        """Every group with a producer online."""
        return self._groups

    def register(self, group: str, client: ClientChannelInfo) -> None:
        """Take in a heartbeat."""
        members = self._groups.get(group)
        old = None if members is None else members.get(client.connection)
        if old is not None:
            old.last_update_ms = self._clock_ms()
            return
        if not self._config.enable_register_producer and self._config.reject_transaction_message:
            return
        _log.info("producer %s joins group %s", client.client_id, group)
        client.last_update_ms = self._clock_ms()
        self._groups.setdefault(group, {})[client.connection] = client
        self._groups_of.setdefault(client.connection, set()).add(group)

    def unregister(self, group: str, connection: Connection) -> None:
        """Take a producer out of a group, as it asked (35)."""
        if connection in self._groups.get(group, {}):
            self._remove(group, connection)

    def on_close(self, connection: Connection) -> None:
        """Take the producers behind a closed connection out of their groups."""
        for group in list(self._groups_of.get(connection, ())):
            _log.info("producer %s of group %s is gone", self._groups[group][connection].client_id, group)
            self._remove(group, connection)

    def scan_expired(self) -> list[Connection]:
        """Take out producers without a heartbeat for channelExpiredTimeout; the caller closes them."""
        deadline_ms = self._clock_ms() - self._config.channel_expired_timeout
        late = [
            (group, client)
            for group, members in self._groups.items()
            for client in members.values()
            if client.last_update_ms < deadline_ms
        ]
        for group, client in late:
            _log.warning("producer %s of group %s sends no heartbeat", client.client_id, group)
            self._remove(group, client.connection)
        return [client.connection for _, client in late]

    def clients(self) -> Iterator[tuple[str, ClientChannelInfo]]:
        """Every producer online, with its group."""
        for group, members in self._groups.items():
            for client in members.values():
                yield group, client

    def _remove(self, group: str, connection: Connection) -> None:
        members = self._groups[group]
        del members[connection]
        if not members:
            _log.info("no producer left in group %s", group)
            del self._groups[group]
        groups = self._groups_of[connection]
        groups.discard(group)
        if not groups:
            del self._groups_of[connection]
