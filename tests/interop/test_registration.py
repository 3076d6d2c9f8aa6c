"""Brokers of one make with name servers of the other."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.interop.cluster import Cluster, JavaCluster, start_java_namesrv, start_our_namesrv
from tests.interop.java import Driver
from tests.interop.wire import broker_addresses, wait_until_gone
from tests.ports import lease_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.interop.conftest import ClusterMaker
    from tests.interop.peers import JavaPeer

NAMES = ("broker-a", "broker-b")


@pytest.fixture
def name_server_under_test(
    system_under_test: str, java_peer: JavaPeer, new_home: Callable[[str], Path]
) -> Iterator[str]:
    """A name server of the system under test, alone."""
    port, home = lease_port(), new_home("namesrv")
    server = (
        start_java_namesrv(java_peer, home, port)
        if system_under_test == "java"
        else start_our_namesrv(home, port)
    )
    with server:
        yield f"127.0.0.1:{port}"


@pytest.fixture
def java_name_server(java_peer: JavaPeer, new_home: Callable[[str], Path]) -> Iterator[str]:
    port = lease_port()
    with start_java_namesrv(java_peer, new_home("namesrv"), port):
        yield f"127.0.0.1:{port}"


def exercise(driver: Driver, brokers: list[Cluster]) -> None:
    """Topics and messages by way of the name server that the brokers registered with."""
    first = brokers[0]
    assert "success" in driver.admin("updateTopic", "-c", first.name, "-t", "Across", "-r", "2", "-w", "2")
    results = driver.call("send", topic="Across", bodies=[f"m{i}" for i in range(4 * len(brokers))])
    assert {result["brokerName"] for result in results} == {broker.broker_name for broker in brokers}
    assert len(driver.call("pullAll", topic="Across", group="across")) == len(results)
    (made,) = driver.call("send", topic="MadeBySending", bodies=["m"])
    assert made["status"] == "SEND_OK"
    printed = driver.admin("clusterList")
    for broker in brokers:
        assert broker.broker_address in printed
    assert "success" in driver.admin("deleteTopic", "-c", first.name, "-t", "Across")
    assert "CODE: 17" in driver.admin("topicRoute", "-t", "Across")


def check(name_server: str, brokers: list[Cluster], java_peer: JavaPeer, home: Path) -> None:
    known = broker_addresses(name_server)
    assert known == {broker.broker_name: {"0": broker.broker_address} for broker in brokers}
    with Driver(java_peer, home=home, name_server=name_server) as driver:
        exercise(driver, brokers)
    brokers[-1].kill_broker()
    wait_until_gone(name_server, brokers[-1].broker_name, 10)
    brokers[-1].start()
    brokers[0].broker_process.signal(signal.SIGTERM)
    wait_until_gone(name_server, brokers[0].broker_name, 10)


def test_java_brokers_register_with_the_name_server_under_test(
    name_server_under_test: str,
    java_peer: JavaPeer,
    new_java_cluster: ClusterMaker,
    new_home: Callable[[str], Path],
) -> None:
    brokers = [new_java_cluster(name_server=name_server_under_test, broker_name=name) for name in NAMES]
    assert all(isinstance(broker, JavaCluster) for broker in brokers)
    check(name_server_under_test, brokers, java_peer, new_home("driver"))


def test_brokers_under_test_register_with_a_java_name_server(
    java_name_server: str, java_peer: JavaPeer, new_cluster: ClusterMaker, new_home: Callable[[str], Path]
) -> None:
    brokers = [new_cluster(name_server=java_name_server, broker_name=name) for name in NAMES]
    check(java_name_server, brokers, java_peer, new_home("driver"))
