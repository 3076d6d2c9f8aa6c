"""The brokers of a container: who is there, who failed, who comes back.

    add ─ claim identity, ports, paths ─ task: InnerBroker.run ─┬─ closed: forgotten
                                                                └─ failed: remembered with its reason,
                                                                   a pause, add (restartFailedBrokers)

What a broker held is given back and its failure is remembered in one step: nobody finds it in neither book.

A broker belongs to the container from its *commit* on, when it serves and the container's file names it; the
brokers of the start belong to it from the beginning. What fails before leaves nothing behind but its log.
What fails later is remembered, because an operator has to know, and may be started again.
"""

from __future__ import annotations

import logging
from contextvars import Context, copy_context
from functools import partial
from typing import TYPE_CHECKING

import attrs
import trio

from configuration import ConfigError
from container.broker_plan import read_plan
from container.claims import ClaimConflictError, Claims
from container.inner_broker import BrokerState, InnerBroker, is_expected, sentence
from container.refusal import BootRefusedError
from container.restart import Backoff

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from pathlib import Path

    from broker.broker import Broker
    from container.broker_plan import BrokerPlan
    from container.config import BrokerContainerConfig
    from container.inner_broker import BootHook
    from logs.identity import BrokerIdentity

__all__ = ["BrokerSupervisor", "FailedBroker"]

_log = logging.getLogger("rocketmq.container")


@attrs.define(eq=False)
class FailedBroker:
    """A broker of the container that is down, with what is known and planned.

    Attributes:
        inner: the closed broker.
        reason: why it failed, or why the last attempt to start it again did not even begin.
        backoff: its pauses.
        retry_at: trio's time of the next attempt; None when there will be none.
    """

    inner: InnerBroker
    reason: str
    backoff: Backoff
    retry_at: float | None = None
    _retry: trio.CancelScope | None = None

    @property
    def identity(self) -> BrokerIdentity:
        return self.inner.identity

    def give_up(self) -> None:
        """No further attempt."""
        self.retry_at = None
        if self._retry is not None:
            self._retry.cancel()

    def begin_retry(self) -> trio.CancelScope:
        """The scope in which the next attempt is waited for."""
        self._retry = trio.CancelScope()
        return self._retry


