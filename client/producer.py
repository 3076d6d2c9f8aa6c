"""Sending messages: a queue is chosen, and another one on another broker if the first attempt fails.

Rules of Java's `DefaultMQProducerImpl.sendDefaultImpl`: queues in turn, two more tries by default, and which
response codes are worth another try. A topic without a route borrows the queues of `TBW102`, so that a broker
may create it.
"""

from __future__ import annotations

import itertools
import secrets
import time
from collections import Counter
from enum import Enum
from typing import TYPE_CHECKING

import attrs
import msgspec

from client.errors import AnswerError, ClientError, NotFound, SendFailed
from client.message import compressed_body
from client.routing import publish_queues
from client.unique_id import UniqueIds
from remoting.errors import RemoteFault
from remoting.protocol import headers
from remoting.protocol.message import (
    AUTO_CREATE_TOPIC_KEY_TOPIC,
    PROPERTY_UNIQ_CLIENT_MESSAGE_ID_KEYIDX,
    BatchItem,
    encode_batch,
    encode_properties,
)
from remoting.protocol.request_code import RequestCode
from remoting.protocol.response_code import ResponseCode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from client.message import Message
    from client.remote import Remote
    from client.routes import Routes
    from remoting.protocol.body import MessageQueue

__all__ = ["Producer", "ProducerStatistics", "SendResult", "SendStatus"]

DEFAULT_TOPIC_QUEUES = 4
_RETRIED_CODES = frozenset(
    {
        ResponseCode.SYSTEM_ERROR,
        ResponseCode.SYSTEM_BUSY,
        ResponseCode.SERVICE_NOT_AVAILABLE,
        ResponseCode.NO_PERMISSION,
        ResponseCode.TOPIC_NOT_EXIST,
        ResponseCode.NO_BUYER_ID,
        ResponseCode.NOT_IN_CURRENT_UNIT,
        ResponseCode.GO_AWAY,
    }
)


class SendStatus(Enum):
    """How well a message was stored, by Java's names. In all four cases the broker has it."""

    SEND_OK = ResponseCode.SUCCESS
    FLUSH_DISK_TIMEOUT = ResponseCode.FLUSH_DISK_TIMEOUT
    FLUSH_SLAVE_TIMEOUT = ResponseCode.FLUSH_SLAVE_TIMEOUT
    SLAVE_NOT_AVAILABLE = ResponseCode.SLAVE_NOT_AVAILABLE


_ACCEPTED = frozenset(int(status.value) for status in SendStatus)


@attrs.frozen
class SendResult:
    """Where a message is now.

    Attributes:
        status: What the broker promises.
        message_id: The producer's id; of a batch, those of its messages joined by commas.
        offset_message_id: The broker's id, the same way.
        queue: The queue.
        queue_offset: Offset there (of the first message of a batch).
        transaction_id: Set for half messages.
    """

    status: SendStatus
    message_id: str
    offset_message_id: str
    queue: MessageQueue
    queue_offset: int
    transaction_id: str | None = None


@attrs.frozen
class ProducerStatistics:
    """Counts since the producer was made: messages stored, requests answered well, tries that failed."""

    messages_stored: int
    requests_done: int
    attempts_failed: int


