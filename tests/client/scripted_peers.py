"""Peers without sockets: a stand-in for `RemotingClient` whose answers a test writes down."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import attrs

from client.remote import Remote
from client.routes import Routes
from remoting.json_dialect import dumps
from remoting.protocol.request_code import RequestCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from remoting.command import RemotingCommand

    Answer = Callable[[RemotingCommand], RemotingCommand]

NAME_SERVER = "ns:9876"


@attrs.define(eq=False)
class ScriptedPeers:
    """Answers by address and request code; asks are kept in `asked`.

    A function that stands for an answer gets the request and returns the response, or raises what the wire
    would raise.
    """

    answers: dict[tuple[str, int], list[Answer]] = attrs.field(factory=lambda: defaultdict(list))
    asked: list[tuple[str, RemotingCommand]] = attrs.field(factory=list)

    async def invoke(self, address: str, request: RemotingCommand, timeout_ms: float) -> RemotingCommand:
        self.asked.append((address, request))
        answers = self.answers[address, request.code]
        if not answers:
            return request.response(3, f" request type {request.code} not supported")
        return (answers.pop(0) if len(answers) > 1 else answers[0])(request)

    def on(self, address: str, code: int, *answers: Answer) -> None:
        """The answers in turn; the last one again and again."""
        self.answers[address, int(code)].extend(answers)

    def asked_of(self, address: str, code: int) -> list[RemotingCommand]:
        return [request for asked, request in self.asked if (asked, request.code) == (address, code)]

    def remote(self, *name_servers: str) -> Remote:
        return Remote(self, name_servers or (NAME_SERVER,))  # type: ignore[arg-type]

    def routed(self, **brokers: int) -> tuple[Remote, Routes]:
        """A name server that routes every topic to these brokers: name → writable and readable queues.

        The master of broker `a` is `a:10911`.
        """
        self.on(NAME_SERVER, RequestCode.GET_ROUTEINFO_BY_TOPIC, ok(body=route_of(**brokers)))
        remote = self.remote()
        return remote, Routes(remote)


def route_of(**brokers: int) -> dict[str, Any]:
    """The JSON object of a route."""
    return {
        "brokerDatas": [
            {"brokerAddrs": {0: f"{name}:10911"}, "brokerName": name, "cluster": "C"} for name in brokers
        ],
        "queueDatas": [
            {
                "brokerName": name,
                "perm": 6,
                "readQueueNums": queues,
                "writeQueueNums": queues,
                "topicSysFlag": 0,
            }
            for name, queues in brokers.items()
        ],
        "filterServerTable": {},
    }


def ok(*, body: Any = None, raw: bytes = b"", **fields: str) -> Answer:
    """Success, with a JSON body or raw bytes."""
    return lambda request: request.response(0, None, fields, raw if body is None else dumps(body))


def refused(code: int, remark: str = "no", **fields: str) -> Answer:
    """Another response code."""
    return lambda request: request.response(code, remark, fields)


def fails(fault: Exception) -> Answer:
    """No answer at all."""

    def answer(request: RemotingCommand) -> RemotingCommand:
        raise fault

    return answer
