"""Requests that no client should send, and a connection that watches how a server takes them."""

from __future__ import annotations

import copy
import json
import re
import struct
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import attrs
import trio

from remoting.frame import FrameReader
from remoting.protocol.header_fields import fields_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence

    from remoting.command import RemotingCommand
    from remoting.protocol.header_fields import Header

_body_field = re.compile(r": [A-Z]\w+\.\w+: ")
"""How a fault of a body names the field."""

ANSWER_BOUND_S = 20
"""Longest wait for the answers to one batch; the machine may be busy."""

TEXTS = (
    "", " ", "abc", "-1", "0", "1", "2147483647", "2147483648", "-2147483649", "9223372036854775807",
    "-9223372036854775808", "9223372036854775808", "1e3", "1_0", "\uff11\uff12", "0x10", "NaN", "+",
    "9" * 5000, "x" * 300, "\u00e4\u6f22" * 150, "../x", "../../../../etc/passwd", "/etc", "..", ".", "a/b",
    "a b", "a@b", "a#b;c", "a\nb=c", "\x00", "\x01\x02\x01", "%RETRY%", "%RETRY%../x", "%DLQ%g", "%LMQ%x",
    "TBW102", "SCHEDULE_TOPIC_XXXX", "rmq_sys_x", "true", "{}", "{",
)  # fmt: skip
"""What a field is set to in turn."""

VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 2**31, 2**63 - 1, 2**63, 10**400, 1.5, "", "abc", "../x", "x" * 300, "\u00e4" * 300,
    "\ud800", "a\x00b", [], {}, [None], [[]], [{}], [1, "a"], {"a": {}}, {"": None}, [["a", "b", "c"]],
)  # fmt: skip
"""What a value in a body is set to in turn."""

BODIES = (
    b"", b" ", b"garbage", b"\x00\xff\xfe\x80", b"null", b"true", b"1", b'"x"', b"[]", b"[[]]", b"{}", b"{",
    b'{"a":', b"{]", b"{1:2,3}", b"[" * 100_000, b'{"a":' * 100_000, b'{"x":1e999999}', b"{{}:{}}", b"=",
    b"a=b\n", b"\n" * 1000, b"\x78\x9c\x03\x00\x00\x00\x00\x01", b"9" * 100_000, b'{"a":"\\ud800"}',
)  # fmt: skip
"""Bodies that no code asks for."""


@attrs.frozen(kw_only=True)
class Known:
    """A request that is answered well, and what is known of its header."""

    header: type[Header] | None = None
    fields: dict[str, str] = attrs.field(factory=dict)
    body: bytes = b""
    tolerant: frozenset[str] = frozenset()
    """Fields whose absence or nonsense has an answer of its own."""


@attrs.frozen
class Case:
    """One request, and what its answer must say."""

    label: str
    code: int
    fields: dict[str, str]
    body: bytes
    names: str | None = None
    """The field that the answer must name, because it is missing or no number."""


def cases(code: int, known: Known) -> Iterator[Case]:
    """Every malformed request made from a good one."""
    fields, body = known.fields, known.body
    yield Case("nothing", code, {}, b"")
    yield Case("unknown fields", code, {"": "", "x" * 300: "y", "\u00e4": "\u00f6"}, body)
    yield Case("all at once", code, dict.fromkeys(fields, "../x"), b"garbage")
    table = {} if known.header is None else {each.wire: each for each in fields_of(known.header)}
    for name in fields.keys() | table.keys():
        spec = table.get(name)
        rest = {other: value for other, value in fields.items() if other != name}
        strict = spec is not None and name not in known.tolerant
        missing = name if strict and spec is not None and spec.required else None
        yield Case(f"without {name}", code, rest, body, missing)
        number = spec is not None and spec.read is not None and not isinstance(_try(spec.read, "x"), bool)
        for text in TEXTS:
            wrong = strict and number and spec is not None and isinstance(_try(spec.read, text), Exception)
            bad = name if wrong else None
            yield Case(f"{name}={text[:24]!r}", code, {**fields, name: text}, body, bad)
    for number_of, content in enumerate((*BODIES, *broken(body))):
        yield Case(f"body {number_of} {content[:40]!r}", code, fields, content)


