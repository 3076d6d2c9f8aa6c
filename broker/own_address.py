"""The address of this machine that a broker gives to its clients when brokerIP1 is not set."""

from __future__ import annotations

import socket
from functools import cache

__all__ = ["own_ip"]

_ANYWHERE = ("192.0.2.1", 9)


@cache
def own_ip() -> str:
    """The IPv4 address of the default route; without one, the loopback address.

    No packet is sent: connecting a datagram socket only asks the routing table.
    """
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(_ANYWHERE)
            return str(probe.getsockname()[0])
    except OSError:
        return "127.0.0.1"
