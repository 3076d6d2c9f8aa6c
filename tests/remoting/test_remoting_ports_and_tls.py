"""Reserving ports; plain and encrypted peers on one port."""

import socket
import ssl
from pathlib import Path

import pytest
import trio
import trustme
from wire_rig import HOST, accepted, connect, echo_table, request_bytes, serving, until

from remoting import (
    ChannelListener,
    ConnectError,
    Connection,
    ConnectionLimits,
    RemotingClient,
    RemotingClientConfig,
    RemotingCommand,
    RemotingError,
    ReservationError,
    TlsConfigError,
    TlsMode,
    TlsSettings,
    Transport,
    reserve_port_pair,
    reserve_ports,
)
from remoting.ports import reserve_broker_ports
from remoting.tls import ClientAuth, KeyFiles


def is_free(port: int, host: str = HOST) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen()
        except OSError:
            return False
        return True


class TestPorts:
    def test_port_0_tells_its_number(self) -> None:
        with reserve_ports(HOST, [0, 0]) as reservation:
            assert len(set(reservation.ports)) == 2
            assert not any(is_free(port) for port in reservation.ports)
        assert all(is_free(port) for port in reservation.ports)

    def test_a_pair_is_two_apart(self) -> None:
        with reserve_port_pair(HOST, 0) as reservation:
            main, fast = reservation.ports
            assert main - fast == 2

    def test_a_pair_is_taken_whole_or_not_at_all(self) -> None:
        with reserve_port_pair(HOST, 0) as found:
            main, fast = found.ports
        with reserve_ports(HOST, [fast]):
            with pytest.raises(ReservationError, match=f"{HOST}:{fast}: the port is in use") as caught:
                reserve_port_pair(HOST, main)
            assert caught.value.port == fast
            assert is_free(main)
        with reserve_ports(HOST, [main]):
            with pytest.raises(ReservationError) as caught:
                reserve_port_pair(HOST, main)
            assert caught.value.port == main
            assert is_free(fast)

    def test_a_pair_needs_room_below(self) -> None:
        with pytest.raises(ReservationError, match="two below"):
            reserve_port_pair(HOST, 2)

    def test_a_broker_has_three_ports_of_which_the_third_is_only_kept(self) -> None:
        with reserve_broker_ports(HOST, 0) as reservation:
            main, fast, ha = reservation.ports
            assert (fast, ha) == (main - 2, main + 1)
            assert not any(map(is_free, reservation.ports))
            with socket.socket() as peer, pytest.raises(ConnectionRefusedError):
                peer.connect((HOST, ha))
        assert all(map(is_free, (main, fast, ha)))

    def test_a_port_that_is_only_kept_may_have_old_connections(self) -> None:
        with socket.socket() as server, socket.socket() as peer:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind((HOST, 0))
            server.listen()
            ha = server.getsockname()[1]
            peer.connect((HOST, ha))
            accepted, _ = server.accept()
            accepted.close()  # the side that closes first keeps the address for a while
        with reserve_broker_ports(HOST, 0, ha_port=ha) as reservation:
            assert reservation.ports[2] == ha

    def test_the_ports_of_a_broker_may_be_chosen(self) -> None:
        with reserve_ports(HOST, [0, 0, 0]) as found:
            main, fast, ha = found.ports
        with reserve_broker_ports(HOST, main, fast_port=fast, ha_port=ha) as reservation:
            assert reservation.ports == (main, fast, ha)
        with reserve_broker_ports(HOST, main, fast_port=0, ha_port=0) as reservation:
            assert reservation.ports[0] == main
            assert len(set(reservation.ports)) == 3

    def test_the_ports_of_a_broker_are_taken_whole_or_not_at_all(self) -> None:
        with reserve_broker_ports(HOST, 0) as found:
            main, fast, ha = found.ports
        for taken, name in ((main, "port"), (fast, "fast port"), (ha, "HA port")):
            others = {main, fast, ha} - {taken}
            with reserve_ports(HOST, [taken]):
                with pytest.raises(ReservationError, match=f"{HOST}:{taken}: the {name} is in use") as caught:
                    reserve_broker_ports(HOST, main)
                assert caught.value.port == taken
                assert all(map(is_free, others))

    @pytest.mark.parametrize(
        ("port", "others", "reason"),
        [
            (2, {}, "two below"),
            (65_535, {}, "above it for replication"),
            (20_911, {"fast_port": 20_911}, "the fast port and the listening port"),
            (20_911, {"ha_port": 20_909}, "the HA port and the fast port"),
        ],
    )
    def test_numbers_that_cannot_be_the_ports_of_a_broker(
        self, port: int, others: dict[str, int], reason: str
    ) -> None:
        with pytest.raises(ReservationError, match=reason):
            reserve_broker_ports(HOST, port, **others)

    @pytest.mark.parametrize(
        ("address", "port"), [("192.0.2.1", 0), ("no.such.host.invalid", 0), (HOST, 70000), (HOST, -1)]
    )
    def test_what_cannot_be_had_is_named(self, address: str, port: int) -> None:
        with pytest.raises(ReservationError, match=f"cannot listen on {address}:{port}: "):
            reserve_ports(address, [port])

    def test_a_port_is_taken_once(self) -> None:
        with reserve_ports(HOST, [0]) as reservation:
            reservation.take(0).close()
            with pytest.raises(ValueError, match="not reserved any more"):
                reservation.take(0)

    async def test_the_bind_address_is_honoured(self) -> None:
        transport = Transport()
        with transport.reserve_ports("127.0.0.2", [0]) as reservation:
            server = transport.sub_server("bound", reservation, 0, echo_table())
        async with trio.open_nursery() as nursery:
            await nursery.start(server.serve)
            assert (await (await connect(server, "127.0.0.2")).ask(10)).code == 0
            with pytest.raises(OSError, match="all attempts"):
                await connect(server, HOST)
            nursery.cancel_scope.cancel()

    async def test_ipv6_and_ipv4_together(self) -> None:
        transport = Transport()
        with transport.reserve_ports("::", [0]) as reservation:
            server = transport.sub_server("both", reservation, 0, echo_table())
        async with trio.open_nursery() as nursery:
            await nursery.start(server.serve)
            for host, packed in (("::1", bytes(15) + b"\1"), (HOST, bytes((127, 0, 0, 1)))):
                peer = await connect(server, host)
                assert (await peer.ask(10)).code == 0
                (connection,) = server.connections
                assert connection.remote_address.startswith(f"{host}:")
                assert connection.remote_host[:-4] == packed
                connection.close("done")
            nursery.cancel_scope.cancel()


