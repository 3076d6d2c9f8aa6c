"""A name server and a broker that answer what a Java cluster answered when it was recorded.

`recorded.json` is a list of exchanges with RocketMQ 5.5.0: request code, the header fields that matter,
response code, header fields and body. Where a body names the recorded broker, the fake's own address takes
its place.
"""

from __future__ import annotations

import base64
import json
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import trio
from click.testing import CliRunner, Result

from remoting.config import RemotingServerConfig
from remoting.processors import ProcessorTable
from remoting.server import Transport
from tools.mqadmin import mqadmin

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from remoting.command import RemotingCommand

RECORDED_BROKER = "127.0.0.1:22911"
RECORDED = json.loads((Path(__file__).parent / "recorded.json").read_text())

# Requests that change something are answered with success; the tests look at what was asked.
_CHANGES = {17, 25, 15, 100, 102, 200, 207, 215, 216, 318}

# What Java answers when it does not have what it is asked for.
_ABSENT = {
    12: (22, "can not find message, maybe time range not correct"),
    105: (17, "No topic route info in name server for the topic"),
}


@attrs.define(eq=False)
class Peer:
    """One fake process: both roles on one port.

    Attributes:
        address: `host:port`.
        requests: Everything it was asked, in order.
        answers: Answers that go before the recorded ones, by request code.
        recorded: The exchanges.
        compared: Header fields that must agree, of those that an exchange was recorded with.
    """

    address: str = ""
    requests: list[RemotingCommand] = attrs.field(factory=list)
    answers: dict[int, tuple[int, str | None, dict[str, str], bytes]] = attrs.field(factory=dict)
    recorded: list[dict[str, Any]] = attrs.field(default=RECORDED, repr=False)
    compared: tuple[str, ...] = ("topic", "queueId", "queueOffset", "key", "offset")

    def answer(
        self, code: int, *, response: int = 0, remark: str | None = None, body: bytes = b"", **fields: str
    ) -> None:
        """From now on requests of this code get this answer."""
        self.answers[code] = (response, remark, fields, body)

    def asked(self, code: int) -> list[RemotingCommand]:
        """The requests of a code so far."""
        return [request for request in self.requests if request.code == code]

    def serve(self, connection: object, request: RemotingCommand) -> RemotingCommand:
        request.body = bytes(request.body)
        self.requests.append(request)
        if request.code in self.answers:
            response, remark, fields, body = self.answers[request.code]
            return request.response(response, remark, fields, body)
        exchange = self._recorded(request)
        if exchange is None:
            if request.code in _ABSENT:
                return request.response(*_ABSENT[request.code])
            if request.code in _CHANGES:
                return request.response(0)
            if request.code in (205, 327):
                name = "wipeTopicCount" if request.code == 205 else "addTopicCount"
                return request.response(0, None, {name: "20"})
            return request.response(3, f" request type {request.code} not supported")
        body = base64.b64decode(exchange.get("bodyBase64", "")) or exchange.get("body", "").encode()
        return request.response(
            exchange["answer"],
            exchange.get("remark"),
            exchange.get("extFields", {}),
            body.replace(RECORDED_BROKER.encode(), self.address.encode()),
        )

    def _recorded(self, request: RemotingCommand) -> dict[str, Any] | None:
        """The exchange whose own fields agree best with the request's; send requests agree with any."""
        candidates = [exchange for exchange in self.recorded if exchange["code"] == request.code]
        if request.code == 310 and candidates:
            return candidates[0]
        for exchange in candidates:
            wanted = exchange["request"]
            compared = [name for name in self.compared if name in wanted]
            if all(wanted[name] == request.ext_fields.get(name) for name in compared):
                return exchange
        return None


@asynccontextmanager
async def running_peer(peer: Peer | None = None) -> AsyncIterator[Peer]:
    """A peer that serves on a free port until the block ends."""
    peer = peer or Peer()
    table = ProcessorTable()
    table.default_call(peer.serve)
    transport = Transport(RemotingServerConfig(bind_address="127.0.0.1"))
    server = transport.sub_server("fake", transport.reserve_ports("127.0.0.1", [0]), 0, table)
    peer.address = f"127.0.0.1:{server.port}"
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve)
        yield peer
        nursery.cancel_scope.cancel()


async def run(peer: Peer | None, *arguments: str, environment: dict[str, str] | None = None) -> Result:
    """Runs `mqadmin` in a thread, for it has a trio loop of its own; `-n` leads to the peer."""
    env = {"NAMESRV_ADDR": peer.address if peer is not None else "127.0.0.1:1", **(environment or {})}

    def invoke() -> Result:
        return CliRunner().invoke(mqadmin, list(arguments), env=env, prog_name="mqadmin")

    return await trio.to_thread.run_sync(invoke)
