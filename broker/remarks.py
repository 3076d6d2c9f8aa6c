"""Remarks that several processors share, worded as clients and their users know them from Java."""

from __future__ import annotations

__all__ = ["FAQ", "OVERLOAD", "REJECTED", "TIMEOUT_CLEAN_QUEUE", "custom_field_is_null"]

FAQ = "\nSee https://rocketmq.apache.org/docs/bestPractice/06FAQ for further details."
REJECTED = "[REJECTREQUEST]system busy, start flow control for a while"
OVERLOAD = "[OVERLOAD]system busy, start flow control for a while"
TIMEOUT_CLEAN_QUEUE = (
    "[TIMEOUT_CLEAN_QUEUE]broker busy, start flow control for a while, "
    "period in queue: {period_ms}ms, size of queue: {size}"
)


def custom_field_is_null(name: str) -> str:
    """Remark for a request without the header field `name`."""
    return f"the custom field <{name}> is null"
