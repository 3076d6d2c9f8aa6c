"""Bodies and parts of bodies that clients, brokers and name servers exchange in normal operation.

Sources of the names: Java's packages `org.apache.rocketmq.remoting.protocol.body` and
`org.apache.rocketmq.common.message`.
"""

from __future__ import annotations

from msgspec import field

from remoting.protocol.body_fields import Body


class MessageQueue(Body, frozen=True, order=True):
    """A queue of a topic on one group of brokers; also stands as a key in JSON maps."""

    topic: str
    broker_name: str
    queue_id: int


class DataVersion(Body, frozen=True, kw_only=True):
    """Which state of a table a copy has. Compare with `order`, not with timestamps alone."""

    state_version: int = 0
    counter: int = 0
    timestamp: int = 0
    """ms"""

    @property
    def order(self) -> tuple[int, int, int]:
        """Newer states have greater ones (Java: `DataVersion.compare`)."""
        return (self.state_version, self.counter, self.timestamp)

    def next(self, now_ms: int, state_version: int = 0) -> DataVersion:
        """The version after a change."""
        return DataVersion(state_version=state_version, counter=self.counter + 1, timestamp=now_ms)


class KVTable(Body, frozen=True, kw_only=True):
    """Names and values: answer to 28 and 219, order configs in the answer to 103."""

    table: dict[str, str] = field(default_factory=dict)


class GetConsumerListByGroupResponseBody(Body, frozen=True, kw_only=True):
    """Answer to 38."""

    consumer_id_list: list[str] = field(default_factory=list)


class LockBatchRequestBody(Body, frozen=True, kw_only=True):
    """Code 41."""

    consumer_group: str | None = None
    client_id: str | None = None
    only_this_broker: bool = False
    mq_set: frozenset[MessageQueue] = frozenset()


class UnlockBatchRequestBody(Body, frozen=True, kw_only=True):
    """Code 42."""

    consumer_group: str | None = None
    client_id: str | None = None
    only_this_broker: bool = False
    mq_set: frozenset[MessageQueue] = frozenset()


class LockBatchResponseBody(Body, frozen=True, kw_only=True):
    """Answer to 41: the queues that the client holds now."""

    lock_ok_mq_set: frozenset[MessageQueue] = field(default=frozenset(), name="lockOKMQSet")


class ResetOffsetBody(Body, frozen=True, kw_only=True):
    """Code 220 (broker to client) and answer to 222."""

    offset_table: dict[MessageQueue, int] = field(default_factory=dict)


class MessageQueueForC(Body, frozen=True, kw_only=True):
    """A queue with its offset, as C++ clients read it."""

    topic: str
    broker_name: str
    queue_id: int
    offset: int


class ResetOffsetBodyForC(Body, frozen=True, kw_only=True):
    """Code 220 to C++ clients, which cannot read objects as keys."""

    offset_table: list[MessageQueueForC] = field(default_factory=list)


class GetConsumerStatusBody(Body, frozen=True, kw_only=True):
    """Answer to 221 (`message_queue_table`) and 223 (`consumer_table`)."""

    message_queue_table: dict[MessageQueue, int] = field(default_factory=dict)
    consumer_table: dict[str, dict[MessageQueue, int]] = field(default_factory=dict)


class BrokerMemberGroup(Body, frozen=True, kw_only=True):
    """The brokers of one name."""

    cluster: str | None = None
    broker_name: str | None = None
    broker_addrs: dict[int, str] = field(default_factory=dict)


class GetBrokerMemberGroupResponseBody(Body, frozen=True, kw_only=True):
    """Answer to 901."""

    broker_member_group: BrokerMemberGroup | None = None


class TopicList(Body, frozen=True, kw_only=True):
    """Answer to 206, 224, 304, 305, 311 to 313, 343."""

    topic_list: list[str] = field(default_factory=list)
    broker_addr: str | None = None


class GroupList(Body, frozen=True, kw_only=True):
    """Answer to 300."""

    group_list: list[str] = field(default_factory=list)
