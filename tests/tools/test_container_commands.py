"""`addBroker`, `removeBroker`, `containerStatus`: recorded answers of a Java container, and scripted ones."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import attrs
import pytest
import trio
from admin_peer import Peer, run, running_peer
from administration_peer import running_administration
from terminal import COLOURS_AND_MOVES, REPOSITORY, OnTerminal

from remoting.protocol.container_body import BrokerStatus, ContainerStatus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from click.testing import Result

    from remoting.command import RemotingCommand

ADD, REMOVE, STATUS = 902, 903, 20902


@pytest.fixture
async def java() -> AsyncIterator[Peer]:
    async with running_administration() as peer:
        yield peer


# --- adding ------------------------------------------------------------------------------------------------


async def add(peer: Peer, path: str, *options: str) -> Result:
    return await run(peer, "addBroker", "-c", peer.address, "-b", path, *options)


async def test_an_added_broker_is_told_in_javas_words(java: Peer) -> None:
    result = await add(java, " /conf/broker-c.conf ")
    assert (result.stdout, result.stderr, result.exit_code) == (
        f"add broker to {java.address} success\n",
        "",
        0,
    )


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "addBroker config path is empty"),
        ("/no/such/file", "addBroker properties empty"),
        ("/conf/slave.conf", "slave broker id must be > 0"),
    ],
)
async def test_a_refused_broker_is_one_sentence(java: Peer, path: str, reason: str) -> None:
    result = await add(java, path)
    assert (result.stdout, result.exit_code) == ("", 1)
    assert result.stderr == f"mqadmin: addBroker: {java.address} answered code 1: {reason}\n"


async def test_a_broker_that_is_there_already(java: Peer) -> None:
    java.recorded = [each for each in java.recorded if (each["code"], each["answer"]) != (ADD, 0)]
    result = await add(java, "/conf/broker-c.conf")
    assert result.exit_code == 1
    assert "DefaultCluster_broker-c_0 has already been added to current broker container" in result.stderr


async def test_what_a_container_adds_to_its_success_is_shown(java: Peer) -> None:
    java.answer(ADD, remark="it serves, but is not saved")
    result = await add(java, "/conf/broker-c.conf")
    assert result.stdout == f"add broker to {java.address} success\n"
    assert (result.stderr, result.exit_code) == ("mqadmin: addBroker: it serves, but is not saved\n", 0)
    as_json = json.loads((await add(java, "/conf/broker-c.conf", "--json")).stdout)
    assert as_json["remark"] == "it serves, but is not saved"


@attrs.define(eq=False)
class StartingPeer(Peer):
    """A container whose broker takes `starts` answers to start, and then `fails` or serves."""

    starts: int = 3
    fails: bool = False
    asked_once: trio.Event = attrs.field(factory=trio.Event)

    def serve(self, connection: object, request: RemotingCommand) -> RemotingCommand:
        self.requests.append(request)
        self.asked_once.set()
        if len(self.requests) <= self.starts:
            return request.response(1, "C_b_0 is starting: it recovers its store", {"state": "starting"})
        if self.fails:
            return request.response(1, "Failed to initialize master broker C_b_0: its disk is full")
        return request.response(0)


async def test_a_broker_that_is_starting_is_asked_for_until_it_serves() -> None:
    async with running_peer(StartingPeer()) as peer:
        result = await add(peer, "/conf/b.conf")
        assert (result.stdout, result.stderr) == (f"add broker to {peer.address} success\n", "")
        asked = [(request.code, request.ext_fields) for request in peer.requests]
        assert asked == [(ADD, {"configPath": "/conf/b.conf"})] * 4


async def test_a_broker_that_fails_while_it_starts() -> None:
    async with running_peer(StartingPeer(fails=True)) as peer:
        result = await add(peer, "/conf/b.conf")
        assert (result.stdout, result.exit_code) == ("", 1)
        assert result.stderr.endswith("Failed to initialize master broker C_b_0: its disk is full\n")


async def test_a_terminal_shows_that_it_waits_and_nothing_of_it_remains() -> None:
    async with running_peer(StartingPeer(starts=6)) as peer:
        reader, writer = os.pipe()
        with OnTerminal.mqadmin("addBroker", "-c", peer.address, "-b", "b.conf", stdout=writer) as admin:
            os.close(writer)
            seen, code = await trio.to_thread.run_sync(admin.read_to_end)
        with os.fdopen(reader) as results:
            assert results.read() == f"add broker to {peer.address} success\n"
    assert code == 0
    assert "adding the broker" in seen
    assert seen.endswith("\r\x1b[2K")


async def test_an_interrupt_leaves_the_broker_starting_and_says_so() -> None:
    async with running_peer(StartingPeer(starts=sys.maxsize)) as peer:
        assert isinstance(peer, StartingPeer)
        # A shell's background job ignores SIGINT and so would a child: a handler of ours is not inherited.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        argv = [sys.executable, "-m", "tools.mqadmin", "addBroker", "-c", peer.address, "-b", "b.conf"]
        try:
            process = await trio.lowlevel.open_process(
                argv, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        finally:
            signal.signal(signal.SIGINT, before)
        assert process.stdout is not None
        assert process.stderr is not None
        await peer.asked_once.wait()
        process.send_signal(signal.SIGINT)
        said = b"".join([part async for part in process.stderr]).decode()
        assert await process.wait() == 130
        assert said == (
            f"mqadmin: addBroker: nobody waits for the broker of b.conf any more; {peer.address} goes on "
            "starting it, 'mqadmin containerStatus' tells how it went\n"
        )
        await process.stdout.aclose()
        await process.stderr.aclose()


# --- removing ----------------------------------------------------------------------------------------------


async def remove(peer: Peer, identity: str) -> Result:
    return await run(peer, "removeBroker", "-c", peer.address, "-b", identity)


async def test_a_removed_broker_is_told_in_javas_words(java: Peer) -> None:
    result = await remove(java, "DefaultCluster:broker-c:0")
    assert (result.output, result.exit_code) == (f"remove broker from {java.address} success\n", 0)
    assert java.asked(REMOVE)[0].ext_fields == {
        "brokerClusterName": "DefaultCluster",
        "brokerName": "broker-c",
        "brokerId": "0",
    }


async def test_a_name_may_have_a_colon(java: Peer) -> None:
    await remove(java, "DefaultCluster: a:b :7")
    assert java.asked(REMOVE)[0].ext_fields["brokerName"] == "a:b"
    assert java.asked(REMOVE)[0].ext_fields["brokerId"] == "7"


async def test_a_broker_that_is_not_there(java: Peer) -> None:
    result = await remove(java, "DefaultCluster:broker-x:0")
    assert (result.stdout, result.exit_code) == ("", 1)
    assert result.stderr == f"mqadmin: removeBroker: {java.address} answered code 211: Broker not exist\n"


async def test_a_negative_id_is_not_asked_for(java: Peer) -> None:
    result = await remove(java, "DefaultCluster:broker-c:-1")
    assert (result.stdout, result.exit_code) == ("brokerId can't be negative\n", 1)
    assert java.requests == []


@pytest.mark.parametrize("identity", ["", "broker-c", "DefaultCluster:broker-c", "DefaultCluster:broker-c:x"])
async def test_what_names_no_broker_is_wrong_usage(java: Peer, identity: str) -> None:
    result = await remove(java, identity)
    assert (result.stdout, result.exit_code) == ("", 2)
    assert java.requests == []


# --- status ------------------------------------------------------------------------------------------------


def broker(name: str, **changes: object) -> BrokerStatus:
    fields: dict[str, object] = {
        "cluster_name": "C",
        "broker_name": name,
        "role": "ASYNC_MASTER",
        "state": "running",
        "saved": True,
        "listen_port": 20911,
        "fast_port": 20909,
        "ha_port": 20912,
        "share": 0.25,
        "quota_bytes": 25 << 30,
        "used_bytes": 3 << 29,
        "disk_used_ratio": 0.631,
        "put_tps": 12.34,
        "get_tps": 0.06,
        "connections": 3,
        "buffered_bytes": 2048,
    }
    return BrokerStatus(**{**fields, **changes})  # type: ignore[arg-type]


def container(*brokers: BrokerStatus, **changes: object) -> ContainerStatus:
    fields: dict[str, object] = {
        "container_addr": "10.0.0.1:10811",
        "pid": 77,
        "version": "V5_5_0",
        "name_servers": ["10.0.0.9:9876", "10.0.0.8:9876"],
        "resident_bytes": 45 << 20,
        "anonymous_bytes": 30 << 20,
        "threads": 7,
        "open_files": 60,
        "cpu_seconds": 1.25,
        "stall_recent_millis": 3.25,
        "stall_longest_millis": 40.9,
        "brokers": list(brokers),
    }
    return ContainerStatus(**{**fields, **changes})  # type: ignore[arg-type]


async def status(peer: Peer, answer: ContainerStatus, *options: str) -> Result:
    peer.answer(STATUS, body=answer.encode())
    return await run(peer, "containerStatus", "-c", peer.address, *options)


async def test_a_container_with_brokers_is_two_plain_tables(java: Peer) -> None:
    result = await status(java, container(broker("a"), broker("b", broker_id=2, role="SLAVE")))
    assert result.exit_code == 0
    process_heading, process, empty, heading, first, second = result.stdout.splitlines()
    assert process_heading.split()[:3] == ["#Container", "#Pid", "#Version"]
    assert empty == ""
    cells = dict(zip(process_heading.split(), process.split(), strict=True))
    assert cells.pop("#Up")
    assert cells == {
        "#Container": "10.0.0.1:10811",
        "#Pid": "77",
        "#Version": "V5_5_0",
        "#Memory": "45.0MiB",
        "#Anonymous": "30.0MiB",
        "#Threads": "7",
        "#Files": "60",
        "#CPU(s)": "1.2",
        "#Stall(ms)": "3/41",
        "#NameServers": "10.0.0.9:9876;10.0.0.8:9876",
    }
    assert dict(zip(heading.split(), first.split(), strict=True)) == {
        "#Broker": "C:a:0",
        "#Role": "ASYNC_MASTER",
        "#State": "running",
        "#Ports": "20911/20909/20912",
        "#Share": "25%",
        "#Used": "1.5GiB",
        "#Quota": "25.0GiB",
        "#Disk": "63%",
        "#Oldest": "-",
        "#InTPS": "12.3",
        "#OutTPS": "0.1",
        "#Memory": "2.0KiB",
        "#Clients": "3",
    }
    assert second.split()[:2] == ["C:b:2", "SLAVE"]


async def test_what_concerns_an_operator_is_below(java: Peer) -> None:
    answer = container(
        broker("a", disk_note="a purge of 3 GiB waits for quotaPurgeConfirmed=true", saved=False),
        broker("b", state="failed", reason="disk is gone", retry_in_millis=4000, disk_used_ratio=-1.0),
        broker("c", state="failed", reason=None),
        warnings=["the shares of one partition add up to 1.5"],
        dropped_log_lines=9,
    )
    result = await status(java, answer)
    assert result.stdout.splitlines()[7:] == [
        "",
        "WARN: the shares of one partition add up to 1.5",
        "WARN: 9 log lines were dropped",
        "DISK: C:a:0: a purge of 3 GiB waits for quotaPurgeConfirmed=true",
        "NOTE: C:a:0 is not there after a restart of the container",
        "FAILED: C:b:0: disk is gone; starts again in 4s",
        "FAILED: C:c:0: no reason given",
    ]
    assert result.stdout.splitlines()[5].split()[3:9] == ["20911/20909/20912", "-", "-", "-", "-", "-"]


async def test_a_failed_broker_is_a_failure_but_all_is_shown(java: Peer) -> None:
    result = await status(
        java, container(broker("a"), broker("b", state="failed", reason="no disk")), "--json"
    )
    assert result.exit_code == 1
    assert result.stderr == "mqadmin: containerStatus: 1 of 2 brokers failed: C:b:0\n"
    shown = json.loads(result.stdout)
    assert [each["state"] for each in shown["brokers"]] == ["running", "failed"]
    assert shown["brokers"][1]["reason"] == "no disk"
    assert shown["pid"] == 77


async def test_json_is_the_whole_body(java: Peer) -> None:
    answer = container(broker("a"))
    result = await status(java, answer, "--json")
    assert ContainerStatus.from_json_object(json.loads(result.stdout)) == answer


async def test_states_have_colours_on_a_terminal(java: Peer) -> None:
    answer = container(broker("a"), broker("b", state="starting"), broker("c", state="failed"))
    java.answer(STATUS, body=answer.encode())
    with OnTerminal.mqadmin("containerStatus", "-c", java.address) as admin:
        seen, code = await trio.to_thread.run_sync(admin.read_to_end)
    assert code == 1
    assert "\x1b[32mrunning" in seen
    assert "\x1b[33mstarting" in seen
    assert "\x1b[1;31mfailed" in seen
    assert "#" not in COLOURS_AND_MOVES.sub("", seen)


async def test_what_is_no_container(java: Peer) -> None:
    result = await run(java, "containerStatus", "-c", java.address)
    assert (result.stdout, result.exit_code) == ("", 1)
    assert "answered code 3" in result.stderr
    assert "that is no container, which has a port of its own" in result.stderr
    assert len(result.stderr.splitlines()) == 1
