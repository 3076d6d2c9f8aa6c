"""Where the black boxes come from: each peer is resolved by its own package manager into a cache directory.

The cache is `$MQBC_INTEROP_CACHE` or `~/.cache/mqbrokercontainer/interop`. Every peer gets a directory whose
name holds a digest of the files that describe it (pom.xml, go.mod, package.json, sources), so a change of one
of them resolves anew and a second run costs nothing. A half-made directory is never used: it gets its name
when it is complete.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = [
    "JavaPeer",
    "NatsPeer",
    "PeerUnavailableError",
    "cpp_python",
    "go_client",
    "java",
    "junit",
    "nats",
    "node_client",
    "python_environment",
]

_HERE = Path(__file__).parent
_RESOLVE_TIMEOUT_S = 600


class PeerUnavailableError(Exception):
    """A peer cannot be had on this machine; the text is the reason."""


@attrs.frozen
class JavaPeer:
    """RocketMQ 5.5.0 for Java: the class path holds its jars and our compiled driver."""

    java: str
    class_path: str


@attrs.frozen
class NatsPeer:
    """The NATS server and our publisher, two executables."""

    server: Path
    publisher: Path


def _cache_root() -> Path:
    configured = os.environ.get("MQBC_INTEROP_CACHE")
    return Path(configured) if configured else Path.home() / ".cache" / "mqbrokercontainer" / "interop"


def _tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise PeerUnavailableError(f"{name} is not on the PATH")
    return found


def _run(argv: Sequence[str], *, cwd: Path) -> str:
    try:
        done = subprocess.run(
            argv,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_RESOLVE_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise PeerUnavailableError(f"{' '.join(argv[:3])} … took more than {_RESOLVE_TIMEOUT_S} s") from None
    output = done.stdout.decode("utf-8", "replace")
    if done.returncode != 0:
        raise PeerUnavailableError(f"{' '.join(argv[:3])} … failed ({done.returncode}):\n{output[-3000:]}")
    return output


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _resolved(name: str, sources: Sequence[Path], make: Callable[[Path], None]) -> Path:
    """The directory of peer `name`; `make` fills it from `sources` unless an earlier run did."""
    digest = hashlib.sha256()
    for source in sorted(sources):
        digest.update(os.path.relpath(source, _HERE).encode() + b"\0" + source.read_bytes())
    root = _cache_root()
    directory = root / f"{name}-{digest.hexdigest()[:16]}"
    with _locked(root / f"{name}.lock"):
        if directory.is_dir():
            return directory
        unfinished = Path(tempfile.mkdtemp(prefix=f"{name}-unfinished-", dir=root))
        try:
            make(unfinished)
            unfinished.rename(directory)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
    return directory


def _maven_libraries(name: str, pom: Path) -> Path:
    """The jars that a pom depends on, fetched by Maven."""
    maven = _tool("mvn")

    def make(directory: Path) -> None:
        shutil.copy(pom, directory / "pom.xml")
        _run(
            [
                maven,
                "--batch-mode",
                "--quiet",
                "dependency:copy-dependencies",
                f"-DoutputDirectory={directory / 'lib'}",
            ],
            cwd=directory,
        )

    return _resolved(name, [pom], make) / "lib"


@functools.cache
def _java_libraries() -> Path:
    return _maven_libraries("java-libraries", _HERE / "java" / "pom.xml")


@functools.cache
def junit() -> Path:
    """The directory with JUnit's console launcher and everything it needs."""
    return _maven_libraries("junit", _HERE / "junit" / "pom.xml")


@functools.cache
def java() -> JavaPeer:
    """Maven Central's RocketMQ with our driver compiled against it. Needs a JDK 17 and Maven."""
    machine, compiler = _tool("java"), _tool("javac")
    libraries = _java_libraries()
    sources = sorted((_HERE / "java" / "src").rglob("*.java"))

    def make(directory: Path) -> None:
        _run(
            [
                compiler,
                "--release",
                "17",
                "-proc:none",
                "-nowarn",
                "-cp",
                f"{libraries}/*",
                "-d",
                str(directory),
            ]
            + [str(source) for source in sources],
            cwd=directory,
        )

    driver = _resolved("java-driver", [*sources, _HERE / "java" / "pom.xml"], make)
    return JavaPeer(java=machine, class_path=f"{driver}:{libraries}/*")


@functools.cache
def go_client() -> Path:
    """The executable of our Go test program."""
    go = _tool("go")
    sources = [_HERE / "go" / name for name in ("go.mod", "go.sum", "main.go")]

    def make(directory: Path) -> None:
        for source in sources:
            shutil.copy(source, directory)
        _run([go, "build", "-mod=readonly", "-o", "client", "."], cwd=directory)

    return _resolved("go-client", sources, make) / "client"


@functools.cache
def nats() -> NatsPeer:
    """NATS with our publisher, built from the module that the benchmarks keep. Needs Go."""
    go = _tool("go")
    module = _HERE.parents[1] / "benchmarks" / "nats"
    sources = [module / name for name in ("go.mod", "go.sum", "main.go")]

    def make(directory: Path) -> None:
        for source in sources:
            shutil.copy(source, directory)
        build = [go, "build", "-mod=readonly", "-o"]
        _run([*build, "publisher", "."], cwd=directory)
        _run([*build, "nats-server", "github.com/nats-io/nats-server/v2"], cwd=directory)

    directory = _resolved("nats", sources, make)
    return NatsPeer(server=directory / "nats-server", publisher=directory / "publisher")


@functools.cache
def node_client() -> list[str]:
    """The command of our Node test program, beside its installed packages."""
    node, npm = _tool("node"), _tool("npm")
    sources = [_HERE / "node" / name for name in ("package.json", "client.js")]

    def make(directory: Path) -> None:
        for source in sources:
            shutil.copy(source, directory)
        _run(
            [npm, "install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund"],
            cwd=directory,
        )

    return [node, str(_resolved("node-client", sources, make) / "client.js")]


@functools.cache
def cpp_python() -> Path:
    """The interpreter of a virtual environment that holds the wheel with the C++ client inside."""
    requirements = _HERE / "cpp" / "requirements.txt"

    def make(directory: Path) -> None:
        environment = directory / "environment"
        _run([sys.executable, "-m", "venv", str(environment)], cwd=directory)
        python = str(environment / "bin" / "python")
        _run([python, "-m", "pip", "install", "--quiet", "--no-deps", "-r", str(requirements)], cwd=directory)
        _run([python, "-c", "import rocketmq.client"], cwd=directory)

    return _resolved("cpp-client", [requirements], make) / "environment" / "bin" / "python"


@functools.cache
def python_environment(python: str) -> Path:
    """The interpreter of a virtual environment of `python`, with what we need to run."""
    version = _run([python, "-I", "-c", "import sys; print(sys.version, sys.base_prefix)"], cwd=_HERE)
    requirements = _HERE.parents[1] / "requirements" / "run.txt"

    def make(directory: Path) -> None:
        environment = directory / "environment"
        _run([python, "-I", "-m", "venv", str(environment)], cwd=directory)
        own = str(environment / "bin" / "python")
        _run(
            [own, "-I", "-m", "pip", "install", "--quiet", "--no-deps", "-r", str(requirements)],
            cwd=directory,
        )
        _run([own, "-I", "-c", "import trio"], cwd=directory)

    name = f"python-{hashlib.sha256(version.encode()).hexdigest()[:8]}"
    return _resolved(name, [requirements], make) / "environment" / "bin" / "python"
