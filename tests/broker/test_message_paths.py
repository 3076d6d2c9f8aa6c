"""Messages on their way through a whole broker, over sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio
from rig import bodies, properties, pull_request, send_request

from remoting.command import RemotingCommand
from remoting.frame import FrameReader, encode_buffers
from remoting.json_dialect import dumps
from remoting.protocol.message import decode_messages

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Peer:
    """A raw connection: writes frames as it is told, reads answers as they come."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._reader = FrameReader()
        self.answers: dict[int, RemotingCommand] = {}

    @classmethod
    async def connect(cls, port: int) -> Peer:
        return cls(await trio.open_tcp_stream("127.0.0.1", port))

    async def write(self, *requests: RemotingCommand) -> None:
        """All requests in one piece."""
        await self._stream.send_all(b"".join(b"".join(encode_buffers(request)) for request in requests))

    async def answer(self, request: RemotingCommand) -> RemotingCommand:
        with trio.fail_after(10):
            while request.opaque not in self.answers:
                data = await self._stream.receive_some()
                assert data, "the broker closed the connection"
                self.answers.update((each.opaque, each) for each in self._reader.feed(bytes(data)))
        return self.answers[request.opaque]

    async def ask(self, request: RemotingCommand) -> RemotingCommand:
        await self.write(request)
        return await self.answer(request)

    async def close(self) -> None:
        await self._stream.aclose()


def inline_pull(topic: str = "T", **changes: str) -> RemotingCommand:
    return pull_request(topic, **{"sysFlag": "6", "subscription": "*", "queueOffset": "0", **changes})


async def test_a_burst_of_sends_in_one_write_is_answered_and_pulled_in_order(
    tmp_path: Path, running_broker: Any
) -> None:
    async with running_broker(tmp_path) as broker:
        peer = await Peer.connect(broker.listen_port)
        burst = [
            send_request(body=b"%d" % number, i=properties(UNIQ_KEY=f"K{number}")) for number in range(200)
        ]
        await peer.write(*burst)
        answers = [await peer.answer(request) for request in burst]
        assert {answer.code for answer in answers} == {0}
        offsets = [int(answer.ext_fields["queueOffset"]) for answer in answers]
        assert offsets == list(range(200))
        pulled: list[bytes] = []
        while len(pulled) < 200:
            pulled += bodies(await peer.ask(inline_pull(queueOffset=str(len(pulled)))))
        assert pulled == [request.body for request in burst]
        await peer.close()


async def test_a_held_pull_wakes_at_a_send_and_other_requests_pass_it(
    tmp_path: Path, running_broker: Any
) -> None:
    async with running_broker(tmp_path) as broker:
        consumer, producer = await Peer.connect(broker.listen_port), await Peer.connect(broker.listen_port)
        await producer.ask(send_request(body=b"first"))
        pull = inline_pull(queueOffset="1")
        await consumer.write(pull)
        offset = await consumer.ask(RemotingCommand.request(30, {"topic": "T", "queueId": "0"}))
        assert offset.ext_fields == {"offset": "1"}
        assert broker.statistics().held_pulls.held == 1
        await producer.ask(send_request(body=b"second"))
        assert bodies(await consumer.answer(pull)) == [b"second"]
        await consumer.close()
        await producer.close()


async def test_held_pulls_of_a_connection_that_closes_are_forgotten(
    tmp_path: Path, running_broker: Any
) -> None:
    async with running_broker(tmp_path) as broker:
        consumer, other = await Peer.connect(broker.listen_port), await Peer.connect(broker.listen_port)
        await other.ask(send_request())
        await consumer.write(inline_pull(queueOffset="1"))
        await consumer.ask(RemotingCommand.request(30, {"topic": "T", "queueId": "0"}))
        await consumer.close()
        with trio.fail_after(10):
            while broker.statistics().held_pulls.dropped == 0:
                await other.ask(RemotingCommand.request(30, {"topic": "T", "queueId": "0"}))
        assert broker.statistics().held_pulls.held == 0
        await other.close()


async def test_the_fast_port_takes_sends_but_no_pulls(tmp_path: Path, running_broker: Any) -> None:
    async with running_broker(tmp_path) as broker:
        fast = await Peer.connect(broker.ports[1])
        assert (await fast.ask(send_request())).code == 0
        assert (await fast.ask(inline_pull())).code == 3
        await fast.close()


