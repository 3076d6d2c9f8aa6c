"""Bodies of the administration, and the configuration objects of topics and groups.

Sources of names and defaults: the packages admin, body and subscription of Java's
`org.apache.rocketmq.remoting.protocol`, and `org.apache.rocketmq.common.TopicConfig`.
"""

from __future__ import annotations

from typing import Any

import attrs

from remoting.protocol.body import DataVersion, GroupList, KVTable, MessageQueue, TopicList
from remoting.protocol.body_fields import Body, wired
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


@attrs.frozen(kw_only=True)
class TopicConfig(Body):
    """One topic of a broker."""

    topic_name: str = ""
    read_queue_nums: int = 16
    write_queue_nums: int = 16
    perm: int = 6
    """Bits: 4 read, 2 write, 1 inherit."""
    topic_filter_type: str = "SINGLE_TAG"
    topic_sys_flag: int = 0
    order: bool = False
    attributes: dict[str, str] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class CreateTopicListRequestBody(Body):
    """Code 18."""

    topic_config_list: list[TopicConfig] = attrs.field(factory=list)


@attrs.frozen(kw_only=True)
class TopicConfigAndMappingSerializeWrapper(Body):
    """Answer to 21, part of 103, and the content of topics.json."""

    data_version: DataVersion = attrs.field(factory=DataVersion)
    mapping_data_version: DataVersion = attrs.field(factory=DataVersion)
    topic_config_table: dict[str, TopicConfig] = attrs.field(factory=dict)
    topic_queue_mapping_detail_map: dict[str, Any] = attrs.field(factory=dict)
    topic_queue_mapping_info_map: dict[str, Any] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class RegisterBrokerBody(Body):
    """Code 103, not compressed."""

    topic_config_serialize_wrapper: TopicConfigAndMappingSerializeWrapper = attrs.field(
        factory=TopicConfigAndMappingSerializeWrapper
    )
    filter_server_list: list[str] = attrs.field(factory=list)


def _default_retry_policy() -> dict[str, Any]:
    return {"type": "CUSTOMIZED"}


@attrs.frozen(kw_only=True)
class SubscriptionGroupConfig(Body):
    """One consumer group of a broker."""

    group_name: str = ""
    consume_enable: bool = True
    consume_from_min_enable: bool = True
    consume_broadcast_enable: bool = True
    consume_message_orderly: bool = False
    retry_queue_nums: int = 1
    retry_max_times: int = 16
    group_retry_policy: dict[str, Any] = attrs.field(factory=_default_retry_policy)
    broker_id: int = 0
    which_broker_when_consume_slowly: int = 1
    notify_consumer_ids_changed_enable: bool = True
    group_sys_flag: int = 0
    consume_timeout_minute: int = 15
    subscription_data_set: list[Any] | None = None
    attributes: dict[str, str] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class SubscriptionGroupList(Body):
    """Code 225."""

    group_config_list: list[SubscriptionGroupConfig] = attrs.field(factory=list)


@attrs.frozen(kw_only=True)
class SubscriptionGroupWrapper(Body):
    """Answer to 201 and the content of subscriptionGroup.json."""

    data_version: DataVersion = attrs.field(factory=DataVersion)
    forbidden_table: dict[str, dict[str, int]] = attrs.field(factory=dict)
    subscription_group_table: dict[str, SubscriptionGroupConfig] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class ClusterInfo(Body):
    """Answer to 106; always written with numbers as keys (`json_dialect.dumps`)."""

    broker_addr_table: dict[str, BrokerData] = attrs.field(factory=dict)
    cluster_addr_table: dict[str, list[str]] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class TopicOffset(Body):
    """What one queue holds."""

    min_offset: int = 0
    max_offset: int = 0
    last_update_timestamp: int = 0


@attrs.frozen(kw_only=True)
class TopicStatsTable(Body):
    """Answer to 202."""

    offset_table: dict[MessageQueue, TopicOffset] = attrs.field(factory=dict)
    topic_put_tps: float = 0.0


@attrs.frozen(kw_only=True)
class OffsetWrapper(Body):
    """How far a group is in one queue."""

    broker_offset: int = 0
    consumer_offset: int = 0
    pull_offset: int = 0
    last_timestamp: int = 0


@attrs.frozen(kw_only=True)
class ConsumeStats(Body):
    """Answer to 208."""

    offset_table: dict[MessageQueue, OffsetWrapper] = attrs.field(factory=dict)
    consume_tps: float = 0.0


@attrs.frozen(kw_only=True)
class ConsumeStatsList(Body):
    """Answer to 317."""

    consume_stats_list: list[dict[str, list[ConsumeStats]]] = attrs.field(factory=list)
    broker_addr: str | None = None
    total_diff: int = 0
    total_inflight_diff: int = 0


@attrs.frozen(kw_only=True)
class Connection(Body):
    """One client of a group."""

    client_id: str | None = None
    client_addr: str | None = None
    language: str | None = None
    version: int = 0


@attrs.frozen(kw_only=True)
class ConsumerConnection(Body):
    """Answer to 203."""

    connection_set: list[Connection] = attrs.field(factory=list)
    subscription_table: dict[str, SubscriptionData] = attrs.field(factory=dict)
    consume_type: str | None = None
    message_model: str | None = None
    consume_from_where: str | None = None


