"""Bodies of the administration, and the configuration objects of topics and groups.

Sources of names and defaults: the packages admin, body and subscription of Java's
`org.apache.rocketmq.remoting.protocol`, and `org.apache.rocketmq.common.TopicConfig`.
"""

from __future__ import annotations

from typing import Any

from msgspec import field

from remoting.protocol.body import DataVersion, GroupList, KVTable, MessageQueue, TopicList
from remoting.protocol.body_fields import Body
from remoting.protocol.heartbeat import SubscriptionData  # noqa: TC001 - annotations are read at run time
from remoting.protocol.route import BrokerData  # noqa: TC001 - annotations are read at run time

__all__ = [
    "BrokerStatsData",
    "BrokerStatsItem",
    "ClusterInfo",
    "Connection",
    "ConsumeMessageDirectlyResult",
    "ConsumeQueueData",
    "ConsumeStats",
    "ConsumeStatsList",
    "ConsumeStatus",
    "ConsumerConnection",
    "ConsumerRunningInfo",
    "CreateTopicListRequestBody",
    "DataVersion",
    "GroupList",
    "KVTable",
    "OffsetWrapper",
    "PopProcessQueueInfo",
    "ProcessQueueInfo",
    "ProducerConnection",
    "ProducerInfo",
    "ProducerTableInfo",
    "QueryConsumeQueueResponseBody",
    "QueryConsumeTimeSpanBody",
    "QueryCorrectionOffsetBody",
    "QuerySubscriptionResponseBody",
    "QueueTimeSpan",
    "RegisterBrokerBody",
    "SubscriptionGroupConfig",
    "SubscriptionGroupList",
    "SubscriptionGroupWrapper",
    "TopicConfig",
    "TopicConfigAndMappingSerializeWrapper",
    "TopicList",
    "TopicOffset",
    "TopicStatsTable",
]


class TopicConfig(Body, frozen=True, kw_only=True):
    """One topic of a broker."""

    topic_name: str = ""
    read_queue_nums: int = 16
    write_queue_nums: int = 16
    perm: int = 6
    """Bits: 4 read, 2 write, 1 inherit."""
    topic_filter_type: str = "SINGLE_TAG"
    topic_sys_flag: int = 0
    order: bool = False
    attributes: dict[str, str] = field(default_factory=dict)


class CreateTopicListRequestBody(Body, frozen=True, kw_only=True):
    """Code 18."""

    topic_config_list: list[TopicConfig] = field(default_factory=list)


class TopicConfigAndMappingSerializeWrapper(Body, frozen=True, kw_only=True):
    """Answer to 21, part of 103, and the content of topics.json."""

    data_version: DataVersion = field(default_factory=DataVersion)
    mapping_data_version: DataVersion = field(default_factory=DataVersion)
    topic_config_table: dict[str, TopicConfig] = field(default_factory=dict)
    topic_queue_mapping_detail_map: dict[str, Any] = field(default_factory=dict)
    topic_queue_mapping_info_map: dict[str, Any] = field(default_factory=dict)


class RegisterBrokerBody(Body, frozen=True, kw_only=True):
    """Code 103, not compressed."""

    topic_config_serialize_wrapper: TopicConfigAndMappingSerializeWrapper = field(
        default_factory=TopicConfigAndMappingSerializeWrapper
    )
    filter_server_list: list[str] = field(default_factory=list)


def _default_retry_policy() -> dict[str, Any]:
    return {"type": "CUSTOMIZED"}


class SubscriptionGroupConfig(Body, frozen=True, kw_only=True):
    """One consumer group of a broker."""

    group_name: str = ""
    consume_enable: bool = True
    consume_from_min_enable: bool = True
    consume_broadcast_enable: bool = True
    consume_message_orderly: bool = False
    retry_queue_nums: int = 1
    retry_max_times: int = 16
    group_retry_policy: dict[str, Any] = field(default_factory=_default_retry_policy)
    broker_id: int = 0
    which_broker_when_consume_slowly: int = 1
    notify_consumer_ids_changed_enable: bool = True
    group_sys_flag: int = 0
    consume_timeout_minute: int = 15
    subscription_data_set: list[Any] | None = None
    attributes: dict[str, str] = field(default_factory=dict)


