"""The product: one process, many brokers."""

from container.broker_container import BrokerContainer, ContainerStatistics
from container.broker_files import broker_paths
from container.broker_plan import BrokerPlan, default_plan, plan_broker, read_lone_plan, read_plan
from container.config import BrokerContainerConfig
from container.inner_broker import BootHook, BrokerState, InnerBroker, InnerBrokerStatistics, RecoveryHook
from container.open_container import open_container
from container.refusal import BootRefusedError
from container.settings import (
    ContainerSettings,
    NamesrvSettings,
    name_server_list,
    read_namesrv_settings,
    read_settings,
    read_tls_settings,
)
from container.supervisor import FailedBroker
from logs.identity import BrokerIdentity

__all__ = [
    "BootHook",
    "BootRefusedError",
    "BrokerContainer",
    "BrokerContainerConfig",
    "BrokerIdentity",
    "BrokerPlan",
    "BrokerState",
    "ContainerSettings",
    "ContainerStatistics",
    "FailedBroker",
    "InnerBroker",
    "InnerBrokerStatistics",
    "NamesrvSettings",
    "RecoveryHook",
    "broker_paths",
    "default_plan",
    "name_server_list",
    "open_container",
    "plan_broker",
    "read_lone_plan",
    "read_namesrv_settings",
    "read_plan",
    "read_settings",
    "read_tls_settings",
]
