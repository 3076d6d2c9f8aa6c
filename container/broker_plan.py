"""From a broker's file to what the container builds: the rules of RocketMQ's `BrokerContainerStartup`.

- Masters have id 0, whatever the file says; a slave's id must be greater.
- totalReplicas ≥ inSyncReplicas ≥ minInSyncReplicas.
- listenPort is 6888 in a container and 10911 alone when the file does not say; its fast port is two below.
- haListenPort is listenPort + 1 unless the file says otherwise. (Java overwrites it always.)
- A broker in a container uses the container's transport and name servers: those keys of its own file have no
  effect and are reported.

What needs a role that does not exist here yet (slaves) is refused before anything is opened.
"""

from __future__ import annotations

import ipaddress
import os
import re
from typing import TYPE_CHECKING

import attrs

from broker.config import BrokerConfig
from configuration import ConfigError, Configuration, RawConfig, Report, build, read_file
from configuration.names import to_snake_case
from container.config import DEFAULT_BROKER_PORT
from container.refusal import EXIT_REFUSED, BootRefusedError
from logs.identity import BrokerIdentity
from remoting.config import RemotingClientConfig, RemotingServerConfig
from store import BrokerRole, MessageStoreConfig

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["BrokerPlan", "default_plan", "plan_broker", "read_lone_plan", "read_plan"]

FAST_PORT_DISTANCE = 2
DEFAULT_PORT_IN_CONTAINER = 6888

_REPLICA_KEYS = ("totalReplicas", "inSyncReplicas", "minInSyncReplicas")
_NAME_SERVER_KEYS = frozenset(
    {"namesrvAddr", "fetchNameSrvAddrByDnsLookup", "fetchNamesrvAddrByAddressServer"}
)


_NOT_EMPTY = ("brokerName", "brokerClusterName", "storePathRootDir")
_ADDRESSES = ("brokerIP1", "brokerIP2")
_DELAY_LEVEL = re.compile(r"[0-9]+[smhd]", re.ASCII)


@attrs.frozen(kw_only=True)
class BrokerPlan:
    """One broker as it shall be built; everything in it is validated and nothing is opened."""

    source: Path | None
    """Its file; updates of its configuration are written there. None for a broker without one."""
    config: BrokerConfig
    store_config: MessageStoreConfig
    identity: BrokerIdentity
    report: Report
    """Keys of the file without effect. Its warnings belong in the broker's own log."""

    @property
    def is_master(self) -> bool:
        return self.identity.broker_id == 0

    def configuration(self) -> Configuration:
        """What the codes 25 and 26 of the broker's own port work on."""
        return Configuration(
            [self.config, self.store_config],
            report=self.report,
            path=self.source,
            always_forbidden={"brokerConfigPath", "brokerConfigPaths", "rocketmqHome", "configBlackList"},
            black_list=lambda: self.config.config_black_list,
        )

    def ports(self) -> Mapping[int, str]:
        """Number → purpose of the ports that it listens on; none for port 0, which takes free ones."""
        port = self.config.listen_port
        if port == 0:
            return {}
        return {port: "listenPort", port - FAST_PORT_DISTANCE: "fast port of listenPort " + str(port)}

    def paths(self) -> Mapping[str, str]:
        """Real path → purpose of the directories that must be its own."""
        store = self.store_config
        found = {store.store_path_root_dir: "storePathRootDir"}
        for path in (store.store_path_commit_log or "").split(","):
            found.setdefault(path, "storePathCommitLog")
        found.setdefault(store.store_path_consume_queue or "", "storePathConsumeQueue")
        return {os.path.realpath(path): purpose for path, purpose in found.items() if path}


def read_plan(path: Path) -> BrokerPlan:
    """The plan for the broker in the properties or TOML file at `path`.

    Raises:
        ConfigError: the file cannot be read, or a value is wrong; names file, line and key.
        BootRefusedError: the values contradict each other, or need what is not there yet.
    """
    raw = read_file(path)
    _check_raw(raw)
    defaults = {"listen_port": DEFAULT_PORT_IN_CONTAINER}
    (config, store_config), report = build([BrokerConfig, MessageStoreConfig], raw, defaults)
    warnings = list(report.warnings)
    if not _is_set(raw, "listenPort"):
        warnings.append(
            f"{path}: listenPort is not set: a broker in a container has {config.listen_port} then"
        )
    warnings += [
        f"{path}: key '{key}' has no effect in a container, the container's counts"
        for key in _NAME_SERVER_KEYS
        if _is_set(raw, key)
    ]
    return _finish(config, store_config, raw, attrs.evolve(report, warnings=tuple(warnings)))


def read_lone_plan(path: Path | None) -> tuple[BrokerPlan, RemotingServerConfig, RemotingClientConfig]:
    """The plan for a broker that has the process to itself, and the transport that its file configures.

    Args:
        path: properties or TOML file; None for the defaults.

    Raises:
        ConfigError, BootRefusedError: as :func:`read_plan`.
    """
    raw = RawConfig() if path is None else read_file(path)
    _check_raw(raw)
    classes = [BrokerConfig, MessageStoreConfig, RemotingServerConfig, RemotingClientConfig]
    objects, report = build(classes, raw, {"listen_port": DEFAULT_BROKER_PORT})
    config, store_config, server_config, client_config = objects
    return _finish(config, store_config, raw, report), server_config, client_config