class SubscriptionGroupList(Body, frozen=True, kw_only=True):
    """Code 225."""

    group_config_list: list[SubscriptionGroupConfig] = field(default_factory=list)


class SubscriptionGroupWrapper(Body, frozen=True, kw_only=True):
    """Answer to 201 and the content of subscriptionGroup.json."""

    data_version: DataVersion = field(default_factory=DataVersion)
    forbidden_table: dict[str, dict[str, int]] = field(default_factory=dict)
    subscription_group_table: dict[str, SubscriptionGroupConfig] = field(default_factory=dict)


class ClusterInfo(Body, frozen=True, kw_only=True):
    """Answer to 106; always written with numbers as keys (`json_dialect.dumps`)."""

    broker_addr_table: dict[str, BrokerData] = field(default_factory=dict)
    cluster_addr_table: dict[str, list[str]] = field(default_factory=dict)


class TopicOffset(Body, frozen=True, kw_only=True):
    """What one queue holds."""

    min_offset: int = 0
    max_offset: int = 0
    last_update_timestamp: int = 0


class TopicStatsTable(Body, frozen=True, kw_only=True):
    """Answer to 202."""

    offset_table: dict[MessageQueue, TopicOffset] = field(default_factory=dict)
    topic_put_tps: float = 0.0


class OffsetWrapper(Body, frozen=True, kw_only=True):
    """How far a group is in one queue."""

    broker_offset: int = 0
    consumer_offset: int = 0
    pull_offset: int = 0
    last_timestamp: int = 0


class ConsumeStats(Body, frozen=True, kw_only=True):
    """Answer to 208."""

    offset_table: dict[MessageQueue, OffsetWrapper] = field(default_factory=dict)
    consume_tps: float = 0.0


class ConsumeStatsList(Body, frozen=True, kw_only=True):
    """Answer to 317."""

    consume_stats_list: list[dict[str, list[ConsumeStats]]] = field(default_factory=list)
    broker_addr: str | None = None
    total_diff: int = 0
    total_inflight_diff: int = 0


class Connection(Body, frozen=True, kw_only=True):
    """One client of a group."""

    client_id: str | None = None
    client_addr: str | None = None
    language: str | None = None
    version: int = 0


class ConsumerConnection(Body, frozen=True, kw_only=True):
    """Answer to 203."""

    connection_set: list[Connection] = field(default_factory=list)
    subscription_table: dict[str, SubscriptionData] = field(default_factory=dict)
    consume_type: str | None = None
    message_model: str | None = None
    consume_from_where: str | None = None


class ProducerConnection(Body, frozen=True, kw_only=True):
    """Answer to 204."""

    connection_set: list[Connection] = field(default_factory=list)


class ProducerInfo(Body, frozen=True, kw_only=True):
    """One client of a producer group."""

    client_id: str | None = None
    remote_ip: str | None = field(default=None, name="remoteIP")
    language: str | None = None
    version: int = 0
    last_update_timestamp: int = 0


class ProducerTableInfo(Body, frozen=True, kw_only=True):
    """Answer to 328."""

    data: dict[str, list[ProducerInfo]] = field(default_factory=dict)


class ProcessQueueInfo(Body, frozen=True, kw_only=True):
    """A queue inside a push consumer."""

    commit_offset: int = 0
    cached_msg_min_offset: int = 0
    cached_msg_max_offset: int = 0
    cached_msg_count: int = 0
    cached_msg_size_in_mib: int = field(default=0, name="cachedMsgSizeInMiB")
    transaction_msg_min_offset: int = 0
    transaction_msg_max_offset: int = 0
    transaction_msg_count: int = 0
    locked: bool = False
    try_unlock_times: int = 0
    last_lock_timestamp: int = 0
    droped: bool = False
    last_pull_timestamp: int = 0
    last_consume_timestamp: int = 0


