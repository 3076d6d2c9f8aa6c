"""The log keys of a process: read from its file, shown and changed by request, without effect elsewhere."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

import logs
from configuration import ConfigError
from container import (
    BrokerContainer,
    open_container,
    read_lone_plan,
    read_namesrv_settings,
    read_plan,
    read_settings,
)
from container.log_config import LogConfig, apply_log_config
from logs import NAMESRV_LAYOUT
from remoting.client import RemotingClient
from remoting.command import RemotingCommand
from remoting.config import RemotingClientConfig
from remoting.protocol.request_code import RequestCode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from configuration import Configuration

    Reader = Callable[[Path], tuple[LogConfig | None, Configuration]]

DEFAULT_LEVEL = logging.getLogger("rocketmq").level


@pytest.fixture(autouse=True)
def _nothing_installed() -> Iterator[None]:
    yield
    logs.uninstall()


def written(directory: Path, text: str) -> Path:
    path = directory / "some.conf"
    path.write_text(text)
    return path


def of_container(path: Path) -> tuple[LogConfig | None, Configuration]:
    settings = read_settings(path)
    return settings.log_config, settings.configuration()


def of_lone_broker(path: Path) -> tuple[LogConfig | None, Configuration]:
    plan, _, _ = read_lone_plan(path)
    return plan.log_config, plan.configuration()


def of_name_server(path: Path) -> tuple[LogConfig | None, Configuration]:
    settings = read_namesrv_settings(path)
    return settings.log_config, settings.configuration()


EACH_FILE = pytest.mark.parametrize("read", [of_container, of_lone_broker, of_name_server])


@EACH_FILE
def test_the_file_of_a_process_says_where_and_how_to_log(tmp_path: Path, read: Reader) -> None:
    keys = {
        "logDirectory": str(tmp_path / "log"),
        "logLevel": "WARN",
        "logLevels": "rocketmq.store=DEBUG;rocketmq.remoting=ERROR",
        "logFormat": "json",
        "logConsoleLevel": "ERROR",
        "logFileSizeBytes": "65536",
        "logOldFiles": "3",
    }
    path = written(tmp_path, "".join(f"{key}={value}\n" for key, value in keys.items()))
    config, configuration = read(path)
    assert config is not None
    made = config.settings()
    assert (made.root, made.level, made.json) == (tmp_path / "log", logging.WARNING, True)
    assert made.levels == {"rocketmq.store": logging.DEBUG, "rocketmq.remoting": logging.ERROR}
    assert (made.console_level, made.max_size_bytes, made.keep) == (logging.ERROR, 65536, 3)
    shown = configuration.text().splitlines()
    assert {f"{key}={value}" for key, value in keys.items()} <= set(shown)


@EACH_FILE
def test_without_a_file_everything_is_as_in_java(tmp_path: Path, read: Reader) -> None:
    config, _ = read(written(tmp_path, ""))
    assert config is not None
    made = config.settings(NAMESRV_LAYOUT)
    assert made == logs.LogSettings(others=True, layout=NAMESRV_LAYOUT)
    assert made.root == Path.home() / "logs" / "rocketmqlogs"


@EACH_FILE
@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("logLevel=LOUD", "'LOUD' is not one of DEBUG, INFO, WARN, ERROR, OFF"),
        ("logLevels=rocketmq.stor=DEBUG", "is not a list of logger=level"),
        ("logLevels=rocketmq.store", "is not a list of logger=level"),
        ("logFormat=xml", "'xml' is not one of text, json"),
        ("logFileSizeBytes=1", "'1' is not an integer of at least 4096"),
        ("logOldFiles=-1", "'-1' is not an integer between 0 and 10000"),
    ],
)
def test_a_wrong_value_is_refused_with_its_line(tmp_path: Path, read: Reader, line: str, reason: str) -> None:
    path = written(tmp_path, f"# log\n{line}\n")
    with pytest.raises(ConfigError, match=reason) as refused:
        read(path)
    assert f"{path}:2" in str(refused.value)


@EACH_FILE
def test_levels_and_console_change_by_request_at_once(
    tmp_path: Path, read: Reader, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, f"logDirectory={tmp_path / 'log'}\n")
    config, configuration = read(path)
    assert config is not None
    logs.install(config.settings())
    store = logging.getLogger("rocketmq.store")
    store.debug("not yet")
    configuration.update(b"logLevels=rocketmq.store=DEBUG\nlogConsoleLevel=WARN\nlogFormat=json\n")
    store.debug("now")
    store.warning("shown")
    assert logs.flush()
    text = (tmp_path / "log" / "store.log").read_text()
    assert [line.partition(" - ")[2] for line in text.splitlines()] == ["now", "shown"]
    assert capsys.readouterr().err.endswith("shown\n")
    assert "logLevels=rocketmq.store=DEBUG" in path.read_text()
    with pytest.raises(ConfigError, match="logLevel"):
        configuration.update(b"logLevel=LOUD\nlogLevels=\n")
    assert store.isEnabledFor(logging.DEBUG)


async def test_the_request_on_the_containers_port_reaches_the_log(tmp_path: Path) -> None:
    path = written(tmp_path, f"listenPort=0\nbindAddress=127.0.0.1\nlogDirectory={tmp_path / 'log'}\n")
    settings = read_settings(path)
    assert settings.log_config is not None
    logs.install(settings.log_config.settings())
    container = BrokerContainer(settings)
    async with trio.open_nursery() as nursery:
        await nursery.start(container.run)
        assert (await update(container.broker_container_addr, "logLevel=DEBUG\n")).code == 0
        assert logging.getLogger("rocketmq.store").isEnabledFor(logging.DEBUG)
        nursery.cancel_scope.cancel()


async def test_the_log_of_a_program_is_not_changed_by_a_container_in_it(tmp_path: Path) -> None:
    async with open_container(directory=tmp_path) as container:
        answer = await update(container.broker_container_addr, "logLevel=DEBUG\n")
    assert answer.code == 1
    assert "key 'logLevel': is not known" in str(answer.remark)
    apply_log_config(None)
    apply_log_config(LogConfig(log_level="DEBUG"))
    assert logging.getLogger("rocketmq").level == DEFAULT_LEVEL


async def update(address: str | None, text: str) -> RemotingCommand:
    assert address is not None
    async with RemotingClient(RemotingClientConfig()) as client:
        request = RemotingCommand.request(RequestCode.UPDATE_BROKER_CONFIG, {}, text.encode())
        return await client.invoke(address, request, 5000)


def test_the_file_of_a_broker_in_a_container_has_no_say_in_the_log(tmp_path: Path) -> None:
    path = written(tmp_path, "brokerName=a\nlistenPort=30911\nlogLevel=DEBUG\n")
    plan = read_plan(path)
    assert plan.log_config is None
    assert plan.report.mistakes == ()
    assert plan.report.warnings == (
        f"{path}: key 'logLevel' has no effect in a container, the container's counts",
    )
    assert "logLevel" not in plan.configuration().text()
