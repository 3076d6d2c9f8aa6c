"""The configuration of the process: the container's file, its environment, its options.

One file fills several config classes, as in Java: the container's own keys, the server's, the client's, and
here also the log's. What an option says comes before the file, the file before the environment.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from configuration import ConfigError, Configuration, RawConfig, Report, build, read_file
from configuration.names import to_snake_case
from container.config import DEFAULT_CONTAINER_PORT, DEFAULT_NAMESRV_PORT, BrokerContainerConfig
from container.log_config import LogConfig, apply_log_config
from container.refusal import EXIT_NO_HOME, EXIT_REFUSED, BootRefusedError
from namesrv import NamesrvConfig
from namesrv.processor import ALWAYS_FORBIDDEN
from remoting.config import RemotingClientConfig, RemotingServerConfig
from remoting.ports import FAST_PORT_DISTANCE
from remoting.tls import DEFAULT_TLS_CONFIG_FILE, TlsSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "ContainerSettings",
    "NamesrvSettings",
    "name_server_list",
    "read_namesrv_settings",
    "read_settings",
    "read_tls_settings",
]

_NAMESRV_CLASSES = (NamesrvConfig, RemotingServerConfig, RemotingClientConfig, LogConfig)
_CLASSES = (BrokerContainerConfig, RemotingServerConfig, RemotingClientConfig, LogConfig)


@attrs.frozen(kw_only=True)
class ContainerSettings:
    """Everything that the process is told, except for its brokers."""

    config: BrokerContainerConfig
    server_config: RemotingServerConfig
    client_config: RemotingClientConfig
    report: Report
    log_config: LogConfig | None = None
    """None where the log is the business of the program that the container runs in."""
    source: Path | None = None
    """The container's file, which updates are written to; None when there is none."""

    def configuration(self) -> Configuration:
        """What the codes 25 and 26 of the container port work on."""
        path = self.source or Path.home() / "store" / "config" / "broker.properties"
        return Configuration(
            [*_known(self.config, self.server_config, self.client_config, self.log_config)],
            report=self.report,
            path=path,
            always_forbidden={"brokerConfigPaths", "rocketmqHome", "configBlackList"},
            black_list=lambda: self.config.config_black_list,
            check=_check_update,
            on_change=partial(apply_log_config, self.log_config),
        )


@attrs.frozen(kw_only=True)
class NamesrvSettings:
    """Everything that a name server is told."""

    config: NamesrvConfig
    server_config: RemotingServerConfig
    """Counts for a name server alone; an embedded one has the container's transport."""
    report: Report
    log_config: LogConfig | None = None
    """None for an embedded one: the container's counts."""
    source: Path | None = None
    """Its file, which updates are written to; None for the one that `configStorePath` names."""

    def configuration(self) -> Configuration:
        """What the codes 318 and 319 work on."""
        return Configuration(
            [*_known(self.config, self.server_config, self.log_config)],
            report=self.report,
            path=self.source or Path(self.config.config_store_path).expanduser(),
            always_forbidden=ALWAYS_FORBIDDEN,
            black_list=lambda: self.config.config_black_list,
            on_change=partial(apply_log_config, self.log_config),
        )


def read_namesrv_settings(path: Path | None) -> NamesrvSettings:
    """The settings in a name server's file, or the defaults: port 9876.

    Raises:
        ConfigError: the file cannot be read, or a value is wrong.
    """
    raw = RawConfig() if path is None else read_file(path)
    objects, report = build(_NAMESRV_CLASSES, raw, {"listen_port": DEFAULT_NAMESRV_PORT})
    config, server_config, _, log_config = objects
    return NamesrvSettings(
        config=config, server_config=server_config, report=report, log_config=log_config, source=path
    )


