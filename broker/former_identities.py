"""Under which names this store's broker may still be known, and at whose address that would mislead clients.

A name server forgets a broker whose connection closed. One that comes back at the same address under another
name, cluster or id before that leaves a route under the old name, which its own heartbeats then keep alive
(apache/rocketmq#1989). So `<root>/config/registeredAs.json` says as whom the broker registers; what a start
finds there under another name is unregistered at each name server before the broker registers with it.
Java RocketMQ does not look at the file.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

import attrs
import trio

from remoting.errors import BodyFault
from remoting.json_dialect import dumps_pretty, loads
from store import StoreCorruptError, StoreError
from store.worker_threads import in_service_thread

if TYPE_CHECKING:
    from store import ConfigTable

__all__ = ["FormerIdentities", "RegisteredIdentity"]

_log = logging.getLogger("rocketmq.broker")

_MOST_KEPT = 16


@attrs.frozen
class RegisteredIdentity:
    """A broker as name servers know it."""

    cluster: str
    name: str
    broker_id: int
    address: str
    """`ip:port`."""


class FormerIdentities:
    """The file of one broker.

    Args:
        file: where it is.
        current: as whom the broker registers now.

    Attributes:
        former: the other identities that may be registered at the current address, oldest first.
    """

    def __init__(self, file: ConfigTable, current: RegisteredIdentity) -> None:
        self._file = file
        self._current = current
        self.former: list[RegisteredIdentity] = []
        self._saving = trio.Lock()
        self._is_remembered = False

    def load(self) -> None:
        """Read the file. Blocks.

        At another address nobody keeps the old route alive, and the address may be somebody else's by now.

        Raises:
            StoreIOError: there is one and it cannot be read.
        """
        try:
            text = self._file.load(_fault)
        except StoreCorruptError as error:
            _log.error("the name that the broker registered under before is not known: %s", error)
            text = None
        found = _identities(text) if text else []
        here = [each for each in found if each.address == self._current.address and each != self._current]
        self.former = here[-_MOST_KEPT:]

    async def remember(self) -> None:
        """Keep the current identity before it is registered anywhere; does so once."""
        async with self._saving:
            if not self._is_remembered:
                await self._save()
                self._is_remembered = True

    async def forget_former(self) -> None:
        """No name server knows any other than the current one now."""
        async with self._saving:
            if self.former:
                self.former = []
                await self._save()

    async def _save(self) -> None:
        """A full disk keeps no broker from registering."""
        text = _text([*self.former, self._current])
        try:
            await in_service_thread(self._file.save, text)
        except StoreError as error:
            _log.error("the name that the broker registers under is not saved: %s", error)


def _text(identities: list[RegisteredIdentity]) -> str:
    rows = [
        {
            "brokerClusterName": each.cluster,
            "brokerName": each.name,
            "brokerId": each.broker_id,
            "brokerAddr": each.address,
        }
        for each in identities
    ]
    return dumps_pretty({"identities": rows}).decode()


def _identities(text: str) -> list[RegisteredIdentity]:
    document: Any = loads(text, max_bytes=sys.maxsize)
    return [
        RegisteredIdentity(
            str(row["brokerClusterName"]),
            str(row["brokerName"]),
            int(row["brokerId"]),
            str(row["brokerAddr"]),
        )
        for row in document["identities"]
    ]


def _fault(text: str) -> str | None:
    try:
        _identities(text)
    except (BodyFault, KeyError, TypeError, ValueError, OverflowError) as error:
        return f"names no brokers: {error}"
    return None
