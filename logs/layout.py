"""Which file a logger writes: Java's file names, sizes and numbers of old files.

From `rmq.broker.logback.xml` and `rmq.namesrv.logback.xml`. There the root logger, that is everything that is
not RocketMQ's own, has a default file as well.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BROKER_LAYOUT", "LOGGERS", "NAMESRV_LAYOUT", "ROOT_LOGGER", "Layout", "LogFile", "directory_name"]

ROOT_LOGGER = "rocketmq"

_MIB = 1 << 20


@attrs.frozen
class LogFile:
    """A file of Java's layout."""

    name: str
    max_size_bytes: int
    """Size at which it is rotated."""
    keep: int
    """How many old ones are kept."""


@attrs.frozen
class Layout:
    """The files of one kind of process."""

    files: Mapping[str, LogFile]
    """By the second part of the logger's name: `store` for `rocketmq.store.flush`."""
    default: LogFile
    """For everything else."""

    def file_of(self, logger_name: str) -> LogFile:
        """The file for a logger: `rocketmq.store.flush` writes where `rocketmq.store` does."""
        root, _, rest = logger_name.partition(".")
        if root != ROOT_LOGGER:
            return self.default
        return self.files.get(rest.partition(".")[0], self.default)


BROKER_LAYOUT = Layout(
    files={
        "broker": LogFile("broker.log", 128 * _MIB, 20),
        "container": LogFile("broker.log", 128 * _MIB, 20),
        "store": LogFile("store.log", 128 * _MIB, 10),
        "storeerror": LogFile("storeerror.log", 100 * _MIB, 10),
        "remoting": LogFile("remoting.log", 100 * _MIB, 10),
        "namesrv": LogFile("namesrv.log", 100 * _MIB, 5),
        "transaction": LogFile("transaction.log", 100 * _MIB, 10),
        "stats": LogFile("stats.log", 100 * _MIB, 5),
        "lock": LogFile("lock.log", 100 * _MIB, 5),
        "filter": LogFile("filter.log", 100 * _MIB, 10),
        "protection": LogFile("protection.log", 100 * _MIB, 10),
        "watermark": LogFile("watermark.log", 100 * _MIB, 10),
        "client": LogFile("rocketmq_client.log", 64 * _MIB, 10),
    },
    default=LogFile("broker_default.log", 100 * _MIB, 10),
)
"""Of a broker and of a container."""

_NAMESRV_FILE = LogFile("namesrv.log", 100 * _MIB, 5)

NAMESRV_LAYOUT = Layout(
    files={"namesrv": _NAMESRV_FILE, "remoting": _NAMESRV_FILE},
    default=LogFile("namesrv_default.log", 100 * _MIB, 5),
)
"""Of a name server that has the process to itself."""

LOGGERS = tuple(f"{ROOT_LOGGER}.{name}" for name in BROKER_LAYOUT.files)
"""The loggers whose level can be set, besides the root one and those below."""


def directory_name(canonical_name: str) -> str:
    """Directory of an isolated broker: a name that stays below the root, whatever the broker is called."""
    name = re.sub(r"[/\\\0]", "_", canonical_name)
    return name if name.strip(".") else name.replace(".", "_")
