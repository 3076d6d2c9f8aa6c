"""What a connection shares with the others of its port or client, and what it needs from that owner."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from remoting.command import RemotingCommand, SerializeType
    from remoting.config import ConnectionLimits
    from remoting.connection import Connection
    from remoting.processors import ProcessorTable

READ_SIZE = 256 * 1024


class RequestHook(Protocol):
    """Sees every request of a port before it is served, and every answer that is not pre-encoded."""

    def before_request(self, connection: Connection, request: RemotingCommand) -> None:
        """May raise `CommandError` to answer the request at once."""

    def after_response(
        self, connection: Connection, request: RemotingCommand, response: RemotingCommand
    ) -> None:
        """Called when the answer is queued."""


class Cork:
    """Holds back the sending of answers while a pass is under way; shared by all connections of one owner.

    Attributes:
        read_view: for all reads of these connections: nothing else runs between a read and its copy.
    """

    __slots__ = ("_depth", "_dirty", "read_view")

    def __init__(self) -> None:
        self.read_view = memoryview(bytearray(READ_SIZE))
        self._depth = 0
        self._dirty: list[Connection] = []

    def insert(self) -> None:
        """From here on answers are collected. Must be followed by `pull` without a checkpoint in between."""
        self._depth += 1

    def pull(self) -> None:
        """Ends what `insert` began; the outermost one sends."""
        self._depth -= 1
        if not self._depth and self._dirty:
            self._flush()

    @contextmanager
    def corked(self) -> Iterator[None]:
        """Collects the answers of a synchronous block, to send them with one call for each connection."""
        self._depth += 1
        try:
            yield
        finally:
            self.pull()

    def mark(self, connection: Connection) -> None:
        """`connection` has something to send; it is sent now or at the end of the pass."""
        self._dirty.append(connection)
        if not self._depth:
            self._flush()

    def _flush(self) -> None:
        if len(self._dirty) == 1:
            self._dirty.pop().flush()
        while self._dirty:
            connections, self._dirty = self._dirty, []
            for connection in connections:
                connection.flush()


@attrs.define(eq=False)
class Load:
    """What all connections of one owner have under way together: plain counters, and how far they may go.

    Above a limit each further request is answered with code 2, on every connection of the owner.

    Attributes:
        max_in_flight_requests: limit of `in_flight_requests`.
        max_queued_bytes: limit of `queued_bytes`.
        in_flight_requests: requests of peers that are neither answered nor held.
        queued_bytes: bytes of answers that the system did not take, because the peers do not read.
    """

    max_in_flight_requests: int = sys.maxsize
    max_queued_bytes: int = sys.maxsize
    in_flight_requests: int = 0
    queued_bytes: int = 0


class Owner(Protocol):
    """What a connection needs from the server port or client that it belongs to."""

    @property
    def cork(self) -> Cork: ...
    @property
    def limits(self) -> ConnectionLimits: ...
    @property
    def load(self) -> Load: ...
    @property
    def serialize_type(self) -> SerializeType: ...
    @property
    def table(self) -> ProcessorTable: ...
    @property
    def hooks(self) -> Sequence[RequestHook]: ...
    @property
    def draining(self) -> bool: ...

    def start_soon(self, function: Callable[..., object], *args: object) -> None:
        """Runs an async function in the owner's nursery; does nothing if that has ended."""

    def connection_quiet(self, connection: Connection) -> None:
        """Nothing is in flight any more, or all is sent; only called while draining."""

    def connection_closed(self, connection: Connection, reason: str) -> None:
        """Called once."""

    def connection_failed(self, connection: Connection, error: BaseException) -> None:
        """An error ended the connection; `connection_closed` follows."""


@attrs.frozen(kw_only=True)
class ConnectionStatistics:
    """Counters of one connection since it was made."""

    remote_address: str
    in_flight_requests: int
    held_requests: int
    pending_invocations: int
    queued_bytes: int
    received_bytes: int
    received_requests: int
    received_responses: int
    unmatched_responses: int
    refused_requests: int
    sent_bytes: int
    sent_frames: int
    blocked_writes: int
