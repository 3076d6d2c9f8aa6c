"""Bodies and parts of bodies that clients, brokers and name servers exchange in normal operation.

Sources of the names: Java's packages `org.apache.rocketmq.remoting.protocol.body` and
`org.apache.rocketmq.common.message`.
"""

from __future__ import annotations

import attrs

from remoting.protocol.body_fields import Body, wired


@attrs.frozen(order=True)
class MessageQueue(Body):
    """A queue of a topic on one group of brokers; also stands as a key in JSON maps."""

    topic: str
    broker_name: str
    queue_id: int


@attrs.frozen(kw_only=True)
class DataVersion(Body):
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


@attrs.frozen(kw_only=True)
class KVTable(Body):
    """Names and values: answer to 28 and 219, order configs in the answer to 103."""

    table: dict[str, str] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class GetConsumerListByGroupResponseBody(Body):
    """Answer to 38."""

    consumer_id_list: list[str] = attrs.field(factory=list)


@attrs.frozen(kw_only=True)
class LockBatchRequestBody(Body):
    """Code 41."""

    consumer_group: str | None = None
    client_id: str | None = None
    only_this_broker: bool = False
    mq_set: frozenset[MessageQueue] = frozenset()


@attrs.frozen(kw_only=True)
class UnlockBatchRequestBody(Body):
    """Code 42."""

    consumer_group: str | None = None
    client_id: str | None = None
    only_this_broker: bool = False
    mq_set: frozenset[MessageQueue] = frozenset()


@attrs.frozen(kw_only=True)
class LockBatchResponseBody(Body):
    """Answer to 41: the queues that the client holds now."""

    lock_ok_mq_set: frozenset[MessageQueue] = wired("lockOKMQSet", frozenset())


@attrs.frozen(kw_only=True)
class ResetOffsetBody(Body):
    """Code 220 (broker to client) and answer to 222."""

    offset_table: dict[MessageQueue, int] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class MessageQueueForC(Body):
    """A queue with its offset, as C++ clients read it."""

    topic: str
    broker_name: str
    queue_id: int
    offset: int


@attrs.frozen(kw_only=True)
class ResetOffsetBodyForC(Body):
    """Code 220 to C++ clients, which cannot read objects as keys."""

    offset_table: list[MessageQueueForC] = attrs.field(factory=list)


@attrs.frozen(kw_only=True)
class GetConsumerStatusBody(Body):
    """Answer to 221 (`message_queue_table`) and 223 (`consumer_table`)."""

    message_queue_table: dict[MessageQueue, int] = attrs.field(factory=dict)
    consumer_table: dict[str, dict[MessageQueue, int]] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class BrokerMemberGroup(Body):
    """The brokers of one name."""

    cluster: str | None = None
    broker_name: str | None = None
    broker_addrs: dict[int, str] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class GetBrokerMemberGroupResponseBody(Body):
    """Answer to 901."""

    broker_member_group: BrokerMemberGroup | None = None


@attrs.frozen(kw_only=True)
class TopicList(Body):
    """Answer to 206, 224, 304, 305, 311 to 313, 343."""

    topic_list: list[str] = attrs.field(factory=list)
    broker_addr: str | None = None


@attrs.frozen(kw_only=True)
class GroupList(Body):
    """Answer to 300."""

    group_list: list[str] = attrs.field(factory=list)