@attrs.frozen(kw_only=True)
class ProducerConnection(Body):
    """Answer to 204."""

    connection_set: list[Connection] = attrs.field(factory=list)


@attrs.frozen(kw_only=True)
class ProducerInfo(Body):
    """One client of a producer group."""

    client_id: str | None = None
    remote_ip: str | None = wired("remoteIP", None)
    language: str | None = None
    version: int = 0
    last_update_timestamp: int = 0


@attrs.frozen(kw_only=True)
class ProducerTableInfo(Body):
    """Answer to 328."""

    data: dict[str, list[ProducerInfo]] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class ProcessQueueInfo(Body):
    """A queue inside a push consumer."""

    commit_offset: int = 0
    cached_msg_min_offset: int = 0
    cached_msg_max_offset: int = 0
    cached_msg_count: int = 0
    cached_msg_size_in_mib: int = wired("cachedMsgSizeInMiB", 0)
    transaction_msg_min_offset: int = 0
    transaction_msg_max_offset: int = 0
    transaction_msg_count: int = 0
    locked: bool = False
    try_unlock_times: int = 0
    last_lock_timestamp: int = 0
    droped: bool = False
    last_pull_timestamp: int = 0
    last_consume_timestamp: int = 0


@attrs.frozen(kw_only=True)
class PopProcessQueueInfo(Body):
    """A queue inside a pop consumer."""

    wait_ack_count: int = 0
    droped: bool = False
    last_pop_timestamp: int = 0


@attrs.frozen(kw_only=True)
class ConsumeStatus(Body):
    """Rates of a consumer for one topic."""

    pull_rt: float = wired("pullRT", 0.0)
    pull_tps: float = wired("pullTPS", 0.0)
    consume_rt: float = wired("consumeRT", 0.0)
    consume_ok_tps: float = wired("consumeOKTPS", 0.0)
    consume_failed_tps: float = wired("consumeFailedTPS", 0.0)
    consume_failed_msgs: int = 0


@attrs.frozen(kw_only=True)
class ConsumerRunningInfo(Body):
    """Answer to 307."""

    properties: dict[str, str] = attrs.field(factory=dict)
    subscription_set: list[SubscriptionData] = attrs.field(factory=list)
    mq_table: dict[MessageQueue, ProcessQueueInfo] = attrs.field(factory=dict)
    mq_pop_table: dict[MessageQueue, PopProcessQueueInfo] = attrs.field(factory=dict)
    status_table: dict[str, ConsumeStatus] = attrs.field(factory=dict)
    user_consumer_info: dict[str, str] = attrs.field(factory=dict)
    jstack: str | None = None


@attrs.frozen(kw_only=True)
class ConsumeMessageDirectlyResult(Body):
    """Answer to 309. `consume_result` is CR_SUCCESS, CR_LATER, CR_ROLLBACK, CR_COMMIT, CR_RETURN_NULL or
    CR_THROW_EXCEPTION.
    """

    order: bool = False
    auto_commit: bool = True
    consume_result: str | None = None
    remark: str | None = None
    spent_time_mills: int = 0


@attrs.frozen(kw_only=True)
class QuerySubscriptionResponseBody(Body):
    """Answer to 345."""

    subscription_data: SubscriptionData | None = None
    group: str | None = None
    topic: str | None = None


@attrs.frozen(kw_only=True)
class QueueTimeSpan(Body):
    """The times, in ms, between which a queue's messages lie, and how late a group is.

    Java writes each time as a text of its own time zone as well; nobody reads those.
    """

    message_queue: MessageQueue | None = None
    min_time_stamp: int = 0
    max_time_stamp: int = 0
    consume_time_stamp: int = 0
    delay_time: int = 0


@attrs.frozen(kw_only=True)
class QueryConsumeTimeSpanBody(Body):
    """Answer to 303."""

    consume_time_span_set: list[QueueTimeSpan] = attrs.field(factory=list)


@attrs.frozen(kw_only=True)
class BrokerStatsItem(Body):
    """Sum, rate and average of one span of time."""

    sum: int = 0
    tps: float = 0.0
    avgpt: float = 0.0


@attrs.frozen(kw_only=True)
class BrokerStatsData(Body):
    """Answer to 315."""

    stats_minute: BrokerStatsItem = attrs.field(factory=BrokerStatsItem)
    stats_hour: BrokerStatsItem = attrs.field(factory=BrokerStatsItem)
    stats_day: BrokerStatsItem = attrs.field(factory=BrokerStatsItem)


@attrs.frozen(kw_only=True)
class ConsumeQueueData(Body):
    """One unit of a consume queue."""

    physic_offset: int = 0
    physic_size: int = 0
    tags_code: int = 0
    extend_data_json: str | None = None
    bit_map: str | None = None
    eval: bool = False
    msg: str | None = None


@attrs.frozen(kw_only=True)
class QueryConsumeQueueResponseBody(Body):
    """Answer to 321."""

    subscription_data: SubscriptionData | None = None
    filter_data: str | None = None
    queue_data: list[ConsumeQueueData] = attrs.field(factory=list)
    max_queue_index: int = 0
    min_queue_index: int = 0


@attrs.frozen(kw_only=True)
class QueryCorrectionOffsetBody(Body):
    """Answer to 308: offsets by queue id."""

    correction_offsets: dict[int, int] = attrs.field(factory=dict)
