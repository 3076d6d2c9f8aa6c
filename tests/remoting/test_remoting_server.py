"""The server over real sockets."""

import logging
import socket
import struct

import pytest
import trio
from wire_rig import HOST, accepted, connect, echo, echo_table, request_bytes, serving, until

from configuration import ConfigError
from remoting import (
    ChannelListener,
    CommandError,
    Connection,
    ConnectionLimits,
    ProcessorTable,
    RemotingClientConfig,
    RemotingCommand,
    RemotingServerConfig,
    SendError,
    SerializeType,
    TimeoutError_,
    TooMuchRequest,
    Transport,
)
from remoting.config import serialize_type_of
from remoting.connection import BUSY_REMARK
from remoting.frame import encode_buffers

pytestmark = pytest.mark.usefixtures("way_of_reading")


class TestDispatch:
    async def test_a_request_is_answered_with_its_opaque_and_our_version(self) -> None:
        async with serving(echo_table()) as server:
            peer = await connect(server)
            answer = await peer.ask(10, opaque=77, body=b"hello")
            assert (answer.code, answer.opaque, answer.flag, answer.version) == (0, 77, 1, 479)
            assert (answer.language, bytes(answer.body)) == ("PYTHON", b"hello")

    async def test_an_unknown_code_is_answered_with_3(self) -> None:
        async with serving(echo_table()) as server:
            answer = await (await connect(server)).ask(999)
            assert (answer.code, answer.remark) == (3, " request type 999 not supported")

    async def test_a_default_serves_unknown_codes(self) -> None:
        table = ProcessorTable()
        table.default_call(lambda _, request: request.response(42))
        async with serving(table) as server:
            assert (await (await connect(server)).ask(999)).code == 42

    @pytest.mark.parametrize("kind", ["call", "batch", "task"])
    async def test_a_command_error_is_its_code_and_any_other_is_1(self, kind: str) -> None:
        def fail(code: int) -> None:
            if code == 20:
                raise CommandError(17, "no topic")
            raise RuntimeError("x" * 1000)

        table = ProcessorTable()
        if kind == "call":
            table.call([20, 21], lambda _, request: fail(request.code))
        elif kind == "batch":
            table.batch([20], lambda _, requests: fail(requests[0].code))
            table.batch([21], lambda _, requests: fail(requests[0].code))
        else:

            async def task(_: Connection, request: RemotingCommand) -> None:
                await trio.lowlevel.checkpoint()
                fail(request.code)

            table.task([20, 21], task)
        async with serving(table) as server:
            peer = await connect(server)
            answer = await peer.ask(20)
            assert (answer.code, answer.remark) == (17, "no topic")
            answer = await peer.ask(21)
            assert answer.code == 1
            assert answer.remark is not None
            assert answer.remark.startswith("RuntimeError: xxx")
            assert len(answer.remark) < 500
            assert server.statistics().in_flight_requests == 0

    async def test_a_failing_batch_answers_only_what_is_not_answered(self) -> None:
        def batch(connection: Connection, requests: list[RemotingCommand]) -> None:
            connection.reply(requests[0], requests[0].response(0))
            connection.held(requests[1])
            raise CommandError(2, "busy")

        table = ProcessorTable()
        table.batch([10], batch)
        async with serving(table) as server:
            peer = await connect(server)
            await peer.send(b"".join(request_bytes(10, opaque=number) for number in (1, 2, 3)))
            assert [(each.opaque, each.code) for each in await peer.answers(2)] == [(1, 0), (3, 2)]

    async def test_one_read_is_one_batch_for_each_processor(self) -> None:
        batches: list[list[tuple[int, int]]] = []

        def batch(connection: Connection, requests: list[RemotingCommand]) -> None:
            batches.append([(each.code, each.opaque) for each in requests])
            for request in requests:
                connection.reply(request, request.response(0))

        table = echo_table()
        table.batch([310, 320], batch)
        async with serving(table) as server:
            peer = await connect(server)
            codes = (310, 10, 320, 10, 310)
            await peer.send(b"".join(request_bytes(code, opaque=at) for at, code in enumerate(codes)))
            answers = await peer.answers(5)
            assert batches == [[(310, 0), (320, 2), (310, 4)]]
            assert [each.opaque for each in answers] == [0, 2, 4, 1, 3]

    async def test_all_answers_of_a_read_leave_together(self) -> None:
        async with serving(echo_table()) as server:
            peer = await connect(server)
            await peer.send(b"".join(request_bytes(10, opaque=at) for at in range(50)))
            data = bytes(await peer.stream.receive_some(1 << 20))
            assert data.count(b'"opaque":') == 50

    async def test_one_way_requests_are_served_and_never_answered(self) -> None:
        served: list[int] = []

        def serve(_: Connection, request: RemotingCommand) -> RemotingCommand:
            served.append(request.opaque)
            if request.opaque == 2:
                raise CommandError(1, "even then")
            return request.response(0)

        table = echo_table()
        table.call([15], serve)
        async with serving(table) as server:
            peer = await connect(server)
            for opaque, code in ((1, 15), (2, 15), (3, 999)):
                await peer.send(request_bytes(code, opaque=opaque, flag=2))
            assert (await peer.ask(10, opaque=9)).opaque == 9
            assert served == [1, 2]

    async def test_only_the_first_answer_counts(self) -> None:
        def twice(connection: Connection, request: RemotingCommand) -> RemotingCommand:
            connection.reply(request, request.response(5))
            connection.reply_encoded(request, encode_buffers(request.response(6)))
            return request.response(7)

        table = echo_table()
        table.call([11], twice)
        async with serving(table) as server:
            peer = await connect(server)
            await peer.send(request_bytes(11) + request_bytes(10))
            assert [each.code for each in await peer.answers(2)] == [5, 0]
            assert server.statistics().in_flight_requests == 0

    async def test_a_pre_encoded_answer_leaves_as_it_is(self) -> None:
        def serve(connection: Connection, request: RemotingCommand) -> None:
            head = encode_buffers(request.response(0, body=b"onetwo"))[0]
            connection.reply_encoded(request, [head, memoryview(b"one"), b"two"])

        table = ProcessorTable()
        table.call([11], serve)
        async with serving(table) as server:
            assert bytes((await (await connect(server)).ask(11)).body) == b"onetwo"

    async def test_answers_that_leave_together_count_one_each_and_only_where_one_is_due(self) -> None:
        def serve(connection: Connection, requests: list[RemotingCommand]) -> None:
            held, answered, *_ = requests
            connection.held(held)
            connection.reply(answered, answered.response(5))
            connection.reply_all_encoded(
                requests, [b"".join(encode_buffers(each.response(0))) for each in requests]
            )

        table = echo_table()
        table.batch([11], serve)
        async with serving(table) as server:
            peer = await connect(server)
            frames = [request_bytes(11, opaque=opaque) for opaque in (1, 2, 3, 4)]
            frames.append(request_bytes(11, opaque=5, flag=2))  # one-way
            await peer.send(b"".join(frames) + request_bytes(10, opaque=6))
            answers = [(each.opaque, each.code) for each in await peer.answers(5)]
            assert answers == [(2, 5), (1, 0), (3, 0), (4, 0), (6, 0)]
            statistics = server.statistics()
            assert (statistics.in_flight_requests, statistics.held_requests) == (0, 0)
            assert server.load.in_flight_requests == 0
            assert statistics.sent_frames == 5

    async def test_an_answer_that_cannot_be_encoded_becomes_code_1(self) -> None:
        table = ProcessorTable()
        table.call([10], lambda _, request: request.response(0, "\ud800"))
        async with serving(table) as server:
            assert (await (await connect(server)).ask(10)).code == 1

    async def test_the_server_answers_in_its_own_serialization(self) -> None:
        async with serving(echo_table(), RemotingServerConfig(serialize_type="ROCKETMQ")) as server:
            assert (await (await connect(server)).ask(10)).serialize_type == SerializeType.ROCKETMQ

    def test_the_environment_is_the_default_of_the_serialize_type(self) -> None:
        said, unsaid = RemotingServerConfig(serialize_type="JSON"), RemotingServerConfig()
        variable = "ROCKETMQ_SERIALIZE_TYPE"
        assert serialize_type_of(unsaid, {}) is SerializeType.JSON
        assert serialize_type_of(unsaid, {variable: " "}) is SerializeType.JSON
        assert serialize_type_of(unsaid, {variable: "ROCKETMQ"}) is SerializeType.ROCKETMQ
        assert serialize_type_of(said, {variable: "ROCKETMQ"}) is SerializeType.JSON
        with pytest.raises(ConfigError, match="ROCKETMQ_SERIALIZE_TYPE is 'XML', not JSON or ROCKETMQ"):
            serialize_type_of(unsaid, {variable: "XML"})

    def test_a_wrong_serialize_type_in_the_environment_refuses_the_configuration(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ROCKETMQ_SERIALIZE_TYPE", "XML")
        with pytest.raises(ConfigError, match="ROCKETMQ_SERIALIZE_TYPE"):
            RemotingServerConfig()
        with pytest.raises(ConfigError, match="ROCKETMQ_SERIALIZE_TYPE"):
            RemotingClientConfig()

    async def test_hooks_see_requests_and_answers_and_may_refuse(self) -> None:
        seen: list[str] = []

        class Hook:
            def before_request(self, connection: Connection, request: RemotingCommand) -> None:
                seen.append(f"request {request.code}")
                if request.body == b"bad":
                    raise CommandError(16, "not you")

            def after_response(
                self, connection: Connection, request: RemotingCommand, response: RemotingCommand
            ) -> None:
                seen.append(f"answer {response.code}")

        async with serving(echo_table(), hooks=[Hook()]) as server:
            peer = await connect(server)
            assert (await peer.ask(10)).code == 0
            assert (await peer.ask(10, body=b"bad")).code == 16
            assert seen == ["request 10", "answer 0", "request 10", "answer 16"]


class TestHeldAndSlow:
    async def test_a_held_request_blocks_nothing_and_is_answered_later(self) -> None:
        waiting: list[tuple[Connection, RemotingCommand]] = []

        def hold(connection: Connection, request: RemotingCommand) -> None:
            connection.held(request)
            waiting.append((connection, request))

        table = echo_table()
        table.call([11], hold)
        async with serving(table) as server:
            peer = await connect(server)
            await peer.send(request_bytes(11, opaque=1))
            assert (await peer.ask(10, opaque=2)).opaque == 2
            statistics = server.statistics()
            assert (statistics.held_requests, statistics.in_flight_requests) == (1, 0)
            connection, request = waiting[0]
            connection.reply(request, request.response(19))
            assert ((await peer.next()).opaque, server.statistics().held_requests) == (1, 0)

    async def test_a_slow_task_does_not_delay_the_others(self) -> None:
        release = trio.Event()

        async def slow(_: Connection, request: RemotingCommand) -> RemotingCommand:
            await release.wait()
            return request.response(0)

        table = echo_table()
        table.task([12], slow)
        async with serving(table) as server:
            peer = await connect(server)
            await peer.send(request_bytes(12, opaque=1))
            assert (await peer.ask(10, opaque=2)).opaque == 2
            release.set()
            assert (await peer.next()).opaque == 1

    async def test_above_the_in_flight_limit_the_answer_is_flow_control(self) -> None:
        kept: list[RemotingCommand] = []
        table = ProcessorTable()
        table.batch([10], lambda _, requests: kept.extend(requests))
        async with serving(table, limits=ConnectionLimits(in_flight_requests=3)) as server:
            peer = await connect(server)
            await peer.send(b"".join(request_bytes(10, opaque=at) for at in range(5)))
            answers = await peer.answers(2)
            assert [(each.opaque, each.code) for each in answers] == [(3, 2), (4, 2)]
            assert answers[0].remark == "[OVERLOAD]system busy, start flow control for a while"
            assert server.statistics().refused_requests == 2
            (connection,) = server.connections
            connection.reply(kept[0], kept[0].response(0))
            assert (await peer.next()).opaque == 0
            await peer.send(request_bytes(10, opaque=9))
            await until(lambda: len(kept) == 4)

    async def test_above_the_held_limit_the_answer_is_flow_control(self) -> None:
        table = ProcessorTable()
        table.call([11], lambda connection, request: connection.held(request))
        async with serving(table, limits=ConnectionLimits(held_requests=1)) as server:
            peer = await connect(server)
            await peer.send(request_bytes(11, opaque=1))
            await until(lambda: server.statistics().held_requests)
            await peer.send(request_bytes(11, opaque=2))
            assert ((answer := await peer.next()).opaque, answer.code) == (2, 2)

    async def test_above_the_in_flight_limit_of_the_port_all_its_connections_get_flow_control(self) -> None:
        kept: list[tuple[Connection, RemotingCommand]] = []
        table = ProcessorTable()
        table.batch([10], lambda peer, requests: kept.extend((peer, each) for each in requests))
        async with serving(table, RemotingServerConfig(port_max_in_flight_requests=3)) as server:
            one, other = await connect(server), await connect(server)
            await one.send(request_bytes(10, opaque=1) + request_bytes(10, opaque=2))
            await until(lambda: len(kept) == 2)
            await other.send(b"".join(request_bytes(10, opaque=at) for at in (3, 4)))
            answer = await other.next()
            assert (answer.opaque, answer.code, answer.remark) == (4, 2, BUSY_REMARK)
            assert server.load.in_flight_requests == 3 == server.statistics().in_flight_requests

            connection, request = kept[0]
            connection.reply(request, request.response(0))
            assert server.load.in_flight_requests == 2
            await other.send(request_bytes(10, opaque=5))
            await until(lambda: len(kept) == 4)

            connection.close("test")
            assert server.load.in_flight_requests == 2
            connection.reply(kept[1][1], kept[1][1].response(0))
            assert server.load.in_flight_requests == 2

    async def test_a_held_request_leaves_the_count_of_the_port(self) -> None:
        table = ProcessorTable()
        table.call([11], lambda connection, request: connection.held(request))
        async with serving(table, RemotingServerConfig(port_max_in_flight_requests=1)) as server:
            peer = await connect(server)
            await peer.send(request_bytes(11, opaque=1))
            await until(lambda: server.statistics().held_requests == 1)
            await peer.send(request_bytes(11, opaque=2))
            await until(lambda: server.statistics().held_requests == 2)
            assert server.load.in_flight_requests == 0

    @pytest.mark.parametrize("end", ["read", "close"])
    async def test_above_the_queued_bytes_of_the_port_others_get_flow_control(self, end: str) -> None:
        size = 8_000_000
        table = echo_table()
        table.call([11], lambda _, request: request.response(0, body=bytes(size)))
        async with serving(table, RemotingServerConfig(port_max_queued_bytes=100_000)) as server:
            slow, other = await connect(server), await connect(server)
            await slow.send(request_bytes(11, opaque=1))
            await until(lambda: server.statistics().blocked_writes)
            assert server.load.queued_bytes == server.statistics().queued_bytes > 100_000
            assert (answer := await other.ask(10)).code == 2
            assert answer.remark == BUSY_REMARK
            await slow.send(request_bytes(10, opaque=2))
            await until(lambda: server.statistics().refused_requests == 2)
            assert server.load.queued_bytes == server.statistics().queued_bytes
            if end == "read":
                first, second = await slow.answers(2)
                assert (len(first.body), second.code) == (size, 2)
                await until(lambda: not server.statistics().queued_bytes)
            else:
                await slow.stream.aclose()
                await until(lambda: len(server.connections) == 1)
            assert server.load.queued_bytes == 0
            assert (await other.ask(10)).code == 0

    async def test_a_large_answer_reaches_a_slow_reader_whole(self) -> None:
        body = bytes(range(256)) * 40_000
        table = echo_table()
        table.call([11], lambda _, request: request.response(0, body=body))
        async with serving(table) as server:
            peer = await connect(server)
            await peer.send(request_bytes(11, opaque=1) + request_bytes(10, opaque=2))
            await until(lambda: server.statistics().blocked_writes)
            await peer.send(request_bytes(10, opaque=3))
            first, second, third = await peer.answers(3)
            assert bytes(first.body) == body
            assert (second.opaque, third.opaque) == (2, 3)
            await until(lambda: server.statistics().queued_bytes == 0)

    @pytest.mark.parametrize("limit", ["queued_bytes", "queued_buffers"])
    async def test_who_does_not_read_is_cut_with_a_log_line(
        self, limit: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        size = 1_000_000 if limit == "queued_bytes" else 60_000
        limits = ConnectionLimits(**{limit: 3_000_000 if limit == "queued_bytes" else 100})
        table = echo_table()
        table.call([11], lambda _, request: request.response(0, body=bytes(size)))
        async with serving(table, limits=limits) as server:
            neighbour = await connect(server)
            peer = await connect(server)
            with caplog.at_level(logging.WARNING, "rocketmq.remoting"):
                for _ in range(1000):
                    if len(server.connections) < 2 and server.statistics().accepted_connections == 2:
                        break
                    try:
                        await peer.send(request_bytes(11))
                    except trio.BrokenResourceError:
                        break
                await until(lambda: len(server.connections) == 1)
            local = peer.stream.socket.getsockname()  # type: ignore[attr-defined]
            assert f"127.0.0.1:{local[1]} does not read its answers" in caplog.text
            assert (await neighbour.ask(10)).code == 0


class TestBadPeers:
    @pytest.mark.parametrize(
        "garbage",
        [b"GET / HTTP/1.1\r\n\r\n", struct.pack(">iI", 2**31 - 1, 0), struct.pack(">iI", 8, 4) + b"{bad"],
    )
    async def test_garbage_closes_only_its_own_connection(self, garbage: bytes) -> None:
        async with serving(echo_table()) as server:
            neighbour, peer = await connect(server), await connect(server)
            await peer.send(request_bytes(10, opaque=5) + garbage)
            assert (await peer.next()).opaque == 5
            assert await peer.ended()
            assert (await neighbour.ask(10)).code == 0

    async def test_a_reset_closes_only_its_own_connection(self) -> None:
        async with serving(echo_table()) as server:
            neighbour, peer = await connect(server), await connect(server)
            await accepted(server, 2)
            linger = struct.pack("ii", 1, 0)
            peer.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)  # type: ignore[attr-defined]
            await peer.stream.aclose()
            await until(lambda: len(server.connections) == 1)
            assert (await neighbour.ask(10)).code == 0

    async def test_a_half_closed_connection_is_closed_after_its_answers(self) -> None:
        async with serving(echo_table()) as server:
            peer = await connect(server)
            await peer.send(request_bytes(10, opaque=5))
            await peer.stream.send_eof()  # type: ignore[attr-defined]
            assert (await peer.next()).opaque == 5
            assert await peer.ended()
            await until(lambda: not server.connections)

    async def test_the_connection_limit(self, caplog: pytest.LogCaptureFixture) -> None:
        async with serving(echo_table(), max_connections=1) as server:
            peer = await connect(server)
            await accepted(server)
            assert await (await connect(server)).ended()
            assert (await peer.ask(10)).code == 0
            assert server.statistics().rejected_connections == 1
            assert "1 connections, the limit" in caplog.text
            await peer.stream.aclose()
            await until(lambda: not server.connections)
            assert (await (await connect(server)).ask(10)).code == 0

    async def test_an_idle_connection_is_closed(self, autojump_clock: trio.testing.MockClock) -> None:
        events: list[str] = []

        class Listener(ChannelListener):
            def on_idle(self, connection: Connection) -> None:
                events.append("idle")

            def on_close(self, connection: Connection) -> None:
                events.append(connection.close_reason)

        table = echo_table()
        config = RemotingServerConfig(server_channel_max_idle_time_seconds=120)
        async with serving(table, config, listeners=[Listener()]) as server:
            await connect(server)
            (connection,) = await accepted(server)
            await trio.sleep(100)
            connection.receive(request_bytes(10))
            await trio.sleep(100)
            assert not connection.closed
            await trio.sleep(30)
            assert connection.closed
            assert events == ["idle", "idle for 120 s"]
            assert server.statistics().idle_closed_connections == 1


class TestListeners:
    async def test_connect_exception_close_in_order_and_once(self) -> None:
        events: list[str] = []

        class Listener(ChannelListener):
            def on_connect(self, connection: Connection) -> None:
                events.append("connect")

            def on_exception(self, connection: Connection, error: BaseException) -> None:
                events.append("exception")
                raise RuntimeError("a listener's own failure harms nobody")

            def on_close(self, connection: Connection) -> None:
                events.append("close")

        async with serving(echo_table()) as server:
            server.add_listener(Listener())
            peer = await connect(server)
            await peer.send(b"\xff" * 20)
            assert await peer.ended()
            await until(lambda: "close" in events)
        assert events == ["connect", "exception", "close"]

    async def test_addresses(self) -> None:
        async with serving(echo_table()) as server:
            peer = await connect(server)
            (connection,) = await accepted(server)
            port = peer.stream.socket.getsockname()[1]  # type: ignore[attr-defined]
            assert connection.remote_address == f"127.0.0.1:{port}"
            assert connection.remote_host == bytes((127, 0, 0, 1)) + struct.pack(">i", port)
            assert connection.local_port == server.port
            assert not connection.secure
            assert f"127.0.0.1:{port}" in repr(connection)

    async def test_counters(self) -> None:
        async with serving(echo_table()) as server:
            peer = await connect(server)
            data = request_bytes(10, body=b"x" * 100)
            await peer.send(data)
            await peer.next()
            await peer.stream.aclose()
            await until(lambda: not server.connections)
            statistics = server.statistics()
            assert (statistics.received_bytes, statistics.received_requests) == (len(data), 1)
            assert (statistics.sent_frames, statistics.accepted_connections, statistics.connections) == (
                1,
                1,
                0,
            )


class TestRequestsToClients:
    async def test_an_invocation_over_an_accepted_connection(self) -> None:
        async with serving(echo_table()) as server:
            peer = await connect(server)
            (connection,) = await accepted(server)
            answers: list[RemotingCommand] = []

            async def invoke() -> None:
                answers.append(await connection.invoke(RemotingCommand.request(307), 5000))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(invoke)
                request = await peer.next()
                assert request.code == 307
                await peer.send(b"".join(encode_buffers(request.response(0, body=b"info"))))
            assert bytes(answers[0].body) == b"info"

    async def test_it_fails_when_the_client_goes(self) -> None:
        async with serving(echo_table()) as server:
            peer = await connect(server)
            (connection,) = await accepted(server)

            async def leave() -> None:
                await peer.next()
                await peer.stream.aclose()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(leave)
                with pytest.raises(SendError, match="ended"):
                    await connection.invoke(RemotingCommand.request(307), 5000)
            with pytest.raises(SendError, match="closed"):
                await connection.invoke(RemotingCommand.request(307), 5000)
            with pytest.raises(SendError, match="closed"):
                connection.oneway(RemotingCommand.request(40))

    async def test_it_times_out_and_a_late_answer_is_dropped(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        async with serving(echo_table()) as server:
            peer = await connect(server)
            (connection,) = await accepted(server)
            with pytest.raises(TimeoutError_, match=r"code 307 .* in 3000 ms"):
                await connection.invoke(RemotingCommand.request(307), 3000)
            assert trio.current_time() >= 3
            autojump_clock.autojump_threshold = float("inf")
            await peer.send(b"".join(encode_buffers((await peer.next()).response(0))))
            await until(lambda: connection.unmatched_responses == 1)
            assert (await peer.ask(10)).code == 0

    async def test_a_cancelled_invocation_is_forgotten(self) -> None:
        async with serving(echo_table()) as server:
            await connect(server)
            (connection,) = await accepted(server)
            with trio.CancelScope() as scope:
                scope.cancel()
                await connection.invoke(RemotingCommand.request(307), 3000)
            assert connection.statistics().pending_invocations == 0

    async def test_their_number_is_limited(self) -> None:
        async with serving(echo_table(), limits=ConnectionLimits(invocations=1)) as server:
            await connect(server)
            (connection,) = await accepted(server)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(connection.invoke, RemotingCommand.request(307), 5000)
                await until(lambda: connection.statistics().pending_invocations)
                with pytest.raises(TooMuchRequest):
                    await connection.invoke(RemotingCommand.request(307), 5000)
                nursery.cancel_scope.cancel()

    async def test_a_one_way_request(self) -> None:
        async with serving(echo_table()) as server:
            peer = await connect(server)
            (connection,) = await accepted(server)
            connection.oneway(RemotingCommand.request(40, {"consumerGroup": "g"}))
            request = await peer.next()
            assert request.is_oneway
            assert request.ext_fields == {"consumerGroup": "g"}


class TestEnding:
    async def test_draining_answers_what_is_in_flight_before_it_closes(self) -> None:
        release, started = trio.Event(), trio.Event()

        async def slow(_: Connection, request: RemotingCommand) -> RemotingCommand:
            started.set()
            await release.wait()
            return request.response(0)

        table = echo_table()
        table.task([12], slow)
        table.call([11], lambda connection, request: connection.held(request))
        async with serving(table) as server:
            peer, old = await connect(server), await connect(server)
            await old.send(request_bytes(11, opaque=6, version=475))
            await accepted(server, 2)
            await peer.send(request_bytes(11, opaque=2) + request_bytes(12, opaque=1))
            await started.wait()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(server.drain, 30)
                await until(lambda: server.draining)
                answer = await peer.ask(10, opaque=3)
                assert (answer.opaque, answer.code, answer.remark) == (3, 1500, "please go away")
                assert ((answer := await old.ask(10, opaque=7, version=475)).opaque, answer.code) == (7, 0)
                with pytest.raises(OSError, match=f"{server.port}"):
                    await trio.open_tcp_stream(HOST, server.port)
                release.set()
                assert ((answer := await peer.next()).opaque, answer.code) == (1, 0)
                assert ((answer := await peer.next()).opaque, answer.code) == (2, 1500)
                assert await peer.ended()
                assert await old.ended()

    async def test_one_way_requests_are_served_while_draining(self) -> None:
        served = trio.Event()
        release = trio.Event()

        async def slow(_: Connection, request: RemotingCommand) -> RemotingCommand:
            await release.wait()
            return request.response(0)

        table = ProcessorTable()
        table.task([12], slow)
        table.call([15], lambda *_: served.set())
        async with serving(table) as server:
            peer = await connect(server)
            await peer.send(request_bytes(12))
            await until(lambda: server.statistics().in_flight_requests)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(server.drain, 30)
                await until(lambda: server.draining)
                await peer.send(request_bytes(15, flag=2))
                await served.wait()
                release.set()

    async def test_draining_ends_at_its_time_limit(self, autojump_clock: trio.testing.MockClock) -> None:
        async def never(_: Connection, request: RemotingCommand) -> None:
            await trio.sleep_forever()

        table = ProcessorTable()
        table.task([12], never)
        async with serving(table) as server:
            peer = await connect(server)
            (connection,) = await accepted(server)
            connection.receive(request_bytes(12))
            start = trio.current_time()
            await server.drain(7)
            assert 7 <= trio.current_time() - start < 8
            assert await peer.ended()

    async def test_who_waits_hears_of_it_though_a_request_under_way_takes_all_the_time(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        async def never(_: Connection, request: RemotingCommand) -> None:
            await trio.sleep_forever()

        table = ProcessorTable()
        table.task([12], never)
        table.call([11], lambda connection, request: connection.held(request))
        async with serving(table) as server:
            peer, other = await connect(server), await connect(server)
            for connection in await accepted(server, 2):
                connection.receive(request_bytes(11, opaque=connection.remote_host[-1]))
            next(iter(server.connections)).receive(request_bytes(12))
            await server.drain(7)
            assert [(await each.next()).code for each in (peer, other)] == [1500, 1500]

    async def test_draining_sends_out_what_a_slow_reader_has_not_read(self) -> None:
        table = ProcessorTable()
        table.call([11], lambda _, request: request.response(0, body=bytes(8_000_000)))
        async with serving(table) as server:
            peer = await connect(server)
            await peer.send(request_bytes(11))
            await until(lambda: server.statistics().blocked_writes)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(server.drain, 30)
                await until(lambda: server.draining)
                assert len((await peer.next()).body) == 8_000_000

    async def test_draining_one_port_leaves_its_neighbour_alone(self) -> None:
        transport = Transport()
        reservation = transport.reserve_port_pair(HOST, 0)
        one = transport.sub_server("one", reservation, 0, echo_table())
        two = transport.sub_server("two", reservation, 1, echo_table())
        async with trio.open_nursery() as nursery:
            await nursery.start(one.serve)
            await nursery.start(two.serve)
            peer = await connect(two)
            await one.drain(1)
            assert (await peer.ask(10)).code == 0
            await until(lambda: len(transport.statistics().ports) == 1)
            assert transport.statistics().ports[0].name == "two"
            assert transport.statistics().connections == 1
            nursery.cancel_scope.cancel()

    async def test_cancelling_serve_closes_port_and_connections(self) -> None:
        async with serving(echo_table()) as server:
            peer = await connect(server)
            await accepted(server)
        assert await peer.ended()
        assert not server.connections
        with pytest.raises(OSError, match=f"{server.port}"):
            await trio.open_tcp_stream(HOST, server.port)

    async def test_close_ends_serve(self) -> None:
        async with serving(echo_table()) as server:
            peer = await connect(server)
            await accepted(server)
            server.close()
            assert await peer.ended()

    async def test_a_handler_may_close_its_own_connection(self) -> None:
        def close(connection: Connection, request: RemotingCommand) -> RemotingCommand:
            connection.close("told to")
            return echo(connection, request)

        table = echo_table()
        table.call([35], close)
        async with serving(table) as server:
            peer = await connect(server)
            await peer.send(request_bytes(35) + request_bytes(10))
            assert await peer.ended()


async def test_answers_under_one_cork_leave_at_its_end() -> None:
    held: list[tuple[Connection, RemotingCommand]] = []

    def hold(connection: Connection, request: RemotingCommand) -> None:
        connection.held(request)
        held.append((connection, request))

    table = ProcessorTable()
    table.call([11], hold)
    transport = Transport()
    with transport.reserve_ports(HOST, [0]) as reservation:
        server = transport.sub_server("corked", reservation, 0, table)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve)
        peer = await connect(server)
        await peer.send(b"".join(request_bytes(11, opaque=at) for at in range(20)))
        await until(lambda: len(held) == 20)
        with transport.corked():
            for connection, request in held:
                connection.reply(request, request.response(0))
            assert held[0][0].queued_bytes > 0
        assert held[0][0].queued_bytes == 0
        assert len(await peer.answers(20)) == 20
        nursery.cancel_scope.cancel()
