"""A pipelined connection to a broker that speaks the protocol by itself, without the code under test."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

import trio

from tests.interop.wire import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Connection", "batch_body", "connected", "send_fields"]

_LENGTHS = struct.Struct(">ii")
_READ_BYTES = 256 << 10
SEND, SEND_BATCH = 310, 320


def send_fields(topic: str, queue_id: int, properties: dict[str, str], *, is_batch: bool) -> dict[str, str]:
    """The header of 310 or 320."""
    text = "".join(f"{name}\x01{value}\x02" for name, value in properties.items())
    return {
        "a": "killed_producers", "b": topic, "c": "TBW102", "d": "4", "e": str(queue_id), "f": "0",
        "g": "1700000000000", "h": "0", "i": text, "j": "0", "k": "false",
        "m": "true" if is_batch else "false",
    }  # fmt: skip


def batch_body(items: Sequence[tuple[bytes, dict[str, str]]]) -> bytes:
    """The body of 320: bodies with their own properties."""
    parts = []
    for body, properties in items:
        text = "".join(f"{name}\x01{value}\x02" for name, value in properties.items()).encode()
        parts.append(struct.pack(">iiiii", 22 + len(body) + len(text), 0, 0, 0, len(body)) + body)
        parts.append(struct.pack(">h", len(text)) + text)
    return b"".join(parts)


class Connection:
    """Requests out, answers in by their number.

    Args:
        stream: Connected to a broker.
    """

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._waiting: dict[int, Callable[[Answer | None], None]] = {}
        self._opaque = 0
        self.closed = False

    def frame(
        self,
        code: int,
        fields: dict[str, str],
        body: bytes,
        on_answer: Callable[[Answer | None], None],
    ) -> bytes:
        """One request for `write`; `on_answer` gets None when the connection ends without an answer."""
        self._opaque += 1
        header = json.dumps(
            {
                "code": code,
                "flag": 0,
                "language": "JAVA",
                "opaque": self._opaque,
                "version": 479,
                "serializeTypeCurrentRPC": "JSON",
                "extFields": fields,
            }
        ).encode()
        if self.closed:
            on_answer(None)
        else:
            self._waiting[self._opaque] = on_answer
        return _LENGTHS.pack(4 + len(header) + len(body), len(header)) + header + body

    async def write(self, data: bytes) -> bool:
        """Send frames; False when the broker is gone."""
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return False
        return True

    async def ask(self, code: int, fields: dict[str, str], body: bytes = b"") -> Answer | None:
        """One request and its answer; None when the broker goes before that."""
        got: list[Answer | None] = []
        done = trio.Event()

        def answered(answer: Answer | None) -> None:
            got.append(answer)
            done.set()

        await self.write(self.frame(code, fields, body, answered))
        await done.wait()
        return got[0]

    async def read(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Takes answers until the broker closes; what it sent before its death counts."""
        task_status.started()
        buffer = bytearray()
        try:
            while data := await self._stream.receive_some(_READ_BYTES):
                buffer += data
                self._take(buffer)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # a reset is an end like any other
        finally:
            self.closed = True
            waiting, self._waiting = self._waiting, {}
            for on_answer in waiting.values():
                on_answer(None)
            await self.close()

    def _take(self, buffer: bytearray) -> None:
        at = 0
        while len(buffer) - at >= 8:
            length, header_length = _LENGTHS.unpack_from(buffer, at)
            if len(buffer) - at < 4 + length:
                break
            header_end = at + 8 + (header_length & 0xFFFFFF)
            header: dict[str, Any] = json.loads(bytes(buffer[at + 8 : header_end]))
            body = bytes(buffer[header_end : at + 4 + length])
            at += 4 + length
            on_answer = self._waiting.pop(header["opaque"], None)
            if on_answer is not None:
                on_answer(Answer(header, body))
        del buffer[:at]

    async def close(self) -> None:
        """Ends the connection."""
        await trio.aclose_forcefully(self._stream)


async def connected(port: int, nursery: trio.Nursery) -> Connection:
    """A connection whose answers are read in `nursery`.

    Raises:
        OSError: nobody listens.
    """
    connection = Connection(await trio.open_tcp_stream("127.0.0.1", port))
    await nursery.start(connection.read)
    return connection
