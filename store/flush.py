"""When bytes of the commit log reach the device, and who waits for it.

ASYNC_FLUSH: a pass after ``flushIntervalCommitLog`` if enough pages are dirty, and
after ``flushCommitLogThoroughInterval`` in any case. SYNC_FLUSH: one ``fdatasync`` after
the other as long as something is dirty; whoever appended meanwhile shares the next one.
With nothing dirty the service sleeps. The sync runs in a worker thread.

A sync that failed, for whatever reason (no room included), ends the store: nothing is acknowledged any
more, no sync is tried again, ``abort`` stays and says why (`store.checkpoint`).
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING

import attrs
import trio

from configuration import wait_configured
from store.acknowledgement import answers_on_device
from store.errors import StoreError
from store.records import PutStatus
from store.worker_threads import in_service_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from store.commit_log import CommitLog
    from store.config import MessageStoreConfig

log = logging.getLogger("rocketmq.store")

_PAGE_BYTES = 4096
_FINAL_FLUSH_S = 30.0


@attrs.frozen
class FlushStatistics:
    flushes: int
    unflushed_bytes: int
    waiting: int
    timeouts: int
    failure: str | None


class FlushService:
    """Flushes one commit log.

    Args:
        commit_log: What to flush.
        config: Intervals and mode.
        on_flushed: Called in the event loop with the new flushed offset.
        last_store_timestamp: Store timestamp of the newest message, ms.
    """

    def __init__(
        self,
        commit_log: CommitLog,
        config: MessageStoreConfig,
        on_flushed: Callable[[int], None],
        last_store_timestamp: Callable[[], int],
    ) -> None:
        self._log = commit_log
        self._config = config
        self._on_flushed = on_flushed
        self._last_store_timestamp = last_store_timestamp
        self._sync = any(answers_on_device(config.flush_disk_type))
        self._dirty = trio.Event()
        self._enough = trio.Event()
        self._enough_at: int | None = None
        self._waiters: deque[tuple[int, float, Callable[[PutStatus], None]]] = deque()
        self._has_waiters = trio.Event()
        self._last_flush = 0.0
        self._flushes = 0
        self._timeouts = 0
        self.flushed_timestamp = 0
        self.failure: str | None = None

    def statistics(self) -> FlushStatistics:
        return FlushStatistics(
            self._flushes,
            self._log.tail - self._log.flushed,
            len(self._waiters),
            self._timeouts,
            self.failure,
        )

    def appended(self) -> None:
        """The log's tail moved; call in the event loop."""
        if not self._dirty.is_set():
            self._dirty.set()
        elif self._enough_at is not None and self._log.tail >= self._enough_at:
            self._enough.set()

    def when_durable(
        self, offset: int, callback: Callable[[PutStatus], None], timeout_ms: int | None = None
    ) -> None:
        """Call `callback` once the log is on the device up to `offset`, in the event loop.

        In ASYNC_FLUSH, and when it already is, that is at once. Otherwise the status is
        PUT_OK, FLUSH_DISK_TIMEOUT (after `timeout_ms`, ``syncFlushTimeout`` by default;
        the message is in the log), or UNKNOWN_ERROR when the device failed.
        """
        if self.failure is not None:
            callback(PutStatus.UNKNOWN_ERROR)
        elif not self._sync or offset <= self._log.flushed:
            callback(PutStatus.PUT_OK)
        else:
            timeout = self._config.sync_flush_timeout if timeout_ms is None else timeout_ms
            self._waiters.append((offset, trio.current_time() + timeout / 1000, callback))
            if not self._has_waiters.is_set():
                self._has_waiters.set()

    async def run(self) -> None:
        """Flush until cancelled; the last flush is shielded.

        Raises:
            StoreError: the device failed. Nothing is acknowledged any more.
        """
        self._last_flush = trio.current_time()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._expire_waiters)
                await self._flush_forever()
        finally:
            if self.failure is None:
                with trio.CancelScope(shield=True, deadline=trio.current_time() + _FINAL_FLUSH_S):
                    await self.flush()

    async def _flush_forever(self) -> None:
        while True:
            if self._log.flushed >= self._log.tail:
                self._dirty = trio.Event()
                await self._dirty.wait()
            if not self._sync:
                await self._wait_for_enough()
            await self.flush()

    async def _wait_for_enough(self) -> None:
        await wait_configured(lambda: self._config.flush_interval_commit_log / 1000)
        least = self._config.flush_commit_log_least_pages * _PAGE_BYTES
        if self._log.tail - self._log.flushed < least:
            since_s = trio.current_time() - self._last_flush
            self._enough = trio.Event()
            self._enough_at = self._log.flushed + least
            await wait_configured(
                lambda: self._config.flush_commit_log_thorough_interval / 1000 - since_s, self._enough
            )
            self._enough_at = None

    async def flush(self) -> None:
        """Make everything that is in the log now durable.

        Raises:
            StoreError: the device failed, now or before; the store must not be used for writing any more.
        """
        if self.failure is not None:
            raise StoreError(self.failure)
        upto = self._log.tail
        if upto <= self._log.flushed:
            return
        timestamp = self._last_store_timestamp()
        try:
            await in_service_thread(self._log.sync, self._log.unflushed_files(upto), abandon_on_cancel=True)
        except StoreError as error:
            self._fail(error)
            raise
        self.durable_upto(upto, timestamp)

    def durable_upto(self, upto: int, timestamp: int) -> None:
        """Record that the log is on the device up to `upto` and tell who waits."""
        self._flushes += 1
        self._last_flush = trio.current_time()
        if upto > self._log.flushed:
            self._log.flushed = upto
            self.flushed_timestamp = max(self.flushed_timestamp, timestamp)
            self._on_flushed(upto)
        while self._waiters and self._waiters[0][0] <= upto:
            self._waiters.popleft()[2](PutStatus.PUT_OK)

    def _fail(self, error: StoreError) -> None:
        self.failure = str(error)
        log.error("commit log cannot be flushed, no message will be acknowledged any more: %s", error)
        self._enough.set()
        waiters, self._waiters = self._waiters, deque()
        for _, _, callback in waiters:
            callback(PutStatus.UNKNOWN_ERROR)

    async def _expire_waiters(self) -> None:
        while True:
            if not self._waiters:
                self._has_waiters = trio.Event()
                await self._has_waiters.wait()
                continue
            await trio.sleep_until(self._waiters[0][1])
            now = trio.current_time()
            while self._waiters and self._waiters[0][1] <= now:
                self._timeouts += 1
                self._waiters.popleft()[2](PutStatus.FLUSH_DISK_TIMEOUT)
