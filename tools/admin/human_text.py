"""Sizes and ages as people read them, in one word each so that columns stay columns."""

from __future__ import annotations

__all__ = ["age_text", "bytes_text"]

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def bytes_text(size_bytes: int) -> str:
    """`512B`, `1.5GiB`."""
    power = 0
    while size_bytes >= 1024 ** (power + 1) and power < len(_UNITS) - 1:
        power += 1
    size = size_bytes / 1024**power
    return f"{size:.0f}{_UNITS[power]}" if power == 0 or size >= 100 else f"{size:.1f}{_UNITS[power]}"


def age_text(age_ms: int) -> str:
    """`3d4h`, `4h12m`, `12m5s`, `5s`: the two largest units; never below zero, as clocks differ."""
    seconds = max(0, age_ms // 1000)
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86_400
    if days:
        return f"{days}d{hours % 24}h"
    if hours:
        return f"{hours}h{minutes % 60}m"
    return f"{minutes}m{seconds % 60}s" if minutes else f"{seconds}s"
