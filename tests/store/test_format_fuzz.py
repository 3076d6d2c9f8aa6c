"""Damage of every kind to every file of a store: recovered, or refused with the file named.

More of the same: `python -m tests.format_fuzz --seeds N`.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.format_fuzz.store_root import KINDS, make_template, trial

if TYPE_CHECKING:
    from pathlib import Path

    from tests.format_fuzz.store_root import Template

SEEDS = 40
PARTS = ("commitlog", "consumequeue", "index", "checkpoint", "queueEnds", "abort", "config", "")


@pytest.fixture(scope="module", params=KINDS)
def template(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Template]:
    return request.param, make_template(tmp_path_factory.mktemp("template") / "store", request.param)


@pytest.mark.parametrize("part", PARTS)
def test_damage_is_mended_or_named(template: tuple[str, Template], tmp_path: Path, part: str) -> None:
    kind, store = template
    outcomes = [trial(store, tmp_path, Random(f"{kind} {seed}"), part) for seed in range(SEEDS)]
    assert len(outcomes) == SEEDS
