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

import os
from functools import partial
from typing import TYPE_CHECKING

import attrs

from broker.config import BrokerConfig, check_ports, fill_ports
from configuration import ConfigError, Configuration, RawConfig, Report, build, read_file, settings_of
from configuration.names import to_snake_case
from container.config import DEFAULT_BROKER_PORT
from container.log_config import LogConfig, apply_log_config
from container.refusal import EXIT_REFUSED, BootRefusedError
from logs.identity import BrokerIdentity
from remoting.config import RemotingClientConfig, RemotingServerConfig
from store import BrokerRole, MessageStoreConfig
from store.config import check_quota

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

__all__ = ["BrokerPlan", "default_plan", "plan_broker", "read_lone_plan", "read_plan"]

DEFAULT_PORT_IN_CONTAINER = 6888

_REPLICA_KEYS = ("totalReplicas", "inSyncReplicas", "minInSyncReplicas")
_LOG_KEYS = tuple(key.wire for key in settings_of(LogConfig).values())
_NAME_SERVER_KEYS = frozenset(
    {"namesrvAddr", "fetchNameSrvAddrByDnsLookup", "fetchNamesrvAddrByAddressServer"}
)
_WITHOUT_EFFECT_IN_CONTAINER = _NAME_SERVER_KEYS | {"isInBrokerContainer"}
_FORBIDDEN = frozenset({"brokerConfigPath", "brokerConfigPaths", "rocketmqHome", "configBlackList"})


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
    properties: Mapping[str, str] = attrs.field(factory=dict)
    """What its file says, key by key as written there; nothing for a broker without one."""
    transport: tuple[RemotingServerConfig, RemotingClientConfig] | None = None
    """What its file says about the transport, for a broker that has the process to itself."""
    log_config: LogConfig | None = None
    """What its file says about the log, for a broker that has the process to itself."""

    @property
    def is_master(self) -> bool:
        return self.identity.broker_id == 0

    @property
    def is_dledger(self) -> bool:
        """Member of a Raft group; such a plan is refused so far."""
        return False

    def configuration(self) -> Configuration:
        """What the codes 25 and 26 of the broker's own port work on."""
        return Configuration(
            [*self._objects()],
            report=self.report,
            path=self.source,
            always_forbidden=_FORBIDDEN,
            black_list=lambda: self.config.config_black_list,
            without_effect=_WITHOUT_EFFECT_IN_CONTAINER if self.transport is None else (),
            check=_check_in_container if self.transport is None else _check_alone,
            on_change=partial(apply_log_config, self.log_config),
        )

    def _objects(self) -> Iterator[object]:
        yield self.config
        yield self.store_config
        yield from self.transport or ()
        if self.log_config is not None:
            yield self.log_config

    def ports(self) -> Mapping[int, str]:
        """Number → purpose of the ports that it takes; one that is 0 is any free one and left out."""
        port = self.config.listen_port
        found: dict[int, str] = {}
        for number, purpose in (
            (port, "listenPort"),
            (self.config.fast_listen_port, f"fast port of listenPort {port}"),
            (self.store_config.ha_listen_port, f"HA port of listenPort {port}"),
        ):
            if number:
                found.setdefault(number, purpose)
        return found

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
    return _plan_in_container(read_file(path))


def read_lone_plan(path: Path | None) -> tuple[BrokerPlan, RemotingServerConfig, RemotingClientConfig]:
    """The plan for a broker that has the process to itself, and the transport that its file configures.

    Args:
        path: properties or TOML file; None for the defaults.

    Raises:
        ConfigError, BootRefusedError: as :func:`read_plan`.
    """
    return _plan_alone(RawConfig() if path is None else read_file(path))


def default_plan() -> BrokerPlan:
    """`broker-a` on port 10911 with its store in `~/store`, for a start without any configuration."""
    plan, _, _ = read_lone_plan(None)
    return plan


def plan_broker(config: BrokerConfig, store_config: MessageStoreConfig) -> BrokerPlan:
    """The plan for a broker that a program configures; the objects are used, not copied.

    Raises:
        ConfigError, BootRefusedError: the values contradict each other, or need what is not there yet.
    """
    config.is_in_broker_container = True
    return _finish(config, store_config, None, Report())


