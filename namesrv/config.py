"""`NamesrvConfig`: the keys of Java's `NamesrvConfig` that this name server honours."""

from __future__ import annotations

from pathlib import Path

import attrs

from configuration import setting

__all__ = ["NamesrvConfig"]


@attrs.define(kw_only=True)
class NamesrvConfig:
    """Settings of one name server. Times are milliseconds unless the name says otherwise."""

    rocketmq_home: str | None = setting(None, help="Installation directory.")
    kv_config_path: str = setting(
        str(Path("~", "namesrv", "kvConfig.json")),
        help="File of the key-value configuration (codes 100–102).",
    )
    config_store_path: str = setting(
        str(Path("~", "namesrv", "namesrv.properties")),
        help="File that UPDATE_NAMESRV_CONFIG writes; the file given with `-c`, if any.",
    )
    config_black_list: str = setting(
        "configBlackList;configStorePath;kvConfigPath",
        help="Keys that a request may not change, separated by `;`.",
    )
    order_message_enable: bool = setting(
        False, runtime=True, help="Add the order configuration of a topic to its route."
    )
    return_order_topic_config_to_broker: bool = setting(
        True, runtime=True, help="Send the order configuration of all topics to brokers that register."
    )
    scan_not_active_broker_interval: int = setting(
        5000, ge=1, runtime=True, help="Milliseconds between looks for brokers that stopped registering."
    )
    support_acting_master: bool = setting(
        False,
        runtime=True,
        help="Show the slave with the least id as master of a group that lost its master.",
    )
    notify_min_broker_id_changed: bool = setting(
        False, runtime=True, help="Tell the brokers of a group when its least broker id changes."
    )
    delete_topic_with_broker_registration: bool = setting(
        False, runtime=True, help="A registration removes the topics of its broker that it does not list."
    )
    enable_all_topic_list: bool = setting(True, runtime=True, help="Answer the list of all topics (206).")
    enable_topic_list: bool = setting(
        True, runtime=True, help="Answer the lists of the topics of a cluster (224) and of units (311–313)."
    )
    need_wait_for_service: bool = setting(
        False, runtime=True, help="Answer no routes until waitSecondsForService have passed since the start."
    )
    wait_seconds_for_service: int = setting(
        45, ge=0, runtime=True, help="Seconds that needWaitForService waits."
    )
