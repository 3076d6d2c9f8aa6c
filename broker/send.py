"""Sends: SEND_MESSAGE (10), SEND_MESSAGE_V2 (310) and SEND_BATCH_MESSAGE (320).

The unit of work is the sends of one read: each is checked and answered if it is bad, the good ones become
messages, all messages go to the store in **one** put, and every answer waits at the store's ack gate only
as long as the flush mode asks for. Checks, their order, codes and remarks follow SendMessageProcessor and
AbstractSendMessageProcessor.

Flow control: Java turns sends away that wait too long for a thread. Here nothing waits for a thread; what
a send may wait for is its flush. So `sendThreadPoolQueueCapacity` bounds the sends waiting for their
flush, and as long as the oldest of them has waited longer than `waitTimeMillsInSendQueue` while more than
:data:`BEHIND_BYTES` are owed to the disk, new sends get SYSTEM_BUSY with Java's remark. Sends that are
stored already are never turned away: they get FLUSH_DISK_TIMEOUT after syncFlushTimeout, as in Java.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from broker.publication import published
from broker.put_answers import failure_of
from broker.remarks import OVERLOAD, REJECTED, TIMEOUT_CLEAN_QUEUE
from broker.reply_frames import FrameTemplate, frame_template, is_plain
from broker.send_admission import SendAdmission
from remoting.errors import CommandError
from remoting.protocol.request_code import RequestCode
from remoting.protocol.response_code import ResponseCode
from store import Message, PutResult, PutStatus
from store.acknowledgement import answers_on_device

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.context import BrokerContext
    from broker.send_admission import AdmittedSend
    from remoting.command import RemotingCommand
    from remoting.server import Connection, ProcessorTable

__all__ = ["BEHIND_BYTES", "SendMessageProcessor", "register"]

_log = logging.getLogger("rocketmq.broker")

BEHIND_BYTES = 16 << 20
"""Bytes waiting for their flush from which on waitTimeMillsInSendQueue counts."""

_OFFSET_HEX_DIGITS = 16


class _Gate:
    """Sends that are stored and wait for their flush, oldest first."""

    def __init__(self) -> None:
        self.requests = 0
        self.size_bytes = 0
        self._waiting: dict[int, tuple[float, int, int]] = {}
        self._next = 0

    def enter(self, requests: int, size_bytes: int) -> int:
        """Count a batch in; returns the ticket for :meth:`leave`."""
        self._next += 1
        self._waiting[self._next] = (time.monotonic(), requests, size_bytes)
        self.requests += requests
        self.size_bytes += size_bytes
        return self._next

    def leave(self, ticket: int) -> None:
        """Count a batch out."""
        _, requests, size_bytes = self._waiting.pop(ticket)
        self.requests -= requests
        self.size_bytes -= size_bytes

    def oldest_wait_ms(self) -> int:
        """How long the oldest batch has waited."""
        for since, _, _ in self._waiting.values():
            return int((time.monotonic() - since) * 1000)
        return 0


class SendMessageProcessor:
    """Serves sends of one broker, on all its ports."""

    def __init__(self, context: BrokerContext) -> None:
        self._context = context
        self._gate = _Gate()
        self._admission = SendAdmission(context)
        self._waits_for_device = answers_on_device(context.store_config.flush_disk_type)
        self._host_hex = ""
        self._trace_on: bool | None = None
        self._answer_fields: dict[str, str] = {}
        self._answer: FrameTemplate
        self._follow_config()

    def register(self, table: ProcessorTable) -> None:
        """Put the handlers into a port's table."""
        codes = (RequestCode.SEND_MESSAGE, RequestCode.SEND_MESSAGE_V2, RequestCode.SEND_BATCH_MESSAGE)
        table.batch(codes, self.process_batch)

    def waiting(self) -> tuple[int, int]:
        """Sends that wait for their flush, and how long the oldest has, in milliseconds (for code 28)."""
        return self._gate.requests, self._gate.oldest_wait_ms()

    @property
    def waiting_bytes(self) -> int:
        """Stored size of the sends that wait for their flush."""
        return self._gate.size_bytes

    def process_batch(self, connection: Connection, requests: list[RemotingCommand]) -> None:
        """Answer each request now or when its messages are as durable as configured. Never blocks."""
        context = self._context
        now_ms = context.clock_ms()
        if context.config.trace_on is not self._trace_on:
            self._follow_config()
        refusal = self._refusal(now_ms)
        if refusal is not None:
            for request in requests:
                self._refuse(connection, request, refusal)
            return
        messages: list[Message] = []
        sends: list[AdmittedSend] = []
        admit = self._admission.admit
        topics = context.topics
        version = topics.data_version
        for request in requests:
            try:
                sends.append(admit(connection, request, messages, now_ms))
            except CommandError as error:
                self._refuse(connection, request, error)
            except Exception as error:
                _log.exception("request %s failed", request)
                self._refuse(connection, request, CommandError(ResponseCode.SYSTEM_ERROR, repr(error)))
        if sends:
            answer = self._answer_all if topics.data_version is version else self._answer_when_published
            self._put(connection, sends, messages, answer)

    def _follow_config(self) -> None:
        """Remake what is derived from the configuration."""
        config = self._context.config
        self._trace_on = config.trace_on
        self._admission.follow_config()
        fields = {"MSG_REGION": config.region_id, "TRACE_ON": "true" if config.trace_on else "false"}
        self._answer_fields = fields
        serialize_type = self._context.transport.serialize_type
        names = ("msgId", "queueId", "queueOffset", "transactionId")
        self._answer = frame_template(serialize_type, ResponseCode.SUCCESS, None, fields, names)

    def _refusal(self, now_ms: int) -> CommandError | None:
        """Why no send at all is taken now, if so."""
        config = self._context.config
        if self._context.is_slave:
            return CommandError(ResponseCode.SYSTEM_BUSY, REJECTED)
        if now_ms < config.start_accept_send_request_time_stamp:
            moment = time.localtime(config.start_accept_send_request_time_stamp / 1000)
            until = time.strftime("%Y-%m-%d %H:%M:%S", moment)
            return CommandError(ResponseCode.SYSTEM_ERROR, f"broker unable to service, until {until}")
        gate = self._gate
        if not gate.requests:
            return None
        if gate.requests >= config.send_thread_pool_queue_capacity:
            return CommandError(ResponseCode.SYSTEM_BUSY, OVERLOAD)
        if gate.size_bytes > BEHIND_BYTES and config.broker_fast_failure_enable:
            period_ms = gate.oldest_wait_ms()
            if period_ms > config.wait_time_mills_in_send_queue:
                remark = TIMEOUT_CLEAN_QUEUE.format(period_ms=period_ms, size=gate.requests)
                return CommandError(ResponseCode.SYSTEM_BUSY, remark)
        return None

    def _refuse(self, connection: Connection, request: RemotingCommand, error: CommandError) -> None:
        connection.reply(request, request.response(error.code, error.remark, dict(self._answer_fields)))

    # Storing and answering

    def _put(
        self,
        connection: Connection,
        sends: list[AdmittedSend],
        messages: list[Message],
        answer_all: Callable[[Connection, list[AdmittedSend], list[PutResult], PutStatus], None],
    ) -> None:
        store = self._context.store
        if len(messages) > len(sends):
            batches = [(first, number) for _, _, _, first, number, _ in sends if number > 1]
            results = store.put(messages, batches)
        else:
            results = store.put(messages)
        self._count(sends, messages, results)
        waits = self._waits_for_device
        if True not in waits:
            answer_all(connection, sends, results, PutStatus.PUT_OK)
            return
        durable_offset = size_bytes = 0
        waiting: list[AdmittedSend] = []
        at_once: list[AdmittedSend] = []
        for send in sends:
            _, _, _, first, number, wait_store = send
            result = results[first + number - 1]
            if waits[wait_store] and result.status is PutStatus.PUT_OK:
                waiting.append(send)
                durable_offset = result.physical_offset + result.size
                size_bytes += result.size
            else:
                at_once.append(send)
        if at_once:
            answer_all(connection, at_once, results, PutStatus.PUT_OK)
        if not waiting:
            return
        ticket = 0
        is_answered = False

        def answer(status: PutStatus) -> None:
            nonlocal is_answered
            is_answered = True
            if ticket:
                self._gate.leave(ticket)
            answer_all(connection, waiting, results, status)

        store.when_durable(durable_offset, answer)
        if not is_answered:
            ticket = self._gate.enter(len(waiting), size_bytes)

    def _count(self, sends: list[AdmittedSend], messages: list[Message], results: list[PutResult]) -> None:
        """Statistics, once for each queue of the read."""
        sums: dict[tuple[str, int], list[int]] = {}
        for _, _, _, first, number, _ in sends:
            size_bytes = results[first].size
            if size_bytes:
                if number > 1:  # stored whole, in one queue
                    size_bytes = sum([result.size for result in results[first : first + number]])
                message = messages[first]
                key = (message.topic, message.queue_id)
                total = sums.get(key)
                if total is None:
                    sums[key] = [number, size_bytes]
                else:
                    total[0] += number
                    total[1] += size_bytes
        for (topic, queue_id), (count, size_bytes) in sums.items():
            self._context.stats.put(topic, queue_id, count, size_bytes)

    def _answer_all(
        self,
        connection: Connection,
        sends: list[AdmittedSend],
        results: list[PutResult],
        durable: PutStatus,
    ) -> None:
        """Answer requests whose messages are stored, or not, and `durable` or not."""
        stored = PutStatus.PUT_OK
        answered: list[RemotingCommand] = []
        frames: list[bytes] = []
        frame = self._answer.frame
        for send in sends:
            request, queue_id, unique_key, first, count, _ = send
            result = results[first]
            if count == 1 and result.status is stored and durable is stored and unique_key is not None:
                host = self._host_hex or self._learn_host(result)
                if is_plain(unique_key):
                    message_id = f"{host}{result.physical_offset:016X}"
                    values = (message_id, str(queue_id), str(result.queue_offset), unique_key)
                    answered.append(request)
                    frames.append(frame(request.opaque, values))
                    continue
            self._answer_in_full(connection, send, results[first : first + count], durable)
        if frames:
            connection.reply_all_encoded(answered, frames)

    def _answer_when_published(
        self,
        connection: Connection,
        sends: list[AdmittedSend],
        results: list[PutResult],
        durable: PutStatus,
    ) -> None:
        """Answer sends of which some created their topic, once others can find it."""

        async def answer_later() -> None:
            await published(self._context)
            self._answer_all(connection, sends, results, durable)

        if not self._context.hold.spawn(answer_later):
            self._answer_all(connection, sends, results, durable)

    def _learn_host(self, result: PutResult) -> str:
        """The part that all offset message ids of this broker have in common."""
        self._host_hex = result.msg_id[:-_OFFSET_HEX_DIGITS]
        return self._host_hex

    def _answer_in_full(
        self, connection: Connection, send: AdmittedSend, results: list[PutResult], durable: PutStatus
    ) -> None:
        """Any answer: of batches, of failures, with ids that no template may hold."""
        request, queue_id, unique_key, *_ = send
        stored = PutStatus.PUT_OK
        status = durable
        for each in results:
            if each.status is not stored:
                status = each.status
                break
        code, remark, is_stored = failure_of(status, self._context)
        answer = dict(self._answer_fields)
        if is_stored:
            host = self._host_hex or self._learn_host(results[0])
            answer["msgId"] = ",".join([f"{host}{each.physical_offset:016X}" for each in results])
            answer["queueId"] = str(queue_id)
            answer["queueOffset"] = str(results[0].queue_offset)
            if unique_key is not None:
                answer["transactionId"] = unique_key
        connection.reply(request, request.response(code, remark, answer))


def register(table: ProcessorTable, context: BrokerContext) -> SendMessageProcessor:
    """Serve the sends of `context` on the port whose table this is; returns what serves them."""
    processor = SendMessageProcessor(context)
    processor.register(table)
    return processor
