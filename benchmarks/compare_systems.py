"""What `benchmarks.compare` sets side by side: ours, ours compiled, Java's broker, and NATS.

All of them run for the whole comparison, but only one at a time has the machine: the processes of the others
are stopped (SIGSTOP), because an idle JVM still takes a tenth of a core.
"""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import attrs
import psutil

from benchmarks.compare_bars import COMPILED, JAVA, NATS, OURS
from tests.interop.cluster import JavaCluster, OurCluster
from tests.interop.peers import PeerUnavailableError, java, nats
from tests.interop.processes import ChildProcess, ProcessError, wait_for_port
from tests.interop.wire import Answer, ask_raw, connected, wait_until_registered
from tests.ports import lease_port

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from benchmarks.interpreter import Interpreter
    from tests.interop.cluster import Cluster

__all__ = ["FAULTS", "QUEUES", "RocketMq", "System", "awake", "request", "started"]

FAULTS = (ProcessError, PeerUnavailableError, OSError, psutil.Error)
"""What a system or its client may raise that fails. The others go on."""

QUEUES = 4  # of each topic, as Java's producer would have it
_COMMIT_LOG_BYTES = 1 << 30
_HEAP = ("-Xms1g", "-Xmx1g")
_SEND_FAILED = "Send Exception"  # how Java's benchmark programs log it
_START_TIMEOUT_S = 60
_ASK_TIMEOUT_S = 30
_UPDATE_CONSUMER_OFFSET, _UPDATE_AND_CREATE_TOPIC, _GET_MAX_OFFSET = 15, 17, 30
_UPDATE_AND_CREATE_SUBSCRIPTIONGROUP = 200


@attrs.frozen
class System:
    """One of them, running.

    Attributes:
        home: Its directory: stores, logs, and the `user.home` of its Java clients.
        server: The process whose CPU and memory count.
        processes: All that it needs.
        address: `host:port` of the server.
    """

    name: str
    home: Path
    server: ChildProcess
    processes: list[ChildProcess]
    address: str

    def cpu_seconds(self) -> float:
        return self.server.cpu_seconds()

    def failed_sends(self) -> int:
        """Of all clients so far; a client of NATS ends when one fails."""
        return 0


@attrs.frozen
class RocketMq(System):
    """A broker with its name server."""

    name_server: str
    broker_name: str

    def create_topic(self, topic: str) -> None:
        """Makes a topic with four queues, or leaves the one that is there.

        Raises:
            ProcessError: Refused.
        """
        fields = {
            "topic": topic,
            "defaultTopic": "TBW102",
            "readQueueNums": str(QUEUES),
            "writeQueueNums": str(QUEUES),
            "perm": "6",
            "topicFilterType": "SINGLE_TAG",
            "topicSysFlag": "0",
            "order": "false",
        }
        with connected(self.address, timeout_s=_ASK_TIMEOUT_S) as connection:
            request(connection, _UPDATE_AND_CREATE_TOPIC, fields)

    def create_group(self, group: str, topic: str) -> None:
        """Makes a consumer group that stands at the beginning of the topic's queues.

        Raises:
            ProcessError: Refused.
        """
        settings = {"groupName": group, "consumeEnable": True, "retryQueueNums": 1, "retryMaxTimes": 16}
        with connected(self.address, timeout_s=_ASK_TIMEOUT_S) as connection:
            request(connection, _UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, {}, json.dumps(settings).encode())
            for queue in range(QUEUES):
                fields = {"consumerGroup": group, "topic": topic, "queueId": str(queue), "commitOffset": "0"}
                request(connection, _UPDATE_CONSUMER_OFFSET, fields)

    def stored(self, topic: str) -> int:
        """Messages that the topic's queues got so far."""
        with connected(self.address, timeout_s=_ASK_TIMEOUT_S) as connection:
            answers = [
                request(connection, _GET_MAX_OFFSET, {"topic": topic, "queueId": str(queue)})
                for queue in range(QUEUES)
            ]
        return sum(int(answer.header["extFields"]["offset"]) for answer in answers)

    def failed_sends(self) -> int:
        logs = (self.home / "client" / "logs" / "rocketmqlogs").glob("*.log")
        return sum(log.read_text("utf-8", "replace").count(_SEND_FAILED) for log in logs)


