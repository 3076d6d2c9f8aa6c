"""A text file that is replaced atomically and keeps its previous version as ``.bak``.

The broker keeps ``topics.json`` and its siblings this way (Java: ``ConfigManager`` and
``MixAll.string2File``). The text itself is the caller's business.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from store.errors import StoreError, StoreMissingError
from store.files import OsFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable

    from store.files import FileSystem


class ConfigTable:
    """One file under ``<root>/config``.

    Args:
        path: Full path; its directory is created at the first save.
        files: Where it lives.
    """

    def __init__(self, path: str, files: FileSystem | None = None) -> None:
        self.path = path
        self._files = files or OsFileSystem()
        self._is_sure = True

    @property
    def backup_path(self) -> str:
        return self.path + ".bak"

    def load(self, accept: Callable[[str], bool] | None = None) -> str | None:
        """The text, or that of ``.bak`` when the file is missing, empty or refused.

        Args:
            accept: Says whether a text can be used (parses); None accepts any.

        Returns:
            None when neither version can be used.

        Raises:
            StoreIOError: a file exists and cannot be read.
        """
        for path in (self.path, self.backup_path):
            text = self._read(path)
            if text and (accept is None or accept(text)):
                return text
        return None

    def save(self, text: str) -> None:
        """Write `text` durably; blocking (two syncs), so call it in a worker thread.

        The file is never absent: the old content is first copied to ``.bak``, then the
        new one is renamed over it. Saving the same text again does nothing.

        Raises:
            StoreIOError: the old file is still complete, or the new one is there and may not be durable.
                Trying again writes all of it to another file: no sync that failed is believed later.
        """
        previous = self._read(self.path)
        if previous == text and self._is_sure:
            return
        self._files.makedirs(os.path.dirname(self.path))
        self._is_sure = False
        if previous and previous != text:
            self._write(self.backup_path, previous)
        self._write(self.path, text)
        self._is_sure = True

    def _read(self, path: str) -> str | None:
        try:
            file = self._files.open(path, writable=False)
        except StoreMissingError:
            return None
        try:
            return file.pread(file.size(), 0).decode("utf-8", "replace")
        finally:
            file.close()

    def _write(self, path: str, text: str) -> None:
        temporary = path + ".tmp"
        file = self._files.open(temporary, create=True)
        try:
            file.truncate(0)
            file.pwrite(text.encode(), 0)
            file.fdatasync()
        except StoreError:
            with contextlib.suppress(StoreError):  # what failed before is what the caller shall hear
                self._files.remove(temporary)  # on a full disk every byte counts
            raise
        finally:
            file.close()
        self._files.replace(temporary, path)
