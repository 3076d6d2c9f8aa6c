"""Headers of what clients ask a broker for, and a broker its clients.

Names are Java's; required fields come first. Source of names and defaults: Java's package
`org.apache.rocketmq.remoting.protocol.header`.
"""

from __future__ import annotations

import attrs

from remoting.protocol.header_fields import Header, boolean, int32, int64, text


@attrs.frozen
class SendMessageRequestHeader(Header):
    """Code 10, 324."""

    producer_group: str = text()
    topic: str = text()
    default_topic: str = text()
    default_topic_queue_nums: int = int32()
    queue_id: int = int32()
    sys_flag: int = int32()
    born_timestamp: int = int64()
    flag: int = int32()
    properties: str | None = text(None)
    reconsume_times: int = int32(0)
    unit_mode: bool = boolean(False)
    batch: bool = boolean(False)
    max_reconsume_times: int | None = int32(None)


@attrs.frozen
class SendMessageRequestHeaderV2(Header):
    """Code 310, 320, 325: the same with one-letter names, because they are sent most."""

    producer_group: str = text(wire="a")
    topic: str = text(wire="b")
    default_topic: str = text(wire="c")
    default_topic_queue_nums: int = int32(wire="d")
    queue_id: int = int32(wire="e")
    sys_flag: int = int32(wire="f")
    born_timestamp: int = int64(wire="g")
    flag: int = int32(wire="h")
    properties: str | None = text(None, wire="i")
    reconsume_times: int = int32(0, wire="j")
    unit_mode: bool = boolean(False, wire="k")
    max_reconsume_times: int | None = int32(None, wire="l")
    batch: bool = boolean(False, wire="m")
    broker_name: str | None = text(None, wire="n")


@attrs.frozen
class SendMessageResponseHeader(Header):
    """Answer to all sends."""

    msg_id: str = text()
    queue_id: int = int32()
    queue_offset: int = int64()
    transaction_id: str | None = text(None)
    batch_uniq_id: str | None = text(None)
    recall_handle: str | None = text(None)


@attrs.frozen
class PullMessageRequestHeader(Header):
    """Code 11, 361."""

    consumer_group: str = text()
    topic: str = text()
    queue_id: int = int32()
    queue_offset: int = int64()
    max_msg_nums: int = int32()
    sys_flag: int = int32()
    commit_offset: int = int64()
    suspend_timeout_millis: int = int64()
    sub_version: int = int64()
    subscription: str | None = text(None)
    expression_type: str | None = text(None)
    max_msg_bytes: int | None = int32(None)
    request_source: int | None = int32(None)
    proxy_froward_client_id: str | None = text(None)


@attrs.frozen
class PullMessageResponseHeader(Header):
    """Answer to 11, 361."""

    suggest_which_broker_id: int = int64()
    next_begin_offset: int = int64()
    min_offset: int = int64()
    max_offset: int = int64()
    offset_delta: int | None = int64(None)
    topic_sys_flag: int | None = int32(None)
    group_sys_flag: int | None = int32(None)
    forbidden_type: int | None = int32(None)


@attrs.frozen
class QueryMessageRequestHeader(Header):
    """Code 12."""

    topic: str = text()
    key: str = text()
    max_num: int = int32()
    begin_timestamp: int = int64()
    end_timestamp: int = int64()


@attrs.frozen
class QueryMessageResponseHeader(Header):
    """Answer to 12."""

    index_last_update_timestamp: int = int64()
    index_last_update_phyoffset: int = int64()


@attrs.frozen
class ViewMessageRequestHeader(Header):
    """Code 33."""

    offset: int = int64()
    topic: str | None = text(None)


@attrs.frozen
class QueryConsumerOffsetRequestHeader(Header):
    """Code 14."""

    consumer_group: str = text()
    topic: str = text()
    queue_id: int = int32()
    set_zero_if_not_found: bool | None = boolean(None)


