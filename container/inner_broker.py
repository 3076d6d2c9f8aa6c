"""One supervised broker of a container: its states, its own cancel scope, its failure kept to itself.

    RESERVED → STARTING → RUNNING → STOPPING → CLOSED
                   └─────────┴──────────┴────→ FAILED

The container runs :meth:`InnerBroker.run` as one task. Whatever goes wrong below it ends here: it is logged
in the broker's own log, the broker is closed, marked failed with its reason, and its neighbours go on. This
is the only place where the failure of a broker is caught. An `InnerBroker` lives once: a restart is another.
"""

from __future__ import annotations

import enum
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import attrs
import trio

from container.writable import check_writable
from logs import bound, release
from remoting.errors import RemotingError
from store import StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from broker.broker import Broker
    from container.broker_plan import BrokerPlan
    from logs.identity import BrokerIdentity

__all__ = [
    "BootHook",
    "BrokerState",
    "HookError",
    "InnerBroker",
    "InnerBrokerStatistics",
    "RecoveryHook",
    "is_expected",
    "sentence",
]

_log = logging.getLogger("rocketmq.broker")


class BrokerState(enum.Enum):
    RESERVED = "reserved"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    CLOSED = "closed"
    FAILED = "failed"


class HookError(Exception):
    """A boot hook raised, which fails its broker."""


@attrs.frozen(kw_only=True)
class InnerBrokerStatistics:
    """What an operator asks about one broker of a container."""

    canonical_name: str
    state: BrokerState
    reason: str | None
    """Why it failed; None otherwise."""
    restarts: int
    """Attempts to start it again since it was added."""


