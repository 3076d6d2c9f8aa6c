"""The requests that the container itself answers, on its own port and its fast port.

ADD_BROKER (902), REMOVE_BROKER (903), GET_BROKER_CONFIG (26) and UPDATE_BROKER_CONFIG (25) for the process,
and GET_CONTAINER_STATUS (20902), which is ours. Everything else gets code 3; Java's container leaves its
callers waiting instead. Requests run side by side: a broker that takes long to start keeps nobody waiting.
Mirrors `BrokerContainerProcessor`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

from broker.versions import next_version
from configuration import ConfigError, ForbiddenKeyError
from remoting.json_dialect import dumps
from remoting.protocol.admin_body import DataVersion
from remoting.protocol.request_code import RequestCode
from remoting.protocol.response_code import ResponseCode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from configuration import Configuration
    from container.broker_requests import BrokerRequests
    from remoting.command import RemotingCommand
    from remoting.connection import Connection
    from remoting.processors import ProcessorTable
    from remoting.protocol.container_body import ContainerStatus

__all__ = ["ContainerProcessor"]

_log = logging.getLogger("rocketmq.container")


class ContainerProcessor:
    """Answers for one container.

    Args:
        configuration: what 26 shows and 25 changes.
        brokers: what 902 and 903 are for.
        clock_ms: milliseconds since the epoch, for the data version.
        on_update: told after a change of `configuration`.
        status: what 20902 shows.
    """

    def __init__(
        self,
        configuration: Configuration,
        brokers: BrokerRequests,
        *,
        clock_ms: Callable[[], int],
        on_update: Callable[[], None],
        status: Callable[[], Awaitable[ContainerStatus]],
    ) -> None:
        self._configuration = configuration
        self._brokers = brokers
        self._status = status
        self._clock_ms = clock_ms
        self._on_update = on_update
        self._version = DataVersion(timestamp=clock_ms())
        self._updating = trio.Lock()

    def register(self, table: ProcessorTable) -> None:
        """Enters the codes into the table of a port; all others keep the table's own answer, code 3."""
        table.call([RequestCode.GET_BROKER_CONFIG], self.get_config)
        table.task([RequestCode.UPDATE_BROKER_CONFIG], self.update_config)
        table.task([RequestCode.ADD_BROKER], self._brokers.add)
        table.task([RequestCode.REMOVE_BROKER], self._brokers.remove)
        table.task([RequestCode.GET_CONTAINER_STATUS], self.show_status)

    def get_config(self, _connection: Connection, request: RemotingCommand) -> RemotingCommand:
        """`key=value` lines of the container's, the server's and the client's keys, and the data version."""
        waiting = ", ".join(self._configuration.pending)
        return request.response(
            ResponseCode.SUCCESS,
            f"waiting for a restart of the container: {waiting}" if waiting else None,
            ext_fields={"version": dumps(self._version.to_json_object()).decode()},
            body=self._configuration.text().encode(),
        )

    async def update_config(self, connection: Connection, request: RemotingCommand) -> RemotingCommand:
        """All keys of the body or none; the remark of success names those that wait for the next start."""
        body = bytes(request.body)
        if not body:
            return request.response(ResponseCode.SUCCESS)
        async with self._updating:
            try:
                update = await trio.to_thread.run_sync(self._configuration.update, body)
            except ForbiddenKeyError as forbidden:
                return request.response(ResponseCode.NO_PERMISSION, str(forbidden))
            except ConfigError as wrong:
                return request.response(ResponseCode.SYSTEM_ERROR, str(wrong))
            self._version = next_version(self._version, self._clock_ms())
        _log.info("configuration changed by %s: %s", connection.remote_address, update.shown)
        self._on_update()
        return request.response(ResponseCode.SUCCESS, update.remark("the container"))

    async def show_status(self, _connection: Connection, request: RemotingCommand) -> RemotingCommand:
        """A `ContainerStatus` as body."""
        status = await self._status()
        return request.response(ResponseCode.SUCCESS, body=status.encode())
