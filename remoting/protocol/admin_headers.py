"""Headers of the administration of brokers and containers.

Names are Java's; required fields come first. Source of names and defaults: Java's package
`org.apache.rocketmq.remoting.protocol.header`.
"""

from __future__ import annotations

from remoting.protocol.header_fields import Header, Int32, Int64


class CreateTopicRequestHeader(Header, frozen=True):
    """Code 17."""

    topic: str
    default_topic: str
    read_queue_nums: Int32
    write_queue_nums: Int32
    perm: Int32
    topic_filter_type: str
    topic_sys_flag: Int32 | None = None
    order: bool = False
    attributes: str | None = None
    force: bool = False


class DeleteTopicRequestHeader(Header, frozen=True):
    """Code 215."""

    topic: str


class GetAllTopicConfigRequestHeader(Header, frozen=True):
    """Code 21."""

    topic_seq: Int32 = 0
    data_version: str | None = None
    max_topic_num: Int32 | None = None


class GetAllTopicConfigResponseHeader(Header, frozen=True):
    """Answer to 21."""

    total_topic_num: Int32


class GetTopicConfigRequestHeader(Header, frozen=True):
    """Code 351."""

    topic: str


class GetBrokerConfigResponseHeader(Header, frozen=True):
    """Answer to 25 and 26; `version` is a DataVersion as JSON."""

    version: str


class GetAllSubscriptionGroupRequestHeader(Header, frozen=True):
    """Code 201."""

    group_seq: Int32 = 0
    data_version: str | None = None
    max_group_num: Int32 | None = None


class GetAllSubscriptionGroupResponseHeader(Header, frozen=True):
    """Answer to 201."""

    total_group_num: Int32


class GetSubscriptionGroupConfigRequestHeader(Header, frozen=True):
    """Code 352."""

    group: str


class DeleteSubscriptionGroupRequestHeader(Header, frozen=True):
    """Code 207."""

    group_name: str
    clean_offset: bool = False


class GetTopicStatsInfoRequestHeader(Header, frozen=True):
    """Code 202."""

    topic: str


class GetConsumerConnectionListRequestHeader(Header, frozen=True):
    """Code 203."""

    consumer_group: str


class GetProducerConnectionListRequestHeader(Header, frozen=True):
    """Code 204."""

    producer_group: str


class GetConsumeStatsRequestHeader(Header, frozen=True):
    """Code 208; `topic_list` is separated by `;`."""

    consumer_group: str
    topic: str | None = None
    topic_list: str | None = None


class GetConsumeStatsInBrokerHeader(Header, frozen=True):
    """Code 317."""

    is_order: bool = False


class ResetOffsetRequestHeader(Header, frozen=True):
    """Code 220 (broker to client) and 222."""

    group: str
    topic: str
    queue_id: Int32 = -1
    offset: Int64 | None = None
    timestamp: Int64 = 0
    is_force: bool = False


class GetConsumerRunningInfoRequestHeader(Header, frozen=True):
    """Code 307, also broker to client."""

    consumer_group: str
    client_id: str
    jstack_enable: bool = False


class ConsumeMessageDirectlyResultRequestHeader(Header, frozen=True):
    """Code 309, also broker to client."""

    consumer_group: str
    client_id: str | None = None
    msg_id: str | None = None
    broker_name: str | None = None
    topic: str | None = None
    topic_sys_flag: Int32 | None = None
    group_sys_flag: Int32 | None = None


class QueryTopicConsumeByWhoRequestHeader(Header, frozen=True):
    """Code 300."""

    topic: str


class QueryTopicsByConsumerRequestHeader(Header, frozen=True):
    """Code 343."""

    group: str


class QuerySubscriptionByConsumerRequestHeader(Header, frozen=True):
    """Code 345."""

    group: str
    topic: str | None = None


class QueryConsumeTimeSpanRequestHeader(Header, frozen=True):
    """Code 303."""

    topic: str
    group: str


class ViewBrokerStatsDataRequestHeader(Header, frozen=True):
    """Code 315."""

    stats_name: str
    stats_key: str


class QueryConsumeQueueRequestHeader(Header, frozen=True):
    """Code 321."""

    topic: str | None = None
    queue_id: Int32 = 0
    index: Int64 = 0
    count: Int32 = 0
    consumer_group: str | None = None


class QueryCorrectionOffsetHeader(Header, frozen=True):
    """Code 308."""

    compare_group: str
    topic: str
    filter_groups: str | None = None


class CloneGroupOffsetRequestHeader(Header, frozen=True):
    """Code 314."""

    src_group: str
    dest_group: str
    topic: str | None = None
    offline: bool = False


class ResumeCheckHalfMessageRequestHeader(Header, frozen=True):
    """Code 323."""

    topic: str | None = None
    msg_id: str | None = None


class AddBrokerRequestHeader(Header, frozen=True):
    """Code 902, to a container."""

    config_path: str | None = None


class RemoveBrokerRequestHeader(Header, frozen=True):
    """Code 903, to a container."""

    broker_name: str
    broker_cluster_name: str
    broker_id: Int64
