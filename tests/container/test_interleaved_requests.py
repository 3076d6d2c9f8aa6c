"""Adds, removals, failures and restarts in any order and at the same time: the books agree in the end.

A seed makes the whole plan of what is asked when; the timing of disks and threads does the rest.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from container_rig import add, ask, broker_file, remove, send, until
from test_saved_brokers import container_file, started

from container import BrokerState
from container.broker_files import broker_paths
from remoting.protocol.container_body import ContainerStatus
from remoting.protocol.request_code import RequestCode
from remoting.protocol.response_code import ResponseCode
from tests.failing_files import FailingFiles, Holdings, as_files

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from container import BrokerContainer

REQUESTS = 90
SIDE_BY_SIDE = 5
NAMES = ("a", "b", "c")


class Storm:
    """Asks one container for random things."""

    def __init__(
        self,
        seed: int,
        container: BrokerContainer,
        disk: FailingFiles,
        directory: Path,
        ports: Sequence[int],
    ) -> None:
        self.random = random.Random(seed)
        self.container = container
        self.disk = disk
        self.ill = ""
        """Name of the broker whose disk fails now."""
        disk.fails = lambda _number, _name, path: bool(self.ill) and f"/{self.ill}/" in path
        *own_ports, twin_port = ports
        self.files = [broker_file(directory, name, port) for name, port in zip(NAMES, own_ports, strict=True)]
        twin = broker_file(directory, "twin", twin_port, brokerName="a", storePathRootDir=directory / "a")
        self.files.append(twin)
        """A second file about the broker `a`."""
        self.texts = {path: path.read_text() for path in self.files}

    @property
    def address(self) -> str | None:
        return self.container.broker_container_addr

    def some(self) -> Path:
        return self.random.choice(self.files)

    async def add(self) -> None:
        answer = await add(self.address, self.some())
        assert answer.code in (ResponseCode.SUCCESS, ResponseCode.SYSTEM_ERROR)
        assert "Error" not in str(answer.remark).replace("Input/output error", ""), answer.remark

    async def remove(self) -> None:
        answer = await remove(self.address, self.random.choice(NAMES))
        allowed = (ResponseCode.SUCCESS, ResponseCode.BROKER_NOT_EXIST, ResponseCode.SYSTEM_ERROR)
        assert answer.code in allowed
        assert answer.code != ResponseCode.SYSTEM_ERROR or "still stopping" in str(answer.remark)

    async def update(self) -> None:
        restart = self.random.choice(["true", "false"])
        patience = self.random.choice([1, 30, 2000, 2000])
        body = f"restartFailedBrokers={restart}\naddBrokerAnswerMillis={patience}\n"
        body += f"removeBrokerTimeoutMillis={self.random.choice([100, 5000])}\n"
        answer = await ask(self.address, RequestCode.UPDATE_BROKER_CONFIG, body.encode())
        assert answer.code == ResponseCode.SUCCESS

    async def look(self) -> None:
        assert (await ask(self.address, RequestCode.GET_BROKER_CONFIG)).code == ResponseCode.SUCCESS
        answer = await ask(self.address, RequestCode.GET_CONTAINER_STATUS)
        assert answer.code == ResponseCode.SUCCESS

    async def fall_ill(self) -> None:
        """The disk of one broker fails for a moment, whatever it does."""
        self.ill = self.random.choice(NAMES)
        await trio.sleep(0.01)
        self.ill = ""

    async def die(self) -> None:
        """A service of a broker that serves raises at its next look around."""
        brokers = [one.broker for one in self.container.get_broker_controllers() if one.broker is not None]
        if brokers and (context := self.random.choice(brokers).context) is not None:
            vars(context.consumers)["flush_notifications"] = lambda: 1 / 0

    async def edit(self) -> None:
        """A broker's file is wrong for a moment, or not there."""
        path = self.some()
        if self.random.random() < 0.5:
            replace_text(path, "flushDiskType=SOMETIMES\n")
        else:
            path.unlink(missing_ok=True)
        await trio.sleep(0.01)
        replace_text(path, self.texts[path])

    def next_action(self) -> Callable[[], Awaitable[None]]:
        kinds = [self.add, self.remove, self.update, self.look, self.fall_ill, self.die, self.edit]
        return self.random.choices(kinds, weights=[8, 3, 1, 1, 1, 2, 1])[0]

    async def rage(self) -> None:
        limiter = trio.CapacityLimiter(SIDE_BY_SIDE)

        async def one(action: Callable[[], Awaitable[None]]) -> None:
            async with limiter:
                await action()

        async with trio.open_nursery() as nursery:
            for _ in range(REQUESTS):
                nursery.start_soon(one, self.next_action())
                await trio.sleep(self.random.choice([0, 0, 0.01, 0.03]))

    async def settle(self) -> None:
        """Until nothing is on its way any more."""
        self.ill = ""
        body = b"restartFailedBrokers=false\naddBrokerAnswerMillis=10000\nremoveBrokerTimeoutMillis=10000\n"
        await ask(self.address, RequestCode.UPDATE_BROKER_CONFIG, body)
        brokers = self.container.get_broker_controllers
        dying = [
            one
            for one in brokers()
            if one.broker is not None
            and one.broker.context is not None
            and "flush_notifications" in vars(one.broker.context.consumers)
        ]
        for inner in dying:
            await inner.wait_closed()
        await until(lambda: all(one.state is BrokerState.RUNNING for one in brokers()))


