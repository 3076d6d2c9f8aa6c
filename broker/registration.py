"""Keeping one broker known to its name servers: at start, at each change, periodically, and goodbye at stop.

Each broker has connections of its own to the name servers, because a name server forgets a broker as soon as
the connection that registered it closes. Every name server has a task of its own here, so that one that does
not answer never delays the others.

A broker that had another name before is unregistered under it first: see `broker.former_identities`.

A change of topics is sent alone (with the version of the whole table) as long as the name server has taken
everything before it; after any failure the whole table goes out again.
"""

from __future__ import annotations

import logging
import math
from contextvars import Context, copy_context
from functools import partial
from typing import TYPE_CHECKING, TypedDict

import attrs
import msgspec
import trio

from broker.topics import PERM_READ, PERM_WRITE
from broker.versions import next_version
from configuration import wait_configured
from remoting.command import RemotingCommand
from remoting.errors import BodyFault, RemotingError
from remoting.protocol import headers
from remoting.protocol.admin_body import RegisterBrokerBody, TopicConfigAndMappingSerializeWrapper
from remoting.protocol.body import KVTable
from remoting.protocol.message import body_crc
from remoting.protocol.request_code import RequestCode
from remoting.protocol.response_code import ResponseCode
from store import StoreError
from store.worker_threads import in_background_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from broker.config import BrokerConfig
    from broker.former_identities import FormerIdentities, RegisteredIdentity
    from broker.topics import TopicConfigManager
    from logs.identity import BrokerIdentity
    from remoting.client import RemotingClient
    from remoting.connection import Connection
    from remoting.protocol.admin_body import TopicConfig

__all__ = ["NameServerStatus", "Registration", "RegistrationStatistics"]

_log = logging.getLogger("rocketmq.broker")

_LEAST_PERIOD_MS, _MOST_PERIOD_MS = 10_000, 60_000
_FIRST_RETRY_S, _LAST_RETRY_S = 1.0, 30.0
_UNREGISTER_TIMEOUT_MS = 3000
_LARGE_TABLE = 500
"""Topics above which a registration is encoded in a worker thread."""


@attrs.frozen
class NameServerStatus:
    """What is known of one name server."""

    address: str
    registered: bool
    registrations: int
    failures: int


@attrs.frozen
class RegistrationStatistics:
    """Every name server of the broker."""

    name_servers: tuple[NameServerStatus, ...]


@attrs.define(eq=False)
class _Link:
    """One name server: what it has, and what it must hear."""

    address: str
    registered: bool = False
    """Whether it holds everything but `changed`."""
    asked: bool = False
    """Whether it may have heard of the broker at all."""
    cleared: bool = False
    """Whether it knows the broker under no former name."""
    changed: dict[str, TopicConfig] = attrs.field(factory=dict)
    wake: trio.Event = attrs.field(factory=trio.Event)
    settled: trio.Event = attrs.field(factory=trio.Event)
    """Set while it has heard everything, or could not be reached with it."""
    registrations: int = 0
    failures: int = 0
    connection: Connection | None = None
    """Over which it was registered; when it closes, the name server forgets the broker."""
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)


class _Names(TypedDict):
    """What every request to a name server says of the broker."""

    broker_name: str
    broker_addr: str
    cluster_name: str
    broker_id: int


