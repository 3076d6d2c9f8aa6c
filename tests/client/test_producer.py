"""Where messages go, and where next when a broker fails."""

from __future__ import annotations

import pytest
from scripted_peers import NAME_SERVER, ScriptedPeers, fails, ok, refused, route_of

from client import AnswerError, ClientError, Message, NotFound, Producer, SendFailed, SendStatus
from client.routes import Routes
from client.unique_id import UniqueIds
from remoting.errors import ConnectError
from remoting.protocol.body import MessageQueue
from remoting.protocol.message import COMPRESSED_FLAG, decode_properties, split_batch
from remoting.protocol.request_code import RequestCode

ROUTE = RequestCode.GET_ROUTEINFO_BY_TOPIC
SEND = RequestCode.SEND_MESSAGE_V2
STORED = ok(msgId="7F0000010000597F0000000000000000", queueId="1", queueOffset="7")


def producer(peers: ScriptedPeers, **brokers: int) -> Producer:
    remote, routes = peers.routed(**brokers)
    ids = UniqueIds(bytes(4), 1, 1)
    return Producer(remote, routes, "P", clock_ms=lambda: 1_795_241_768_381, unique_ids=ids, first_turn=0)


async def test_queues_of_all_brokers_take_turns() -> None:
    peers = ScriptedPeers()
    for broker in "ab":
        peers.on(f"{broker}:10911", SEND, STORED)
    sender = producer(peers, a=2, b=1)
    for _ in range(6):
        await sender.send(Message(topic="T", body=b"x"))
    sent = [(address, request.ext_fields["e"]) for address, request in peers.asked if request.code == SEND]
    assert sent == [("a:10911", "0"), ("a:10911", "1"), ("b:10911", "0")] * 2
    assert len(peers.asked_of(NAME_SERVER, ROUTE)) == 1


async def test_the_result_says_where_the_message_is() -> None:
    peers = ScriptedPeers()
    peers.on("a:10911", SEND, STORED)
    result = await producer(peers, a=4).send(Message(topic="T", body=b"x", tags="t", keys=("k",)))
    assert result.status is SendStatus.SEND_OK
    assert result.queue == MessageQueue("T", "a", 1)
    assert (result.queue_offset, result.offset_message_id) == (7, "7F0000010000597F0000000000000000")
    (request,) = peers.asked_of("a:10911", SEND)
    properties = decode_properties(request.ext_fields["i"])
    assert properties == {"UNIQ_KEY": result.message_id, "WAIT": "true", "TAGS": "t", "KEYS": "k"}
    assert request.ext_fields["g"] == "1795241768381"


@pytest.mark.parametrize("status", list(SendStatus))
async def test_stored_but_not_as_safe_as_asked_is_a_result(status: SendStatus) -> None:
    peers = ScriptedPeers()
    peers.on("a:10911", SEND, refused(status.value, msgId="X", queueId="0", queueOffset="0"))
    assert (await producer(peers, a=1).send(Message(topic="T", body=b""))).status is status


@pytest.mark.parametrize("code", [1, 2, 14, 16, 17, 204, 205, 1500])
async def test_a_refusal_that_may_be_the_brokers_own_is_tried_elsewhere(code: int) -> None:
    peers = ScriptedPeers()
    peers.on("a:10911", SEND, refused(code))
    peers.on("b:10911", SEND, STORED)
    sender = producer(peers, a=8, b=1)
    result = await sender.send(Message(topic="T", body=b"x"))
    assert result.queue.broker_name == "b"
    assert sender.statistics().attempts_failed == 1
    assert len(peers.asked_of(NAME_SERVER, ROUTE)) == 2, "the route is asked for again"


async def test_a_broker_that_cannot_be_reached_is_passed_over() -> None:
    peers = ScriptedPeers()
    peers.on("a:10911", SEND, fails(ConnectError("a:10911 is down")))
    peers.on("b:10911", SEND, STORED)
    assert (await producer(peers, a=1, b=1).send(Message(topic="T", body=b""))).queue.broker_name == "b"


async def test_a_refusal_that_holds_everywhere_is_raised_at_once() -> None:
    peers = ScriptedPeers()
    peers.on("a:10911", SEND, refused(13, "too large\nSee the manual."))
    with pytest.raises(AnswerError, match=r"^a:10911 answered code 13: too large$") as caught:
        await producer(peers, a=1).send(Message(topic="T", body=b""))
    assert caught.value.code == 13
    assert len(peers.asked_of("a:10911", SEND)) == 1


