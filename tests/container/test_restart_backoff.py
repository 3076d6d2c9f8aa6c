from __future__ import annotations

from container.restart import Backoff


def pauses(backoff: Backoff, *ran_for_ms: int) -> list[int]:
    return [backoff.next_pause_ms(ran, first_ms=100, longest_ms=1000) for ran in ran_for_ms]


def test_pauses_double_up_to_the_longest() -> None:
    backoff = Backoff()
    assert pauses(backoff, 0, 0, 0, 0, 0, 0) == [100, 200, 400, 800, 1000, 1000]
    assert backoff.restarts == 6


def test_a_broker_that_held_out_begins_again_with_the_first_pause() -> None:
    assert pauses(Backoff(), 0, 0, 999, 1000, 0) == [100, 200, 400, 100, 200]


def test_many_failures_do_not_overflow() -> None:
    assert pauses(Backoff(), *[0] * 5000)[-1] == 1000
