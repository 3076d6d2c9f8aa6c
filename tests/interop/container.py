"""Our container with several brokers as a child process, for what needs more than a cluster of one broker."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attrs

from tests.interop.cluster import (
    CONTAINER_LAUNCHER,
    broker_settings,
    our_environment,
    write_properties,
)
from tests.interop.processes import ChildProcess, ProcessError, wait_for_port
from tests.interop.wire import ask, wait_until_registered
from tests.ports import lease_broker_port, lease_port

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tests.interop.wire import Answer

__all__ = ["CLUSTER", "BrokerFile", "OurContainer", "read_properties"]

CLUSTER = "DefaultCluster"

ADD_BROKER, REMOVE_BROKER, GET_CONTAINER_STATUS = 902, 903, 20902

_START_TIMEOUT_S = 240  # the first start may have to build the project's own environment
_REGISTRATION_TIMEOUT_S = 60
_ANSWER_TIMEOUT_S = 60


def read_properties(path: Path) -> dict[str, str]:
    """The `key=value` lines of a file."""
    lines = [line for line in path.read_text().splitlines() if "=" in line and not line.startswith("#")]
    return {key.strip(): value.strip() for key, value in (line.split("=", 1) for line in lines)}


@attrs.frozen
class BrokerFile:
    """A broker's file with what the tests need to know of it."""

    name: str
    port: int
    path: Path
    store: Path

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def fast_address(self) -> str:
        return f"127.0.0.1:{self.port - 2}"

    @property
    def identity(self) -> str:
        """As `mqadmin removeBroker -b` takes it."""
        return f"{CLUSTER}:{self.name}:0"

    @property
    def canonical_name(self) -> str:
        return f"{CLUSTER}_{self.name}_0"


class OurContainer:
    """A container started from `bin/mqbrokercontainer -c <file>`; nothing runs before `start`.

    Args:
        home: HOME of the process, parent of files and stores.
        brokers: names of the brokers to start with.
        name_server: `host:port` of one outside; without it the container embeds one.
        settings: further keys of the container's file.
        broker_keys: further keys of each of `brokers`.
    """

    def __init__(
        self,
        home: Path,
        brokers: Sequence[str] = (),
        *,
        name_server: str | None = None,
        settings: Mapping[str, object] | None = None,
        broker_keys: Mapping[str, Any] | None = None,
    ) -> None:
        self.home = home
        home.mkdir(parents=True, exist_ok=True)
        name_server_port = lease_port()
        self.name_server = name_server or f"127.0.0.1:{name_server_port}"
        self.port = lease_broker_port()
        self.address = f"127.0.0.1:{self.port}"
        self.brokers = {name: self.broker_file(name, **dict(broker_keys or {})) for name in brokers}
        keys: dict[str, object] = {
            "# the brokers of the tests": "a comment that has to stay",
            "listenPort": self.port,
            "namesrvAddr": self.name_server,
            "embeddedNamesrv": "false" if name_server else "true",
        }
        if self.brokers:
            keys["brokerConfigPaths"] = ":".join(str(broker.path) for broker in self.brokers.values())
        if name_server is None:
            keys["embeddedNamesrvListenPort"] = name_server_port
        self.file = write_properties(home / "broker-container.conf", keys | dict(settings or {}))
        self._process: ChildProcess | None = None

    def __enter__(self) -> OurContainer:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def process(self) -> ChildProcess:
        assert self._process is not None
        return self._process

    def broker_file(
        self, name: str, *, port: int | None = None, store: Path | None = None, **more: Any
    ) -> BrokerFile:
        """Writes the file of a broker, which is started only when somebody asks for it."""
        port = port or lease_broker_port()
        store = store or self.home / name
        settings = broker_settings(
            cluster=CLUSTER, name=name, port=port, store=store, name_server=self.name_server
        )
        del settings["namesrvAddr"]  # the container's counts
        del settings["haListenPort"]  # it follows from listenPort
        path = write_properties(self.home / f"{name}.conf", settings | more)
        return BrokerFile(name, port, path, store)

    def launch(self, *options: str) -> ChildProcess:
        """Starts the process and waits for nothing."""
        if not CONTAINER_LAUNCHER.exists():
            raise ProcessError(f"{CONTAINER_LAUNCHER} is missing")
        self._process = ChildProcess(
            "mqbrokercontainer",
            [str(CONTAINER_LAUNCHER), "-c", str(self.file), *options],
            log_dir=self.home,
            env=our_environment(self.home),
            cwd=self.home,
        )
        return self._process

    def start(self) -> None:
        """Starts the process; returns when its brokers take connections and are registered.

        Raises:
            ProcessError: it ended or did not come up.
        """
        process = self.launch()
        wait_for_port(self.port, _START_TIMEOUT_S, process=process)
        for broker in self.brokers.values():
            wait_for_port(broker.port, _START_TIMEOUT_S, process=process)
            self.wait_until_registered(broker.name)

    def wait_until_registered(self, name: str) -> None:
        """Returns when the name server knows the broker.

        Raises:
            ProcessError: it does not for a long time.
        """
        try:
            wait_until_registered(self.name_server, name, _REGISTRATION_TIMEOUT_S)
        except TimeoutError as fault:
            raise ProcessError(f"{fault}\n{self.process.tail()}") from None

    def close(self) -> None:
        """Ends the process in good order, or with a kill after half a minute."""
        if self._process is not None:
            self._process.stop(30)

    def ask(self, code: int, body: bytes = b"", **fields: str) -> Answer:
        """One request to the container's port."""
        return ask(self.address, code, fields, body, timeout_s=_ANSWER_TIMEOUT_S)

    def add(self, path: object) -> Answer:
        """ADD_BROKER."""
        return self.ask(ADD_BROKER, configPath=str(path))

    def remove(self, name: str) -> Answer:
        """REMOVE_BROKER of a master."""
        return self.ask(REMOVE_BROKER, brokerName=name, brokerClusterName=CLUSTER, brokerId="0")

    def status(self) -> dict[str, Any]:
        """GET_CONTAINER_STATUS."""
        answer = self.ask(GET_CONTAINER_STATUS)
        assert answer.code == 0, answer
        status: dict[str, Any] = json.loads(answer.body)
        return status

    def log_text(self) -> str:
        """What the container and its brokers have logged, all files one after the other."""
        files = sorted((self.home / "logs").rglob("*.log"))
        return "\n".join(file.read_text(errors="replace") for file in files)