def sentence(error: BaseException) -> str:
    """What went wrong, for people: the texts of all leaves of a group, system errors with their file."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(dict.fromkeys(sentence(one) for one in error.exceptions))
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    text = str(error).strip()
    return text or type(error).__name__


def is_expected(error: BaseException) -> bool:
    """Whether the sentence says it all, so that a traceback would only be noise."""
    if isinstance(error, BaseExceptionGroup):
        return all(is_expected(one) for one in error.exceptions)
    return isinstance(error, (OSError, RemotingError, StoreError))


class BootHook(Protocol):
    """Something that wants to know of every broker (RocketMQ's `BrokerBootHook`).

    It is called in the event loop, which stands still meanwhile. An exception fails its broker and no other.
    A hook that also is a :class:`RecoveryHook` hears of recoveries.
    """

    name: str
    """What the reason of a failed broker calls the hook."""

    def before_start(self, broker: InnerBroker, properties: Mapping[str, str]) -> None:
        """The broker is built and opens its files next.

        Args:
            broker: what is about to start.
            properties: its file, key by key as written there; empty for a broker without one.
        """

    def after_start(self, broker: InnerBroker, properties: Mapping[str, str]) -> None:
        """The broker serves, at the address `broker.broker.address`."""


@runtime_checkable
class RecoveryHook(Protocol):
    """What a :class:`BootHook` may offer besides."""

    def recovering(self, broker: InnerBroker, done_bytes: int, total_bytes: int) -> None:
        """The broker's log is being read. Called in a worker thread, again and again."""


class InnerBroker:
    """A broker with its supervision.

    Args:
        plan: what to build.
        build: makes the broker; called in :meth:`run`, below the broker's identity.
        hooks: told before and after the start, in order.
        commit: awaited when the broker serves and before anybody is told so; when it is cancelled or raises,
            the start is undone.
        release: gives back what the container reserved and hears how it ended (`state` and `reason`); called
            exactly once, when all is over, without anything in between that could be interrupted.
        restarts: how often this broker was started again before.
        former_sources: other files that described this broker, which failed then.
        belongs: whether the container names it already; otherwise it does from the moment it serves.
        save: whether the container's file has to be told of it then.
    """

    def __init__(
        self,
        plan: BrokerPlan,
        *,
        build: Callable[[InnerBroker], Broker],
        release: Callable[[InnerBroker], None],
        commit: Callable[[InnerBroker], Awaitable[None]] | None = None,
        hooks: Sequence[BootHook] = (),
        restarts: int = 0,
        former_sources: Sequence[Path] = (),
        belongs: bool = False,
        save: bool = True,
    ) -> None:
        self.plan = plan
        self.former_sources = tuple(former_sources)
        self.belongs = belongs
        self.save = save
        self.state = BrokerState.RESERVED
        self.reason: str | None = None
        self.restarts = restarts
        self.broker: Broker | None = None
        """The broker while it runs."""
        self.failed_by_hook = False
        self.running_since: float | None = None
        """trio's time at which it began to serve; None if it never did."""
        self.ended_at = 0.0
        """trio's time at which it was closed."""
        self.unsaved: str | None = None
        """Why the container's file does not name it; None when it does."""
        self.stop_asked = False
        """Whether somebody wanted its end, so that a failure on the way is no reason to start it again."""
        self.disk_limiter = trio.CapacityLimiter(1)
        """For short looks at its directories in a thread: while a look hangs there is no second one."""
        self.disk_hangs = False
        """Whether the last look was given up."""
        self._build = build
        self._hooks = hooks
        self._commit = commit
        self._release = release
        self._scope = trio.CancelScope()
        self._settled = trio.Event()
        self._closed = trio.Event()

    def __repr__(self) -> str:
        return f"<InnerBroker {self.identity} {self.state.value}>"

    @property
    def identity(self) -> BrokerIdentity:
        return self.plan.identity

    @property
    def settled(self) -> bool:
        """Whether the start is over, however it ended."""
        return self._settled.is_set()

    @property
    def sources(self) -> tuple[Path, ...]:
        """All files that the container's list may know it by."""
        own = self.plan.source
        return self.former_sources if own is None else (*self.former_sources, own)

    def speaking(self) -> AbstractContextManager[None]:
        """What is logged inside the block, also by threads and tasks started there, is this broker's."""
        config = self.plan.config
        return bound(self.identity, lambda: config.isolate_log_enable)

    async def run(self) -> None:
        """The broker's life. Never raises because of the broker; ends when it is closed.

        Cancellation from outside, as by :meth:`stop`, is an orderly stop: the broker saves everything first.
        """
        with self.speaking():
            self.state = BrokerState.STARTING
            try:
                with self._scope:
                    await self._live()
                self._end(BrokerState.CLOSED)
            except Exception as error:
                self._fail(error)
            finally:
                if not self._closed.is_set():  # cancelled from outside
                    self._end(BrokerState.CLOSED)
                release(self.identity)

    async def _live(self) -> None:
        self.plan.report.log(_log)
        await trio.to_thread.run_sync(
            check_writable, self.plan, limiter=self.disk_limiter, abandon_on_cancel=True
        )
        self.broker = self._build(self)
        self._tell_hooks("before_start")
        async with trio.open_nursery() as nursery:
            await nursery.start(self.broker.run)
            try:
                self._tell_hooks("after_start")
                if self._commit is not None:
                    await self._commit(self)
            except BaseException:
                self.broker.undo_start()
                raise
            if self.state is BrokerState.STARTING:  # and not on its way out already
                self.state = BrokerState.RUNNING
                self.running_since = trio.current_time()
                _log.info("broker %s is running", self.identity)
                self._settled.set()

    def _tell_hooks(self, moment: str) -> None:
        for hook in self._hooks:
            with self._told_to(hook, moment):
                getattr(hook, moment)(self, self.plan.properties)

    def show_recovery(self, done_bytes: int, total_bytes: int) -> None:
        """Tells the hooks how far the recovery is; safe to call in any thread."""
        for hook in self._hooks:
            if isinstance(hook, RecoveryHook):
                with self._told_to(hook, "recovering"):
                    hook.recovering(self, done_bytes, total_bytes)

    @contextmanager
    def _told_to(self, hook: BootHook, moment: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.failed_by_hook = True
            raise HookError(f"boot hook {hook.name} in {moment}: {sentence(error)}") from error

    def refuse(self, reason: str) -> None:
        """Marks a broker as failed that could not even be reserved; it is not run then."""
        self.state, self.reason = BrokerState.FAILED, reason
        with self.speaking():
            _log.error("broker %s cannot be started: %s", self.identity, reason)
        release(self.identity)
        self._settled.set()
        self._closed.set()

    def _fail(self, error: Exception) -> None:
        self.reason = sentence(error)
        was = self.state.value
        _log.error(
            "broker %s failed while %s, it is closed: %s",
            self.identity,
            was,
            self.reason,
            exc_info=None if is_expected(error) else error,
        )
        self._end(BrokerState.FAILED)

    def _end(self, state: BrokerState) -> None:
        self.state = state
        self.broker = None
        self.ended_at = trio.current_time()
        self._release(self)
        self._settled.set()
        self._closed.set()

    async def wait_settled(self) -> None:
        """Returns when the start is over: the broker runs, or has failed or been stopped."""
        await self._settled.wait()

    async def wait_closed(self) -> None:
        """Returns when nothing of the broker is left."""
        await self._closed.wait()

    def stop(self, within_s: float | None = None) -> None:
        """Asks for an orderly stop; see :meth:`wait_closed`. Doing so twice is fine.

        Args:
            within_s: seconds that clients and name servers get at most; the broker's own limit by default.
                Saving takes as long as the disk needs.
        """
        self.stop_asked = True
        if self.state in (BrokerState.STARTING, BrokerState.RUNNING):
            self.state = BrokerState.STOPPING
        if within_s is not None and self.broker is not None:
            self.broker.stop_within(within_s)
        self._scope.cancel()

    def statistics(self) -> InnerBrokerStatistics:
        return InnerBrokerStatistics(
            canonical_name=self.identity.canonical_name,
            state=self.state,
            reason=self.reason,
            restarts=self.restarts,
        )
