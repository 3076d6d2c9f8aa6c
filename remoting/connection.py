"""One connection between two peers, of either direction.

A read pass is synchronous: the bytes of one read are cut into commands, requests of the same processor are
served together, answers are appended to the out buffers of their connections, and all connections that got
some are flushed at the end (`Cork`). Only a peer that does not read costs a task: it waits for the socket to
become writable and sends the rest.

What counts where: a request is *in flight* from its arrival to its answer, or to the moment when a handler
says that it is *held* (a long poll). Both have limits; above them the answer is code 2. One-way requests are
neither, they are served in the pass that reads them. The same counts, summed over the connections of a port,
are its `Load`: it has limits of its own, with the same answer.
"""

from __future__ import annotations

import logging
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING

import trio

from remoting.command import (
    TALLY_ANSWERED,
    TALLY_HELD,
    TALLY_IN_FLIGHT,
    RemotingCommand,
)
from remoting.direct_events import direct_events
from remoting.errors import FrameFault, LocalFault, SendError, TimeoutError_
from remoting.frame import FrameReader, encode, encode_buffers
from remoting.invocations import Invocations
from remoting.owner import READ_SIZE, ConnectionStatistics
from remoting.protocol.mq_version import V5_3_1
from remoting.protocol.response_code import ResponseCode
from remoting.serving import admitted, serve
from remoting.sockets import peer_address

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from remoting.direct_events import DirectEvents
    from remoting.owner import Owner
    from remoting.processors import Processor

log = logging.getLogger("rocketmq.remoting")

IOV_MAX = 1024
GO_AWAY_REMARK = "please go away"
BUSY_REMARK = "[OVERLOAD]system busy, start flow control for a while"


