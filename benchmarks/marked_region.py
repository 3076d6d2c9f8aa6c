"""Figures in a page: the part of a Markdown file that a command writes, between two comments.

    <!-- begin NAME -->
    …
    <!-- end NAME -->

The comments stay, what is between them is replaced. What a person writes goes outside of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["MarkedRegionError", "replaced", "write_region"]


class MarkedRegionError(Exception):
    """A page has no such region, or a broken one; the text names both."""


def replaced(page: str, name: str, text: str) -> str:
    """`page` with the lines of region `name` replaced by `text`.

    Raises:
        MarkedRegionError: The two comments are not there exactly once and in order.
    """
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    for mark in (begin, end):
        if page.count(mark) != 1:
            raise MarkedRegionError(f"{mark} stands {page.count(mark)} times in the page")
    head, _, rest = page.partition(begin)
    _old, found, tail = rest.partition(end)
    if not found:
        raise MarkedRegionError(f"{end} stands before {begin}")
    return f"{head}{begin}\n{text.strip()}\n{end}{tail}"


def write_region(path: Path, name: str, text: str) -> None:
    """Replaces a region of the file.

    Raises:
        MarkedRegionError: See `replaced`; the file stays as it was.
        OSError: It cannot be read or written.
    """
    try:
        page = replaced(path.read_text(), name, text)
    except MarkedRegionError as fault:
        raise MarkedRegionError(f"{path}: {fault}") from None
    path.write_text(page)
