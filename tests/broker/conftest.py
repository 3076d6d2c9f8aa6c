"""A whole broker on free ports, for tests that talk to it through sockets."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio

from broker.broker import Broker
from broker.config import BrokerConfig
from remoting.client import RemotingClient
from remoting.command import RemotingCommand
from remoting.config import RemotingClientConfig, RemotingServerConfig
from remoting.server import Transport
from store import MessageStoreConfig
from tests.store.conftest import virtual_time  # noqa: F401 - a fixture of these tests too

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

_SMALL_FILES = {
    "mapped_file_size_commit_log": 1 << 20,
    "mapped_file_size_consume_queue": 20_000,
    "max_hash_slot_num": 1000,
    "max_index_num": 4000,
}


def make_broker(directory: Path, **overrides: Any) -> Broker:
    """A broker on free ports of 127.0.0.1 with its store in `directory`.

    Args:
        overrides: fields of `BrokerConfig` or `MessageStoreConfig`, and arguments of `Broker`.
    """
    ours = {each.name for each in attrs.fields(BrokerConfig)}
    stores: dict[str, Any] = dict(_SMALL_FILES)
    config: dict[str, Any] = {"broker_name": "broker-a", "broker_ip1": "127.0.0.1", "listen_port": 0}
    rest = {}
    for name, value in overrides.items():
        if name in ours:
            config[name] = value
        elif name in {each.name for each in attrs.fields(MessageStoreConfig)}:
            stores[name] = value
        else:
            rest[name] = value
    transport = rest.pop("transport", None) or Transport(RemotingServerConfig(bind_address="127.0.0.1"))
    return Broker(
        BrokerConfig(**config),
        MessageStoreConfig(store_path_root_dir=str(directory), **stores),
        transport=transport,
        **rest,
    )


@asynccontextmanager
async def running_broker(directory: Path, **overrides: Any) -> AsyncIterator[Broker]:
    """The broker of :func:`make_broker` while it serves; leaving the block stops it in order."""
    broker = make_broker(directory, **overrides)
    async with trio.open_nursery() as nursery:
        await nursery.start(broker.run)
        try:
            yield broker
        finally:
            nursery.cancel_scope.cancel()


@attrs.define
class Asker:
    """A client of one broker."""

    broker: Broker
    client: RemotingClient
    address: str

    async def __call__(
        self, code: int, body: bytes = b"", *, language: str = "JAVA", **fields: object
    ) -> RemotingCommand:
        """Send a request and return its answer; header fields by their wire names."""
        request = RemotingCommand.request(code, {name: _text(value) for name, value in fields.items()}, body)
        request.language = language
        return await self.client.invoke(self.address, request, 5000)


@asynccontextmanager
async def asking(broker: Broker) -> AsyncIterator[Asker]:
    """A client connected to the broker's listening port."""
    async with RemotingClient(RemotingClientConfig()) as client:
        yield Asker(broker, client, broker.address)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@pytest.fixture(name="running_broker")
def _running_broker() -> Callable[..., AbstractAsyncContextManager[Broker]]:
    return running_broker


@pytest.fixture(name="make_broker")
def _make_broker() -> Callable[..., Broker]:
    return make_broker


@pytest.fixture(name="asking")
def _asking() -> Callable[[Broker], AbstractAsyncContextManager[Asker]]:
    return asking
