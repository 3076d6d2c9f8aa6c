"""Requests of ours that wait for the peer's answer, matched by `opaque`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from remoting.errors import LocalFault, SendError, TooMuchRequest

if TYPE_CHECKING:
    from remoting.command import RemotingCommand


class Invocation:
    """One request that waits. When `settled` is set, exactly one of `response` and `error` is there."""

    __slots__ = ("error", "response", "settled")

    def __init__(self) -> None:
        self.settled = trio.Event()
        self.response: RemotingCommand | None = None
        self.error: SendError | None = None


class Invocations:
    """Those of one connection.

    Args:
        peer: the other end's address, for error texts.
        limit: how many may wait.
    """

    __slots__ = ("_limit", "_peer", "_waiting")

    def __init__(self, peer: str, limit: int) -> None:
        self._peer = peer
        self._limit = limit
        self._waiting: dict[int, Invocation] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def begin(self, opaque: int) -> Invocation:
        """Lets a request wait; call it before anything is sent.

        Raises:
            TooMuchRequest: the limit is reached.
            LocalFault: one with this `opaque` waits already.
        """
        if len(self._waiting) >= self._limit:
            raise TooMuchRequest(f"{len(self._waiting)} requests to {self._peer} wait for an answer")
        if opaque in self._waiting:
            raise LocalFault(f"a request with opaque {opaque} waits for its answer already")
        invocation = self._waiting[opaque] = Invocation()
        return invocation

    def end(self, opaque: int, invocation: Invocation) -> None:
        """Forgets a request, answered or not."""
        if self._waiting.get(opaque) is invocation:
            del self._waiting[opaque]

    def take(self, response: RemotingCommand) -> bool:
        """Hands an answer to the request that waits for it; False if none does."""
        invocation = self._waiting.pop(response.opaque, None)
        if invocation is None:
            return False
        invocation.response = response
        invocation.settled.set()
        return True

    def fail_all(self, reason: str) -> None:
        """The connection has ended: nobody will be answered any more."""
        waiting = list(self._waiting.values())
        self._waiting.clear()
        for invocation in waiting:
            invocation.error = SendError(f"the connection to {self._peer} ended: {reason}")
            invocation.settled.set()
