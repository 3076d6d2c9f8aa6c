"""What clients say about themselves every 30 seconds: the body of 34.

Java source: `org.apache.rocketmq.remoting.protocol.heartbeat`.
"""

from __future__ import annotations

from msgspec import field

from remoting.protocol.body_fields import Body


class SubscriptionData(Body, frozen=True, kw_only=True):
    """One topic that a consumer wants, and which of its messages."""

    topic: str | None = None
    sub_string: str | None = None
    """The expression as the user wrote it."""
    expression_type: str | None = "TAG"
    """"TAG" or "SQL92"."""
    tags_set: frozenset[str] = frozenset()
    code_set: frozenset[int] = frozenset()
    """Java hash codes of the tags."""
    sub_version: int = 0
    """Grows with each change; clients take the time in ms."""
    class_filter_mode: bool = False


class ConsumerData(Body, frozen=True, kw_only=True):
    """One consumer group that a client is a member of."""

    group_name: str = ""
    consume_type: str | None = None
    """"CONSUME_ACTIVELY" (pull), "CONSUME_PASSIVELY" (push) or "CONSUME_POP"."""
    message_model: str | None = None
    """"CLUSTERING" or "BROADCASTING"."""
    consume_from_where: str | None = None
    subscription_data_set: list[SubscriptionData] = field(default_factory=list)
    unit_mode: bool = False


class ProducerData(Body, frozen=True, kw_only=True):
    """One producer group that a client is a member of."""

    group_name: str = ""


class HeartbeatData(Body, frozen=True, kw_only=True):
    """The heartbeat of one client."""

    client_id: str = field(default="", name="clientID")
    producer_data_set: list[ProducerData] = field(default_factory=list)
    consumer_data_set: list[ConsumerData] = field(default_factory=list)
    heartbeat_fingerprint: int = 0
    """Not 0: the client speaks the second form of heartbeats."""
    without_sub: bool = False
    """The subscriptions are left out; they are those of an earlier beat with the same fingerprint."""


class CheckClientRequestBody(Body, frozen=True, kw_only=True):
    """Code 46."""

    client_id: str | None = None
    group: str | None = None
    namespace: str | None = None
    subscription_data: SubscriptionData | None = None
