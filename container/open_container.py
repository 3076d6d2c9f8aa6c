"""A running container for a `with` block: in tests, in programs that bring their own broker."""

from __future__ import annotations

import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import trio

from broker.config import BrokerConfig
from configuration import Report
from container.broker_container import BrokerContainer
from container.broker_plan import plan_broker
from container.config import BrokerContainerConfig
from container.settings import ContainerSettings, NamesrvSettings
from namesrv import NamesrvConfig
from remoting.config import RemotingClientConfig, RemotingServerConfig
from store import MessageStoreConfig

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from container.inner_broker import BootHook
    from store import FileSystem

__all__ = ["BrokerChoice", "light_broker", "open_container"]

BrokerChoice = str | tuple[BrokerConfig, MessageStoreConfig]
"""A broker to start with: a name stands for :func:`light_broker`."""

LOOPBACK = "127.0.0.1"


def light_broker(name: str, directory: Path) -> tuple[BrokerConfig, MessageStoreConfig]:
    """A master for tests: free ports, reachable from this machine, small files in `directory`/`name`.

    Everything else is as in production. The objects may be changed before they are used.
    """
    config = BrokerConfig(broker_name=name, listen_port=0, broker_ip1=LOOPBACK)
    store_config = MessageStoreConfig(
        store_path_root_dir=str(directory / name),
        mapped_file_size_commit_log=64 << 20,
        mapped_file_size_consume_queue=600_000,
        max_hash_slot_num=25_000,
        max_index_num=100_000,
    )
    return config, store_config


@asynccontextmanager
async def open_container(
    brokers: Iterable[BrokerChoice] = (),
    *,
    directory: Path | None = None,
    bind_address: str = LOOPBACK,
    listen_port: int = 0,
    namesrv_addr: str | None = None,
    config: BrokerContainerConfig | None = None,
    hooks: Sequence[BootHook] = (),
    files: FileSystem | None = None,
) -> AsyncIterator[BrokerContainer]:
    """A container on free ports, with a name server of its own, whose files all lie in `directory`.

    The brokers run when the block begins (or have failed, see `BrokerContainer.failed_brokers`) and are
    stopped in order when it ends, however it ends. What the block raises leaves it as it is, not in a group.
    Several may be open at a time; nothing of the process is changed: neither its logging (the lines go to the
    loggers `rocketmq.*`) nor its signals.

    Args:
        brokers: what to start with. A name alone is a :func:`light_broker` below `directory`; a pair of
            configurations brings its own ports and directories.
        directory: for the files of the container, its name server and its light brokers; a temporary one that
            is removed at the end when not given.
        bind_address: what the container and the name server listen on.
        listen_port: the container's own port, 0 for a free one.
        namesrv_addr: `host:port` of name servers to use instead of one in this process.
        config: the container's own keys; those for its name servers are overwritten by the above.
        hooks: told of every broker.
        files: where the brokers' stores and tables live; the operating system's by default.

    Cancellation: an orderly stop, as at the end of the block.

    Raises:
        BootRefusedError: as :meth:`BrokerContainer.run`.
    """
    own = None if directory else tempfile.TemporaryDirectory(prefix="mqbrokercontainer-")
    root = Path(own.name) if own else Path(directory or "")
    try:
        container = _build(
            [light_broker(one, root) if isinstance(one, str) else one for one in brokers],
            root,
            RemotingServerConfig(bind_address=bind_address, listen_port=listen_port),
            namesrv_addr,
            config or BrokerContainerConfig(),
            hooks,
            files,
        )
        failure: BaseException | None = None
        async with trio.open_nursery() as nursery:
            try:
                await nursery.start(container.run)
                yield container
            except BaseException as error:
                failure = error  # raised outside of the nursery, which would put it into a group
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure
    finally:
        if own is not None:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(own.cleanup)


def _build(
    brokers: Iterable[tuple[BrokerConfig, MessageStoreConfig]],
    root: Path,
    server_config: RemotingServerConfig,
    namesrv_addr: str | None,
    config: BrokerContainerConfig,
    hooks: Sequence[BootHook],
    files: FileSystem | None,
) -> BrokerContainer:
    config.namesrv_addr = namesrv_addr
    config.embedded_namesrv_listen_port = 0
    settings = ContainerSettings(
        config=config,
        server_config=server_config,
        client_config=RemotingClientConfig(),
        report=Report(),
        source=root / "container.properties",
    )
    namesrv = NamesrvSettings(
        config=NamesrvConfig(
            kv_config_path=str(root / "namesrv" / "kvConfig.json"),
            config_store_path=str(root / "namesrv" / "namesrv.properties"),
        ),
        server_config=attrs.evolve(server_config),
        report=Report(),
    )
    plans = [plan_broker(broker, store) for broker, store in brokers]
    return BrokerContainer(
        settings, plans, namesrv=None if namesrv_addr else namesrv, hooks=hooks, files=files
    )
