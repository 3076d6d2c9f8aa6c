"""The container as a whole: real sockets on free ports, stores in temporary directories."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import pytest
import trio
from container_rig import a_broker, address_of, ask, max_offset, send

from container import BootRefusedError, BrokerState, InnerBroker, open_container
from remoting.protocol.request_code import RequestCode

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


async def test_two_brokers_serve_and_their_name_server_knows_both(tmp_path: Path) -> None:
    async with open_container(
        [a_broker(tmp_path, "a"), a_broker(tmp_path, "b")], directory=tmp_path
    ) as container:
        assert [inner.state for inner in container.get_broker_controllers()] == [BrokerState.RUNNING] * 2
        answer = await ask(container.name_servers[0], RequestCode.GET_BROKER_CLUSTER_INFO)
        for inner in container.get_broker_controllers():
            assert address_of(inner).encode() in bytes(answer.body)
            sent = await send(address_of(inner), "T", b"hello")
            assert sent.code == 0, sent.remark


async def test_the_first_send_to_a_topic_is_answered_when_its_route_and_its_file_are_there(
    tmp_path: Path,
) -> None:
    async with open_container([a_broker(tmp_path, "a")], directory=tmp_path) as container:
        (inner,) = container.get_master_brokers()
        answer = await send(address_of(inner), "Fresh", b"one")
        route = await ask(
            f"127.0.0.1:{container.namesrv_port}", RequestCode.GET_ROUTEINFO_BY_TOPIC, topic="Fresh"
        )
        table = json.loads((tmp_path / "a" / "config" / "topics.json").read_text())
    assert (answer.code, route.code) == (0, 0)
    assert "Fresh" in table["topicConfigTable"]


async def test_the_embedded_name_server_tells_its_real_port(tmp_path: Path) -> None:
    async with open_container([a_broker(tmp_path, "a")], directory=tmp_path) as container:
        port = container.namesrv_port
        answer = await ask(f"127.0.0.1:{port}", RequestCode.GET_NAMESRV_CONFIG)
    assert f"listenPort={port}" in bytes(answer.body).decode().splitlines()


async def test_what_one_broker_is_sent_the_other_does_not_have(tmp_path: Path) -> None:
    async with open_container(
        [a_broker(tmp_path, "a"), a_broker(tmp_path, "b")], directory=tmp_path
    ) as container:
        first, second = map(address_of, container.get_broker_controllers())
        await send(first, "T", b"1")
        await send(first, "T", b"2")
        await send(second, "T", b"3")
        assert (await max_offset(first, "T"), await max_offset(second, "T")) == (2, 1)


async def test_a_second_start_finds_the_data_again(tmp_path: Path) -> None:
    for already in range(3):
        async with open_container([a_broker(tmp_path, "a")], directory=tmp_path) as container:
            address = address_of(container.get_broker_controllers()[0])
            if already:
                assert await max_offset(address, "T") == already
            await send(address, "T", b"hello")
        assert not (tmp_path / "a" / "abort").exists()


async def test_a_broker_whose_port_is_taken_fails_alone_and_says_which(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with open_container(
            [a_broker(tmp_path, "a"), a_broker(tmp_path, "b", port)], directory=tmp_path
        ) as container:
            (running,) = container.get_broker_controllers()
            (failed,) = container.failed_brokers
            assert (running.identity.name, failed.identity.name) == ("a", "b")
            assert failed.inner.state is BrokerState.FAILED
            assert f"127.0.0.1:{port}" in str(failed.reason)
            assert (await send(address_of(running), "T", b"hello")).code == 0
            assert container.statistics().failed[0].reason == failed.reason
    assert not any(record.exc_info for record in caplog.records), "the sentence says it all"


async def test_two_brokers_on_neighbouring_ports_are_told_apart_before_anything_is_opened(
    tmp_path: Path, free_port: int
) -> None:
    async with open_container(
        [a_broker(tmp_path, "a", free_port), a_broker(tmp_path, "b", free_port + 2)], directory=tmp_path
    ) as container:
        (failed,) = container.failed_brokers
        assert str(failed.reason) == (
            f"DefaultCluster_b_0: port {free_port} (fast port of listenPort {free_port + 2}) is already in"
            " use in this container by DefaultCluster_a_0 (listenPort); the ports of neighbours must differ"
            " by more than two"
        )
        assert not (tmp_path / "b").exists()


async def test_two_brokers_cannot_share_a_directory_and_the_first_goes_on(tmp_path: Path) -> None:
    other, _ = a_broker(tmp_path, "b")
    first, store = a_broker(tmp_path, "a")
    _, same_store = a_broker(tmp_path, "a")
    async with open_container([(first, store), (other, same_store)], directory=tmp_path) as container:
        (failed,) = container.failed_brokers
        assert f"directory {tmp_path / 'a'} (storePathRootDir) is already in use" in str(failed.reason)
        (running,) = container.get_broker_controllers()
        assert (await send(address_of(running), "T", b"hello")).code == 0
        assert (tmp_path / "a" / "abort").exists()


async def test_an_identity_is_added_once_and_can_come_back_after_removal(tmp_path: Path) -> None:
    async with open_container([a_broker(tmp_path, "a")], directory=tmp_path) as container:
        (first,) = container.get_broker_controllers()
        with pytest.raises(
            BootRefusedError, match="DefaultCluster_a_0 has already been added to current broker container"
        ):
            await container.add_broker(*a_broker(tmp_path, "a"))
        assert container.get_broker(first.identity) is first
        removed = await container.remove_broker(first.identity)
        assert removed is first
        assert first.state is BrokerState.CLOSED
        assert container.get_broker(first.identity) is None
        assert await container.remove_broker(first.identity) is None
        again = await container.add_broker(*a_broker(tmp_path, "a"))
        assert again.state is BrokerState.RUNNING
        assert container.peek_master_broker() is again


async def test_a_failed_add_leaves_nothing_behind(tmp_path: Path) -> None:
    async with open_container([a_broker(tmp_path, "a")], directory=tmp_path) as container:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(BootRefusedError, match="cannot listen"):
                await container.add_broker(*a_broker(tmp_path, "b", port))
        inner = await container.add_broker(*a_broker(tmp_path, "b"))
        assert inner.state is BrokerState.RUNNING


async def test_when_all_brokers_fail_the_start_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BootRefusedError, match=f"a: cannot listen on 127.0.0.1:{port}"):
            async with open_container([a_broker(tmp_path, "a", port)], directory=tmp_path):
                pytest.fail("it must not start")


async def test_a_container_port_that_is_taken_refuses_the_start(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BootRefusedError, match=f"cannot listen on 127.0.0.1:{port}"):
            async with open_container(directory=tmp_path, listen_port=port):
                pytest.fail("it must not start")


async def test_the_container_answers_26_with_its_configuration_and_version(tmp_path: Path) -> None:
    async with open_container(directory=tmp_path) as container:
        answer = await ask(container.broker_container_addr, RequestCode.GET_BROKER_CONFIG)
    assert answer.code == 0
    lines = bytes(answer.body).decode().splitlines()
    assert lines == sorted(lines)
    assert {"bindAddress=127.0.0.1", "embeddedNamesrv=false", "useTLS=false"} <= set(lines)
    assert json.loads(answer.ext_fields["version"])["counter"] == 0


async def test_the_container_answers_25_and_keeps_the_change(tmp_path: Path) -> None:
    async with open_container(directory=tmp_path) as container:
        address = container.broker_container_addr
        changed = await ask(address, RequestCode.UPDATE_BROKER_CONFIG, b"restartBackoffMillis=5000\n")
        assert (changed.code, changed.remark) == (0, None)
        assert container.settings.config.restart_backoff_millis == 5000
        answer = await ask(address, RequestCode.GET_BROKER_CONFIG)
        assert json.loads(answer.ext_fields["version"])["counter"] == 1
    assert "restartBackoffMillis=5000" in (tmp_path / "container.properties").read_text()


@pytest.mark.parametrize(
    ("body", "code", "remark"),
    [
        (b"", 0, None),
        (b"brokerConfigPaths=/etc/passwd\n", 16, "Can not update config in black list."),
        (b"rocketmqHome=/\n", 16, "Can not update config in black list."),
        (b"restartBackoffMillis=soon\n", 1, "restartBackoffMillis"),
        (b"namesrvAddr=nowhere\n", 1, "The Name Server Address[nowhere] illegal"),
        (b"namesrvAdr=a:1\n", 1, "did you mean 'namesrvAddr'"),
    ],
)
async def test_the_container_checks_what_25_brings(
    tmp_path: Path, body: bytes, code: int, remark: str | None
) -> None:
    async with open_container(directory=tmp_path) as container:
        answer = await ask(container.broker_container_addr, RequestCode.UPDATE_BROKER_CONFIG, body)
    assert answer.code == code
    assert (remark or "") in (answer.remark or "")


async def test_name_servers_that_25_brings_are_used_at_once(tmp_path: Path) -> None:
    async with (
        open_container(directory=tmp_path / "other") as other,
        open_container([a_broker(tmp_path, "a")], directory=tmp_path) as container,
    ):
        body = f"namesrvAddr={other.name_servers[0]}\n".encode()
        changed = await ask(container.broker_container_addr, RequestCode.UPDATE_BROKER_CONFIG, body)
        assert changed.code == 0
        (inner,) = container.get_broker_controllers()
        assert inner.broker is not None
        assert inner.broker.context is not None
        await inner.broker.context.registration.settled()
        answer = await ask(other.name_servers[0], RequestCode.GET_BROKER_CLUSTER_INFO)
        assert address_of(inner).encode() in bytes(answer.body)


@pytest.mark.parametrize(
    "code", [RequestCode.GET_ROUTEINFO_BY_TOPIC, RequestCode.GET_BROKER_RUNTIME_INFO, 901, 904, 4711]
)
async def test_the_container_answers_everything_else_with_code_3(tmp_path: Path, code: int) -> None:
    async with open_container(directory=tmp_path) as container:
        answer = await ask(container.broker_container_addr, code)
    assert answer.code == 3
    assert str(int(code)) in (answer.remark or "")


class Recorder:
    name = "recorder"

    def __init__(self, fails_on: str = "") -> None:
        self.seen: list[str] = []
        self._fails_on = fails_on

    def before_start(self, broker: InnerBroker, properties: Mapping[str, str]) -> None:
        self._see(f"before {broker.identity.name} {broker.state.value}")

    def recovering(self, broker: InnerBroker, done_bytes: int, total_bytes: int) -> None:
        self._see(f"recovering {broker.identity.name}")

    def after_start(self, broker: InnerBroker, properties: Mapping[str, str]) -> None:
        assert broker.broker is not None
        self._see(f"after {broker.identity.name}")

    def _see(self, what: str) -> None:
        self.seen.append(what)
        if what == self._fails_on:
            raise ValueError("the hook says no")


async def test_hooks_hear_of_every_start(tmp_path: Path) -> None:
    hook = Recorder()
    async with open_container([a_broker(tmp_path, "a")], directory=tmp_path, hooks=[hook]):
        assert hook.seen == ["before a starting", "after a"]


@pytest.mark.parametrize("moment", ["before b starting", "after b"])
async def test_a_failing_hook_fails_only_its_broker(tmp_path: Path, moment: str) -> None:
    brokers = [a_broker(tmp_path, "a"), a_broker(tmp_path, "b")]
    async with open_container(brokers, directory=tmp_path, hooks=[Recorder(moment)]) as container:
        (failed,) = container.failed_brokers
        assert failed.identity.name == "b"
        assert failed.reason.startswith("boot hook recorder in ")
        assert failed.reason.endswith(": the hook says no")
        assert [inner.identity.name for inner in container.get_broker_controllers()] == ["a"]
    assert not (tmp_path / "b" / "abort").exists()


async def test_a_broker_that_fails_later_is_closed_and_its_neighbour_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.broker.SAMPLE_INTERVAL_S", 0.01)
    async with open_container(
        [a_broker(tmp_path, "a"), a_broker(tmp_path, "b")], directory=tmp_path
    ) as container:
        first, second = container.get_broker_controllers()
        assert first.broker is not None
        assert first.broker.context is not None
        monkeypatch.setattr(first.broker.context.consumers, "flush_notifications", lambda: 1 / 0)
        await first.wait_closed()
        assert first.state is BrokerState.FAILED
        assert "division by zero" in str(first.reason)
        assert (await send(address_of(second), "T", b"hello")).code == 0
    assert not (tmp_path / "a" / "abort").exists()


async def test_cancelling_the_container_stops_every_broker_in_order(tmp_path: Path) -> None:
    with trio.CancelScope() as scope:
        async with open_container(
            [a_broker(tmp_path, "a"), a_broker(tmp_path, "b")], directory=tmp_path
        ) as container:
            stopped = container.get_broker_controllers()
            scope.cancel()
            await trio.sleep_forever()
    assert [inner.state for inner in stopped] == [BrokerState.CLOSED] * 2
    for name in "ab":
        assert not (tmp_path / name / "abort").exists()


async def test_shutdown_ends_the_container(tmp_path: Path) -> None:
    async with open_container([a_broker(tmp_path, "a")], directory=tmp_path) as container:
        await container.shutdown()
        assert container.get_broker_controllers() == []
        with pytest.raises(BootRefusedError, match="the container does not run"):
            await container.add_broker(*a_broker(tmp_path, "a"))
