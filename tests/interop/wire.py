"""The few bytes of the protocol that the tests speak themselves, apart from the code under test."""

from __future__ import annotations

import json
import re
import socket
import struct
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "Answer",
    "ask",
    "ask_raw",
    "broker_addresses",
    "connected",
    "wait_until_gone",
    "wait_until_registered",
]

GET_BROKER_CLUSTER_INFO = 106


@attrs.frozen
class Answer:
    """One response: its header as sent and its body."""

    header: dict[str, Any]
    body: bytes

    @property
    def code(self) -> int:
        return int(self.header["code"])


def _read(connection: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise ConnectionError("the peer closed the connection")
        data += part
    return bytes(data)


@contextmanager
def connected(address: str, *, timeout_s: float = 5) -> Iterator[socket.socket]:
    """A connection to `host:port` that sends small requests at once.

    Raises:
        OSError: There is none.
    """
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=timeout_s) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield connection


def _binary_header(data: bytes) -> dict[str, Any]:
    """The ROCKETMQ form: code, language, version, opaque, flag, remark, fields; lengths before texts."""
    code, opaque, flag, remark_length = struct.unpack_from(">hxxxiii", data)
    at = 17 + remark_length
    header = {"code": code, "opaque": opaque, "flag": flag, "remark": data[17:at].decode()}
    (left,) = struct.unpack_from(">i", data, at)
    at, fields = at + 4, {}
    while left > 0:
        (key_length,) = struct.unpack_from(">h", data, at)
        (value_length,) = struct.unpack_from(">i", data, at + 2 + key_length)
        value_at = at + 6 + key_length
        fields[data[at + 2 : at + 2 + key_length].decode()] = data[
            value_at : value_at + value_length
        ].decode()
        at, left = value_at + value_length, left - 6 - key_length - value_length
    return header | {"extFields": fields}


def ask_raw(connection: socket.socket, header: bytes, body: bytes = b"") -> Answer:
    """Sends a JSON header as it stands, with a body, and reads one answer.

    That has a JSON header too, unless the broker passes on what a client with the other form said.
    """
    frame = struct.pack(">ii", 4 + len(header) + len(body), len(header)) + header + body
    connection.sendall(frame)
    (length,) = struct.unpack(">i", _read(connection, 4))
    data = _read(connection, length)
    (kind_and_length,) = struct.unpack_from(">i", data)
    end = 4 + (kind_and_length & 0xFFFFFF)
    decode = _binary_header if kind_and_length >> 24 else json.loads
    return Answer(decode(data[4:end]), data[end:])


def ask(
    address: str,
    code: int,
    ext_fields: dict[str, str] | None = None,
    body: bytes = b"",
    *,
    timeout_s: float = 5,
) -> Answer:
    """One request over a connection of its own.

    Raises:
        OSError: No connection, or none that lasts for the answer.
    """
    header = {
        "code": code,
        "language": "JAVA",
        "version": 479,
        "opaque": 1,
        "flag": 0,
        "extFields": ext_fields or {},
        "serializeTypeCurrentRPC": "JSON",
    }
    with connected(address, timeout_s=timeout_s) as connection:
        return ask_raw(connection, json.dumps(header).encode(), body)


def broker_addresses(name_server: str) -> dict[str, dict[str, str]]:
    """Broker name → broker id → address, as the name server tells it."""
    answer = ask(name_server, GET_BROKER_CLUSTER_INFO)
    if answer.code != 0:
        return {}
    # fastjson writes whole numbers as bare object keys.
    text = re.sub(r"([{,])(-?\d+):", r'\1"\2":', answer.body.decode())
    table = json.loads(text).get("brokerAddrTable", {})
    return {name: broker["brokerAddrs"] for name, broker in table.items()}


def wait_until_registered(name_server: str, broker_name: str, timeout_s: float) -> None:
    """Returns when the name server knows a master of `broker_name`.

    Raises:
        TimeoutError: It does not after `timeout_s` seconds.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            known = broker_addresses(name_server)
        except OSError:
            known = {}
        if "0" in known.get(broker_name, {}):
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"{name_server} does not know {broker_name} after {timeout_s} s, but {known}")
        time.sleep(0.02)


def wait_until_gone(name_server: str, broker_name: str, timeout_s: float) -> None:
    """Returns when the name server does not know `broker_name` any more.

    Raises:
        TimeoutError: It still does after `timeout_s` seconds.
    """
    deadline = time.monotonic() + timeout_s
    while broker_name in (known := broker_addresses(name_server)):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{name_server} still knows {broker_name} after {timeout_s} s: {known}")
        time.sleep(0.02)
