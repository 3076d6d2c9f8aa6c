"""What a closed connection means to the client tables of one broker.

Mirrors `org.apache.rocketmq.broker.client.ClientHousekeepingService`, but hears of this broker's own
connections only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from remoting.server import ChannelListener

if TYPE_CHECKING:
    from broker.context import BrokerContext
    from remoting.connection import Connection

__all__ = ["ClientHousekeeping"]


class ClientHousekeeping(ChannelListener):
    """A listener of the broker's ports."""

    def __init__(self, context: BrokerContext) -> None:
        self._context = context

    def on_close(self, connection: Connection) -> None:
        """Take whoever was behind the connection out of the tables."""
        self._context.producers.on_close(connection)
        self._context.consumers.on_close(connection)
