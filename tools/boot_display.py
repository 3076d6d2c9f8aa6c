"""What a start looks like from outside: lines on stdout, a bar and log lines for a long recovery."""

from __future__ import annotations

import logging
import sys
import threading
import time
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from remoting.config import serialize_type_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from container import InnerBroker
    from logs import BrokerIdentity
    from remoting.config import RemotingServerConfig

__all__ = ["BootDisplay", "boot_success"]


_SHOW_AFTER_S = 1.0
_LOG_EVERY_S = 5.0

log = logging.getLogger("rocketmq.store")


def boot_success(server: RemotingServerConfig) -> str:
    """RocketMQ's words; scripts wait for them."""
    return f"boot success. serializeType={serialize_type_of(server).name}"


class BootDisplay:
    """A boot hook that shows each broker on its way.

    A recovery is worth showing when it takes longer than a second: on a terminal as a bar for each broker
    that goes when it serves, and always as a line in its log every five seconds.
    """

    name = "boot display"

    def __init__(self, server: RemotingServerConfig) -> None:
        self._success = boot_success(server)
        self._mutex = threading.Lock()
        self._began: dict[BrokerIdentity, float] = {}
        self._logged: dict[BrokerIdentity, float] = {}
        self._bars: dict[BrokerIdentity, TaskID] = {}
        self._progress: Progress | None = None

    def before_start(self, broker: InnerBroker, _properties: Mapping[str, str]) -> None:
        if broker.plan.source is not None:
            click.echo(f"Start broker from config file path {broker.plan.source}")

    def recovering(self, broker: InnerBroker, done_bytes: int, total_bytes: int) -> None:
        now = time.monotonic()
        with self._mutex:
            began = self._began.setdefault(broker.identity, now)
            if now - self._logged.setdefault(broker.identity, began) > _LOG_EVERY_S:
                self._logged[broker.identity] = now
                log.info("recovering: %d of %d MiB", done_bytes >> 20, total_bytes >> 20)
            if now - began > _SHOW_AFTER_S and sys.stderr.isatty():
                self._show(broker, done_bytes, total_bytes)

    def _show(self, broker: InnerBroker, done_bytes: int, total_bytes: int) -> None:
        if self._progress is None:
            columns = (
                TextColumn("recovering {task.description}"),
                BarColumn(),
                DownloadColumn(binary_units=True),
                TimeRemainingColumn(),
            )
            self._progress = Progress(*columns, console=Console(stderr=True), transient=True)
            self._progress.start()
        bar = self._bars.get(broker.identity)
        if bar is None:
            bar = self._bars[broker.identity] = self._progress.add_task(broker.identity.name)
        self._progress.update(bar, completed=done_bytes, total=total_bytes)

    def after_start(self, broker: InnerBroker, _properties: Mapping[str, str]) -> None:
        identity = broker.identity
        with self._mutex:
            bar = self._bars.pop(identity, None)
            if self._progress is not None and bar is not None:
                self._progress.remove_task(bar)
        click.echo(f"Broker [{identity.name}-{identity.broker_id}] {self._success}")

    def close(self) -> None:
        """Takes the bars away; call when the start is over, however it went."""
        with self._mutex:
            if self._progress is not None:
                self._progress.stop()
                self._progress = None
            self._bars.clear()
