"""The container of `benchmarks.neighbours`: a broker that is measured and one that dies and comes back.

Told what to do by lines on standard input, and answers with lines:

    prepared …              both brokers run, the victim has its big store
    torment → died, back …  again and again: the victim's disk fails and it recovers with restartFailedBrokers
    calm    → calm          the victim is back and is left in peace

It ends with its standard input.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import trio

from container import BrokerContainerConfig, BrokerState, open_container
from container.open_container import light_broker
from remoting.client import RemotingClient
from remoting.command import RemotingCommand
from remoting.config import RemotingClientConfig
from remoting.errors import RemotingError
from remoting.protocol.request_code import RequestCode
from store import OsFileSystem, StoreIOError
from tools.broker_garbage import BrokerGarbage
from tools.process import settle_garbage, tune_interpreter

if TYPE_CHECKING:
    from container import BrokerContainer, InnerBroker
    from store import StoreFile

MEASURED, VICTIM = "measured", "victim"
_LIFE_S = 0.2  # between a recovery and the next death
_BODY = bytes(1024)
_DEADLY_BODY = bytes(64 << 10)  # enough dirty pages for the next flush, which comes twice a second
_FILL_BATCH = 200


class MortalFiles(OsFileSystem):
    """The operating system's files; the device below one directory takes nothing more while told so.

    As in Linux a write still reaches the page cache, and the error comes with the next fdatasync.
    """

    def __init__(self, directory: Path) -> None:
        self._below = f"{directory}/"
        self.failing = threading.Event()

    def open(self, path: str, *, create: bool = False, writable: bool = True) -> StoreFile:
        file = super().open(path, create=create, writable=writable)
        return _MortalFile(file, self.failing) if path.startswith(self._below) else file


class _MortalFile:
    def __init__(self, file: StoreFile, failing: threading.Event) -> None:
        self._file = file
        self._failing = failing
        self.path = file.path

    def fdatasync(self) -> None:
        if self._failing.is_set():
            raise StoreIOError(OSError(errno.EIO, os.strerror(errno.EIO)), "fdatasync", self.path)
        self._file.fdatasync()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


async def send(address: str, body: bytes) -> RemotingCommand:
    """One message to topic `Torment`, which the broker creates.

    Raises:
        RemotingError: no answer.
    """
    fields = {
        "producerGroup": "torment",
        "topic": "Torment",
        "defaultTopic": "TBW102",
        "defaultTopicQueueNums": "4",
        "queueId": "0",
        "sysFlag": "0",
        "bornTimestamp": str(int(time.time() * 1000)),
        "flag": "0",
        "properties": "",
        "reconsumeTimes": "0",
        "unitMode": "false",
        "batch": "false",
    }
    async with RemotingClient(RemotingClientConfig()) as client:
        return await client.invoke(
            address, RemotingCommand.request(RequestCode.SEND_MESSAGE, fields, body), 5000
        )


async def fill(address: str, size_bytes: int) -> None:
    """Puts 1 KiB messages into the broker until its log has about that size."""
    fields = {
        "a": "filler",
        "b": "Torment",
        "c": "TBW102",
        "d": "4",
        "e": "0",
        "f": "0",
        "g": "1700000000000",
        "h": "0",
        "i": "",
        "j": "0",
        "k": "false",
        "l": "16",
        "m": "true",
    }
    # A message of a batch: total size, magic, body CRC, flag, body length, body, properties length.
    one = b"".join(
        (
            (22 + len(_BODY)).to_bytes(4, "big"),
            bytes(12),
            len(_BODY).to_bytes(4, "big"),
            _BODY,
            bytes(2),
        )
    )
    batch = one * _FILL_BATCH
    count = size_bytes // (_FILL_BATCH * (len(_BODY) + 110))
    async with RemotingClient(RemotingClientConfig()) as client:
        for _ in range(count):
            answer = await client.invoke(
                address, RemotingCommand.request(RequestCode.SEND_BATCH_MESSAGE, fields, batch), 5000
            )
            if answer.code != 0:
                raise click.ClickException(f"filling: {answer.code} {answer.remark}")


def inner(container: BrokerContainer, name: str) -> InnerBroker | None:
    found = (each for each in container.get_broker_controllers() if each.identity.name == name)
    return next(found, None)


def address_of(inner: InnerBroker) -> str:
    if inner.broker is None:
        raise click.ClickException(f"{inner!r} does not run: {inner.reason}")
    return inner.broker.address


async def running(container: BrokerContainer, name: str) -> InnerBroker:
    """Returns the broker when it runs."""
    while True:
        found = inner(container, name)
        if found is not None:
            await found.wait_settled()
            if found.state is BrokerState.RUNNING:
                return found
        await trio.sleep(0.005)


async def torment(container: BrokerContainer, files: MortalFiles) -> None:
    """Lets the victim die and come back until cancelled."""
    while True:
        victim = await running(container, VICTIM)
        await trio.sleep(_LIFE_S)
        files.failing.set()
        with contextlib.suppress(RemotingError):  # it may die before it can answer
            await send(address_of(victim), _DEADLY_BODY)
        await victim.wait_closed()
        files.failing.clear()
        died = time.perf_counter()
        print(f"died {victim.state.value}", flush=True)
        await running(container, VICTIM)
        print(f"back {time.perf_counter() - died:.3f}", flush=True)


async def main_loop(directory: Path, size_bytes: int, file_bytes: int) -> None:
    files = MortalFiles(directory / VICTIM)
    victim = light_broker(VICTIM, directory)
    for size, key in (
        (file_bytes, "mapped_file_size_commit_log"),
        (6_000_000, "mapped_file_size_consume_queue"),
        (5_000_000, "max_hash_slot_num"),
        (20_000_000, "max_index_num"),
    ):
        setattr(victim[1], key, size)
    config = BrokerContainerConfig(
        restart_failed_brokers=True, restart_backoff_millis=10, restart_backoff_max_millis=10
    )
    async with open_container(
        [MEASURED, victim], directory=directory, config=config, files=files, hooks=[BrokerGarbage()]
    ) as container:
        measured = await running(container, MEASURED)
        found = await running(container, VICTIM)
        await fill(address_of(found), size_bytes)
        settle_garbage()
        print(f"prepared {address_of(measured)}", flush=True)
        scope: trio.CancelScope | None = None
        async with trio.open_nursery() as nursery:
            while line := await trio.to_thread.run_sync(sys.stdin.readline):
                if line == "torment\n":
                    scope = trio.CancelScope()
                    nursery.start_soon(_within, scope, partial(torment, container, files))
                elif line == "calm\n" and scope is not None:
                    scope.cancel()
                    files.failing.clear()
                    await running(container, VICTIM)
                    print("calm", flush=True)
            nursery.cancel_scope.cancel()


async def _within(scope: trio.CancelScope, run: Any) -> None:
    with scope:
        await run()


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--size", default=512, help="MiB of the victim's commit log.")
@click.option("--file-size", default=1024, help="MiB of one of its files.")
@click.option("--switch-interval", type=float, help="Milliseconds, see sys.setswitchinterval.")
def main(directory: Path, size: int, file_size: int, switch_interval: float | None) -> None:
    tune_interpreter()
    logging.getLogger("rocketmq").addHandler(logging.NullHandler())
    if switch_interval is not None:
        sys.setswitchinterval(switch_interval / 1000)
    trio.run(main_loop, directory, size << 20, file_size << 20)


if __name__ == "__main__":
    main()
