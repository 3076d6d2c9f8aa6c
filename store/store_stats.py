"""What passes through a store, counted: messages put and got, rates, longest times.

The keys of `StoreStats.runtime_info` are those of Java's ``StoreStatsService``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.put_times import PutTimes, distribution_text, percentile_text
from store.rates import Rates
from store.runtime_text import runtime_text

if TYPE_CHECKING:
    from store.records import GetResult

RATE_NAMES = ("put", "get_found", "get_miss", "get_total", "get_transferred", "put_bytes", "put_failed")
PUT, FOUND, MISS, GET_TOTAL, TRANSFERRED, PUT_BYTES, PUT_FAILED = range(len(RATE_NAMES))
"""Places in `Rates.counts`."""


class StoreStats:
    """Counters of one store.

    Args:
        boot_timestamp: When the store was made, ms.

    Attributes:
        rates: Counters with their history; the places are the constants of this module.
        put_times: Times until messages could be acknowledged.
        cold_gets: Gets that went to a worker thread.
    """

    def __init__(self, boot_timestamp: int) -> None:
        self._boot_timestamp = boot_timestamp
        self.rates = Rates(RATE_NAMES)
        self.put_times = PutTimes()
        self.cold_gets = 0
        self._longest_get_ms = 0

    def got(self, result: GetResult, started_ms: int, now_ms: int) -> None:
        """A get that began at `started_ms` has its answer, be it from memory or from a worker thread."""
        self.rates.tick(now_ms)
        counts = self.rates.counts
        counts[GET_TOTAL] += 1
        if result.message_count:
            counts[FOUND] += 1
            counts[TRANSFERRED] += result.message_count
        else:
            counts[MISS] += 1
        if now_ms - started_ms > self._longest_get_ms:
            self._longest_get_ms = now_ms - started_ms

    def runtime_info(self, now_ms: int) -> dict[str, str]:
        """This part of the broker's runtime table (code 28)."""
        rates = self.rates
        puts, put_bytes = max(rates.total("put"), 1), rates.total("put_bytes")
        times = self.put_times.last_minute(now_ms)
        transferred = rates.text("get_transferred", now_ms)
        return {
            "bootTimestamp": str(self._boot_timestamp),
            "runtime": runtime_text(now_ms - self._boot_timestamp),
            "putMessageEntireTimeMax": str(self.put_times.longest_ms),
            "putMessageTimesTotal": str(puts),
            "putMessageFailedTimes": str(rates.total("put_failed")),
            "putMessageSizeTotal": str(put_bytes),
            "putMessageDistributeTime": distribution_text(times),
            "putMessageAverageSize": str(put_bytes / puts),
            # Java shows this field but nothing in it ever sets another value.
            "dispatchMaxBuffer": "0",
            "getMessageEntireTimeMax": str(self._longest_get_ms),
            "putTps": rates.text("put", now_ms),
            "getFoundTps": rates.text("get_found", now_ms),
            "getMissTps": rates.text("get_miss", now_ms),
            "getTotalTps": rates.text("get_total", now_ms),
            "getTransferredTps": transferred,
            "getTransferedTps": transferred,
            "putLatency99": percentile_text(times, 0.99),
            "putLatency999": percentile_text(times, 0.999),
        }