class BrokerSupervisor:
    """Starts, watches, restarts and stops brokers; each in a task of its own.

    Args:
        config: restartFailedBrokers and the pauses; read when needed.
        claims: the container's book of identities, ports and paths.
        build: makes the broker of an `InnerBroker`.
        commit: awaited when a broker serves; puts it into the container's file.
        hooks: told of every broker.
    """

    def __init__(
        self,
        config: BrokerContainerConfig,
        claims: Claims,
        *,
        build: Callable[[InnerBroker], Broker],
        commit: Callable[[InnerBroker], Awaitable[None]],
        hooks: Sequence[BootHook],
    ) -> None:
        self.brokers: dict[BrokerIdentity, InnerBroker] = {}
        """Everything that holds ports and paths, in the order of addition."""
        self.failed: list[FailedBroker] = []
        """Brokers of the container that are down, the newest last."""
        self._config = config
        self._claims = claims
        self._build = build
        self._commit = commit
        self._hooks = hooks
        self._nursery: trio.Nursery | None = None
        self._home: Context = copy_context()
        """Whose the lines are that this module logs: the container's, whatever broker is in hand."""
        self._stopping = False

    def __repr__(self) -> str:
        return f"<BrokerSupervisor {len(self.brokers)} brokers, {len(self.failed)} failed>"

    async def run(self, body: Callable[[], Awaitable[None]]) -> None:
        """Runs `body`, during which brokers can be added; then stops none by itself but waits for all."""
        self._home = copy_context()
        async with trio.open_nursery() as self._nursery:
            await body()
        self._nursery = None

    @property
    def stopping(self) -> bool:
        """Whether the container is on its way out."""
        return self._stopping

    async def finish(self, work: Callable[[], Awaitable[None]]) -> None:
        """Waits for `work`, which goes on to its end also when the waiting is cancelled."""
        if self._nursery is None:  # no broker runs and nobody asks by request any more
            await work()
            return
        done = trio.Event()

        async def to_the_end() -> None:
            await work()
            done.set()

        self._spawn(to_the_end)
        await done.wait()

    def in_background(self, work: Callable[[], Awaitable[None]]) -> None:
        """Does `work` beside everything else; nobody waits for it, except for the end of `run`."""
        self._spawn(work)

    def _spawn(self, task: Callable[..., Awaitable[None]], *args: object, name: str | None = None) -> None:
        if self._nursery is None:
            raise RuntimeError(f"{self!r} does not run")
        self._home.copy().run(partial(self._nursery.start_soon, task, *args, name=name))

    def add(self, plan: BrokerPlan, *, belongs: bool = False) -> InnerBroker:
        """Claims what `plan` needs and starts its task; the start is over at `InnerBroker.wait_settled`.

        Args:
            plan: what to start.
            belongs: the container names it already: a failure is remembered also before it serves.

        A failed broker that is added from another file has that file from when it serves on. If it fails
        before, the old file goes on counting, as with everything that an add undoes.

        Raises:
            ClaimConflictError: somebody has its identity, a port or a path; nothing changed.
            BootRefusedError: the container does not run, or is about to stop.
        """
        failed = self.failed_broker(plan.identity)
        former = [] if failed is None else [one for one in failed.inner.sources if one != plan.source]
        inner = self._start(
            plan,
            Backoff() if failed is None else failed.backoff,
            belongs=belongs or failed is not None,
            former_sources=former,
            instead_of=failed.inner
            if failed is not None and failed.inner.plan.source != plan.source
            else None,
            save=not belongs,
        )
        self.forget_failed(plan.identity)
        return inner

    def add_or_remember(self, plan: BrokerPlan) -> InnerBroker:
        """`add` for a broker of the start: what is refused comes back failed, and is remembered."""
        try:
            return self.add(plan, belongs=True)
        except ClaimConflictError as conflict:
            inner = InnerBroker(plan, build=self._build, release=_nothing)
            inner.refuse(str(conflict))
            _log.error("broker %s failed: %s", inner.identity, inner.reason)
            self._remember(inner, Backoff())
            return inner

    def _start(
        self,
        plan: BrokerPlan,
        backoff: Backoff,
        *,
        belongs: bool,
        former_sources: Sequence[Path] = (),
        instead_of: InnerBroker | None = None,
        save: bool,
    ) -> InnerBroker:
        if self._nursery is None or self._stopping:
            raise BootRefusedError(
                "the container does not run" if self._nursery is None else "the container stops"
            )
        self._claims.claim(plan.identity.canonical_name, ports=plan.ports(), paths=plan.paths())
        inner = InnerBroker(
            plan,
            build=self._build,
            commit=self._commit,
            hooks=self._hooks,
            release=partial(self._ended, backoff, instead_of),
            restarts=backoff.restarts,
            former_sources=former_sources,
            belongs=belongs,
            save=save,
        )
        self.brokers[plan.identity] = inner
        self._spawn(self._watch, inner, name=f"broker {plan.identity}")
        return inner

    async def _watch(self, inner: InnerBroker) -> None:
        """A broker's life. The container's own log tells it in a few lines."""
        source = inner.plan.source
        _log.info("broker %s starts, from %s", inner.identity, "a program" if source is None else source)
        async with trio.open_nursery() as watch:
            watch.start_soon(self._tell_that_it_serves, inner)
            await inner.run()

    def _ended(self, backoff: Backoff, instead_of: InnerBroker | None, inner: InnerBroker) -> None:
        """Nothing of `inner` is left. Called below its identity."""
        self._claims.release(inner.identity.canonical_name)
        del self.brokers[inner.identity]
        self._home.copy().run(self._draw_conclusions, inner, instead_of, backoff)

    def _draw_conclusions(self, inner: InnerBroker, instead_of: InnerBroker | None, backoff: Backoff) -> None:
        if inner.state is not BrokerState.FAILED:
            _log.info("broker %s is closed", inner.identity)
            return
        _log.error("broker %s failed: %s", inner.identity, inner.reason)
        if inner.stop_asked:
            return
        if instead_of is not None and inner.running_since is None:
            self._remember(instead_of, backoff, f"{inner.plan.source or 'a program'}: {inner.reason}")
        elif inner.belongs or inner.running_since is not None:
            self._remember(inner, backoff)

    @staticmethod
    async def _tell_that_it_serves(inner: InnerBroker) -> None:
        await inner.wait_settled()
        if inner.state is BrokerState.RUNNING and inner.broker is not None:
            _log.info("broker %s serves on %s", inner.identity, inner.broker.address)

    # After a failure

    def _remember(self, inner: InnerBroker, backoff: Backoff, reason: str | None = None) -> None:
        failed = FailedBroker(inner, reason or inner.reason or "", backoff)
        self.failed.append(failed)
        self.reconsider_failed()

    def reconsider_failed(self) -> None:
        """Plans the restart of failed brokers, or gives it up, as the configuration says now."""
        for failed in self.failed:
            if not self._config.restart_failed_brokers or self._stopping:
                failed.give_up()
            elif failed.retry_at is None and self._nursery is not None:
                scope = failed.begin_retry()
                failed.retry_at = trio.current_time() + self._next_pause_s(failed)
                self._spawn(self._restart, failed, scope)

    def _next_pause_s(self, failed: FailedBroker) -> float:
        since = failed.inner.running_since
        ran_for_ms = 0.0 if since is None else (failed.inner.ended_at - since) * 1000
        pause_ms = failed.backoff.next_pause_ms(
            ran_for_ms,
            first_ms=self._config.restart_backoff_millis,
            longest_ms=self._config.restart_backoff_max_millis,
        )
        _log.info("broker %s is started again in %g s", failed.identity, pause_ms / 1000)
        return pause_ms / 1000

    async def _restart(self, failed: FailedBroker, scope: trio.CancelScope) -> None:
        with scope:
            while failed.retry_at is not None:
                await trio.sleep_until(failed.retry_at)
                try:
                    plan = await self._plan_again(failed.inner.plan)
                    await trio.lowlevel.checkpoint_if_cancelled()  # given up while the file was read
                    self._start(
                        plan,
                        failed.backoff,
                        belongs=True,
                        former_sources=failed.inner.former_sources,
                        save=failed.inner.unsaved is not None,
                    )
                except Exception as refused:
                    failed.reason = sentence(refused)
                    _log.error(
                        "broker %s cannot be started again: %s",
                        failed.identity,
                        failed.reason,
                        exc_info=None if _is_refusal(refused) else refused,
                    )
                    failed.retry_at = trio.current_time() + self._next_pause_s(failed)
                else:
                    self.failed.remove(failed)
                    return

    @staticmethod
    async def _plan_again(plan: BrokerPlan) -> BrokerPlan:
        """The plan of the next attempt: from its file, so that a mended file counts.

        Raises:
            ConfigError, BootRefusedError: as `read_plan`, and when the file describes another broker now.
        """
        if plan.source is None:
            return plan
        fresh = await trio.to_thread.run_sync(read_plan, plan.source)
        if fresh.identity != plan.identity:
            raise BootRefusedError(f"{plan.source} is about {fresh.identity} now")
        return fresh

    def failed_broker(self, identity: BrokerIdentity) -> FailedBroker | None:
        """The failed broker of that identity, None when there is none."""
        return next((failed for failed in self.failed if failed.identity == identity), None)

    def forget_failed(self, identity: BrokerIdentity) -> list[FailedBroker]:
        """It is no longer a failed broker of the container, and is not started again.

        Returns:
            What was known of it; several where the list of the start has files of the same broker.
        """
        forgotten = [failed for failed in self.failed if failed.identity == identity]
        for failed in forgotten:
            failed.give_up()
            self.failed.remove(failed)
        return forgotten

    # Stop

    async def stop_all(self, brokers: Iterable[InnerBroker], within_s: float) -> None:
        """Stops `brokers` side by side; returns when all are closed, or after `within_s` seconds."""
        stopping = list(brokers)
        for inner in stopping:
            inner.stop(within_s)
        with trio.move_on_after(within_s):
            for inner in stopping:
                await inner.wait_closed()
        for inner in stopping:
            if inner.state is BrokerState.STOPPING:
                _log.error("broker %s does not stop within %g s, the others go on", inner.identity, within_s)

    def refuse_more(self) -> None:
        """From now on nothing is added or started again."""
        self._stopping = True
        self.reconsider_failed()


def _is_refusal(error: Exception) -> bool:
    return isinstance(error, (BootRefusedError, ClaimConflictError, ConfigError)) or is_expected(error)


def _nothing(_inner: InnerBroker) -> None:
    """There is nothing to give back."""
