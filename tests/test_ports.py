"""Leases of ports between processes, and what keeps a port from being leased."""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.ports import NoPortLeftError, PortLeases, can_bind, lease_broker_port, lease_port

if TYPE_CHECKING:
    from collections.abc import Iterator

_REPOSITORY = Path(__file__).parent.parent
_OTHER = """
import sys
from pathlib import Path
from tests.ports import NoPortLeftError, PortLeases
leases = PortLeases(Path(sys.argv[1]), range(int(sys.argv[2]), int(sys.argv[3])))
ports = []
try:
    while True:
        ports.append(leases.lease())
except NoPortLeftError:
    print(*ports, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def ports() -> range:
    """Eight ports in a row."""
    first = lease_port(*range(1, 8))
    return range(first, first + 8)


@contextmanager
def all_leased_by_another(path: Path, ports: range) -> Iterator[list[int]]:
    """The ports that a process could lease, one by one until none was left; it keeps them in the block."""
    argv = [sys.executable, "-c", _OTHER, str(path), str(ports.start), str(ports.stop)]
    with subprocess.Popen(
        argv, cwd=_REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        yield [int(port) for port in other.stdout.readline().split()]
        other.kill()


def test_a_port_belongs_to_one_process_until_it_ends(tmp_path: Path, ports: range) -> None:
    leases = PortLeases(tmp_path / "leases", ports)
    ours = {leases.lease() for _ in range(3)}
    assert len(ours) == 3
    with all_leased_by_another(tmp_path / "leases", ports) as theirs:
        assert sorted({*ours, *theirs}) == sorted([*ours, *theirs]) == list(ports)
        with pytest.raises(NoPortLeftError):
            leases.lease()
    assert {leases.lease() for _ in theirs} == set(theirs)


def test_a_lease_is_for_all_ports_that_belong_together_or_none(tmp_path: Path, ports: range) -> None:
    leases = PortLeases(tmp_path / "leases", ports[2:3])
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", ports[3]))
        with pytest.raises(NoPortLeftError):
            leases.lease(-2, 1)
    with all_leased_by_another(tmp_path / "leases", ports) as theirs:
        assert sorted(theirs) == list(ports)
    assert leases.lease(-2, 1) == ports[2]
    with all_leased_by_another(tmp_path / "leases", ports) as theirs:
        assert sorted(theirs) == [ports[1], *ports[4:]]


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_bound_port_is_not_leased_although_it_may_be_reused(
    tmp_path: Path, ports: range, host: str
) -> None:
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind((host, ports[0]))
        with pytest.raises(NoPortLeftError):
            PortLeases(tmp_path / "leases", ports[:1]).lease()


def test_a_port_on_which_a_connection_has_just_ended_is_not_leased(tmp_path: Path, ports: range) -> None:
    """The server closes first, so that its port is the one in TIME_WAIT."""
    address = ("127.0.0.1", ports[0])
    with socket.create_server(address) as server, socket.create_connection(address) as client:
        server.accept()[0].close()
        assert client.recv(1) == b""
    with pytest.raises(NoPortLeftError):
        PortLeases(tmp_path / "leases", ports[:1]).lease()


def test_a_broker_s_three_ports_are_leased_together() -> None:
    first, second = lease_broker_port(), lease_broker_port()
    assert {first - 2, first, first + 1}.isdisjoint({second - 2, second, second + 1})
    assert all(can_bind(port + step) for port in (first, second) for step in (-2, 0, 1))
