"""How queues may be used, and cleaning brokers: what Java prints, and true exit codes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from admin_peer import RECORDED_BROKER, Peer, run
from administration_peer import running_administration

from remoting.protocol.route import TopicRouteData

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROUTE, PUT_TOPIC, PUT_KV, DELETE_KV = 105, 17, 100, 102
CLEANERS = {"cleanExpiredCQ": 306, "cleanUnusedTopic": 316, "deleteExpiredCommitLog": 329}


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    async with running_administration() as running:
        yield running


# --- updateTopicPerm ---------------------------------------------------------------------------------------


async def test_permission_at_a_broker(peer: Peer) -> None:
    result = await run(peer, "updateTopicPerm", "-b", peer.address, "-t", "Hello", "-p", "4")
    assert (result.stdout, result.stderr, result.exit_code) == (
        f"update topic perm from 6 to 4 in {peer.address} success.\n"
        "TopicConfig [topicName=Hello, readQueueNums=4, writeQueueNums=4, perm=R--, "
        "topicFilterType=SINGLE_TAG, topicSysFlag=0, order=false, attributes={}].\n",
        "",
        0,
    )
    (request,) = peer.asked(PUT_TOPIC)
    fields = request.ext_fields
    assert [fields[name] for name in ("topic", "perm", "readQueueNums", "writeQueueNums", "order")] == [
        "Hello",
        "4",
        "4",
        "4",
        "false",
    ]


async def test_permission_in_a_cluster(peer: Peer) -> None:
    result = await run(peer, "updateTopicPerm", "-c", "DefaultCluster", "-t", "Hello", "-p", "2")
    assert result.output == f"update topic perm from 6 to 2 in {peer.address} success.\n"
    assert result.exit_code == 0


async def test_the_same_permission_changes_nothing(peer: Peer) -> None:
    result = await run(peer, "updateTopicPerm", "-b", peer.address, "-t", "Hello", "-p", "6")
    assert (result.output, result.exit_code) == ("new perm equals to the old one!\n", 0)
    assert peer.asked(PUT_TOPIC) == []


async def test_permission_at_a_broker_that_has_no_such_topic(peer: Peer) -> None:
    result = await run(peer, "updateTopicPerm", "-b", "127.0.0.1:1", "-t", "Hello", "-p", "4")
    assert result.stdout == "updateTopicPerm error broker not exit or broker is not master!.\n"
    assert result.stderr == (
        "mqadmin: updateTopicPerm: 127.0.0.1:1 is not the master of a broker that has topic Hello\n"
    )
    assert result.exit_code == 1


async def test_permission_in_a_cluster_that_is_not_there(peer: Peer) -> None:
    result = await run(peer, "updateTopicPerm", "-c", "NoCluster", "-t", "Hello", "-p", "4")
    assert (result.stdout, result.exit_code) == ("", 1)
    assert "there is no cluster NoCluster (known: DefaultCluster)" in result.stderr


async def test_each_broker_keeps_its_own_queues_and_its_order(peer: Peer) -> None:
    route = TopicRouteData.from_json_object(
        {
            "orderTopicConf": "a:1;b:3",
            "brokerDatas": [
                {"cluster": "DefaultCluster", "brokerName": "broker-z", "brokerAddrs": {"0": "127.0.0.1:1"}},
                {"cluster": "DefaultCluster", "brokerName": "broker-a", "brokerAddrs": {"0": peer.address}},
            ],
            "queueDatas": [
                {"brokerName": "broker-z", "readQueueNums": 1, "writeQueueNums": 1, "perm": 6},
                {
                    "brokerName": "broker-a",
                    "readQueueNums": 3,
                    "writeQueueNums": 2,
                    "perm": 6,
                    "topicSysFlag": 1,
                },
            ],
        }
    )
    peer.answer(ROUTE, body=route.encode())
    await run(peer, "updateTopicPerm", "-b", peer.address, "-t", "Hello", "-p", "4")
    (request,) = peer.asked(PUT_TOPIC)
    names = ("readQueueNums", "writeQueueNums", "topicSysFlag", "order")
    assert [request.ext_fields[name] for name in names] == ["3", "2", "1", "true"]


@pytest.mark.parametrize(
    "arguments", [("-p", "16"), ("-p", "rw"), ("-p", "4", "-b", "a:1", "-c", "C"), ("-p", "4")]
)
async def test_wrong_permissions_and_targets_are_wrong_usage(peer: Peer, arguments: tuple[str, ...]) -> None:
    assert (await run(peer, "updateTopicPerm", "-t", "Hello", *arguments)).exit_code == 2
    assert peer.requests == []


# --- updateOrderConf ---------------------------------------------------------------------------------------


async def test_order_configuration_is_printed_as_java_prints_it(peer: Peer) -> None:
    conf = "broker-a:4;broker-b:2"
    put = await run(peer, "updateOrderConf", "-t", "Ordered", "-m", "put", "-v", conf)
    assert put.output == f"update orderConf success. topic=[Ordered], orderConf=[{conf}]"
    got = await run(peer, "updateOrderConf", "-t", "Ordered", "-m", "get")
    assert got.output == f"get orderConf success. topic=[Ordered], orderConf=[{conf}] "
    deleted = await run(peer, "updateOrderConf", "-t", "Ordered", "-m", "delete")
    assert deleted.output == "delete orderConf success. topic=[Ordered]"
    assert [each.exit_code for each in (put, got, deleted)] == [0, 0, 0]
    where = {"namespace": "ORDER_TOPIC_CONFIG", "key": "Ordered"}
    assert peer.asked(PUT_KV)[0].ext_fields == {**where, "value": conf}
    assert peer.asked(DELETE_KV)[0].ext_fields == where


async def test_a_topic_without_order_configuration(peer: Peer) -> None:
    result = await run(peer, "updateOrderConf", "-t", "Hello", "-m", "get")
    assert (result.stdout, result.exit_code) == ("", 1)
    assert result.stderr == "mqadmin: updateOrderConf: topic Hello has no order configuration\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-m", "put"), "please set orderConf with option -v."),
        (("-m", "put", "-v", "broker-a"), "is not brokerName:queues"),
        (("-m", "put", "-v", "broker-a:x"), "is not brokerName:queues"),
        (("-m", "show"), "'show' is not one of"),
    ],
)
async def test_wrong_order_configurations(peer: Peer, arguments: tuple[str, ...], said: str) -> None:
    result = await run(peer, "updateOrderConf", "-t", "Hello", *arguments)
    assert (result.exit_code, said in result.stderr) == (2, True)
    assert peer.requests == []


# --- allocateMQ --------------------------------------------------------------------------------------------


async def test_queues_are_shared_out_as_consumers_do(peer: Peer) -> None:
    result = await run(peer, "allocateMQ", "-t", "Hello", "-i", "10.0.0.1, 10.0.0.2,10.0.0.3")
    queue = '{{"brokerName":"broker-a","queueId":{},"topic":"Hello"}}'.format
    assert result.output == (
        f'{{"result":{{"10.0.0.1":[{queue(0)},{queue(1)}],"10.0.0.2":[{queue(2)}],"10.0.0.3":[{queue(3)}]}}}}\n'
    )
    as_json = json.loads((await run(peer, "allocateMQ", "-t", "Hello", "-i", "a", "--json")).stdout)
    assert [each["queueId"] for each in as_json["result"]["a"]] == [0, 1, 2, 3]


async def test_more_consumers_than_queues_get_none(peer: Peer) -> None:
    result = json.loads((await run(peer, "allocateMQ", "-t", "Hello", "-i", "a,b,c,d,e,f", "--json")).stdout)
    assert [len(share) for share in result["result"].values()] == [1, 1, 1, 1, 0, 0]


async def test_nothing_to_share_out(peer: Peer) -> None:
    missing = await run(peer, "allocateMQ", "-t", "NoSuchTopic", "-i", "a")
    assert (missing.stdout, missing.exit_code) == ("", 1)
    assert (await run(peer, "allocateMQ", "-t", "Hello", "-i", " , ")).exit_code == 2


# --- cleaning ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("command", "code"), CLEANERS.items())
async def test_cleaning_asks_a_broker_a_cluster_or_all(peer: Peer, command: str, code: int) -> None:
    for arguments in (("-b", peer.address), ("-c", "DefaultCluster"), ()):
        result = await run(peer, command, *arguments)
        assert (result.stdout, result.stderr, result.exit_code) == ("success", "", 0)
    assert len(peer.asked(code)) == 3


@pytest.mark.parametrize(("command", "code"), CLEANERS.items())
async def test_cleaning_that_fails_anywhere_is_no_success(peer: Peer, command: str, code: int) -> None:
    info = next(each["body"] for each in peer.recorded if each["code"] == 106)
    two = info.replace(f'{{0:"{RECORDED_BROKER}"}}', f'{{0:"{peer.address}",1:"127.0.0.1:1"}}')
    peer.answer(106, body=two.encode())
    result = await run(peer, command, "-c", "DefaultCluster", "--json")
    assert (json.loads(result.stdout), result.exit_code) == ({"addresses": [peer.address]}, 1)
    assert "127.0.0.1:1" in result.stderr
    assert (await run(peer, command, "-c", "DefaultCluster")).stdout == ""
    peer.answer(code, response=1, remark="busy")
    refused = await run(peer, command, "-b", peer.address)
    assert refused.stderr == f"mqadmin: {command}: {peer.address} answered code 1: busy\n"


async def test_cleaning_a_cluster_that_is_not_there(peer: Peer) -> None:
    result = await run(peer, "cleanExpiredCQ", "-c", "NoCluster")
    assert (result.stdout, result.exit_code) == ("false", 1)
    assert "there is no cluster NoCluster" in result.stderr
    assert (await run(peer, "cleanExpiredCQ", "-c", "C", "-b", "a:1")).exit_code == 2
