"""A list of name servers: ask one of them, or tell all of them.

Clients keep to one name server and move on when it fails; brokers register with every one.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

from remoting.errors import ConnectError, RemoteFault, RemotingError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from remoting.client import RemotingClient
    from remoting.command import RemotingCommand

log = logging.getLogger("rocketmq.remoting")


def parse_addresses(text: str | None) -> tuple[str, ...]:
    """The addresses of Java's `a:9876;b:9876`; commas and white space separate as well."""
    return tuple((text or "").replace(";", " ").replace(",", " ").split())


class NameServers:
    """The name servers that a client or broker knows. Owns no connection: those are the client's."""

    def __init__(self, client: RemotingClient, addresses: Iterable[str]) -> None:
        """
        Args:
            client: makes the connections; must stay open.
            addresses: "host:port" each, in the order they are tried.
        """
        self._client = client
        self._addresses: tuple[str, ...] = ()
        self._chosen = 0
        self.update(addresses)

    def __repr__(self) -> str:
        return f"<NameServers {';'.join(self._addresses)}>"

    @property
    def addresses(self) -> tuple[str, ...]:
        return self._addresses

    @property
    def chosen(self) -> str | None:
        """The one that `invoke_any` asks first."""
        return self._addresses[self._chosen] if self._addresses else None

    def update(self, addresses: Iterable[str]) -> None:
        """Replaces the list; the chosen one stays chosen if it is still in it."""
        chosen = self.chosen
        self._addresses = tuple(dict.fromkeys(addresses))
        self._chosen = self._addresses.index(chosen) if chosen in self._addresses else 0

    async def invoke_any(self, request: RemotingCommand, timeout_ms: float) -> RemotingCommand:
        """Asks the chosen name server; when the way to it fails, each of the others in turn.

        Any answer counts, whatever its code.

        Args:
            request: the request.
            timeout_ms: for each attempt.

        Raises:
            ConnectError: the list is empty.
            RemoteFault: all failed; the last one's failure.
            LocalFault: the request cannot be sent by anybody.
        """
        addresses = self._addresses
        failure: RemoteFault = ConnectError("no name server address is known")
        for turn in range(len(addresses)):
            index = (self._chosen + turn) % len(addresses)
            try:
                response = await self._client.invoke(addresses[index], request, timeout_ms)
            except RemoteFault as error:
                log.warning("name server %s: %s", addresses[index], error)
                failure = error
            else:
                if addresses is self._addresses:
                    self._chosen = index
                return response
        raise failure

    async def invoke_all(
        self, request: RemotingCommand, timeout_ms: float
    ) -> dict[str, RemotingCommand | RemotingError]:
        """Sends a request to every name server at the same time.

        Args:
            request: the request; the same bytes go to all.
            timeout_ms: for each.

        Returns:
            The answer or the failure of each address, in the order of the list.
        """
        results: dict[str, RemotingCommand | RemotingError] = {}

        async def ask(address: str) -> None:
            try:
                results[address] = await self._client.invoke(address, request, timeout_ms)
            except RemotingError as error:
                results[address] = error

        addresses = self._addresses
        async with trio.open_nursery() as nursery:
            for address in addresses:
                nursery.start_soon(ask, address)
        return {address: results[address] for address in addresses}

    async def oneway_all(self, request: RemotingCommand, timeout_ms: float) -> None:
        """Sends a one-way request to every name server; failures are logged."""

        async def send(address: str) -> None:
            try:
                await self._client.oneway(address, request, timeout_ms)
            except RemotingError as error:
                log.warning("name server %s: %s", address, error)

        async with trio.open_nursery() as nursery:
            for address in self._addresses:
                nursery.start_soon(send, address)
