"""The wire: frames, header serializations, the JSON dialect, server, client and TLS."""

from remoting.client import ClientStatistics, RemotingClient
from remoting.command import RemotingCommand, SerializeType
from remoting.config import ConnectionLimits, RemotingClientConfig, RemotingServerConfig
from remoting.connection import Connection
from remoting.errors import (
    BodyFault,
    CommandError,
    ConnectError,
    FrameFault,
    LocalFault,
    RemoteFault,
    RemotingError,
    ReservationError,
    SendError,
    TimeoutError_,
    TlsConfigError,
    TooMuchRequest,
)
from remoting.frame import FrameLimits, FrameReader
from remoting.name_servers import NameServers
from remoting.owner import ConnectionStatistics, Cork, RequestHook
from remoting.ports import PortReservation, reserve_port_pair, reserve_ports
from remoting.processors import ProcessorTable
from remoting.server import (
    ChannelListener,
    SubServer,
    SubServerStatistics,
    Transport,
    TransportStatistics,
)
from remoting.tls import TlsMode, TlsSettings

__all__ = [
    "BodyFault",
    "ChannelListener",
    "ClientStatistics",
    "CommandError",
    "ConnectError",
    "Connection",
    "ConnectionLimits",
    "ConnectionStatistics",
    "Cork",
    "FrameFault",
    "FrameLimits",
    "FrameReader",
    "LocalFault",
    "NameServers",
    "PortReservation",
    "ProcessorTable",
    "RemoteFault",
    "RemotingClient",
    "RemotingClientConfig",
    "RemotingCommand",
    "RemotingError",
    "RemotingServerConfig",
    "RequestHook",
    "ReservationError",
    "SendError",
    "SerializeType",
    "SubServer",
    "SubServerStatistics",
    "TimeoutError_",
    "TlsConfigError",
    "TlsMode",
    "TlsSettings",
    "TooMuchRequest",
    "Transport",
    "TransportStatistics",
    "reserve_port_pair",
    "reserve_ports",
]
