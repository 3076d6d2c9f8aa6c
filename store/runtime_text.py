"""Texts of the runtime table in the form that admin tools parse or show."""

from __future__ import annotations


def runtime_text(milliseconds: int) -> str:
    """``[ d days, h hours, m minutes, s seconds ]``."""
    seconds = milliseconds // 1000
    days, hours, minutes = seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60
    return f"[ {days} days, {hours} hours, {minutes} minutes, {seconds % 60} seconds ]"


def human_bytes(size: int) -> str:
    """``1.5 GiB`` (Java: ``MixAll.humanReadableByteCount`` with binary units)."""
    if size < 1024:
        return f"{size} B"
    power = min((size.bit_length() - 1) // 10, 6)
    return f"{size / 1024**power:.1f} {'KMGTPE'[power - 1]}iB"
