"""The table of `benchmarks.compare`: when a bar is reached, and what is said of one that is missed."""

from __future__ import annotations

import pytest
from rich.console import Console

from benchmarks.compare_bars import (
    COMPILED,
    JAVA,
    NATS,
    OURS,
    QUANTITIES,
    Figures,
    Quantity,
    Reading,
    markdown_of,
    misses,
    table_of,
)


def quantity(key: str) -> Quantity:
    return next(each for each in QUANTITIES if each.key == key)


def figures(key: str, **values: float) -> Figures:
    return Figures([Reading(key, system, 0, value) for system, value in values.items()])


@pytest.mark.parametrize(
    ("key", "java", "reached", "missed"),
    [
        ("send-1-cpu", 240, 60, 60.1),
        ("send-16-cpu", 96, 24, 24.1),
        ("send-64-cpu", 80, 20, 20.1),
        ("send-64-rate", 10_000, 15_000, 14_999),
        ("batch-cpu", 12, 4, 4.1),
        ("catch-up-cpu", 8, 2, 2.1),
        ("catch-up-rate", 80_000, 80_000, 79_999),
        ("latency-p50", 1000, 1000, 1001),
        ("latency-p99", 1000, 1000, 1001),
        ("sync-flush-rate", 5000, 5000, 4999),
    ],
)
def test_a_bar_is_a_share_of_java(key: str, java: float, reached: float, missed: float) -> None:
    line = quantity(key)
    both = figures(key, java=java, ours=reached, compiled=missed)
    assert both.reached(line, line.bar, OURS) is True
    assert both.reached(line, line.bar, COMPILED) is False


def test_the_bar_of_the_memory_is_a_size() -> None:
    line = quantity("memory")
    both = figures("memory", ours=80, compiled=80.5)
    assert both.reached(line, line.bar, OURS) is True
    assert both.reached(line, line.bar, COMPILED) is False


def test_without_java_nothing_is_judged_by_it() -> None:
    line = quantity("send-1-cpu")
    alone = figures("send-1-cpu", ours=1000)
    assert alone.reached(line, line.bar, OURS) is None
    assert misses(alone) == []
    assert alone.systems == [OURS]


def test_the_others_are_not_judged() -> None:
    line = quantity("send-1-cpu")
    both = figures("send-1-cpu", java=240, nats=52)
    assert both.reached(line, line.bar, JAVA) is None
    assert both.reached(line, line.bar, NATS) is None


@pytest.mark.parametrize(("key", "best"), [("memory", 70), ("batch-cpu", 70), ("batch-rate", 500)])
def test_the_best_of_the_rounds_counts(key: str, best: float) -> None:
    rounds = [Reading(key, OURS, number, value) for number, value in enumerate((75, 500, 70))]
    assert Figures(rounds).of(quantity(key), OURS) == best


def test_missed_bars_come_before_missed_moonshots() -> None:
    readings = [
        Reading("send-1-cpu", JAVA, 0, 240),
        Reading("send-1-cpu", NATS, 0, 52),
        Reading("send-1-cpu", OURS, 0, 55),
        Reading("memory", OURS, 0, 81),
    ]
    assert misses(Figures(readings)) == [
        "ours, anonymous memory: 81.0 MB; bar ≤ 80 MB",
        "ours, sync send, 1 thread: 55.0 µs CPU, 1.06 of NATS; moonshot ≤ NATS",
    ]


def test_the_page_shows_ratios_and_what_is_missed() -> None:
    page = markdown_of(figures("batch-cpu", java=11, ours=4.4, compiled=2.2))
    assert page.splitlines() == [
        "| | Java | ours | ÷ Java | compiled | ÷ Java | bar |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| batches of 32, 4 threads, µs CPU | 11.0 | 4.40 | **0.40** | 2.20 | 0.20 | ≤ 1/3 of Java |",
    ]


def test_the_console_shows_the_same() -> None:
    both = figures("batch-cpu", java=11, ours=4.4)
    console = Console(width=120, color_system=None)
    with console.capture() as captured:
        console.print(table_of(both, "title", "caption"))
    text = captured.get()
    for part in ("title", "caption", "Java", "11.0", "4.40", "0.40", "≤ 1/3 of Java"):
        assert part in text


def test_every_figure_of_a_load_has_a_line() -> None:
    keys = [each.key for each in QUANTITIES]
    assert len(set(keys)) == len(keys)
    assert all(each.key.startswith(each.load) for each in QUANTITIES)
