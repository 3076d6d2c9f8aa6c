"""The cluster under test: one name server and one master broker, ours or Java's, on free ports.

`MQBC_SUT=java` puts the Java servers in our place. Every test that does not say otherwise passes against
both; that is what shows the tests to be right.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tests.interop.java import start_java_server
from tests.interop.processes import ChildProcess, ProcessError, wait_for_port
from tests.interop.wire import wait_until_registered
from tests.ports import lease_broker_port, lease_port

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.interop.peers import JavaPeer

__all__ = [
    "CONTAINER_LAUNCHER",
    "REPOSITORY",
    "Cluster",
    "JavaCluster",
    "OurCluster",
    "broker_settings",
    "our_environment",
    "start_java_namesrv",
    "start_our_namesrv",
    "write_properties",
]

REPOSITORY = Path(__file__).resolve().parents[2]
CONTAINER_LAUNCHER = REPOSITORY / "bin" / "mqbrokercontainer"
NAMESRV_LAUNCHER = REPOSITORY / "bin" / "mqnamesrv"

JAVA_NAMESRV = "org.apache.rocketmq.namesrv.NamesrvStartup"
JAVA_BROKER = "org.apache.rocketmq.broker.BrokerStartup"

# The first start may have to build the project's own environment.
_OUR_START_TIMEOUT_S = 240
_JAVA_START_TIMEOUT_S = 60
_REGISTRATION_TIMEOUT_S = 30


class Cluster(Protocol):
    """What the tests need to know of a cluster and may do to it."""

    name: str
    broker_name: str
    name_server: str
    broker_address: str
    store: Path

    @property
    def broker_process(self) -> ChildProcess:
        """The process that runs the broker."""

    @property
    def processes(self) -> list[ChildProcess]:
        """All that were started and not closed."""

    def start(self) -> None:
        """Starts what does not run; returns when the broker is registered.

        Raises:
            ProcessError: A server ended or did not come up.
        """

    def stop_broker(self) -> int:
        """Ends the broker's process in good order; returns its exit code."""

    def kill_broker(self) -> None:
        """`kill -9`."""

    def close(self) -> None:
        """Ends everything."""

    def tails(self) -> str:
        """The last lines of all servers, for failure reports."""


def broker_settings(
    *, cluster: str, name: str, port: int, store: Path, name_server: str, commit_log_size: int = 64 << 20
) -> dict[str, object]:
    """Keys of a master broker's file that Java and we read alike."""
    return {
        "brokerClusterName": cluster,
        "brokerName": name,
        "brokerId": 0,
        "brokerRole": "ASYNC_MASTER",
        "flushDiskType": "ASYNC_FLUSH",
        "brokerIP1": "127.0.0.1",
        "brokerIP2": "127.0.0.1",
        "listenPort": port,
        "haListenPort": port + 1,
        "namesrvAddr": name_server,
        "storePathRootDir": store,
        "storePathCommitLog": store / "commitlog",
        "autoCreateTopicEnable": "true",
        "autoCreateSubscriptionGroup": "true",
        "mappedFileSizeCommitLog": commit_log_size,
        "diskMaxUsedSpaceRatio": 95,
    }


def write_properties(path: Path, settings: Mapping[str, object]) -> Path:
    """Writes `key=value` lines; returns `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    return path


def our_environment(home: Path) -> dict[str, str]:
    """This process's environment with `home` as HOME."""
    environment = {
        key: value for key, value in os.environ.items() if key not in ("NAMESRV_ADDR", "ROCKETMQ_HOME")
    }
    environment["HOME"] = str(home)
    return environment


def start_our_namesrv(home: Path, port: int) -> ChildProcess:
    """Our name server alone, from `bin/mqnamesrv`."""
    file = write_properties(home / "namesrv.conf", {"listenPort": port})
    server = ChildProcess(
        "our-namesrv",
        [str(NAMESRV_LAUNCHER), "-c", str(file)],
        log_dir=home,
        env=our_environment(home),
        cwd=home,
    )
    try:
        wait_for_port(port, _OUR_START_TIMEOUT_S, process=server)
    except ProcessError:
        server.stop()
        raise
    return server


def start_java_namesrv(peer: JavaPeer, home: Path, port: int) -> ChildProcess:
    """Java's name server."""
    return start_java_server(
        peer,
        JAVA_NAMESRV,
        {"listenPort": port},
        name="java-namesrv",
        home=home,
        heap=("-Xms64m", "-Xmx256m"),
        timeout_s=_JAVA_START_TIMEOUT_S,
    )


