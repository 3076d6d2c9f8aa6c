"""Reading queues: status, tags, offsets, addresses."""

from __future__ import annotations

import attrs
import pytest
from scripted_peers import NAME_SERVER, ScriptedPeers, ok, refused, route_of
from test_client_message import STORED

from client import AnswerError, NotFound, Puller, PullStatus
from client.routes import Routes
from client.subscription import matches, tags_of
from remoting.protocol.body import MessageQueue
from remoting.protocol.message import encode_message
from remoting.protocol.request_code import RequestCode

QUEUE = MessageQueue("T", "a", 1)
OFFSETS = {"suggestWhichBrokerId": "0", "nextBeginOffset": "9", "minOffset": "2", "maxOffset": "12"}
PULL = RequestCode.PULL_MESSAGE


def puller(peers: ScriptedPeers) -> Puller:
    return Puller(*peers.routed(a=2, b=1))


def stored(**changes: object) -> bytes:
    return encode_message(attrs.evolve(STORED, **changes))


async def test_messages_found_carry_the_bounds_of_the_queue() -> None:
    peers = ScriptedPeers()
    peers.on("a:10911", PULL, ok(raw=stored(queue_offset=7) + stored(queue_offset=8), **OFFSETS))
    result = await puller(peers).pull(QUEUE, 7)
    assert result.status is PullStatus.FOUND
    assert (result.next_begin_offset, result.min_offset, result.max_offset) == (9, 2, 12)
    assert [message.queue_offset for message in result.messages] == [7, 8]
    assert result.messages[0].properties == {"UNIQ_KEY": "AB", "MIN_OFFSET": "2", "MAX_OFFSET": "12"}
    (request,) = peers.asked_of("a:10911", PULL)
    assert request.ext_fields["consumerGroup"] == "TOOLS_CONSUMER"
    assert request.ext_fields["subscription"] == "*"
    assert request.ext_fields["sysFlag"] == "4"


async def test_tags_are_looked_at_again_because_brokers_compare_hash_codes() -> None:
    peers = ScriptedPeers()
    # "Aa" and "BB" have the same hash code in Java.
    both = stored(properties={"TAGS": "Aa"}) + stored(properties={"TAGS": "BB"}) + stored(properties={})
    peers.on("a:10911", PULL, ok(raw=both, **OFFSETS))
    result = await puller(peers).pull(QUEUE, 0, expression="BB || C")
    assert [message.properties["TAGS"] for message in result.messages] == ["BB"]


@pytest.mark.parametrize(
    ("code", "status"),
    [(19, PullStatus.NO_NEW_MSG), (20, PullStatus.NO_MATCHED_MSG), (21, PullStatus.OFFSET_ILLEGAL)],
)
async def test_nothing_there_says_where_to_go_on(code: int, status: PullStatus) -> None:
    peers = ScriptedPeers()
    peers.on("a:10911", PULL, refused(code, "WHY", **OFFSETS))
    result = await puller(peers).pull(QUEUE, 7)
    assert (result.status, result.messages, result.next_begin_offset) == (status, (), 9)


async def test_a_held_pull_asks_to_be_held_and_waits_longer() -> None:
    peers = ScriptedPeers()
    peers.on("a:10911", PULL, refused(19, **OFFSETS))
    await puller(peers).pull(QUEUE, 7, suspend_ms=15_000)
    (request,) = peers.asked_of("a:10911", PULL)
    assert (request.ext_fields["sysFlag"], request.ext_fields["suspendTimeoutMillis"]) == ("6", "15000")


async def test_a_refusal_is_an_error() -> None:
    peers = ScriptedPeers()
    peers.on("a:10911", PULL, refused(26, "no such group"))
    with pytest.raises(AnswerError, match="code 26: no such group"):
        await puller(peers).pull(QUEUE, 0)


async def test_an_offset_delta_moves_the_messages() -> None:
    peers = ScriptedPeers()
    peers.on("a:10911", PULL, ok(raw=stored(queue_offset=7), offsetDelta="100", **OFFSETS))
    assert (await puller(peers).pull(QUEUE, 107)).messages[0].queue_offset == 107


async def test_a_replica_serves_while_there_is_no_master() -> None:
    peers = ScriptedPeers()
    route = route_of(a=1)
    route["brokerDatas"][0]["brokerAddrs"] = {2: "late:1", 1: "early:1"}
    peers.on(NAME_SERVER, RequestCode.GET_ROUTEINFO_BY_TOPIC, ok(body=route))
    remote = peers.remote()
    assert await Puller(remote, Routes(remote)).address(QUEUE) == "early:1"


async def test_queues_and_offsets() -> None:
    peers = ScriptedPeers()
    reader = puller(peers)
    assert await reader.queues("T") == [MessageQueue("T", "a", 0), QUEUE, MessageQueue("T", "b", 0)]
    peers.on("a:10911", RequestCode.GET_MIN_OFFSET, ok(offset="2"))
    peers.on("a:10911", RequestCode.GET_MAX_OFFSET, ok(offset="12"))
    peers.on("a:10911", RequestCode.SEARCH_OFFSET_BY_TIMESTAMP, ok(offset="5"))
    assert (await reader.min_offset(QUEUE), await reader.max_offset(QUEUE)) == (2, 12)
    assert await reader.search_offset(QUEUE, 1000) == 5
    with pytest.raises(NotFound, match="broker z does not serve topic T"):
        await reader.min_offset(MessageQueue("T", "z", 0))


async def test_offsets_of_the_group() -> None:
    peers = ScriptedPeers()
    peers.on("a:10911", RequestCode.QUERY_CONSUMER_OFFSET, refused(22), ok(offset="4"))
    peers.on("a:10911", RequestCode.UPDATE_CONSUMER_OFFSET, ok())
    reader = puller(peers)
    assert await reader.committed_offset(QUEUE) is None
    await reader.commit(QUEUE, 4)
    assert await reader.committed_offset(QUEUE) == 4
    (commit,) = peers.asked_of("a:10911", RequestCode.UPDATE_CONSUMER_OFFSET)
    assert commit.ext_fields == {
        "consumerGroup": "TOOLS_CONSUMER",
        "topic": "T",
        "queueId": "1",
        "commitOffset": "4",
    }


@pytest.mark.parametrize("everything", ["", "*", " * ", "||"])
def test_expressions_for_everything(everything: str) -> None:
    assert matches(tags_of(everything), None)


def test_expressions_for_some() -> None:
    wanted = tags_of(" a || b||c ")
    assert wanted == {"a", "b", "c"}
    assert matches(wanted, "b")
    assert not matches(wanted, None)
    assert not matches(wanted, "d")
