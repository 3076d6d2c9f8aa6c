"""An add that fails, at whatever step, leaves nothing: not in the process, not on disk, not at its neighbour.

What is compared: bound ports, tasks, descriptors, mappings, the books of the container and of the process,
files on disk, and the traffic of a neighbour that is sent messages all the time.
"""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import attrs
import pytest
import trio
import trio.testing
from container_rig import (
    a_broker,
    a_client,
    add,
    address_of,
    broker_file,
    max_offset,
    remove,
    send,
    send_request,
    until,
)

from container import BrokerContainer, InnerBroker, open_container
from tests.failing_files import FailingFiles, Holdings
from tests.ports import can_bind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path


@attrs.define
class Traffic:
    """What a neighbour was sent and answered."""

    acknowledged: int = 0
    refused: int = 0
    gate: trio.Lock = attrs.field(factory=trio.Lock)
    """Who holds it looks at the process while no message is under way."""


@asynccontextmanager
async def traffic(address: str) -> AsyncIterator[Traffic]:
    """Sends to the broker at `address` one message after the other, on one connection, all the time."""
    seen = Traffic()

    async def keep_sending() -> None:
        async with a_client() as client:
            while True:
                async with seen.gate:
                    answer = await client.invoke(address, send_request("Neighbour", b"x"), 5000)
                if answer.code == 0:
                    seen.acknowledged += 1
                else:
                    seen.refused += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_sending)
        await until(lambda: seen.acknowledged)
        yield seen
        nursery.cancel_scope.cancel()


def books(container: BrokerContainer) -> object:
    """Everything that a container keeps about brokers."""
    return (
        frozenset(container._claims.owners()),
        dict(container._claims._ports),
        dict(container._claims._paths),
        [inner.identity for inner in container.get_broker_controllers()],
        [failed.identity for failed in container.failed_brokers],
        sorted(port.name for port in container.remoting_server.statistics().ports),
        dict(container.processor._brokers._asked),
    )


def files_below(root: Path) -> dict[str, bytes]:
    """Every file, by its path; without what a neighbour writes."""
    return {
        str(path.relative_to(root)): path.read_bytes() if path.stat().st_size < 1 << 16 else b""
        for path in root.rglob("*")
        if path.is_file()
    }


async def held_by_process(scene: Scene, before: Holdings | None = None) -> Holdings:
    """What the process holds at rest: when the tasks and sockets of requests that are over have gone."""
    async with scene.traffic.gate:
        for _ in range(2000):
            await trio.testing.wait_all_tasks_blocked(0.001)
            now = Holdings.now(scene.root)
            passing = any(name.endswith("._warn_of_shares") for name in now.tasks)
            if now.busy_threads == 0 and not passing and before in (None, now):
                break
        return now


class Hook:
    """A boot hook that fails once at its moment for the broker `late`."""

    name = "picky"

    def __init__(self) -> None:
        self.moment = ""

    def before_start(self, broker: InnerBroker, _properties: Mapping[str, str]) -> None:
        self._see("before", broker)

    def after_start(self, broker: InnerBroker, _properties: Mapping[str, str]) -> None:
        self._see("after", broker)

    def _see(self, moment: str, broker: InnerBroker) -> None:
        if broker.identity.name == "late" and moment == self.moment:
            self.moment = ""
            raise ValueError("not today")


@attrs.frozen
class Scene:
    container: BrokerContainer
    disk: FailingFiles
    hook: Hook
    directory: Path
    path: Path
    port: int
    traffic: Traffic

    @property
    def root(self) -> Path:
        return self.directory / "late"


@pytest.fixture(params=["a fresh directory", "a store with messages"])
async def scene(request: pytest.FixtureRequest, tmp_path: Path, free_port: int) -> AsyncIterator[Scene]:
    disk, hook = FailingFiles(), Hook()
    neighbour_configs = a_broker(tmp_path, "neighbour")
    neighbour_configs[1].mapped_file_size_commit_log = 1 << 28  # it shall not open files while we count
    neighbour_configs[1].mapped_file_size_consume_queue = 1 << 24
    neighbour_configs[1].max_index_num = 1 << 22
    path = broker_file(tmp_path, "late", free_port)
    async with open_container([neighbour_configs], directory=tmp_path, files=disk, hooks=[hook]) as container:
        (neighbour,) = container.get_broker_controllers()
        if request.param == "a store with messages":
            assert (await add(container.broker_container_addr, path)).code == 0
            for inner in container.get_broker_controllers():
                if inner.identity.name == "late":
                    assert (await send(address_of(inner), "T", b"kept")).code == 0
            assert (await remove(container.broker_container_addr, "late")).code == 0
        async with traffic(address_of(neighbour)) as seen:
            yield Scene(container, disk, hook, tmp_path, path, free_port, seen)


async def check_undone(scene: Scene, fail: Callable[[], None]) -> None:
    """Adds `late` with a failure that `fail` prepares; compares before and after; then adds it for good."""
    address = scene.container.broker_container_addr
    before = await held_by_process(scene)
    kept, written = books(scene.container), files_below(scene.root)
    sent = scene.traffic.acknowledged
    fail()
    refused = await add(address, scene.path)
    scene.disk.fails = lambda _number, _name, _path: False
    assert refused.code == 1, refused.remark
    assert books(scene.container) == kept
    assert await held_by_process(scene, before) == before
    assert files_below(scene.root) == written
    assert all(can_bind(scene.port + step) for step in (-2, 0, 1))
    assert scene.traffic.refused == 0
    assert scene.traffic.acknowledged > sent
    added = await add(address, scene.path)
    assert added.code == 0, added.remark
    assert (await send(f"127.0.0.1:{scene.port}", "T", b"again")).code == 0
    assert await max_offset(f"127.0.0.1:{scene.port}", "T") == len(written and [1]) + 1


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_hook_that_fails(scene: Scene, moment: str) -> None:
    def fail() -> None:
        scene.hook.moment = moment

    await check_undone(scene, fail)


async def test_a_port_that_another_process_has(scene: Scene) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", scene.port - 2))
        address = scene.container.broker_container_addr
        kept = books(scene.container)
        refused = await add(address, scene.path)
        assert refused.code == 1
        assert f"{scene.port - 2}" in str(refused.remark)
        assert books(scene.container) == kept
    assert (await add(address, scene.path)).code == 0


@pytest.mark.parametrize("number", [1, 2, 4, 7, 11, 16, 22, 29, 37])
async def test_a_disk_that_fails_at_any_operation(scene: Scene, number: int) -> None:
    """In `tests/broker` every single operation of a start fails; here some, with the container around."""

    def fail() -> None:
        begin = sum("/late" in path for _, path in scene.disk.operations)

        def fails(_count: int, _name: str, path: str) -> bool:
            done = sum("/late" in each for _, each in scene.disk.operations)
            return "/late" in path and done == begin + number

        scene.disk.fails = fails

    await check_undone(scene, fail)


@pytest.mark.parametrize(
    "step",
    [
        "container.inner_broker.check_writable",
        "container.broker_container.Broker",
        "broker.broker.MessageStore",
        "broker.pull_hold.PullRequestHold.run",
        "broker.schedule.ScheduleMessageService.run",
        "remoting.server.SubServer.serve",
        "container.saved_brokers.SavedBrokers.add",
    ],
)
async def test_a_step_that_fails(scene: Scene, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        monkeypatch.undo()
        raise ValueError("broken step")

    await check_undone(scene, lambda: monkeypatch.setattr(step, broken))
