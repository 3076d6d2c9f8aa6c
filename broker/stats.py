"""What one broker has done: totals of the day and the figures of VIEW_BROKER_STATS_DATA.

Mirrors the names of `org.apache.rocketmq.store.stats.BrokerStatsManager` and `Stats`. Counting happens once
per batch on the way of sends and pulls: the counters of a queue are looked up with one dictionary access.
Windows are kept by sampling every 10 s what has changed, some at a time (`sampling`), as it may be a hundred
thousand counters; an idle counter costs nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["BrokerStatsManager", "StatsName", "StatsSnapshot", "StatsWindow"]

SAMPLE_INTERVAL_S = 10.0
_MINUTE_MS, _HOUR_MS, _DAY_MS = 60_000, 3_600_000, 86_400_000
_SAMPLES_PER_TEN_MINUTES = 60
_SAMPLES_PER_HOUR = 360
_SAMPLES_KEPT, _DAY_SAMPLES_KEPT = 7, 25
_SLICE = 500
"""Counters that are sampled without a break: well below a millisecond."""

_Sample = tuple[int, int, int]
"""Time in ms, value and times at that time."""


class StatsName:
    """Names of statistics, as requests name them."""

    TOPIC_PUT_NUMS: Final = "TOPIC_PUT_NUMS"
    TOPIC_PUT_SIZE: Final = "TOPIC_PUT_SIZE"
    QUEUE_PUT_NUMS: Final = "QUEUE_PUT_NUMS"
    QUEUE_PUT_SIZE: Final = "QUEUE_PUT_SIZE"
    QUEUE_GET_NUMS: Final = "QUEUE_GET_NUMS"
    QUEUE_GET_SIZE: Final = "QUEUE_GET_SIZE"
    GROUP_GET_NUMS: Final = "GROUP_GET_NUMS"
    GROUP_GET_SIZE: Final = "GROUP_GET_SIZE"
    GROUP_GET_LATENCY: Final = "GROUP_GET_LATENCY"
    SNDBCK_PUT_NUMS: Final = "SNDBCK_PUT_NUMS"
    BROKER_PUT_NUMS: Final = "BROKER_PUT_NUMS"
    BROKER_GET_NUMS: Final = "BROKER_GET_NUMS"
    BROKER_GET_FROM_DISK_NUMS: Final = "BROKER_GET_FROM_DISK_NUMS"


@attrs.frozen
class StatsWindow:
    """Sum, rate per second and average per count within one window."""

    sum: int
    tps: float
    average: float


@attrs.frozen
class StatsSnapshot:
    """One statistic over the last minute, hour and day."""

    minute: StatsWindow
    hour: StatsWindow
    day: StatsWindow


class _Item:
    """One counter: a sum (`value`) over a number of counts (`times`), and samples of both, the oldest first.

    There may be hundreds of thousands: the samples are tuples, which are small and which garbage collections
    do not look at.
    """

    __slots__ = ("days", "hours", "minutes", "times", "value")

    def __init__(self, birth: tuple[_Sample, ...]) -> None:
        self.value = 0
        self.times = 0
        self.minutes = self.hours = self.days = birth

    def sample_minutes(self, now_ms: int) -> None:
        self.minutes = self._with_sample(self.minutes, now_ms, _SAMPLES_KEPT)

    def sample_hours(self, now_ms: int) -> None:
        self.hours = self._with_sample(self.hours, now_ms, _SAMPLES_KEPT)

    def sample_days(self, now_ms: int) -> None:
        self.days = self._with_sample(self.days, now_ms, _DAY_SAMPLES_KEPT)

    def _with_sample(self, samples: tuple[_Sample, ...], now_ms: int, kept: int) -> tuple[_Sample, ...]:
        return (*samples[1 - kept :], (now_ms, self.value, self.times))

    def window(self, samples: tuple[_Sample, ...], now_ms: int, length_ms: int) -> StatsWindow:
        start = samples[0]
        for sample in samples:
            if sample[0] > now_ms - length_ms:
                break
            start = sample
        value, times = self.value - start[1], self.times - start[2]
        elapsed_ms = min(length_ms, now_ms - start[0])
        return StatsWindow(
            sum=value,
            tps=value * 1000 / elapsed_ms if elapsed_ms > 0 else 0.0,
            average=value / times if times else 0.0,
        )


class _Row:
    """The counters that one call counts on.

    Attributes:
        is_system: traffic of the broker's own.
        counted: whether there was such a call since the last sample.
    """

    __slots__ = ("counted", "is_system", "items")

    def __init__(self, items: tuple[_Item, ...], *, is_system: bool) -> None:
        self.items = items
        self.is_system = is_system
        self.counted = False


class BrokerStatsManager:
    """Counters of one broker.

    Args:
        cluster: key of the BROKER_ statistics.
        is_system: says of a topic or group whether it is one of the broker's own; such traffic is left out of
            the totals of the day.
    """

    def __init__(
        self, cluster: str, *, clock_ms: Callable[[], int], is_system: Callable[[str], bool]
    ) -> None:
        self._cluster = cluster
        self._clock_ms = clock_ms
        self._is_system = is_system
        self._items: dict[str, dict[str, _Item]] = {}
        self._puts: dict[tuple[str, int], _Row] = {}
        self._gets: dict[tuple[str, str, int], _Row] = {}
        self._counted_rows: list[_Row] = []
        self._counted: set[_Item] = set()
        self._counted_in_hour: set[_Item] = set()
        self._counted_in_day: set[_Item] = set()
        self._samples_taken = 0
        self.put_without_system_total = 0
        self.get_without_system_total = 0
        self._morning = _day_of(clock_ms())
        self._put_yesterday = self._put_today = 0
        self._get_yesterday = self._get_today = 0

    # Counting

    def put(self, topic: str, queue_id: int, count: int, size_bytes: int) -> None:
        """`count` messages, `size_bytes` together, were stored in a queue."""
        row = self._puts.get((topic, queue_id))
        if row is None:
            row = self._puts[topic, queue_id] = self._put_row(topic, queue_id)
        if not row.counted:
            row.counted = True
            self._counted_rows.append(row)
        nums, size, queue_nums, queue_size = row.items
        nums.value += count
        nums.times += count
        size.value += size_bytes
        size.times += count
        queue_nums.value += count
        queue_nums.times += count
        queue_size.value += size_bytes
        queue_size.times += count
        if not row.is_system:
            self.put_without_system_total += count

    def got(self, group: str, topic: str, queue_id: int, count: int, size_bytes: int) -> None:
        """`count` messages, `size_bytes` together, were given to a consumer."""
        row = self._gets.get((group, topic, queue_id))
        if row is None:
            row = self._gets[group, topic, queue_id] = self._get_row(group, topic, queue_id)
        if not row.counted:
            row.counted = True
            self._counted_rows.append(row)
        nums, size, queue_nums, queue_size, latency = row.items
        latency.times += 1
        nums.value += count
        nums.times += 1
        size.value += size_bytes
        size.times += 1
        queue_nums.value += count
        queue_nums.times += 1
        queue_size.value += size_bytes
        queue_size.times += 1
        if not row.is_system:
            self.get_without_system_total += count

    def read_from_disk(self, group: str, topic: str, queue_id: int, count: int, milliseconds: int) -> None:
        """A pull had to wait so long for the disk; :meth:`got` counts what it gave to the consumer."""
        self.inc(StatsName.GROUP_GET_LATENCY, f"{queue_id}@{topic}@{group}", milliseconds, 0)
        self.inc(StatsName.BROKER_GET_FROM_DISK_NUMS, self._cluster, count)

    def sent_back(self, group: str, topic: str) -> None:
        """A consumer gave a message back for later."""
        self.inc(StatsName.SNDBCK_PUT_NUMS, f"{topic}@{group}", 1)

    def inc(self, name: str, key: str, count: int, times: int = 1) -> None:
        """Count on any statistic; for what is not on the way of every message."""
        item = self._item(name, key)
        item.value += count
        item.times += times
        self._counted.add(item)

    # Reading

    def find(self, name: str, key: str) -> StatsSnapshot | None:
        """One statistic, None when nothing was ever counted under that name and key."""
        if name == StatsName.BROKER_PUT_NUMS or name == StatsName.BROKER_GET_NUMS:
            return self._broker_total(name) if key == self._cluster else None
        item = self._items.get(name, {}).get(key)
        if item is None:
            return None
        return _snapshot(item, self._clock_ms())

    def tps(self, name: str, key: str) -> float:
        """Rate per second over the last minute, 0 when nothing was ever counted."""
        item = self._items.get(name, {}).get(key)
        return 0.0 if item is None else item.window(item.minutes, self._clock_ms(), _MINUTE_MS).tps

    def runtime_info(self) -> dict[str, str]:
        """The keys of GET_BROKER_RUNTIME_INFO (28) that are counted by the day; rates are the store's."""
        return {
            "msgPutTotalYesterdayMorning": str(self._put_yesterday),
            "msgPutTotalTodayMorning": str(self._put_today),
            "msgPutTotalTodayNow": str(self.put_without_system_total),
            "msgGetTotalYesterdayMorning": str(self._get_yesterday),
            "msgGetTotalTodayMorning": str(self._get_today),
            "msgGetTotalTodayNow": str(self.get_without_system_total),
        }

    # Housekeeping

    def sampling(self) -> Iterator[None]:
        """Takes the samples that windows are computed from; the broker goes through it every 10 s.

        Yields between portions of work that are small enough for the event loop.
        """
        now_ms = self._clock_ms()
        self._samples_taken += 1
        rows, self._counted_rows = self._counted_rows, []
        counted, self._counted = self._counted, set()
        for number, row in enumerate(rows, 1):
            row.counted = False
            counted.update(row.items)
            if number % _SLICE == 0:
                yield
        yield from _sampled(counted, _Item.sample_minutes, now_ms, self._counted_in_hour)
        if self._samples_taken % _SAMPLES_PER_TEN_MINUTES == 0:
            counted, self._counted_in_hour = self._counted_in_hour, set()
            yield from _sampled(counted, _Item.sample_hours, now_ms, self._counted_in_day)
        if self._samples_taken % _SAMPLES_PER_HOUR == 0:
            counted, self._counted_in_day = self._counted_in_day, set()
            yield from _sampled(counted, _Item.sample_days, now_ms)
        self._turn_day(now_ms)

    def forget_topic(self, topic: str) -> None:
        """Drop the statistics of a topic that was deleted."""
        self._forget(lambda parts: topic in parts)
        self._puts = {key: items for key, items in self._puts.items() if key[0] != topic}
        self._gets = {key: items for key, items in self._gets.items() if key[1] != topic}

    def forget_group(self, group: str) -> None:
        """Drop the statistics of a group that was deleted."""
        self._forget(lambda parts: len(parts) > 1 and parts[-1] == group)
        self._gets = {key: items for key, items in self._gets.items() if key[0] != group}

    def _forget(self, belongs: Callable[[list[str]], bool]) -> None:
        for items in self._items.values():
            for key in [key for key in items if belongs(key.split("@"))]:
                del items[key]

    def _turn_day(self, now_ms: int) -> None:
        today = _day_of(now_ms)
        if today == self._morning:
            return
        self._morning = today
        self._put_yesterday, self._put_today = self._put_today, self.put_without_system_total
        self._get_yesterday, self._get_today = self._get_today, self.get_without_system_total

    def _item(self, name: str, key: str) -> _Item:
        items = self._items.get(name)
        if items is None:
            items = self._items[name] = {}
        item = items.get(key)
        if item is None:
            item = items[key] = _Item(((self._clock_ms(), 0, 0),))
        return item

    def _put_row(self, topic: str, queue_id: int) -> _Row:
        queue = f"{topic}@{queue_id}"
        items = (
            self._item(StatsName.TOPIC_PUT_NUMS, topic),
            self._item(StatsName.TOPIC_PUT_SIZE, topic),
            self._item(StatsName.QUEUE_PUT_NUMS, queue),
            self._item(StatsName.QUEUE_PUT_SIZE, queue),
        )
        return _Row(items, is_system=self._is_system(topic))

    def _get_row(self, group: str, topic: str, queue_id: int) -> _Row:
        key, queue = f"{topic}@{group}", f"{topic}@{queue_id}@{group}"
        items = (
            self._item(StatsName.GROUP_GET_NUMS, key),
            self._item(StatsName.GROUP_GET_SIZE, key),
            self._item(StatsName.QUEUE_GET_NUMS, queue),
            self._item(StatsName.QUEUE_GET_SIZE, queue),
            self._item(StatsName.GROUP_GET_LATENCY, f"{queue_id}@{topic}@{group}"),
        )
        return _Row(items, is_system=self._is_system(topic))

    def _broker_total(self, name: str) -> StatsSnapshot:
        """BROKER_PUT_NUMS and BROKER_GET_NUMS, added up when somebody asks."""
        part = StatsName.TOPIC_PUT_NUMS if name == StatsName.BROKER_PUT_NUMS else StatsName.GROUP_GET_NUMS
        now_ms = self._clock_ms()
        parts = [_snapshot(item, now_ms) for item in self._items.get(part, {}).values()]
        return StatsSnapshot(
            minute=_sum([each.minute for each in parts]),
            hour=_sum([each.hour for each in parts]),
            day=_sum([each.day for each in parts]),
        )


def _sampled(
    counted: set[_Item],
    sample: Callable[[_Item, int], None],
    now_ms: int,
    onward: set[_Item] | None = None,
) -> Iterator[None]:
    """Samples what was counted, and notes it in `onward` for a longer window; yields after each portion."""
    for number, item in enumerate(counted, 1):
        sample(item, now_ms)
        if onward is not None:
            onward.add(item)
        if number % _SLICE == 0:
            yield


def _snapshot(item: _Item, now_ms: int) -> StatsSnapshot:
    return StatsSnapshot(
        minute=item.window(item.minutes, now_ms, _MINUTE_MS),
        hour=item.window(item.hours, now_ms, _HOUR_MS),
        day=item.window(item.days, now_ms, _DAY_MS),
    )


def _sum(windows: list[StatsWindow]) -> StatsWindow:
    total = sum(window.sum for window in windows)
    return StatsWindow(sum=total, tps=sum(window.tps for window in windows), average=1.0 if total else 0.0)


def _day_of(now_ms: int) -> int:
    """Number of the day by the machine's own clock."""
    moment = datetime.fromtimestamp(now_ms / 1000)
    return (moment - datetime(1970, 1, 1)) // timedelta(days=1)
