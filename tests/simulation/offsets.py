"""What the broker's table of consumer offsets must hold after each kind of end."""

from __future__ import annotations

import attrs

from broker.offset_journal import OffsetJournal
from broker.offsets import NO_OFFSET, ConsumerOffsetManager
from store import ConfigTable, FileSystem
from tests.simulation.model import require

Key = tuple[str, str, int]
"""(group, topic, queue id)."""

_NEVER = 1 << 62


@attrs.define
class _Value:
    """One commit; `journalled` says that it was in the journal's hands when the commit returned."""

    offset: int
    generation: int
    journalled: bool


class OffsetsModel:
    """The account of all commits of one schedule."""

    def __init__(self) -> None:
        self._values: dict[Key, list[_Value]] = {}

    def open_table(self, root: str, files: FileSystem, now_ms: int) -> ConsumerOffsetManager:
        """The real table on `files`, as `broker.assembly` makes it; it is still to be loaded."""
        self._journal = OffsetJournal(f"{root}/config/consumerOffset.journal", files)
        return ConsumerOffsetManager(
            ConfigTable(f"{root}/config/consumerOffset.json", files),
            clock_ms=lambda: now_ms,
            journal=self._journal,
            version_step=lambda: 3,
        )

    def commit(self, table: ConsumerOffsetManager, key: Key, step: int, *, reset: bool) -> None:
        """Move the group's offset by `step`."""
        group, topic, queue_id = key
        offset = max(self.last(key), 0) + step
        if offset < 0:
            return
        if reset:
            table.reset(group, topic, queue_id, offset)
            table.take_reset(group, topic, queue_id)
        else:
            table.commit("client", group, topic, queue_id, offset)
        journalled = self._journal._file is not None
        values = self._values.setdefault(key, [_Value(NO_OFFSET, 0, journalled=True)])
        values.append(_Value(offset, table.file._generation, journalled))

    def last(self, key: Key) -> int:
        values = self._values.get(key)
        return values[-1].offset if values else NO_OFFSET

    def keys(self) -> list[Key]:
        return sorted(self._values)

    def check(self, table: ConsumerOffsetManager) -> None:
        """The running table answers with what was committed last."""
        for key in self.keys():
            group, topic, queue_id = key
            found = table.query(group, topic, queue_id)
            require(found == self.last(key), f"{key} is at {found}, {self.last(key)} was committed")

    def recovered(self, table: ConsumerOffsetManager, how: str, saved_generation: int) -> None:
        """Compare a table that was just loaded, and go on from what it has.

        Args:
            how: ``clean``, ``process`` or ``power``.
            saved_generation: What the file of the last run had for sure when it ended.

        Raises:
            MismatchError: a commit that must be kept is not.
        """
        for key, values in self._values.items():
            found = table.query(*key)
            saved = max(at for at, value in enumerate(values) if value.generation <= saved_generation)
            kept = saved
            if how != "power":
                kept = max([saved, *(at for at, value in enumerate(values) if value.journalled)])
            allowed = [value.offset for value in values[kept:]]
            require(found in allowed, f"offset of {key} is {found} after {how}, not one of {allowed}")
            if how == "power":
                self._values[key] = [_Value(found, 0, journalled=True)]
            else:  # until the first save the device may have any of the older ones
                older = [attrs.evolve(value, generation=_NEVER, journalled=False) for value in values[saved:]]
                older[0].generation = 0
                self._values[key] = [*older, _Value(found, 1, journalled=True)]
