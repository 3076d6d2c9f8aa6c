"""Search by time with both boundaries, against a plain model and Java's corner cases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from store_kit import START_MS, ManualClock, closed, message, open_store, opened, put_ok

if TYPE_CHECKING:
    from pathlib import Path

TIMES = [10, 10, 10, 30, 30, 50, 70, 70, 70, 70, 70, 90, 110, 130]


@pytest.mark.parametrize("written", [False, True])
def test_boundaries(tmp_path: Path, written: bool) -> None:
    clock = ManualClock()
    with open_store(tmp_path, clock=clock) as store:
        for number, time in enumerate(TIMES):
            clock.current_ms = START_MS + time
            put_ok(store, message(number), message(number, topic="Other"))
        if written:
            store._behind.write_blocking()

        def search(time: int, boundary: str) -> int:
            return store.offset_by_time("TopicTest", 0, START_MS + time, boundary)  # type: ignore[arg-type]

        for time in range(0, 141, 5):
            lower = next((i for i, stored in enumerate(TIMES) if stored >= time), len(TIMES))
            upper = max((i for i, stored in enumerate(TIMES) if stored <= time), default=0)
            assert search(time, "LOWER") == lower, time
            assert search(time, "UPPER") == upper, time


def test_empty_and_unknown_queues_answer_zero(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store._queues.create("Empty", 0)
        for topic in ("Empty", "Unknown"):
            assert store.offset_by_time(topic, 0, START_MS, "LOWER") == 0
            assert store.offset_by_time(topic, 0, START_MS, "UPPER") == 0
            assert store.store_time_at(topic, 0, 0) == -1
            assert store.earliest_time(topic, 0) == -1
        assert store.earliest_message_time() == -1


def test_older_than_all_after_retention_is_the_min_offset(tmp_path: Path) -> None:
    clock = ManualClock(START_MS)
    store = opened(tmp_path, clock=clock)
    for number in range(12):
        put_ok(store, message(number, body=bytes(1000)))
        clock.advance(1000)
    store._log.remove_first_file()
    store._cleaner._follow_min_offset()
    assert store.min_offset("TopicTest", 0) == 3
    assert store.offset_by_time("TopicTest", 0, 0, "LOWER") == 3
    assert store.offset_by_time("TopicTest", 0, 0, "UPPER") == 0
    assert store.earliest_message_time() == store.earliest_time("TopicTest", 0) == START_MS + 3000
    assert store.store_time_at("TopicTest", 0, 5) == START_MS + 5000
    assert store.is_in_memory("TopicTest", 0, 5)
    assert not store.is_in_memory("TopicTest", 0, 2)
    closed(store)
