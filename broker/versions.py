"""Data versions of tables: counted up at each change, compared by whoever keeps a copy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from remoting.errors import BodyFault
from remoting.json_dialect import loads
from remoting.protocol.body import DataVersion

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["next_version", "version_from", "version_from_text"]


def next_version(version: DataVersion, now_ms: int) -> DataVersion:
    """The version of the table after one more change."""
    return msgspec.structs.replace(version, counter=version.counter + 1, timestamp=now_ms)


def version_from(content: Mapping[str, Any]) -> DataVersion | None:
    """The version that a table's file carries, if it carries one."""
    found = content.get("dataVersion")
    return DataVersion.from_json_object(found) if isinstance(found, dict) else None


def version_from_text(text: str | None) -> DataVersion | None:
    """The version in a header field, None when there is none that can be read."""
    if not text:
        return None
    try:
        content = loads(text)
    except BodyFault:
        return None
    return DataVersion.from_json_object(content) if isinstance(content, dict) else None
