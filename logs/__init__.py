"""Logs: who speaks, and in which file the line ends up."""

from logs.identity import BrokerIdentity, bound, current_identity, is_isolated, set_isolated
from logs.routing import LogSettings, flush, install, statistics, uninstall
from logs.writer import LogStatistics

__all__ = [
    "BrokerIdentity",
    "LogSettings",
    "LogStatistics",
    "bound",
    "current_identity",
    "flush",
    "install",
    "is_isolated",
    "set_isolated",
    "statistics",
    "uninstall",
]
