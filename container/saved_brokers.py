"""The set of brokers outlives the process: `brokerConfigPaths` in the container's file.

A broker that is added or removed by request changes that one key and nothing else in the file; the previous
content is kept as `<file>.bak`. Java's container forgets (`persistBrokerChanges=false` does too).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

from configuration import ConfigError
from container.broker_files import SEPARATOR, absolute_path, broker_path, real_path

if TYPE_CHECKING:
    from pathlib import Path

    from configuration import Configuration
    from container.settings import ContainerSettings

__all__ = ["SavedBrokers"]

_log = logging.getLogger("rocketmq.container")

_KEY = "brokerConfigPaths"


class SavedBrokers:
    """The list in the container's file.

    Args:
        settings: of the container; `source` is the file.
        configuration: the same settings, which knows how to write them.
    """

    def __init__(self, settings: ContainerSettings, configuration: Configuration) -> None:
        self._settings = settings
        self._configuration = configuration
        self._writing = trio.Lock()

    def names(self, source: Path | None) -> bool:
        """Whether the list has the broker whose file is `source`."""
        return source is not None and any(_same(part, source) for _, part in self._parts())

    async def add(self, source: Path | None) -> str | None:
        """Puts the broker of the file `source` into the list, unless it is there.

        Returns:
            Why the next start will not know it, in one sentence; None when it will.
        """
        if source is None:
            return "a program configured it, there is no file to name"
        async with self._writing:
            if self.names(source):
                return None
            path = absolute_path(source)
            if SEPARATOR in path:
                return f"{path} cannot stand in {_KEY}, where '{SEPARATOR}' separates the files"
            return await self._write([text for text, _ in self._parts()] + [path])

    async def remove(self, source: Path | None) -> str | None:
        """Takes the broker of the file `source` off the list.

        Returns:
            Why the next start will still know it; None when it will not.
        """
        if source is None:
            return None
        async with self._writing:
            if not self.names(source):
                return None
            return await self._write([text for text, part in self._parts() if not _same(part, source)])

    def _parts(self) -> list[tuple[str, Path]]:
        """The list as it is written, each with the file that it means."""
        file = self._settings.source
        listed = (self._settings.config.broker_config_paths or "").split(SEPARATOR)
        base = None if file is None else file.parent
        return [(text, broker_path(text, base)) for text in listed if text.strip()]

    async def _write(self, parts: list[str]) -> str | None:
        if self._settings.source is None:
            return "the container has no file of its own (-c)"
        if not self._settings.config.persist_broker_changes:
            return "persistBrokerChanges is false"
        text = SEPARATOR.join(parts)
        try:
            await trio.to_thread.run_sync(self._configuration.rewrite, {_KEY: text})
        except ConfigError as wrong:
            _log.error("%s is not changed to '%s': %s", _KEY, text, wrong)
            return str(wrong)
        _log.info("%s: %s is now '%s'", self._settings.source, _KEY, text)
        return None


def _same(one: Path, other: Path) -> bool:
    return real_path(one) == real_path(other)
