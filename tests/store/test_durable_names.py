"""A loss of power takes names that were not synced: none that a checkpoint or an answer relies on."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest
from store_kit import (
    ROOT,
    START_MS,
    bodies,
    checkpointed,
    message,
    new_disk,
    open_store,
    opened,
    put_ok,
    queried,
)

from store import ManualClock

if TYPE_CHECKING:
    from tests.simulation.disk import Names

SEEDS = range(16)


@pytest.mark.parametrize("names", ["posix", "journal"])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_queue_that_a_checkpoint_covers_is_found_again(seed: int, names: Names) -> None:
    """The log is read from the checkpoint on: nothing there speaks of a queue that was idle since."""
    disk, clock = new_disk(seed), ManualClock(START_MS)
    store = opened(ROOT, files=disk, clock=clock)
    put_ok(store, *[message(each, topic="idle") for each in range(15)])
    checkpointed(store)
    for number in range(6):
        clock.advance(60_000)
        put_ok(store, *[message(100 + number * 20 + each, topic="busy") for each in range(20)])
        checkpointed(store)
    store.release()
    disk.crash(Random(seed), "power", names=names)
    with open_store(ROOT, files=disk, clock=clock) as store:
        idle, busy = bodies(store, "idle"), bodies(store, "busy")
        found = [queried(store, f"U{each:08d}", "idle") for each in range(15)]
        [result] = put_ok(store, message(16, topic="idle"))
    assert idle == [b"body-%d" % each for each in range(15)]
    assert len(busy) == 120
    assert found == [[body] for body in idle]
    assert result.queue_offset == 15, "no offset is given twice"


@pytest.mark.parametrize("names", ["posix", "journal"])
@pytest.mark.parametrize("seed", SEEDS)
def test_units_of_messages_that_the_log_has_lost_do_not_come_back(seed: int, names: Names) -> None:
    """The queue is cut, nothing is written to it any more, and others get its place in the log."""
    disk, clock = new_disk(seed), ManualClock(START_MS)
    store = opened(ROOT, files=disk, clock=clock)
    put_ok(store, *[message(each, topic="cut") for each in range(5)])
    checkpointed(store)
    put_ok(store, *[message(each, topic="cut") for each in range(5, 40)])
    store._dispatcher.flushed(store._log.tail)
    store._behind.write_blocking()
    store._queues.sync()
    store.release()
    disk.crash(Random(seed), "power", names=names)  # the queue is on the device, the log is not
    with open_store(ROOT, files=disk, clock=clock) as store:
        kept = len(bodies(store, "cut"))
    store = opened(ROOT, files=disk, clock=clock)
    for number in range(4):
        clock.advance(60_000)
        put_ok(store, *[message(100 + number * 30 + each, topic="other") for each in range(30)])
        checkpointed(store)
    store.release()
    disk.crash(Random(seed), "power", names=names)
    with open_store(ROOT, files=disk, clock=clock) as store:
        assert bodies(store, "cut") == [b"body-%d" % each for each in range(kept)]
        assert bodies(store, "other") == [b"body-%d" % each for each in range(100, 220)]
