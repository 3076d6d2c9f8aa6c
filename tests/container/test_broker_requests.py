"""ADD_BROKER and REMOVE_BROKER as an operator's tool sends them, and what is left of brokers that failed."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import attrs
import pytest
import trio
from container_rig import add, address_of, ask, broker_file, max_offset, remove, send, until

from container import BrokerState, open_container
from logs import BrokerIdentity
from remoting.protocol.container_body import ContainerStatus
from remoting.protocol.request_code import RequestCode
from store import OsFileSystem, StoreIOError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from container import BrokerContainer, InnerBroker
    from remoting.command import RemotingCommand


A = BrokerIdentity("DefaultCluster", "a", 0)


def the(container: BrokerContainer, name: str) -> InnerBroker:
    inner = container.get_broker(BrokerIdentity("DefaultCluster", name, 0))
    assert inner is not None
    return inner


async def test_a_broker_is_added_serves_and_is_removed(tmp_path: Path, free_port: int) -> None:
    path = broker_file(tmp_path, "a", free_port)
    async with open_container(directory=tmp_path) as container:
        address = container.broker_container_addr
        added = await add(address, path)
        assert (added.code, added.remark) == (0, None)
        broker = address_of(the(container, "a"))
        assert (await send(broker, "T", b"hello")).code == 0
        route = await ask(container.name_servers[0], RequestCode.GET_ROUTEINFO_BY_TOPIC, topic="T")
        assert broker.encode() in bytes(route.body)

        removed = await remove(address, "a")
        assert (removed.code, removed.remark) == (0, None)
        assert container.get_broker_controllers() == []
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", free_port))
        assert not (tmp_path / "a" / "abort").exists()
        route = await ask(container.name_servers[0], RequestCode.GET_ROUTEINFO_BY_TOPIC, topic="T")
        assert broker.encode() not in bytes(route.body)

        assert (await add(address, path)).code == 0
        assert await max_offset(address_of(the(container, "a")), "T") == 1


@pytest.mark.parametrize(
    ("settings", "remark"),
    [
        ({"brokerRole": "SLAVE", "brokerId": 0}, "slave broker id must be > 0"),
        ({"totalReplicas": 1, "inSyncReplicas": 2}, "invalid replicas number"),
        ({"totalReplicas": 2, "inSyncReplicas": 1, "minInSyncReplicas": 2}, "invalid replicas number"),
        (
            {"duplicationEnable": "true"},
            "Can not add broker to container when duplicationEnable is true currently",
        ),
    ],
)
async def test_java_s_remarks_to_the_letter(
    tmp_path: Path, free_port: int, settings: Mapping[str, object], remark: str
) -> None:
    path = broker_file(tmp_path, "a", free_port, **settings)
    async with open_container(directory=tmp_path) as container:
        answer = await add(container.broker_container_addr, path)
        assert (answer.code, answer.remark) == (1, remark)
        assert container.get_broker_controllers() == []
        assert container.failed_brokers == []


async def test_a_file_that_is_not_named_not_there_or_wrong(tmp_path: Path, free_port: int) -> None:
    async with open_container(directory=tmp_path) as container:
        address = container.broker_container_addr
        for nothing in ("", "  "):
            answer = await add(address, nothing)
            assert (answer.code, answer.remark) == (1, "addBroker config path is empty")
        answer = await ask(address, RequestCode.ADD_BROKER)
        assert (answer.code, answer.remark) == (1, "addBroker config path is empty")
        answer = await add(address, tmp_path / "not-there.conf")
        assert (answer.code, answer.remark) == (1, "addBroker properties empty")
        answer = await add(address, broker_file(tmp_path, "a", free_port, flushDiskType="SOMETIMES"))
        assert answer.code == 1
        assert "flushDiskType" in str(answer.remark)
        assert "a.conf" in str(answer.remark)


async def test_a_second_add_is_the_duplicate_that_it_is(tmp_path: Path, free_ports: list[int]) -> None:
    path = broker_file(tmp_path, "a", free_ports[0])
    async with open_container(directory=tmp_path) as container:
        address = container.broker_container_addr
        assert (await add(address, path)).code == 0
        again = await add(address, path)
        assert again.code == 1
        assert again.remark == "DefaultCluster_a_0 has already been added to current broker container"
        other = broker_file(tmp_path / "..", tmp_path.name, free_ports[1], brokerName="a")
        assert (await add(address, other)).remark == again.remark


async def test_a_port_or_directory_of_a_neighbour_is_refused_and_the_neighbour_serves(
    tmp_path: Path, free_ports: list[int]
) -> None:
    port = free_ports[0]
    async with open_container(directory=tmp_path) as container:
        address = container.broker_container_addr
        assert (await add(address, broker_file(tmp_path, "a", port))).code == 0
        marker = (tmp_path / "a" / "abort").stat().st_ino
        close = await add(address, broker_file(tmp_path, "b", port + 2))
        assert close.code == 1
        assert str(close.remark).startswith("Failed to initialize master broker DefaultCluster_b_0: ")
        assert str(port) in str(close.remark)
        same = broker_file(tmp_path, "c", free_ports[1], storePathRootDir=tmp_path / "a")
        shared = await add(address, same)
        assert shared.code == 1
        assert str(tmp_path / "a") in str(shared.remark)
        assert (tmp_path / "a" / "abort").stat().st_ino == marker
        assert (await send(address_of(the(container, "a")), "T", b"hello")).code == 0
        assert (await add(address, broker_file(tmp_path, "b", free_ports[2]))).code == 0


@pytest.mark.parametrize(
    ("fields", "missing"),
    [
        ({"brokerClusterName": "C", "brokerId": "0"}, "brokerName"),
        ({"brokerName": "a", "brokerId": "0"}, "brokerClusterName"),
        ({"brokerName": "a", "brokerClusterName": "C"}, "brokerId"),
    ],
)
async def test_what_a_removal_must_name(tmp_path: Path, fields: dict[str, str], missing: str) -> None:
    async with open_container(directory=tmp_path) as container:
        answer = await ask(container.broker_container_addr, RequestCode.REMOVE_BROKER, **fields)
        assert answer.code == 1
        assert f"the custom field <{missing}> is null" in str(answer.remark)


async def test_removing_what_is_not_there(tmp_path: Path) -> None:
    async with open_container(directory=tmp_path) as container:
        answer = await remove(container.broker_container_addr, "nobody")
        assert (answer.code, answer.remark) == (211, "Broker not exist")


class HeldFiles(OsFileSystem):
    """A disk on which the start of broker `name` waits until somebody lets it go on."""

    def __init__(self, name: str) -> None:
        self.waits = trio.Event()
        self._go = threading.Event()
        self._part = f"/{name}/commitlog"
        self._fails = False

    def let_go(self, *, fails: bool = False) -> None:
        self._fails = fails
        self._go.set()

    def listdir(self, path: str) -> list[str]:
        if path.endswith(self._part) and not self._go.is_set():
            trio.from_thread.run_sync(self.waits.set)
            self._go.wait(60)
            if self._fails:
                raise StoreIOError(OSError(5, "Input/output error"), "listdir", path)
        return super().listdir(path)


@attrs.define
class Outcome:
    answer: RemotingCommand | None = None


async def _add_into(outcome: Outcome, address: str | None, path: Path) -> None:
    outcome.answer = await add(address, path)


async def test_while_a_broker_starts_everything_else_is_answered(
    tmp_path: Path, free_ports: list[int]
) -> None:
    files = HeldFiles("slow")
    slow, quick = broker_file(tmp_path, "slow", free_ports[0]), broker_file(tmp_path, "quick", free_ports[1])
    async with open_container(directory=tmp_path, files=files) as container, trio.open_nursery() as nursery:
        address, first = container.broker_container_addr, Outcome()
        nursery.start_soon(_add_into, first, address, slow)
        await files.waits.wait()
        assert (await ask(address, RequestCode.GET_BROKER_CONFIG)).code == 0
        assert (await add(address, quick)).code == 0
        again = await add(address, slow)
        assert again.remark == "DefaultCluster_slow_0 has already been added to current broker container"
        status = ContainerStatus.decode((await ask(address, RequestCode.GET_CONTAINER_STATUS)).body)
        assert {one.broker_name: one.state for one in status.brokers} == {
            "slow": "starting",
            "quick": "running",
        }
        assert first.answer is None
        files.let_go()
        await until(lambda: first.answer)
        assert first.answer is not None
        assert first.answer.code == 0


@pytest.mark.parametrize("fails", [False, True])
async def test_a_long_start_is_answered_as_such_and_the_next_request_resolves_it(
    tmp_path: Path, free_port: int, fails: bool
) -> None:
    files = HeldFiles("a")
    path = broker_file(tmp_path, "a", free_port)
    async with open_container(directory=tmp_path, files=files) as container:
        address = container.broker_container_addr
        container.config.add_broker_answer_millis = 10
        for _ in range(2):
            starting = await add(address, path)
            assert (starting.code, starting.ext_fields.get("state")) == (1, "starting")
            assert str(starting.remark).startswith("DefaultCluster_a_0 is starting: ")
        inner = the(container, "a")
        files.let_go(fails=fails)
        await inner.wait_settled()
        resolved = await add(address, path)
        if fails:
            assert resolved.code == 1
            assert str(resolved.remark).startswith("Failed to initialize master broker DefaultCluster_a_0: ")
            assert "Input/output error" in str(resolved.remark)
            container.config.add_broker_answer_millis = 10_000
            assert (await add(address, path)).code == 0
        else:
            assert resolved.code == 0
            again = await add(address, path)
            assert again.remark == "DefaultCluster_a_0 has already been added to current broker container"


async def test_an_unasked_outcome_is_not_told_of_a_later_start(tmp_path: Path, free_port: int) -> None:
    files = HeldFiles("a")
    path = broker_file(tmp_path, "a", free_port)
    async with open_container(directory=tmp_path, files=files) as container:
        address = container.broker_container_addr
        container.config.add_broker_answer_millis = 10
        assert (await add(address, path)).ext_fields.get("state") == "starting"
        inner = the(container, "a")
        files.let_go()
        await inner.wait_settled()
        container.config.add_broker_answer_millis = 10_000
        assert (await remove(address, "a")).code == 0
        assert (await add(address, path)).code == 0
        assert the(container, "a").state is BrokerState.RUNNING


async def test_removing_a_broker_that_starts_ends_its_start(tmp_path: Path, free_port: int) -> None:
    files = HeldFiles("a")
    path = broker_file(tmp_path, "a", free_port)
    async with open_container(directory=tmp_path, files=files) as container, trio.open_nursery() as nursery:
        address, first = container.broker_container_addr, Outcome()
        nursery.start_soon(_add_into, first, address, path)
        await files.waits.wait()
        container.config.remove_broker_timeout_millis = 100
        late = await remove(address, "a")
        assert late.code == 1
        assert "is still stopping" in str(late.remark)
        container.config.remove_broker_timeout_millis = 10_000
        files.let_go()
        gone = await remove(address, "a")
        assert gone.code in (0, 211)  # closed before or after this request came
        await until(lambda: first.answer)
        assert first.answer is not None
        assert first.answer.remark == "DefaultCluster_a_0 was removed before it had started"
        assert (await add(address, path)).code == 0


def make_it_fail(inner: InnerBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service of `inner` raises at the next look at its clients."""
    assert inner.broker is not None
    assert inner.broker.context is not None
    monkeypatch.setattr(inner.broker.context.consumers, "flush_notifications", lambda: 1 / 0)


