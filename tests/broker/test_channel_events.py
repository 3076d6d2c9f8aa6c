"""What the end of a connection means to everything that knew it, and questions that nobody answers."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import trio

from broker.clients import ConsumerManager, ProducerManager
from broker.pull_hold import PullRequestHold
from remoting.client import RemotingClient
from remoting.command import RemotingCommand
from remoting.config import RemotingClientConfig, RemotingServerConfig
from remoting.json_dialect import dumps
from remoting.processors import ProcessorTable
from remoting.protocol.request_code import RequestCode
from remoting.protocol.response_code import ResponseCode
from remoting.server import Transport

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from broker.broker import Broker

HEARTBEAT = dumps(
    {
        "clientID": "client-1",
        "producerDataSet": [{"groupName": "producers"}],
        "consumerDataSet": [
            {
                "groupName": "g",
                "consumeType": "CONSUME_PASSIVELY",
                "messageModel": "CLUSTERING",
                "consumeFromWhere": "CONSUME_FROM_LAST_OFFSET",
                "unitMode": False,
                "subscriptionDataSet": [
                    {
                        "topic": "t", "subString": "*", "tagsSet": [], "codeSet": [], "subVersion": 1,
                        "expressionType": "TAG", "classFilterMode": False,
                    }
                ],
            }
        ],
    }
)  # fmt: skip
LOCK = dumps(
    {
        "consumerGroup": "g",
        "clientId": "client-1",
        "mqSet": [{"topic": "t", "brokerName": "broker-a", "queueId": 0}],
    }
)
SEND = {
    "a": "p", "b": "t", "c": "TBW102", "d": "4", "e": "0", "f": "0", "g": "1700000000000", "h": "0", "i": "",
    "j": "0", "k": "false", "m": "false",
}  # fmt: skip
PULL = {
    "consumerGroup": "g", "topic": "t", "queueId": "1", "queueOffset": "0", "maxMsgNums": "32",
    "sysFlag": "2", "commitOffset": "0", "suspendTimeoutMillis": "15000", "subVersion": "1",
}  # fmt: skip


async def until(holds: Callable[[], bool]) -> None:
    """Let others run as long as it takes."""
    while not holds():
        await trio.lowlevel.checkpoint()


async def invoke(
    client: RemotingClient, address: str, code: int, fields: Any = None, body: bytes = b""
) -> int:
    request = RemotingCommand.request(code, dict(fields or {}), body)
    request.language = "JAVA"
    return (await client.invoke(address, request, 10_000)).code


async def use_everything(client: RemotingClient, broker: Broker) -> None:
    """Be a producer and a consumer that holds a lock on one queue and waits for a message of another."""
    assert await invoke(client, broker.address, RequestCode.SEND_MESSAGE_V2, SEND, b"hello") == 0
    assert await invoke(client, broker.address, RequestCode.HEART_BEAT, body=HEARTBEAT) == 0
    assert await invoke(client, broker.address, RequestCode.LOCK_BATCH_MQ, body=LOCK) == 0
    pull = RemotingCommand.request(RequestCode.PULL_MESSAGE, dict(PULL), b"")
    client.invoke_callback(broker.address, pull, 60_000, lambda _answer: None)
    context: Any = broker.context
    await until(lambda: len(context.hold) == 1)


def count_closes(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    counts: Counter[str] = Counter()

    def counting(owner: type) -> Any:
        original: Any = owner.on_close  # type: ignore[attr-defined]

        def on_close(self: object, connection: object) -> Any:
            counts[owner.__name__] += 1
            return original(self, connection)

        return on_close

    for owner in (ProducerManager, ConsumerManager, PullRequestHold):
        monkeypatch.setattr(owner, "on_close", counting(owner))
    return counts


async def test_a_closed_connection_reaches_everything_that_knew_it_once_and_no_other_broker(
    tmp_path: Path, running_broker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = count_closes(monkeypatch)
    transport = Transport(RemotingServerConfig(bind_address="127.0.0.1"))
    async with (
        running_broker(tmp_path / "a", transport=transport) as broker,
        running_broker(tmp_path / "b", transport=transport) as neighbour,
        RemotingClient(RemotingClientConfig()) as client,
    ):
        await use_everything(client, broker)
        await use_everything(client, neighbour)
        client.close_connection(broker.address)
        await until(lambda: broker.statistics().connections == 0)
        assert counts == {"ProducerManager": 1, "ConsumerManager": 1, "PullRequestHold": 1}
        gone, there = broker.statistics(), neighbour.statistics()
        assert (gone.producer_groups_online, gone.consumer_groups_online) == (0, 0)
        assert (gone.held_pulls.held, gone.held_pulls.dropped) == (0, 1)
        assert (there.producer_groups_online, there.consumer_groups_online) == (1, 1)
        assert (there.held_pulls.held, there.held_pulls.dropped) == (1, 0)
        # As in Java a lock outlives its connection: the client may still be at work on what it has.
        assert not broker.context.locks.is_lock_all_expired("g")
        accepted = [port.accepted_connections for port in transport.statistics().ports]
        assert accepted == [1, 0, 1, 0]


async def test_questions_to_a_client_that_does_not_answer_time_out_and_are_forgotten(
    tmp_path: Path, running_broker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.admin.client_requests._CLIENT_TIMEOUT_MS", 20)
    heard: list[int] = []

    def silent(_connection: object, request: RemotingCommand) -> None:
        heard.append(request.code)

    table = ProcessorTable()
    asked = (RequestCode.GET_CONSUMER_RUNNING_INFO, RequestCode.NOTIFY_CONSUMER_IDS_CHANGED)
    table.call((*asked, RequestCode.RESET_CONSUMER_CLIENT_OFFSET), silent)
    async with (
        running_broker(tmp_path, use_server_side_reset_offset=False) as broker,
        RemotingClient(RemotingClientConfig(), processors=table) as consumer,
        RemotingClient(RemotingClientConfig()) as admin,
    ):
        await use_everything(consumer, broker)
        who = {"consumerGroup": "g", "clientId": "client-1", "jstackEnable": "false"}
        code = await invoke(admin, broker.address, RequestCode.GET_CONSUMER_RUNNING_INFO, who)
        assert code == ResponseCode.CONSUME_MSG_TIMEOUT
        for queue_id in range(4):
            commit = {"consumerGroup": "g", "topic": "t", "queueId": str(queue_id), "commitOffset": "0"}
            assert await invoke(admin, broker.address, RequestCode.UPDATE_CONSUMER_OFFSET, commit) == 0
        reset = {"topic": "t", "group": "g", "timestamp": "0", "isForce": "true"}
        assert await invoke(admin, broker.address, RequestCode.INVOKE_BROKER_TO_RESET_OFFSET, reset) == 0
        await until(lambda: RequestCode.RESET_CONSUMER_CLIENT_OFFSET in heard)
        assert RequestCode.GET_CONSUMER_RUNNING_INFO in heard
        connections = [each for server in broker._servers for each in server.connections]
        assert len(connections) == 2
        assert [each.statistics().pending_invocations for each in connections] == [0, 0]


async def test_statistics_tell_what_passes_and_what_waits(tmp_path: Path, running_broker: Any) -> None:
    async with running_broker(tmp_path) as broker, RemotingClient(RemotingClientConfig()) as client:
        before = broker.statistics()
        assert (before.messages_put, before.put_tps, before.get_tps, before.buffered_bytes) == (0, 0, 0, 0)
        assert (before.fast_port, before.ha_port) == (broker.listen_port - 2, broker.listen_port + 1)
        await use_everything(client, broker)
        after = broker.statistics()
        assert after.messages_put == 1
        assert after.put_tps > 0
        assert after.buffered_bytes >= 20  # the entry of the consume queue
