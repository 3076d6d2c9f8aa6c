"""The parts of one broker and its two ports, put together. Nothing here is opened or started."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker import (
    admin,
    client_manage,
    message_query,
    offset_query,
    pull,
    rebalance_lock,
    send_back,
)
from broker.clients import ConsumerManager, ProducerManager
from broker.context import BrokerContext
from broker.former_identities import FormerIdentities, RegisteredIdentity
from broker.groups import SubscriptionGroupManager
from broker.offset_journal import OffsetJournal
from broker.offsets import ConsumerOffsetManager
from broker.pull_hold import PullRequestHold
from broker.rebalance_lock import RebalanceLockManager
from broker.registration import Registration
from broker.schedule import ScheduleMessageService
from broker.send import SendMessageProcessor
from broker.stats import BrokerStatsManager
from broker.topics import TopicConfigManager
from remoting.processors import ProcessorTable
from store import ConfigTable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from broker.config import BrokerConfig
    from configuration import Configuration
    from logs.identity import BrokerIdentity
    from remoting.client import RemotingClient
    from remoting.server import Transport
    from store import FileSystem, MessageStore

__all__ = ["build_context", "processor_tables"]


def build_context(
    *,
    config: BrokerConfig,
    configuration: Configuration,
    identity: BrokerIdentity,
    address: str,
    ha_address: str,
    name_servers: Sequence[str],
    transport: Transport,
    client: RemotingClient,
    store: MessageStore,
    files: FileSystem,
    clock_ms: Callable[[], int],
) -> BrokerContext:
    """Everything of a broker; its tables and its store are to be loaded.

    Args:
        address, ha_address: `ip:port` with the real ports.
        name_servers: `host:port` each.
        files: where the tables lie, below the root of `store`.
    """
    root = store.config.store_path_root_dir

    def table(name: str) -> ConfigTable:
        return ConfigTable(f"{root}/config/{name}.json", files)

    topics = TopicConfigManager(config, table("topics"), clock_ms=clock_ms)
    registered = RegisteredIdentity(identity.cluster, identity.name, identity.broker_id, address)
    # Any free port is another one each time: nobody is found there under a former name.
    former = FormerIdentities(table("registeredAs"), registered) if config.listen_port else None
    context = BrokerContext(
        config=config,
        store_config=store.config,
        identity=identity,
        address=address,
        clock_ms=clock_ms,
        configuration=configuration,
        transport=transport,
        client=client,
        store=store,
        topics=topics,
        groups=SubscriptionGroupManager(config, table("subscriptionGroup"), clock_ms=clock_ms),
        offsets=ConsumerOffsetManager(
            table("consumerOffset"),
            clock_ms=clock_ms,
            journal=OffsetJournal(f"{root}/config/consumerOffset.journal", files),
            version_step=lambda: config.consumer_offset_update_version_step,
        ),
        producers=ProducerManager(config, clock_ms=clock_ms),
        consumers=ConsumerManager(config, clock_ms=clock_ms),
        stats=BrokerStatsManager(config.broker_cluster_name, clock_ms=clock_ms, is_system=topics.is_system),
        registration=Registration(
            config=config,
            identity=identity,
            address=address,
            ha_address=ha_address,
            topics=topics,
            client=client,
            name_servers=name_servers,
            clock_ms=clock_ms,
            former=former,
        ),
    )
    context.sends = SendMessageProcessor(context)
    context.hold = PullRequestHold(context)
    context.locks = RebalanceLockManager(context)
    context.schedule = ScheduleMessageService(context, table("delayOffset"))
    return context


def processor_tables(context: BrokerContext) -> tuple[ProcessorTable, ProcessorTable]:
    """What the listening port serves, and what the fast port does: the same without pulls."""
    main, fast = ProcessorTable(), ProcessorTable()
    for table in (main, fast):
        for processor in (send_back, message_query, offset_query, client_manage, rebalance_lock, admin):
            processor.register(table, context)
        context.sends.register(table)
    pull.register(main, context)
    return main, fast