async def test_a_broker_that_dies_is_shown_removed_and_added_again(
    tmp_path: Path, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.broker.SAMPLE_INTERVAL_S", 0.01)
    path = broker_file(tmp_path, "a", free_port)
    async with open_container(directory=tmp_path) as container:
        address = container.broker_container_addr
        for way_out in ("remove", "add"):
            assert (await add(address, path)).code == 0
            inner = the(container, "a")
            make_it_fail(inner, monkeypatch)
            await until(lambda: container.failed_brokers)
            status = ContainerStatus.decode((await ask(address, RequestCode.GET_CONTAINER_STATUS)).body)
            (shown,) = status.brokers
            assert (shown.broker_name, shown.state, shown.retry_in_millis) == ("a", "failed", None)
            assert "division by zero" in str(shown.reason)
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", free_port))
            if way_out == "remove":
                answer = await remove(address, "a")
                assert answer.code == 0
                assert "division by zero" in str(answer.remark)
                assert (await remove(address, "a")).code == 211
        assert (await add(address, path)).code == 0
        assert container.failed_brokers == []


async def test_a_failed_broker_is_started_again_with_growing_pauses(
    tmp_path: Path, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.broker.SAMPLE_INTERVAL_S", 0.01)
    path = broker_file(tmp_path, "a", free_port)
    async with open_container(directory=tmp_path) as container:
        address = container.broker_container_addr
        container.config.restart_backoff_millis = 10
        assert (await add(address, path)).code == 0
        assert (
            await ask(address, RequestCode.UPDATE_BROKER_CONFIG, b"restartFailedBrokers=true\n")
        ).code == 0
        for attempt in (1, 2, 3):
            dying = the(container, "a")
            make_it_fail(dying, monkeypatch)
            await dying.wait_closed()
            await until(lambda: container.get_broker(A))
            again = the(container, "a")
            await again.wait_settled()
            assert (again.state, again.restarts) == (BrokerState.RUNNING, attempt)
        assert container.failed_brokers == []
        assert (await send(address_of(again), "T", b"hello")).code == 0


async def test_a_restart_waits_for_what_stands_in_its_way(
    tmp_path: Path, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.broker.SAMPLE_INTERVAL_S", 0.01)
    path = broker_file(tmp_path, "a", free_port)
    async with open_container(directory=tmp_path) as container:
        address = container.broker_container_addr
        container.config.restart_failed_brokers = True
        container.config.restart_backoff_millis = 10
        container.config.restart_backoff_max_millis = 20
        assert (await add(address, path)).code == 0
        path.write_text(path.read_text() + "flushDiskType=SOMETIMES\n")
        inner = the(container, "a")
        make_it_fail(inner, monkeypatch)
        await until(lambda: container.failed_brokers)
        (failed,) = container.failed_brokers
        await until(lambda: "flushDiskType" in failed.reason)
        assert failed.retry_at is not None
        broker_file(tmp_path, "a", free_port)
        await until(lambda: container.get_broker(inner.identity))
        await the(container, "a").wait_settled()
        assert the(container, "a").state is BrokerState.RUNNING


async def test_turning_restarts_off_or_removing_ends_the_waiting(
    tmp_path: Path, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.broker.SAMPLE_INTERVAL_S", 0.01)
    path = broker_file(tmp_path, "a", free_port)
    async with open_container(directory=tmp_path) as container:
        address = container.broker_container_addr
        container.config.restart_failed_brokers = True
        assert (await add(address, path)).code == 0
        inner = the(container, "a")
        make_it_fail(inner, monkeypatch)
        await until(lambda: container.failed_brokers)
        (failed,) = container.failed_brokers
        assert failed.retry_at is not None
        await ask(address, RequestCode.UPDATE_BROKER_CONFIG, b"restartFailedBrokers=false\n")
        assert failed.retry_at is None
        await ask(address, RequestCode.UPDATE_BROKER_CONFIG, b"restartFailedBrokers=true\n")
        assert failed.retry_at is not None
        assert (await remove(address, "a")).code == 0
        assert (failed.retry_at, container.failed_brokers) == (None, [])
