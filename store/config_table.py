"""A text file that is replaced atomically and keeps its previous version as ``.bak``.

The broker keeps ``topics.json`` and its siblings this way (Java: ``ConfigManager`` and
``MixAll.string2File``). The text itself is the caller's business.
"""

from __future__ import annotations

import contextlib
import logging
import os
from typing import TYPE_CHECKING

from store.errors import StoreCorruptError, StoreError, StoreMissingError
from store.files import OsFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable

    from store.files import FileSystem

log = logging.getLogger("rocketmq.store")

_EMPTY = "is empty"


def _text_of(data: bytes | None) -> tuple[str | None, str | None]:
    """The text, or None and why there is none; twice None without a file."""
    if not data:
        return None, None if data is None else _EMPTY
    try:
        return data.decode(), None
    except UnicodeDecodeError as error:
        return None, f"is not UTF-8 from byte {error.start} on"


class ConfigTable:
    """One file under ``<root>/config``.

    Args:
        path: Full path; its directory is created at the first save.
        files: Where it lives.
    """

    def __init__(self, path: str, files: FileSystem | None = None) -> None:
        self.path = path
        self._files = files or OsFileSystem()
        self._is_sure = False  # a process that was killed, or met an error, may not have synced what is there
        self._is_damaged = False

    @property
    def backup_path(self) -> str:
        return self.path + ".bak"

    def load(self, fault: Callable[[str], str | None] = lambda _text: None) -> str | None:
        """The text, or that of ``.bak`` when the file is missing, empty or damaged, which is said.

        Args:
            fault: Says where and why a text cannot be used; None when it can.

        Returns:
            None when there is no file, or an empty one, and no backup.

        Raises:
            StoreIOError: a file exists and cannot be read.
            StoreCorruptError: a file is damaged, and there is no sound one beside it. The text says where.
        """
        reasons: dict[str, str] = {}
        for path in (self.path, self.backup_path):
            text, reason = _text_of(self._read(path))
            if text:
                reason = fault(text)
                if reason is None:
                    if path != self.path:
                        why = reasons.get(self.path, "is missing")
                        log.error("%s: %s: its previous version %s is used", self.path, why, path)
                    return text
            if reason is not None:
                reasons[path] = reason
                self._is_damaged = True
        self._is_damaged = False  # no version is better than the file
        for path, reason in reasons.items():
            if reason != _EMPTY:
                raise StoreCorruptError(f"{reason}, and there is no sound version beside it", path)
            log.error("%s: %s, and there is no previous version", path, reason)
        return None

    def save(self, text: str, *, before: Callable[[str, str], None] | None = None) -> None:
        """Write `text` durably; blocking (two syncs), so call it in a worker thread.

        The file is never absent: the old content is first copied to ``.bak``, then the
        new one is renamed over it. Saving again what this object saved last does nothing; the same text
        from another process is written again, because nobody knows whether its syncs went well.

        Args:
            text: The new content.
            before: Called with the old and the new text before anything happens; what it raises ends this.

        Raises:
            StoreIOError: the old file is still complete, or the new one is there and may not be durable.
                Trying again writes all of it to another file: no sync that failed is believed later.
        """
        previous, data = self._read(self.path), text.encode()
        if before is not None:
            before("" if previous is None else previous.decode("utf-8", "replace"), text)
        if previous == data and self._is_sure:
            return
        self._files.makedirs(os.path.dirname(self.path))
        self._is_sure = False
        if previous and previous != data and not self._is_damaged:
            self._write(self.backup_path, previous)
        self._write(self.path, data)
        self._is_sure = True
        self._is_damaged = False

    def _read(self, path: str) -> bytes | None:
        try:
            file = self._files.open(path, writable=False)
        except StoreMissingError:
            return None
        try:
            return file.pread(file.size(), 0)
        finally:
            file.close()

    def _write(self, path: str, data: bytes) -> None:
        temporary = path + ".tmp"
        file = self._files.open(temporary, create=True)
        try:
            file.truncate(0)
            file.pwrite(data, 0)
            file.fdatasync()
        except StoreError:
            with contextlib.suppress(StoreError):  # what failed before is what the caller shall hear
                self._files.remove(temporary)  # on a full disk every byte counts
            raise
        finally:
            file.close()
        self._files.replace(temporary, path)