def default_plan() -> BrokerPlan:
    """`broker-a` on port 10911 with its store in `~/store`, for a start without any configuration."""
    plan, _, _ = read_lone_plan(None)
    return plan


def plan_broker(config: BrokerConfig, store_config: MessageStoreConfig) -> BrokerPlan:
    """The plan for a broker that a program configures; the objects are used, not copied.

    Raises:
        BootRefusedError: as :func:`read_plan`.
    """
    return _finish(config, store_config, None, Report())


def _finish(
    config: BrokerConfig, store_config: MessageStoreConfig, raw: RawConfig | None, report: Report
) -> BrokerPlan:
    """Applies the rules to filled objects; without `raw` a program chose every value on purpose."""
    source = None if raw is None else raw.path
    place = "" if source is None else f"{source}: "
    if store_config.broker_role is BrokerRole.SLAVE:
        raise BootRefusedError(
            f"{place}brokerRole SLAVE is not supported yet; only masters can be started", EXIT_REFUSED
        )
    if raw is not None and _text(raw, "duplicationEnable") == "true":
        raise BootRefusedError(
            f"{place}Can not add broker to container when duplicationEnable is true currently", EXIT_REFUSED
        )
    if raw is not None and not _is_set(raw, "haListenPort"):
        # Not bound while there is no replication, but registered: peers know it as listenPort + 1.
        store_config.ha_listen_port = min(config.listen_port + 1, 65535)
    config.broker_id = 0
    if source is not None:
        config.broker_config_path = str(source)
    _expand_home(store_config)
    identity = BrokerIdentity(config.broker_cluster_name, config.broker_name, config.broker_id)
    return BrokerPlan(
        source=source, config=config, store_config=store_config, identity=identity, report=report
    )


def _check_raw(raw: RawConfig) -> None:
    """Contradictions that have an exit code of their own, before single values are looked at."""
    _check_values(raw)
    place = "" if raw.path is None else f"{raw.path}: "
    try:
        total, in_sync, least = (int(_text(raw, key) or 1) for key in _REPLICA_KEYS)
        broker_id = int(_text(raw, "brokerId") or 0)
    except ValueError:
        return  # the reader refuses it and says where
    role = _text(raw, "brokerRole")
    if role == "slave" and broker_id <= 0:
        raise BootRefusedError(f"{place}Slave's brokerId must be > 0", EXIT_REFUSED)
    if total < in_sync or total < least or in_sync < least:
        raise BootRefusedError(
            f"{place}invalid replicas number: totalReplicas {total} >= inSyncReplicas {in_sync}"
            f" >= minInSyncReplicas {least} does not hold",
            EXIT_REFUSED,
        )
    may_do_with_less = _text(raw, "enableAutoInSyncReplicas") == "true" and least == 1
    if role == "sync_master" and in_sync > 1 and not may_do_with_less:
        raise BootRefusedError(
            f"{place}inSyncReplicas {in_sync} asks for slaves, which are not supported yet: no message could"
            " be acknowledged; set it to 1",
            EXIT_REFUSED,
        )


def _check_values(raw: RawConfig) -> None:
    """Texts that have a form of their own, so that a wrong one is refused with its line and not met later.

    Raises:
        ConfigError: names file, line, key and what is allowed.
    """
    for key, allowed in _wrong_values(raw):
        written = to_snake_case(key) if raw.is_toml else key
        entry = raw.by_key[written]
        raise ConfigError(raw.path, entry.line or None, written, f"'{entry.value}' is not {allowed}")


def _wrong_values(raw: RawConfig) -> Iterator[tuple[str, str]]:
    for key in _NOT_EMPTY:
        if _text(raw, key) == "":
            yield key, "allowed, the text must not be empty"
    for key in _ADDRESSES:
        if (text := _text(raw, key)) and not _is_address(text):
            yield key, "an IPv4 or IPv6 address"
    hours = (_text(raw, "deleteWhen") or "").split(";")
    if not all(not hour.strip() or _is_hour(hour.strip()) for hour in hours):
        yield "deleteWhen", "a list of hours from 00 to 23 separated by ';'"
    levels = (_text(raw, "messageDelayLevel") or "").split()
    if not all(_DELAY_LEVEL.fullmatch(level) for level in levels):
        yield "messageDelayLevel", "a list of times like 10s, 5m, 2h or 1d separated by spaces"


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_hour(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text) < 24


def _expand_home(store_config: MessageStoreConfig) -> None:
    store_config.store_path_root_dir = os.path.expanduser(store_config.store_path_root_dir)
    if store_config.store_path_commit_log:
        several = store_config.store_path_commit_log.split(",")
        store_config.store_path_commit_log = ",".join(map(os.path.expanduser, several))
    if store_config.store_path_consume_queue:
        store_config.store_path_consume_queue = os.path.expanduser(store_config.store_path_consume_queue)


def _text(raw: RawConfig, key: str) -> str | None:
    entry = raw.by_key.get(to_snake_case(key) if raw.is_toml else key)
    return None if entry is None else str(entry.value).strip().lower()


def _is_set(raw: RawConfig, key: str) -> bool:
    return _text(raw, key) is not None
