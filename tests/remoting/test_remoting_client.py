"""The client and the name server list over real sockets."""

import errno
import socket

import pytest
import trio
from wire_rig import HOST, accepted, echo_table, serving, until

from remoting import (
    ConnectError,
    Connection,
    LocalFault,
    NameServers,
    ProcessorTable,
    RemotingClient,
    RemotingClientConfig,
    RemotingCommand,
    RemotingError,
    SendError,
    TimeoutError_,
    TooMuchRequest,
    reserve_ports,
)
from remoting.name_servers import parse_addresses
from remoting.sockets import failure_reason, split_address

pytestmark = pytest.mark.usefixtures("way_of_reading")


def address(server: object) -> str:
    return f"{HOST}:{server.port}"  # type: ignore[attr-defined]


def free_address() -> str:
    """Where nobody listens."""
    with reserve_ports(HOST, [0]) as reservation:
        return f"{HOST}:{reservation.ports[0]}"


async def never(_: Connection, request: RemotingCommand) -> None:
    await trio.sleep_forever()


@pytest.mark.parametrize("kind", ["JSON", "ROCKETMQ"])
async def test_requests_and_answers_in_both_serializations(kind: str) -> None:
    async with (
        serving(echo_table()) as server,
        RemotingClient(RemotingClientConfig(serialize_type=kind)) as client,
    ):
        answer = await client.invoke(address(server), RemotingCommand.request(10, {"a": "é"}, b"b"), 5000)
        assert (answer.code, answer.ext_fields, bytes(answer.body)) == (0, {"a": "é"}, b"b")


async def test_many_requests_share_one_connection_and_find_their_answers() -> None:
    async with serving(echo_table()) as server, RemotingClient() as client:

        async def ask(number: int) -> None:
            answer = await client.invoke(
                address(server), RemotingCommand.request(10, {"n": str(number)}), 5000
            )
            assert answer.ext_fields == {"n": str(number)}

        async with trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(ask, number)
        assert client.statistics().connects == 1
        assert server.statistics().accepted_connections == 1


async def test_it_reconnects_at_the_next_use() -> None:
    async with serving(echo_table()) as server, RemotingClient() as client:
        closed: list[str] = []
        client.on_close = lambda connection: closed.append(connection.remote_address)
        await client.invoke(address(server), RemotingCommand.request(10), 5000)
        (accepted_one,) = server.connections
        accepted_one.close("the server wants so")
        await until(lambda: closed)
        assert (await client.invoke(address(server), RemotingCommand.request(10), 5000)).code == 0
        assert closed == [address(server)]
        assert (client.statistics().connects, client.statistics().lost_connections) == (2, 1)


async def test_closing_a_connection_on_purpose() -> None:
    async with serving(echo_table()) as server, RemotingClient() as client:
        connection = await client.connection(address(server))
        client.close_connection(address(server))
        assert connection.closed
        assert (await client.connection(address(server))) is not connection
        client.close_connection("nobody:1")


async def test_a_request_fails_when_its_connection_ends() -> None:
    table = ProcessorTable()
    table.call([11], lambda connection, _: connection.close("bye"))
    async with serving(table) as server, RemotingClient() as client:
        with pytest.raises(SendError):
            await client.invoke(address(server), RemotingCommand.request(11), 5000)


async def test_nobody_listens_and_the_text_says_what_the_system_said() -> None:
    nobody = free_address()
    async with RemotingClient() as client:
        with pytest.raises(ConnectError) as caught:
            await client.invoke(nobody, RemotingCommand.request(10), 5000)
        assert str(caught.value) == f"cannot connect to {nobody}: connection refused"
        assert client.statistics().failed_connects == 1


def test_the_reasons_of_all_addresses_of_a_host_stand_side_by_side() -> None:
    refused = ConnectionRefusedError(errno.ECONNREFUSED, "Error connecting to ('::1', 1)")
    unreachable = OSError(errno.ENETUNREACH, "Error connecting to ('10.0.0.1', 1)")
    error = OSError("all attempts failed")
    error.__cause__ = ExceptionGroup("all attempts failed", [refused, unreachable, refused])
    assert failure_reason(error) == "connection refused and network is unreachable"
    assert failure_reason(socket.gaierror(-2, "Name or service not known")) == "name or service not known"
    assert failure_reason(OSError("not within 3 ms")) == "not within 3 ms"
    assert failure_reason(trio.ClosedResourceError()) == "ClosedResourceError"


@pytest.mark.parametrize("text", ["", "host", "host:", ":1", "host:0", "host:65536", "host:x", "host:²"])
async def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="not an address"):
        split_address(text)
    async with RemotingClient() as client:
        with pytest.raises(ConnectError, match="not an address"):
            await client.connection(text)


