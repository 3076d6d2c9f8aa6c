"""Which function serves which request code: a table for each port.

Three kinds of function, from the hot to the slow:

    batch   gets all requests of one read that belong to it, at once; answers with `Connection.reply`
    call    gets one request, returns its answer
    task    is async and runs in a task of its own, in the nursery of the server or client

batch and call run inside the read pass: they must not block. None as an answer means that the answer comes
later through `Connection.reply`, or never.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING

import attrs

from remoting.command import RemotingCommand

if TYPE_CHECKING:
    from remoting.connection import Connection

BatchFunction = Callable[["Connection", list[RemotingCommand]], None]
CallFunction = Callable[["Connection", RemotingCommand], RemotingCommand | None]
TaskFunction = Callable[["Connection", RemotingCommand], Awaitable[RemotingCommand | None]]


@attrs.frozen(eq=False)
class Processor:
    """One entry of a table; exactly one of the functions is set. Two codes share a batch if they share it."""

    batch: BatchFunction | None = None
    call: CallFunction | None = None
    task: TaskFunction | None = None


class ProcessorTable:
    """From request code to function. A later registration of a code replaces the earlier one.

    A code without entry is answered with 3, ` request type N not supported`, unless a default is set.
    """

    def __init__(self) -> None:
        self._entries: dict[int, Processor] = {}
        self._default: Processor | None = None
        self.find = self._entries.get
        """The entry of a code, or None."""

    def batch(self, codes: Iterable[int], function: BatchFunction) -> None:
        """Registers a function that takes all requests of these codes in one read together."""
        self._add(codes, Processor(batch=function))

    def call(self, codes: Iterable[int], function: CallFunction) -> None:
        """Registers a function that takes one request and returns its answer or None."""
        self._add(codes, Processor(call=function))

    def task(self, codes: Iterable[int], function: TaskFunction) -> None:
        """Registers an async function that takes one request and returns its answer or None."""
        self._add(codes, Processor(task=function))

    def default_call(self, function: CallFunction) -> None:
        """Registers what serves the codes that have no entry."""
        self._default = Processor(call=function)

    @property
    def default(self) -> Processor | None:
        return self._default

    @property
    def codes(self) -> frozenset[int]:
        """The codes that have an entry."""
        return frozenset(self._entries)

    def _add(self, codes: Iterable[int], entry: Processor) -> None:
        for code in codes:
            self._entries[int(code)] = entry
