"""Which broker is speaking: the identity that every task of a broker inherits.

A container runs many brokers in one process. Each broker sets its identity once, at the root of its nursery;
child tasks and worker threads inherit the context, so log routing, metric labels and error texts can ask
:data:`current_identity` anywhere below.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["BrokerIdentity", "bound", "current_identity", "is_isolated", "set_isolated"]


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


current_identity: ContextVar[BrokerIdentity | None] = ContextVar("current_identity", default=None)
"""The broker on whose behalf the current task or thread works; None is the process itself."""

_isolated: set[BrokerIdentity] = set()


@contextmanager
def bound(identity: BrokerIdentity | None) -> Iterator[None]:
    """Make `identity` the current one inside the block, and for every task started there."""
    token = current_identity.set(identity)
    try:
        yield
    finally:
        current_identity.reset(token)


def set_isolated(identity: BrokerIdentity, isolated: bool) -> None:
    """Say whether the lines of this broker go to a directory of its own (`isolateLogEnable`)."""
    if isolated:
        _isolated.add(identity)
    else:
        _isolated.discard(identity)


def is_isolated(identity: BrokerIdentity) -> bool:
    """Whether :func:`set_isolated` was last told so for this broker."""
    return identity in _isolated