class PopProcessQueueInfo(Body, frozen=True, kw_only=True):
    """A queue inside a pop consumer."""

    wait_ack_count: int = 0
    droped: bool = False
    last_pop_timestamp: int = 0


class ConsumeStatus(Body, frozen=True, kw_only=True):
    """Rates of a consumer for one topic."""

    pull_rt: float = field(default=0.0, name="pullRT")
    pull_tps: float = field(default=0.0, name="pullTPS")
    consume_rt: float = field(default=0.0, name="consumeRT")
    consume_ok_tps: float = field(default=0.0, name="consumeOKTPS")
    consume_failed_tps: float = field(default=0.0, name="consumeFailedTPS")
    consume_failed_msgs: int = 0


class ConsumerRunningInfo(Body, frozen=True, kw_only=True):
    """Answer to 307."""

    properties: dict[str, str] = field(default_factory=dict)
    subscription_set: list[SubscriptionData] = field(default_factory=list)
    mq_table: dict[MessageQueue, ProcessQueueInfo] = field(default_factory=dict)
    mq_pop_table: dict[MessageQueue, PopProcessQueueInfo] = field(default_factory=dict)
    status_table: dict[str, ConsumeStatus] = field(default_factory=dict)
    user_consumer_info: dict[str, str] = field(default_factory=dict)
    jstack: str | None = None


class ConsumeMessageDirectlyResult(Body, frozen=True, kw_only=True):
    """Answer to 309. `consume_result` is CR_SUCCESS, CR_LATER, CR_ROLLBACK, CR_COMMIT, CR_RETURN_NULL or
    CR_THROW_EXCEPTION.
    """

    order: bool = False
    auto_commit: bool = True
    consume_result: str | None = None
    remark: str | None = None
    spent_time_mills: int = 0


class QuerySubscriptionResponseBody(Body, frozen=True, kw_only=True):
    """Answer to 345."""

    subscription_data: SubscriptionData | None = None
    group: str | None = None
    topic: str | None = None


class QueueTimeSpan(Body, frozen=True, kw_only=True):
    """The times, in ms, between which a queue's messages lie, and how late a group is.

    Java writes each time as a text of its own time zone as well; nobody reads those.
    """

    message_queue: MessageQueue | None = None
    min_time_stamp: int = 0
    max_time_stamp: int = 0
    consume_time_stamp: int = 0
    delay_time: int = 0


class QueryConsumeTimeSpanBody(Body, frozen=True, kw_only=True):
    """Answer to 303."""

    consume_time_span_set: list[QueueTimeSpan] = field(default_factory=list)


class BrokerStatsItem(Body, frozen=True, kw_only=True):
    """Sum, rate and average of one span of time."""

    sum: int = 0
    tps: float = 0.0
    avgpt: float = 0.0


class BrokerStatsData(Body, frozen=True, kw_only=True):
    """Answer to 315."""

    stats_minute: BrokerStatsItem = field(default_factory=BrokerStatsItem)
    stats_hour: BrokerStatsItem = field(default_factory=BrokerStatsItem)
    stats_day: BrokerStatsItem = field(default_factory=BrokerStatsItem)


class ConsumeQueueData(Body, frozen=True, kw_only=True):
    """One unit of a consume queue."""

    physic_offset: int = 0
    physic_size: int = 0
    tags_code: int = 0
    extend_data_json: str | None = None
    bit_map: str | None = None
    eval: bool = False
    msg: str | None = None


class QueryConsumeQueueResponseBody(Body, frozen=True, kw_only=True):
    """Answer to 321."""

    subscription_data: SubscriptionData | None = None
    filter_data: str | None = None
    queue_data: list[ConsumeQueueData] = field(default_factory=list)
    max_queue_index: int = 0
    min_queue_index: int = 0


class QueryCorrectionOffsetBody(Body, frozen=True, kw_only=True):
    """Answer to 308: offsets by queue id."""

    correction_offsets: dict[int, int] = field(default_factory=dict)
