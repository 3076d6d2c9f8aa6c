"""The requests that the container itself answers, on its own port and its fast port.

GET_BROKER_CONFIG (26) and UPDATE_BROKER_CONFIG (25) for the process. Everything else gets code 3; Java's
container leaves its callers waiting instead. Mirrors `BrokerContainerProcessor`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

from broker.versions import next_version
from configuration import ConfigError, ForbiddenKeyError, parse_text
from container.refusal import BootRefusedError
from container.settings import name_server_list
from remoting.json_dialect import dumps
from remoting.protocol.admin_body import DataVersion
from remoting.protocol.request_code import RequestCode
from remoting.protocol.response_code import ResponseCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from configuration import Configuration
    from remoting.command import RemotingCommand
    from remoting.connection import Connection
    from remoting.processors import ProcessorTable

__all__ = ["ContainerProcessor"]

_log = logging.getLogger("rocketmq.container")


def _check_name_servers(body: bytes) -> None:
    """Raises BootRefusedError when an update brings addresses that a start would refuse."""
    entry = parse_text(body.decode("utf-8", "replace")).by_key.get("namesrvAddr")
    if entry is not None:
        name_server_list(str(entry.value))


class ContainerProcessor:
    """Answers for one container.

    Args:
        configuration: what 26 shows and 25 changes.
        clock_ms: milliseconds since the epoch, for the data version.
        on_update: told after a change of `configuration`.
    """

    def __init__(
        self, configuration: Configuration, *, clock_ms: Callable[[], int], on_update: Callable[[], None]
    ) -> None:
        self._configuration = configuration
        self._clock_ms = clock_ms
        self._on_update = on_update
        self._version = DataVersion(timestamp=clock_ms())
        self._updating = trio.Lock()

    def register(self, table: ProcessorTable) -> None:
        """Enters the codes into the table of a port; all others keep the table's own answer, code 3."""
        table.call([RequestCode.GET_BROKER_CONFIG], self.get_config)
        table.task([RequestCode.UPDATE_BROKER_CONFIG], self.update_config)

    def get_config(self, _connection: Connection, request: RemotingCommand) -> RemotingCommand:
        """`key=value` lines of the container's, the server's and the client's keys, and the data version."""
        return request.response(
            ResponseCode.SUCCESS,
            ext_fields={"version": dumps(self._version.to_json_object()).decode()},
            body=self._configuration.text().encode(),
        )

    async def update_config(self, connection: Connection, request: RemotingCommand) -> RemotingCommand:
        """All keys of the body or none; those that work at the next start only are written to the file."""
        body = bytes(request.body)
        if not body:
            return request.response(ResponseCode.SUCCESS)
        async with self._updating:
            try:
                _check_name_servers(body)
                update = await trio.to_thread.run_sync(self._configuration.update, body)
            except ForbiddenKeyError as forbidden:
                return request.response(ResponseCode.NO_PERMISSION, str(forbidden))
            except (ConfigError, BootRefusedError) as wrong:
                return request.response(ResponseCode.SYSTEM_ERROR, str(wrong))
            self._version = next_version(self._version, self._clock_ms())
        _log.info("configuration changed by %s: %s", connection.remote_address, dict(update.accepted))
        self._on_update()
        if update.pending:
            later = ", ".join(update.pending)
            return request.response(ResponseCode.SUCCESS, f"takes effect at the next start: {later}")
        return request.response(ResponseCode.SUCCESS)