class OurCluster:
    """A container with one broker, started from `bin/mqbrokercontainer -c <file>`.

    Args:
        home: HOME of the process and parent of the store.
        name_server: An own name server outside; without it the container embeds one.
        port: Where the broker listens, one that `lease_broker_port` gave; without it another one.
        settings: Further keys of the broker's file.
        environment: Further environment variables of the process.
        command: What runs the container; the launcher in `bin` unless it says otherwise.
    """

    name = "DefaultCluster"

    def __init__(
        self,
        home: Path,
        *,
        name_server: str | None = None,
        broker_name: str = "broker-a",
        store: Path | None = None,
        port: int | None = None,
        settings: Mapping[str, object] | None = None,
        environment: Mapping[str, str] | None = None,
        command: Sequence[str] = (str(CONTAINER_LAUNCHER),),
    ) -> None:
        self.home = home
        self._command = command
        self._environment = our_environment(home) | dict(environment or {})
        self.broker_name = broker_name
        self.store = store or home / "store"
        self._embeds = name_server is None
        name_server_port = lease_port()
        self.name_server = name_server or f"127.0.0.1:{name_server_port}"
        container_port, broker_port = lease_broker_port(), port or lease_broker_port()
        self.container_address = f"127.0.0.1:{container_port}"
        self.broker_address = f"127.0.0.1:{broker_port}"
        broker_file = write_properties(
            home / "broker.conf",
            broker_settings(
                cluster=self.name,
                name=broker_name,
                port=broker_port,
                store=self.store,
                name_server=self.name_server,
            )
            | dict(settings or {}),
        )
        container = {
            "listenPort": container_port,
            "namesrvAddr": self.name_server,
            "brokerConfigPaths": broker_file,
            "embeddedNamesrv": "true" if self._embeds else "false",
        }
        if self._embeds:
            container["embeddedNamesrvListenPort"] = name_server_port
        if settings and "bindAddress" in settings:  # brokers listen where their container does
            container["bindAddress"] = settings["bindAddress"]
        self._file = write_properties(home / "broker-container.conf", container)
        self._process: ChildProcess | None = None

    @property
    def broker_process(self) -> ChildProcess:
        assert self._process is not None
        return self._process

    @property
    def processes(self) -> list[ChildProcess]:
        return [] if self._process is None else [self._process]

    def start(self) -> None:
        if self._process is not None and self._process.running:
            return
        if not Path(self._command[0]).exists():
            raise ProcessError(f"{self._command[0]} is missing")
        self._process = ChildProcess(
            "mqbrokercontainer",
            [*self._command, "-c", str(self._file)],
            log_dir=self.home,
            env=self._environment,
            cwd=self.home,
        )
        wait_for_port(
            int(self.broker_address.rpartition(":")[2]), _OUR_START_TIMEOUT_S, process=self._process
        )
        try:
            wait_until_registered(self.name_server, self.broker_name, _REGISTRATION_TIMEOUT_S)
        except TimeoutError as fault:
            raise ProcessError(f"{fault}\n{self._process.tail()}") from None

    def stop_broker(self) -> int:
        return self.broker_process.stop(60)

    def kill_broker(self) -> None:
        self.broker_process.kill()

    def close(self) -> None:
        if self._process is not None:
            self._process.stop(30)

    def tails(self) -> str:
        return "no process was started" if self._process is None else self._process.tail()


class JavaCluster:
    """Java's name server and broker, or only the broker when `name_server` is given.

    Args:
        port: Where the broker listens, one that `lease_broker_port` gave; without it another one.
        heap: Heap options of the broker.
        tls: Whether the broker takes TLS connections; making its certificate is half of its start.
        short: Tune the JVMs for a short life; benchmarks say False.
    """

    name = "DefaultCluster"

    def __init__(
        self,
        peer: JavaPeer,
        home: Path,
        *,
        name_server: str | None = None,
        broker_name: str = "broker-a",
        store: Path | None = None,
        port: int | None = None,
        settings: Mapping[str, object] | None = None,
        heap: tuple[str, ...] = ("-Xms256m", "-Xmx512m"),
        tls: bool = True,
        short: bool = True,
    ) -> None:
        self._peer = peer
        self.home = home
        self.broker_name = broker_name
        self.store = store or home / "store"
        self._heap = heap if tls else (*heap, "-Dtls.server.mode=disabled")
        self._short = short
        self._name_server_port = None if name_server else lease_port()
        self.name_server = name_server or f"127.0.0.1:{self._name_server_port}"
        port = port or lease_broker_port()
        self.broker_address = f"127.0.0.1:{port}"
        self._settings = broker_settings(
            cluster=self.name, name=broker_name, port=port, store=self.store, name_server=self.name_server
        ) | dict(settings or {})
        self._name_server: ChildProcess | None = None
        self._broker: ChildProcess | None = None

    @property
    def broker_process(self) -> ChildProcess:
        assert self._broker is not None
        return self._broker

    @property
    def processes(self) -> list[ChildProcess]:
        return [process for process in (self._broker, self._name_server) if process is not None]

    def start(self) -> None:
        if self._name_server_port is not None and self._name_server is None:
            self._name_server = start_java_namesrv(self._peer, self.home / "namesrv", self._name_server_port)
        if self._broker is None or not self._broker.running:
            self._broker = start_java_server(
                self._peer,
                JAVA_BROKER,
                self._settings,
                name=f"java-{self.broker_name}",
                home=self.home,
                heap=self._heap,
                short=self._short,
                timeout_s=_JAVA_START_TIMEOUT_S,
            )
        try:
            wait_until_registered(self.name_server, self.broker_name, _REGISTRATION_TIMEOUT_S)
        except TimeoutError as fault:
            raise ProcessError(f"{fault}\n{self._broker.tail()}") from None

    def stop_broker(self) -> int:
        return self.broker_process.stop(60)

    def kill_broker(self) -> None:
        self.broker_process.kill()

    def close(self) -> None:
        for process in self.processes:
            process.kill()  # an orderly stop takes Java ten seconds and nobody needs the data

    def tails(self) -> str:
        return "\n".join(process.tail() for process in reversed(self.processes))
