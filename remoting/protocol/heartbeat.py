"""What clients say about themselves every 30 seconds: the body of 34.

Java source: `org.apache.rocketmq.remoting.protocol.heartbeat`.
"""

from __future__ import annotations

import attrs

from remoting.protocol.body_fields import Body, wired


@attrs.frozen(kw_only=True)
class SubscriptionData(Body):
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


@attrs.frozen(kw_only=True)
class ConsumerData(Body):
    """One consumer group that a client is a member of."""

    group_name: str = ""
    consume_type: str | None = None
    """"CONSUME_ACTIVELY" (pull), "CONSUME_PASSIVELY" (push) or "CONSUME_POP"."""
    message_model: str | None = None
    """"CLUSTERING" or "BROADCASTING"."""
    consume_from_where: str | None = None
    subscription_data_set: list[SubscriptionData] = attrs.field(factory=list)
    unit_mode: bool = False


@attrs.frozen(kw_only=True)
class ProducerData(Body):
    """One producer group that a client is a member of."""

    group_name: str = ""


@attrs.frozen(kw_only=True)
class HeartbeatData(Body):
    """The heartbeat of one client."""

    client_id: str = wired("clientID", "")
    producer_data_set: list[ProducerData] = attrs.field(factory=list)
    consumer_data_set: list[ConsumerData] = attrs.field(factory=list)
    heartbeat_fingerprint: int = 0
    """Not 0: the client speaks the second form of heartbeats."""
    without_sub: bool = False
    """The subscriptions are left out; they are those of an earlier beat with the same fingerprint."""


@attrs.frozen(kw_only=True)
class CheckClientRequestBody(Body):
    """Code 46."""

    client_id: str | None = None
    group: str | None = None
    namespace: str | None = None
    subscription_data: SubscriptionData | None = None