def request(
    connection: socket.socket,
    code: int,
    fields: Mapping[str, str],
    body: bytes = b"",
    *,
    allowed: tuple[int, ...] = (0,),
) -> Answer:
    """One request and its answer.

    Raises:
        ProcessError: An answer with another code than those allowed.
        OSError: The connection broke or kept silent.
    """
    header = {"code": code, "language": "JAVA", "version": 479, "opaque": 1, "flag": 0, "extFields": fields}
    answer = ask_raw(connection, json.dumps(header).encode(), body)
    if answer.code not in allowed:
        raise ProcessError(f"request {code} is answered {answer.code} {answer.header.get('remark')}")
    return answer


@contextmanager
def started(
    names: Sequence[str],
    home: Path,
    settings: Mapping[str, object],
    ours: Interpreter,
    failed: Callable[[str, Exception], None],
) -> Iterator[list[System]]:
    """Starts the systems, each asleep as soon as it is up, and ends them. Yields those that came up.

    Args:
        settings: Further keys of the brokers' files.
        ours: What runs our own.
        failed: Is told of a system that did not come up, and why.
    """
    with ExitStack() as stack:
        systems: list[System] = []
        for name in names:
            try:
                systems.append(_start(name, home / name, settings, ours, stack))
                _signal(systems[-1], signal.SIGSTOP)
            except FAULTS as fault:
                failed(name, fault)
        yield systems


def _start(
    name: str, home: Path, settings: Mapping[str, object], ours: Interpreter, stack: ExitStack
) -> System:
    home.mkdir(parents=True)
    if name == NATS:
        return _start_nats(home, stack)
    broker = {"mappedFileSizeCommitLog": _COMMIT_LOG_BYTES, **settings}
    cluster: Cluster
    if name == JAVA:
        cluster = JavaCluster(java(), home, settings=broker, heap=_HEAP, short=False)
    else:
        compiled = {OURS: "no", COMPILED: "yes"}[name]
        cluster = OurCluster(
            home, settings=broker, environment={"MQ_COMPILED": compiled}, command=ours.command
        )
    # Not close(): a process that is stopped cannot end in good order, and nobody needs the data.
    stack.callback(_kill, cluster)
    cluster.start()
    return RocketMq(
        name=name,
        home=home,
        server=cluster.broker_process,
        processes=cluster.processes,
        address=cluster.broker_address,
        name_server=cluster.name_server,
        broker_name=cluster.broker_name,
    )


def _kill(cluster: Cluster) -> None:
    for process in cluster.processes:
        process.kill()


def _start_nats(home: Path, stack: ExitStack) -> System:
    port = lease_port()
    options = ["-js", "-sd", str(home / "store"), "-a", "127.0.0.1", "-p", str(port)]
    server = ChildProcess("nats-server", [str(nats().server), *options], log_dir=home, cwd=home)
    stack.callback(server.kill)
    wait_for_port(port, _START_TIMEOUT_S, process=server)
    return System(name=NATS, home=home, server=server, processes=[server], address=f"nats://127.0.0.1:{port}")


def _signal(system: System, number: int) -> None:
    for process in system.processes:
        process.signal(number)


@contextmanager
def awake(system: System) -> Iterator[None]:
    """Gives the machine to one system. What earlier ones left to be written is written before."""
    os.sync()
    _signal(system, signal.SIGCONT)
    if isinstance(system, RocketMq):
        # A name server that slept for long may have dropped the broker, which then comes back by itself.
        wait_until_registered(system.name_server, system.broker_name, _START_TIMEOUT_S)
        time.sleep(0.2)  # timers that fell due in the sleep all run now
    try:
        yield
    finally:
        _signal(system, signal.SIGSTOP)
