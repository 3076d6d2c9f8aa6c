"""A container as its operator runs it, on real file systems that are full: one broker's trouble alone."""

from __future__ import annotations

import gzip
import json
import shutil
import statistics
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio

from tests.checked_load import Load, create_topic, open_remote, read_all
from tests.interop.container import OurContainer
from tests.interop.wire import ask
from tests.small_disks import KINDS, Filler, free_bytes, small_disk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


MIB = 1 << 20
SMALL_FILES = {
    "mappedFileSizeCommitLog": MIB,
    "mappedFileSizeConsumeQueue": 20_000,
    "maxHashSlotNum": 5000,
    "maxIndexNum": 20_000,
    "cleanResourceInterval": 500,
    "deleteCommitLogFilesInterval": 1,
}
UNKNOWN_CODE, UPDATE_CONFIG = 9999, 25


@asynccontextmanager
async def loaded(container: OurContainer) -> AsyncIterator[dict[str, Load]]:
    """A load on a topic of its own for each broker, as long as the block lasts."""
    async with open_remote(container.name_server) as remote:
        for name, broker in container.brokers.items():
            await create_topic(remote, broker.address, f"T_{name}")
        loads = {name: Load(remote, f"T_{name}", name) for name in container.brokers}
        async with trio.open_nursery() as nursery:
            for load in loads.values():
                nursery.start_soon(load.run)
            yield loads
            nursery.cancel_scope.cancel()


async def check_nothing_is_lost(container: OurContainer, loads: dict[str, Load]) -> None:
    async with open_remote(container.name_server) as remote:
        for load in loads.values():
            found = await read_all(remote, load.queue)
            lost = [number for number, offset in load.acknowledged.items() if found.get(number) != offset]
            assert not lost, f"{load!r}: {len(lost)} are not where they were acknowledged, first {lost[:5]}"


async def restart(container: OurContainer, *, kill: bool) -> None:
    if kill:
        await trio.to_thread.run_sync(container.process.kill)
    else:
        assert await trio.to_thread.run_sync(container.process.stop, 30) == 0
    await trio.to_thread.run_sync(container.start)


def status_of(container: OurContainer, name: str) -> dict[str, object]:
    return next(broker for broker in container.status()["brokers"] if broker["brokerName"] == name)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_full_disk_is_the_trouble_of_one_broker_alone(tmp_path: Path, kind: str) -> None:
    with ExitStack() as stack:
        own, shared = tmp_path / "own", tmp_path / "shared"
        own.mkdir()
        shared.mkdir()
        disk = stack.enter_context(small_disk(kind, own, 24 * MIB))
        common = stack.enter_context(small_disk(kind, shared, 64 * MIB))
        container = stack.enter_context(OurContainer(tmp_path / "home"))
        stores: dict[str, tuple[Path, dict[str, object]]] = {
            "small": (disk / "store", {"cleanFileForciblyEnable": "false"}),
            "beside": (common / "beside", {"quotaPercentForDiskPartition": 0.7}),
            "sharing": (common / "sharing", {"replicasPerDiskPartition": 2}),
        }
        for name, (store, keys) in stores.items():
            container.brokers[name] = container.broker_file(name, store=store, **SMALL_FILES, **keys)
        name_of_files(container)
        await trio.to_thread.run_sync(container.start)

        promised = "the shares of one partition add up to 1.2, which is more than all of it: "
        (warning,) = container.status()["warnings"]
        assert warning.startswith(promised)
        async with loaded(container) as loads:
            small, neighbours = loads["small"], [loads["beside"], loads["sharing"]]
            for load in loads.values():
                await load.more(200)
            quiet = [statistics.median(load.latencies()) for load in neighbours]

            filler = Filler(disk)
            await trio.to_thread.run_sync(filler.leave, 0)
            await small.until(lambda: small.refusals)
            for _ in range(2):
                for load in neighbours:
                    await load.more(100)
                await check_nothing_is_lost(container, {"small": small})
            assert set(small.refusals) == {"14"}
            assert "the broker's disk is full [CL:  1.00 CQ:  1.00 INDEX:  1.00]" in small.refused
            noisy = [statistics.median(load.latencies()) for load in neighbours]
            assert all(late < 10 * usual for late, usual in zip(noisy, quiet, strict=True)), (quiet, noisy)
            status = await trio.to_thread.run_sync(status_of, container, "small")
            assert status["state"] == "running"
            assert "messages are refused" in str(status["diskNote"])

            filler.remove()
            await small.more(20)
            await trio.to_thread.run_sync(filler.leave, 0)
            refused = small.refusals["14"]
            await small.until(lambda: small.refusals["14"] > refused)
            assert not any(load.refusals for load in neighbours), neighbours
            assert promised in container.log_text()

            await restart(container, kill=True)  # everybody is on the way to send
            for load in neighbours:
                await load.more(20)
            assert not await small.send()
            assert free_bytes(disk) < MIB
            filler.remove()
            await small.more(20)
        await check_nothing_is_lost(container, loads)
        await trio.to_thread.run_sync(filler.leave, 0)
        await restart(container, kill=False)
        await check_nothing_is_lost(container, loads)
        filler.remove()
        await restart(container, kill=False)
        await check_nothing_is_lost(container, loads)