class Connection:
    """A connected peer. All methods must be called in the trio thread.

    Attributes:
        remote_address: "ip:port"; IPv6 addresses without brackets, as Java prints them.
        remote_host: packed address (4 or 16 bytes) and int32 port: the form of a message's born host.
        local_port: port of this side.
        closed: whether `close` was called, by whomever.
        close_reason: why, one sentence; "" while open.
        last_active: `trio.current_time()` of the last traffic in either direction.
        secure: whether the connection is encrypted.
    """

    __slots__ = (
        "__weakref__",
        "_cork",
        "_direct",
        "_ended",
        "_failure",
        "_held",
        "_in_flight",
        "_invocations",
        "_limits",
        "_load",
        "_now",
        "_out",
        "_out_bytes",
        "_owner",
        "_reader",
        "_serialize_type",
        "_socket",
        "_stream",
        "_unread_bytes",
        "_unsent",
        "_waiting_to_write",
        "_writable",
        "blocked_writes",
        "close_reason",
        "closed",
        "last_active",
        "local_port",
        "received_bytes",
        "received_requests",
        "received_responses",
        "refused_requests",
        "remote_address",
        "remote_host",
        "secure",
        "sent_bytes",
        "sent_frames",
        "unmatched_responses",
    )

    def __init__(self, owner: Owner, connected: socket.socket) -> None:
        """Takes over a connected, non-blocking socket.

        Raises:
            OSError: the peer has gone already.
        """
        self._owner = owner
        self._socket = connected
        self._cork = owner.cork
        self._limits = owner.limits
        self._load = owner.load
        self._serialize_type = int(owner.serialize_type)
        self._reader = FrameReader(owner.limits.frame)
        self._stream: trio.SSLStream[trio.SocketStream] | None = None
        self._direct: DirectEvents | None = direct_events()
        self._ended: trio.Event | None = None
        self._failure: BaseException | None = None
        self._writable: trio.Event | None = None
        self._out: list[bytes | memoryview] = []
        self._out_bytes = 0
        self._unsent = False
        self._waiting_to_write = False
        self._unread_bytes = 0
        self._held: dict[int, RemotingCommand] = {}
        self._in_flight = 0
        self.remote_address, self.remote_host = peer_address(connected.getpeername())
        self._invocations = Invocations(self.remote_address, owner.limits.invocations)
        self.local_port: int = connected.getsockname()[1]
        self.secure = False
        self.closed = False
        self.close_reason = ""
        self._now = trio.lowlevel.current_clock().current_time
        self.last_active = self._now()
        self.blocked_writes = 0
        self.received_bytes = 0
        self.received_requests = 0
        self.received_responses = 0
        self.refused_requests = 0
        self.sent_bytes = 0
        self.sent_frames = 0
        self.unmatched_responses = 0

    def __repr__(self) -> str:
        state = f"closed: {self.close_reason}" if self.closed else f"{self._in_flight} in flight"
        return f"<Connection {self.remote_address} on port {self.local_port}, {state}>"

    # Reading.

    def use_stream(self, stream: trio.SSLStream[trio.SocketStream]) -> None:
        """From here on everything goes through an encrypted stream over the socket, after its handshake."""
        self._stream = stream
        self._direct = None
        self.secure = True

    async def run(self) -> None:
        """Reads until the connection ends. Failures of the peer are logged, not raised.

        Cancellation closes the connection.
        """
        reason = "cancelled"
        try:
            if self._stream is not None:
                reason = await self._read_stream(self._stream)
            elif self._direct is not None:
                reason = await self._read_directly(self._direct)
            else:
                reason = await self._read_socket()
        except trio.ClosedResourceError:
            reason = "closed"
        except (OSError, trio.BrokenResourceError) as error:
            reason = f"read failed: {error.__cause__ or error}"
        finally:
            self.close(reason)

    async def _read_socket(self) -> str:
        connected = self._socket
        view = self._cork.read_view
        while not self.closed:
            await trio.lowlevel.wait_readable(connected)
            try:
                size = connected.recv_into(view)
            except (BlockingIOError, InterruptedError):
                continue
            if not size:
                return "end of stream"
            self.receive(bytes(view[:size]))
        return "closed"

    async def _read_directly(self, events: DirectEvents) -> str:
        """Lets reads happen outside of tasks, in the context of this one, until the connection is closed."""
        if not self.closed:
            self._ended = trio.Event()
            events.when_readable(self._socket.fileno(), partial(copy_context().run, self._read_ready))
            await self._ended.wait()
        if self._failure is not None:
            raise self._failure
        return "closed"

    def _read_ready(self) -> None:
        """One read; what goes wrong in it ends the connection, and is raised by `run` if it is our fault."""
        try:
            view = self._cork.read_view
            try:
                size = self._socket.recv_into(view)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self.close(f"read failed: {error}")
                return
            if size:
                self.receive(bytes(view[:size]))
            else:
                self.close("end of stream")
        except BaseException as error:
            self._failure = error
            self.close(f"reading failed: {error!r}")

    async def _read_stream(self, stream: trio.SSLStream[trio.SocketStream]) -> str:
        while not self.closed:
            data = await stream.receive_some(READ_SIZE)
            if not data:
                return "end of stream"
            self.receive(bytes(data))
        return "closed"

    def receive(self, data: bytes) -> None:
        """One read pass over bytes of the peer."""
        self.last_active = self._now()
        self.received_bytes += len(data)
        fault: FrameFault | None = None
        try:
            commands = self._reader.feed(data)
        except FrameFault as error:
            fault = error
            commands = error.decoded
        if commands:
            cork = self._cork
            cork.insert()
            try:
                self._dispatch(commands)
            finally:
                cork.pull()
        if fault is not None and not self.closed:
            log.warning("undecodable bytes from %s, closing: %s", self.remote_address, fault)
            self._owner.connection_failed(self, fault)
            self.close(f"undecodable bytes: {fault}")

    def _dispatch(self, commands: list[RemotingCommand]) -> None:
        owner = self._owner
        room = self._room()
        if len(commands) == 1:
            entry = self._admit(commands[0], room)
            if entry is not None:
                serve(owner, self, entry, commands)
            return
        groups: dict[Processor, list[RemotingCommand]] = {}
        for command in commands:
            entry = self._admit(command, room)
            if entry is None:
                continue
            if command.tally == TALLY_IN_FLIGHT:
                room -= 1
            if entry in groups:
                groups[entry].append(command)
            else:
                groups[entry] = [command]
        for entry, group in groups.items():
            serve(owner, self, entry, group)

    def _admit(self, command: RemotingCommand, room: int) -> Processor | None:
        """Counts a command in; None if nothing is left to serve: an answer, or a request that is refused."""
        flag = command.flag
        if flag & 1:
            self._take_response(command)
            return None
        self.received_requests += 1
        owner = self._owner
        answered = not flag & 2
        if answered:
            if owner.draining and command.version > V5_3_1:
                self._refuse(command, ResponseCode.GO_AWAY, GO_AWAY_REMARK)
                return None
            if room <= 0:
                self._refuse(command, ResponseCode.SYSTEM_BUSY, BUSY_REMARK)
                return None
        table = owner.table
        entry = table.find(command.code) or table.default
        if entry is None:
            self._refuse(
                command,
                ResponseCode.REQUEST_CODE_NOT_SUPPORTED,
                f" request type {command.code} not supported",
            )
            return None
        if owner.hooks and not admitted(self, command, owner.hooks):
            return None
        if answered:
            command.tally = TALLY_IN_FLIGHT
            if not self.closed:
                self._in_flight += 1
                self._load.in_flight_requests += 1
        return entry

    def _room(self) -> int:
        """How many more requests the limits of the connection and of its port let in; may be negative."""
        limits = self._limits
        load = self._load
        if len(self._held) >= limits.held_requests or load.queued_bytes > load.max_queued_bytes:
            return 0
        mine = limits.in_flight_requests - self._in_flight
        all_of_port = load.max_in_flight_requests - load.in_flight_requests
        return mine if mine < all_of_port else all_of_port

    def _refuse(self, request: RemotingCommand, code: int, remark: str) -> None:
        self.refused_requests += 1
        self.reply(request, request.response(code, remark))

    def _take_response(self, response: RemotingCommand) -> None:
        self.received_responses += 1
        if not self._invocations.take(response):
            self.unmatched_responses += 1
            log.debug("an answer without a request from %s, opaque %d", self.remote_address, response.opaque)

    # Answering.

    def reply(self, request: RemotingCommand, response: RemotingCommand) -> None:
        """Queues the answer to a request of this connection.

        The second answer to a request, the answer to a one-way request and an answer on a closed connection
        are dropped.
        """
        if not self._settle(request):
            return
        try:
            buffers = encode_buffers(response, self._serialize_type)
        except LocalFault:
            log.exception("an answer to code %s for %s", request.code, self.remote_address)
            fallback = request.response(ResponseCode.SYSTEM_ERROR, "the answer could not be encoded")
            buffers = [encode(fallback, self._serialize_type)]
        hooks = self._owner.hooks
        if hooks:
            for hook in hooks:
                hook.after_response(self, request, response)
        self._queue(buffers)

    def reply_encoded(self, request: RemotingCommand, buffers: Sequence[bytes | memoryview]) -> None:
        """Queues an answer that is a complete frame already; otherwise as `reply`.

        Args:
            request: the request.
            buffers: the frame's bytes in order. They must not change any more; views keep their memory alive
                until they are sent.
        """
        if self._settle(request):
            self._queue(buffers)

    def reply_all_encoded(
        self, requests: Sequence[RemotingCommand], frames: Sequence[bytes | memoryview]
    ) -> None:
        """As `reply_encoded` for each of several requests, each of whose answers is one buffer."""
        answers = [frame for request, frame in zip(requests, frames, strict=True) if self._settle(request)]
        if answers:
            self._queue(answers, len(answers))

    def held(self, request: RemotingCommand) -> None:
        """Says that a request is held back on purpose: it counts no longer as in flight."""
        if request.tally == TALLY_IN_FLIGHT:
            request.tally = TALLY_HELD
            if not self.closed:  # else counted out by `close`
                self._held[id(request)] = request
                self._leave_flight()

    def _settle(self, request: RemotingCommand) -> bool:
        """Books a request as answered; False if there is nobody to send an answer to."""
        tally = request.tally
        if tally == TALLY_ANSWERED:
            return False
        request.tally = TALLY_ANSWERED
        if self.closed:
            return False
        if tally == TALLY_IN_FLIGHT:
            self._leave_flight()
        elif tally == TALLY_HELD:
            self._held.pop(id(request), None)
        return not request.flag & 2

    def _leave_flight(self) -> None:
        self._in_flight -= 1
        self._load.in_flight_requests -= 1
        if not self._in_flight and self._owner.draining:
            self._owner.connection_quiet(self)

    def send_away(self) -> None:
        """Answers the held requests of newer clients with GO_AWAY, so that they go on elsewhere at once."""
        for request in list(self._held.values()):
            if request.version > V5_3_1:
                self._refuse(request, ResponseCode.GO_AWAY, GO_AWAY_REMARK)

    # Requests of ours.

    async def invoke(self, request: RemotingCommand, timeout_ms: float) -> RemotingCommand:
        """Sends a request to the peer and waits for its answer.

        Raises:
            SendError: the connection is closed, or ended before the answer.
            TimeoutError_: no answer within `timeout_ms`.
            TooMuchRequest: too many requests wait on this connection already.
            LocalFault: the request cannot be encoded.

        Cancellation forgets the request; an answer that comes later is dropped.
        """
        if self.closed:
            raise SendError(f"the connection to {self.remote_address} is closed: {self.close_reason}")
        invocation = self._invocations.begin(request.opaque)
        try:
            self._queue(encode_buffers(request, self._serialize_type))
            with trio.move_on_after(timeout_ms / 1000):
                await invocation.settled.wait()
        finally:
            self._invocations.end(request.opaque, invocation)
        if invocation.response is not None:
            return invocation.response
        if invocation.error is not None:
            raise invocation.error
        raise TimeoutError_(
            f"no answer to code {request.code} from {self.remote_address} in {timeout_ms:.0f} ms"
        )

    def oneway(self, request: RemotingCommand) -> None:
        """Sends a request that gets no answer; sets its one-way flag.

        Raises:
            SendError: the connection is closed.
            LocalFault: the request cannot be encoded.
        """
        if self.closed:
            raise SendError(f"the connection to {self.remote_address} is closed: {self.close_reason}")
        request.flag |= 2
        self._queue(encode_buffers(request, self._serialize_type))

    # Writing.

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait for the peer to read."""
        return self._out_bytes

    def _queue(self, buffers: Sequence[bytes | memoryview], frames: int = 1) -> None:
        out = self._out
        size = self._out_bytes
        out += buffers
        for buffer in buffers:
            size += len(buffer)
        self._out_bytes = size
        self.sent_frames += frames
        if not self._unsent:
            self._unsent = True
            self._cork.mark(self)
        elif self._waiting_to_write:
            self._count_unread()
        if size > self._limits.queued_bytes or len(out) > self._limits.queued_buffers:
            self._relieve()

    def _relieve(self) -> None:
        """Above the limits: sends what the system takes, else cuts the connection."""
        self.flush()
        if self.closed or (
            self._out_bytes <= self._limits.queued_bytes and len(self._out) <= self._limits.queued_buffers
        ):
            return
        log.warning(
            "%s does not read its answers: %d bytes in %d buffers wait, the limits are %d and %d; closing",
            self.remote_address,
            self._out_bytes,
            len(self._out),
            self._limits.queued_bytes,
            self._limits.queued_buffers,
        )
        self.close("does not read its answers")

    def flush(self) -> None:
        """Sends what is queued, as far as the system takes it at once; a task sends the rest."""
        self._unsent = False
        if self._waiting_to_write or self.closed or not self._out:
            return
        if self._stream is not None:
            self._wait_to_write()
            self._owner.start_soon(self._write_stream, self._stream)
        elif not self._send():
            self._wait_to_write()
            self.blocked_writes += 1
            self._owner.start_soon(self._write_rest)

    def _wait_to_write(self) -> None:
        """From here on a task sends, and what it has not sent counts as not read by the peer."""
        self._waiting_to_write = True
        self._unsent = True
        self._count_unread()

    def _count_unread(self) -> None:
        self._load.queued_bytes += self._out_bytes - self._unread_bytes
        self._unread_bytes = self._out_bytes

    def _send(self) -> bool:
        """Non-blocking; False if something is left."""
        out = self._out
        connected = self._socket
        try:
            while out:
                if len(out) == 1:
                    sent = connected.send(out[0])
                else:
                    sent = connected.sendmsg(out if len(out) <= IOV_MAX else out[:IOV_MAX])
                self.sent_bytes += sent
                if sent == self._out_bytes:
                    out.clear()
                    self._out_bytes = 0
                    return True
                self._drop_sent(sent)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            self.close(f"write failed: {error}")
        return True

    def _drop_sent(self, sent: int) -> None:
        out = self._out
        self._out_bytes -= sent
        whole = 0
        for buffer in out:
            if sent < len(buffer):
                break
            sent -= len(buffer)
            whole += 1
        del out[:whole]
        if sent:
            out[0] = memoryview(out[0])[sent:]

    async def _write_rest(self) -> None:
        try:
            while not self.closed and self._out:
                await self._until_writable()
                sent_before = self.sent_bytes
                if not self.closed:
                    self._send()
                    self._count_unread()
                if self.sent_bytes != sent_before:
                    self.last_active = trio.current_time()
        except trio.ClosedResourceError:
            pass
        finally:
            self._waiting_to_write = False
            self._unsent = False
            if self._owner.draining:
                self._owner.connection_quiet(self)

    async def _until_writable(self) -> None:
        """Returns when the system takes more, or the connection was closed.

        Raises:
            trio.ClosedResourceError: closed while this waited.
        """
        if self._direct is None:
            await trio.lowlevel.wait_writable(self._socket)
        else:
            self._writable = trio.Event()
            self._direct.when_writable(self._socket.fileno(), self._writable.set)
            await self._writable.wait()

    async def _write_stream(self, stream: trio.SSLStream[trio.SocketStream]) -> None:
        try:
            while not self.closed and self._out:
                data = b"".join(self._out)
                self._out.clear()
                await stream.send_all(data)
                if not self.closed:
                    self._out_bytes -= len(data)
                    self._count_unread()
                self.sent_bytes += len(data)
                self.last_active = trio.current_time()
        except (trio.ClosedResourceError, trio.BrokenResourceError, OSError) as error:
            self.close(f"write failed: {error.__cause__ or error}")
        finally:
            self._waiting_to_write = False
            self._unsent = False
            if self._owner.draining:
                self._owner.connection_quiet(self)

    # Ending.

    def close(self, reason: str) -> None:
        """Ends the connection at once; what is queued is lost. Only the first call counts.

        Args:
            reason: one sentence for the log and for those who wait for answers.
        """
        if self.closed:
            return
        self.closed = True
        self.close_reason = reason
        if self._direct is not None:
            self._direct.remove(self._socket.fileno())
            if self._writable is not None:
                self._writable.set()
        trio.lowlevel.notify_closing(self._socket)
        self._socket.close()
        if self._ended is not None:
            self._ended.set()
        self._out.clear()
        self._out_bytes = 0
        self._count_unread()
        self._held.clear()
        self._load.in_flight_requests -= self._in_flight
        self._in_flight = 0
        self._invocations.fail_all(reason)
        log.debug("%s closed: %s", self.remote_address, reason)
        self._owner.connection_closed(self, reason)

    @property
    def in_flight(self) -> int:
        """Requests of the peer that are neither answered nor held."""
        return self._in_flight

    def statistics(self) -> ConnectionStatistics:
        """The counters of now."""
        return ConnectionStatistics(
            remote_address=self.remote_address,
            in_flight_requests=self._in_flight,
            held_requests=len(self._held),
            pending_invocations=len(self._invocations),
            queued_bytes=self._out_bytes,
            received_bytes=self.received_bytes,
            received_requests=self.received_requests,
            received_responses=self.received_responses,
            unmatched_responses=self.unmatched_responses,
            refused_requests=self.refused_requests,
            sent_bytes=self.sent_bytes,
            sent_frames=self.sent_frames,
            blocked_writes=self.blocked_writes,
        )
