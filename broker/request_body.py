"""Reads the body of a request into its class, or refuses the request."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from remoting.errors import BodyFault, CommandError
from remoting.protocol.body_fields import Body
from remoting.protocol.response_code import ResponseCode

if TYPE_CHECKING:
    from remoting.command import RemotingCommand

__all__ = ["decoded_body"]

_Kind = TypeVar("_Kind", bound=Body)


def decoded_body(kind: type[_Kind], request: RemotingCommand) -> _Kind:
    """The body of `request`.

    Raises:
        CommandError: 1, it is missing, no JSON object, or a field is not what it should be.
    """
    try:
        return kind.decode(request.body)
    except BodyFault as error:
        message = f"the body of the request cannot be read: {error}"
        raise CommandError(ResponseCode.SYSTEM_ERROR, message) from error