TLS_CLIENT = RemotingClientConfig(use_tls=True)


async def answered(
    port: int, config: RemotingClientConfig | None = None, tls: TlsSettings | None = None
) -> bool:
    async with RemotingClient(config, tls=tls) as client:
        try:
            answer = await client.invoke(
                f"{HOST}:{port}", RemotingCommand.request(10, body=b"x" * 300_000), 5000
            )
        except RemotingError:
            return False
        return len(answer.body) == 300_000


class TestTls:
    async def test_permissive_takes_both(self) -> None:
        async with serving(echo_table()) as server:
            assert await answered(server.port)
            assert await answered(server.port, TLS_CLIENT)

    async def test_enforcing_takes_tls_only(self, caplog: pytest.LogCaptureFixture) -> None:
        async with serving(echo_table(), tls=TlsSettings(mode=TlsMode.ENFORCING)) as server:
            assert await answered(server.port, tls=TlsSettings(enabled=True))
            assert not await answered(server.port)
            assert "TLS is enforced" in caplog.text

    async def test_disabled_takes_plain_text_only(self) -> None:
        async with serving(echo_table(), tls=TlsSettings(mode=TlsMode.DISABLED)) as server:
            assert await answered(server.port)
            assert not await answered(server.port, TLS_CLIENT)

    async def test_an_encrypted_connection_knows_it_and_can_be_asked(self) -> None:
        async with serving(echo_table()) as server, RemotingClient(TLS_CLIENT) as client:
            assert (await client.connection(f"{HOST}:{server.port}")).secure
            await client.invoke(f"{HOST}:{server.port}", RemotingCommand.request(10), 5000)
            (connection,) = server.connections
            assert connection.secure
            assert (await connection.invoke(RemotingCommand.request(307), 5000)).code == 3

    async def test_draining_an_encrypted_connection(self) -> None:
        async with serving(echo_table()) as server, RemotingClient(TLS_CLIENT) as client:
            assert (await client.invoke(f"{HOST}:{server.port}", RemotingCommand.request(10), 5000)).code == 0
            await server.drain(5)
            assert not server.connections

    async def test_who_does_not_read_an_encrypted_connection_is_cut_with_a_log_line(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        table = echo_table()
        table.call([11], lambda _, request: request.response(0, body=bytes(1_000_000)))
        async with serving(table, limits=ConnectionLimits(queued_bytes=3_000_000)) as server:
            peer = await connect(server)
            context = TlsSettings(enabled=True).client_context()
            stream = trio.SSLStream(peer.stream, context, https_compatible=True)
            for _ in range(1000):
                try:
                    await stream.send_all(request_bytes(11))
                except trio.BrokenResourceError:
                    break
            await until(lambda: not server.connections)
            assert "does not read its answers" in caplog.text
            assert server.load.queued_bytes == 0
            assert await answered(server.port, TLS_CLIENT)

    async def test_half_a_handshake_ends_only_itself(self) -> None:
        async with serving(echo_table()) as server:
            peer = await connect(server)
            await peer.send(b"\x16\x03\x01\x00\x05nonse")
            assert await peer.ended()
            assert await answered(server.port, TLS_CLIENT)

    async def test_a_handshake_that_stalls_is_given_up(
        self, autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        ended = trio.Event()

        class Listener(ChannelListener):
            def on_close(self, connection: Connection) -> None:
                ended.set()

        autojump_clock.autojump_threshold = float("inf")
        transport = Transport()
        await transport.tls_context()
        with transport.reserve_ports(HOST, [0]) as reservation:
            server = transport.sub_server("stalled", reservation, 0, echo_table(), listeners=[Listener()])
        async with trio.open_nursery() as nursery:
            await nursery.start(server.serve)
            peer = await connect(server)
            await peer.send(b"\x16\x03\x01")
            (connection,) = await accepted(server)
            autojump_clock.autojump_threshold = 0.05
            with trio.fail_after(30):
                await ended.wait()
            assert connection.closed
            assert trio.current_time() < 15
            assert "TLS handshake failed" in caplog.text
            nursery.cancel_scope.cancel()


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def write_pem(directory: Path, name: str, *blobs: trustme.Blob) -> str:
    path = directory / name
    for blob in blobs:
        blob.write_to_path(path, append=True)
    return str(path)


class TestCertificates:
    def settings(self, authority: trustme.CA, directory: Path, **server: str) -> TlsSettings:
        certificate = authority.issue_cert("broker.example")
        properties = {
            "tls.test.mode.enable": "false",
            "tls.server.keyPath": write_pem(directory, "key.pem", certificate.private_key_pem),
            "tls.server.certPath": write_pem(directory, "cert.pem", *certificate.cert_chain_pems),
            "tls.server.trustCertPath": write_pem(directory, "ca.pem", authority.cert_pem),
            "tls.client.trustCertPath": str(directory / "ca.pem"),
            "tls.client.authServer": "true",
            "tls.enable": "true",
            **server,
        }
        return TlsSettings.from_properties(properties)

    async def test_a_client_that_verifies_accepts_only_its_authority(
        self, authority: trustme.CA, tmp_path: Path
    ) -> None:
        tls = self.settings(authority, tmp_path)
        async with serving(echo_table(), tls=tls) as server:
            assert await answered(server.port, tls=tls)
            other = KeyFiles(trust_cert_path=write_pem(tmp_path, "other.pem", trustme.CA().cert_pem))
            strict = TlsSettings(enabled=True, test_mode=False, auth_server=True, client=other)
            assert not await answered(server.port, tls=strict)

    async def test_a_server_that_requires_certificates(self, authority: trustme.CA, tmp_path: Path) -> None:
        require = {"tls.server.need.client.auth": "require", "tls.server.authClient": "true"}
        tls = self.settings(authority, tmp_path, **require)
        async with serving(echo_table(), tls=tls) as server:
            assert not await answered(server.port, tls=tls)
            mine = authority.issue_cert("client.example")
            keys = {
                "tls.client.keyPath": write_pem(tmp_path, "mine.key", mine.private_key_pem),
                "tls.client.certPath": write_pem(tmp_path, "mine.pem", *mine.cert_chain_pems),
            }
            (tmp_path / "second").mkdir()
            known = self.settings(authority, tmp_path / "second", **keys)
            assert await answered(server.port, tls=known)

    @pytest.mark.parametrize(
        ("properties", "text"),
        [
            ({"tls.server.mode": "sometimes"}, "tls.server.mode=sometimes: allowed are disabled, permissive"),
            ({"tls.server.need.client.auth": "x"}, "allowed are none, optional, require"),
        ],
    )
    def test_wrong_values_are_named(self, properties: dict[str, str], text: str) -> None:
        with pytest.raises(TlsConfigError, match=text):
            TlsSettings.from_properties(properties)

    def test_missing_files_are_named(self, tmp_path: Path) -> None:
        with pytest.raises(TlsConfigError, match=r"tls\.server\.keyPath"):
            Transport(tls=TlsSettings(test_mode=False))
        files = KeyFiles(key_path=str(tmp_path / "none.key"), cert_path=str(tmp_path / "none.pem"))
        with pytest.raises(TlsConfigError, match=r"none\.pem"):
            Transport(tls=TlsSettings(test_mode=False, server=files))
        trust = KeyFiles(trust_cert_path=str(tmp_path / "none.ca"))
        with pytest.raises(TlsConfigError, match=r"none\.ca"):
            TlsSettings(test_mode=False, auth_server=True, client=trust).client_context()

    def test_defaults_are_javas(self) -> None:
        settings = TlsSettings.from_properties({})
        assert settings == TlsSettings()
        assert (settings.mode, settings.test_mode, settings.enabled) == (TlsMode.PERMISSIVE, True, False)
        assert settings.need_client_auth is ClientAuth.NONE
        assert settings.server_context().verify_mode == ssl.CERT_NONE

    def test_passwords_are_not_shown(self) -> None:
        assert "geheim" not in repr(TlsSettings.from_properties({"tls.server.keyPassword": "geheim"}))

    async def test_no_server_there(self) -> None:
        with reserve_ports(HOST, [0]) as reservation:
            port = reservation.ports[0]
        async with RemotingClient(TLS_CLIENT) as client:
            with pytest.raises(ConnectError):
                await client.connection(f"{HOST}:{port}")
