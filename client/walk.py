"""Going through brokers one after the other, and telling somebody how far it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Tell = Callable[[int, int], None]

__all__ = ["Tell", "walk"]

T = TypeVar("T")


def walk(items: Sequence[T], tell: Tell | None) -> Iterator[T]:
    """Each of `items`.

    Args:
        tell: Called with the number of items that are done and the number of all, before each and at the end.
    """
    for done, item in enumerate(items):
        if tell is not None:
            tell(done, len(items))
        yield item
    if tell is not None:
        tell(len(items), len(items))