def test_addresses() -> None:
    assert split_address("h:9876") == ("h", 9876)
    assert split_address("[::1]:9876") == split_address("::1:9876") == ("::1", 9876)
    assert parse_addresses(" a:1;b:2 ,c:3;") == ("a:1", "b:2", "c:3")
    assert parse_addresses(None) == ()


async def test_a_late_answer_is_a_timeout_and_closes_a_silent_connection(
    autojump_clock: trio.testing.MockClock,
) -> None:
    table = echo_table()
    table.task([12], never)
    async with serving(table) as server, RemotingClient() as client:
        connection = await client.connection(address(server))
        with pytest.raises(TimeoutError_):
            await client.invoke(address(server), RemotingCommand.request(12), 3000)
        assert 3 <= trio.current_time() < 4
        assert connection.closed
        assert client.statistics().timeouts == 1


async def test_a_silent_connection_stays_if_it_is_said_so(autojump_clock: trio.testing.MockClock) -> None:
    table = ProcessorTable()
    table.task([12], never)
    config = RemotingClientConfig(client_close_socket_if_timeout=False)
    async with serving(table) as server, RemotingClient(config) as client:
        connection = await client.connection(address(server))
        with pytest.raises(TimeoutError_):
            await client.invoke(address(server), RemotingCommand.request(12), 3000)
        assert not connection.closed


async def test_an_idle_connection_is_closed(autojump_clock: trio.testing.MockClock) -> None:
    config = RemotingClientConfig(client_channel_max_idle_time_seconds=10)
    async with serving(echo_table()) as server, RemotingClient(config) as client:
        connection = await client.connection(address(server))
        await trio.sleep(20)
        assert connection.close_reason == "idle for 10 s"


async def test_requests_above_the_limit_are_refused_here() -> None:
    table = ProcessorTable()
    table.task([12], never)
    config = RemotingClientConfig(client_async_semaphore_value=1)
    async with serving(table) as server, RemotingClient(config) as client, trio.open_nursery() as nursery:
        connection = await client.connection(address(server))
        nursery.start_soon(client.invoke, address(server), RemotingCommand.request(12), 60_000)
        await until(lambda: connection.statistics().pending_invocations)
        with pytest.raises(TooMuchRequest):
            await client.invoke(address(server), RemotingCommand.request(12), 60_000)
        nursery.cancel_scope.cancel()


async def test_one_opaque_cannot_wait_twice() -> None:
    table = ProcessorTable()
    table.task([12], never)
    async with serving(table) as server, RemotingClient() as client, trio.open_nursery() as nursery:
        connection = await client.connection(address(server))
        request = RemotingCommand.request(12)
        nursery.start_soon(connection.invoke, request, 60_000)
        await until(lambda: connection.statistics().pending_invocations)
        with pytest.raises(LocalFault, match="opaque"):
            await connection.invoke(request, 60_000)
        assert connection.statistics().pending_invocations == 1
        nursery.cancel_scope.cancel()


async def test_callbacks_get_the_answer_or_the_error() -> None:
    results: list[RemotingCommand | RemotingError] = []

    def callback(result: RemotingCommand | RemotingError) -> None:
        results.append(result)
        raise RuntimeError("its own failure harms nobody")

    async with serving(echo_table()) as server, RemotingClient() as client:
        client.invoke_callback(address(server), RemotingCommand.request(10), 5000, callback)
        await until(lambda: results)
        client.invoke_callback(free_address(), RemotingCommand.request(10), 5000, callback)
        await until(lambda: len(results) == 2)
    assert isinstance(results[0], RemotingCommand)
    assert isinstance(results[1], ConnectError)


async def test_one_way() -> None:
    arrived = trio.Event()
    table = ProcessorTable()
    table.call([15], lambda _, request: arrived.set() if request.is_oneway else None)
    async with serving(table) as server, RemotingClient() as client:
        await client.oneway(address(server), RemotingCommand.request(15), 5000)
        with trio.fail_after(10):
            await arrived.wait()


async def test_the_server_can_ask_the_client() -> None:
    processors = ProcessorTable()
    processors.call([307], lambda _, request: request.response(0, body=b"running"))
    async with serving(echo_table()) as server, RemotingClient(processors=processors) as client:
        await client.connection(address(server))
        (connection,) = await accepted(server)
        answer = await connection.invoke(RemotingCommand.request(307), 5000)
        assert bytes(answer.body) == b"running"
        assert (await connection.invoke(RemotingCommand.request(999), 5000)).code == 3


async def test_a_server_that_goes_away_is_asked_once_more_over_a_new_connection() -> None:
    ports: set[str] = set()

    def go_away_first(connection: Connection, request: RemotingCommand) -> RemotingCommand:
        ports.add(connection.remote_address)
        return request.response(1500 if len(ports) == 1 else 0)

    table = ProcessorTable()
    table.call([10], go_away_first)
    async with serving(table) as server, RemotingClient() as client:
        assert (await client.invoke(address(server), RemotingCommand.request(10), 5000)).code == 0
        assert len(ports) == 2
    ports.clear()
    config = RemotingClientConfig(enable_reconnect_for_go_away=False)
    async with serving(table) as server, RemotingClient(config) as client:
        assert (await client.invoke(address(server), RemotingCommand.request(10), 5000)).code == 1500


