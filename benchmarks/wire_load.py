"""A light load: ready-made frames over blocking sockets, so that the client costs little beside the broker.

Requests carry JSON headers as Java's client writes them, without the fields that nobody reads. Answers are
counted and their codes looked at, nothing more; a refusal ends the benchmark.
"""

from __future__ import annotations

import json
import re
import socket
import struct
from typing import TYPE_CHECKING

from tests.interop.processes import ProcessError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Peer", "batch_frame", "pull_frame", "send_frame"]

_TIMEOUT_S = 120
_READ_BYTES = 1 << 20
_LENGTHS = struct.Struct(">ii")
_NEXT_OFFSET = re.compile(rb'"nextBeginOffset":"?(\d+)')
_CODE = re.compile(rb'"code":(\d+)')
_SEND, _SEND_BATCH, _PULL = 310, 320, 11
_SUSPEND, _INLINE_SUBSCRIPTION = 2, 4
_FOUND = 0
_NOT_FOUND = (19, 20, 21)
"""PULL_NOT_FOUND, PULL_RETRY_IMMEDIATELY, PULL_OFFSET_MOVED."""


def _frame(code: int, fields: dict[str, str], body: bytes) -> bytes:
    header = json.dumps(
        {
            "code": code,
            "extFields": fields,
            "flag": 0,
            "language": "JAVA",
            "opaque": 1,
            "serializeTypeCurrentRPC": "JSON",
            "version": 479,
        },
        separators=(",", ":"),
    ).encode()
    return _LENGTHS.pack(4 + len(header) + len(body), len(header)) + header + body


def _send_fields(topic: str, queue_id: int, properties: str, *, batch: bool) -> dict[str, str]:
    return {
        "a": "benchmark",
        "b": topic,
        "c": "TBW102",
        "d": "4",
        "e": str(queue_id),
        "f": "0",
        "g": "1700000000000",
        "h": "0",
        "i": properties,
        "j": "0",
        "k": "false",
        "l": "16",
        "m": "true" if batch else "false",
    }


def send_frame(topic: str, queue_id: int, body: bytes, number: int = 0) -> bytes:
    """One SEND_MESSAGE_V2; `number` makes its unique key."""
    properties = f"UNIQ_KEY\x01{number:032X}\x02WAIT\x01true\x02"
    return _frame(_SEND, _send_fields(topic, queue_id, properties, batch=False), body)


def batch_frame(topic: str, queue_id: int, body: bytes, count: int) -> bytes:
    """One SEND_BATCH_MESSAGE with `count` equal messages without properties."""
    # Of a message in a batch: total size, magic, body CRC, flag, body length, body, properties length.
    one = struct.pack(">5i", 22 + len(body), 0, 0, 0, len(body)) + body + bytes(2)
    return _frame(_SEND_BATCH, _send_fields(topic, queue_id, "", batch=True), one * count)


def pull_frame(
    topic: str, queue_id: int, offset: int, most: int, *, group: str = "benchmark", hold_ms: int = 0
) -> bytes:
    """One PULL_MESSAGE of all tags, held up to `hold_ms` when there is nothing."""
    fields = {
        "consumerGroup": group,
        "topic": topic,
        "queueId": str(queue_id),
        "queueOffset": str(offset),
        "maxMsgNums": str(most),
        "sysFlag": str(_INLINE_SUBSCRIPTION | (_SUSPEND if hold_ms else 0)),
        "commitOffset": "0",
        "suspendTimeoutMillis": str(hold_ms),
        "subscription": "*",
        "subVersion": "1",
        "expressionType": "TAG",
    }
    return _frame(_PULL, fields, b"")


class Peer:
    """One connection to a broker, used by one thread.

    Raises:
        OSError: nobody listens at `address`, `host:port`.
    """

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=_TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray()

    def close(self) -> None:
        self._socket.close()

    def write(self, frames: bytes) -> None:
        """Sends what is whole frames already."""
        self._socket.sendall(frames)

    def read_header(self) -> bytes:
        """The header of the next answer, its body is dropped.

        Raises:
            ProcessError: the broker closed the connection.
        """
        buffer = self._buffer
        wanted = 4
        while True:
            if len(buffer) >= 4:
                wanted = 4 + int.from_bytes(buffer[:4], "big")
            if len(buffer) >= max(wanted, 8):
                break
            part = self._socket.recv(_READ_BYTES)
            if not part:
                raise ProcessError("the broker closed a connection of the benchmark")
            buffer += part
        length = int.from_bytes(buffer[5:8], "big")
        header = bytes(buffer[8 : 8 + length])
        del buffer[:wanted]
        return header

    def read(self, count: int, *, allowed: Iterable[int] = (_FOUND,)) -> bytes:
        """Reads `count` answers; returns the header of the last one.

        Raises:
            ProcessError: one of them has another code than the `allowed` ones.
        """
        header = b""
        for _ in range(count):
            header = self.read_header()
            code = _CODE.search(header)
            if code is None or int(code[1]) not in allowed:
                raise ProcessError(f"the broker answers {header.decode(errors='replace')}")
        return header

    def exchange(self, frames: list[bytes]) -> None:
        """Sends `frames` at once and reads their answers, which must be successes."""
        self.write(b"".join(frames))
        self.read(len(frames))

    def pull(self, frame: bytes) -> int:
        """Sends one pull; returns the offset to go on from. Nothing found is no failure."""
        self.write(frame)
        header = self.read(1, allowed=(_FOUND, *_NOT_FOUND))
        found = _NEXT_OFFSET.search(header)
        if found is None:
            raise ProcessError(f"the broker answers {header.decode(errors='replace')}")
        return int(found[1])
