"""`kill -9` of a real container at random moments; `python -m tests.kill` does the same a thousand times."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.kill.ledger import Ledger, body_of, number_of
from tests.kill.rounds import run_round

if TYPE_CHECKING:
    from pathlib import Path

KILLS = 5


@pytest.mark.parametrize(
    ("seed", "retention"),
    [pytest.param("ci/1", False, id="files stay"), pytest.param("ci/4", True, id="full files are deleted")],
)
async def test_what_was_acknowledged_outlives_kills_at_random_moments(
    tmp_path: Path, seed: str, retention: bool
) -> None:
    """Settings and moments follow from the seed."""
    outcome = await run_round(tmp_path, seed, KILLS)
    assert outcome.kills.total() == KILLS
    assert outcome.acknowledged > 0
    assert outcome.rolls["commit log"] > 0
    assert bool(outcome.expired_files) is retention


def test_bodies_tell_their_number() -> None:
    ledger = Ledger()
    number = ledger.number("T", 0)
    body = body_of(number, 100)
    assert number_of(body) == number
    assert number_of(body[:-1]) is None
    assert number_of(body[:5] + b"x" + body[6:]) is None
