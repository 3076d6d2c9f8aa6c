"""Long polling: pulls that found nothing wait here for a message or for their time.

A held pull is woken in the very pass in which its message is stored: the store tells of each put batch
before it returns, and between "nothing found" and "held" the event loop does nothing else, so no arrival
can slip through. That is why Java's re-check every 5 s (PullRequestHoldService) has no counterpart here.
One timer task per broker serves all deadlines. A woken or expired pull runs once more and is answered
whatever it finds; it is never held twice.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import math
from typing import TYPE_CHECKING, Protocol

import attrs
import trio

from remoting.protocol.response_code import ResponseCode
from remoting.server import ChannelListener

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from broker.context import BrokerContext
    from remoting.command import RemotingCommand
    from remoting.server import Connection
    from store import Arrival

__all__ = ["HeldPull", "HoldStatistics", "PullRequestHold"]

_log = logging.getLogger("rocketmq.broker")

_STALE_DEADLINES = 1024
"""So many deadlines of pulls that were woken early may lie in the heap before it is cleaned."""


class Resume(Protocol):
    """Runs a held pull once more; it must answer the request."""

    def __call__(self) -> None: ...


@attrs.define(eq=False)
class HeldPull:
    """One pull that waits."""

    connection: Connection
    request: RemotingCommand
    topic: str
    queue_id: int
    queue_offset: int
    """Wake for messages at this offset or behind it."""
    match: Callable[[int], bool] | None
    """Says of a tags code whether the group wants the message; None wants all."""
    resume: Resume
    is_held: bool = True


@attrs.frozen
class HoldStatistics:
    """What waits now, and what has happened since the start."""

    held: int
    woken_by_arrival: int
    expired: int
    dropped: int
    """Held when their connection closed."""


class PullRequestHold(ChannelListener):
    """The held pulls of one broker, by topic and queue id.

    A listener of the store (:meth:`on_arrival`) and of the ports that pulls come to (:meth:`on_close`).
    """

    def __init__(self, context: BrokerContext) -> None:
        self._context = context
        self._queues: dict[tuple[str, int], dict[HeldPull, None]] = {}
        self._by_connection: dict[Connection, set[HeldPull]] = {}
        self._deadlines: list[tuple[float, int, HeldPull]] = []
        self._sequence = itertools.count()
        self._earlier = trio.Event()
        self._nursery: trio.Nursery | None = None
        self._held = self._woken = self._expired = self._dropped = 0

    def __len__(self) -> int:
        return self._held

    def statistics(self) -> HoldStatistics:
        """Counters; cheap."""
        return HoldStatistics(self._held, self._woken, self._expired, self._dropped)

    def hold(self, pull: HeldPull, timeout_ms: float) -> None:
        """Keep `pull` until a message for it comes, `timeout_ms` has passed or its connection closes."""
        connection = pull.connection
        connection.held(pull.request)
        self._queues.setdefault((pull.topic, pull.queue_id), {})[pull] = None
        self._by_connection.setdefault(connection, set()).add(pull)
        self._held += 1
        deadline = trio.current_time() + timeout_ms / 1000
        if not self._deadlines or deadline < self._deadlines[0][0]:
            self._earlier.set()
        heapq.heappush(self._deadlines, (deadline, next(self._sequence), pull))
        if len(self._deadlines) > 2 * self._held + _STALE_DEADLINES:
            self._deadlines = [entry for entry in self._deadlines if entry[2].is_held]
            heapq.heapify(self._deadlines)

    def on_arrival(self, arrivals: Sequence[Arrival]) -> None:
        """Listener of the store: wake whom the messages of one put batch concern."""
        queues = self._queues
        if not queues or not self._context.config.long_polling_enable:
            return
        woken: list[HeldPull] = []
        for arrival in arrivals:
            held = queues.get((arrival.topic, arrival.queue_id))
            if held is None:
                continue
            for pull in tuple(held):
                wanted = pull.match is None or pull.match(arrival.tags_code)
                if wanted and arrival.max_offset > pull.queue_offset:
                    self._release(pull)
                    woken.append(pull)
        if woken:
            self._woken += len(woken)
            self._resume(woken)

    def wake_queue(self, topic: str, queue_id: int) -> None:
        """Let the pulls of one queue run again, because its offsets changed otherwise than by arrival."""
        self._resume(self._released(self._queues.get((topic, queue_id), ())))

    def wake_topic(self, topic: str) -> None:
        """Let all pulls of a topic run again: it was deleted, or its permissions changed."""
        for other, queue_id in [key for key in self._queues if key[0] == topic]:
            self.wake_queue(other, queue_id)

    def on_close(self, connection: Connection) -> None:
        """Listener of the ports that pulls come to: drop what is held for a connection that is gone."""
        dropped = self._released(self._by_connection.get(connection, ()))
        self._dropped += len(dropped)

    # Service

    def spawn(self, function: Callable[..., Awaitable[object]], *args: object) -> bool:
        """Run `function` beside the timer, for what a pull waits for; False when the service is stopped."""
        if self._nursery is None or self._nursery.cancel_scope.cancel_called:
            return False
        self._nursery.start_soon(function, *args)
        return True

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve deadlines until cancelled; then every pull still held is answered at once."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            try:
                while True:
                    await self._wait_for_deadline()
                    self._expire()
            finally:
                self._nursery = None
                for key in list(self._queues):
                    self.wake_queue(*key)

    async def _wait_for_deadline(self) -> None:
        self._earlier = trio.Event()
        deadline = self._deadlines[0][0] if self._deadlines else math.inf
        with trio.move_on_at(deadline):
            await self._earlier.wait()

    def _expire(self) -> None:
        now = trio.current_time()
        due: list[HeldPull] = []
        while self._deadlines and (self._deadlines[0][0] <= now or not self._deadlines[0][2].is_held):
            pull = heapq.heappop(self._deadlines)[2]
            if pull.is_held:
                self._release(pull)
                due.append(pull)
        self._expired += len(due)
        self._resume(due)

    def _released(self, pulls: Iterable[HeldPull]) -> list[HeldPull]:
        released = list(pulls)
        for pull in released:
            self._release(pull)
        return released

    def _release(self, pull: HeldPull) -> None:
        pull.is_held = False
        self._held -= 1
        key = (pull.topic, pull.queue_id)
        queue = self._queues[key]
        del queue[pull]
        if not queue:
            del self._queues[key]
        others = self._by_connection[pull.connection]
        others.remove(pull)
        if not others:
            del self._by_connection[pull.connection]

    def _resume(self, pulls: list[HeldPull]) -> None:
        """Run pulls again; their answers leave together."""
        if not pulls:
            return
        with self._context.transport.corked():
            for pull in pulls:
                try:
                    pull.resume()
                except Exception:
                    _log.exception("a held pull of %s-%d failed", pull.topic, pull.queue_id)
                    pull.connection.reply(
                        pull.request, pull.request.response(ResponseCode.SYSTEM_ERROR, "the held pull failed")
                    )