async def test_a_delayed_message_reaches_a_waiting_consumer_when_it_is_due(
    tmp_path: Path, running_broker: Any
) -> None:
    async with running_broker(tmp_path, message_delay_level="1s 5s") as broker:
        peer = await Peer.connect(broker.listen_port)
        await peer.ask(send_request(body=b"now"))
        pull = inline_pull(queueOffset="1")
        await peer.write(pull)
        await peer.ask(send_request(body=b"later", i=properties(UNIQ_KEY="D", DELAY="1")))
        answer = await peer.answer(pull)
        (message,) = decode_messages(bytes(answer.body))
        assert message.body == b"later"
        place = broker.context.store.consume_queue_units("SCHEDULE_TOPIC_XXXX", 0, 0, 1)[0]
        assert message.store_timestamp >= place[2]
        await peer.close()


async def test_a_message_is_retried_until_it_is_a_dead_letter(tmp_path: Path, running_broker: Any) -> None:
    async with running_broker(tmp_path, message_delay_level="1s") as broker:
        peer = await Peer.connect(broker.listen_port)
        await peer.ask(send_request(body=b"x"))
        beat = {
            "clientID": "c",
            "consumerDataSet": [{"groupName": "g", "subscriptionDataSet": []}],
            "producerDataSet": [],
        }
        assert (await peer.ask(RemotingCommand.request(34, body=dumps(beat)))).code == 0
        (message,) = decode_messages(bytes((await peer.ask(inline_pull())).body))
        retry = inline_pull("%RETRY%g")
        await peer.write(retry)
        assert (await peer.ask(give_back(message.commit_log_offset, "1"))).code == 0
        (again,) = decode_messages(bytes((await peer.answer(retry)).body))
        assert (again.body, again.reconsume_times) == (b"x", 1)
        assert again.properties["RETRY_TOPIC"] == "T"
        assert (await peer.ask(give_back(again.commit_log_offset, "1"))).code == 0
        (dead,) = decode_messages(bytes((await peer.ask(inline_pull("%DLQ%g"))).body))
        assert (dead.body, dead.reconsume_times) == (b"x", 2)
        assert dead.properties["ORIGIN_MESSAGE_ID"] == message.msg_id
        await peer.close()


def give_back(place: int, most: str) -> RemotingCommand:
    return RemotingCommand.request(
        36, {"offset": str(place), "group": "g", "delayLevel": "0", "maxReconsumeTimes": most}
    )


async def test_over_a_restart_delayed_messages_come_once_and_offsets_go_on(
    tmp_path: Path, running_broker: Any
) -> None:
    levels = {"message_delay_level": "1s 3s"}
    async with running_broker(tmp_path, **levels) as broker:
        peer = await Peer.connect(broker.listen_port)
        await peer.ask(send_request(body=b"now"))
        await peer.write(waiting := inline_pull(queueOffset="1"))
        await peer.ask(send_request(body=b"soon", i=properties(UNIQ_KEY="S", DELAY="1")))
        await peer.ask(send_request(body=b"late", i=properties(UNIQ_KEY="L", DELAY="2")))
        assert bodies(await peer.answer(waiting)) == [b"soon"]
        await peer.close()
    async with running_broker(tmp_path, **levels) as broker:
        peer = await Peer.connect(broker.listen_port)
        assert bodies(await peer.ask(inline_pull(queueOffset="2"))) == [b"late"]
        assert await everything(peer) == [b"now", b"soon", b"late"]
        await peer.close()


async def everything(peer: Peer) -> Sequence[bytes]:
    answer = await peer.ask(inline_pull(sysFlag="4"))
    return bodies(answer)


async def test_garbage_in_a_header_is_answered_and_the_connection_lives_on(
    tmp_path: Path, running_broker: Any
) -> None:
    async with running_broker(tmp_path) as broker:
        peer = await Peer.connect(broker.listen_port)
        for code in (10, 310, 320, 11, 361, 12, 33, 29, 30, 31, 32, 14, 15, 34, 35, 36, 38, 41, 42):
            answer = await peer.ask(RemotingCommand.request(code, {"x": "y"}, b"\x00garbage"))
            assert answer.code not in (0, 3), code
        assert (await peer.ask(send_request())).code == 0
        await peer.close()
