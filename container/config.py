"""`BrokerContainerConfig`: the keys of a container's file that are the container's own.

Mirrors `org.apache.rocketmq.container.BrokerContainerConfig`; the keys below "Our own" have no counterpart
there. The same file also fills the server and client configuration of the process, see
:mod:`container.settings`.
"""

from __future__ import annotations

import attrs

from configuration import setting

__all__ = ["BrokerContainerConfig"]

DEFAULT_CONTAINER_PORT = 10811
DEFAULT_BROKER_PORT = 10911
DEFAULT_NAMESRV_PORT = 9876


@attrs.define(kw_only=True)
class BrokerContainerConfig:
    """Settings of the process that holds the brokers."""

    rocketmq_home: str | None = setting(
        None, help="Installation directory; the environment variable ROCKETMQ_HOME when not set."
    )
    namesrv_addr: str | None = setting(
        None,
        runtime=True,
        help="Name servers of all brokers, `host:port` separated by `;`; NAMESRV_ADDR when not set.",
    )
    broker_config_paths: str | None = setting(
        None, help="Files of the brokers to start with, separated by `:`; the option -b comes before it."
    )
    broker_container_ip: str | None = setting(
        None, wire="brokerContainerIP", help="Address of the container itself; found out when not set."
    )
    config_black_list: str = setting(
        "configBlackList;brokerConfigPaths", help="Keys that a request may not change, separated by `;`."
    )

    # Our own
    embedded_namesrv: bool = setting(
        False, help="Start a name server in this process. True when started without any configuration."
    )
    embedded_namesrv_listen_port: int = setting(
        DEFAULT_NAMESRV_PORT, ge=0, le=65535, help="Port of the embedded name server; 0 takes a free one."
    )
    embedded_namesrv_config_path: str | None = setting(
        None, help="File with the keys of the embedded name server, as for mqnamesrv -c."
    )
    exit_on_boot_failure: bool = setting(
        False,
        help="A broker that fails to start ends the process, as in Java; otherwise the others go on.",
    )
    persist_broker_changes: bool = setting(
        True,
        runtime=True,
        help="Brokers that are added and removed by request change brokerConfigPaths in the container's file;"
        " false, as in Java, forgets them at the next start.",
    )
    add_broker_answer_millis: int = setting(
        15_000,
        ge=0,
        runtime=True,
        help="Longest wait of an ADD_BROKER answer; a broker that still recovers then is answered as"
        " starting, and the next identical request tells how it went.",
    )
    remove_broker_timeout_millis: int = setting(
        15_000,
        ge=100,
        runtime=True,
        help="Longest wait of a REMOVE_BROKER answer; the removed broker waits four fifths of it for its"
        " clients and for name servers.",
    )
    restart_failed_brokers: bool = setting(
        False, runtime=True, help="Start a broker again that failed, with growing pauses."
    )
    restart_backoff_millis: int = setting(
        1_000,
        ge=10,
        runtime=True,
        help="Pause before the first restart of a failed broker; each next one doubles.",
    )
    restart_backoff_max_millis: int = setting(
        60_000,
        ge=10,
        runtime=True,
        help="Longest pause between restarts; a broker that ran for so long begins again with the first.",
    )
    container_bind_address: str | None = setting(
        None,
        help="Address that the container's own two ports listen on, 127.0.0.1 to keep strangers away from"
        " ADD_BROKER; bindAddress when not set.",
    )
