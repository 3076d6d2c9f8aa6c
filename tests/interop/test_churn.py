"""Brokers come and go under load: nothing of them is left, and clients of the others notice nothing.

`python -m benchmarks.churn --rounds 1000` is the long run of the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.interop.churn import run_churn

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.interop.peers import JavaPeer

ROUNDS = 64


def test_churn_under_load_leaves_nothing_behind(
    system_under_test: str, java_peer: JavaPeer, new_home: Callable[[str], Path]
) -> None:
    if system_under_test != "ours":
        pytest.skip("this is a test of our container")
    outcome = run_churn(java_peer, new_home("churn"), rounds=ROUNDS, warm_up=16, sample_every=4)
    assert outcome.failed == 0, outcome.first_failure
    assert outcome.clutter == []
    assert outcome.leaks() == [], "\n".join(map(str, outcome.samples))
    # A broker that is not given back costs some hundred KiB; what is left is noise of the allocator.
    assert outcome.growth("anonymous_bytes") < 100 << 10, "\n".join(map(str, outcome.samples))
