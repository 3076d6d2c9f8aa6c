"""A running container for a `with` block: in tests, in programs that bring their own broker."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import attrs
import trio

from configuration import Report
from container.broker_container import BrokerContainer
from container.broker_plan import plan_broker
from container.config import BrokerContainerConfig
from container.refusal import BootRefusedError
from container.settings import ContainerSettings, NamesrvSettings
from namesrv import NamesrvConfig
from remoting.config import RemotingClientConfig, RemotingServerConfig

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence
    from pathlib import Path

    from broker.config import BrokerConfig
    from container.inner_broker import BootHook
    from store import MessageStoreConfig

__all__ = ["open_container"]


@asynccontextmanager
async def open_container(
    brokers: Iterable[tuple[BrokerConfig, MessageStoreConfig]] = (),
    *,
    directory: Path,
    bind_address: str = "127.0.0.1",
    listen_port: int = 0,
    namesrv_addr: str | None = None,
    hooks: Sequence[BootHook] = (),
) -> AsyncIterator[BrokerContainer]:
    """A container on free ports, with a name server of its own, whose files all lie in `directory`.

    The brokers run when the block begins (or have failed, see `BrokerContainer.failed_brokers`) and are
    stopped in order when it ends, however it ends.

    Args:
        brokers: configurations of the brokers to start with; their ports and directories are theirs.
        directory: for the files of the name server and updates of the container's configuration.
        bind_address: what the container and the name server listen on.
        listen_port: the container's own port, 0 for a free one.
        namesrv_addr: `host:port` of name servers to use instead of one in this process.
        hooks: told of every broker.

    Raises:
        BootRefusedError: as :meth:`BrokerContainer.run`.
    """
    settings = ContainerSettings(
        config=BrokerContainerConfig(namesrv_addr=namesrv_addr, embedded_namesrv_listen_port=0),
        server_config=RemotingServerConfig(bind_address=bind_address, listen_port=listen_port),
        client_config=RemotingClientConfig(),
        report=Report(),
        source=directory / "container.properties",
    )
    namesrv = NamesrvSettings(
        config=NamesrvConfig(
            kv_config_path=str(directory / "namesrv" / "kvConfig.json"),
            config_store_path=str(directory / "namesrv" / "namesrv.properties"),
        ),
        server_config=attrs.evolve(settings.server_config),
        report=Report(),
    )
    container = BrokerContainer(
        settings,
        [plan_broker(broker, store) for broker, store in brokers],
        namesrv=None if namesrv_addr else namesrv,
        hooks=hooks,
    )
    refused = None
    async with trio.open_nursery() as nursery:
        try:
            await nursery.start(container.run)
        except BootRefusedError as error:
            refused = error
        else:
            try:
                yield container
            finally:
                nursery.cancel_scope.cancel()
    if refused is not None:
        raise refused
