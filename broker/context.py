"""What every processor and service of one broker sees: its state, its store, its clock.

A :class:`BrokerContext` is built once per broker by :class:`broker.broker.Broker`, after the ports and the
store paths are reserved (so `address` carries the real port even when port 0 was asked for) and before any
service starts. Processors take it in `register(table, context)` and keep it; nothing else is shared between
them, and no two brokers of a process share one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.clients import ConsumerManager, ProducerManager
    from broker.config import BrokerConfig
    from broker.groups import SubscriptionGroupManager
    from broker.offsets import ConsumerOffsetManager
    from broker.pull_hold import PullRequestHold
    from broker.rebalance_lock import RebalanceLockManager
    from broker.registration import Registration
    from broker.schedule import ScheduleMessageService
    from broker.send import SendMessageProcessor
    from broker.stats import BrokerStatsManager
    from broker.topics import TopicConfigManager
    from configuration import Configuration
    from logs.identity import BrokerIdentity
    from remoting.client import RemotingClient
    from remoting.server import Transport
    from store import MessageStore, MessageStoreConfig


@attrs.define(kw_only=True, eq=False)
class BrokerContext:
    """The parts of one running broker.

    `sends`, `hold`, `locks` and `schedule` are built with the half-made context as their only argument and
    set right afterwards, before the first request is served: read them through the context when a request
    comes, not in a constructor.
    """

    config: BrokerConfig
    store_config: MessageStoreConfig
    identity: BrokerIdentity
    address: str
    """`ip:port` that clients and name servers know this broker by; also the store host of its messages."""
    clock_ms: Callable[[], int]
    """Milliseconds since the epoch: the time of messages, deadlines and expiry of this broker."""
    configuration: Configuration
    """The same config objects together with their file, for the requests that show and change them."""
    transport: Transport
    client: RemotingClient
    """The broker's own outbound connections (name servers)."""
    store: MessageStore
    topics: TopicConfigManager
    groups: SubscriptionGroupManager
    offsets: ConsumerOffsetManager
    producers: ProducerManager
    consumers: ConsumerManager
    stats: BrokerStatsManager
    registration: Registration
    sends: SendMessageProcessor = attrs.field(init=False)
    hold: PullRequestHold = attrs.field(init=False)
    locks: RebalanceLockManager = attrs.field(init=False)
    schedule: ScheduleMessageService = attrs.field(init=False)

    @property
    def is_slave(self) -> bool:
        """Whether this broker only follows a master: administrative changes are refused on it."""
        return self.identity.broker_id != 0