def name_of_files(container: OurContainer) -> None:
    """Names the files of its brokers in the container's."""
    paths = ":".join(str(broker.path) for broker in container.brokers.values())
    with container.file.open("a") as file:
        file.write(f"brokerConfigPaths={paths}\n")


async def make_noise(container: OurContainer, count: int = 1) -> None:
    """Lines of each broker."""
    for _ in range(count):
        for broker in container.brokers.values():
            await trio.to_thread.run_sync(ask, broker.address, UNKNOWN_CODE)


async def update(address: str, text: str) -> None:
    answer = await trio.to_thread.run_sync(partial(ask, address, UPDATE_CONFIG, body=text.encode()))
    assert answer.code == 0, answer


def parsed_lines(root: Path, isolated: set[str]) -> list[dict[str, str]]:
    """Every line of every file, also of the old ones; fails on one that is torn or not at home."""
    found = []
    for path in [*root.rglob("*.log"), *root.rglob("*.gz")]:
        text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        home = path.relative_to(root).parts[0]
        for line in text.decode().splitlines():
            content = json.loads(line)
            if content["broker"] is not None:
                is_own = content["broker"] in isolated
                assert (home == content["broker"]) is is_own, (path, line)
            found.append(content)
    return found


async def test_a_log_disk_that_is_full_or_gone_costs_lines_and_nothing_else(tmp_path: Path) -> None:
    with ExitStack() as stack:
        disk = stack.enter_context(small_disk("tmpfs", tmp_path, 2 * MIB))
        root = disk / "logs"
        container = stack.enter_context(
            OurContainer(
                tmp_path / "home",
                ["one", "two", "three"],
                settings={"logDirectory": root, "logFormat": "json"},
                broker_keys=SMALL_FILES | {"isolateLogEnable": "true"},
            )
        )
        isolated = {broker.canonical_name for broker in container.brokers.values()}
        await trio.to_thread.run_sync(container.start)
        await update(container.address, "logLevels=rocketmq.remoting=DEBUG\nlogFileSizeBytes=4096\n")
        async with loaded(container) as loads:

            async def go_on() -> None:
                for load in loads.values():
                    await load.more(30)
                assert not any(load.refusals for load in loads.values()), loads

            while not list(root.glob("*_one_0/otherdays/remoting.3.log.gz")):
                await make_noise(container, 5)
            assert "DEBUG" in {line["level"] for line in parsed_lines(root, isolated)}

            filler = Filler(disk)
            filler.leave(0)
            while not container.status()["warnings"]:
                await make_noise(container)
            await go_on()
            # Old files go as new ones come, and what they leave has room for some lines.
            while (status := container.status())["droppedLogLines"] < 30:
                await make_noise(container)
            lost = [text for text in status["warnings"] if text.endswith("lost: No space left on device")]
            assert lost, status["warnings"]
            filler.remove()
            said = "log lines were dropped: No space left on device"
            while any(said not in path.read_text() for path in root.glob("*/remoting.log")):
                await make_noise(container)
            parsed_lines(root, isolated)

            shutil.rmtree(root)
            dropped = container.status()["droppedLogLines"]
            while len(list(root.glob("*/remoting.log"))) < 3:
                await make_noise(container)
            assert container.status()["droppedLogLines"] == dropped

            three = container.brokers["three"]
            await update(three.address, "isolateLogEnable=false\n")
            while not (root / "remoting.log").exists():
                await make_noise(container)
            await update(three.address, "isolateLogEnable=true\n")
            await go_on()
        assert await trio.to_thread.run_sync(container.process.stop, 30) == 0
        shared = (root / "remoting.log").read_text().splitlines()
        assert {json.loads(line)["broker"] for line in shared} <= {three.canonical_name, None}
        (root / "remoting.log").unlink()
        (root / "broker.log").unlink()
        parsed_lines(root, isolated)
