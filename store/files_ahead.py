"""The next commit log file is made before it is needed: an append never waits for a directory."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

from store.errors import StoreError
from store.worker_threads import in_service_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from store.commit_log import CommitLog

log = logging.getLogger("rocketmq.store")

_RETRY_S = 1.0


class FilesAhead:
    """Creates files for one commit log in a worker thread.

    Args:
        commit_log: Says when it wants its next file.
        on_failure: Called in the event loop when a file cannot be created.
    """

    def __init__(self, commit_log: CommitLog, on_failure: Callable[[], None]) -> None:
        self._log = commit_log
        self._on_failure = on_failure
        self._wanted = trio.Event()

    def wanted(self) -> None:
        """The tail has passed the log's `next_file_from`; in the event loop."""
        if not self._wanted.is_set():
            self._wanted.set()

    async def run(self) -> None:
        """Create what is wanted until cancelled; what fails is tried again each second."""
        reported = ""
        while True:
            if not self._log.needs_next_file:
                self._wanted = trio.Event()
                await self._wanted.wait()
            try:
                self._log.keep_next_file(await in_service_thread(self._log.prepare_next_file))
                reported = ""
            except StoreError as error:
                if str(error) != reported:
                    log.warning("next commit log file cannot be created ahead of time: %s", error)
                reported = str(error)
                self._on_failure()
                await trio.sleep(_RETRY_S)
