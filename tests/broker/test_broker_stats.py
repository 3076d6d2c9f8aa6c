"""What a broker has counted."""

from __future__ import annotations

from memory_table import FakeClock

from broker.stats import BrokerStatsManager, StatsName


def make_stats() -> tuple[BrokerStatsManager, FakeClock]:
    clock = FakeClock()
    return BrokerStatsManager("c1", clock_ms=clock, is_system=lambda name: name.startswith("sys")), clock


def sample(stats: BrokerStatsManager) -> int:
    """Takes one sample; returns in how many portions."""
    return sum(1 for _ in stats.sampling()) + 1


def pass_time(stats: BrokerStatsManager, clock: FakeClock, seconds: int) -> None:
    for _ in range(seconds // 10):
        clock.now_ms += 10_000
        sample(stats)


def test_what_was_never_counted_does_not_exist() -> None:
    stats, _ = make_stats()
    assert stats.find(StatsName.TOPIC_PUT_NUMS, "t") is None
    assert stats.tps(StatsName.TOPIC_PUT_NUMS, "t") == 0.0


def test_windows_forget_what_is_older_than_they_are_long() -> None:
    stats, clock = make_stats()
    for _ in range(12):
        stats.put("t", 0, 10, 1000)
        pass_time(stats, clock, 10)
    found = stats.find(StatsName.TOPIC_PUT_NUMS, "t")
    assert found is not None
    assert (found.minute.sum, found.minute.tps) == (60, 1.0)
    assert found.hour.sum == 120
    size = stats.find(StatsName.TOPIC_PUT_SIZE, "t")
    assert size is not None
    assert (size.minute.sum, size.minute.average) == (6000, 100.0)
    pass_time(stats, clock, 70)
    quiet = stats.find(StatsName.TOPIC_PUT_NUMS, "t")
    assert quiet is not None
    assert (quiet.minute.sum, quiet.minute.tps, quiet.hour.sum) == (0, 0.0, 120)


def test_a_day_is_kept() -> None:
    stats, clock = make_stats()
    stats.put("t", 0, 5, 5)
    pass_time(stats, clock, 7200)
    stats.put("t", 0, 1, 1)
    pass_time(stats, clock, 10)
    found = stats.find(StatsName.TOPIC_PUT_NUMS, "t")
    assert found is not None
    assert (found.minute.sum, found.hour.sum, found.day.sum) == (1, 1, 6)


def test_a_day_forgets_what_was_before_it() -> None:
    stats, clock = make_stats()
    stats.put("t", 0, 5, 5)
    pass_time(stats, clock, 24 * 3600)
    found = stats.find(StatsName.TOPIC_PUT_NUMS, "t")
    assert found is not None
    assert (found.hour.sum, found.day.sum) == (0, 5)
    pass_time(stats, clock, 3600)
    found = stats.find(StatsName.TOPIC_PUT_NUMS, "t")
    assert found is not None
    assert found.day.sum == 0


def test_the_broker_total_is_the_sum_of_its_topics() -> None:
    stats, clock = make_stats()
    stats.put("t", 0, 5, 5)
    stats.put("u", 1, 7, 7)
    pass_time(stats, clock, 10)
    found = stats.find(StatsName.BROKER_PUT_NUMS, "c1")
    assert found is not None
    assert found.minute.sum == 12
    assert stats.find(StatsName.BROKER_PUT_NUMS, "other") is None


def test_system_traffic_is_left_out_of_the_totals_of_the_day() -> None:
    stats, clock = make_stats()
    stats.put("sys-topic", 0, 5, 5)
    stats.put("t", 0, 3, 3)
    assert stats.runtime_info()["msgPutTotalTodayNow"] == "3"
    pass_time(stats, clock, 86_400)
    info = stats.runtime_info()
    assert (info["msgPutTotalYesterdayMorning"], info["msgPutTotalTodayMorning"]) == ("0", "3")


def test_the_latency_of_a_group_is_the_time_that_the_disk_took() -> None:
    stats, clock = make_stats()
    stats.got("g", "t", 0, 5, 5)
    stats.read_from_disk("g", "t", 0, 5, 8)
    stats.got("g", "t", 0, 5, 5)
    pass_time(stats, clock, 10)
    latency = stats.find(StatsName.GROUP_GET_LATENCY, "0@t@g")
    assert latency is not None
    assert (latency.minute.sum, latency.minute.average) == (8, 4.0)
    from_disk = stats.find(StatsName.BROKER_GET_FROM_DISK_NUMS, "c1")
    assert from_disk is not None
    assert from_disk.minute.sum == 5


def test_statistics_of_deleted_topics_and_groups_are_dropped() -> None:
    stats, _ = make_stats()
    stats.put("t", 0, 5, 5)
    stats.got("g", "t", 0, 5, 5)
    stats.forget_group("g")
    assert stats.find(StatsName.GROUP_GET_NUMS, "t@g") is None
    assert stats.find(StatsName.TOPIC_PUT_NUMS, "t") is not None
    stats.forget_topic("t")
    assert stats.find(StatsName.TOPIC_PUT_NUMS, "t") is None
    stats.put("t", 0, 1, 1)
    assert stats.find(StatsName.TOPIC_PUT_NUMS, "t") is not None


def test_many_counters_are_sampled_some_at_a_time_and_idle_ones_not_at_all() -> None:
    stats, clock = make_stats()
    for number in range(3000):
        stats.put(f"t{number}", 0, 1, 10)
    clock.now_ms += 10_000
    assert sample(stats) > 20
    clock.now_ms += 10_000
    assert sample(stats) == 1
    stats.put("t7", 0, 5, 50)
    stats.got("g", "t7", 0, 2, 20)
    clock.now_ms += 10_000
    assert sample(stats) == 1
    clock.now_ms += 40_000
    for name, key, total in (
        (StatsName.TOPIC_PUT_NUMS, "t7", 6),
        (StatsName.TOPIC_PUT_NUMS, "t8", 1),
        (StatsName.QUEUE_PUT_SIZE, "t7@0", 60),
        (StatsName.GROUP_GET_NUMS, "t7@g", 2),
    ):
        found = stats.find(name, key)
        assert found is not None
        assert (found.hour.sum, found.day.sum) == (total, total)
    minute = stats.find(StatsName.TOPIC_PUT_NUMS, "t7")
    assert minute is not None
    assert minute.minute.sum == 5


def test_what_is_counted_while_a_sample_is_taken_belongs_to_the_next_one() -> None:
    stats, clock = make_stats()
    for number in range(1000):
        stats.put(f"t{number}", 0, 1, 10)
    clock.now_ms += 10_000
    portions = stats.sampling()
    next(portions)
    stats.put("t0", 0, 4, 40)
    for _ in portions:
        pass
    pass_time(stats, clock, 60)
    found = stats.find(StatsName.TOPIC_PUT_NUMS, "t0")
    assert found is not None
    assert found.hour.sum == 5
    pass_time(stats, clock, 60)
    found = stats.find(StatsName.TOPIC_PUT_NUMS, "t0")
    assert found is not None
    assert (found.minute.sum, found.hour.sum) == (0, 5)
