"""Forms of text values that several keys share: what a text must look like, and how to say so.

A form belongs to a key (``setting(..., form=HOURS)``), so that a file, an update request and a program that
fills the class itself are all held to it.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ADDRESS", "DELAYS", "HOURS", "NOT_EMPTY", "Form"]

_DELAY = re.compile(r"[0-9]+[smhd]", re.ASCII)
_HOUR = re.compile(r"[0-9]+", re.ASCII)


@attrs.frozen
class Form:
    """What a text must look like."""

    allowed: str
    """End of the sentence "… is not": `an IPv4 or IPv6 address`."""
    accepts: Callable[[str], bool]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _are_hours(text: str) -> bool:
    hours = [hour.strip() for hour in text.split(";")]
    return all(not hour or (_HOUR.fullmatch(hour) is not None and int(hour) < 24) for hour in hours)


def _are_delays(text: str) -> bool:
    return all(_DELAY.fullmatch(delay) for delay in text.split())


NOT_EMPTY = Form("allowed, the text must not be empty", lambda text: bool(text.strip()))
ADDRESS = Form("an IPv4 or IPv6 address", _is_address)
HOURS = Form("a list of hours from 00 to 23 separated by ';'", _are_hours)
DELAYS = Form("a list of times like 10s, 5m, 2h or 1d separated by spaces", _are_delays)
