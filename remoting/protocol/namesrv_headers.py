"""Headers of the name server.

Names are Java's; required fields come first. Source of names and defaults: Java's package
`org.apache.rocketmq.remoting.protocol.header`.
"""

from __future__ import annotations

import attrs

from remoting.protocol.header_fields import Header, boolean, int32, int64, text


@attrs.frozen
class PutKVConfigRequestHeader(Header):
    """Code 100."""

    namespace: str = text()
    key: str = text()
    value: str = text()


@attrs.frozen
class GetKVConfigRequestHeader(Header):
    """Code 101."""

    namespace: str = text()
    key: str = text()


@attrs.frozen
class GetKVConfigResponseHeader(Header):
    """Answer to 101."""

    value: str | None = text(None)


@attrs.frozen
class DeleteKVConfigRequestHeader(Header):
    """Code 102."""

    namespace: str = text()
    key: str = text()


@attrs.frozen
class GetKVListByNamespaceRequestHeader(Header):
    """Code 219."""

    namespace: str = text()


@attrs.frozen
class RegisterBrokerRequestHeader(Header):
    """Code 103."""

    broker_name: str = text()
    broker_addr: str = text()
    cluster_name: str = text()
    ha_server_addr: str = text()
    broker_id: int = int64()
    heartbeat_timeout_millis: int | None = int64(None)
    enable_acting_master: bool | None = boolean(None)
    compressed: bool = boolean(False)
    body_crc32: int = int32(0)


@attrs.frozen
class RegisterBrokerResponseHeader(Header):
    """Answer to 103."""

    ha_server_addr: str | None = text(None)
    master_addr: str | None = text(None)


@attrs.frozen
class UnRegisterBrokerRequestHeader(Header):
    """Code 104."""

    broker_name: str = text()
    broker_addr: str = text()
    cluster_name: str = text()
    broker_id: int = int64()


@attrs.frozen
class GetRouteInfoRequestHeader(Header):
    """Code 105."""

    topic: str = text()
    accept_standard_json_only: bool | None = boolean(None)


@attrs.frozen
class QueryDataVersionRequestHeader(Header):
    """Code 322."""

    broker_name: str = text()
    broker_addr: str = text()
    cluster_name: str = text()
    broker_id: int = int64()


@attrs.frozen
class QueryDataVersionResponseHeader(Header):
    """Answer to 322."""

    changed: bool = boolean()


@attrs.frozen
class BrokerHeartbeatRequestHeader(Header):
    """Code 904, one-way."""

    cluster_name: str = text()
    broker_addr: str = text()
    broker_name: str = text()
    broker_id: int | None = int64(None)
    epoch: int | None = int32(None)
    max_offset: int | None = int64(None)
    confirm_offset: int | None = int64(None)
    heartbeat_timeout_mills: int | None = int64(None)
    election_priority: int | None = int32(None)


@attrs.frozen
class GetBrokerMemberGroupRequestHeader(Header):
    """Code 901."""

    cluster_name: str = text()
    broker_name: str = text()


@attrs.frozen
class GetTopicsByClusterRequestHeader(Header):
    """Code 224."""

    cluster: str = text()


@attrs.frozen
class DeleteTopicFromNamesrvRequestHeader(Header):
    """Code 216."""

    topic: str = text()
    cluster_name: str | None = text(None)


@attrs.frozen
class RegisterTopicRequestHeader(Header):
    """Code 217."""

    topic: str = text()


@attrs.frozen
class WipeWritePermOfBrokerRequestHeader(Header):
    """Code 205."""

    broker_name: str = text()


@attrs.frozen
class WipeWritePermOfBrokerResponseHeader(Header):
    """Answer to 205."""

    wipe_topic_count: int = int32()


@attrs.frozen
class AddWritePermOfBrokerRequestHeader(Header):
    """Code 327."""

    broker_name: str = text()


@attrs.frozen
class AddWritePermOfBrokerResponseHeader(Header):
    """Answer to 327."""

    add_topic_count: int = int32()


@attrs.frozen
class NotifyMinBrokerIdChangeRequestHeader(Header):
    """Code 905, name server to broker, one-way."""

    min_broker_id: int | None = int64(None)
    broker_name: str | None = text(None)
    min_broker_addr: str | None = text(None)
    offline_broker_addr: str | None = text(None)
    ha_broker_addr: str | None = text(None)
