"""Tag expressions: `*`, or tags joined by `||`."""

from __future__ import annotations

__all__ = ["ALL", "matches", "tags_of"]

ALL = "*"


def tags_of(expression: str) -> frozenset[str]:
    """The tags of an expression; empty for "every message" (`*` or nothing), as in Java's `FilterAPI`."""
    expression = expression.strip()
    if expression in ("", ALL):
        return frozenset()
    return frozenset(tag for part in expression.split("||") if (tag := part.strip()))


def matches(wanted: frozenset[str], tags: str | None) -> bool:
    """Whether a message with these tags passes; brokers compare hash codes only, so clients look again."""
    return not wanted or tags in wanted
