"""Asking containers: which answers are an outcome, which say "ask again", which are refusals."""

from __future__ import annotations

import pytest
from scripted_peers import ScriptedPeers

from client.containers import Added, Containers
from client.errors import AnswerError
from remoting.protocol.container_body import BrokerStatus, ContainerStatus
from remoting.protocol.request_code import RequestCode

CONTAINER = "c:10811"


@pytest.fixture
def peers() -> ScriptedPeers:
    return ScriptedPeers()


@pytest.fixture
def containers(peers: ScriptedPeers) -> Containers:
    return Containers(peers.remote())


async def test_an_added_broker_starts_and_serves(peers: ScriptedPeers, containers: Containers) -> None:
    peers.on(
        CONTAINER,
        RequestCode.ADD_BROKER,
        lambda request: request.response(1, "it recovers", {"state": "starting"}),
        lambda request: request.response(0),
    )
    assert await containers.add_broker(CONTAINER, "/b.conf") == Added(serves=False, remark="it recovers")
    assert await containers.add_broker(CONTAINER, "/b.conf") == Added(serves=True, remark="")
    asked = peers.asked_of(CONTAINER, RequestCode.ADD_BROKER)
    assert [request.ext_fields for request in asked] == [{"configPath": "/b.conf"}] * 2


async def test_a_refused_broker(peers: ScriptedPeers, containers: Containers) -> None:
    peers.on(CONTAINER, RequestCode.ADD_BROKER, lambda request: request.response(1, "no"))
    with pytest.raises(AnswerError, match="c:10811 answered code 1: no"):
        await containers.add_broker(CONTAINER, "/b.conf")


async def test_a_removed_broker_and_one_that_is_not_there(
    peers: ScriptedPeers, containers: Containers
) -> None:
    peers.on(
        CONTAINER,
        RequestCode.REMOVE_BROKER,
        lambda request: request.response(0, "it had failed"),
        lambda request: request.response(211, "Broker not exist"),
    )
    assert await containers.remove_broker(CONTAINER, "C", "b", 1) == "it had failed"
    with pytest.raises(AnswerError) as caught:
        await containers.remove_broker(CONTAINER, "C", "b", 1)
    assert caught.value.code == 211
    fields = peers.asked_of(CONTAINER, RequestCode.REMOVE_BROKER)[0].ext_fields
    assert fields == {"brokerName": "b", "brokerClusterName": "C", "brokerId": "1"}


async def test_the_status_is_read_whole(peers: ScriptedPeers, containers: Containers) -> None:
    status = ContainerStatus(pid=7, brokers=[BrokerStatus(broker_name="b", state="failed", reason="r")])
    peers.on(
        CONTAINER,
        RequestCode.GET_CONTAINER_STATUS,
        lambda request: request.response(0, body=status.encode()),
    )
    assert await containers.status(CONTAINER) == status
