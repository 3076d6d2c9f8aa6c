"""The set of brokers outlives the process: `brokerConfigPaths` in the container's file.

A broker that is added or removed by request changes that one key and nothing else in the file; the previous
content is kept as `<file>.bak`. Java's container forgets (`persistBrokerChanges=false` does too).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import attrs
import trio

from configuration import ConfigError, read_file
from configuration.names import to_snake_case
from container.broker_files import SEPARATOR, absolute_path, broker_path, real_path

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

    from configuration import Configuration
    from container.settings import ContainerSettings

__all__ = ["Added", "SavedBrokers"]

_log = logging.getLogger("rocketmq.container")

_KEY = "brokerConfigPaths"


@attrs.frozen
class Added:
    """What an addition to the list came to."""

    trouble: str | None = None
    """Why the next start will not know the broker, in one sentence; None when it will."""
    is_new: bool = False
    """Whether the list has it only since now."""
    left: tuple[Path, ...] = ()
    """Files of the same broker that left the list for it."""


class SavedBrokers:
    """The list in the container's file, as it stands there: somebody else may have edited it meanwhile.

    Args:
        settings: of the container; `source` is the file.
        configuration: the same settings, which knows how to write them.
    """

    def __init__(self, settings: ContainerSettings, configuration: Configuration) -> None:
        self._settings = settings
        self._configuration = configuration
        self._writing = trio.Lock()

    def named(self, sources: Iterable[Path | None]) -> set[Path]:
        """Those of `sources` that the next start will know. Blocks: it looks at files and directories."""
        listed = {real_path(path) for _, path in self._parts()}
        return {source for source in sources if source is not None and real_path(source) in listed}

    async def add(self, source: Path | None, *, instead_of: Collection[Path] = ()) -> Added:
        """Puts the broker of the file `source` into the list, unless it is there.

        Args:
            source: its file; None for a broker that a program configured.
            instead_of: files that described the same broker before; they leave the list.
        """
        if source is None:
            return Added("a program configured it, there is no file to name")
        async with self._writing:
            return await trio.to_thread.run_sync(self._add, source, instead_of)

    def _add(self, source: Path, instead_of: Collection[Path]) -> Added:
        own, former = real_path(source), set(map(real_path, instead_of))
        parts = [(text, real_path(path)) for text, path in self._parts()]
        leaving = [path for _, path in parts if path != own and path in former]
        left = [text for text, path in parts if path not in leaving]
        is_new = all(path != own for _, path in parts)
        if is_new:
            path = absolute_path(source)
            if SEPARATOR in path:
                return Added(f"{path} cannot stand in {_KEY}, where '{SEPARATOR}' separates the files")
            left.append(path)
        if not is_new and len(left) == len(parts):
            return Added()
        trouble = self._write(left)
        if trouble is not None:
            return Added(trouble)
        return Added(is_new=is_new, left=tuple(path for path in instead_of if real_path(path) in leaving))

    async def remove(self, sources: Iterable[Path]) -> str | None:
        """Takes the broker that `sources` describe off the list.

        Returns:
            Why the next start will still know it; None when it will not.
        """
        async with self._writing:
            return await trio.to_thread.run_sync(self._remove, sources)

    def _remove(self, sources: Iterable[Path]) -> str | None:
        doomed = set(map(real_path, sources))
        parts = self._parts()
        left = [text for text, path in parts if real_path(path) not in doomed]
        return None if len(left) == len(parts) else self._write(left)

    def _parts(self) -> list[tuple[str, Path]]:
        """The list as it is written, each with the file that it means."""
        file = self._settings.source
        base = None if file is None else file.parent
        return [(text, broker_path(text, base)) for text in self._text().split(SEPARATOR) if text.strip()]

    def _text(self) -> str:
        if (file := self._settings.source) is not None:
            try:
                raw = read_file(file)
            except ConfigError as wrong:  # who wants to write it is told so
                _log.debug("%s cannot be asked for %s: %s", file, _KEY, wrong)
            else:
                entry = raw.by_key.get(to_snake_case(_KEY) if raw.is_toml else _KEY)
                if entry is not None:
                    return str(entry.value)
        return self._settings.config.broker_config_paths or ""

    def _write(self, parts: list[str]) -> str | None:
        if self._settings.source is None:
            return "the container has no file of its own (-c)"
        if not self._settings.config.persist_broker_changes:
            return "persistBrokerChanges is false"
        text = SEPARATOR.join(parts)
        try:
            self._configuration.rewrite({_KEY: text})
        except ConfigError as wrong:
            _log.error("%s is not changed to '%s': %s", _KEY, text, wrong)
            return str(wrong)
        _log.info("%s: %s is now '%s'", self._settings.source, _KEY, text)
        return None
