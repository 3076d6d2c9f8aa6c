"""Regions of pages that commands write."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks.compare import PAGE, PICTURE, REGION
from benchmarks.marked_region import MarkedRegionError, replaced, write_region

if TYPE_CHECKING:
    from pathlib import Path

PLAIN = "above\n<!-- begin x -->\nold\n<!-- end x -->\nbelow\n"


def test_only_the_region_changes() -> None:
    assert replaced(PLAIN, "x", "\nnew\nlines\n") == (
        "above\n<!-- begin x -->\nnew\nlines\n<!-- end x -->\nbelow\n"
    )


def test_writing_twice_is_writing_once() -> None:
    once = replaced(PLAIN, "x", "new")
    assert replaced(once, "x", "new") == once


@pytest.mark.parametrize(
    "page",
    [
        "no marks",
        "<!-- begin x -->\n",
        "<!-- end x -->\n<!-- begin x -->\n",
        PLAIN + PLAIN,
    ],
)
def test_a_page_without_a_clear_region_is_left_alone(page: str, tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text(page)
    with pytest.raises(MarkedRegionError, match=r"page\.md"):
        write_region(path, "x", "new")
    assert path.read_text() == page


def test_the_documentation_has_the_regions_place() -> None:
    page = PAGE.read_text()
    assert replaced(page, REGION, "new") != page
    assert PICTURE.parent == PAGE.parent
