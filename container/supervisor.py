"""The brokers of a container: who is there, who failed, who comes back.

    add ─ claim identity, ports, paths ─ task: InnerBroker.run ─┬─ closed: forgotten
                                                                └─ failed: remembered with its reason,
                                                                   a pause, add (restartFailedBrokers)

A broker belongs to the container from its *commit* on, when it serves and the container's file names it; the
brokers of the start belong to it from the beginning. What fails before leaves nothing behind but its log.
What fails later is remembered, because an operator has to know, and may be started again.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

import attrs
import trio

from configuration import ConfigError
from container.broker_plan import read_plan
from container.claims import ClaimConflictError, Claims
from container.inner_broker import BrokerState, InnerBroker
from container.refusal import BootRefusedError
from container.restart import Backoff

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

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
        self._stopping = False

    def __repr__(self) -> str:
        return f"<BrokerSupervisor {len(self.brokers)} brokers, {len(self.failed)} failed>"

    async def run(self, body: Callable[[], Awaitable[None]]) -> None:
        """Runs `body`, during which brokers can be added; then stops none by itself but waits for all."""
        async with trio.open_nursery() as self._nursery:
            await body()
        self._nursery = None

    def add(self, plan: BrokerPlan, *, belongs: bool = False) -> InnerBroker:
        """Claims what `plan` needs and starts its task; the start is over at `InnerBroker.wait_settled`.

        Args:
            plan: what to start.
            belongs: the container names it already: a failure is remembered also before it serves.

        Raises:
            ClaimConflictError: somebody has its identity, a port or a path; nothing changed.
            BootRefusedError: the container does not run, or is about to stop.
        """
        failed = self.failed_broker(plan.identity)
        inner = self._start(
            plan, Backoff() if failed is None else failed.backoff, belongs=belongs or bool(failed)
        )
        if failed is not None:
            self.forget_failed(failed)
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

    def _start(self, plan: BrokerPlan, backoff: Backoff, *, belongs: bool) -> InnerBroker:
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
            release=partial(self._forget, plan),
            restarts=backoff.restarts,
        )
        self.brokers[plan.identity] = inner
        self._nursery.start_soon(self._watch, inner, backoff, belongs, name=f"broker {plan.identity}")
        return inner

    def _forget(self, plan: BrokerPlan) -> None:
        self._claims.release(plan.identity.canonical_name)
        self.brokers.pop(plan.identity, None)

    async def _watch(self, inner: InnerBroker, backoff: Backoff, belongs: bool) -> None:
        """A broker's life, and what comes of it. The container's own log tells it in a few lines."""
        source = inner.plan.source
        _log.info("broker %s starts, from %s", inner.identity, "a program" if source is None else source)
        async with trio.open_nursery() as watch:
            watch.start_soon(self._tell_that_it_serves, inner)
            await inner.run()
        if inner.state is not BrokerState.FAILED:
            _log.info("broker %s is closed", inner.identity)
            return
        _log.error("broker %s failed: %s", inner.identity, inner.reason)
        if belongs or inner.running_since is not None:
            self._remember(inner, backoff)

    @staticmethod
    async def _tell_that_it_serves(inner: InnerBroker) -> None:
        await inner.wait_settled()
        if inner.state is BrokerState.RUNNING and inner.broker is not None:
            _log.info("broker %s serves on %s", inner.identity, inner.broker.address)

    # After a failure

    def _remember(self, inner: InnerBroker, backoff: Backoff) -> None:
        failed = FailedBroker(inner, inner.reason or "", backoff)
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
                self._nursery.start_soon(self._restart, failed, scope)

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
                    self._start(plan, failed.backoff, belongs=True)
                except (BootRefusedError, ClaimConflictError, ConfigError) as refused:
                    failed.reason = str(refused)
                    _log.error("broker %s cannot be started again: %s", failed.identity, refused)
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

    def forget_failed(self, failed: FailedBroker) -> None:
        """It is no longer a broker of the container; it is not started again."""
        failed.give_up()
        if failed in self.failed:
            self.failed.remove(failed)

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


def _nothing() -> None:
    """There is nothing to give back."""
