"""Levels by their Java names, for `rocketmq` and for loggers below it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from logs.layout import LOGGERS, ROOT_LOGGER

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LEVELS", "LevelKeeper", "level_name", "parse_levels"]

LEVELS = {
    "DEBUG": logging.DEBUG,
    "INFO": logging.INFO,
    "WARN": logging.WARNING,
    "ERROR": logging.ERROR,
    "OFF": logging.CRITICAL + 10,
}

_JAVA_NAMES = {"WARNING": "WARN", "CRITICAL": "ERROR", "NOTSET": "TRACE"}


def level_name(name: str) -> str:
    """Java's name for one of the standard library's."""
    return _JAVA_NAMES.get(name, name)


def parse_levels(text: str) -> dict[str, int]:
    """Levels by logger from `rocketmq.store=DEBUG;rocketmq.remoting=WARN`.

    Raises:
        ValueError: names the part that is not `logger=level`, the logger or the level that is not known.
    """
    levels: dict[str, int] = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        logger, equals, level = (piece.strip() for piece in part.partition("="))
        if not equals:
            raise ValueError(f"'{part}' is not logger=level")
        if not _is_known(logger):
            raise ValueError(f"'{logger}' is not one of {ROOT_LOGGER}, {', '.join(LOGGERS)}")
        if level.upper() not in LEVELS:
            raise ValueError(f"'{level}' is not one of {', '.join(LEVELS)}")
        levels[logger] = LEVELS[level.upper()]
    return levels


def _is_known(logger: str) -> bool:
    return logger == ROOT_LOGGER or ".".join(logger.split(".")[:2]) in LOGGERS


class LevelKeeper:
    """Sets levels of loggers and remembers what they were before, which belongs to the host application."""

    def __init__(self) -> None:
        self._before: dict[str, int] = {}

    def set(self, level: int, levels: Mapping[str, int]) -> None:
        """From now on `level` for all of `rocketmq`, except for the loggers in `levels` and those below.

        What an earlier call set and this one does not name is as it was before. Safe in any thread.
        """
        wanted = {ROOT_LOGGER: level, **levels}
        for name in self._before.keys() - wanted.keys():
            logging.getLogger(name).setLevel(self._before.pop(name))
        for name, one in wanted.items():
            logger = logging.getLogger(name)
            self._before.setdefault(name, logger.level)
            logger.setLevel(one)

    def restore(self) -> None:
        """Everything as it was before the first :meth:`set`."""
        while self._before:
            name, level = self._before.popitem()
            logging.getLogger(name).setLevel(level)
