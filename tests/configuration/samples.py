"""Config classes of the tests, named like real ones so that Java's tables apply."""

from __future__ import annotations

import enum

import attrs

from configuration import setting


class Role(enum.Enum):
    ASYNC_MASTER = "ASYNC_MASTER"
    SLAVE = "SLAVE"


@attrs.define(kw_only=True)
class BrokerConfig:
    broker_name: str = setting("broker-a", help="Name.")
    broker_ip1: str | None = setting(None, wire="brokerIP1", help="Address.")
    listen_port: int = setting(6888, ge=1, le=65535, help="Port.")
    broker_permission: int = setting(6, runtime=True, help="Bits.")
    trace_on: bool = setting(True, runtime=True, help="Trace.")
    region_id: str = setting("DefaultRegion", runtime=True, help="Region.")
    config_black_list: str = setting("configBlackList;brokerConfigPath", help="Keys.")
    tags: list[str] = setting(["x"], runtime=True, help="Our own list.")
    password: str = setting("", secret=True, help="Hidden.")


@attrs.define(kw_only=True)
class MessageStoreConfig:
    broker_role: Role = setting(Role.ASYNC_MASTER, help="Role.")
    disk_ratio: float = setting(0.9, ge=0, le=1, runtime=True, help="Ratio.")
    sql_filter: bool = setting(False, le=False, help="Not there yet.")
