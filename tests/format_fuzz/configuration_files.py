"""Configuration files to damage: of a container, its brokers and a name server.

A file is read, or refused by its name, and by a line where one is to blame. Nothing that was read differs
from what the text says: every key that nobody knows is warned of, so that a damaged name of a key is seen.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import attrs

from configuration import ConfigError, read_file
from container.broker_plan import read_plan
from container.refusal import BootRefusedError
from container.settings import read_namesrv_settings, read_settings
from tests.format_fuzz.outcome import FuzzError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.format_fuzz.damage import Damage
    from tests.format_fuzz.outcome import Said

KINDS = ("configuration",)
_CONTAINER = """# the container
listenPort=10811
namesrvAddr=127.0.0.1:9876;127.0.0.2:9876
brokerConfigPaths=broker-a.conf:broker-b.toml
persistBrokerChanges=true

logRoot=logs
"""
_BROKER = """# one broker, as Java's files are
brokerClusterName=DefaultCluster
brokerName=broker-a
brokerId=0
deleteWhen=04
fileReservedTime=48
brokerRole=ASYNC_MASTER
flushDiskType=ASYNC_FLUSH
listenPort=10911
storePathRootDir=/data/\\u00fcber/store-a
messageDelayLevel=1s 5s 10s \\
    30s 1m
"""
_TOML_BROKER = """# another one
broker_cluster_name = "DefaultCluster"
broker_name = "broker-b"  # its name
listen_port = 10921
store_path_root_dir = "/data/über/store-b"
file_reserved_time = 48
"""
_NAMESRV = "listenPort=9876\nkvConfigPath=/data/kvConfig.json\n"
_TEXTS = {
    "container.conf": _CONTAINER,
    "broker-a.conf": _BROKER,
    "broker-b.toml": _TOML_BROKER,
    "namesrv.conf": _NAMESRV,
}


@attrs.frozen
class Template:
    """Files as an operator wrote them."""

    root: Path


def make_template(root: Path, _kind: str) -> Template:
    """The four files in `root`."""
    root.mkdir()
    for name, text in _TEXTS.items():
        (root / name).write_text(text, encoding="utf-8")
    return Template(root)


def outcome(_template: Template, root: Path, damage: Damage, _said: Said) -> str:
    """What is read from `root`, a copy of the files that got `damage`; see `run_trial`."""
    outcomes = [_outcome_of(root / name, damage) for name in _TEXTS]
    refusals = [each for each in outcomes if each is not None]
    return f"refused: {'; '.join(refusals)}" if refusals else "recovered"


def _outcome_of(path: Path, damage: Damage) -> str | None:
    """Why the file is refused; None when it is read."""
    readers: dict[str, Callable[[], Any]] = {
        "container.conf": lambda: read_settings(path, environ={"HOME": os.environ.get("HOME", "/")}).report,
        "broker-a.conf": lambda: read_plan(path).report,
        "broker-b.toml": lambda: read_plan(path).report,
        "namesrv.conf": lambda: read_namesrv_settings(path).report,
    }
    try:
        report = readers[path.name]()
    except (ConfigError, BootRefusedError) as error:
        if path not in damage.paths:
            raise FuzzError(f"{path} is refused, which was not damaged: {error}") from error
        if str(path) not in str(error):
            raise FuzzError(f"refused without the name of the file: {error}") from error
        if isinstance(error, ConfigError) and error.line is None and path.is_file():
            raise FuzzError(f"refused without a line: {error}") from error
        return str(error)
    known = _TEXTS[path.name]
    for entry in read_file(path).entries:
        if entry.key not in known and not any(entry.key in warning for warning in report.warnings):
            raise FuzzError(f"{path}: nothing is said about the key {entry.key!r}")
    return None
