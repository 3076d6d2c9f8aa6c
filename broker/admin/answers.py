"""What the handlers of administrative requests have in common: bodies in and out, refusals, queue keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from remoting.errors import BodyFault, CommandError
from remoting.json_dialect import dumps, loads
from remoting.protocol.body import MessageQueue
from remoting.protocol.response_code import ResponseCode
from store import StoreError
from store.worker_threads import in_request_thread

if TYPE_CHECKING:
    from broker.context import BrokerContext
    from broker.saved_table import SavedTable
    from remoting.command import RemotingCommand
    from remoting.protocol.body_fields import Body

__all__ = [
    "QUEUES_MAX",
    "body_answer",
    "body_object",
    "decoded",
    "is_int32",
    "json_answer",
    "large_body_answer",
    "queue",
    "refuse_on_slave",
    "save",
    "success",
]

QUEUES_MAX = 65_536
"""Most queues that a request may give a topic: each costs an entry in many answers."""

SomeBody = TypeVar("SomeBody", bound="Body")


def success(request: RemotingCommand) -> RemotingCommand:
    """The answer that says only that it is done."""
    return request.response(ResponseCode.SUCCESS)


async def save(*tables: SavedTable) -> None:
    """Return when the changes made so far are on disk.

    Raises:
        CommandError: a table cannot be written now, on a full disk for example. The change counts all the
            same, and is written as soon as that is possible.
    """
    faults = []
    for table in tables:
        try:
            await table.saved()
        except StoreError as error:
            faults.append(str(error))
    if faults:
        raise CommandError(ResponseCode.SYSTEM_ERROR, f"changed, but not saved yet: {'; '.join(faults)}")


def body_answer(
    request: RemotingCommand, body: Body, ext_fields: dict[str, str] | None = None
) -> RemotingCommand:
    """The answer with this body."""
    return request.response(ResponseCode.SUCCESS, None, ext_fields, body.encode())


async def large_body_answer(
    request: RemotingCommand, body: Body, ext_fields: dict[str, str] | None = None
) -> RemotingCommand:
    """The answer with a body that may have thousands of entries: encoded in a worker thread."""
    encoded = await in_request_thread(body.encode)
    return request.response(ResponseCode.SUCCESS, None, ext_fields, encoded)


def json_answer(request: RemotingCommand, body: Any) -> RemotingCommand:
    """The answer with this object as its body."""
    return request.response(ResponseCode.SUCCESS, None, None, dumps(body))


def body_object(request: RemotingCommand) -> dict[str, Any]:
    """The object that the request carries.

    Raises:
        CommandError: code 1, there is none or it is not JSON.
    """
    try:
        content = loads(request.body) if request.body else None
    except BodyFault as error:
        raise CommandError(ResponseCode.SYSTEM_ERROR, f"the body is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise CommandError(ResponseCode.SYSTEM_ERROR, "the body is not a JSON object")
    return content


def decoded(kind: type[SomeBody], request: RemotingCommand) -> SomeBody:
    """The body of the request as one of the protocol's classes.

    Raises:
        CommandError: code 1, there is none, or it is not such an object.
    """
    content = body_object(request)
    try:
        return kind.from_json_object(content)
    except BodyFault as error:
        raise CommandError(ResponseCode.SYSTEM_ERROR, f"the body cannot be read: {error}") from error


def is_int32(number: int) -> bool:
    """Whether Java can hold it where it has an int; JSON bodies are read as int64."""
    return -(2**31) <= number < 2**31


def queue(context: BrokerContext, topic: str, queue_id: int) -> MessageQueue:
    """A queue of this broker."""
    return MessageQueue(topic=topic, broker_name=context.identity.name, queue_id=queue_id)


def refuse_on_slave(context: BrokerContext, what: str) -> None:
    """Raise code 1 on a slave, which only copies its master."""
    if context.is_slave:
        raise CommandError(ResponseCode.SYSTEM_ERROR, f"Can not {what} in slave broker")
