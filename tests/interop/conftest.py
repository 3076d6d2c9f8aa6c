"""Fixtures: the peers, the cluster under test, and one driver JVM for the whole session."""

from __future__ import annotations

import functools
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from tests.interop import peers
from tests.interop.cluster import Cluster, JavaCluster, OurCluster
from tests.interop.java import Driver
from tests.interop.peers import JavaPeer, PeerUnavailableError

T = TypeVar("T")

_HERE = Path(__file__).parent
_names = itertools.count(1)
_live_clusters: list[Cluster] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.interop)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Failures carry the last lines of the servers that ran."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.failed:
        for cluster in _live_clusters:
            report.sections.append((f"servers of {cluster.name_server}", cluster.tails()))


def _peer(resolve: Callable[[], T]) -> T:
    """The peer, or the reason to skip; with MQBC_REQUIRE_INTEROP=1 the reason fails the test instead."""
    try:
        return resolve()
    except PeerUnavailableError as reason:
        if os.environ.get("MQBC_REQUIRE_INTEROP") == "1":
            pytest.fail(f"MQBC_REQUIRE_INTEROP is set and a peer is missing: {reason}", pytrace=False)
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def java_peer() -> JavaPeer:
    return _peer(peers.java)


@pytest.fixture(scope="session")
def go_client() -> list[str]:
    return [str(_peer(peers.go_client))]


@pytest.fixture(scope="session")
def node_client() -> list[str]:
    return _peer(peers.node_client)


@pytest.fixture(scope="session")
def cpp_client() -> list[str]:
    return [str(_peer(peers.cpp_python)), str(_HERE / "cpp" / "client.py")]


@pytest.fixture(scope="session")
def junit_libraries() -> Path:
    return _peer(peers.junit)


@pytest.fixture(scope="session")
def work_directory() -> Iterator[Path]:
    """Homes and stores of all children; kept when MQBC_KEEP names a directory."""
    kept = os.environ.get("MQBC_KEEP")
    if kept:
        path = Path(kept)
        path.mkdir(parents=True, exist_ok=True)
        yield path
        return
    path = Path(tempfile.mkdtemp(prefix="mqbc-interop-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def new_home(work_directory: Path) -> Callable[[str], Path]:
    """Makes a fresh directory for a child."""

    def make(name: str) -> Path:
        path = work_directory / f"{name}-{next(_names)}"
        path.mkdir()
        return path

    return make


ClusterMaker = Callable[..., Cluster]


def _cluster_maker(make: ClusterMaker) -> Iterator[ClusterMaker]:
    made: list[Cluster] = []

    def make_and_keep(**options: object) -> Cluster:
        cluster = make(**options)
        made.append(cluster)
        _live_clusters.append(cluster)
        cluster.start()
        return cluster

    yield make_and_keep
    for cluster in made:
        cluster.close()
        _live_clusters.remove(cluster)


@pytest.fixture(scope="session")
def system_under_test() -> str:
    """`ours`, or `java` when MQBC_SUT says so."""
    name = os.environ.get("MQBC_SUT", "ours")
    assert name in ("ours", "java"), f"MQBC_SUT is {name!r}; known are 'ours' and 'java'"
    return name


@pytest.fixture(scope="session")
def session_clusters(
    system_under_test: str, java_peer: JavaPeer, new_home: Callable[[str], Path]
) -> Iterator[ClusterMaker]:
    """Starts clusters under test that live as long as the session; options as for `OurCluster`."""
    yield from _cluster_maker(_maker_of(system_under_test, java_peer, new_home))


@pytest.fixture
def new_cluster(
    system_under_test: str, java_peer: JavaPeer, new_home: Callable[[str], Path]
) -> Iterator[ClusterMaker]:
    """Starts clusters under test for one test."""
    yield from _cluster_maker(_maker_of(system_under_test, java_peer, new_home))


@pytest.fixture
def new_java_cluster(java_peer: JavaPeer, new_home: Callable[[str], Path]) -> Iterator[ClusterMaker]:
    """Starts Java clusters for one test, whatever is under test; nobody asks them for TLS."""
    yield from _cluster_maker(functools.partial(_maker_of("java", java_peer, new_home), tls=False))


def _maker_of(system: str, java_peer: JavaPeer, new_home: Callable[[str], Path]) -> ClusterMaker:
    def make(**options: object) -> Cluster:
        if system == "java":
            return JavaCluster(java_peer, new_home("java"), **options)  # type: ignore[arg-type]
        return OurCluster(new_home("ours"), **options)  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def cluster(session_clusters: ClusterMaker) -> Cluster:
    """The cluster that all tests share which do not stop it."""
    return session_clusters()


@pytest.fixture(scope="session")
def driver(cluster: Cluster, java_peer: JavaPeer, new_home: Callable[[str], Path]) -> Iterator[Driver]:
    """One JVM with Java clients of `cluster`."""
    with Driver(java_peer, home=new_home("driver"), name_server=cluster.name_server) as driver:
        yield driver


@pytest.fixture
def unique() -> Callable[[str], str]:
    """Names of topics and groups that no other test uses."""

    def name(stem: str) -> str:
        return f"{stem}_{next(_names)}_{os.getpid()}"

    return name