def broken(body: bytes) -> Iterator[bytes]:
    """A JSON body cut short, and with each of its values replaced in turn."""
    for part in range(1, 8):
        yield body[: len(body) * part // 8]
    yield body + b"}"
    yield body * 2
    try:
        value = json.loads(body)
    except ValueError:
        return
    for path in _paths(value):
        for other in VALUES:
            changed = copy.deepcopy(value)
            yield json.dumps(_replaced(changed, path, other)).encode()


def _paths(value: Any) -> Iterator[tuple[Any, ...]]:
    yield ()
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, item in items:
        for rest in _paths(item):
            yield (key, *rest)


def _replaced(value: Any, path: Sequence[Any], other: Any) -> Any:
    if not path:
        return other
    value[path[0]] = _replaced(value[path[0]], path[1:], other)
    return value


def _try(read: Callable[[str], Any] | None, text: str) -> Any:
    try:
        return None if read is None else read(text)
    except ValueError as error:
        return error


class Wire:
    """One connection: frames written by hand, every answer counted."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._reader = FrameReader()
        self._opaque = 0
        self.answers: dict[int, RemotingCommand] = {}
        self._twice: set[int] = set()
        self._came = trio.Event()

    async def receive(self) -> None:
        """Take in answers until the connection ends."""
        try:
            while data := await self._stream.receive_some():
                for command in self._reader.feed(bytes(data)):
                    if not command.is_response:
                        continue
                    assert command.opaque not in self.answers, f"answered twice: {command}"
                    self.answers[command.opaque] = command
                self._came.set()
                self._came = trio.Event()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass

    async def send(
        self, code: int, fields: dict[str, str], body: bytes = b"", *, one_way: bool = False
    ) -> int:
        """Write one request; returns its opaque."""
        self._opaque += 1
        header = json.dumps(
            {
                "code": code,
                "language": "JAVA",
                "version": 479,
                "opaque": self._opaque,
                "flag": 2 if one_way else 0,
                "extFields": fields,
            }
        ).encode()
        frame = struct.pack(">iI", 4 + len(header) + len(body), len(header)) + header + body
        await self._stream.send_all(frame)
        return self._opaque

    async def answer(self, opaque: int, label: str) -> RemotingCommand:
        """The answer to a request, within the bound."""
        with trio.move_on_after(ANSWER_BOUND_S):
            while opaque not in self.answers:
                await self._came.wait()
        assert opaque in self.answers, f"no answer to {label}"
        return self.answers[opaque]

    async def ask(self, case: Case) -> RemotingCommand:
        """Send one request and wait for its answer."""
        opaque = await self.send(case.code, case.fields, case.body)
        return await self.answer(opaque, f"{case.code} {case.label}")


@asynccontextmanager
async def wire(port: int) -> AsyncIterator[Wire]:
    """A connection to a port of this machine."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    async with stream, trio.open_nursery() as nursery:
        connection = Wire(stream)
        nursery.start_soon(connection.receive)
        yield connection
        nursery.cancel_scope.cancel()


def faults_of(case: Case, answer: RemotingCommand) -> Iterator[str]:
    """What is wrong with an answer to a malformed request."""
    where = f"{case.code} {case.label}: {answer.code} {answer.remark!r}"
    if answer.code != 0 and not (answer.remark or "").strip():
        yield f"refused without a sentence: {where}"
    if case.names is not None:
        if answer.code == 0:
            yield f"accepted: {where}"
        elif case.names not in (answer.remark or ""):
            yield f"does not name {case.names}: {where}"
    for word in ("Traceback", "object has no attribute", "Error(", "invalid literal for int"):
        if word in (answer.remark or "") and _body_field.search(answer.remark or "") is None:
            yield f"speaks Python: {where}"


async def run_table(connection: Wire, code: int, known: Known, batch: int = 64) -> list[str]:
    """Send every malformed form of a request, some at a time; returns what was wrong with the answers."""
    faults: list[str] = []
    table = list(cases(code, known))
    for start in range(0, len(table), batch):
        part = table[start : start + batch]
        opaques = [await connection.send(case.code, case.fields, case.body) for case in part]
        for case, opaque in zip(part, opaques, strict=True):
            answer = await connection.answer(opaque, f"{case.code} {case.label}")
            faults += faults_of(case, answer)
    return faults
