"""What the tests of the container start and ask: small stores, real sockets, one request at a time."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

from broker.config import BrokerConfig
from remoting.client import RemotingClient
from remoting.command import RemotingCommand
from remoting.config import RemotingClientConfig
from remoting.protocol.request_code import RequestCode
from store import MessageStoreConfig
from tests.send_fields import send_fields

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from container import InnerBroker


def a_broker(directory: Path, name: str, port: int = 0) -> tuple[BrokerConfig, MessageStoreConfig]:
    return (
        BrokerConfig(broker_name=name, listen_port=port, broker_ip1="127.0.0.1"),
        MessageStoreConfig(
            store_path_root_dir=str(directory / name),
            mapped_file_size_commit_log=1 << 20,
            mapped_file_size_consume_queue=20_000,
            max_hash_slot_num=1000,
            max_index_num=4000,
        ),
    )


@asynccontextmanager
async def a_client() -> AsyncIterator[RemotingClient]:
    async with RemotingClient(RemotingClientConfig()) as client:
        yield client


async def ask(address: str | None, code: int, body: bytes = b"", **fields: str) -> RemotingCommand:
    assert address is not None
    async with a_client() as client:
        return await client.invoke(address, RemotingCommand.request(code, fields, body), 5000)


def send_request(topic: str, body: bytes) -> RemotingCommand:
    return RemotingCommand.request(RequestCode.SEND_MESSAGE, send_fields(topic), body)


async def send(address: str, topic: str, body: bytes) -> RemotingCommand:
    async with a_client() as client:
        return await client.invoke(address, send_request(topic, body), 5000)


async def max_offset(address: str, topic: str) -> int:
    answer = await ask(address, RequestCode.GET_MAX_OFFSET, topic=topic, queueId="0")
    return int(answer.ext_fields["offset"])


def address_of(inner: InnerBroker) -> str:
    assert inner.broker is not None
    return inner.broker.address


def broker_file(directory: Path, name: str, port: int, **more: object) -> Path:
    """A broker's properties file; its store is small and lies below `directory`."""
    settings: dict[str, object] = {
        "brokerName": name,
        "listenPort": port,
        "brokerIP1": "127.0.0.1",
        "storePathRootDir": directory / name,
        "mappedFileSizeCommitLog": 1 << 20,
        "mappedFileSizeConsumeQueue": 20_000,
        "maxHashSlotNum": 1000,
        "maxIndexNum": 4000,
        **more,
    }
    path = directory / f"{name}.conf"
    path.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    return path


async def add(address: str | None, path: object) -> RemotingCommand:
    """ADD_BROKER, asked of a container."""
    return await ask(address, RequestCode.ADD_BROKER, configPath=str(path))


async def remove(address: str | None, name: str, broker_id: int = 0) -> RemotingCommand:
    """REMOVE_BROKER, asked of a container."""
    return await ask(
        address,
        RequestCode.REMOVE_BROKER,
        brokerName=name,
        brokerClusterName="DefaultCluster",
        brokerId=str(broker_id),
    )


async def until(condition: Callable[[], object]) -> None:
    """Returns when `condition` holds; for what has no event to wait for."""
    while not condition():  # noqa: ASYNC110 - see above
        await trio.sleep(0.001)