def replace_text(path: Path, text: str) -> None:
    """Nobody sees half a file: what a broker's file does not say has a default."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def listed_files(file: Path) -> list[Path]:
    text = next(line for line in file.read_text().splitlines() if line.startswith("brokerConfigPaths="))
    return broker_paths(text.partition("=")[2], file.parent)


async def check_books(storm: Storm, file: Path, own_ports: set[str]) -> None:
    """Everything that knows the brokers of the container knows the same ones."""
    container = storm.container
    brokers = container.get_broker_controllers()
    names = {inner.identity.canonical_name for inner in brokers}
    failed = container.failed_brokers
    assert set(container._claims.owners()) - {"container"} == names
    assert {held.owner for held in container._claims._ports.values()} - {"container"} == names
    assert {held.owner for held in container._claims._paths.values()} == names
    assert not names & {one.identity.canonical_name for one in failed}
    assert len({one.identity for one in failed}) == len(failed)
    assert all(one.retry_at is None for one in failed)
    ports = {port.name for port in container.remoting_server.statistics().ports}
    assert ports - own_ports == names | {f"{name}-fast" for name in names}
    assert all(asked.inner.settled for asked in container.processor._brokers._asked.values())
    listed = listed_files(file)
    known = [inner.plan.source for inner in brokers] + [one.inner.plan.source for one in failed]
    assert sorted(map(str, listed)) == sorted(map(str, known))
    status = ContainerStatus.decode((await ask(storm.address, RequestCode.GET_CONTAINER_STATUS)).body)
    assert len(status.brokers) == len(known)
    assert all(one.saved for one in status.brokers)
    for inner in brokers:
        assert inner.broker is not None
        assert (await send(inner.broker.address, "T", b"hello")).code == ResponseCode.SUCCESS


async def holdings(root: Path, before: Holdings | None = None) -> Holdings:
    """At rest: when what is over has gone."""
    now = Holdings.now(root)
    for _ in range(2000):
        await trio.testing.wait_all_tasks_blocked(0.001)
        now = Holdings.now(root)
        if now.busy_threads == 0 and before in (None, now):
            break
    return now


@pytest.mark.parametrize("seed", range(int(__import__("os").environ.get("SEEDS", "6"))))
async def test_whatever_is_asked_at_the_same_time_the_books_agree(
    tmp_path: Path, free_ports: list[int], monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr("broker.broker.SAMPLE_INTERVAL_S", 0.005)
    disk = FailingFiles()
    file = container_file(
        tmp_path, "brokerConfigPaths=\nrestartBackoffMillis=10\nrestartBackoffMaxMillis=40\n"
    )
    async with started(file, files=as_files(disk)) as container:
        own_ports = {port.name for port in container.remoting_server.statistics().ports}
        storm = Storm(seed, container, disk, tmp_path, free_ports[:4])
        await storm.look()
        before = await holdings(tmp_path)
        await storm.rage()
        await storm.settle()
        await check_books(storm, file, own_ports)
        for path in storm.files[:-1]:  # whatever happened to it, it can be added
            added = await add(storm.address, path)
            if str(added.remark).startswith("Failed to initialize"):  # an earlier start, nobody had heard how
                added = await add(storm.address, path)
            assert added.code == 0 or "has already been added" in str(added.remark), added.remark
        await check_books(storm, file, own_ports)
        for name in NAMES:
            assert (await remove(storm.address, name)).code in (0, ResponseCode.BROKER_NOT_EXIST)
        await check_books(storm, file, own_ports)
        assert container.get_broker_controllers() == container.failed_brokers == []
        assert await holdings(tmp_path, before) == before
