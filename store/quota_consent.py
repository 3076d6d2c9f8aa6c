"""A share that would purge data at once waits until somebody confirms it.

The share that is in force is kept in ``<root>/config/diskShare.json``, which Java
RocketMQ ignores: ``{"share": 0.25, "confirmedShare": null}``. A broker that has lived
under its share is never asked again, whatever it finds after a crash; one whose share is
new or was lowered is, if its files are above it already. ``confirmedShare`` is the share
that ``quotaPurgeConfirmed=true`` was good for, so that a key left at true does not
confirm the next one too.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import attrs

from store.config_table import ConfigTable
from store.errors import StoreCorruptError, StoreError

if TYPE_CHECKING:
    from store.files import FileSystem

log = logging.getLogger("rocketmq.store")

SHARE_FILE_NAME = "diskShare.json"


@attrs.frozen
class ShareInForce:
    """What is remembered.

    Attributes:
        share: The smallest share that may delete; 1 before there was any.
        confirmed_share: For which one ``quotaPurgeConfirmed`` was used up; None for none.
    """

    share: float = 1.0
    confirmed_share: float | None = None


@attrs.frozen
class Purge:
    """What a share would delete at once."""

    files: int
    size_bytes: int

    def __bool__(self) -> bool:
        return self.files > 0


def decide_consent(
    known: ShareInForce, share: float, purge: Purge, *, confirmed: bool
) -> tuple[ShareInForce, bool]:
    """Whether `share` is in force, and what to remember.

    Args:
        known: What is remembered.
        share: What the configuration says now.
        purge: What that would delete at once.
        confirmed: ``quotaPurgeConfirmed``.

    Returns:
        What to remember from now on, and True when the share waits for a confirmation.
    """
    if not confirmed:
        known = attrs.evolve(known, confirmed_share=None)
    if share >= known.share or not purge:
        return attrs.evolve(known, share=share), False
    if confirmed and known.confirmed_share in (None, share):
        return ShareInForce(share, share), False
    return known, True


class PurgeConsent:
    """Asks for one store; blocking, for worker threads, one at a time.

    Args:
        path: Where the share in force is remembered.
        files: The disk.

    Attributes:
        note: What waits and how it is confirmed; None when nothing waits.
    """

    def __init__(self, path: str, files: FileSystem) -> None:
        self._table = ConfigTable(path, files)
        self._known: ShareInForce | None = None
        self._saved = ShareInForce()
        self._unsaved_reason = ""
        self.note: str | None = None

    def waits(self, share: float, purge: Purge, *, confirmed: bool) -> bool:
        """True when nothing may be deleted because of `share`; remembers it when it may."""
        if self._known is None:
            self._known = self._saved = self._load()
        self._known, waits = decide_consent(self._known, share, purge, confirmed=confirmed)
        self._tell(share, purge, waits=waits, confirmed=confirmed)
        if self._known != self._saved:
            self._save(self._known)
        return waits

    def _tell(self, share: float, purge: Purge, *, waits: bool, confirmed: bool) -> None:
        before = self.note
        if not waits:
            self.note = None
            if before is not None:
                log.warning("a share of %g of the disk is in force now", share)
            return
        how = "set quotaPurgeConfirmed=true" if not confirmed else (
            "quotaPurgeConfirmed=true was used for another share: set it to false and to true again"
        )  # fmt: skip
        self.note = (
            f"a share of {share:g} would delete about {purge.files} commit log files"
            f" ({purge.size_bytes} bytes) at once; nothing is deleted for it until that is confirmed: {how}"
        )
        if before is None:
            log.warning("%s", self.note)

    def _load(self) -> ShareInForce:
        """Without a sound file every share is new: one that would purge data asks."""
        try:
            text = self._table.load(_fault)
        except StoreCorruptError as error:
            log.warning("%s: a share that would delete data asks again", error)
            text = None
        return _parsed(text) if text else ShareInForce()

    def _save(self, known: ShareInForce) -> None:
        text = json.dumps({"share": known.share, "confirmedShare": known.confirmed_share})
        try:
            self._table.save(text)
        except StoreError as error:  # tried again in the next pass; until then the old file asks again
            if str(error) != self._unsaved_reason:
                log.error("the share in force cannot be saved: %s", error)
            self._unsaved_reason = str(error)
            return
        self._saved = known
        self._unsaved_reason = ""


def _fault(text: str) -> str | None:
    try:
        _parsed(text)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        return f"is no share: {error}"
    return None


def _parsed(text: str) -> ShareInForce:
    document = json.loads(text)
    confirmed = document["confirmedShare"]
    share = ShareInForce(float(document["share"]), None if confirmed is None else float(confirmed))
    if not (0 <= share.share <= 1 and 0 <= (share.confirmed_share or 0) <= 1):
        raise ValueError(f"{text!r:.100} is not between 0 and 1")
    return share
