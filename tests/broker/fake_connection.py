"""A connection that keeps what it is given, for handlers that are tested without sockets."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from remoting.command import RemotingCommand, SerializeType
from remoting.config import RemotingServerConfig
from remoting.frame import FrameReader

if TYPE_CHECKING:
    from collections.abc import Iterator


class FakeConnection:
    """Answers by opaque, decoded; held requests; one-way requests sent to the client."""

    def __init__(self, port: int = 50_000) -> None:
        self.remote_address = f"127.0.0.1:{port}"
        self.remote_host = b"\x7f\x00\x00\x01" + port.to_bytes(4, "big")
        self.local_port = 10_911
        self.closed = False
        self.answers: dict[int, RemotingCommand] = {}
        self.held_requests: list[RemotingCommand] = []
        self.pushed: list[RemotingCommand] = []

    def reply(self, request: RemotingCommand, response: RemotingCommand) -> None:
        self._keep(request, response)

    def reply_encoded(self, request: RemotingCommand, buffers: list[bytes | memoryview]) -> None:
        (response,) = FrameReader().feed(b"".join(buffers))
        self._keep(request, response)

    def reply_all_encoded(self, requests: list[RemotingCommand], frames: list[bytes]) -> None:
        for request, frame in zip(requests, frames, strict=True):
            self.reply_encoded(request, [frame])

    def held(self, request: RemotingCommand) -> None:
        self.held_requests.append(request)

    def oneway(self, request: RemotingCommand) -> None:
        self.pushed.append(request)

    def answer_to(self, request: RemotingCommand) -> RemotingCommand:
        return self.answers[request.opaque]

    def _keep(self, request: RemotingCommand, response: RemotingCommand) -> None:
        assert request.opaque not in self.answers, "answered twice"
        assert response.opaque == request.opaque
        self.answers[request.opaque] = response


class FakeTransport:
    """Counts corked passes."""

    def __init__(self, serialize_type: SerializeType = SerializeType.JSON) -> None:
        self.config = RemotingServerConfig()
        self.serialize_type = serialize_type
        self.passes = 0

    @contextlib.contextmanager
    def corked(self) -> Iterator[None]:
        self.passes += 1
        yield
