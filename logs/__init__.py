"""Logs: who speaks, and in which file the line ends up."""

from logs.identity import BrokerIdentity, bound, current_identity
from logs.layout import BROKER_LAYOUT, LOGGERS, NAMESRV_LAYOUT, Layout, LogFile
from logs.levels import LEVELS, parse_levels
from logs.routing import LogSettings, change, flush, install, release, set_levels, statistics, uninstall
from logs.writer import DroppedLines, LogStatistics, RefusedFile

__all__ = [
    "BROKER_LAYOUT",
    "LEVELS",
    "LOGGERS",
    "NAMESRV_LAYOUT",
    "BrokerIdentity",
    "DroppedLines",
    "Layout",
    "LogFile",
    "LogSettings",
    "LogStatistics",
    "RefusedFile",
    "bound",
    "change",
    "current_identity",
    "flush",
    "install",
    "parse_levels",
    "release",
    "set_levels",
    "statistics",
    "uninstall",
]
