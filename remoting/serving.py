"""From requests to answers: runs the functions of a processor and answers for those that fail.

A `CommandError` is the answer that its handler chose. Any other exception is a fault of this program: it is
logged, and the peer gets code 1 with a short text.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from remoting.command import TALLY_IN_FLIGHT
from remoting.errors import CommandError
from remoting.protocol.response_code import ResponseCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from remoting.command import RemotingCommand
    from remoting.connection import Connection
    from remoting.owner import Owner, RequestHook
    from remoting.processors import Processor, TaskFunction

log = logging.getLogger("rocketmq.remoting")


def serve(owner: Owner, connection: Connection, entry: Processor, requests: list[RemotingCommand]) -> None:
    """Gives requests of one read to the processor that they belong to; tasks run in the owner's nursery."""
    if entry.batch is not None:
        try:
            entry.batch(connection, requests)
        except Exception as error:
            for request in requests:
                if request.tally == TALLY_IN_FLIGHT:
                    _answer_failure(connection, request, error)
            if not isinstance(error, CommandError):
                log.exception("a batch of code %s from %s", requests[0].code, connection.remote_address)
    elif entry.call is not None:
        call = entry.call
        for request in requests:
            try:
                response = call(connection, request)
            except CommandError as error:
                _answer_failure(connection, request, error)
            except Exception as error:
                log.exception("code %s from %s", request.code, connection.remote_address)
                _answer_failure(connection, request, error)
            else:
                if response is not None:
                    connection.reply(request, response)
    elif entry.task is not None:
        for request in requests:
            owner.start_soon(_run_task, connection, entry.task, request)


async def _run_task(connection: Connection, function: TaskFunction, request: RemotingCommand) -> None:
    try:
        response = await function(connection, request)
    except CommandError as error:
        _answer_failure(connection, request, error)
    except Exception as error:
        log.exception("code %s from %s", request.code, connection.remote_address)
        _answer_failure(connection, request, error)
    else:
        if response is not None:
            connection.reply(request, response)


def admitted(connection: Connection, request: RemotingCommand, hooks: Sequence[RequestHook]) -> bool:
    """Whether all hooks let the request pass; it is answered if one does not."""
    try:
        for hook in hooks:
            hook.before_request(connection, request)
    except CommandError as error:
        _answer_failure(connection, request, error)
        return False
    except Exception as error:
        log.exception("a hook for code %s from %s", request.code, connection.remote_address)
        _answer_failure(connection, request, error)
        return False
    return True


def _answer_failure(connection: Connection, request: RemotingCommand, error: Exception) -> None:
    if isinstance(error, CommandError):
        response = request.response(error.code, error.remark)
    else:
        text = f"{type(error).__name__}: {str(error)[:400]}"
        response = request.response(ResponseCode.SYSTEM_ERROR, text)
    connection.reply(request, response)
