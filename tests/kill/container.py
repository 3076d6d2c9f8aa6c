"""A container with two brokers, one for each flush mode, with small files and settings drawn from a seed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tests.interop.cluster import REPOSITORY, our_environment, write_properties
from tests.interop.processes import ChildProcess, wait_for_port
from tests.kill.ledger import Ledger
from tests.ports import lease_broker_port, lease_port
from tests.store_reader import StoreImage, read_store

if TYPE_CHECKING:
    import random
    from pathlib import Path

__all__ = ["KilledBroker", "KilledContainer"]

_START_TIMEOUT_S = 120
_STARTED = r"The broker container boot success"
_LAUNCHER = REPOSITORY / "bin" / ".launch.py"


class KilledBroker:
    """One broker over all its lives.

    Args:
        name: Of the broker.
        directory: Gets its file and its store.
        port: Where it listens.
        flush: Its ``flushDiskType``.
        chance: Draws the other settings.
        retention: Files expire as soon as they are full.
    """

    def __init__(
        self, name: str, directory: Path, port: int, flush: str, chance: random.Random, *, retention: bool
    ) -> None:
        self.port = port
        self.root = directory / name
        self.ledger = Ledger()
        self.delays = not retention
        self.settings: dict[str, object] = {
            "brokerClusterName": "KillCluster",
            "brokerName": name,
            "brokerId": 0,
            "brokerIP1": "127.0.0.1",
            "listenPort": port,
            "storePathRootDir": self.root,
            "flushDiskType": flush,
            "mappedFileSizeCommitLog": chance.choice((16 << 10, 64 << 10, 256 << 10)),
            "mappedFileSizeConsumeQueue": chance.choice((200, 1000, 8000, 20_000)),
            "maxHashSlotNum": chance.choice((10, 100, 1000)),
            "maxIndexNum": chance.choice((200, 1000, 5000)),
            "flushIntervalCommitLog": chance.choice((5, 100, 500)),
            "flushIntervalConsumeQueue": chance.choice((2, 50, 1000)),
            "flushConsumeQueueThoroughInterval": chance.choice((10, 200, 60_000)),
            "flushConsumerOffsetInterval": chance.choice((10, 200, 5000)),
            "flushDelayOffsetInterval": chance.choice((10, 1000)),
            "messageDelayLevel": "1s 5s",
            "diskMaxUsedSpaceRatio": 100,
            "hotTailBytes": chance.choice((0, 64 << 10, 256 << 20)),
        }
        if retention:
            self.settings |= {
                "fileReservedTime": 0,
                "deleteWhen": ";".join(f"{hour:02d}" for hour in range(24)),
                "cleanResourceInterval": chance.choice((20, 300)),
                "deleteCommitLogFilesInterval": 0,
            }

    def image(self) -> StoreImage:
        """What lies on disk."""
        return read_store(
            self.root,
            slots=int(str(self.settings["maxHashSlotNum"])),
            index_entries=int(str(self.settings["maxIndexNum"])),
        )


class KilledContainer:
    """One container over all its lives.

    Args:
        directory: Empty; gets everything.
        chance: Draws the settings.
    """

    def __init__(self, directory: Path, chance: random.Random) -> None:
        self._directory = directory
        retention = chance.random() < 0.25
        self.brokers = [
            KilledBroker(
                f"broker-{flush.split('_')[0].lower()}", directory, lease_broker_port(), flush,
                chance, retention=retention,
            )
            for flush in ("ASYNC_FLUSH", "SYNC_FLUSH")
        ]  # fmt: skip
        files = [
            write_properties(directory / f"{broker.root.name}.conf", broker.settings)
            for broker in self.brokers
        ]
        self._file = write_properties(
            directory / "container.conf",
            {
                "listenPort": lease_port(-2),
                "brokerConfigPaths": ":".join(map(str, files)),
                "isolateLogEnable": "true",
            },
        )
        self.lives = 0

    def start(self) -> ChildProcess:
        """A new life; its output goes to ``container-<life>.log``."""
        self.lives += 1
        return ChildProcess(
            f"container-{self.lives}",
            [sys.executable, "-P", str(_LAUNCHER), "mqbrokercontainer", "-c", str(self._file)],
            log_dir=self._directory,
            env=our_environment(self._directory / "home"),
        )

    def wait_until_ready(self, process: ChildProcess) -> None:
        """Blocks until every broker takes connections.

        Raises:
            ProcessError: the container ended, or did not come up.
        """
        process.wait_for_line(_STARTED, _START_TIMEOUT_S)
        for broker in self.brokers:
            wait_for_port(broker.port, _START_TIMEOUT_S, process=process)
