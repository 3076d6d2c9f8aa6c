"""Sending in order to see how long it takes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import attrs

from client.errors import ClientError
from remoting.errors import RemotingError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from client.message import Message
    from client.producer import Producer, SendResult
    from remoting.protocol.body import MessageQueue

__all__ = ["Probe", "mean_ms", "timed_send"]


@attrs.frozen
class Probe:
    """One send and its time.

    Attributes:
        took_ms: From the call to the answer, further tries included.
        result: Where the message is; None if it was not stored.
        fault: Why it was not stored, in one sentence; None if it was.
    """

    took_ms: float
    result: SendResult | None = None
    fault: str | None = None

    @property
    def stored(self) -> bool:
        return self.result is not None


async def timed_send(
    producer: Producer,
    message: Message,
    queue: MessageQueue | None = None,
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> Probe:
    """Sends a message and takes the time; that it cannot be stored is a result, not an error.

    Args:
        queue: Exactly there; None for any writable queue of the topic.
        clock: Seconds.
    """
    began = clock()
    try:
        result = await producer.send(message, queue)
    except (ClientError, RemotingError) as fault:
        return Probe((clock() - began) * 1000, fault=str(fault))
    return Probe((clock() - began) * 1000, result)


def mean_ms(probes: Sequence[Probe]) -> float:
    """The mean time without the first send, which pays for route and connection; that one if it is alone."""
    counted = probes[1:] or probes
    return sum(each.took_ms for each in counted) / len(counted) if counted else 0.0
