"""Addresses and options of connected sockets."""

from __future__ import annotations

import ipaddress
import os
import socket
import struct

_PORT = struct.Struct(">i")


def peer_address(address: tuple[str, int] | tuple[str, int, int, int]) -> tuple[str, bytes]:
    """A socket's address as "ip:port" and as packed address (4 or 16 bytes) with int32 port.

    IPv4 that came over an IPv6 socket is IPv4.
    """
    host = ipaddress.ip_address(address[0].partition("%")[0])
    if isinstance(host, ipaddress.IPv6Address) and host.ipv4_mapped is not None:
        host = host.ipv4_mapped
    return f"{host}:{address[1]}", host.packed + _PORT.pack(address[1])


def split_address(address: str) -> tuple[str, int]:
    """Host and port of "host:port"; IPv6 hosts with or without brackets.

    Raises:
        ValueError: no port, or not a number from 1 to 65535.
    """
    host, colon, port = address.strip().rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"not an address host:port: {address!r}")
    return host.strip("[]"), int(port)


def set_socket_options(connected: socket.socket, send_buffer: int, receive_buffer: int) -> None:
    """No delay, keep-alive, and buffer sizes in bytes where they are not 0.

    Raises:
        OSError: the connection has ended.
    """
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if send_buffer:
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
    if receive_buffer:
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)


def failure_reason(error: BaseException) -> str:
    """What the system said, in lower case as in "connection refused".

    trio tries each address of a host and raises one error with a group of theirs as its cause; the reasons in
    it stand here side by side, each once.
    """
    if isinstance(error, BaseExceptionGroup):
        return " and ".join(dict.fromkeys(map(failure_reason, error.exceptions)))
    if error.__cause__ is not None:
        return failure_reason(error.__cause__)
    if type(error).__module__ == "builtins" and isinstance(error, OSError) and error.errno is not None:
        text = os.strerror(error.errno)
    elif isinstance(error, socket.gaierror) and error.strerror:
        text = error.strerror
    else:
        return str(error) or type(error).__name__
    return text[0].lower() + text[1:]