def read_settings(
    path: Path | None, *, namesrv_addr: str | None = None, environ: Mapping[str, str] = os.environ
) -> ContainerSettings:
    """The settings in the file at `path`, or the defaults.

    Args:
        path: properties or TOML; None for no file.
        namesrv_addr: from the option -n.
        environ: gives ROCKETMQ_HOME and NAMESRV_ADDR.

    Raises:
        ConfigError: the file cannot be read, or a value is wrong.
        BootRefusedError: a name server address is malformed, or the home directory is unknown.
    """
    check_home()
    raw = RawConfig() if path is None else read_file(path)
    objects, report = build(_CLASSES, raw, {"listen_port": DEFAULT_CONTAINER_PORT})
    config, server, client, log_config = objects
    config.rocketmq_home = config.rocketmq_home or environ.get("ROCKETMQ_HOME")
    config.namesrv_addr = namesrv_addr or config.namesrv_addr or environ.get("NAMESRV_ADDR") or None
    try:
        name_server_list(config.namesrv_addr)
    except BootRefusedError as refused:
        entry = raw.by_key.get("namesrv_addr" if raw.is_toml else "namesrvAddr")
        if entry is None or namesrv_addr:
            raise
        raise BootRefusedError(f"{path}:{entry.line}: {refused}", refused.exit_code) from None
    try:
        _check_ports(config, server, raw.path)
    except ConfigError as wrong:
        entry = raw.by_key.get(to_snake_case(wrong.key or "") if raw.is_toml else wrong.key or "")
        raise ConfigError(path, None if entry is None else entry.line, wrong.key, wrong.message) from None
    return ContainerSettings(
        config=config,
        server_config=server,
        client_config=client,
        report=report,
        log_config=log_config,
        source=path,
    )


def _check_update(raw: RawConfig) -> None:
    """Refuses as an update what a start would refuse.

    Raises:
        ConfigError: says why, without the name of the file.
    """
    defaults = {"listen_port": DEFAULT_CONTAINER_PORT}
    (config, server, *_), _ = build(_CLASSES, attrs.evolve(raw, path=None), defaults)
    try:
        name_server_list(config.namesrv_addr)
    except BootRefusedError as refused:
        raise ConfigError(None, None, None, str(refused)) from None
    _check_ports(config, server, None)


def _check_ports(config: BrokerContainerConfig, server: RemotingServerConfig, path: Path | None) -> None:
    """Refuses ports of the process that cannot be, so that no update keeps it from starting again.

    Raises:
        ConfigError: names the key.
    """
    port, namesrv_port = server.listen_port, config.embedded_namesrv_listen_port
    if 0 < port <= FAST_PORT_DISTANCE:
        raise ConfigError(path, None, "listenPort", f"there is no port two below {port}")
    if config.embedded_namesrv and namesrv_port and namesrv_port in (port, port - FAST_PORT_DISTANCE):
        own = "listenPort" if namesrv_port == port else "fast port"
        raise ConfigError(path, None, "embeddedNamesrvListenPort", f"{namesrv_port} is the container's {own}")


def _known(*objects: object) -> Iterator[object]:
    return (one for one in objects if one is not None)


def read_tls_settings(path: Path | None) -> TlsSettings:
    """TLS of all ports of the process: from a file with Java's `tls.*` keys.

    Args:
        path: Java's `-Dtls.config.file`; None takes `/etc/rocketmq/tls.properties` if it is there.

    Raises:
        ConfigError: the file cannot be read.
        TlsConfigError: a value in it is not allowed.
    """
    if path is None:
        path = Path(DEFAULT_TLS_CONFIG_FILE)
        if not path.exists():
            return TlsSettings()
    return TlsSettings.from_properties({entry.key: str(entry.value) for entry in read_file(path).entries})


def check_home() -> None:
    """Stores, logs and pid files lie below the home directory unless told otherwise.

    Raises:
        BootRefusedError: nobody knows where it is.
    """
    unknown = BootRefusedError("The home directory is unknown, please set HOME", EXIT_NO_HOME)
    if os.environ.get("HOME") == "":
        raise unknown  # the standard library would take the root directory
    try:
        Path.home()
    except RuntimeError:
        raise unknown from None


def name_server_list(text: str | None) -> list[str]:
    """The addresses in `text`, `host:port` separated by `;`.

    Raises:
        BootRefusedError: one of them is malformed.
    """
    addresses = [address.strip() for address in (text or "").split(";") if address.strip()]
    for address in addresses:
        host, _, port = address.rpartition(":")
        if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) <= 65535:
            raise BootRefusedError(
                f"The Name Server Address[{text}] illegal, please set it as follows,"
                ' "127.0.0.1:9876;192.168.0.1:9876"',
                EXIT_REFUSED,
            )
    return addresses