class Producer:
    """Sends for one producer group.

    Args:
        remote: Asks the brokers.
        routes: Knows their addresses.
        group: How brokers call this producer.
        retries: Further tries after a failed one, each on another queue.
        timeout_ms: For one try.
        compress_above_bytes: Larger bodies travel as zlib; batches never do.
        clock_ms: Milliseconds since 1970.
        unique_ids: Makes the ids of messages.
        first_turn: Which of the queues comes first; by default any, so that short-lived producers spread.

    Tasks may share a producer.
    """

    def __init__(
        self,
        remote: Remote,
        routes: Routes,
        group: str,
        *,
        retries: int = 2,
        timeout_ms: int = 3_000,
        compress_above_bytes: int = 4096,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        unique_ids: UniqueIds | None = None,
        first_turn: int | None = None,
    ) -> None:
        self.group = group
        self._remote = remote
        self._routes = routes
        self._retries = retries
        self._timeout_ms = timeout_ms
        self._compress_above_bytes = compress_above_bytes
        self._clock_ms = clock_ms
        self._unique_ids = unique_ids or UniqueIds()
        self._turn = itertools.count(secrets.randbelow(1 << 20) if first_turn is None else first_turn)
        self._counts: Counter[str] = Counter()

    def statistics(self) -> ProducerStatistics:
        return ProducerStatistics(
            self._counts["messages_stored"], self._counts["requests_done"], self._counts["attempts_failed"]
        )

    async def send(self, message: Message, queue: MessageQueue | None = None) -> SendResult:
        """Sends one message and waits until the broker has it.

        Args:
            queue: Exactly there, without further tries elsewhere; None for any writable queue.

        Raises:
            SendFailed: No try succeeded.
            AnswerError: A broker refused it for a reason that holds everywhere (too large, bad name).
            NotFound: Nobody serves the topic.

        Cancelled, the message may or may not be stored.
        """
        properties = message.wire_properties(self._unique_ids.next(self._clock_ms()))
        body, sys_flag = message.body, 0
        if len(body) > self._compress_above_bytes:
            body, sys_flag = compressed_body(body)
        return await self._deliver(
            message.topic,
            RequestCode.SEND_MESSAGE_V2,
            body,
            properties,
            queue,
            sys_flag=sys_flag,
            flag=message.flag,
            unique_id=properties[PROPERTY_UNIQ_CLIENT_MESSAGE_ID_KEYIDX],
            messages=1,
        )

    async def send_batch(self, messages: Sequence[Message], queue: MessageQueue | None = None) -> SendResult:
        """Sends messages of one topic in one request; the broker stores all of them or none.

        Raises:
            ClientError: None given, several topics, or a delayed message among them.
            SendFailed, AnswerError, NotFound: As `send`.
        """
        if not messages:
            raise ClientError("a batch needs at least one message")
        if len({(message.topic, message.wait_store_ok) for message in messages}) > 1:
            raise ClientError("the messages of a batch have the same topic and the same wait_store_ok")
        if any(message.delay_level for message in messages):
            raise ClientError("a batch cannot hold delayed messages")
        ids = []
        items = []
        for message in messages:
            properties = message.wire_properties(self._unique_ids.next(self._clock_ms()))
            ids.append(properties[PROPERTY_UNIQ_CLIENT_MESSAGE_ID_KEYIDX])
            items.append(BatchItem(message.flag, message.body, encode_properties(properties)))
        own = {"WAIT": "true" if messages[0].wait_store_ok else "false"}
        return await self._deliver(
            messages[0].topic,
            RequestCode.SEND_BATCH_MESSAGE,
            encode_batch(items),
            own,
            queue,
            batch=True,
            unique_id=",".join(ids),
            messages=len(messages),
        )

    async def _deliver(
        self,
        topic: str,
        code: int,
        body: bytes,
        properties: dict[str, str],
        queue: MessageQueue | None,
        *,
        unique_id: str,
        messages: int,
        sys_flag: int = 0,
        flag: int = 0,
        batch: bool = False,
    ) -> SendResult:
        attempts: list[str] = []
        failed_broker: str | None = None
        for _ in range(1 if queue is not None else 1 + self._retries):
            chosen, address = await self._choose(topic, queue, failed_broker)
            header = headers.SendMessageRequestHeaderV2(
                producer_group=self.group,
                topic=topic,
                default_topic=AUTO_CREATE_TOPIC_KEY_TOPIC,
                default_topic_queue_nums=DEFAULT_TOPIC_QUEUES,
                queue_id=chosen.queue_id,
                sys_flag=sys_flag,
                born_timestamp=self._clock_ms(),
                flag=flag,
                properties=str(encode_properties(properties), "utf-8"),
                reconsume_times=0,
                unit_mode=False,
                batch=batch,
                broker_name=chosen.broker_name,
            )
            try:
                answer = await self._remote.ask(
                    address, code, header, body=body, accept=_ACCEPTED, timeout_ms=self._timeout_ms
                )
            except AnswerError as fault:
                self._counts["attempts_failed"] += 1
                if queue is not None or fault.code not in _RETRIED_CODES:
                    raise
                attempts.append(str(fault))
            except RemoteFault as fault:
                self._counts["attempts_failed"] += 1
                attempts.append(str(fault))
            else:
                self._counts["requests_done"] += 1
                self._counts["messages_stored"] += messages
                stored = headers.SendMessageResponseHeader.decode(answer.ext_fields)
                return SendResult(
                    SendStatus(answer.code),
                    unique_id,
                    stored.msg_id,
                    msgspec.structs.replace(chosen, queue_id=stored.queue_id),
                    stored.queue_offset,
                    stored.transaction_id,
                )
            failed_broker = chosen.broker_name
            self._routes.forget(topic)
            self._routes.forget(AUTO_CREATE_TOPIC_KEY_TOPIC)  # a topic that nobody has yet goes by its route
        raise SendFailed(topic, attempts)

    async def _choose(
        self, topic: str, queue: MessageQueue | None, failed_broker: str | None
    ) -> tuple[MessageQueue, str]:
        """A queue and its master's address; not of the broker that just failed, if there is another."""
        if queue is not None:
            return queue, await self._routes.master_of_broker(topic, queue.broker_name)
        route_topic = topic
        try:
            queues = publish_queues(topic, await self._routes.route(topic))
        except NotFound:
            try:
                template = publish_queues(topic, await self._routes.route(AUTO_CREATE_TOPIC_KEY_TOPIC))
            except NotFound:
                raise NotFound(f"no name server has a route for topic {topic}") from None
            queues = [each for each in template if each.queue_id < DEFAULT_TOPIC_QUEUES]
            route_topic = AUTO_CREATE_TOPIC_KEY_TOPIC
        elsewhere = [each for each in queues if each.broker_name != failed_broker]
        candidates = elsewhere or queues
        if not candidates:
            raise NotFound(f"topic {topic} has no writable queue")
        chosen = candidates[next(self._turn) % len(candidates)]
        return chosen, await self._routes.master_of_broker(route_topic, chosen.broker_name)
