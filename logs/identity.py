"""Which broker is speaking: what every task and worker thread of a broker inherits.

A container runs many brokers in one process. Each broker says who it is once, at the root of its nursery
(:func:`bound`); child tasks and worker threads inherit the context, so log routing, metric labels and error
texts can ask :func:`current_identity` anywhere below. Whether the broker wants its lines in a directory of
its own travels the same way: two containers of one process may hold brokers of the same name and never meet.

A task inherits the context of whoever *starts* it, not of the nursery that it runs in. A door through which
others put tasks into a broker's nursery must therefore go through the broker's own context.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["BrokerIdentity", "Speaker", "bound", "current_identity", "current_speaker"]


@attrs.frozen
class BrokerIdentity:
    """Cluster, group name and id of a broker: unique within a container (`BrokerIdentity` in Java)."""

    cluster: str
    name: str
    broker_id: int
    canonical_name: str = attrs.field(init=False, eq=False, repr=False)
    """`<cluster>_<name>_<id>`, Java's canonical name; names the log directory of an isolated broker."""

    @canonical_name.default
    def _join(self) -> str:
        return f"{self.cluster}_{self.name}_{self.broker_id}"

    def __str__(self) -> str:
        return self.canonical_name


def _never() -> bool:
    return False


@attrs.frozen(eq=False)
class Speaker:
    """A broker as the log knows it."""

    identity: BrokerIdentity
    isolated: Callable[[], bool] = _never
    """Whether its lines go to a directory of its own (`isolateLogEnable`); asked for each line, anywhere."""


current_speaker: ContextVar[Speaker | None] = ContextVar("current_speaker", default=None)
"""On whose behalf the current task or thread works; None is the process itself."""


def current_identity() -> BrokerIdentity | None:
    """The broker on whose behalf the current task or thread works; None is the process itself."""
    speaker = current_speaker.get()
    return None if speaker is None else speaker.identity


@contextmanager
def bound(identity: BrokerIdentity | None, isolated: Callable[[], bool] = _never) -> Iterator[None]:
    """Make `identity` the current one inside the block, and for every task started there.

    Args:
        identity: the broker; None is the process itself.
        isolated: whether its lines go to a directory of its own; asked for each line, so that a change of
            `isolateLogEnable` counts from the next line on.
    """
    token = current_speaker.set(None if identity is None else Speaker(identity, isolated))
    try:
        yield
    finally:
        current_speaker.reset(token)
