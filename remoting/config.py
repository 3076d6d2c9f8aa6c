"""Config keys of the wire: Java's `NettyServerConfig` and `NettyClientConfig` where they have a meaning here.

Keys without a Java name are limits that Java does not have. One connection is bounded by all of them
together, whatever its peer does.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import attrs

from configuration import ConfigError, setting
from remoting.command import SerializeType
from remoting.frame import FrameLimits

if TYPE_CHECKING:
    from collections.abc import Mapping

MIB = 1024 * 1024

SERIALIZE_TYPE_ENVIRONMENT = "ROCKETMQ_SERIALIZE_TYPE"
"""Java's name; its `-Drocketmq.serialize.type` is the key `serializeType` here."""

_SERIALIZE_TYPES = tuple(SerializeType.__members__)


@attrs.define(kw_only=True)
class RemotingServerConfig:
    """Of the process's server side."""

    bind_address: str = setting("0.0.0.0", help="Address that all ports listen on; `::` for IPv6 and IPv4.")  # noqa: S104 - Java's default
    listen_port: int = setting(0, ge=0, le=65535, help="Main port; 0 takes a free one.")
    server_channel_max_idle_time_seconds: int = setting(
        120, ge=1, help="A connection without traffic for this long is closed, in seconds."
    )
    server_socket_snd_buf_size: int = setting(
        0, ge=0, help="SO_SNDBUF of accepted connections in bytes; 0 leaves the system's."
    )
    server_socket_rcv_buf_size: int = setting(
        0, ge=0, help="SO_RCVBUF of accepted connections in bytes; 0 leaves the system's."
    )
    server_socket_backlog: int = setting(
        1024, ge=1, help="Connections that the system may hold before they are accepted."
    )
    server_async_semaphore_value: int = setting(
        64, ge=1, help="Requests of ours that may wait for their answer on one accepted connection."
    )
    serialize_type: str | None = setting(
        None,
        choices=_SERIALIZE_TYPES,
        help="Header serialization of what the server sends; "
        "the environment variable ROCKETMQ_SERIALIZE_TYPE when not set, else JSON.",
    )
    frame_max_length: int = setting(
        16 * MIB, ge=4096, help="Longest frame in bytes; Java's `com.rocketmq.remoting.frameMaxLength`."
    )
    header_max_length: int = setting(
        MIB, ge=1024, le=0xFFFFFF, help="Longest header inside a frame, in bytes."
    )
    shutdown_wait_time_seconds: int = setting(
        30,
        ge=0,
        runtime=True,
        help="Longest time in seconds that the brokers of one role get to stop, masters after slaves.",
    )
    max_connections: int = setting(20_000, ge=1, help="Connections that one port accepts at the same time.")
    connection_max_in_flight_requests: int = setting(
        10_000, ge=1, help="Unanswered requests of one connection; above it the answer is code 2."
    )
    connection_max_held_requests: int = setting(
        20_000, ge=1, help="Long-held requests (pulls) of one connection; above it the answer is code 2."
    )
    connection_max_queued_bytes: int = setting(
        64 * MIB, ge=65536, help="Answers that a connection has not read, in bytes; above it it is cut."
    )
    connection_max_queued_buffers: int = setting(
        100_000,
        ge=16,
        help="Answers that a connection has not read, in buffers of memory; above it it is cut.",
    )
    port_max_in_flight_requests: int = setting(
        100_000,
        ge=1,
        help="Unanswered requests of all connections of one port; above it the answer is code 2.",
    )
    port_max_queued_bytes: int = setting(
        512 * MIB,
        ge=65536,
        help="Answers that the connections of one port have not read, in bytes; "
        "above it requests are answered with code 2.",
    )
    event_loop_stall_warn_millis: int = setting(
        100,
        ge=0,
        runtime=True,
        help="A time in milliseconds for which the process served nobody that is worth a line in the log;"
        " 0 logs none.",
    )

    def __attrs_post_init__(self) -> None:
        serialize_type_of(self)  # a start is refused here, before anything is opened


