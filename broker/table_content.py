"""What the JSON file of a table must hold to be taken for that table.

JSON has no checksum, but a file of a table has a known form. What does not fit it is damaged, and never taken
for a table that lacks something.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from remoting.errors import BodyFault

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["int64", "optional_section", "section"]


def section(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The object `name` of a file.

    Raises:
        BodyFault: it is not there.
    """
    found = content.get(name)
    if not isinstance(found, dict):
        raise BodyFault(f"has no object {name}")
    return found


def optional_section(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The same where older files have none."""
    return {} if content.get(name) is None else section(content, name)


def int64(value: Any, what: str) -> int:
    """A number, or the digits of one, as a key is in standard JSON.

    Raises:
        BodyFault: `what` is something else.
    """
    if isinstance(value, int | str) and not isinstance(value, bool):
        try:
            number = int(value)
        except ValueError:
            pass
        else:
            if -(2**63) <= number < 2**63:
                return number
    raise BodyFault(f"{what} is no int64: {value!r:.50}")
