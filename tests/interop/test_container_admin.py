"""A container under the hands of an operator: Java's `mqadmin` 5.5.0 adds, removes, reads and updates.

The rows of the conformance probes that concern the container itself. Its codes and remarks are those of
Java's `BrokerContainerProcessor`; what Java does worse (silence on unknown codes, brokers that stay in the
route after a kill, a message id that nobody answers) is tested as we do it. Nothing here runs against a Java
container: it has no answer to half of the questions.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.interop.cluster import REPOSITORY, start_java_namesrv, start_our_namesrv
from tests.interop.container import CLUSTER, OurContainer, read_properties
from tests.interop.java import Driver, start_java, start_java_server
from tests.interop.processes import ProcessError
from tests.interop.wire import ask, broker_addresses, wait_until_gone
from tests.ports import lease_broker_port, lease_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.interop.container import BrokerFile
    from tests.interop.peers import JavaPeer

WAIT_MS = 40_000
WAIT_S = WAIT_MS / 1000

GET_ROUTE, GET_CONFIG, UPDATE_CONFIG, PULL_MESSAGE = 105, 26, 25, 11


@pytest.fixture(scope="module", autouse=True)
def _ours_only(system_under_test: str) -> None:
    if system_under_test != "ours":
        pytest.skip("these are tests of our container")


@pytest.fixture(scope="module")
def container(new_home: Callable[[str], Path]) -> Iterator[OurContainer]:
    """Two brokers; tests add further ones and remove them again."""
    with OurContainer(new_home("container"), ["first", "second"]) as container:
        container.start()
        yield container


@pytest.fixture(scope="module")
def admin(container: OurContainer, java_peer: JavaPeer, new_home: Callable[[str], Path]) -> Iterator[Driver]:
    """A JVM with Java's admin tool and Java clients of the container."""
    with Driver(java_peer, home=new_home("admin"), name_server=container.name_server) as driver:
        yield driver


@pytest.fixture
def added(container: OurContainer, unique: Callable[[str], str]) -> Iterator[Callable[..., BrokerFile]]:
    """Writes broker files; whatever of them is in the container at the end of the test is removed."""
    names: list[str] = []

    def write(stem: str, **keys: Any) -> BrokerFile:
        broker = container.broker_file(unique(stem), **keys)
        names.append(broker.name)
        return broker

    yield write
    for name in names:
        assert container.remove(name).code in (0, 211)


def mqadmin_add(admin: Driver, container: OurContainer, path: object) -> str:
    return admin.admin("addBroker", "-c", container.address, "-b", str(path))


def mqadmin_remove(admin: Driver, container: OurContainer, identity: str) -> str:
    return admin.admin("removeBroker", "-c", container.address, "-b", identity)


def assert_added(printed: str, container: OurContainer) -> None:
    assert printed.split("\n")[-1] == f"add broker to {container.address} success", printed


def assert_removed(printed: str, container: OurContainer) -> None:
    assert printed.split("\n")[-1] == f"remove broker from {container.address} success", printed


def assert_refused(printed: str, code: int, remark: str) -> None:
    """Java's tool prints the answer as the text of an exception."""
    assert f"MQBrokerException: CODE: {code}  DESC: {remark}" in printed, printed


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def is_bound(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return True
    return False


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.05)


