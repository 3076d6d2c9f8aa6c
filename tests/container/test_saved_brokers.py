"""The set of brokers in the container's file."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio
from container_rig import add, broker_file, remove

from configuration import ConfigError
from container import BrokerContainer, BrokerState, read_plan, read_settings
from container.broker_files import broker_paths

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    import pytest

    from container import BrokerPlan
    from store import FileSystem


def container_file(directory: Path, text: str, name: str = "container.conf") -> Path:
    path = directory / name
    if name.endswith(".toml"):
        head = 'listen_port = 0\nbind_address = "127.0.0.1"\nembedded_namesrv = false\n'
    else:
        head = "# mine\nlistenPort=0\nbindAddress=127.0.0.1\n"
    path.write_text(head + text)
    return path


@asynccontextmanager
async def started(
    path: Path,
    *,
    files: FileSystem | None = None,
    plans: Sequence[BrokerPlan] | None = None,
    made: Callable[[BrokerContainer], object] = id,
) -> AsyncIterator[BrokerContainer]:
    """The container of a file, as the command starts it; `plans` stand for the option -b."""
    settings = read_settings(path, environ={})
    listed = settings.config.broker_config_paths or ""
    if plans is None:
        plans = [read_plan(one) for one in broker_paths(listed, path.parent)]
    container = BrokerContainer(settings, plans, files=files)
    made(container)
    async with trio.open_nursery() as nursery:
        await nursery.start(container.run)
        yield container
        nursery.cancel_scope.cancel()


async def test_an_added_broker_is_there_after_a_restart_and_a_removed_one_is_not(
    tmp_path: Path, free_ports: list[int]
) -> None:
    first, second = broker_file(tmp_path, "a", free_ports[0]), broker_file(tmp_path, "b", free_ports[1])
    path = container_file(tmp_path, "# the brokers\nbrokerConfigPaths=a.conf\nrestartBackoffMillis=70\n")
    before = path.read_text()
    async with started(path) as container:
        assert (await add(container.broker_container_addr, second)).remark is None
    assert path.read_text() == before.replace("=a.conf", f"=a.conf:{second}")
    assert (tmp_path / "container.conf.bak").read_text() == before
    async with started(path) as container:
        assert [one.identity.name for one in container.get_broker_controllers()] == ["a", "b"]
        status = await container.status()
        assert [one.saved for one in status.brokers] == [True, True]
        assert (await remove(container.broker_container_addr, "a")).remark is None
        assert (await remove(container.broker_container_addr, "b")).remark is None
    assert path.read_text() == before.replace("=a.conf", "=")
    async with started(path) as container:
        assert container.get_broker_controllers() == []
        assert (await add(container.broker_container_addr, first)).remark is None


async def test_a_relative_path_means_the_directory_of_the_container_s_file(
    tmp_path: Path, free_port: int
) -> None:
    broker_file(tmp_path, "a", free_port)
    path = container_file(tmp_path, "")
    async with started(path) as container:
        assert (await add(container.broker_container_addr, "a.conf")).code == 0
    assert f"brokerConfigPaths={tmp_path / 'a.conf'}" in path.read_text()


async def test_a_toml_file_keeps_its_form(tmp_path: Path, free_port: int) -> None:
    broker = broker_file(tmp_path, "a", free_port)
    path = container_file(tmp_path, "# end\n", "container.toml")
    async with started(path) as container:
        assert (await add(container.broker_container_addr, broker)).remark is None
    assert f'# end\nbroker_config_paths = "{broker}"\n' in path.read_text()


async def test_without_persistence_the_file_stays_as_in_java(tmp_path: Path, free_port: int) -> None:
    broker = broker_file(tmp_path, "a", free_port)
    path = container_file(tmp_path, "persistBrokerChanges=false\n")
    before = path.read_text()
    async with started(path) as container:
        answer = await add(container.broker_container_addr, broker)
        assert answer.code == 0
        assert "persistBrokerChanges is false" in str(answer.remark)
        status = await container.status()
        assert [one.saved for one in status.brokers] == [False]
    assert path.read_text() == before


async def test_a_file_that_cannot_be_written_does_not_keep_the_broker_from_serving(
    tmp_path: Path, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = broker_file(tmp_path, "a", free_port)
    path = container_file(tmp_path, "")

    def full(*_: object) -> None:
        raise ConfigError(path, None, None, "cannot be written: No space left on device")

    async with started(path) as container:
        monkeypatch.setattr("configuration.change.Configuration.rewrite", full)
        answer = await add(container.broker_container_addr, broker)
        monkeypatch.undo()
        assert answer.code == 0
        assert "No space left on device" in str(answer.remark)
        (inner,) = container.get_broker_controllers()
        assert inner.state is BrokerState.RUNNING


async def test_a_path_that_cannot_be_listed_is_said(tmp_path: Path, free_port: int) -> None:
    odd = tmp_path / "x:y"
    odd.mkdir()
    path = container_file(tmp_path, "")
    async with started(path) as container:
        answer = await add(container.broker_container_addr, broker_file(odd, "a", free_port))
    assert answer.code == 0
    assert "cannot stand in brokerConfigPaths" in str(answer.remark)
