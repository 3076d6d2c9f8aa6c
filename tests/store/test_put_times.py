"""Classes and percentiles of put times, and the turn of the minute."""

from __future__ import annotations

import pytest

from store.put_times import PutTimes, distribution_text, percentile_text


def test_classes_are_those_of_java() -> None:
    times = dict.fromkeys((-3, 0, 1, 9, 10, 49, 99, 199, 499, 999, 1999, 2999, 3999, 4999, 9999, 10_000), 1)
    assert distribution_text(times) == (
        "[<=0ms]:2 [0~10ms]:2 [10~50ms]:2 [50~100ms]:1 [100~200ms]:1 [200~500ms]:1 [500ms~1s]:1 [1~2s]:1 "
        "[2~3s]:1 [3~4s]:1 [4~5s]:1 [5~10s]:1 [10s~]:1"
    )


@pytest.mark.parametrize(
    ("times", "share", "text"),
    [
        ({}, 0.99, "0.00"),
        ({0: 100}, 0.99, "0.99"),
        ({1: 50, 4: 50}, 0.75, "3.50"),
        ({1: 90, 700: 10}, 0.99, "690.00"),
        ({21: 10}, 0.5, "21.00"),
    ],
)
def test_percentiles_interpolate_in_javas_buckets(times: dict[int, int], share: float, text: str) -> None:
    assert percentile_text(times, share) == text


def test_only_the_last_whole_minute_is_shown() -> None:
    times = PutTimes()
    times.add(3, 2, 60_000)
    times.add(3, 1, 119_999)
    assert times.last_minute(119_999) == {}
    times.add(8, 1, 120_000)
    assert times.last_minute(120_000) == {3: 3}
    assert times.last_minute(180_000) == {8: 1}
    assert times.last_minute(240_000) == {}
    times.add(1, 1, 250_000)
    assert times.last_minute(360_000) == {}
    assert times.longest_ms == 8
