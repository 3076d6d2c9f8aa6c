"""Producers, a consumer's commits and a reader beside them, until the broker is gone."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import trio

from tests.kill.ledger import body_of
from tests.kill.wire import SEND, SEND_BATCH, batch_body, connected, send_fields
from tests.store_reader import split_messages

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.interop.wire import Answer
    from tests.kill.ledger import Ledger
    from tests.kill.wire import Connection

__all__ = ["GROUPS", "TOPICS", "create_topics", "load", "pull"]

TOPICS = {"KillOrders": 4, "KillEvents": 1, "KillLater": 2}
"""Topics with their queues; the last is for delayed messages only."""
LATER = "KillLater"
GROUPS = ("killed_readers", "other_readers")

_UPDATE_TOPIC, _PULL, _COMMIT, _UPDATE_GROUP = 17, 11, 15, 200
_GO_AWAY = 1500
_PRODUCERS = 3
_BURSTS = (1, 1, 1, 2, 4, 8, 16, 32)
_SIZES = (0, 40, 200, 500, 1000, 1500, 6000)


async def create_topics(port: int) -> None:
    """Topics and groups that the load needs, once for a new broker."""
    async with trio.open_nursery() as nursery:
        connection = await connected(port, nursery)
        for topic, queues in TOPICS.items():
            answer = await connection.ask(
                _UPDATE_TOPIC,
                {
                    "topic": topic, "defaultTopic": "TBW102", "readQueueNums": str(queues),
                    "writeQueueNums": str(queues), "perm": "6", "topicFilterType": "SINGLE_TAG",
                    "topicSysFlag": "0", "order": "false",
                },
            )  # fmt: skip
            assert answer is not None
            assert answer.code == 0, answer
        for group in GROUPS:
            answer = await connection.ask(_UPDATE_GROUP, {}, b'{"groupName":"%s"}' % group.encode())
            assert answer is not None
            assert answer.code == 0, answer
        await connection.close()


async def pull(
    connection: Connection, topic: str, queue_id: int, offset: int, *, most: int = 32
) -> Answer | None:
    """One pull without waiting; the subscription travels with it."""
    return await connection.ask(
        _PULL,
        {
            "consumerGroup": GROUPS[0], "topic": topic, "queueId": str(queue_id), "queueOffset": str(offset),
            "maxMsgNums": str(most), "sysFlag": "4", "commitOffset": "0", "suspendTimeoutMillis": "0",
            "subVersion": "0", "subscription": "*", "expressionType": "TAG",
        },
    )  # fmt: skip


async def load(port: int, ledger: Ledger, chance: random.Random, *, delays: bool) -> None:
    """Runs until the broker has closed every connection.

    Args:
        delays: Send delayed messages too.
    """
    async with trio.open_nursery() as nursery:
        for _ in range(_PRODUCERS):
            connection = await connected(port, nursery)
            nursery.start_soon(_produce, connection, ledger, random.Random(chance.random()), delays)
        for task in (_commit, _read):
            connection = await connected(port, nursery)
            nursery.start_soon(task, connection, ledger, random.Random(chance.random()))


async def _produce(connection: Connection, ledger: Ledger, chance: random.Random, delays: bool) -> None:
    is_wanted = True
    while is_wanted and not connection.closed:
        open_requests = 0
        all_answered = trio.Event()

        def answered(numbers: list[int], answer: Answer | None, done: trio.Event = all_answered) -> None:
            nonlocal open_requests, is_wanted
            ledger.answered(numbers, answer)
            if answer is not None and answer.code == _GO_AWAY:
                is_wanted = False  # the broker stops; only its end ends the load
            open_requests -= 1
            if not open_requests:
                done.set()

        open_requests = count = chance.choice(_BURSTS)
        frames = [_request(connection, ledger, chance, delays, answered) for _ in range(count)]
        await connection.write(b"".join(frames))
        await all_answered.wait()
        if chance.random() < 0.3:
            await trio.sleep(chance.uniform(0, 0.01))


def _request(
    connection: Connection,
    ledger: Ledger,
    chance: random.Random,
    delays: bool,
    answered: Callable[[list[int], Answer | None], None],
) -> bytes:
    if delays and chance.random() < 0.05:
        topic = LATER
    else:
        topic = chance.choice(("KillOrders", "KillOrders", "KillEvents"))
    queue_id = chance.randrange(TOPICS[topic])
    is_batch = topic != LATER and chance.random() < 0.25
    wait = {"WAIT": "false" if chance.random() < 0.2 else "true"}
    numbers = [
        ledger.number(topic, queue_id, delayed=topic == LATER)
        for _ in range(chance.randint(2, 10) if is_batch else 1)
    ]

    def on_answer(answer: Answer | None) -> None:
        answered(numbers, answer)

    items = [
        (
            body_of(number, chance.choice(_SIZES)),
            {"UNIQ_KEY": f"{number:032X}", "KEYS": f"k{number} m{number % 7}", "TAGS": f"t{number % 5}"},
        )
        for number in numbers
    ]
    if is_batch:
        fields = send_fields(topic, queue_id, wait, is_batch=True)
        return connection.frame(SEND_BATCH, fields, batch_body(items), on_answer)
    ((body, properties),) = items
    properties |= wait | ({"DELAY": "1"} if topic == LATER else {})
    return connection.frame(SEND, send_fields(topic, queue_id, properties, is_batch=False), body, on_answer)


async def _commit(connection: Connection, ledger: Ledger, chance: random.Random) -> None:
    while not connection.closed:
        topic = chance.choice(("KillOrders", "KillEvents"))
        queue_id, group = chance.randrange(TOPICS[topic]), chance.choice(GROUPS)
        key = (f"{topic}@{group}", queue_id)
        offset = ledger.asked.get(key, -1) + chance.randint(1, 5)
        ledger.asked[key] = offset
        fields = {
            "consumerGroup": group, "topic": topic, "queueId": str(queue_id), "commitOffset": str(offset),
        }  # fmt: skip
        answer = await connection.ask(_COMMIT, fields)
        if answer is not None and answer.code == 0:
            ledger.committed[key] = offset
        await trio.sleep(chance.uniform(0, 0.003))


async def _read(connection: Connection, ledger: Ledger, chance: random.Random) -> None:
    while not connection.closed:
        topic = chance.choice(("KillOrders", "KillEvents"))
        places = len(ledger.acknowledged) // 10
        answer = await pull(connection, topic, chance.randrange(TOPICS[topic]), chance.randint(0, places))
        if answer is not None and answer.code == 0:
            for message in split_messages(answer.body):
                ledger.saw(message)
        await trio.sleep(chance.uniform(0, 0.02))