async def test_a_client_that_is_not_open() -> None:
    client = RemotingClient()
    with pytest.raises(LocalFault, match="not open"):
        await client.connection("127.0.0.1:1")
    with pytest.raises(LocalFault, match="not open"):
        client.invoke_callback("127.0.0.1:1", RemotingCommand.request(10), 1, lambda _: None)
    async with client:
        pass
    with pytest.raises(LocalFault, match="not open"):
        await client.invoke("127.0.0.1:1", RemotingCommand.request(10), 1000)


async def test_leaving_the_client_closes_its_connections() -> None:
    async with serving(echo_table()) as server:
        async with RemotingClient() as client:
            connection = await client.connection(address(server))
        assert connection.closed
        await until(lambda: not server.connections)


async def test_cancelling_a_request_leaves_the_connection_usable() -> None:
    table = echo_table()
    table.task([12], never)
    async with serving(table) as server, RemotingClient() as client:
        connection = await client.connection(address(server))
        with trio.move_on_after(0.01):
            await client.invoke(address(server), RemotingCommand.request(12), 60_000)
        assert (await client.invoke(address(server), RemotingCommand.request(10), 5000)).code == 0
        assert connection is await client.connection(address(server))


async def test_cancelling_a_large_request_in_mid_write_keeps_the_frames_whole() -> None:
    async with serving(echo_table()) as server, RemotingClient() as client:
        body = bytes(8_000_000)
        with trio.CancelScope() as scope:
            scope.cancel()
            await (await client.connection(address(server))).invoke(
                RemotingCommand.request(10, body=body), 5000
            )
        connection = await client.connection(address(server))
        with trio.CancelScope() as scope:
            scope.cancel()
            await connection.invoke(RemotingCommand.request(10, body=body), 5000)
        assert (await connection.invoke(RemotingCommand.request(10, body=b"after"), 5000)).code == 0


class TestNameServers:
    async def test_one_that_fails_is_followed_by_the_next_and_stays_out(self) -> None:
        async with serving(echo_table()) as server, RemotingClient() as client:
            servers = NameServers(client, [free_address(), address(server)])
            assert (await servers.invoke_any(RemotingCommand.request(10), 5000)).code == 0
            assert servers.chosen == address(server)
            await servers.invoke_any(RemotingCommand.request(10), 5000)
            assert client.statistics().failed_connects == 1

    async def test_any_answer_counts(self) -> None:
        async with serving(echo_table()) as server, RemotingClient() as client:
            servers = NameServers(client, [address(server), free_address()])
            assert (await servers.invoke_any(RemotingCommand.request(999), 5000)).code == 3

    async def test_all_fail_or_none_is_known(self) -> None:
        async with RemotingClient() as client:
            with pytest.raises(ConnectError, match="cannot connect"):
                await NameServers(client, [free_address(), free_address()]).invoke_any(
                    RemotingCommand.request(10), 5000
                )
            with pytest.raises(ConnectError, match="no name server"):
                await NameServers(client, []).invoke_any(RemotingCommand.request(10), 5000)

    async def test_all_are_told(self) -> None:
        async with serving(echo_table()) as one, serving(echo_table()) as two, RemotingClient() as client:
            nobody = free_address()
            servers = NameServers(client, [address(one), nobody, address(two)])
            results = await servers.invoke_all(RemotingCommand.request(10), 5000)
            assert list(results) == [address(one), nobody, address(two)]
            assert isinstance(results[address(one)], RemotingCommand)
            assert isinstance(results[nobody], ConnectError)
            assert isinstance(results[address(two)], RemotingCommand)
            await servers.oneway_all(RemotingCommand.request(10), 5000)
            await until(lambda: two.statistics().received_requests == 2)

    async def test_a_new_list_keeps_the_chosen_one(self) -> None:
        async with RemotingClient() as client:
            servers = NameServers(client, ["a:1", "b:2", "a:1"])
            assert servers.addresses == ("a:1", "b:2")
            servers.update(["b:2", "a:1"])
            assert servers.chosen == "a:1"
            servers.update(["c:3"])
            assert servers.chosen == "c:3"
            servers.update([])
            assert servers.chosen is None


async def test_an_error_of_the_block_comes_out_as_it_is() -> None:
    mine = ValueError("mine")
    with pytest.raises(ValueError, match="mine") as caught:
        async with RemotingClient():
            raise mine
    assert caught.value is mine


async def test_a_cancelled_block_ends_the_client() -> None:
    with trio.CancelScope() as scope:
        async with serving(echo_table()) as server, RemotingClient() as client:
            await client.invoke(address(server), RemotingCommand.request(10, {}, b""), 5000)
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught
