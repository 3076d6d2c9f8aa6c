"""The name server: which brokers there are, and which topics they hold."""

from namesrv.config import NamesrvConfig
from namesrv.kv_config import KVConfigManager
from namesrv.routes import Registration, RouteInfoManager
from namesrv.server import NameServer, NameServerStatistics

__all__ = [
    "KVConfigManager",
    "NameServer",
    "NameServerStatistics",
    "NamesrvConfig",
    "Registration",
    "RouteInfoManager",
]
