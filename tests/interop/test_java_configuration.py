"""Java reads the files that our updates wrote, and Java's admin tool changes our configuration."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from broker.config import BrokerConfig
from configuration import ADDRESS, DELAYS, HOURS, Configuration, Setting, build, read_file, settings_of
from configuration.fields import to_text
from configuration.java_keys import java_class_of, java_keys
from container.config import BrokerContainerConfig
from namesrv import NamesrvConfig
from remoting.config import RemotingClientConfig, RemotingServerConfig
from store import MessageStoreConfig
from tests.interop.java import start_java

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.interop.peers import JavaPeer

JAVA_CLASSES: dict[type[Any], str] = {
    BrokerConfig: "org.apache.rocketmq.common.BrokerConfig",
    MessageStoreConfig: "org.apache.rocketmq.store.config.MessageStoreConfig",
    RemotingServerConfig: "org.apache.rocketmq.remoting.netty.NettyServerConfig",
    RemotingClientConfig: "org.apache.rocketmq.remoting.netty.NettyClientConfig",
    BrokerContainerConfig: "org.apache.rocketmq.container.BrokerContainerConfig",
    NamesrvConfig: "org.apache.rocketmq.common.namesrv.NamesrvConfig",
}

NO_SETTER = {
    "isInBrokerContainer": "Java's own container sets it",
    "brokerContainerIP": "Java finds it out",
}

TEXTS = {ADDRESS: "10.1.2.3", HOURS: "05;23", DELAYS: "2s 6m"}


def other_value(setting: Setting) -> str:
    """An allowed text that is not the default."""
    if setting.choices is not None:
        choices = [choice for choice in setting.choices if choice != to_text(setting.default)]
        return choices[0]
    if setting.kind is bool:
        return to_text(not setting.default if setting.le is None else setting.default)
    if issubclass(setting.kind, enum.Enum):
        raise AssertionError("an enum has choices")
    if setting.kind in (int, float):
        number = (setting.default or 0) + 1
        return to_text(number if setting.le is None or number <= setting.le else setting.default / 2)
    return TEXTS.get(setting.form, "a=b:c #d!e \\x é中😀")  # type: ignore[call-overload,no-any-return]


def test_java_reads_what_an_update_wrote(java_peer: JavaPeer, new_home: Callable[[str], Path]) -> None:
    home = new_home("read-config")
    file = home / "all.conf"
    file.write_text("# every key\n")
    objects, report = build([*JAVA_CLASSES], read_file(file))
    keys = {
        setting.wire: other_value(setting) for cls in JAVA_CLASSES for setting in settings_of(cls).values()
    }
    Configuration(objects, report=report, path=file).rewrite(keys)
    expected = {
        f"{java_class_of(cls)}.{setting.wire}": keys[setting.wire]
        for cls in JAVA_CLASSES
        for setting in settings_of(cls).values()
        if setting.wire in java_keys(cls) and setting.wire not in NO_SETTER
    }
    with start_java(
        java_peer, "mqbc.ReadConfig", str(file), *JAVA_CLASSES.values(), name="read", home=home
    ) as java:
        java.wait_for_line("^all read$", 60)
        lines = [line.removeprefix("held ") for line in java.text().splitlines() if line.startswith("held ")]
    held = {key: unquote_plus(value) for key, _, value in (line.partition("=") for line in lines)}
    assert len(expected) > 100
    assert {key: held.get(key) for key in expected} == expected