@attrs.define(kw_only=True)
class RemotingClientConfig:
    """Of one client: a broker's way to its name servers, or an application's to everything."""

    connect_timeout_millis: int = setting(3000, ge=1, help="Longest wait for a connection, in milliseconds.")
    client_async_semaphore_value: int = setting(
        65535, ge=1, help="Requests that may wait for their answer on one connection."
    )
    client_channel_max_idle_time_seconds: int = setting(
        120, ge=1, help="A connection without traffic for this long is closed, in seconds."
    )
    client_socket_snd_buf_size: int = setting(
        0, ge=0, help="SO_SNDBUF of the client's connections in bytes; 0 leaves the system's."
    )
    client_socket_rcv_buf_size: int = setting(
        0, ge=0, help="SO_RCVBUF of the client's connections in bytes; 0 leaves the system's."
    )
    client_close_socket_if_timeout: bool = setting(
        True,
        help="Close a connection when an answer is overdue and nothing else arrived on it either.",
    )
    use_tls: bool = setting(False, wire="useTLS", help="Connect with TLS.")
    serialize_type: str | None = setting(
        None,
        choices=_SERIALIZE_TYPES,
        help="Header serialization of what the client sends; "
        "the environment variable ROCKETMQ_SERIALIZE_TYPE when not set, else JSON.",
    )
    enable_reconnect_for_go_away: bool = setting(
        True, help="Repeat a request on a new connection when the server answers 1500 (GO_AWAY)."
    )
    client_frame_max_length: int = setting(16 * MIB, ge=4096, help="Longest frame in bytes.")
    client_max_queued_bytes: int = setting(
        64 * MIB, ge=65536, help="Bytes that a server has not read; above it its connection is cut."
    )

    def __attrs_post_init__(self) -> None:
        serialize_type_of(self)  # a start is refused here, before anything is opened


@attrs.frozen(kw_only=True)
class ConnectionLimits:
    """The bounds of one connection, of either direction.

    Attributes:
        frame: what the peer may send as one frame.
        in_flight_requests: requests of the peer that are neither answered nor held.
        held_requests: requests of the peer that a handler holds back.
        queued_bytes: bytes that wait for the peer to read.
        queued_buffers: buffers that wait for the peer to read; an answer is one or more.
        invocations: requests of ours that wait for the peer's answer.
        idle_s: seconds without traffic in either direction.
    """

    frame: FrameLimits = attrs.field(factory=FrameLimits)
    in_flight_requests: int = 10_000
    held_requests: int = 20_000
    queued_bytes: int = 64 * MIB
    queued_buffers: int = 100_000
    invocations: int = 64
    idle_s: float = 120.0

    @classmethod
    def of_server(cls, config: RemotingServerConfig) -> ConnectionLimits:
        """The limits of accepted connections."""
        return cls(
            frame=FrameLimits(
                frame_bytes=config.frame_max_length,
                header_bytes=min(config.header_max_length, config.frame_max_length),
            ),
            in_flight_requests=config.connection_max_in_flight_requests,
            held_requests=config.connection_max_held_requests,
            queued_bytes=config.connection_max_queued_bytes,
            queued_buffers=config.connection_max_queued_buffers,
            invocations=config.server_async_semaphore_value,
            idle_s=config.server_channel_max_idle_time_seconds,
        )

    @classmethod
    def of_client(cls, config: RemotingClientConfig) -> ConnectionLimits:
        """The limits of connections that the client makes."""
        return cls(
            frame=FrameLimits(frame_bytes=config.client_frame_max_length),
            queued_bytes=config.client_max_queued_bytes,
            invocations=config.client_async_semaphore_value,
            idle_s=config.client_channel_max_idle_time_seconds,
        )


def serialize_type_of(
    config: RemotingServerConfig | RemotingClientConfig, environ: Mapping[str, str] = os.environ
) -> SerializeType:
    """The header serialization that a config chooses, or the environment where it says nothing.

    Raises:
        ConfigError: the environment variable names none.
    """
    name = config.serialize_type or environ.get(SERIALIZE_TYPE_ENVIRONMENT, "").strip() or "JSON"
    if name not in _SERIALIZE_TYPES:
        allowed = " or ".join(_SERIALIZE_TYPES)
        message = f"the environment variable {SERIALIZE_TYPE_ENVIRONMENT} is '{name}', not {allowed}"
        raise ConfigError(None, None, None, message)
    return SerializeType[name]
