"""A broker without sockets: real tables, a real store in a directory, a connection that keeps its answers."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import attrs
from fake_connection import FakeConnection, FakeTransport

from broker.clients import ClientChannelInfo, ConsumerManager, ProducerManager
from broker.config import BrokerConfig
from broker.context import BrokerContext
from broker.groups import SubscriptionGroupManager
from broker.offset_journal import OffsetJournal
from broker.offsets import ConsumerOffsetManager
from broker.pull import PullMessageProcessor
from broker.pull_hold import PullRequestHold
from broker.rebalance_lock import RebalanceLockManager
from broker.schedule import ScheduleMessageService
from broker.send import SendMessageProcessor
from broker.stats import BrokerStatsManager
from broker.subscription_match import inline_subscription
from broker.topics import TopicConfigManager
from logs.identity import BrokerIdentity
from remoting.command import RemotingCommand
from remoting.protocol.admin_body import TopicConfig
from remoting.protocol.message import MessageExt, decode_message, decode_messages
from store import ConfigTable, ManualClock, MessageStore, MessageStoreConfig, OsFileSystem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from store import FileSystem

NOW_MS = 1_700_000_000_000
SMALL_FILES = {
    "mapped_file_size_commit_log": 1 << 20,
    "mapped_file_size_consume_queue": 20 * 1000,
    "max_hash_slot_num": 100,
    "max_index_num": 1000,
}


@attrs.define(eq=False)
class Rig:
    """What a test drives and looks at."""

    context: BrokerContext
    clock: ManualClock
    connection: FakeConnection
    sends: SendMessageProcessor
    pulls: PullMessageProcessor

    def topic(self, name: str, queues: int = 4, **fields: Any) -> None:
        """Create a topic."""
        self.context.topics._put(
            [TopicConfig(topic_name=name, read_queue_nums=queues, write_queue_nums=queues, **fields)]
        )

    def send(self, *requests: RemotingCommand) -> list[RemotingCommand]:
        """Handle sends of one read; returns the answers in the order of the requests."""
        self.sends.process_batch(cast("Any", self.connection), list(requests))
        return [self.connection.answer_to(request) for request in requests]

    def pull(self, request: RemotingCommand) -> RemotingCommand | None:
        """Handle a pull; None when it is held."""
        answer = self.pulls.process(cast("Any", self.connection), request)
        return answer or self.connection.answers.get(request.opaque)

    def subscribe(
        self, group: str, topic: str, expression: str = "*", *, version: int = 1, **fields: Any
    ) -> None:
        """A heartbeat of a push consumer."""
        client = ClientChannelInfo(cast("Any", self.connection), f"{group}-client", "JAVA", 479, 0)
        subscription = inline_subscription(topic, expression, "TAG", version)
        known = {"consume_type": "CONSUME_PASSIVELY", "message_model": "CLUSTERING"} | fields
        self.context.consumers.register(
            group,
            client,
            consume_from_where="CONSUME_FROM_LAST_OFFSET",
            subscriptions=[subscription],
            **known,
        )

    def messages(self, topic: str, queue_id: int = 0) -> list[MessageExt]:
        """Everything readable in a queue."""
        store = self.context.store
        units = store.consume_queue_units(topic, queue_id, max(store.min_offset(topic, queue_id), 0), 10_000)
        return [decode_message(cast("bytes", store.message_at(unit[0])), check_crc=True) for unit in units]

    def close(self) -> None:
        """Stop the store in order."""
        self.context.store.shutdown()
        self.context.store.release()


@contextmanager
def open_rig(
    root: Path,
    *,
    config: dict[str, Any] | None = None,
    store: dict[str, Any] | None = None,
    clock: ManualClock | None = None,
    broker_id: int = 0,
) -> Iterator[Rig]:
    """A broker over the directory `root`; open the same again to restart it."""
    clock = clock or ManualClock(NOW_MS)
    settings = BrokerConfig(listen_port=10_911, broker_ip1="127.0.0.1", **(config or {}))
    store_settings = MessageStoreConfig(store_path_root_dir=str(root), **{**SMALL_FILES, **(store or {})})
    message_store = MessageStore(
        store_settings, broker_name="broker-a", store_host=("127.0.0.1", 10_911), clock=clock
    )
    message_store.reserve()
    try:
        message_store.load()
        rig = _rig(root, settings, store_settings, message_store, clock, broker_id)
        yield rig
        message_store.shutdown()
    finally:
        message_store.release()


def rig_on(disk: FileSystem, root: Path, *, clock: ManualClock, **store: Any) -> Rig:
    """A broker over a disk that a test may crash: nothing of it is ever stopped.

    Args:
        disk: Of the store and of the tables.
        store: Fields of `MessageStoreConfig`.
    """
    config = MessageStoreConfig(store_path_root_dir=str(root), **{**SMALL_FILES, **store})
    message_store = MessageStore(
        config, broker_name="broker-a", store_host=("127.0.0.1", 10_911), files=disk, clock=clock
    )
    message_store.reserve()
    message_store.load()
    settings = BrokerConfig(listen_port=10_911, broker_ip1="127.0.0.1")
    return _rig(root, settings, config, message_store, clock, 0, disk)


def _rig(
    root: Path,
    config: BrokerConfig,
    store_config: MessageStoreConfig,
    store: MessageStore,
    clock: ManualClock,
    broker_id: int,
    files: FileSystem | None = None,
) -> Rig:
    files = files or OsFileSystem()

    def table(name: str) -> ConfigTable:
        return ConfigTable(f"{root}/config/{name}.json", files)

    topics = TopicConfigManager(config, table("topics"), clock_ms=clock.now_ms)
    parts: dict[str, Any] = {
        "config": config,
        "store_config": store_config,
        "identity": BrokerIdentity(config.broker_cluster_name, config.broker_name, broker_id),
        "address": "127.0.0.1:10911",
        "clock_ms": clock.now_ms,
        "transport": FakeTransport(),
        "store": store,
        "topics": topics,
        "groups": SubscriptionGroupManager(config, table("subscriptionGroup"), clock_ms=clock.now_ms),
        "offsets": ConsumerOffsetManager(
            table("consumerOffset"),
            clock_ms=clock.now_ms,
            journal=OffsetJournal(f"{root}/config/consumerOffset.journal", files),
        ),
        "producers": ProducerManager(config, clock_ms=clock.now_ms),
        "consumers": ConsumerManager(config, clock_ms=clock.now_ms),
        "stats": BrokerStatsManager("c", clock_ms=clock.now_ms, is_system=topics.is_system),
    }
    # The other parts serve administration and name servers; nothing here touches them.
    names = [field.name for field in attrs.fields(BrokerContext) if field.init]
    context = BrokerContext(**(dict.fromkeys(names) | parts))
    context.hold = PullRequestHold(context)
    context.locks = RebalanceLockManager(context)
    context.schedule = ScheduleMessageService(context, table("delayOffset"))
    context.schedule.load()
    store.on_arrival += [context.schedule.on_arrival, context.hold.on_arrival]
    return Rig(context, clock, FakeConnection(), SendMessageProcessor(context), PullMessageProcessor(context))


def properties(**pairs: str) -> str:
    """A properties text."""
    return "".join(f"{name}\x01{value}\x02" for name, value in pairs.items())


def send_request(topic: str = "T", body: bytes = b"hello", **changes: str | None) -> RemotingCommand:
    """A send by the new header; a change to None takes the field away."""
    fields: dict[str, str | None] = {
        "a": "producers", "b": topic, "c": "TBW102", "d": "4", "e": "0", "f": "0", "g": "1699999999999",
        "h": "0", "i": properties(UNIQ_KEY="0A0B", WAIT="true"), "j": "0", "k": "false", "m": "false",
    }  # fmt: skip
    fields.update(changes)
    request = RemotingCommand.request(310, {k: v for k, v in fields.items() if v is not None}, body)
    request.version = 479
    return request


def pull_request(topic: str = "T", code: int = 11, **changes: str | None) -> RemotingCommand:
    """A pull of group `g` with the subscription of its heartbeats."""
    fields: dict[str, str | None] = {
        "consumerGroup": "g", "topic": topic, "queueId": "0", "queueOffset": "0", "maxMsgNums": "32",
        "sysFlag": "2", "commitOffset": "0", "suspendTimeoutMillis": "15000", "subVersion": "1",
    }  # fmt: skip
    fields.update(changes)
    return RemotingCommand.request(code, {k: v for k, v in fields.items() if v is not None})


def bodies(answer: RemotingCommand | None) -> list[bytes]:
    """Bodies of the messages that a pull brought."""
    assert answer is not None
    return [message.body for message in decode_messages(bytes(answer.body))]
