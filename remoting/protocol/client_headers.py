"""Headers of what clients ask a broker for, and a broker its clients.

Names are Java's; required fields come first. Source of names and defaults: Java's package
`org.apache.rocketmq.remoting.protocol.header`.
"""

from __future__ import annotations

from msgspec import field

from remoting.protocol.header_fields import Header, Int32, Int64


class SendMessageRequestHeader(Header, frozen=True):
    """Code 10, 324."""

    producer_group: str
    topic: str
    default_topic: str
    default_topic_queue_nums: Int32
    queue_id: Int32
    sys_flag: Int32
    born_timestamp: Int64
    flag: Int32
    properties: str | None = None
    reconsume_times: Int32 = 0
    unit_mode: bool = False
    batch: bool = False
    max_reconsume_times: Int32 | None = None


class SendMessageRequestHeaderV2(Header, frozen=True):
    """Code 310, 320, 325: the same with one-letter names, because they are sent most."""

    producer_group: str = field(name="a")
    topic: str = field(name="b")
    default_topic: str = field(name="c")
    default_topic_queue_nums: Int32 = field(name="d")
    queue_id: Int32 = field(name="e")
    sys_flag: Int32 = field(name="f")
    born_timestamp: Int64 = field(name="g")
    flag: Int32 = field(name="h")
    properties: str | None = field(default=None, name="i")
    reconsume_times: Int32 = field(default=0, name="j")
    unit_mode: bool = field(default=False, name="k")
    max_reconsume_times: Int32 | None = field(default=None, name="l")
    batch: bool = field(default=False, name="m")
    broker_name: str | None = field(default=None, name="n")


class SendMessageResponseHeader(Header, frozen=True):
    """Answer to all sends."""

    msg_id: str
    queue_id: Int32
    queue_offset: Int64
    transaction_id: str | None = None
    batch_uniq_id: str | None = None
    recall_handle: str | None = None


class PullMessageRequestHeader(Header, frozen=True):
    """Code 11, 361."""

    consumer_group: str
    topic: str
    queue_id: Int32
    queue_offset: Int64
    max_msg_nums: Int32
    sys_flag: Int32
    commit_offset: Int64
    suspend_timeout_millis: Int64
    sub_version: Int64
    subscription: str | None = None
    expression_type: str | None = None
    max_msg_bytes: Int32 | None = None
    request_source: Int32 | None = None
    proxy_froward_client_id: str | None = None


class PullMessageResponseHeader(Header, frozen=True):
    """Answer to 11, 361."""

    suggest_which_broker_id: Int64
    next_begin_offset: Int64
    min_offset: Int64
    max_offset: Int64
    offset_delta: Int64 | None = None
    topic_sys_flag: Int32 | None = None
    group_sys_flag: Int32 | None = None
    forbidden_type: Int32 | None = None


class QueryMessageRequestHeader(Header, frozen=True):
    """Code 12."""

    topic: str
    key: str
    max_num: Int32
    begin_timestamp: Int64
    end_timestamp: Int64


class QueryMessageResponseHeader(Header, frozen=True):
    """Answer to 12."""

    index_last_update_timestamp: Int64
    index_last_update_phyoffset: Int64


class ViewMessageRequestHeader(Header, frozen=True):
    """Code 33."""

    offset: Int64
    topic: str | None = None


class QueryConsumerOffsetRequestHeader(Header, frozen=True):
    """Code 14."""

    consumer_group: str
    topic: str
    queue_id: Int32
    set_zero_if_not_found: bool | None = None


class QueryConsumerOffsetResponseHeader(Header, frozen=True):
    """Answer to 14."""

    offset: Int64


class UpdateConsumerOffsetRequestHeader(Header, frozen=True):
    """Code 15."""

    consumer_group: str
    topic: str
    queue_id: Int32
    commit_offset: Int64


class SearchOffsetRequestHeader(Header, frozen=True):
    """Code 29."""

    topic: str
    queue_id: Int32
    timestamp: Int64
    boundary_type: str = "LOWER"


class SearchOffsetResponseHeader(Header, frozen=True):
    """Answer to 29."""

    offset: Int64


class GetMaxOffsetRequestHeader(Header, frozen=True):
    """Code 30."""

    topic: str
    queue_id: Int32
    committed: bool = True


class GetMaxOffsetResponseHeader(Header, frozen=True):
    """Answer to 30."""

    offset: Int64


class GetMinOffsetRequestHeader(Header, frozen=True):
    """Code 31."""

    topic: str
    queue_id: Int32


class GetMinOffsetResponseHeader(Header, frozen=True):
    """Answer to 31."""

    offset: Int64


class GetEarliestMsgStoretimeRequestHeader(Header, frozen=True):
    """Code 32."""

    topic: str
    queue_id: Int32


class GetEarliestMsgStoretimeResponseHeader(Header, frozen=True):
    """Answer to 32."""

    timestamp: Int64


class UnregisterClientRequestHeader(Header, frozen=True):
    """Code 35."""

    client_id: str = field(name="clientID")
    producer_group: str | None = None
    consumer_group: str | None = None


class ConsumerSendMsgBackRequestHeader(Header, frozen=True):
    """Code 36."""

    offset: Int64
    group: str
    delay_level: Int32
    origin_msg_id: str | None = None
    origin_topic: str | None = None
    unit_mode: bool = False
    max_reconsume_times: Int32 | None = None


class EndTransactionRequestHeader(Header, frozen=True):
    """Code 37."""

    producer_group: str
    tran_state_table_offset: Int64
    commit_log_offset: Int64
    commit_or_rollback: Int32
    msg_id: str
    topic: str | None = None
    from_transaction_check: bool = False
    transaction_id: str | None = None


class GetConsumerListByGroupRequestHeader(Header, frozen=True):
    """Code 38."""

    consumer_group: str


class CheckTransactionStateRequestHeader(Header, frozen=True):
    """Code 39, broker to client."""

    tran_state_table_offset: Int64
    commit_log_offset: Int64
    topic: str | None = None
    msg_id: str | None = None
    transaction_id: str | None = None
    offset_msg_id: str | None = None
    broker_name: str | None = field(default=None, name="bname")


class NotifyConsumerIdsChangedRequestHeader(Header, frozen=True):
    """Code 40, broker to client."""

    consumer_group: str


class GetConsumerStatusRequestHeader(Header, frozen=True):
    """Code 221 (broker to client) and 223."""

    topic: str
    group: str
    client_addr: str | None = None


class ReplyMessageRequestHeader(Header, frozen=True):
    """Code 326, broker to client."""

    producer_group: str
    topic: str
    default_topic: str
    default_topic_queue_nums: Int32
    queue_id: Int32
    sys_flag: Int32
    born_timestamp: Int64
    flag: Int32
    born_host: str
    store_host: str
    properties: str | None = None
    reconsume_times: Int32 = 0
    unit_mode: bool = False
    store_timestamp: Int64 = 0
