"""A server on port 0 and peers that speak bytes."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import attrs
import trio

from remoting import (
    Connection,
    FrameReader,
    ProcessorTable,
    RemotingCommand,
    RemotingServerConfig,
    SubServer,
    TlsSettings,
    Transport,
)
from remoting.frame import encode_buffers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HOST = "127.0.0.1"
BOUND_S = 10
"""Longest wait of a test that works; never waited for."""


def request_bytes(
    code: int, *, opaque: int = 1, body: bytes = b"", flag: int = 0, version: int = 479
) -> bytes:
    command = RemotingCommand(code, {}, body, opaque, flag, version, "JAVA")
    return b"".join(encode_buffers(command))


@attrs.define
class Peer:
    """The other end of a connection, as bytes."""

    stream: trio.abc.Stream
    _reader: FrameReader = attrs.field(factory=FrameReader)
    _commands: list[RemotingCommand] = attrs.field(factory=list)

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def next(self) -> RemotingCommand:
        """The next command; `EOFError` at the end of the stream."""
        with trio.fail_after(BOUND_S):
            while not self._commands:
                data = await self.stream.receive_some(65536)
                if not data:
                    raise EOFError
                self._commands += self._reader.feed(bytes(data))
        return self._commands.pop(0)

    async def answers(self, count: int) -> list[RemotingCommand]:
        return [await self.next() for _ in range(count)]

    async def ended(self) -> bool:
        """Waits for the server to close."""
        try:
            await self.next()
        except (EOFError, trio.BrokenResourceError):
            return True
        return False

    async def ask(self, code: int, **fields: Any) -> RemotingCommand:
        await self.send(request_bytes(code, **fields))
        return await self.next()


_opened: list[trio.SocketStream] = []


async def connect(sub_server: SubServer, host: str = HOST) -> Peer:
    stream = await trio.open_tcp_stream(host, sub_server.port)
    _opened.append(stream)
    return Peer(stream)


def close_peers() -> None:
    """Closes what `connect` opened, after the run."""
    for stream in _opened:
        descriptor = stream.socket.detach()
        if descriptor >= 0:
            os.close(descriptor)
    _opened.clear()


@asynccontextmanager
async def serving(
    table: ProcessorTable,
    config: RemotingServerConfig | None = None,
    tls: TlsSettings | None = None,
    **options: Any,
) -> AsyncIterator[SubServer]:
    """A sub-server in its own nursery; cancelled at the end."""
    transport = Transport(config or RemotingServerConfig(), tls)
    with transport.reserve_ports(HOST, [0]) as reservation:
        sub_server = transport.sub_server("test", reservation, 0, table, **options)
        async with trio.open_nursery() as nursery:
            await nursery.start(sub_server.serve)
            yield sub_server
            nursery.cancel_scope.cancel()


async def accepted(sub_server: SubServer, count: int = 1) -> list[Connection]:
    """The server's connections, as soon as there are `count`."""
    with trio.fail_after(BOUND_S):
        while len(sub_server.connections) < count:
            await trio.lowlevel.checkpoint()
    return sorted(sub_server.connections, key=lambda each: each.remote_address)


async def until(condition: Any) -> None:
    """Runs the other tasks until a condition of theirs holds."""
    with trio.fail_after(BOUND_S):
        while not condition():
            await trio.lowlevel.checkpoint()


def echo(connection: Connection, request: RemotingCommand) -> RemotingCommand:
    return request.response(0, None, request.ext_fields, request.body)


def echo_table() -> ProcessorTable:
    table = ProcessorTable()
    table.call([10], echo)
    return table
