"""Clients in other languages: the test programs of go/, node/ and cpp/, which share one command line."""

from __future__ import annotations

import itertools
import json
import os
import re
from typing import TYPE_CHECKING, Any

import attrs

from tests.interop.processes import ChildProcess, ProcessError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

__all__ = ["ForeignClient", "ForeignConsumer"]

_START_TIMEOUT_S = 30


def events_of(process: ChildProcess, kind: str) -> list[dict[str, Any]]:
    """What the program reported of this kind so far."""
    events = [json.loads(match) for match in re.findall(r"^event (\{.*\})$", process.text(), re.MULTILINE)]
    return [event for event in events if event["event"] == kind]


@attrs.define
class ForeignConsumer:
    """A push consumer that runs; the end of the `with` block is its orderly end."""

    process: ChildProcess

    def __enter__(self) -> ForeignConsumer:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def received(self, count: int, timeout_s: float) -> list[dict[str, Any]]:
        """All messages so far, as soon as there are `count`, or after the time whatever there is."""
        try:
            self.process.wait_for_count('^event .*"received"', count, timeout_s)
        except ProcessError:
            assert self.process.running, self.process.tail()
        return events_of(self.process, "received")

    def close(self) -> None:
        """Lets the client commit and unregister, then ends it."""
        try:
            self.process.end_input()
            self.process.wait(_START_TIMEOUT_S)
        finally:
            self.process.stop()


@attrs.define
class ForeignClient:
    """One client library.

    Args:
        command: How its test program is started.
        name_server: `host:port` of the cluster.
        new_home: Gives each start a HOME of its own.
    """

    command: Sequence[str]
    name_server: str
    new_home: Callable[[str], Path]
    _names: itertools.count[int] = attrs.field(factory=itertools.count, init=False)

    def _start(self, *arguments: str) -> ChildProcess:
        home = self.new_home(arguments[0])
        return ChildProcess(
            f"foreign-{arguments[0]}-{next(self._names)}",
            [*self.command, arguments[0], self.name_server, *arguments[1:]],
            log_dir=home,
            env=dict(os.environ) | {"HOME": str(home)},
            cwd=home,
            stdin=True,
        )

    def send(self, topic: str, group: str, count: int, tag: str, how: str = "send") -> list[dict[str, Any]]:
        """Sends bodies m0, m1, … with keys key0, key1, …; returns the results."""
        with self._start(how, topic, group, str(count), tag) as process:
            code = process.wait(60)
            assert code == 0, process.tail()
            return events_of(process, "sent")

    def consume(self, topic: str, group: str, expression: str = "*", failures: int = 0) -> ForeignConsumer:
        """Starts a push consumer that fails the first `failures` deliveries of each message."""
        process = self._start("consume", topic, group, expression, str(failures))
        try:
            process.wait_for_line('^event .*"ready"', _START_TIMEOUT_S)
        except ProcessError:
            process.stop()
            raise
        return ForeignConsumer(process)