def _plan_in_container(raw: RawConfig) -> BrokerPlan:
    _check_raw(raw)
    defaults = {"listen_port": DEFAULT_PORT_IN_CONTAINER}
    classes = [BrokerConfig, MessageStoreConfig, LogConfig]
    (config, store_config, _), report = build(classes, raw, defaults)
    config.is_in_broker_container = True
    warnings = list(report.warnings)
    if not _is_set(raw, "listenPort"):
        warnings.append(
            f"{raw.path}: listenPort is not set: a broker in a container has {config.listen_port} then"
        )
    warnings += [
        f"{raw.path}: key '{key}' has no effect in a container, the container's counts"
        for key in (*_NAME_SERVER_KEYS, *_LOG_KEYS)
        if _is_set(raw, key)
    ]
    return _finish(config, store_config, raw, attrs.evolve(report, warnings=tuple(warnings)))


def _plan_alone(raw: RawConfig) -> tuple[BrokerPlan, RemotingServerConfig, RemotingClientConfig]:
    _check_raw(raw)
    classes = [BrokerConfig, MessageStoreConfig, RemotingServerConfig, RemotingClientConfig, LogConfig]
    objects, report = build(classes, raw, {"listen_port": DEFAULT_BROKER_PORT})
    config, store_config, server_config, client_config, log_config = objects
    plan = _finish(config, store_config, raw, report)
    plan = attrs.evolve(plan, transport=(server_config, client_config), log_config=log_config)
    return plan, server_config, client_config


def _check_in_container(raw: RawConfig) -> None:
    _check_update(raw, lambda: _plan_in_container(attrs.evolve(raw, path=None)))


def _check_alone(raw: RawConfig) -> None:
    _check_update(raw, lambda: _plan_alone(attrs.evolve(raw, path=None))[0])


def _check_update(raw: RawConfig, plan: Callable[[], BrokerPlan]) -> None:
    """Refuses as an update what a start would refuse, or would silently make something else of.

    Raises:
        ConfigError: says why, without the name of the file.
    """
    try:
        made = plan()
    except BootRefusedError as refused:
        raise ConfigError(None, None, None, str(refused)) from None
    if int(_text(raw, "brokerId") or 0) != made.config.broker_id:
        raise ConfigError(None, None, "brokerId", "a master's id is 0, whatever its file says")


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
    fill_ports(config, store_config)
    try:
        check_quota(store_config)
        check_ports(config, store_config)
    except ConfigError as wrong:
        raise _located(wrong, raw) from None
    config.broker_id = 0
    if source is not None:
        config.broker_config_path = str(source)
    _expand_home(store_config)
    identity = BrokerIdentity(config.broker_cluster_name, config.broker_name, config.broker_id)
    return BrokerPlan(
        source=source,
        config=config,
        store_config=store_config,
        identity=identity,
        report=report,
        properties={} if raw is None else {entry.key: str(entry.value) for entry in raw.entries},
    )


def _located(wrong: ConfigError, raw: RawConfig | None) -> ConfigError:
    """A contradiction with the file and the line of its key."""
    if raw is None or wrong.key is None:
        return wrong
    key = to_snake_case(wrong.key) if raw.is_toml else wrong.key
    entry = raw.by_key.get(key)
    return ConfigError(raw.path, None if entry is None else entry.line or None, key, wrong.message)


def _check_raw(raw: RawConfig) -> None:
    """Contradictions that have an exit code of their own, before single values are looked at."""
    place = "" if raw.path is None else f"{raw.path}: "
    try:
        total, in_sync, least = (int(_text(raw, key) or 1) for key in _REPLICA_KEYS)
        broker_id = int(_text(raw, "brokerId") or 0)
    except ValueError:
        return  # the reader refuses it and says where
    if _text(raw, "duplicationEnable") == "true":
        remark = "Can not add broker to container when duplicationEnable is true currently"
        raise BootRefusedError(place + remark, EXIT_REFUSED, remark=remark)
    role = _text(raw, "brokerRole")
    if role == "slave" and broker_id <= 0:
        raise BootRefusedError(
            f"{place}Slave's brokerId must be > 0", EXIT_REFUSED, remark="slave broker id must be > 0"
        )
    if total < in_sync or total < least or in_sync < least:
        raise BootRefusedError(
            f"{place}invalid replicas number: totalReplicas {total} >= inSyncReplicas {in_sync}"
            f" >= minInSyncReplicas {least} does not hold",
            EXIT_REFUSED,
            remark="invalid replicas number",
        )
    may_do_with_less = _text(raw, "enableAutoInSyncReplicas") == "true" and least == 1
    if role == "sync_master" and in_sync > 1 and not may_do_with_less:
        raise BootRefusedError(
            f"{place}inSyncReplicas {in_sync} asks for slaves, which are not supported yet: no message could"
            " be acknowledged; set it to 1",
            EXIT_REFUSED,
        )


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
