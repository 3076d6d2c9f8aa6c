"""A table of one broker that is kept in a JSON file: changed in the event loop, written in a worker thread.

Changes only count up a generation; whoever must be sure that a change is on disk awaits
:meth:`SavedTable.saved`. However many wait at a time, one write serves them all, so a burst of changes costs
a few writes, and no write ever holds the event loop.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any, TypeVar

import trio

from configuration import wait_configured
from remoting.errors import BodyFault
from remoting.json_dialect import dumps_pretty, loads
from store import StoreError
from store.background_turns import background_turns
from store.worker_threads import in_service_thread

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from broker.offset_journal import OffsetJournal
    from store import ConfigTable

__all__ = ["SavedTable"]

_log = logging.getLogger("rocketmq.broker")
_RETRY_S = 1.0

T = TypeVar("T")


class SavedTable:
    """The file of one table (topics.json, subscriptionGroup.json, consumerOffset.json, delayOffset.json).

    Args:
        file: where the text is kept, with its `.bak`.
        snapshot: called in the event loop; gives a copy of the table that later changes do not touch.
        to_json_object: called in the worker thread with that copy; gives what the file holds.
        journal: keeps what changes between two saves, if losing that in a crash would matter.
        before: awaited between snapshot and write: makes durable what the table says has been done.
    """

    def __init__(
        self,
        file: ConfigTable,
        *,
        snapshot: Callable[[], Any],
        to_json_object: Callable[[Any], Any],
        journal: OffsetJournal | None = None,
        before: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._file = file
        self._before = before
        self._journal = journal
        self._snapshot = snapshot
        self._to_json_object = to_json_object
        self._generation = 0
        self._saved_generation = 0
        self._writing = trio.Lock()
        self._dirty = trio.Event()

    @property
    def dirty(self) -> bool:
        """Whether there are changes that are not on disk."""
        return self._generation != self._saved_generation

    def load(self, parse: Callable[[dict[str, Any]], T]) -> T | None:
        """What `parse` makes of the file, or None when there is none. Blocks: call it in a worker thread.

        Args:
            parse: gets the object of the file, or of its `.bak` when the file is damaged. It raises
                BodyFault when that is not this table.

        Raises:
            StoreCorruptError: neither is one.
            StoreIOError: one is there and cannot be read.
        """
        found = self.load_with_text(parse)
        return None if found is None else found[0]

    def load_with_text(self, parse: Callable[[dict[str, Any]], T]) -> tuple[T, str] | None:
        """`load` with the text that `parse` was given the object of."""
        found: list[tuple[T, str]] = []

        def fault(text: str) -> str | None:
            try:
                content = loads(text, max_bytes=sys.maxsize)
                if not isinstance(content, dict):
                    return "is no JSON object"
                found.append((parse(content), text))
            except BodyFault as error:
                return str(error)
            return None

        self._file.load(fault)
        return found[-1] if found else None

    def changed(self) -> None:
        """Say that the table differs from its file now."""
        self._generation += 1
        self._dirty.set()

    async def saved(self) -> None:
        """Return when every change made before this call is on disk.

        Cancellation does not interrupt a write under way, only the waiting for one.

        Raises:
            StoreError: the file, or what must be durable before it, could not be written; the change stays
                in memory and is tried again with the next one.
        """
        target = self._generation
        async with self._writing:
            if self._saved_generation < target:
                await self._write()

    async def _write(self) -> None:
        if self._journal is not None:
            self._journal.begin_segment()
        generation, snapshot = self._generation, self._snapshot()
        self._dirty = trio.Event()
        if self._before is not None:
            await self._before()
        await in_service_thread(self._write_snapshot, snapshot)
        self._saved_generation = generation
        if self._journal is not None:
            self._journal.confirm()

    def _write_snapshot(self, snapshot: Any) -> None:
        text = dumps_pretty(self._to_json_object(snapshot)).decode()
        self._file.save(text, before=None if self._journal is None else self._journal.set_bases)

    async def run(self, delay_s: Callable[[], float] = lambda: 0.0) -> None:
        """Save each change `delay_s` seconds after it came, in turns; idle as long as nothing changes.

        What fails is tried again each second, and said once: a disk may be full for days.
        """
        said = ""
        while True:
            await self._dirty.wait()
            await wait_configured(delay_s)
            try:
                # The turn comes first: who waits for a save must not wait for the turns of others.
                async with background_turns().turn():
                    await self.saved()
            except StoreError as error:
                if str(error) != said:
                    _log.error("a table cannot be saved, trying again: %s", error)
                said = str(error)
                self._dirty.set()
                await trio.sleep(_RETRY_S)
            else:
                if said:
                    _log.info("%s is saved again", self._file.path)
                said = ""
