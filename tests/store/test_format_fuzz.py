"""Damage of every kind to every file of a store, of a broker and of a name server.

Recovered, or refused with the file named. More of the same: `python -m tests.format_fuzz --seeds N`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.format_fuzz import store_root
from tests.format_fuzz.kinds import KINDS, STORE_KINDS, Fuzz
from tests.format_fuzz.outcome import FuzzError

if TYPE_CHECKING:
    from pathlib import Path

SEEDS = 25
SEEDS_OF_SMALL_FILES = 60
CASES = [
    *((kind, part, SEEDS) for kind in STORE_KINDS for part in ("commitlog", "consumequeue", "index", "")),
    *((kind, "", SEEDS_OF_SMALL_FILES) for kind in KINDS if kind not in STORE_KINDS),
]


@pytest.fixture(scope="module")
def fuzzes() -> dict[str, Fuzz]:
    return {}


@pytest.mark.parametrize(("kind", "part", "seeds"), CASES)
def test_damage_is_mended_or_named(
    fuzzes: dict[str, Fuzz], tmp_path_factory: pytest.TempPathFactory, kind: str, part: str, seeds: int
) -> None:
    if kind not in fuzzes:
        fuzzes[kind] = Fuzz(kind, tmp_path_factory.mktemp("fuzz") / kind)
    for seed in range(seeds):
        fuzzes[kind].trial(seed, part)


def test_a_failure_says_how_it_is_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fuzz = Fuzz("clean", tmp_path / "clean")

    def fail(*_: object) -> str:
        raise FuzzError("lost")

    monkeypatch.setattr(store_root, "outcome", fail)
    with pytest.raises(FuzzError, match=r"--kind clean --first 7 --seeds 1 --part index$"):
        fuzz.trial(7, "index")
