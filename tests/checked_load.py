"""Our producers that go on whatever happens, and a reader that finds out what became of their messages.

Every message carries its number and a checksum, so that a torn one is told from a whole one, and a message
that nobody acknowledged from a lost one.
"""

from __future__ import annotations

import time
import zlib
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

from client.errors import AnswerError, ClientError
from client.message import Message
from client.producer import Producer
from client.pull import Puller, PullStatus
from client.remote import Remote
from client.routes import Routes
from remoting.client import RemotingClient
from remoting.config import RemotingClientConfig
from remoting.errors import RemotingError
from remoting.protocol import headers
from remoting.protocol.body import MessageQueue
from remoting.protocol.request_code import RequestCode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

__all__ = ["Load", "create_topic", "open_remote", "read_all"]

READ_GROUP = "checked_readers"


async def create_topic(remote: Remote, address: str, topic: str) -> None:
    """A topic of one queue on the broker at `address`."""
    header = headers.CreateTopicRequestHeader(
        topic=topic,
        default_topic="TBW102",
        read_queue_nums=1,
        write_queue_nums=1,
        perm=6,
        topic_filter_type="SINGLE_TAG",
        topic_sys_flag=0,
        order=False,
    )
    await remote.ask(address, RequestCode.UPDATE_AND_CREATE_TOPIC, header)


def body_of(number: int, size_bytes: int) -> bytes:
    text = f"{number}:".encode()
    text += bytes(97 + (number + position) % 26 for position in range(64)) * (size_bytes // 64)
    return text + b":%d" % zlib.crc32(text)


def number_of(body: bytes) -> int:
    """The number of a whole message.

    Raises:
        AssertionError: The checksum at its end says that it is torn.
    """
    text, _, checksum = body.rpartition(b":")
    assert zlib.crc32(text) == int(checksum), f"torn: {body[:60]!r}"
    return int(text.partition(b":")[0])


@asynccontextmanager
async def open_remote(name_server: str) -> AsyncIterator[Remote]:
    async with RemotingClient(RemotingClientConfig()) as client:
        yield Remote(client, [name_server])


class Load:
    """Sends to one queue of one broker, one message after the other, without tries of its own.

    Args:
        remote: Connections.
        topic: The broker must have it.
        broker_name: Where to.
        size_bytes: Of the bodies, roughly.
        pause_s: Rest after each message.

    Attributes:
        acknowledged: Number to queue offset.
        refusals: How often each answer came that was not 0; the name of the error where none came.
        refused: The text of the last refusal.
    """

    def __init__(
        self, remote: Remote, topic: str, broker_name: str, *, size_bytes: int = 4096, pause_s: float = 0.002
    ) -> None:
        self.queue = MessageQueue(topic=topic, broker_name=broker_name, queue_id=0)
        self.acknowledged: dict[int, int] = {}
        self.refusals: Counter[str] = Counter()
        self.refused = ""
        self._remote = remote
        self._size_bytes = size_bytes
        self._pause_s = pause_s
        self._producer = Producer(
            remote, Routes(remote), "checked_senders", retries=0, compress_above_bytes=1 << 30
        )
        self._number = 0
        self._took_s: list[float] = []
        self._answered = trio.Event()

    def __repr__(self) -> str:
        return f"<Load {self.queue.broker_name} {len(self.acknowledged)} stored, {dict(self.refusals)}>"

    async def run(self) -> None:
        """Sends until cancelled."""
        while True:
            await self.send()
            self._answered.set()
            self._answered = trio.Event()
            await trio.sleep(self._pause_s)

    async def send(self) -> bool:
        """Sends one message; False when the broker does not take it."""
        number, self._number = self._number, self._number + 1
        message = Message(topic=self.queue.topic, body=body_of(number, self._size_bytes))
        started = time.perf_counter()
        try:
            result = await self._producer.send(message, self.queue)
        except AnswerError as answer:
            self.refused = str(answer)
            self.refusals[str(int(answer.code))] += 1
        except (ClientError, RemotingError) as error:
            self.refused = str(error)
            self.refusals[type(error).__name__] += 1
        else:
            self.acknowledged[number] = result.queue_offset
            self._took_s.append(time.perf_counter() - started)
            return True
        return False

    async def until(self, condition: Callable[[], object]) -> None:
        """Returns when `condition` holds after an answer."""
        while not condition():
            await self._answered.wait()

    async def more(self, count: int) -> None:
        """Returns when `count` more messages are acknowledged."""
        goal = len(self.acknowledged) + count
        await self.until(lambda: len(self.acknowledged) >= goal)

    def latencies(self) -> list[float]:
        """Seconds that the acknowledged sends since the last call took."""
        took, self._took_s = self._took_s, []
        return took


async def read_all(remote: Remote, queue: MessageQueue) -> dict[int, int]:
    """Number to queue offset of every message that the queue has.

    Raises:
        AssertionError: One is torn, or there is a gap.
    """
    puller = Puller(remote, Routes(remote), READ_GROUP)
    offset = first = await puller.min_offset(queue)
    found: dict[int, int] = {}
    while True:
        result = await puller.pull(queue, offset)
        if result.status is not PullStatus.FOUND:
            assert offset == await puller.max_offset(queue), result
            break
        for message in result.messages:
            found[number_of(message.body)] = message.queue_offset
        offset = result.next_begin_offset
    assert sorted(found.values()) == list(range(first, offset))
    return found
