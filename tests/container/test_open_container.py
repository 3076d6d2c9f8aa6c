"""`open_container` as a guest in somebody else's process."""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio
from host_state import process_state

from client import AdminClient, Message
from container import BootRefusedError, BrokerContainerConfig, BrokerState, open_container
from container.open_container import light_broker

if TYPE_CHECKING:
    from container import BrokerContainer


async def bodies_in(name_server: str, topic: str) -> list[bytes]:
    """Every message of a topic, as a client of that name server sees it."""
    found: list[bytes] = []
    async with AdminClient([name_server]) as admin:
        puller = admin.puller()
        for queue in await puller.queues(topic):
            result = await puller.pull(queue, 0)
            found += [bytes(message.body) for message in result.messages]
    return sorted(found)


async def send(name_server: str, topic: str, *bodies: bytes) -> None:
    async with AdminClient([name_server]) as admin:
        producer = admin.producer("senders")
        for body in bodies:
            await producer.send(Message(topic=topic, body=body))


def root_of(container: BrokerContainer) -> Path:
    assert container.settings.source is not None
    return container.settings.source.parent


def files_below(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]


async def test_without_arguments_it_has_a_port_a_name_server_and_a_directory_that_is_gone_at_the_end() -> (
    None
):
    async with open_container() as container:
        assert container.get_broker_controllers() == []
        assert container.broker_container_addr is not None
        assert container.namesrv_address == f"127.0.0.1:{container.namesrv_port}"
        root = root_of(container)
        assert root.is_dir()
    assert not root.exists()


async def test_a_name_is_a_broker_with_a_store_below_the_directory(tmp_path: Path) -> None:
    async with open_container(["one", "two"], directory=tmp_path) as container:
        addresses = container.broker_addresses
        assert sorted(addresses) == ["one", "two"]
        assert {address.partition(":")[0] for address in addresses.values()} == {"127.0.0.1"}
        await send(container.namesrv_address, "Topic", b"hello")
        assert await bodies_in(container.namesrv_address, "Topic") == [b"hello"]
        assert (tmp_path / "one" / "commitlog").is_dir()
    assert container.broker_addresses == {}
    assert (tmp_path / "one" / "checkpoint").exists(), "a directory that was given is kept"


async def test_a_light_broker_takes_little_of_the_disk(tmp_path: Path) -> None:
    async with open_container(["broker-a"], directory=tmp_path) as container:
        await send(container.namesrv_address, "Topic", *(b"x" * 1024 for _ in range(8)))
    files = [path.stat() for path in files_below(tmp_path)]
    assert sum(file.st_blocks * 512 for file in files) < 1 << 20
    assert sum(file.st_size for file in files) < 256 << 20, "also where files cannot be sparse"


async def test_a_light_broker_can_be_changed_before_it_starts(tmp_path: Path) -> None:
    config, store_config = light_broker("broker-a", tmp_path)
    config.auto_create_topic_enable = False
    async with (
        open_container([(config, store_config)], directory=tmp_path) as container,
        AdminClient([container.namesrv_address]) as admin,
    ):
        assert "TBW102" not in await admin.topic_names()


async def test_the_temporary_directory_is_gone_when_the_block_fails_or_is_cancelled() -> None:
    with trio.CancelScope() as scope:
        async with open_container(["broker-a"]) as container:
            cancelled = root_of(container)
            scope.cancel()
            await trio.sleep_forever()
    assert not cancelled.exists()
    with pytest.raises(FileNotFoundError) as failed:
        async with open_container(["broker-a"]) as container:
            (root_of(container) / "mine").unlink()
    assert not Path(failed.value.filename).parent.exists()


async def test_the_temporary_directory_is_gone_when_the_start_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    config, store_config = light_broker("broker-a", Path("/proc/nowhere"))
    with pytest.raises(BootRefusedError, match="broker-a"):
        async with open_container([(config, store_config)]):
            pytest.fail("it must not start")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "mine", [ValueError("mine"), pytest.skip.Exception("mine"), pytest.fail.Exception("mine"), SystemExit(3)]
)
async def test_what_the_block_raises_comes_out_as_it_is(mine: BaseException) -> None:
    with pytest.raises(type(mine)) as caught:
        async with open_container():
            raise mine
    assert caught.value is mine


async def test_a_container_with_keys_of_its_own_refuses_a_start_with_a_broker_missing(tmp_path: Path) -> None:
    good = light_broker("good", tmp_path)
    bad = light_broker("bad", Path("/proc/nowhere"))
    strict = BrokerContainerConfig(exit_on_boot_failure=True)
    with pytest.raises(BootRefusedError, match="bad"):
        async with open_container([good, bad], directory=tmp_path, config=strict):
            pytest.fail("it must not start")


async def test_two_with_the_same_names_live_in_one_process_without_seeing_each_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "rocketmq")
    async with open_container(["broker-a"]) as first, open_container(["broker-a"]) as second:
        both = (first, second)
        assert len({root_of(each) for each in both}) == 2
        assert first.peek_master_broker() is not second.peek_master_broker()
        for each, body in zip(both, (b"first", b"second"), strict=True):
            await send(each.namesrv_address, "Topic", body)
        for each, body in zip(both, (b"first", b"second"), strict=True):
            assert await bodies_in(each.namesrv_address, "Topic") == [body]
            async with AdminClient([each.namesrv_address]) as admin:
                info = await admin.cluster_info()
                assert info.broker_addr_table["broker-a"].broker_addrs == {
                    0: each.broker_addresses["broker-a"]
                }
        for each, other in (both, both[::-1]):
            lines = [line for line in caplog.messages if each.broker_addresses["broker-a"] in line]
            assert lines, "the log tells where it listens"
            assert not [line for line in lines if str(root_of(other)) in line]
        await first.shutdown()
        assert first.broker_addresses == {}
        await send(second.namesrv_address, "Topic", b"more")
        assert await bodies_in(second.namesrv_address, "Topic") == [b"more", b"second"]


async def test_many_open_and_close_side_by_side() -> None:
    async def one(number: int) -> None:
        async with open_container(["broker-a"]) as container:
            for other in range(3):
                await send(container.namesrv_address, "Topic", f"{number}-{other}".encode())
            expected = [f"{number}-{other}".encode() for other in range(3)]
            assert await bodies_in(container.namesrv_address, "Topic") == expected

    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(one, number)


async def test_the_process_of_the_host_is_as_it_was_before_meanwhile_and_afterwards() -> None:
    before = process_state()
    async with open_container(["broker-a"]) as container:
        await send(container.namesrv_address, "Topic", b"hello")
        assert process_state() == before
    assert process_state() == before


async def test_the_lines_go_to_the_handlers_of_the_host_and_to_no_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    caplog.set_level(logging.INFO, "rocketmq")
    async with open_container(["broker-a"], directory=tmp_path / "own") as container:
        (inner,) = container.get_broker_controllers()
        assert inner.state is BrokerState.RUNNING
    assert any("broker-a" in record.getMessage() for record in caplog.records)
    assert all(record.name.startswith("rocketmq.") for record in caplog.records)
    assert os.listdir(tmp_path) == ["own"]
    assert not [path for path in files_below(tmp_path) if path.suffix == ".log"]
