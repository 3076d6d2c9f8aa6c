"""ADD_BROKER (902) and REMOVE_BROKER (903): what an operator asks of a running container.

An add is answered when the broker serves. `mqadmin` waits for 20 s, a long recovery lasts longer: after
`addBrokerAnswerMillis` the answer is "starting" (code 1, extension field `state`=`starting`), the broker goes
on, and the next identical request waits again and tells how it went. While a first request still waits, a
second one for the same broker is answered as the duplicate that it is.

Codes and remarks are those of Java's `BrokerContainerProcessor`; where Java leaves the cause to its log, the
cause follows its text.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

import attrs
import trio

from configuration import ConfigError
from container.broker_files import broker_path, real_path
from container.broker_plan import read_plan
from container.claims import ClaimConflictError, DuplicateIdentityError
from container.inner_broker import BrokerState
from container.refusal import BootRefusedError
from logs.identity import BrokerIdentity
from remoting.protocol.admin_headers import AddBrokerRequestHeader, RemoveBrokerRequestHeader
from remoting.protocol.response_code import ResponseCode

if TYPE_CHECKING:
    from pathlib import Path

    from container.broker_plan import BrokerPlan
    from container.config import BrokerContainerConfig
    from container.inner_broker import InnerBroker
    from container.saved_brokers import SavedBrokers
    from container.supervisor import BrokerSupervisor
    from remoting.command import RemotingCommand
    from remoting.connection import Connection

__all__ = ["STATE_FIELD", "STATE_STARTING", "BrokerRequests", "Removing"]

_log = logging.getLogger("rocketmq.container")

STATE_FIELD = "state"
STATE_STARTING = "starting"
"""Extension field of an ADD_BROKER answer that came before the outcome."""


class Removing(Protocol):
    """`BrokerContainer.remove_broker`."""

    async def __call__(self, identity: BrokerIdentity) -> InnerBroker | None: ...


@attrs.define(eq=False)
class _Asked:
    """A broker that somebody asked for by request.

    Attributes:
        waiting: a request waits for its outcome.
    """

    inner: InnerBroker
    waiting: bool = True

    @property
    def is_history(self) -> bool:
        """It served and does no longer, or was removed: who asks now asks for another start."""
        if self.inner.state is BrokerState.CLOSED:
            return not self.waiting
        return self.inner.running_since is not None and self.inner.state is not BrokerState.RUNNING


class BrokerRequests:
    """Handlers of one container.

    Args:
        config: of the container; the times are read at each request.
        supervisor: the brokers.
        saved: the list in the container's file.
        base: directory that a relative path is looked for in first, then the current one.
        remove: stops a broker and takes it off the list.
    """

    def __init__(
        self,
        config: BrokerContainerConfig,
        supervisor: BrokerSupervisor,
        saved: SavedBrokers,
        *,
        base: Path | None,
        remove: Removing,
    ) -> None:
        self._config = config
        self._supervisor = supervisor
        self._saved = saved
        self._base = base
        self._remove = remove
        self._asked: dict[str, _Asked] = {}

    # Add

    async def add(self, connection: Connection, request: RemotingCommand) -> RemotingCommand:
        """Code 902; see the module."""
        text = (AddBrokerRequestHeader.decode(request.ext_fields).config_path or "").strip()
        if not text:
            return _no(request, "addBroker config path is empty")
        path = broker_path(text, self._base)
        file = real_path(path)
        asked = self._asked.get(file)
        if asked is None or asked.is_history:
            _log.info("%s asks to add the broker in %s", connection.remote_address, path)
            try:
                asked = self._asked[file] = _Asked(await self._start(path))
            except _Refused as refused:
                _log.error("the broker in %s is not added: %s", path, refused.reason)
                return _no(request, refused.remark)
        elif asked.waiting:
            return _no(request, f"{asked.inner.identity} has already been added to current broker container")
        return await self._outcome(request, file, asked)

    async def _start(self, path: Path) -> InnerBroker:
        """Raises `_Refused`."""
        try:
            plan = await trio.to_thread.run_sync(_read, path)
        except BootRefusedError as refused:
            raise _Refused(refused.remark or str(refused), str(refused)) from None
        except ConfigError as wrong:
            raise _Refused(str(wrong)) from None
        try:
            return self._supervisor.add(plan)
        except DuplicateIdentityError as duplicate:
            raise _Refused(duplicate.text, f"{duplicate.text}; {self._owner_text(plan.identity)}") from None
        except ClaimConflictError as conflict:
            text = f"Failed to initialize {_kind(plan)} broker {plan.identity}: {conflict}"
            raise _Refused(text) from None
        except BootRefusedError as refused:
            raise _Refused(str(refused)) from None

    def _owner_text(self, identity: BrokerIdentity) -> str:
        name = identity.canonical_name  # of which two identities may have the same
        inner = next(one for key, one in self._supervisor.brokers.items() if key.canonical_name == name)
        owner = inner.plan
        file = "a program" if owner.source is None else owner.source
        return f"it comes from {file} and has port {owner.config.listen_port}"

    async def _outcome(self, request: RemotingCommand, file: str, asked: _Asked) -> RemotingCommand:
        asked.waiting = True
        inner = asked.inner
        try:
            with trio.move_on_after(self._config.add_broker_answer_millis / 1000):
                await inner.wait_settled()
        finally:
            asked.waiting = False
            if inner.settled and self._asked.get(file) is asked:
                del self._asked[file]
        if inner.state is BrokerState.STOPPING:
            return _no(request, f"{inner.identity} is removed and still stops")
        if not inner.settled:
            return request.response(
                ResponseCode.SYSTEM_ERROR,
                f"{inner.identity} is starting: it recovers its store; the same request again tells how that"
                " went",
                {STATE_FIELD: STATE_STARTING},
            )
        if inner.state is BrokerState.FAILED:
            if inner.failed_by_hook:
                return _no(request, f"start broker failed{inner.reason}")
            text = f"Failed to initialize {_kind(inner.plan)} broker {inner.identity}: {inner.reason}"
            return _no(request, text)
        if inner.running_since is None:
            what = "was stopped with the container" if self._supervisor.stopping else "was removed"
            return _no(request, f"{inner.identity} {what} before it had started")
        if inner.unsaved is not None:
            text = (
                f"{inner.identity} serves, but is not there after a restart of the container: {inner.unsaved}"
            )
            return request.response(ResponseCode.SUCCESS, text)
        return request.response(ResponseCode.SUCCESS)

    # Remove

    async def remove(self, connection: Connection, request: RemotingCommand) -> RemotingCommand:
        """Code 903: stops a broker in order and takes it off the container's list; its data stays.

        Answered after `removeBrokerTimeoutMillis` at the latest; a broker that needs longer for its disk goes
        on stopping, and the next identical request waits for it.
        """
        header = RemoveBrokerRequestHeader.decode(request.ext_fields)
        identity = BrokerIdentity(header.broker_cluster_name, header.broker_name, header.broker_id)
        if identity not in self._supervisor.brokers and self._supervisor.failed_broker(identity) is None:
            return request.response(ResponseCode.BROKER_NOT_EXIST, "Broker not exist")
        _log.info("%s asks to remove the broker %s", connection.remote_address, identity)
        limit_ms = self._config.remove_broker_timeout_millis
        removed = None
        with trio.move_on_after(limit_ms / 1000) as limit:
            removed = await self._remove(identity)
        if limit.cancelled_caught:
            return _no(request, f"{identity} is still stopping after {limit_ms} ms; it goes on by itself")
        if removed is not None and removed.state is BrokerState.FAILED and removed.running_since is not None:
            return request.response(
                ResponseCode.SUCCESS, f"{identity} is gone; it had failed: {removed.reason}"
            )
        return request.response(ResponseCode.SUCCESS)


class _Refused(Exception):  # noqa: N818 - it says what happened
    """A broker is not even reserved.

    Args:
        remark: for the caller.
        reason: for the log, where the remark says less.
    """

    def __init__(self, remark: str, reason: str | None = None) -> None:
        super().__init__(remark)
        self.remark = remark
        self.reason = reason or remark


def _read(path: Path) -> BrokerPlan:
    """`read_plan`, with Java's text for a file that cannot be read at all. Blocks."""
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise _Refused("addBroker properties empty", f"{path}: {error.strerror}") from None
    return read_plan(path)


def _kind(plan: BrokerPlan) -> str:
    return "master" if plan.is_master else "slave"


def _no(request: RemotingCommand, remark: str) -> RemotingCommand:
    return request.response(ResponseCode.SYSTEM_ERROR, remark)
