"""Questions to brokers and name servers, and their answers: the one place of this package that does I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from client.errors import AnswerError, ClientError
from remoting.command import RemotingCommand
from remoting.errors import RemotingError
from remoting.name_servers import NameServers, parse_addresses
from remoting.protocol.response_code import ResponseCode

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    from remoting.client import RemotingClient

__all__ = ["DEFAULT_TIMEOUT_MS", "Remote", "RequestHeader", "parse_name_servers"]

DEFAULT_TIMEOUT_MS = 5_000
_DEFAULT_NAME_SERVER_PORT = 9876
_SUCCESS: Container[int] = (ResponseCode.SUCCESS,)


class RequestHeader(Protocol):
    """Any header of `remoting.protocol.headers`."""

    def encode(self) -> dict[str, str]: ...


def parse_name_servers(text: str) -> tuple[str, ...]:
    """The addresses of a list like `10.0.0.1:9876;10.0.0.2`; a missing port is 9876.

    Raises:
        ClientError: There is none, or one has a port that is not a number from 1 to 65535.
    """
    addresses = []
    for address in parse_addresses(text):
        host, colon, port = address.rpartition(":")
        if not colon or address.endswith("]"):
            host, port = address, str(_DEFAULT_NAME_SERVER_PORT)
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise ClientError(f"{address!r} is not the host:port of a name server")
        addresses.append(f"{host}:{port}")
    if not addresses:
        raise ClientError("no name server is given")
    return tuple(dict.fromkeys(addresses))


class Remote:
    """Asks through a `RemotingClient` and turns bad answers into `AnswerError`.

    Args:
        client: Entered by the caller; it owns the connections.
        name_servers: `host:port` of each. One is kept until it fails, then the next is tried, as in Java.
        timeout_ms: For one request, unless the call says otherwise.

    Every method is cancelled safely: an answer that comes later is dropped by the client.
    """

    def __init__(
        self, client: RemotingClient, name_servers: Sequence[str], *, timeout_ms: int = DEFAULT_TIMEOUT_MS
    ) -> None:
        self.client = client
        self.name_servers = NameServers(client, name_servers)
        self.timeout_ms = timeout_ms

    async def ask(
        self,
        address: str,
        code: int,
        header: RequestHeader | None = None,
        *,
        body: bytes = b"",
        extra: Mapping[str, str] | None = None,
        accept: Container[int] = _SUCCESS,
        timeout_ms: int | None = None,
    ) -> RemotingCommand:
        """One request to one peer.

        Args:
            address: `host:port`.
            code: Request code.
            header: Its header fields.
            extra: Further header fields, for what rides on any request.
            accept: Response codes to return instead of raising.
            timeout_ms: For connecting and answering together.

        Raises:
            AnswerError: It answered with a code outside `accept`.
            RemotingError: There was no answer.
        """
        fields = {} if header is None else header.encode()
        if extra:
            fields = {**fields, **extra}
        request = RemotingCommand.request(code, fields, body)
        answer = await self.client.invoke(address, request, timeout_ms or self.timeout_ms)
        if answer.code not in accept:
            raise AnswerError(answer.code, answer.remark, address)
        return answer

    async def ask_name_server(
        self,
        code: int,
        header: RequestHeader | None = None,
        *,
        accept: Container[int] = _SUCCESS,
    ) -> RemotingCommand:
        """One request to the chosen name server; the next one is asked when it cannot be reached.

        Raises:
            AnswerError: The first that could be reached answered with a code outside `accept`.
            RemotingError: None could be reached, or none is known.
        """
        request = RemotingCommand.request(code, {} if header is None else header.encode())
        answer = await self.name_servers.invoke_any(request, self.timeout_ms)
        if answer.code not in accept:
            raise AnswerError(answer.code, answer.remark, str(self.name_servers.chosen))
        return answer

    async def ask_each_name_server(
        self, code: int, header: RequestHeader | None = None, *, body: bytes = b""
    ) -> dict[str, RemotingCommand]:
        """The same request to every name server at once; address → answer.

        Raises:
            AnswerError, RemotingError: Of the first in the list that failed; the others have done their part.
        """
        request = RemotingCommand.request(code, {} if header is None else header.encode(), body)
        answers = {}
        for address, answer in (await self.name_servers.invoke_all(request, self.timeout_ms)).items():
            if isinstance(answer, RemotingError):
                raise answer
            if answer.code != ResponseCode.SUCCESS:
                raise AnswerError(answer.code, answer.remark, address)
            answers[address] = answer
        return answers
