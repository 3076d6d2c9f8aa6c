"""Headers of the name server.

Names are Java's; required fields come first. Source of names and defaults: Java's package
`org.apache.rocketmq.remoting.protocol.header`.
"""

from __future__ import annotations

from remoting.protocol.header_fields import Header, Int32, Int64


class PutKVConfigRequestHeader(Header, frozen=True):
    """Code 100."""

    namespace: str
    key: str
    value: str


class GetKVConfigRequestHeader(Header, frozen=True):
    """Code 101."""

    namespace: str
    key: str


class GetKVConfigResponseHeader(Header, frozen=True):
    """Answer to 101."""

    value: str | None = None


class DeleteKVConfigRequestHeader(Header, frozen=True):
    """Code 102."""

    namespace: str
    key: str


class GetKVListByNamespaceRequestHeader(Header, frozen=True):
    """Code 219."""

    namespace: str


class RegisterBrokerRequestHeader(Header, frozen=True):
    """Code 103."""

    broker_name: str
    broker_addr: str
    cluster_name: str
    ha_server_addr: str
    broker_id: Int64
    heartbeat_timeout_millis: Int64 | None = None
    enable_acting_master: bool | None = None
    compressed: bool = False
    body_crc32: Int32 = 0


class RegisterBrokerResponseHeader(Header, frozen=True):
    """Answer to 103."""

    ha_server_addr: str | None = None
    master_addr: str | None = None


class UnRegisterBrokerRequestHeader(Header, frozen=True):
    """Code 104."""

    broker_name: str
    broker_addr: str
    cluster_name: str
    broker_id: Int64


class GetRouteInfoRequestHeader(Header, frozen=True):
    """Code 105."""

    topic: str
    accept_standard_json_only: bool | None = None


class QueryDataVersionRequestHeader(Header, frozen=True):
    """Code 322."""

    broker_name: str
    broker_addr: str
    cluster_name: str
    broker_id: Int64


class QueryDataVersionResponseHeader(Header, frozen=True):
    """Answer to 322."""

    changed: bool


class BrokerHeartbeatRequestHeader(Header, frozen=True):
    """Code 904, one-way."""

    cluster_name: str
    broker_addr: str
    broker_name: str
    broker_id: Int64 | None = None
    epoch: Int32 | None = None
    max_offset: Int64 | None = None
    confirm_offset: Int64 | None = None
    heartbeat_timeout_mills: Int64 | None = None
    election_priority: Int32 | None = None


class GetBrokerMemberGroupRequestHeader(Header, frozen=True):
    """Code 901."""

    cluster_name: str
    broker_name: str


class GetTopicsByClusterRequestHeader(Header, frozen=True):
    """Code 224."""

    cluster: str


class DeleteTopicFromNamesrvRequestHeader(Header, frozen=True):
    """Code 216."""

    topic: str
    cluster_name: str | None = None


class RegisterTopicRequestHeader(Header, frozen=True):
    """Code 217."""

    topic: str


class WipeWritePermOfBrokerRequestHeader(Header, frozen=True):
    """Code 205."""

    broker_name: str


class WipeWritePermOfBrokerResponseHeader(Header, frozen=True):
    """Answer to 205."""

    wipe_topic_count: Int32


class AddWritePermOfBrokerRequestHeader(Header, frozen=True):
    """Code 327."""

    broker_name: str


class AddWritePermOfBrokerResponseHeader(Header, frozen=True):
    """Answer to 327."""

    add_topic_count: Int32


class NotifyMinBrokerIdChangeRequestHeader(Header, frozen=True):
    """Code 905, name server to broker, one-way."""

    min_broker_id: Int64 | None = None
    broker_name: str | None = None
    min_broker_addr: str | None = None
    offline_broker_addr: str | None = None
    ha_broker_addr: str | None = None
