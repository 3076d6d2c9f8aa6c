"""The id that a producer gives a message before it sends it (property `UNIQ_KEY`).

Upper-case hex of: host address (4 or 16 bytes), process id (2), a number of the process (4), milliseconds
since the month began (4), counter (2). Brokers index it; consumers and `queryMsgByUniqueKey` know the message
by it. Layout of Java's `MessageClientIDSetter`.
"""

from __future__ import annotations

import os
import secrets
import socket
import struct
import time
from itertools import count

import attrs

__all__ = ["UniqueIds", "host_address"]


def host_address() -> bytes:
    """The packed address that this machine uses towards others; random bytes when it has no network."""
    for family, target in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((target, 9))  # sends nothing: it only makes the kernel choose a source address
                return socket.inet_pton(family, probe.getsockname()[0])
        except OSError:
            continue
    return secrets.token_bytes(4)


@attrs.frozen
class MonthSpan:
    """A month in milliseconds since 1970, local time."""

    begin_ms: int
    end_ms: int


def month_of(now_ms: int) -> MonthSpan:
    """The month that holds `now_ms`, in local time as in Java."""
    now = time.localtime(now_ms // 1000)

    def first_day(year: int, month: int) -> int:
        return int(time.mktime((year, month, 1, 0, 0, 0, 0, 0, -1))) * 1000

    following = (now.tm_year + 1, 1) if now.tm_mon == 12 else (now.tm_year, now.tm_mon + 1)
    return MonthSpan(first_day(now.tm_year, now.tm_mon), first_day(*following))


class UniqueIds:
    """Makes ids that no other process, and no other object of this class, makes.

    Args:
        host: Packed address, 4 or 16 bytes.
        process_id: Its low 16 bits are used.
        number: Tells objects of one process apart.
    """

    def __init__(
        self, host: bytes | None = None, process_id: int | None = None, number: int | None = None
    ) -> None:
        host = host_address() if host is None else host
        process_id = os.getpid() if process_id is None else process_id
        number = secrets.randbits(32) if number is None else number
        self._prefix = (host + struct.pack(">HI", process_id & 0xFFFF, number)).hex().upper()
        self._month = MonthSpan(0, 0)
        self._counter = count()

    def next(self, now_ms: int) -> str:
        """An id of 32 characters, or 56 where the host address is IPv6."""
        if not self._month.begin_ms <= now_ms < self._month.end_ms:
            self._month = month_of(now_ms)
        span_ms = now_ms - self._month.begin_ms
        return f"{self._prefix}{span_ms & 0xFFFFFFFF:08X}{next(self._counter) & 0xFFFF:04X}"
