"""How far a group's pulls are behind, as code 315 tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from rig import open_rig, pull_request, send_request

from broker.admin.fall_behind import FALL_SIZE, FALL_TIME, fall_behind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rig import Rig

KEY = "0@T@g"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with open_rig(tmp_path) as rig:
        rig.topic("T")
        rig.subscribe("g", "T")
        yield rig


def figure(rig: Rig, name: str, key: str = KEY) -> int:
    found = fall_behind(rig.context, name, key)
    assert found is not None
    assert found.minute == found.hour == found.day
    assert found.minute.average == found.minute.sum
    return found.minute.sum


def store_with_pause(rig: Rig, count: int) -> None:
    for _ in range(count):
        rig.send(send_request())
        rig.clock.advance(1000)


@pytest.mark.parametrize("key", [KEY, "0@T@other", "7@T@g", "x@T@g", "T@g", "", "0@T@g@", "-1@T@g", "²@T@g"])
def test_who_never_pulled_is_not_behind(rig: Rig, key: str) -> None:
    store_with_pause(rig, 1)
    assert fall_behind(rig.context, FALL_SIZE, key) is None
    assert fall_behind(rig.context, FALL_TIME, key) is None


def test_behind_is_what_was_not_pulled_yet(rig: Rig) -> None:
    store_with_pause(rig, 4)
    positions = [unit[0] for unit in rig.context.store.consume_queue_units("T", 0, 0, 4)]
    rig.pull(pull_request(maxMsgNums="1"))
    assert figure(rig, FALL_SIZE) == rig.context.store.max_phy_offset - positions[1]
    assert figure(rig, FALL_TIME) == 3000, "since the second message was stored"
    rig.pull(pull_request(queueOffset="1"))
    assert (figure(rig, FALL_SIZE), figure(rig, FALL_TIME)) == (0, 0)


def test_what_is_gone_does_not_count(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    store_with_pause(rig, 4)
    rig.context.offsets.commit("client", "g", "T", 0, 0)
    assert figure(rig, FALL_TIME) == 4000
    monkeypatch.setattr(rig.context.store, "min_offset", lambda topic, queue_id: 2)
    assert figure(rig, FALL_TIME) == 2000
