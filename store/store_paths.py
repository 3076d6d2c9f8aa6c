"""Where everything of one store lies, by its configuration."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import attrs

from configuration import ConfigError
from store.queue_ends import QUEUE_ENDS_NAME
from store.quota_consent import SHARE_FILE_NAME

if TYPE_CHECKING:
    from store.config import MessageStoreConfig
    from store.files import FileSystem


@attrs.frozen
class StorePaths:
    """Real paths of one store.

    Attributes:
        commit_logs: Directories that get new commit log files, sorted.
        read_only_commit_logs: Directories whose commit log files are read only, sorted.
    """

    root: str
    commit_logs: list[str]
    read_only_commit_logs: list[str]
    consume_queue: str

    @classmethod
    def of(cls, config: MessageStoreConfig, files: FileSystem) -> StorePaths:
        """The paths that `config` says, or that follow from its root.

        Raises:
            ConfigError: every directory of the commit log is read only.
        """

        def several(paths: str | None) -> list[str]:
            found = (files.real_path(each.strip()) for each in (paths or "").split(",") if each.strip())
            return sorted(dict.fromkeys(found))

        root = files.real_path(config.store_path_root_dir)
        read_only = several(config.read_only_commit_log_store_paths)
        listed = several(config.store_path_commit_log) or [files.real_path(os.path.join(root, "commitlog"))]
        writable = [path for path in listed if path not in read_only]
        if not writable:
            raise ConfigError(
                None,
                None,
                "readOnlyCommitLogStorePaths",
                "names every directory of storePathCommitLog: none is left for new files",
            )
        queues = files.real_path(config.store_path_consume_queue or os.path.join(root, "consumequeue"))
        return cls(root, writable, read_only, queues)

    @property
    def all(self) -> list[str]:
        """Every directory that must belong to this store alone, the root first."""
        return [self.root, *self.commit_logs, *self.read_only_commit_logs, self.consume_queue]

    @property
    def config(self) -> str:
        return os.path.join(self.root, "config")

    @property
    def index(self) -> str:
        return os.path.join(self.root, "index")

    @property
    def abort(self) -> str:
        return os.path.join(self.root, "abort")

    @property
    def checkpoint(self) -> str:
        return os.path.join(self.root, "checkpoint")

    @property
    def queue_ends(self) -> str:
        return os.path.join(self.root, QUEUE_ENDS_NAME)

    @property
    def share_in_force(self) -> str:
        return os.path.join(self.config, SHARE_FILE_NAME)
