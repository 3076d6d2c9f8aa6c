"""Whatever an update accepts is what the next start reads, for every key of every config class."""

from __future__ import annotations

import enum
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.config import BrokerConfig
from configuration import (
    ADDRESS,
    DELAYS,
    HOURS,
    ConfigError,
    Configuration,
    Setting,
    build,
    read_file,
    settings_of,
)
from configuration.fields import to_text
from configuration.java_keys import java_keys
from container import read_plan
from container.config import BrokerContainerConfig
from container.log_config import LogConfig
from namesrv import NamesrvConfig
from remoting.config import RemotingClientConfig, RemotingServerConfig
from store import MessageStoreConfig

FILES: dict[str, tuple[type[Any], ...]] = {
    "container": (BrokerContainerConfig, RemotingServerConfig, RemotingClientConfig, LogConfig),
    "broker": (BrokerConfig, MessageStoreConfig),
    "namesrv": (NamesrvConfig, RemotingServerConfig, LogConfig),
}
KEYS = [
    (kind, cls, setting)
    for kind, classes in FILES.items()
    for cls in classes
    for setting in settings_of(cls).values()
]

FORMS = {
    ADDRESS: st.ip_addresses().map(str),
    HOURS: st.lists(st.integers(0, 23).map("{:02}".format)).map(";".join),
    DELAYS: st.lists(st.sampled_from(["1s", "5m", "2h", "1d"])).map(" ".join),
}


def values(setting: Setting) -> st.SearchStrategy[object]:
    """Whatever the class takes; what it does not is not accepted, which is somebody else's test."""
    kind = setting.kind
    if issubclass(kind, enum.Enum):
        return st.sampled_from(list(kind))
    if setting.choices is not None:
        found: st.SearchStrategy[object] = st.sampled_from(setting.choices)
    elif kind is bool:
        found = st.just(False) if setting.le is not None else st.booleans()
    elif kind is int:
        found = st.integers(int(setting.ge or 0), int(setting.le if setting.le is not None else 1 << 62))
    elif kind is float:
        found = st.floats(setting.ge, setting.le, allow_nan=False, allow_infinity=False)
    elif setting.form in FORMS:
        found = FORMS[setting.form]
    else:
        text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
        found = text | st.sampled_from(["a=b:c#d!e", "C:\\x\\", "x \\", "é中😀", "a;b, c"])
    return found


@pytest.mark.parametrize("suffix", ["conf", "toml"])
@pytest.mark.parametrize("kind", FILES)
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_an_accepted_value_is_the_next_starts_value(data: st.DataObject, kind: str, suffix: str) -> None:
    classes = FILES[kind]
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, f"x.{suffix}")
        path.write_text("# mine\r\n")
        objects, report = build(classes, read_file(path))
        live = Configuration(objects, report=report, path=path)
        known = {setting.wire: setting for cls in classes for setting in settings_of(cls).values()}
        chosen = data.draw(st.lists(st.sampled_from(sorted(known)), min_size=1, max_size=12, unique=True))
        changes = {key: to_text(data.draw(values(known[key]), label=key)).strip() for key in chosen}
        try:
            live.rewrite(changes)
        except ConfigError as refused:
            assert any(f"key '{key}'" in str(refused) for key in chosen)  # noqa: PT017 - which are refused is drawn
            return
        again, _ = build(classes, read_file(path))
        assert again == objects
        shown = {entry.key: entry.value for entry in read_file(path).entries}
        assert len(shown) == len(chosen)


@pytest.mark.parametrize(("kind", "cls", "setting"), KEYS, ids=lambda value: getattr(value, "wire", None))
def test_every_key_alone_goes_to_the_file_and_back(
    tmp_path: Path, kind: str, cls: type[Any], setting: Setting
) -> None:
    """With its default, so that no key depends on luck."""
    for suffix in ("conf", "toml"):
        path = tmp_path / f"x.{suffix}"
        path.write_text("# mine\n")
        objects, report = build(FILES[kind], read_file(path))
        text = to_text(setting.default, setting.separator)
        Configuration(objects, report=report, path=path).update(f"{setting.wire}={text}".encode())
        (entry,) = read_file(path).entries
        assert entry.key == (setting.name if suffix == "toml" else setting.wire)
        again, _ = build(FILES[kind], read_file(path))
        assert again == objects


def test_keys_are_spelled_as_java_spells_them() -> None:
    """A key that differs from one of Java's only in its capitals would be read by nobody there."""
    for _, cls, setting in KEYS:
        java = java_keys(cls)
        folded = {key.lower(): key for key in java}
        assert folded.get(setting.wire.lower(), setting.wire) == setting.wire


def test_updates_do_not_move_values_that_nobody_named(tmp_path: Path) -> None:
    """Java's accessMessageInMemoryMaxRatio gets 10 less with each update and restart."""
    path = tmp_path / "broker.conf"
    text = "accessMessageInMemoryMaxRatio=40\nlistenPort=10911\nstorePathRootDir=~/x\n"
    path.write_text(text)
    for round_ in range(3):
        plan = read_plan(path)
        before = plan.configuration().text()
        plan.configuration().update(f"brokerPermission={4 + round_ % 2 * 2}".encode())
        assert plan.store_config.access_message_in_memory_max_ratio == 40
        assert path.read_text().startswith(text)
        assert path.read_text().count("\n") == 4
        kept = [line for line in before.splitlines() if not line.startswith("brokerPermission")]
        again = read_plan(path).configuration().text().splitlines()
        assert [line for line in again if not line.startswith("brokerPermission")] == kept
