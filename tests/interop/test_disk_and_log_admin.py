"""Disk shares, cleaning and logs of a container under the hands of Java's `mqadmin` 5.5.0."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import attrs
import pytest
import trio

from tests.checked_load import Load, create_topic, open_remote, read_all
from tests.interop.cluster import write_properties
from tests.interop.container import OurContainer, read_properties
from tests.interop.java import Driver
from tests.interop.wire import ask
from tests.small_disks import small_disk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Any

    from tests.interop.peers import JavaPeer

MIB = 1 << 20
WAIT_S = 40
SMALL_FILES = {
    "mappedFileSizeCommitLog": MIB,
    "mappedFileSizeConsumeQueue": 20_000,
    "maxHashSlotNum": 5000,
    "maxIndexNum": 20_000,
    "cleanResourceInterval": 200,
    "deleteCommitLogFilesInterval": 1,
}
NOT_NOW = (time.localtime().tm_hour + 12) % 24
"""An hour at which nothing is deleted while the tests run."""


@pytest.fixture(scope="module", autouse=True)
def _ours_only(system_under_test: str) -> None:
    if system_under_test != "ours":
        pytest.skip("these are tests of our container")


@attrs.define
class Scene:
    """A container with one broker on a small disk, and Java's admin tool."""

    container: OurContainer
    java: Driver

    @property
    def address(self) -> str:
        return self.container.brokers["small"].address

    @property
    def store(self) -> Path:
        return self.container.brokers["small"].store

    def set(self, address: str, key: str, value: object) -> None:
        """Java's `updateBrokerConfig`."""
        printed = self.java.admin("updateBrokerConfig", "-b", address, "-k", key, "-v", str(value))
        assert printed.split("\n")[-1] == f"update broker config success, {address}", printed

    def status(self) -> dict[str, Any]:
        (broker,) = self.container.status()["brokers"]
        found: dict[str, Any] = broker
        return found

    def log_files(self) -> list[str]:
        return sorted(path.name for path in (self.store / "commitlog").iterdir())

    def fill(self, topic: str, size: int) -> dict[int, int]:
        """Sends about `size` bytes to a topic of one queue; returns number to offset."""
        return trio.run(self._fill, topic, size)

    async def _fill(self, topic: str, size: int) -> dict[int, int]:
        async with open_remote(self.container.name_server) as remote:
            await create_topic(remote, self.address, topic)
            load = Load(remote, topic, "small", size_bytes=64_000)
            for _ in range(size // 64_000):
                assert await load.send(), load
            return load.acknowledged

    def read(self, topic: str) -> dict[int, int]:
        """Number to offset of what a topic still has."""
        return trio.run(self._read, topic)

    async def _read(self, topic: str) -> dict[int, int]:
        async with open_remote(self.container.name_server) as remote:
            return await read_all(remote, Load(remote, topic, "small").queue)


@pytest.fixture
def scene(java_peer: JavaPeer, new_home: Callable[[str], Path]) -> Iterator[Scene]:
    home = new_home("small-disk")
    with ExitStack() as stack:
        disk = stack.enter_context(small_disk("ext4", home, 64 * MIB))
        container = stack.enter_context(OurContainer(home / "container"))
        keys = {"deleteWhen": f"{NOT_NOW:02}", "diskMaxUsedSpaceRatio": 75, "store": disk / "store"}
        broker = container.broker_file("small", **SMALL_FILES, **keys)
        container.brokers["small"] = broker
        settings = read_properties(container.file) | {"brokerConfigPaths": str(broker.path)}
        write_properties(container.file, settings | {"logFormat": "json", "logLevel": "ERROR"})
        container.start()
        java = Driver(java_peer, home=new_home("admin"), name_server=container.name_server)
        stack.callback(java.close)
        yield Scene(container, java)


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.02)