@attrs.frozen
class QueryConsumerOffsetResponseHeader(Header):
    """Answer to 14."""

    offset: int = int64()


@attrs.frozen
class UpdateConsumerOffsetRequestHeader(Header):
    """Code 15."""

    consumer_group: str = text()
    topic: str = text()
    queue_id: int = int32()
    commit_offset: int = int64()


@attrs.frozen
class SearchOffsetRequestHeader(Header):
    """Code 29."""

    topic: str = text()
    queue_id: int = int32()
    timestamp: int = int64()
    boundary_type: str = text("LOWER")


@attrs.frozen
class SearchOffsetResponseHeader(Header):
    """Answer to 29."""

    offset: int = int64()


@attrs.frozen
class GetMaxOffsetRequestHeader(Header):
    """Code 30."""

    topic: str = text()
    queue_id: int = int32()
    committed: bool = boolean(True)


@attrs.frozen
class GetMaxOffsetResponseHeader(Header):
    """Answer to 30."""

    offset: int = int64()


@attrs.frozen
class GetMinOffsetRequestHeader(Header):
    """Code 31."""

    topic: str = text()
    queue_id: int = int32()


@attrs.frozen
class GetMinOffsetResponseHeader(Header):
    """Answer to 31."""

    offset: int = int64()


@attrs.frozen
class GetEarliestMsgStoretimeRequestHeader(Header):
    """Code 32."""

    topic: str = text()
    queue_id: int = int32()


@attrs.frozen
class GetEarliestMsgStoretimeResponseHeader(Header):
    """Answer to 32."""

    timestamp: int = int64()


@attrs.frozen
class UnregisterClientRequestHeader(Header):
    """Code 35."""

    client_id: str = text(wire="clientID")
    producer_group: str | None = text(None)
    consumer_group: str | None = text(None)


@attrs.frozen
class ConsumerSendMsgBackRequestHeader(Header):
    """Code 36."""

    offset: int = int64()
    group: str = text()
    delay_level: int = int32()
    origin_msg_id: str | None = text(None)
    origin_topic: str | None = text(None)
    unit_mode: bool = boolean(False)
    max_reconsume_times: int | None = int32(None)


@attrs.frozen
class EndTransactionRequestHeader(Header):
    """Code 37."""

    producer_group: str = text()
    tran_state_table_offset: int = int64()
    commit_log_offset: int = int64()
    commit_or_rollback: int = int32()
    msg_id: str = text()
    topic: str | None = text(None)
    from_transaction_check: bool = boolean(False)
    transaction_id: str | None = text(None)


@attrs.frozen
class GetConsumerListByGroupRequestHeader(Header):
    """Code 38."""

    consumer_group: str = text()


@attrs.frozen
class CheckTransactionStateRequestHeader(Header):
    """Code 39, broker to client."""

    tran_state_table_offset: int = int64()
    commit_log_offset: int = int64()
    topic: str | None = text(None)
    msg_id: str | None = text(None)
    transaction_id: str | None = text(None)
    offset_msg_id: str | None = text(None)
    broker_name: str | None = text(None, wire="bname")


@attrs.frozen
class NotifyConsumerIdsChangedRequestHeader(Header):
    """Code 40, broker to client."""

    consumer_group: str = text()


@attrs.frozen
class GetConsumerStatusRequestHeader(Header):
    """Code 221 (broker to client) and 223."""

    topic: str = text()
    group: str = text()
    client_addr: str | None = text(None)


@attrs.frozen
class ReplyMessageRequestHeader(Header):
    """Code 326, broker to client."""

    producer_group: str = text()
    topic: str = text()
    default_topic: str = text()
    default_topic_queue_nums: int = int32()
    queue_id: int = int32()
    sys_flag: int = int32()
    born_timestamp: int = int64()
    flag: int = int32()
    born_host: str = text()
    store_host: str = text()
    properties: str | None = text(None)
    reconsume_times: int = int32(0)
    unit_mode: bool = boolean(False)
    store_timestamp: int = int64(0)