class Registration:
    """Registers one broker.

    Args:
        address: `ip:port` of the broker.
        ha_address: `ip:port` that slaves connect to.
        client: the broker's own client; it is not shared with other brokers.
        name_servers: `host:port` each; may be empty.
        former: under which other names the broker may still be known; None to ask nobody.
    """

    def __init__(
        self,
        *,
        config: BrokerConfig,
        identity: BrokerIdentity,
        address: str,
        ha_address: str,
        topics: TopicConfigManager,
        client: RemotingClient,
        name_servers: Iterable[str],
        clock_ms: Callable[[], int],
        former: FormerIdentities | None = None,
    ) -> None:
        self._config = config
        self._identity = identity
        self._address = address
        self._ha_address = ha_address
        self._topics = topics
        self._client = client
        self._clock_ms = clock_ms
        self._former = former
        self._links = {each: _Link(each) for each in name_servers}
        self._nursery: trio.Nursery | None = None
        self._home = Context()

    # What the broker calls

    def load(self) -> None:
        """Read under which names the broker was registered before. Blocks; call it before :meth:`run`.

        Raises:
            StoreIOError: the file of the names cannot be read.
        """
        if self._former is not None:
            self._former.load()

    def notify_change(self, topics: Collection[TopicConfig] | None = None) -> None:
        """Let the name servers know soon: these topics, or everything when None."""
        for link in self._links.values():
            if topics is None:
                link.registered = False
            else:
                link.changed.update((topic.topic_name, topic) for topic in topics)
            link.settled = trio.Event() if link.settled.is_set() else link.settled
            link.wake.set()

    def connection_closed(self, connection: Connection) -> None:
        """A connection of the broker's client has ended: whoever was registered over it is to hear again."""
        for link in self._links.values():
            if link.connection is connection:
                link.connection = None
                link.registered = False
                link.wake.set()

    def permission_changed(self) -> None:
        """The broker's own permission was changed: every topic is to be registered with it."""
        self._topics.data_version = next_version(self._topics.data_version, self._clock_ms())
        self.notify_change()

    def set_name_servers(self, addresses: Iterable[str]) -> None:
        """Go over to another list; those that stay are left alone."""
        wanted = list(dict.fromkeys(addresses))
        for address in [each for each in self._links if each not in wanted]:
            self._links.pop(address).scope.cancel()
        for address in wanted:
            if address not in self._links:
                link = self._links[address] = _Link(address)
                if self._nursery is not None:  # whoever asks, the new task is this broker's
                    self._home.run(self._nursery.start_soon, self._keep_registered, link)

    async def run(self) -> None:
        """Keep the broker registered until cancelled. Does not unregister: see :meth:`unregister`."""
        async with trio.open_nursery() as nursery:
            self._nursery, self._home = nursery, copy_context()
            try:
                for link in self._links.values():
                    nursery.start_soon(self._keep_registered, link)
                await trio.sleep_forever()
            finally:
                self._nursery = None

    async def settled(self) -> None:
        """Return when each name server has heard everything up to now, or could not be reached with it."""
        for settled in [link.settled for link in self._links.values()]:
            await settled.wait()

    async def unregister(self) -> None:
        """Say goodbye to every name server that may know the broker; failures are logged, not raised."""
        async with trio.open_nursery() as nursery:
            for link in self._links.values():
                if link.asked:
                    nursery.start_soon(self._unregister_at, link)

    def statistics(self) -> RegistrationStatistics:
        """How the broker stands with each name server."""
        return RegistrationStatistics(
            tuple(
                NameServerStatus(
                    address=link.address,
                    registered=link.registered,
                    registrations=link.registrations,
                    failures=link.failures,
                )
                for link in self._links.values()
            )
        )

    # One name server

    async def _keep_registered(self, link: _Link) -> None:
        retry_s = _FIRST_RETRY_S
        with link.scope:
            while True:
                link.wake = trio.Event()
                try:
                    await self._register_at(link)
                except RemotingError as error:
                    if link.failures == 0 or link.registered:
                        _log.warning("cannot register with name server %s: %s", link.address, error)
                    link.registered = False
                    link.failures += 1
                    longest_s, retry_s = retry_s, min(2 * retry_s, _LAST_RETRY_S)
                else:
                    longest_s, retry_s = math.inf, _FIRST_RETRY_S
                if not link.wake.is_set():
                    link.settled.set()
                await wait_configured(partial(self._wait_s, longest_s), link.wake)

    def _wait_s(self, longest_s: float) -> float:
        period_ms = self._config.register_name_server_period
        return min(longest_s, min(max(period_ms, _LEAST_PERIOD_MS), _MOST_PERIOD_MS) / 1000)

    async def _register_at(self, link: _Link) -> None:
        """Send what has changed, or everything, after it is saved (a full disk must not end the routes)."""
        try:
            await self._topics.file.saved()
        except StoreError as error:
            _log.error("registering topics that are not saved: %s", error)
        if self._former is not None:
            await self._clear(link, self._former)
        changed, link.changed = link.changed, {}
        if link.registered and changed:
            topics: Iterable[TopicConfig] = changed.values()
        elif link.registered and not self._config.force_register and not await self._is_outdated(link):
            return
        else:
            topics = self._topics.table.values()
        body = self._body(topics)
        if len(body.topic_config_serialize_wrapper.topic_config_table) > _LARGE_TABLE:
            encoded = await in_background_thread(body.encode)
        else:
            encoded = body.encode()
        link.asked = True
        header = headers.RegisterBrokerRequestHeader(
            **self._names(),
            ha_server_addr=self._ha_address,
            enable_acting_master=False,
            body_crc32=body_crc(encoded),
        )
        request = RemotingCommand.request(RequestCode.REGISTER_BROKER, header.encode(), encoded)
        response = await self._invoke(link, request)
        link.connection = await self._client.connection(link.address)
        if not link.registered:
            _log.info("registered with name server %s", link.address)
        link.registered = True
        link.registrations += 1
        self._take_order_topics(response)

    async def _is_outdated(self, link: _Link) -> bool:
        header = headers.QueryDataVersionRequestHeader(**self._names())
        version = self._topics.data_version.encode()
        request = RemotingCommand.request(RequestCode.QUERY_DATA_VERSION, header.encode(), version)
        response = await self._invoke(link, request)
        return response.ext_fields.get("changed") != "false"

    async def _clear(self, link: _Link, former: FormerIdentities) -> None:
        """Take away the routes of other names at this address; they would outlive the connection."""
        await former.remember()
        if link.cleared:
            return
        for identity in former.former:
            await self._client.invoke(link.address, _unregistration(identity), _UNREGISTER_TIMEOUT_MS)
            _log.info("unregistered %s, a former name, from name server %s", identity, link.address)
        link.cleared = True
        if all(each.cleared for each in self._links.values()):
            await former.forget_former()

    async def _unregister_at(self, link: _Link) -> None:
        header = headers.UnRegisterBrokerRequestHeader(**self._names())
        request = RemotingCommand.request(RequestCode.UNREGISTER_BROKER, header.encode())
        try:
            await self._client.invoke(link.address, request, _UNREGISTER_TIMEOUT_MS)
        except RemotingError as error:
            _log.warning("cannot unregister from name server %s: %s", link.address, error)
        else:
            _log.info("unregistered from name server %s", link.address)
        link.registered = False

    async def _invoke(self, link: _Link, request: RemotingCommand) -> RemotingCommand:
        response = await self._client.invoke(
            link.address, request, self._config.register_broker_timeout_mills
        )
        if response.code != ResponseCode.SUCCESS:
            raise _RefusedError(f"code {response.code}: {response.remark}")
        return response

    # What is said

    def _names(self) -> _Names:
        return _Names(
            broker_name=self._identity.name,
            broker_addr=self._address,
            cluster_name=self._identity.cluster,
            broker_id=self._identity.broker_id,
        )

    def _body(self, topics: Iterable[TopicConfig]) -> RegisterBrokerBody:
        permission = self._config.broker_permission
        readable_and_writable = permission & PERM_READ and permission & PERM_WRITE
        table = {}
        for topic in topics:
            if not readable_and_writable:
                topic = msgspec.structs.replace(topic, perm=topic.perm & permission)
            table[topic.topic_name] = topic
        return RegisterBrokerBody(
            topic_config_serialize_wrapper=TopicConfigAndMappingSerializeWrapper(
                data_version=self._topics.data_version, topic_config_table=table
            )
        )

    def _take_order_topics(self, response: RemotingCommand) -> None:
        if not response.body:
            return
        try:
            order = KVTable.decode(response.body)
        except BodyFault as error:
            _log.warning("the name server's order configuration is not readable: %s", error)
            return
        self._topics.set_order_topics(order.table)


def _unregistration(identity: RegisteredIdentity) -> RemotingCommand:
    header = headers.UnRegisterBrokerRequestHeader(
        broker_name=identity.name,
        broker_addr=identity.address,
        cluster_name=identity.cluster,
        broker_id=identity.broker_id,
    )
    return RemotingCommand.request(RequestCode.UNREGISTER_BROKER, header.encode())


class _RefusedError(RemotingError):
    """The name server answered with an error."""
