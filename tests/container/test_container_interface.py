"""What a program sees of a container: RocketMQ's `IBrokerContainer`, its hooks and its statistics."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest
from container_rig import a_broker, ask, broker_file

from container import (
    BootRefusedError,
    BrokerContainer,
    BrokerIdentity,
    BrokerState,
    InnerBroker,
    open_container,
    read_plan,
    read_settings,
)
from remoting.protocol.request_code import RequestCode
from store import MessageStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


async def test_brokers_are_listed_in_the_order_of_their_addition(tmp_path: Path) -> None:
    async with open_container([a_broker(tmp_path, "b")], directory=tmp_path) as container:
        assert container.peek_master_broker() is container.get_broker(
            BrokerIdentity("DefaultCluster", "b", 0)
        )
        await container.add_broker(*a_broker(tmp_path, "a"))
        names = [inner.identity.name for inner in container.get_broker_controllers()]
        assert names == ["b", "a"]
        assert container.get_master_brokers() == container.get_broker_controllers()
        assert container.get_slave_brokers() == container.get_dledger_brokers() == []
        assert list(container.broker_addresses) == names


async def test_a_container_without_a_broker_that_runs_has_no_master_to_peek_at(tmp_path: Path) -> None:
    async with open_container([a_broker(tmp_path, "a")], directory=tmp_path) as container:
        running = container.peek_master_broker()
        assert running is not None
        assert await container.remove_broker(running.identity) is running
        assert container.peek_master_broker() is None
        assert container.get_master_brokers() == []
        assert container.get_broker(BrokerIdentity("DefaultCluster", "nobody", 0)) is None
        assert await container.remove_broker(BrokerIdentity("DefaultCluster", "nobody", 0)) is None


async def test_its_address_answers_while_it_runs_and_is_gone_afterwards(tmp_path: Path) -> None:
    async with open_container(directory=tmp_path) as container:
        address = container.broker_container_addr
        assert (await ask(address, RequestCode.GET_BROKER_CONFIG)).code == 0
        assert address is not None
        host, port = address.split(":")
    with pytest.raises(OSError, match="refused"), socket.create_connection((host, int(port))):
        pytest.fail("nobody may listen there")


def test_before_it_runs_it_has_no_address_and_no_brokers(tmp_path: Path) -> None:
    (tmp_path / "container.conf").write_text("listenPort=0\n")
    container = BrokerContainer(read_settings(tmp_path / "container.conf"))
    assert container.broker_container_addr is None
    assert container.get_broker_controllers() == []
    assert container.peek_master_broker() is None
    assert container.statistics().brokers == ()


async def test_before_it_runs_no_broker_can_be_added(tmp_path: Path) -> None:
    (tmp_path / "container.conf").write_text("listenPort=0\n")
    container = BrokerContainer(read_settings(tmp_path / "container.conf"))
    with pytest.raises(BootRefusedError, match="the container does not run"):
        await container.add_broker(*a_broker(tmp_path, "a"))


async def test_statistics_tell_who_runs_and_who_has_failed_and_why(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        brokers = [a_broker(tmp_path, "a"), a_broker(tmp_path, "b", port)]
        async with open_container(brokers, directory=tmp_path) as container:
            found = container.statistics()
    (running,) = found.brokers
    (failed,) = found.failed
    assert (running.canonical_name, running.state) == ("DefaultCluster_a_0", BrokerState.RUNNING)
    assert (running.reason, running.restarts) == (None, 0)
    assert (failed.canonical_name, failed.state) == ("DefaultCluster_b_0", BrokerState.FAILED)
    assert f":{port}: " in str(failed.reason)


class PlainHook:
    """As RocketMQ's `BrokerBootHook`: before and after the start, nothing else."""

    name = "plain"

    def __init__(self) -> None:
        self.properties: dict[str, dict[str, str]] = {}

    def before_start(self, broker: InnerBroker, properties: Mapping[str, str]) -> None:
        self.properties[f"before {broker.identity}"] = dict(properties)

    def after_start(self, broker: InnerBroker, properties: Mapping[str, str]) -> None:
        self.properties[f"after {broker.identity}"] = dict(properties)


class WatchesRecovery(PlainHook):
    """Hears of recoveries besides."""

    def __init__(self) -> None:
        super().__init__()
        self.recovered: list[tuple[int, int]] = []
        self.fails = ""
        """Name of the broker whose recovery it does not like."""

    def recovering(self, broker: InnerBroker, done_bytes: int, total_bytes: int) -> None:
        if broker.identity.name == self.fails:
            raise ValueError("not like this")
        self.recovered.append((done_bytes, total_bytes))


async def test_hooks_get_the_keys_of_the_file_as_they_are_written_there(
    tmp_path: Path, free_port: int
) -> None:
    file = broker_file(tmp_path, "a", free_port, myOwnKey="for the hook")
    hook = PlainHook()
    async with open_container(directory=tmp_path, hooks=[hook]) as container:
        plan = read_plan(file)
        await container.add_broker(plan.config, plan.store_config)
        assert hook.properties == {"before DefaultCluster_a_0": {}, "after DefaultCluster_a_0": {}}
        (running,) = container.get_broker_controllers()
        await container.remove_broker(running.identity)
        answer = await ask(container.broker_container_addr, RequestCode.ADD_BROKER, configPath=str(file))
        assert answer.code == 0, answer.remark
    for moment in ("before", "after"):
        properties = hook.properties[f"{moment} DefaultCluster_a_0"]
        assert properties["myOwnKey"] == "for the hook"
        assert properties["listenPort"] == str(free_port)


@pytest.fixture
def recoveries_tell_how_far_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those that take no time."""
    load = MessageStore.load

    def tell(self: MessageStore, progress: Callable[[int, int], None], *more: Any) -> None:
        progress(1, 2)
        load(self, progress, *more)

    monkeypatch.setattr(MessageStore, "load", tell)


@pytest.mark.usefixtures("recoveries_tell_how_far_they_are")
async def test_a_hook_need_not_care_for_recoveries(tmp_path: Path) -> None:
    plain, watching = PlainHook(), WatchesRecovery()
    async with open_container(
        [a_broker(tmp_path, "a")], directory=tmp_path, hooks=[plain, watching]
    ) as container:
        assert container.failed_brokers == []
    assert watching.recovered[0] == (1, 2)
    assert len(plain.properties) == 2


@pytest.mark.usefixtures("recoveries_tell_how_far_they_are")
async def test_a_hook_that_fails_in_a_recovery_fails_only_that_broker(tmp_path: Path) -> None:
    hook = WatchesRecovery()
    hook.fails = "a"
    brokers = [a_broker(tmp_path, "a"), a_broker(tmp_path, "b")]
    async with open_container(brokers, directory=tmp_path, hooks=[hook]) as container:
        (failed,) = container.failed_brokers
        assert failed.identity.name == "a"
        assert failed.reason == "boot hook plain in recovering: not like this"
        assert [inner.identity.name for inner in container.get_broker_controllers()] == ["b"]
        hook.fails = ""
        again = await container.add_broker(*a_broker(tmp_path, "a"))
        assert again.state is BrokerState.RUNNING
