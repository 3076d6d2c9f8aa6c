"""The error tree of the wire.

Two branches tell whose fault a failure is. `LocalFault`: this side asked for something that cannot be done
(a header that does not fit its serialization, a closed client). `RemoteFault`: the peer, or the way to it,
failed. `OSError` and `ssl.SSLError` are translated into these once, where sockets are touched.

`CommandError` stands beside the branches: it is not a failure of the wire but a handler's way to choose the
answer of the request it is looking at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from remoting.command import RemotingCommand


class RemotingError(Exception):
    """Anything that goes wrong between two peers of the RocketMQ protocol."""


class LocalFault(RemotingError):  # noqa: N818 - names whose fault it is
    """This side used the wire wrongly; the peer did nothing wrong and its connection can go on."""


class RemoteFault(RemotingError):  # noqa: N818 - names whose fault it is
    """The peer, or the network between, failed; the connection concerned is not usable any more."""


class FrameFault(RemoteFault):
    """Bytes that cannot be a frame of this protocol, or a frame above the limits.

    Attributes:
        decoded: commands that were complete before the bad bytes; they may still be served.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.decoded: list[RemotingCommand] = []


class BodyFault(RemoteFault):
    """A body that is not JSON of the dialect of `remoting.json_dialect`, or not the object it should be."""


class ConnectError(RemoteFault):
    """No connection to the address could be made. Java: `RemotingConnectException`."""


class SendError(RemoteFault):
    """The connection ended before the answer came. Java: `RemotingSendRequestException`."""


class TimeoutError_(RemoteFault):  # noqa: N801 - the plain name is Python's own, another class
    """No answer within the time the caller gave. Java: `RemotingTimeoutException`."""


class TooMuchRequest(LocalFault):
    """This side has as many requests under way as it may. Java: `RemotingTooMuchRequestException`."""


class ReservationError(LocalFault):
    """A listening address that could not be taken.

    Attributes:
        host: the address asked for.
        port: the port that failed.
    """

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(f"cannot listen on {host}:{port}: {reason}")
        self.host = host
        self.port = port


class TlsConfigError(LocalFault):
    """TLS settings that cannot be used; the text names the file or key."""


class CommandError(RemotingError):
    """Raised by a handler: the request is answered with this code and remark.

    Attributes:
        code: response code, see `remoting.protocol.response_code`.
        remark: text for a human, at most a few sentences.
    """

    def __init__(self, code: int, remark: str) -> None:
        super().__init__(code, remark)
        self.code = int(code)
        self.remark = remark

    def __str__(self) -> str:
        return f"code {self.code}: {self.remark}"
