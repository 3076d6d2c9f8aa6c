"""What a start makes on the disk where the broker had nothing, and how it goes again when the start fails.

Removed are only files whose names a broker gives, and directories that were not there before and are empty
now: whatever somebody else put beside them stays, and so do the directories around it.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from store import FileSystem

__all__ = ["FreshRoot"]

_TABLES = ("topics", "subscriptionGroup", "consumerOffset", "delayOffset", "registeredAs", "diskShare")
_ROOT = re.compile(r"lock|abort|checkpoint|queueEnds")
_CONFIG = re.compile(rf"({'|'.join(_TABLES)})\.json(\.bak)?(\.tmp)?|consumerOffset\.journal\.[01]")
_LOG_FILE = re.compile(r"[0-9]{20}")
_INDEX_FILE = re.compile(r"[0-9]{17}")


class FreshRoot:
    """The directories of one broker as they were before its start. Everything here blocks.

    Args:
        root: `storePathRootDir`.
        commit_logs, consume_queue: where these lie, below `root` or elsewhere.

    Raises:
        StoreIOError: a directory cannot be read.
    """

    def __init__(self, root: str, commit_logs: Iterable[str], consume_queue: str, files: FileSystem) -> None:
        self._files = files
        self._known = {
            root: _ROOT,
            os.path.join(root, "config"): _CONFIG,
            os.path.join(root, "index"): _INDEX_FILE,
        }
        self._known.update(dict.fromkeys(commit_logs, _LOG_FILE))
        self._missing = self._directories_to_come([*self._known, consume_queue])
        self.is_fresh = not any(map(files.listdir, [*self._known, consume_queue]))
        """Nothing was there: what is there after a failed start is of no use to anybody."""

    def remove_files(self) -> None:
        """Take away the files of the start, if nothing was there before it. Hold the lock of the root.

        Raises:
            StoreIOError: one cannot be removed.
        """
        if not self.is_fresh:
            return
        for directory, name in self._known.items():
            for found in self._files.listdir(directory):
                path = os.path.join(directory, found)
                if name.fullmatch(found) and not self._files.is_directory(path):
                    self._files.remove(path)

    def remove_directories(self) -> None:
        """Take away the directories that the start has made, as far as they are empty.

        Raises:
            StoreIOError: one cannot be removed.
        """
        for directory in self._missing:
            if self._files.is_directory(directory):
                self._files.remove_directory(directory)

    def _directories_to_come(self, directories: Iterable[str]) -> list[str]:
        """Those that do not exist, with the parents that do not either, each before its parent."""
        missing = set()
        for directory in directories:
            path = directory
            while path not in missing and not self._files.exists(path):
                missing.add(path)
                path = os.path.dirname(path)
        return sorted(missing, key=len, reverse=True)
