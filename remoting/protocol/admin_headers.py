"""Headers of the administration of brokers and containers.

Names are Java's; required fields come first. Source of names and defaults: Java's package
`org.apache.rocketmq.remoting.protocol.header`.
"""

from __future__ import annotations

import attrs

from remoting.protocol.header_fields import Header, boolean, int32, int64, text


@attrs.frozen
class CreateTopicRequestHeader(Header):
    """Code 17."""

    topic: str = text()
    default_topic: str = text()
    read_queue_nums: int = int32()
    write_queue_nums: int = int32()
    perm: int = int32()
    topic_filter_type: str = text()
    topic_sys_flag: int | None = int32(None)
    order: bool = boolean(False)
    attributes: str | None = text(None)
    force: bool = boolean(False)


@attrs.frozen
class DeleteTopicRequestHeader(Header):
    """Code 215."""

    topic: str = text()


@attrs.frozen
class GetAllTopicConfigRequestHeader(Header):
    """Code 21."""

    topic_seq: int = int32(0)
    data_version: str | None = text(None)
    max_topic_num: int | None = int32(None)


@attrs.frozen
class GetAllTopicConfigResponseHeader(Header):
    """Answer to 21."""

    total_topic_num: int = int32()


@attrs.frozen
class GetTopicConfigRequestHeader(Header):
    """Code 351."""

    topic: str = text()


@attrs.frozen
class GetBrokerConfigResponseHeader(Header):
    """Answer to 25 and 26; `version` is a DataVersion as JSON."""

    version: str = text()


@attrs.frozen
class GetAllSubscriptionGroupRequestHeader(Header):
    """Code 201."""

    group_seq: int = int32(0)
    data_version: str | None = text(None)
    max_group_num: int | None = int32(None)


@attrs.frozen
class GetAllSubscriptionGroupResponseHeader(Header):
    """Answer to 201."""

    total_group_num: int = int32()


@attrs.frozen
class GetSubscriptionGroupConfigRequestHeader(Header):
    """Code 352."""

    group: str = text()


@attrs.frozen
class DeleteSubscriptionGroupRequestHeader(Header):
    """Code 207."""

    group_name: str = text()
    clean_offset: bool = boolean(False)


@attrs.frozen
class GetTopicStatsInfoRequestHeader(Header):
    """Code 202."""

    topic: str = text()


@attrs.frozen
class GetConsumerConnectionListRequestHeader(Header):
    """Code 203."""

    consumer_group: str = text()


@attrs.frozen
class GetProducerConnectionListRequestHeader(Header):
    """Code 204."""

    producer_group: str = text()


@attrs.frozen
class GetConsumeStatsRequestHeader(Header):
    """Code 208; `topic_list` is separated by `;`."""

    consumer_group: str = text()
    topic: str | None = text(None)
    topic_list: str | None = text(None)


@attrs.frozen
class GetConsumeStatsInBrokerHeader(Header):
    """Code 317."""

    is_order: bool = boolean(False)


@attrs.frozen
class ResetOffsetRequestHeader(Header):
    """Code 220 (broker to client) and 222."""

    group: str = text()
    topic: str = text()
    queue_id: int = int32(-1)
    offset: int | None = int64(None)
    timestamp: int = int64(0)
    is_force: bool = boolean(False)


@attrs.frozen
class GetConsumerRunningInfoRequestHeader(Header):
    """Code 307, also broker to client."""

    consumer_group: str = text()
    client_id: str = text()
    jstack_enable: bool = boolean(False)


@attrs.frozen
class ConsumeMessageDirectlyResultRequestHeader(Header):
    """Code 309, also broker to client."""

    consumer_group: str = text()
    client_id: str | None = text(None)
    msg_id: str | None = text(None)
    broker_name: str | None = text(None)
    topic: str | None = text(None)
    topic_sys_flag: int | None = int32(None)
    group_sys_flag: int | None = int32(None)


@attrs.frozen
class QueryTopicConsumeByWhoRequestHeader(Header):
    """Code 300."""

    topic: str = text()


@attrs.frozen
class QueryTopicsByConsumerRequestHeader(Header):
    """Code 343."""

    group: str = text()


@attrs.frozen
class QuerySubscriptionByConsumerRequestHeader(Header):
    """Code 345."""

    group: str = text()
    topic: str | None = text(None)


@attrs.frozen
class QueryConsumeTimeSpanRequestHeader(Header):
    """Code 303."""

    topic: str = text()
    group: str = text()


@attrs.frozen
class ViewBrokerStatsDataRequestHeader(Header):
    """Code 315."""

    stats_name: str = text()
    stats_key: str = text()


@attrs.frozen
class QueryConsumeQueueRequestHeader(Header):
    """Code 321."""

    topic: str | None = text(None)
    queue_id: int = int32(0)
    index: int = int64(0)
    count: int = int32(0)
    consumer_group: str | None = text(None)


@attrs.frozen
class QueryCorrectionOffsetHeader(Header):
    """Code 308."""

    compare_group: str = text()
    topic: str = text()
    filter_groups: str | None = text(None)


@attrs.frozen
class CloneGroupOffsetRequestHeader(Header):
    """Code 314."""

    src_group: str = text()
    dest_group: str = text()
    topic: str | None = text(None)
    offline: bool = boolean(False)


@attrs.frozen
class ResumeCheckHalfMessageRequestHeader(Header):
    """Code 323."""

    topic: str | None = text(None)
    msg_id: str | None = text(None)


@attrs.frozen
class AddBrokerRequestHeader(Header):
    """Code 902, to a container."""

    config_path: str | None = text(None)


@attrs.frozen
class RemoveBrokerRequestHeader(Header):
    """Code 903, to a container."""

    broker_name: str = text()
    broker_cluster_name: str = text()
    broker_id: int = int64()