def test_a_share_that_would_delete_waits_for_a_word_by_request_and_by_file(scene: Scene) -> None:
    container, broker = scene.container, scene.container.brokers["small"]
    sent = scene.fill("Shared", 20 * MIB)
    files = scene.log_files()

    scene.set(scene.address, "quotaPercentForDiskPartition", 0.25)
    until(lambda: "quotaPurgeConfirmed=true" in scene.status().get("diskNote", ""), "it asks")
    note = scene.status()["diskNote"]
    assert "a share of 0.25 would delete about" in note
    assert set(scene.log_files()) >= set(files)
    assert scene.read("Shared") == sent
    scene.set(scene.address, "quotaPurgeConfirmed", "true")
    until(lambda: scene.status()["usedBytes"] <= 0.8 * scene.status()["quotaBytes"], "it deletes")
    assert "diskNote" not in scene.status()
    left = scene.read("Shared")
    assert 0 < len(left) < len(sent)
    assert left == dict(list(sent.items())[-len(left) :]), "the oldest went, the others are where they were"

    # By the file: the word of before is not good for the next share.
    properties = read_properties(broker.path)
    assert properties["quotaPurgeConfirmed"] == "true"
    for confirmed, share in (("true", "0.1"), ("false", "0.1")):
        changed = {"quotaPercentForDiskPartition": share, "quotaPurgeConfirmed": confirmed}
        restart_with(container, properties | changed)
        until(lambda: "a share of 0.1 would" in scene.status().get("diskNote", ""), "it asks again")
        assert scene.read("Shared") == left
    restart_with(container, properties | {"quotaPercentForDiskPartition": "0.1"})
    until(lambda: scene.status()["usedBytes"] <= 0.8 * scene.status()["quotaBytes"], "it deletes")
    least = scene.read("Shared")
    assert least == dict(list(sent.items())[-len(least) :])


def restart_with(container: OurContainer, properties: dict[str, str]) -> None:
    assert container.process.stop(30) == 0
    write_properties(container.brokers["small"].path, properties)
    container.start()


def test_java_s_cleaning_commands_do_what_they_say(scene: Scene) -> None:
    scene.fill("Early", MIB)
    scene.fill("Late", 5 * MIB)
    early = scene.store / "consumequeue" / "Early"
    until(early.exists, "the queue is written")
    files = scene.log_files()
    scene.set(scene.address, "fileReservedTime", 0)
    assert scene.log_files() == files, "it is not the hour"
    assert scene.java.admin("deleteExpiredCommitLog", "-b", scene.address).split("\n")[-1] == "success"
    last = [max(files)]
    until(lambda: scene.log_files() == last, "all but the last are gone")
    late = scene.read("Late")
    assert list(late)[-1] == 5 * MIB // 64_000 - 1

    assert early.exists()
    assert scene.java.admin("cleanExpiredCQ", "-b", scene.address).split("\n")[-1] == "success"
    assert not early.exists()
    assert scene.read("Late") == late


def test_levels_and_rotation_change_at_once_by_java_s_mqadmin(scene: Scene) -> None:
    container = scene.container
    log = container.home / "logs" / "rocketmqlogs" / "remoting.log"
    ask(scene.address, 9999)
    assert not log.exists()
    scene.set(container.address, "logLevels", "rocketmq.remoting=DEBUG;rocketmq.store=WARN")
    scene.set(container.address, "logFileSizeBytes", 4096)
    scene.set(container.address, "logOldFiles", 2)

    def is_rotated() -> bool:
        for _ in range(20):
            ask(scene.address, 9999)
        return (log.parent / "otherdays" / "remoting.2.log.gz").exists()

    until(is_rotated, "old files are compressed")
    refused = scene.java.admin("updateBrokerConfig", "-b", container.address, "-k", "logLevels", "-v", "x=y")
    assert "is not a list of logger=level" in refused
    assert read_properties(container.file)["logLevels"] == "rocketmq.remoting=DEBUG;rocketmq.store=WARN"
    assert "DEBUG" in {json.loads(line)["level"] for line in log.read_text().splitlines()}
