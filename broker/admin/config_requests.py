"""The broker's configuration: 26 shows it, 25 changes it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import attrs
import trio

from broker.admin.answers import success
from configuration import ConfigError, ForbiddenKeyError
from remoting.errors import CommandError
from remoting.protocol import headers
from remoting.protocol.body import DataVersion
from remoting.protocol.request_code import RequestCode
from remoting.protocol.response_code import ResponseCode

if TYPE_CHECKING:
    from broker.context import BrokerContext
    from remoting.command import RemotingCommand
    from remoting.connection import Connection
    from remoting.processors import ProcessorTable

__all__ = ["ConfigRequests", "register"]

_log = logging.getLogger("rocketmq.broker")


def register(table: ProcessorTable, context: BrokerContext) -> None:
    """Serve the codes of this module by `table`."""
    requests = ConfigRequests(context)
    table.task((RequestCode.GET_BROKER_CONFIG,), requests.show)
    table.task((RequestCode.UPDATE_BROKER_CONFIG,), requests.update)


@attrs.define
class ConfigRequests:
    """Handlers of one broker."""

    context: BrokerContext
    _version: DataVersion = attrs.field(init=False)
    _updating: trio.Lock = attrs.field(init=False, factory=trio.Lock)

    @_version.default
    def _first_version(self) -> DataVersion:
        return DataVersion(counter=0, state_version=0, timestamp=self.context.clock_ms())

    async def show(self, _: Connection, request: RemotingCommand) -> RemotingCommand:
        """GET_BROKER_CONFIG (26): `key=value` lines sorted by key."""
        body = self.context.configuration.text().encode()
        return request.response(ResponseCode.SUCCESS, None, self._version_fields(), body)

    async def update(self, connection: Connection, request: RemotingCommand) -> RemotingCommand:
        """UPDATE_BROKER_CONFIG (25): all keys or none; answers when the file is written."""
        context = self.context
        if not request.body:
            return success(request)
        permission = context.config.broker_permission
        async with self._updating:
            try:
                update = await trio.to_thread.run_sync(context.configuration.update, request.body)
            except ForbiddenKeyError as error:
                raise CommandError(ResponseCode.NO_PERMISSION, error.message) from error
            except ConfigError as error:
                raise CommandError(ResponseCode.SYSTEM_ERROR, str(error)) from error
            self._version = self._version.next(context.clock_ms())
        _log.info("configuration changed by %s: %s", connection.remote_address, update.accepted)
        if update.pending:
            _log.warning("takes effect at the next start: %s", ", ".join(update.pending))
        if context.config.broker_permission != permission:
            context.registration.permission_changed()
        return request.response(ResponseCode.SUCCESS, None, self._version_fields())

    def _version_fields(self) -> dict[str, str]:
        return headers.GetBrokerConfigResponseHeader(self._version.encode().decode()).encode()
