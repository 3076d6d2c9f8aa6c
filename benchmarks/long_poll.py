"""How long a message takes from its send to a consumer that waits for it (PULL_MESSAGE held by the broker).

One thread, two connections: messages go out at a steady rate on one, whether the earlier ones are answered
or not; on the other there is always one pull that the broker holds until it has a message. Each message has
the number under which the time of its send is noted; its latency ends when the answer with it is there whole.
"""

from __future__ import annotations

import json
import select
import struct
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from tests.interop.processes import ProcessError
from tests.interop.wire import Answer, ask, connected
from tests.send_fields import send_fields

if TYPE_CHECKING:
    import socket

__all__ = ["RefusedSendError", "long_poll_seconds"]

_SEND_MESSAGE, _PULL_MESSAGE, _GET_MAX_OFFSET = 10, 11, 30
_SUCCESS, _PULL_NOT_FOUND, _PULL_RETRY_IMMEDIATELY = 0, 19, 20
_SUSPEND, _SUBSCRIPTION = 1 << 1, 1 << 2
_HOLD_MS = 15_000
_SILENCE_S = 30
_QUEUE = "0"
# A stored message: total size at 0, and, as both hosts are IPv4, the length of its body at 84.
_BODY_LENGTH_AT = 84


class RefusedSendError(ProcessError):
    """The broker did not take a message, as when it has more to do than it can; the run is void."""


class _Frames:
    """A connection cut into frames; `feed` is called when it is readable."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._buffer = bytearray()

    def ask(self, code: int, fields: dict[str, str], body: bytes = b"") -> None:
        header = json.dumps(
            {"code": code, "language": "JAVA", "version": 479, "opaque": 1, "flag": 0, "extFields": fields}
        ).encode()
        size = struct.pack(">ii", 4 + len(header) + len(body), len(header))
        self.connection.sendall(size + header + body)

    def feed(self) -> list[Answer]:
        part = self.connection.recv(1 << 18)
        if not part:
            raise ProcessError("the broker closed the connection")
        self._buffer += part
        answers = []
        while len(self._buffer) >= 4:
            (length,) = struct.unpack_from(">i", self._buffer)
            if len(self._buffer) < 4 + length:
                break
            header_length = struct.unpack_from(">i", self._buffer, 4)[0] & 0xFFFFFF
            header = json.loads(self._buffer[8 : 8 + header_length])
            answers.append(Answer(header, bytes(self._buffer[8 + header_length : 4 + length])))
            del self._buffer[: 4 + length]
        return answers


def _numbers(stored: bytes) -> list[int]:
    """The numbers in the bodies of the messages of a pull's answer."""
    numbers, at = [], 0
    while at < len(stored):
        (number,) = struct.unpack_from(">q", stored, at + _BODY_LENGTH_AT + 4)
        numbers.append(number)
        at += struct.unpack_from(">i", stored, at)[0]
    return numbers


def _pull(topic: str, offset: int) -> dict[str, str]:
    return {
        "consumerGroup": "long-poll",
        "topic": topic,
        "queueId": _QUEUE,
        "queueOffset": str(offset),
        "maxMsgNums": "32",
        "sysFlag": str(_SUSPEND | _SUBSCRIPTION),
        "commitOffset": "0",
        "suspendTimeoutMillis": str(_HOLD_MS),
        "subscription": "*",
        "subVersion": "0",
        "expressionType": "TAG",
    }


def long_poll_seconds(
    address: str, topic: str, *, rate: int, warm_up_seconds: float, seconds: float, body_bytes: int
) -> list[float]:
    """Latencies of the messages that are sent in the counted time.

    Args:
        address: Of a broker; queue 0 of `topic` must be there and nobody else may use it.
        rate: Messages per second.
        body_bytes: Size of a message, 8 at least.

    Raises:
        RefusedSendError: The broker refused a message.
        ProcessError: It refused something else or kept silent, or messages did not come.
        OSError: The connection broke.
    """
    asked = ask(address, _GET_MAX_OFFSET, {"topic": topic, "queueId": _QUEUE})
    if asked.code != _SUCCESS:
        raise ProcessError(f"queue {_QUEUE} of {topic}: {asked.code} {asked.header.get('remark')}")
    offset = int(asked.header["extFields"]["offset"])
    uncounted = int(rate * warm_up_seconds)
    total = uncounted + int(rate * seconds)
    filling = bytes(body_bytes - 8)
    first = time.monotonic_ns()  # messages of a run that was given up may still come; they have other numbers
    sent_at: list[float] = []
    latencies: list[float] = []
    received = 0
    with ExitStack() as stack:
        sending, pulling = (_Frames(stack.enter_context(connected(address))) for _ in range(2))
        pulling.ask(_PULL_MESSAGE, _pull(topic, offset))
        sockets = [sending.connection, pulling.connection]
        began = heard = time.perf_counter()
        while received < total:
            now = time.perf_counter()
            if len(sent_at) < total and now >= began + len(sent_at) / rate:
                number = len(sent_at)
                sent_at.append(time.perf_counter())
                sending.ask(_SEND_MESSAGE, send_fields(topic), struct.pack(">q", first + number) + filling)
                continue
            if now - heard > _SILENCE_S:
                raise ProcessError(f"{received} of {total} messages came, then {_SILENCE_S} s nothing")
            wait = began + len(sent_at) / rate - now if len(sent_at) < total else 1.0
            ready, _, _ = select.select(sockets, [], [], wait)
            if sending.connection in ready:
                for answer in sending.feed():
                    if answer.code != _SUCCESS:
                        raise RefusedSendError(
                            f"a send is answered {answer.code} {answer.header.get('remark')}"
                        )
            if pulling.connection in ready:
                for answer in pulling.feed():
                    arrived = heard = time.perf_counter()
                    if answer.code == _SUCCESS:
                        numbers = [each - first for each in _numbers(answer.body) if each >= first]
                        received += len(numbers)
                        latencies += [arrived - sent_at[each] for each in numbers if each >= uncounted]
                    elif answer.code not in (_PULL_NOT_FOUND, _PULL_RETRY_IMMEDIATELY):
                        raise ProcessError(f"a pull is answered {answer.code} {answer.header.get('remark')}")
                    offset = int(answer.header["extFields"]["nextBeginOffset"])
                    pulling.ask(_PULL_MESSAGE, _pull(topic, offset))
    return latencies
