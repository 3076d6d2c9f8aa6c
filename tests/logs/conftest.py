"""Whatever a test installs is gone after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import logs

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _nothing_installed() -> Iterator[None]:
    yield
    logs.uninstall()