async def test_it_gives_up_after_two_more_tries_and_names_the_last_reason() -> None:
    peers = ScriptedPeers()
    peers.on("a:10911", SEND, refused(2, "busy"), refused(2, "busy"), refused(14, "disk full"))
    with pytest.raises(SendFailed, match=r"after 3 attempts: a:10911 answered code 14: disk full$") as caught:
        await producer(peers, a=1).send(Message(topic="T", body=b""))
    assert len(caught.value.attempts) == 3


async def test_a_chosen_queue_is_tried_once_and_nowhere_else() -> None:
    peers = ScriptedPeers()
    peers.on("a:10911", SEND, refused(2, "busy"))
    with pytest.raises(AnswerError, match="busy"):
        await producer(peers, a=1, b=1).send(Message(topic="T", body=b""), MessageQueue("T", "a", 0))
    assert len(peers.asked_of("a:10911", SEND)) == 1
    assert not peers.asked_of("b:10911", SEND)


async def test_a_topic_without_route_borrows_the_template_topics_queues() -> None:
    peers = ScriptedPeers()
    peers.on("a:10911", SEND, STORED)

    def route(request):  # type: ignore[no-untyped-def]
        if request.ext_fields["topic"] == "TBW102":
            return ok(body=route_of(a=8))(request)
        return refused(17)(request)

    peers.on(NAME_SERVER, ROUTE, route)
    remote = peers.remote()
    sender = Producer(remote, Routes(remote), "P", first_turn=0)
    for _ in range(5):
        await sender.send(Message(topic="New", body=b""))
    queues = [request.ext_fields["e"] for request in peers.asked_of("a:10911", SEND)]
    assert queues == ["0", "1", "2", "3", "0"]


async def test_a_new_topic_goes_to_the_broker_that_came_for_the_one_that_went() -> None:
    peers = ScriptedPeers()
    peers.on("a:10911", SEND, STORED, fails(ConnectError("a:10911 is down")))
    peers.on("b:10911", SEND, STORED)
    there = {"a": 4}

    def route(request):  # type: ignore[no-untyped-def]
        if request.ext_fields["topic"] == "TBW102":
            return ok(body=route_of(**there))(request)
        return refused(17)(request)

    peers.on(NAME_SERVER, ROUTE, route)
    remote = peers.remote()
    sender = Producer(remote, Routes(remote), "P")
    assert (await sender.send(Message(topic="New", body=b""))).queue.broker_name == "a"
    there = {"b": 4}
    assert (await sender.send(Message(topic="New", body=b""))).queue.broker_name == "b"


async def test_nobody_serves_the_topic() -> None:
    peers = ScriptedPeers()
    peers.on(NAME_SERVER, ROUTE, refused(17))
    remote = peers.remote()
    with pytest.raises(NotFound, match="route for topic New"):
        await Producer(remote, Routes(remote), "P").send(Message(topic="New", body=b""))


async def test_large_bodies_travel_compressed() -> None:
    peers = ScriptedPeers()
    peers.on("a:10911", SEND, STORED)
    sender = producer(peers, a=1)
    await sender.send(Message(topic="T", body=bytes(4096)))
    await sender.send(Message(topic="T", body=bytes(4097)))
    small, large = peers.asked_of("a:10911", SEND)
    assert (small.ext_fields["f"], len(small.body)) == ("0", 4096)
    assert int(large.ext_fields["f"]) & COMPRESSED_FLAG
    assert len(large.body) < 100


async def test_a_batch_is_one_request() -> None:
    peers = ScriptedPeers()
    peers.on("a:10911", RequestCode.SEND_BATCH_MESSAGE, ok(msgId="A,B", queueId="0", queueOffset="5"))
    sender = producer(peers, a=1)
    result = await sender.send_batch(
        [Message(topic="T", body=b"one"), Message(topic="T", body=b"two", tags="t")]
    )
    (request,) = peers.asked_of("a:10911", RequestCode.SEND_BATCH_MESSAGE)
    assert request.ext_fields["m"] == "true"
    items = split_batch(request.body)
    assert [bytes(item.body) for item in items] == [b"one", b"two"]
    ids = [decode_properties(item.properties)["UNIQ_KEY"] for item in items]
    assert result.message_id == ",".join(ids)
    assert sender.statistics().messages_stored == 2


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [Message(topic="T", body=b""), Message(topic="U", body=b"")],
        [Message(topic="T", body=b""), Message(topic="T", body=b"", delay_level=1)],
    ],
)
async def test_what_cannot_be_a_batch(messages: list[Message]) -> None:
    with pytest.raises(ClientError):
        await producer(ScriptedPeers(), a=1).send_batch(messages)
