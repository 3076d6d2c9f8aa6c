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
from store.worker_threads import in_request_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from broker.context import BrokerContext
    from remoting.command import RemotingCommand
    from remoting.connection import Connection
    from remoting.processors import ProcessorTable

__all__ = ["ConfigRequests", "register"]

_log = logging.getLogger("rocketmq.broker")


def _follow_permission(context: BrokerContext) -> None:
    context.registration.permission_changed()


def _follow_topics(context: BrokerContext) -> None:
    context.topics.follow_config()


def _follow_disk(context: BrokerContext) -> None:
    context.store.delete_expired_files(manual=False)


_FOLLOWED: Mapping[str, Callable[[BrokerContext], None]] = {
    "broker_permission": _follow_permission,
    "auto_create_topic_enable": _follow_topics,
    "default_topic_queue_nums": _follow_topics,
    "file_reserved_time": _follow_disk,
    "delete_when": _follow_disk,
    "disk_max_used_space_ratio": _follow_disk,
    "disk_space_clean_forcibly_ratio": _follow_disk,
    "disk_space_warning_level_ratio": _follow_disk,
    "clean_file_forcibly_enable": _follow_disk,
    "quota_percent_for_disk_partition": _follow_disk,
    "replicas_per_disk_partition": _follow_disk,
    "logical_disk_space_clean_forcibly_threshold": _follow_disk,
    "quota_purge_confirmed": _follow_disk,
    "disk_space_reserved_bytes": _follow_disk,
}
"""Fields that something is derived from, or decided by now and then; all others are read when needed."""


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
        """GET_BROKER_CONFIG (26): `key=value` lines sorted by key, all with the values in force."""
        configuration = self.context.configuration
        waiting = ", ".join(configuration.pending)
        remark = f"waiting for a restart of {self._name}: {waiting}" if waiting else None
        body = configuration.text().encode()
        return request.response(ResponseCode.SUCCESS, remark, self._version_fields(), body)

    async def update(self, connection: Connection, request: RemotingCommand) -> RemotingCommand:
        """UPDATE_BROKER_CONFIG (25): all keys or none; answers when the file is written.

        The remark of success names the keys that wait for a restart; Java's clients do not look at it.
        """
        context = self.context
        if not request.body:
            return success(request)
        before = self._followed_values()
        async with self._updating:
            try:
                update = await in_request_thread(context.configuration.update, request.body)
            except ForbiddenKeyError as error:
                raise CommandError(ResponseCode.NO_PERMISSION, error.message) from error
            except ConfigError as error:
                raise CommandError(ResponseCode.SYSTEM_ERROR, str(error)) from error
            self._version = self._version.next(context.clock_ms())
        _log.info("configuration changed by %s: %s", connection.remote_address, update.shown)
        remark = update.remark(self._name)
        if update.pending:
            _log.warning("%s", remark)
        changed = before.items() - self._followed_values().items()
        for follow in {_FOLLOWED[key] for key, _ in changed}:
            follow(context)
        return request.response(ResponseCode.SUCCESS, remark, self._version_fields())

    def _followed_values(self) -> dict[str, object]:
        configs = (self.context.config, self.context.store_config)
        return {
            name: getattr(config, name) for config in configs for name in _FOLLOWED if hasattr(config, name)
        }

    @property
    def _name(self) -> str:
        return self.context.identity.canonical_name

    def _version_fields(self) -> dict[str, str]:
        return headers.GetBrokerConfigResponseHeader(self._version.encode().decode()).encode()
