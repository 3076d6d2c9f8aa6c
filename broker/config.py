"""`BrokerConfig`: every broker key of RocketMQ 5.5 that this broker honours, with Java's names and defaults.

Mirrors `org.apache.rocketmq.common.BrokerConfig`. A key of that class which is not a field here is accepted
in a file and has no effect (the configuration report names it). `runtime=True` marks the keys whose change by
UPDATE_BROKER_CONFIG (25) works at once; the others apply at the next start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from configuration import ADDRESS, NOT_EMPTY, ConfigError, setting
from remoting.ports import FAST_PORT_DISTANCE, HA_PORT_DISTANCE

if TYPE_CHECKING:
    from store import MessageStoreConfig

__all__ = ["BrokerConfig", "check_ports", "fill_ports"]

_LAST_PORT = 65_535
_QUEUE_CAPACITY = 2_147_483_647


@attrs.define(kw_only=True)
class BrokerConfig:
    """Settings of one broker. Times are milliseconds unless the name says otherwise."""

    # Identity and addresses
    broker_name: str = setting(
        "broker-a", form=NOT_EMPTY, help="Name of the broker group; unique within the cluster."
    )
    broker_cluster_name: str = setting(
        "DefaultCluster", form=NOT_EMPTY, help="Cluster that the broker belongs to."
    )
    broker_id: int = setting(0, ge=0, help="0 is the master of its group, greater numbers are slaves.")
    listen_port: int = setting(6888, ge=0, le=65535, help="Port of all requests; 0 takes any free one.")
    fast_listen_port: int | None = setting(
        None,
        ge=0,
        le=65535,
        help="Port of all requests but pulls, Java's VIP port; listenPort minus two when not set, where Java"
        " clients look for it; 0 takes any free one. Ours.",
    )
    broker_ip1: str | None = setting(
        None, wire="brokerIP1", form=ADDRESS, help="Address given to clients; the machine's own when not set."
    )
    broker_ip2: str | None = setting(
        None, wire="brokerIP2", form=ADDRESS, help="Address given to slaves; brokerIP1 when not set."
    )
    namesrv_addr: str | None = setting(None, help="Name servers, `host:port` separated by `;`.")
    broker_config_path: str | None = setting(
        None, help="File that UPDATE_BROKER_CONFIG writes; the file the broker was read from."
    )
    rocketmq_home: str | None = setting(None, help="Installation directory.")
    config_black_list: str = setting(
        "configBlackList;brokerConfigPath", help="Keys that a request may not change, separated by `;`."
    )
    is_in_broker_container: bool = setting(
        False, wire="isInBrokerContainer", help="Set by the container: pulls always suggest broker id 0."
    )

    # Registration
    force_register: bool = setting(
        True, runtime=True, help="Register in full each period without asking for the data version first."
    )
    register_name_server_period: int = setting(
        30_000, ge=1, runtime=True, help="Milliseconds between registrations, kept within 10000 and 60000."
    )
    register_broker_timeout_mills: int = setting(
        24_000, ge=1, runtime=True, help="Longest wait for a name server's answer to a registration."
    )
    broker_permission: int = setting(
        6, ge=0, le=7, runtime=True, help="Bits 2 write and 4 read; masks the permission of every topic."
    )

    # Topics and groups
    default_topic_queue_nums: int = setting(
        8, ge=1, runtime=True, help="Most queues that a topic created by a send gets."
    )
    auto_create_topic_enable: bool = setting(
        True, runtime=True, help="A send to an unknown topic creates it after the example of TBW102."
    )
    cluster_topic_enable: bool = setting(True, help="The topic named as the cluster may be read and written.")
    broker_topic_enable: bool = setting(True, help="The topic named as the broker may be read and written.")
    trace_topic_enable: bool = setting(False, help="Create the topic of message traces at start.")
    msg_trace_topic_name: str = setting("RMQ_SYS_TRACE_TOPIC", help="Topic of message traces.")
    auto_create_subscription_group: bool = setting(
        True, runtime=True, help="An unknown consumer group is created at first use."
    )
    enable_create_sys_group: bool = setting(
        True, runtime=True, help="System consumer groups are created even if others are not."
    )
    validate_system_topic_when_update_topic: bool = setting(
        True, runtime=True, help="Refuse to create or change system topics by request."
    )
    enable_mixed_message_type: bool = setting(
        False, runtime=True, help="Allow topics whose message.type is MIXED."
    )
    clear_retry_topic_when_delete_topic: bool = setting(
        True, runtime=True, help="Deleting a topic deletes the pop retry topics of its groups."
    )
    enable_split_metadata: bool = setting(
        True, runtime=True, help="Give topic and group tables in parts to peers that ask for parts."
    )
    split_metadata_size: int = setting(2000, ge=1, runtime=True, help="Most entries of such a part.")

    # Consumers
    flush_consumer_offset_interval: int = setting(
        5000, ge=1, runtime=True, help="Milliseconds from a change of consumer offsets to its save."
    )
    consumer_offset_update_version_step: int = setting(
        500, ge=1, runtime=True, help="Commits from one data version of the offset table to the next."
    )
    delay_offset_update_version_step: int = setting(
        200, ge=1, runtime=True, help="Deliveries from one data version of the delay offsets to the next."
    )
    use_server_side_reset_offset: bool = setting(
        True, runtime=True, help="Resetting offsets works at the broker; otherwise clients are told to."
    )
    notify_consumer_ids_changed_enable: bool = setting(
        True, runtime=True, help="Tell the members of a group when it changes."
    )
    real_time_notify_consumer_change: bool = setting(
        True, runtime=True, help="Tell at once; otherwise every 15 seconds."
    )
    channel_expired_timeout: int = setting(
        120_000, ge=1, runtime=True, help="A client without heartbeat for so long is forgotten."
    )
    subscription_expired_timeout: int = setting(
        600_000, ge=1, runtime=True, help="An inline subscription not seen for so long is forgotten."
    )
    long_polling_enable: bool = setting(
        True, runtime=True, help="Hold pulls as long as they ask; otherwise shortPollingTimeMills."
    )
    short_polling_time_mills: int = setting(
        1000, ge=0, runtime=True, help="Time a pull is held when longPollingEnable is false."
    )
    lite_pull_message_enable: bool = setting(True, runtime=True, help="Serve LITE_PULL_MESSAGE (361).")
    reject_pull_consumer_enable: bool = setting(
        False, runtime=True, help="Refuse the heartbeats of consumers that pull on their own."
    )
    enable_register_producer: bool = setting(
        True, runtime=True, help="Keep producers in the client table even if transactions are rejected."
    )
    enable_property_filter: bool = setting(
        False, le=False, help="Filters by SQL92 expressions; must stay false: this broker has none yet."
    )
    slave_read_enable: bool = setting(
        False, runtime=True, help="Suggest a slave to consumers that read far behind."
    )

    # Sending
    region_id: str = setting("DefaultRegion", help="Value of the MSG_REGION property.")
    trace_on: bool = setting(True, runtime=True, help="Value of the TRACE_ON property.")
    reject_transaction_message: bool = setting(False, runtime=True, help="Refuse half messages with 16.")
    start_accept_send_request_time_stamp: int = setting(
        0, ge=0, runtime=True, help="Refuse sends until this time, milliseconds since the epoch."
    )

    # Limits and flow control
    broker_fast_failure_enable: bool = setting(
        True, runtime=True, help="Answer SYSTEM_BUSY to requests that waited too long."
    )
    wait_time_mills_in_send_queue: int = setting(
        200, ge=1, runtime=True, help="Longest wait of a send before it is turned away."
    )
    send_thread_pool_queue_capacity: int = setting(
        10_000, ge=1, le=_QUEUE_CAPACITY, runtime=True, help="Most sends waiting for their durability."
    )
    pull_thread_pool_queue_capacity: int = setting(
        100_000, ge=1, le=_QUEUE_CAPACITY, runtime=True, help="Most pulls held or being read from disk."
    )
    lite_pull_thread_pool_queue_capacity: int = setting(
        100_000, ge=1, le=_QUEUE_CAPACITY, runtime=True, help="Most lite pulls held or being read from disk."
    )
    query_thread_pool_queue_capacity: int = setting(
        20_000, ge=1, le=_QUEUE_CAPACITY, runtime=True, help="Most message queries under way."
    )

    # Statistics and logs
    auto_delete_unused_stats: bool = setting(
        True, runtime=True, help="Deleting a topic or group deletes its statistics."
    )
    isolate_log_enable: bool = setting(
        False,
        runtime=True,
        help="Write the log of this broker to a directory of its own, named `<cluster>_<broker>_<id>`.",
    )

    # Our own
    shutdown_timeout_mills: int = setting(
        30_000, ge=100, runtime=True, help="Longest time of an orderly stop before the rest is cut short."
    )


def fill_ports(config: BrokerConfig, store_config: MessageStoreConfig) -> None:
    """Gives the fast port and the HA port the numbers that follow from the listening port, if they have none.

    They keep none where there is no such number, and beside listenPort 0: which ones a broker gets then is
    known when it has reserved them (`Broker.ports`).
    """
    port = config.listen_port
    if port > FAST_PORT_DISTANCE and config.fast_listen_port is None:
        config.fast_listen_port = port - FAST_PORT_DISTANCE
    if 0 < port <= _LAST_PORT - HA_PORT_DISTANCE and store_config.ha_listen_port is None:
        store_config.ha_listen_port = port + HA_PORT_DISTANCE


def check_ports(config: BrokerConfig, store_config: MessageStoreConfig) -> None:
    """Refuses three ports of which one cannot be, or two are the same; `fill_ports` comes before.

    Raises:
        ConfigError: names the key.
    """
    port, fast, ha = config.listen_port, config.fast_listen_port, store_config.ha_listen_port
    if not port:
        return
    if fast is None:
        raise ConfigError(
            None, None, "listenPort", f"there is no port two below {port}, and fastListenPort is not set"
        )
    if ha is None:
        raise ConfigError(None, None, "listenPort", f"there is no port above {port} for replication")
    if fast == port:
        raise ConfigError(None, None, "fastListenPort", f"{fast} is the listenPort")
    if ha and ha in (port, fast):
        other = "listenPort" if ha == port else "fast port"
        raise ConfigError(None, None, "haListenPort", f"{ha} is the {other}")
