"""The time of sends."""

from __future__ import annotations

from typing import Any, cast

import pytest

from client.errors import NotFound
from client.message import Message
from client.send_probe import Probe, mean_ms, timed_send


class _Producer:
    """Takes a quarter of a second of its clock for everything."""

    def __init__(self, outcome: object) -> None:
        self.now = 10.0
        self.outcome = outcome

    async def send(self, message: Message, queue: object = None) -> object:
        self.now += 0.25
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


async def probe(producer: _Producer) -> Probe:
    message = Message(topic="T", body=b"x")
    return await timed_send(cast("Any", producer), message, clock=lambda: producer.now)


async def test_what_was_stored_and_what_was_not_takes_its_time() -> None:
    result = object()
    stored = await probe(_Producer(result))
    assert (stored.took_ms, stored.result, stored.fault, stored.stored) == (250.0, result, None, True)
    refused = await probe(_Producer(NotFound("nobody serves it")))
    assert (refused.took_ms, refused.fault, refused.stored) == (250.0, "nobody serves it", False)


async def test_other_errors_are_not_results() -> None:
    with pytest.raises(TypeError):
        await probe(_Producer(TypeError("a bug")))


@pytest.mark.parametrize(("times", "mean"), [([], 0.0), ([7.0], 7.0), ([100.0, 1.0, 2.0], 1.5)])
def test_the_first_send_does_not_count_unless_it_is_alone(times: list[float], mean: float) -> None:
    assert mean_ms([Probe(each) for each in times]) == mean