def ours(container: OurContainer, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Our own `mqadmin`, as scripts run it."""
    return subprocess.run(
        [sys.executable, "-m", "tools.mqadmin", *arguments],
        cwd=REPOSITORY,
        env=dict(os.environ) | {"NAMESRV_ADDR": container.name_server},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# Boot


def test_boot_prints_java_s_lines_and_both_brokers_are_listed(container: OurContainer, admin: Driver) -> None:
    success = r"boot success\. serializeType=JSON"
    container.process.wait_for_line(rf"^The broker container {success} and name server is ", WAIT_S)
    for broker in container.brokers.values():
        container.process.wait_for_line(f"^Start broker from config file path {broker.path}$", WAIT_S)
        container.process.wait_for_line(rf"^Broker \[{broker.name}-0\] {success}", WAIT_S)
    rows = [line.split()[:4] for line in admin.admin("clusterList").splitlines() if CLUSTER in line]
    for broker in container.brokers.values():
        assert [CLUSTER, broker.name, "0", broker.address] in rows


def test_boot_with_a_slave_without_an_id_ends_the_process(new_home: Callable[[str], Path]) -> None:
    home = new_home("bad-boot")
    with OurContainer(home, ["good"]) as container:
        bad = container.broker_file("bad", brokerRole="SLAVE")
        text = container.file.read_text()
        container.file.write_text(re.sub(r"(?m)^(brokerConfigPaths=.*)$", rf"\1:{bad.path}", text))
        process = container.launch()
        assert process.wait(60) == 253, process.tail()
        assert "Slave's brokerId must be > 0" in process.text()
        assert not (home / "good").exists(), "the good one was not touched"


# Add


def test_add_is_seen_at_once(
    container: OurContainer, admin: Driver, added: Callable[..., BrokerFile]
) -> None:
    broker = added("come")
    assert_added(mqadmin_add(admin, container, broker.path), container)
    assert broker_addresses(container.name_server)[broker.name] == {"0": broker.address}
    assert listens(broker.port)
    assert listens(broker.port - 2)
    # Nothing replicates yet: the HA port is kept for that, nobody listens on it.
    assert is_bound(broker.port + 1)
    assert not listens(broker.port + 1)
    assert_removed(mqadmin_remove(admin, container, broker.identity), container)
    assert broker.name not in broker_addresses(container.name_server)
    assert not any(is_bound(broker.port + step) for step in (-2, 0, 1))


@pytest.mark.parametrize(
    ("keys", "remark"),
    [
        ({"brokerRole": "SLAVE", "brokerId": 0}, "slave broker id must be > 0"),
        ({"totalReplicas": 1, "inSyncReplicas": 2}, "invalid replicas number"),
        ({"totalReplicas": 2, "inSyncReplicas": 1, "minInSyncReplicas": 2}, "invalid replicas number"),
        (
            {"duplicationEnable": "true"},
            "Can not add broker to container when duplicationEnable is true currently",
        ),
    ],
    ids=["slave 0", "inSync > total", "min > inSync", "duplication"],
)
def test_add_refuses_with_java_s_remarks(
    container: OurContainer,
    admin: Driver,
    added: Callable[..., BrokerFile],
    keys: dict[str, object],
    remark: str,
) -> None:
    broker = added("refused", **keys)
    assert_refused(mqadmin_add(admin, container, broker.path), 1, remark)
    assert (container.add(broker.path).code, container.add(broker.path).header["remark"]) == (1, remark)
    assert not broker.store.exists()


def test_add_without_a_file(container: OurContainer, admin: Driver) -> None:
    assert_refused(mqadmin_add(admin, container, " "), 1, "addBroker config path is empty")
    missing = container.home / "nobody-wrote-this.conf"
    assert_refused(mqadmin_add(admin, container, missing), 1, "addBroker properties empty")
    answer = container.ask(902)
    assert (answer.code, answer.header["remark"]) == (1, "addBroker config path is empty")


def test_add_of_one_that_is_there(container: OurContainer, admin: Driver) -> None:
    first = container.brokers["first"]
    remark = f"{first.canonical_name} has already been added to current broker container"
    assert_refused(mqadmin_add(admin, container, first.path), 1, remark)
    # The same identity with everything else different is the same broker.
    other = container.broker_file("first-again", brokerName="first")
    assert_refused(mqadmin_add(admin, container, other.path), 1, remark)
    assert not other.store.exists()


def test_a_failed_add_leaves_nothing_and_the_next_succeeds(
    container: OurContainer, admin: Driver, added: Callable[..., BrokerFile]
) -> None:
    broker = added("busy")
    with socket.socket() as stranger:
        stranger.bind(("0.0.0.0", broker.port - 2))
        stranger.listen()
        before = container.status()
        printed = mqadmin_add(admin, container, broker.path)
        assert_refused(printed, 1, f"Failed to initialize master broker {broker.canonical_name}")
        assert str(broker.port - 2) in printed, "the cause is told too"
        after = container.status()
        assert not broker.store.exists()
        assert not is_bound(broker.port)
    assert after["openFiles"] <= before["openFiles"]
    assert [each["brokerName"] for each in after["brokers"]] == [
        each["brokerName"] for each in before["brokers"]
    ]
    assert_added(mqadmin_add(admin, container, broker.path), container)


def test_a_port_conflict_between_brokers_leaks_nothing(
    container: OurContainer, admin: Driver, added: Callable[..., BrokerFile]
) -> None:
    port = lease_port(-2, 1, 2, 3)
    lower, upper = added("lower", port=port), added("upper", port=port + 2)
    assert_added(mqadmin_add(admin, container, lower.path), container)
    printed = mqadmin_add(admin, container, upper.path)
    assert_refused(printed, 1, f"Failed to initialize master broker {upper.canonical_name}")
    assert lower.canonical_name in printed, "who has the port is told too"
    assert_removed(mqadmin_remove(admin, container, lower.identity), container)
    assert_added(mqadmin_add(admin, container, upper.path), container)


def test_a_store_conflict_leaves_the_first_alone(
    container: OurContainer, admin: Driver, added: Callable[..., BrokerFile], unique: Callable[[str], str]
) -> None:
    first = container.brokers["first"]
    topic = unique("Conflict")
    admin.admin("updateTopic", "-b", first.address, "-t", topic, "-r", "1", "-w", "1")
    names = sorted(path.name for path in first.store.rglob("*"))
    topics = (first.store / "config" / "topics.json").read_bytes()
    intruder = added("intruder", store=first.store)
    printed = mqadmin_add(admin, container, intruder.path)
    assert_refused(printed, 1, f"Failed to initialize master broker {intruder.canonical_name}")
    assert str(first.store) in printed, "which directory is told too"
    assert sorted(path.name for path in first.store.rglob("*")) == names
    assert (first.store / "abort").exists(), "the first one runs"
    assert (first.store / "config" / "topics.json").read_bytes() == topics
    (sent,) = admin.call("send", topic=topic, bodies=["still here"])
    assert (sent["status"], sent["brokerName"]) == ("SEND_OK", "first")


def test_a_java_broker_and_a_container_never_share_a_store(
    container: OurContainer,
    admin: Driver,
    added: Callable[..., BrokerFile],
    java_peer: JavaPeer,
    new_home: Callable[[str], Path],
) -> None:
    broker = added("shared")
    java_settings: dict[str, object] = read_properties(broker.path) | {
        "listenPort": (port := lease_broker_port()),
        "haListenPort": port + 1,
        "namesrvAddr": container.name_server,
    }

    def start_java_broker(name: str) -> Any:
        return start_java_server(
            java_peer,
            "org.apache.rocketmq.broker.BrokerStartup",
            java_settings,
            name=name,
            home=new_home(name),
        )

    with start_java_broker("java-first"):
        printed = mqadmin_add(admin, container, broker.path)
        assert_refused(printed, 1, f"Failed to initialize master broker {broker.canonical_name}")
        assert "lock" in printed.lower(), printed
    assert_added(mqadmin_add(admin, container, broker.path), container)
    with pytest.raises(ProcessError, match=r"ended|closed"):
        start_java_broker("java-second")
    until(lambda: broker_addresses(container.name_server).get(broker.name) == {"0": broker.address}, "ours")


# Remove


def test_remove_of_what_is_not_there(container: OurContainer, admin: Driver) -> None:
    assert_refused(mqadmin_remove(admin, container, f"{CLUSTER}:nobody:0"), 211, "Broker not exist")
    assert_refused(mqadmin_remove(admin, container, f"{CLUSTER}:first:1"), 211, "Broker not exist")
    assert "brokerId can't be negative" in mqadmin_remove(admin, container, f"{CLUSTER}:first:-1")


@pytest.mark.parametrize("missing", ["brokerName", "brokerClusterName", "brokerId"])
def test_remove_names_a_missing_field(container: OurContainer, missing: str) -> None:
    fields = {"brokerName": "first", "brokerClusterName": CLUSTER, "brokerId": "0"}
    del fields[missing]
    answer = container.ask(903, b"", **fields)
    assert answer.code == 1
    assert f"the custom field <{missing}> is null" in answer.header["remark"]


def test_clients_of_a_removed_broker_move_on_without_an_error(
    container: OurContainer, admin: Driver, added: Callable[..., BrokerFile], unique: Callable[[str], str]
) -> None:
    first, leaving = container.brokers["first"], added("leaving")
    topic, group = unique("MoveOn"), unique("move_on")
    assert_added(mqadmin_add(admin, container, leaving.path), container)
    for broker in (first, leaving):
        admin.admin("updateTopic", "-b", broker.address, "-t", topic, "-r", "2", "-w", "2")
    admin.call("consumeStart", name=topic, group=group, topic=topic)
    admin.call("loadStart", name=topic, topic=topic, threads=4, pauseMs=1, producerGroup=topic)
    admin.call("loadAwait", name=topic, more=400, timeoutMs=WAIT_MS)
    assert_removed(mqadmin_remove(admin, container, leaving.identity), container)
    admin.call("loadAwait", name=topic, more=400, timeoutMs=WAIT_MS)
    # The port can be had again, and what was acknowledged before is still there.
    assert_added(mqadmin_add(admin, container, leaving.path), container)
    admin.call("loadAwait", name=topic, more=400, timeoutMs=WAIT_MS)
    outcome = admin.call("loadStop", name=topic)
    assert outcome["failed"] == 0, outcome["firstFailure"]
    acknowledged = outcome["acknowledged"]
    assert {broker for *_, broker in acknowledged} >= {"first", leaving.name}, "both were in use"
    received = admin.call("consumeWait", name=topic, count=len(acknowledged), timeoutMs=WAIT_MS)
    numbers = {int(message["body"].partition(":")[0]) for message in received}
    assert {number for number, *_ in acknowledged} <= numbers, "the consumer misses nothing"
    admin.call("consumeStop", name=topic)


def test_an_old_connection_is_told_to_go_away_or_closed(
    container: OurContainer, admin: Driver, added: Callable[..., BrokerFile]
) -> None:
    broker = added("gone")
    assert_added(mqadmin_add(admin, container, broker.path), container)
    with socket.create_connection(("127.0.0.1", broker.port), timeout=WAIT_S) as connection:
        assert_removed(mqadmin_remove(admin, container, broker.identity), container)
        assert connection.recv(1) == b"", "nobody keeps a connection to a broker that is gone"


# Codes and configuration of the container


@pytest.mark.parametrize("offset", [0, -2], ids=["port", "fast port"])
def test_an_unknown_code_is_answered(container: OurContainer, offset: int) -> None:
    """Java leaves the caller waiting."""
    answer = ask(f"127.0.0.1:{container.port + offset}", GET_ROUTE, {"topic": "T"})
    assert answer.code == 3
    assert "105" in answer.header["remark"]


def test_the_container_s_configuration_is_read_and_updated(container: OurContainer, admin: Driver) -> None:
    printed = admin.admin("getBrokerConfig", "-b", container.address)
    keys = [line.split("=")[0].strip() for line in printed.splitlines() if "=  " in line]
    assert {"brokerConfigPaths", "listenPort", "serverChannelMaxIdleTimeSeconds"} <= set(keys)
    answer = container.ask(GET_CONFIG)
    lines = answer.body.decode().splitlines()
    assert lines == sorted(lines, key=lambda line: line.split("=")[0])
    version = json.loads(answer.header["extFields"]["version"])

    before = container.file.read_text()
    printed = admin.admin(
        "updateBrokerConfig", "-b", container.address, "-k", "addBrokerAnswerMillis", "-v", "14000"
    )
    assert f"update broker config success, {container.address}" in printed
    answer = container.ask(GET_CONFIG)
    assert b"addBrokerAnswerMillis=14000" in answer.body.splitlines()
    assert json.loads(answer.header["extFields"]["version"])["counter"] > version["counter"]
    assert read_properties(container.file)["addBrokerAnswerMillis"] == "14000"
    assert container.file.with_name(container.file.name + ".bak").read_text() == before
    assert "a comment that has to stay" in container.file.read_text()


@pytest.mark.parametrize("key", ["brokerConfigPaths", "rocketmqHome", "configBlackList"])
def test_black_listed_keys(container: OurContainer, admin: Driver, key: str) -> None:
    before = container.file.read_bytes()
    printed = admin.admin("updateBrokerConfig", "-b", container.address, "-k", key, "-v", "x")
    assert_refused(printed, 16, "Can not update config in black list.")
    assert container.file.read_bytes() == before


def test_an_update_that_is_no_properties_text_or_nothing(container: OurContainer) -> None:
    assert container.ask(UPDATE_CONFIG).code == 0
    answer = container.ask(UPDATE_CONFIG, b"addBrokerAnswerMillis=1000\nremoveBrokerTimeoutMillis=soon\n")
    assert answer.code == 1
    assert "removeBrokerTimeoutMillis" in answer.header["remark"]
    assert b"addBrokerAnswerMillis=1000" not in container.ask(GET_CONFIG).body.splitlines()


def test_a_broker_s_configuration_is_updated_in_its_own_file(
    container: OurContainer, admin: Driver, added: Callable[..., BrokerFile]
) -> None:
    broker = added("configured")
    assert_added(mqadmin_add(admin, container, broker.path), container)
    before = broker.path.read_text()
    printed = admin.admin("updateBrokerConfig", "-b", broker.address, "-k", "fileReservedTime", "-v", "49")
    assert f"update broker config success, {broker.address}" in printed
    assert read_properties(broker.path)["fileReservedTime"] == "49"
    assert broker.path.with_name(broker.path.name + ".bak").read_text() == before
    assert "fileReservedTime" not in read_properties(container.file)
    printed = admin.admin("updateBrokerConfig", "-b", broker.address, "-k", "brokerConfigPath", "-v", "x")
    assert_refused(printed, 16, "Can not update config in black list.")
    assert_removed(mqadmin_remove(admin, container, broker.identity), container)
    assert_added(mqadmin_add(admin, container, broker.path), container)
    printed = admin.admin("getBrokerConfig", "-b", broker.address)
    assert re.search(r"(?m)^fileReservedTime\s+=\s+49\s*$", printed), printed


# Clients


def test_a_producer_on_the_vip_channel(
    container: OurContainer, admin: Driver, unique: Callable[[str], str]
) -> None:
    first = container.brokers["first"]
    topic = unique("Vip")
    admin.admin("updateTopic", "-b", first.address, "-t", topic, "-r", "1", "-w", "1")
    results = admin.call("send", topic=topic, bodies=["a", "b"], producerGroup=unique("vip"), vipChannel=True)
    assert [result["status"] for result in results] == ["SEND_OK"] * 2
    assert [result["queueOffset"] for result in results] == [0, 1]
    answer = ask(first.fast_address, PULL_MESSAGE, {"topic": topic})
    assert answer.code == 3
    assert "not supported" in answer.header["remark"]


def test_a_message_is_found_by_its_offset_id(
    container: OurContainer, admin: Driver, unique: Callable[[str], str]
) -> None:
    """Java's container writes its own port into the id, and nobody answers there."""
    topic = unique("ById")
    for broker in container.brokers.values():
        admin.admin("updateTopic", "-b", broker.address, "-t", topic, "-r", "1", "-w", "1")
    sent = admin.call("send", topic=topic, bodies=["m0", "m1"])
    assert {result["brokerName"] for result in sent} == set(container.brokers)
    for result in sent:
        port = int(result["offsetMsgId"][8:16], 16)
        assert port == container.brokers[result["brokerName"]].port
        printed = admin.admin("queryMsgById", "-t", topic, "-i", result["offsetMsgId"])
        assert re.search(rf"(?m)^OffsetID:\s+{result['offsetMsgId']}\s*$", printed), printed


def test_brokers_know_nothing_of_each_other(
    container: OurContainer, admin: Driver, unique: Callable[[str], str]
) -> None:
    topic, group = unique("Apart"), unique("apart")
    first, second = container.brokers.values()
    for broker, queues in ((first, "1"), (second, "2")):
        admin.admin("updateTopic", "-b", broker.address, "-t", topic, "-r", queues, "-w", queues)
    sent = admin.call("send", topic=topic, bodies=[f"m{number}" for number in range(9)])
    admin.call("consumeStart", name=topic, group=group, topic=topic)
    assert len(admin.call("consumeWait", name=topic, count=9, timeoutMs=WAIT_MS)) == 9
    admin.call("consumeStop", name=topic)
    printed = admin.admin("consumerProgress", "-g", group)
    rows = [line.split() for line in printed.splitlines() if line.startswith(topic)]
    expected = {
        (result["brokerName"], str(result["queueId"])): str(result["queueOffset"] + 1) for result in sent
    }
    assert {(row[1], row[2]): row[3] for row in rows} == expected
    assert {(row[1], row[2]): row[4] for row in rows} == expected, "each keeps its own consumer offsets"
    printed = admin.admin("updateTopic", "-b", first.address, "-t", f"{topic}_1", "-r", "1", "-w", "1")
    assert "success" in printed
    route = ask(container.name_server, GET_ROUTE, {"topic": f"{topic}_1"})
    assert [broker["brokerName"] for broker in json.loads(_quoted(route.body))["brokerDatas"]] == ["first"]


def _quoted(body: bytes) -> str:
    """JSON of fastjson, which writes whole numbers as bare keys, as JSON."""
    return re.sub(r"([{,])(-?\d+):", r'\1"\2":', body.decode())


def test_a_killed_consumer_is_gone_from_every_broker_at_once(
    container: OurContainer,
    admin: Driver,
    unique: Callable[[str], str],
    java_peer: JavaPeer,
    new_home: Callable[[str], Path],
) -> None:
    topic, group = unique("Killed"), unique("killed")
    for broker in container.brokers.values():
        admin.admin("updateTopic", "-b", broker.address, "-t", topic, "-r", "1", "-w", "1")

    def members(broker: BrokerFile) -> int:
        answer = ask(broker.address, 203, {"consumerGroup": group})  # GET_CONSUMER_CONNECTION_LIST
        return len(json.loads(answer.body)["connectionSet"]) if answer.code == 0 else 0

    with Driver(java_peer, home=new_home("killed"), name_server=container.name_server) as victim:
        victim.call("consumeStart", name=topic, group=group, topic=topic)
        until(lambda: all(members(broker) for broker in container.brokers.values()), "connected to both")
        victim.process.kill()
        began = time.monotonic()
        until(lambda: not any(members(broker) for broker in container.brokers.values()), "gone from both")
    # Far below the 120 s after which silent clients are given up.
    assert time.monotonic() - began < 60
    printed = admin.admin("consumerConnection", "-g", group)
    assert f"CODE: 206  DESC: the consumer group[{group}] not online" in printed


# The process


@pytest.mark.parametrize("system", ["java", "ours"])
def test_kill_9_takes_all_brokers_out_of_the_route(
    new_home: Callable[[str], Path], java_peer: JavaPeer, system: str
) -> None:
    """Each broker has a name server connection of its own; Java's share one, and only one of them goes."""
    home, port = new_home(f"kill-{system}"), lease_port()
    name_server = f"127.0.0.1:{port}"
    with start_java_namesrv(java_peer, home, port) if system == "java" else start_our_namesrv(home, port):
        names = [f"broker-{number}" for number in range(3)]
        with OurContainer(home / "container", names, name_server=name_server) as container:
            container.start()
            assert set(broker_addresses(name_server)) == set(names)
            container.process.kill()
            for name in names:
                wait_until_gone(name_server, name, 30)  # their heartbeats count for 120 s


def test_shutdown_unregisters_and_leaves_clean_stores(
    new_home: Callable[[str], Path], java_peer: JavaPeer
) -> None:
    home, port = new_home("shutdown"), lease_port()
    name_server = f"127.0.0.1:{port}"
    names = ["left", "right"]
    with (
        start_our_namesrv(home, port),
        OurContainer(home / "container", names, name_server=name_server) as container,
    ):
        container.start()
        with Driver(java_peer, home=home / "driver", name_server=name_server) as driver:
            for broker in container.brokers.values():
                driver.admin("updateTopic", "-b", broker.address, "-t", "Kept", "-r", "1", "-w", "1")
            sent = driver.call("send", topic="Kept", bodies=[f"m{number}" for number in range(10)])
            assert all((broker.store / "abort").exists() for broker in container.brokers.values())
            assert container.process.stop(60) == 0
            assert broker_addresses(name_server) == {}
            assert not any((broker.store / "abort").exists() for broker in container.brokers.values())
            container.start()
            stored = driver.call("pullAll", topic="Kept", group="readers")
            assert sorted(message["body"] for message in stored) == sorted(f"m{n}" for n in range(len(sent)))
        text = container.log_text()
        assert "recovered after a clean stop" in text
        assert "recovered without a clean stop" not in text


def test_added_and_removed_brokers_survive_a_restart(
    new_home: Callable[[str], Path], java_peer: JavaPeer
) -> None:
    home = new_home("remember")
    with OurContainer(home, ["stays", "leaves"]) as container:
        container.start()
        comes = container.broker_file("comes")
        with Driver(java_peer, home=new_home("remember-admin"), name_server=container.name_server) as admin:
            assert_added(mqadmin_add(admin, container, comes.path), container)
            assert_removed(mqadmin_remove(admin, container, container.brokers["leaves"].identity), container)
        assert container.process.stop(60) == 0
        text = container.file.read_text()
        assert "a comment that has to stay" in text
        assert read_properties(container.file)["brokerConfigPaths"].split(":") == [
            str(container.brokers["stays"].path),
            str(comes.path),
        ]
        del container.brokers["leaves"]
        container.brokers["comes"] = comes
        container.start()
        assert set(broker_addresses(container.name_server)) == {"stays", "comes"}


# Our own mqadmin


def test_our_mqadmin_does_the_same(container: OurContainer, added: Callable[..., BrokerFile]) -> None:
    broker = added("by_ours")
    done = ours(container, "addBroker", "-c", container.address, "-b", str(broker.path))
    assert (done.returncode, done.stdout) == (0, f"add broker to {container.address} success\n"), done.stderr
    again = ours(container, "addBroker", "-c", container.address, "-b", str(broker.path))
    assert again.returncode == 1
    assert f"{broker.canonical_name} has already been added to current broker container" in again.stderr
    assert len(again.stderr.splitlines()) == 1
    status = ours(container, "containerStatus", "-c", container.address, "--json")
    found = {each["brokerName"]: each for each in json.loads(status.stdout)["brokers"]}
    assert found[broker.name]["state"] == "running"
    assert found[broker.name]["listenPort"] == broker.port
    done = ours(container, "removeBroker", "-c", container.address, "-b", broker.identity)
    text = f"remove broker from {container.address} success\n"
    assert (done.returncode, done.stdout) == (0, text), done.stderr
    gone = ours(container, "removeBroker", "-c", container.address, "-b", broker.identity)
    assert gone.returncode == 1
    assert "Broker not exist" in gone.stderr


def test_java_s_mqadmin_as_its_own_program(
    container: OurContainer,
    added: Callable[..., BrokerFile],
    java_peer: JavaPeer,
    new_home: Callable[[str], Path],
) -> None:
    broker = added("program")
    for command, target, text in (
        ("addBroker", str(broker.path), "add broker to"),
        ("removeBroker", broker.identity, "remove broker from"),
    ):
        with start_java(
            java_peer,
            "org.apache.rocketmq.tools.command.MQAdminStartup",
            command,
            "-c",
            container.address,
            "-b",
            target,
            name="mqadmin",
            home=new_home("mqadmin"),
        ) as program:
            assert program.wait(60) == 0
            assert f"{text} {container.address} success" in program.text()
