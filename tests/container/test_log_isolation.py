"""Every line has one home: the directory of the isolated broker that it belongs to, else the root.

Who a line belongs to is found out independently of the log: a record factory looks at the call stack for
objects of a broker (by its identity, its directory or its port) and writes the owner into the message.
"""

from __future__ import annotations

import json
import logging
import re
import socket
import sys
from collections import Counter
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, cast

import attrs
import psutil
import pytest
import trio

import logs
from broker.config import BrokerConfig
from container import BrokerState, InnerBroker, open_container
from logs import BrokerIdentity, LogSettings
from remoting.client import RemotingClient
from remoting.command import RemotingCommand
from remoting.config import RemotingClientConfig
from remoting.errors import RemotingError
from remoting.protocol.request_code import RequestCode
from store import FlushDiskType, MessageStoreConfig, OsFileSystem, StoreIOError
from tests.send_fields import send_fields

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import FrameType

    from container import BrokerContainer
    from store.files import StoreFile

ROOMS = {"broker", "container", "namesrv", "remoting", "store"}
SHARED = {
    "BrokerContainer",
    "BrokerSupervisor",
    "Claims",
    "ContainerProcessor",
    "Cork",
    "PathRegistry",
    "Transport",
}
"""Objects that know several brokers and are nobody's."""

PROCESS = "process"
NOBODY = ""
"""No object of a broker is on the stack: the client of the test, the shared transport."""


@pytest.fixture(autouse=True)
def _nothing_installed() -> Iterator[None]:
    yield
    logs.uninstall()


class Owners:
    """Finds the broker to which the code on the stack belongs.

    Args:
        directory: below which each broker has the directory of its name.
        names: of the brokers.
    """

    def __init__(self, directory: Path, names: list[str]) -> None:
        self._names = names
        self._path = re.compile(re.escape(str(directory)) + r"/(\w+)(?:/|$)")
        self._known: dict[int, tuple[object, str]] = {}
        self.records = 0

    def on_stack(self) -> set[str]:
        found: set[str] = set()
        frame: FrameType | None = sys._getframe(2)
        while frame is not None:
            own = frame.f_locals.get("self")
            if own is not None and _is_ours(own):
                of_frame = self._of(own)
                if not of_frame:  # a service that runs what others hand it
                    others = [getattr(value, "__self__", None) for value in frame.f_locals.values()]
                    of_frame = set().union(*(self._of(other) for other in others if _is_ours(other)))
                found |= of_frame
            frame = frame.f_back
        return found

    def _of(self, thing: object) -> set[str]:
        known = self._known.get(id(thing))
        if known is not None and known[0] is thing:
            return {known[1]}
        found = self._search(thing)
        if len(found) == 1:
            self._known[id(thing)] = (thing, next(iter(found)))
        return found

    def _search(self, thing: object) -> set[str]:
        """Breadth first through attributes: the nearest objects that name a broker count."""
        level, seen = [thing], {id(thing)}
        for _ in range(4):
            found = {name for one in level if (name := self._name(one)) is not None}
            if found:
                return found
            following = []
            for one in level:
                for value in _attributes(one):
                    if id(value) not in seen:
                        seen.add(id(value))
                        following.append(value)
            level = following
        return set()

    def _name(self, thing: object) -> str | None:
        if isinstance(thing, BrokerIdentity):
            return thing.name
        if isinstance(thing, str):
            match = self._path.match(thing)
            if match is not None and match[1] in self._names:
                return match[1]
            return next((name for name in self._names if thing.startswith(f"DefaultCluster_{name}_0")), None)
        return None


def _is_ours(thing: object) -> bool:
    return type(thing).__module__.partition(".")[0] in ROOMS and type(thing).__name__ not in SHARED


def _attributes(thing: object) -> Iterator[object]:
    if not _is_ours(thing):
        return
    yield from getattr(thing, "__dict__", {}).values()
    for cls in type(thing).__mro__:
        for slot in cast("tuple[str, ...]", cls.__dict__.get("__slots__", ())):
            if slot != "__weakref__" and hasattr(thing, slot):
                yield getattr(thing, slot)


@contextmanager
def owners_in_every_line(owners: Owners) -> Iterator[None]:
    """Ends each message of `rocketmq.*` with its owner: `~name~`."""
    usual = logging.getLogRecordFactory()

    def make(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = usual(*args, **kwargs)
        if record.name.startswith("rocketmq."):
            about_process = record.name.split(".")[1] in ("container", "namesrv")
            found = {PROCESS} if about_process else owners.on_stack() or {NOBODY}
            record.msg = f"{record.msg} ~{'+'.join(sorted(found))}~"
            owners.records += 1
        return record

    logging.setLogRecordFactory(make)
    try:
        yield
    finally:
        logging.setLogRecordFactory(usual)


class BreakableDisk(OsFileSystem):
    """A disk whose part of one broker fails when that is said."""

    def __init__(self) -> None:
        self.broken: str | None = None

    def open(self, path: str, *, create: bool = False, writable: bool = True) -> StoreFile:
        return cast(
            "StoreFile", _BreakableFile(super().open(path, create=create, writable=writable), path, self)
        )


@attrs.frozen
class _BreakableFile:
    file: StoreFile
    path: str
    disk: BreakableDisk

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def fdatasync(self) -> None:
        if self.disk.broken is not None and f"/{self.disk.broken}/" in self.path:
            raise StoreIOError(OSError(5, "Input/output error"), "fdatasync", self.path)
        self.file.fdatasync()


def a_broker(
    directory: Path, name: str, *, isolated: bool, port: int = 0
) -> tuple[BrokerConfig, MessageStoreConfig]:
    return (
        BrokerConfig(broker_name=name, listen_port=port, broker_ip1="127.0.0.1", isolate_log_enable=isolated),
        MessageStoreConfig(
            store_path_root_dir=str(directory / name),
            flush_disk_type=FlushDiskType.SYNC_FLUSH,
            mapped_file_size_commit_log=1 << 20,
            mapped_file_size_consume_queue=20_000,
            max_hash_slot_num=1000,
            max_index_num=4000,
        ),
    )


def a_send(topic: str, body: bytes) -> RemotingCommand:
    return RemotingCommand.request(RequestCode.SEND_MESSAGE, send_fields(topic, group=f"PG_{topic}"), body)


def heartbeat(name: str) -> RemotingCommand:
    consumer = {
        "groupName": f"CG_{name}",
        "consumeType": "CONSUME_PASSIVELY",
        "messageModel": "CLUSTERING",
        "consumeFromWhere": "CONSUME_FROM_LAST_OFFSET",
        "subscriptionDataSet": [{"topic": f"T_{name}", "subString": "*", "subVersion": 1}],
    }
    body = {
        "clientID": f"client@{name}",
        "producerDataSet": [{"groupName": f"PG_{name}"}],
        "consumerDataSet": [consumer],
    }
    return RemotingCommand.request(RequestCode.HEART_BEAT, {}, json.dumps(body).encode())


async def trouble(address: str, name: str) -> None:
    """Good and bad requests of every kind that the broker has something to say about."""
    async with RemotingClient(RemotingClientConfig()) as client, trio.open_nursery() as nursery:

        async def ask(request: RemotingCommand) -> None:
            with suppress(RemotingError):  # of the one that dies
                await client.invoke(address, request, 5000)

        for number in range(100):
            nursery.start_soon(ask, a_send(f"T_{name}", b"%d" % number))
        nursery.start_soon(ask, a_send(f"T_{name}", b"x" * (5 << 20)))  # too big
        nursery.start_soon(ask, a_send("", b"x"))
        nursery.start_soon(ask, heartbeat(name))
        nursery.start_soon(ask, RemotingCommand.request(RequestCode.SEND_MESSAGE, {"queueId": "many"}, b""))
        nursery.start_soon(ask, RemotingCommand.request(RequestCode.HEART_BEAT, {}, b"{"))
        nursery.start_soon(ask, RemotingCommand.request(9999, {}, b""))
        nursery.start_soon(
            ask, RemotingCommand.request(RequestCode.UPDATE_BROKER_CONFIG, {}, b"maxMessageSize=4194304\n")
        )
        nursery.start_soon(
            ask,
            RemotingCommand.request(
                RequestCode.UPDATE_AND_CREATE_TOPIC,
                {
                    "topic": f"made_{name}",
                    "defaultTopic": "TBW102",
                    "readQueueNums": "1",
                    "writeQueueNums": "1",
                    "perm": "6",
                    "topicFilterType": "SINGLE_TAG",
                    "topicSysFlag": "0",
                    "order": "false",
                },
                b"",
            ),
        )
    host, _, port = address.rpartition(":")
    for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 64):
        stream = await trio.open_tcp_stream(host, int(port))
        await stream.send_all(garbage)
        assert await stream.receive_some(1) == b""
        await stream.aclose()


def address_of(inner: InnerBroker) -> str:
    assert inner.broker is not None
    return inner.broker.address


async def until_dead(inner: InnerBroker) -> None:
    async with RemotingClient(RemotingClientConfig()) as client:
        with suppress(RemotingError):  # it may close the connection before the answer is out
            await client.invoke(address_of(inner), a_send("T_doomed", b"last"), 5000)
    await inner.wait_closed()
    assert inner.state is BrokerState.FAILED


MARKED = re.compile(r" ~([\w+]*)~$")


def check_homes(root: Path, isolated: set[str], shared: set[str]) -> Counter[tuple[str, str]]:
    """Looks at every line; returns how many there are by owner and file."""
    counted: Counter[tuple[str, str]] = Counter()
    strays = []
    for path in sorted(root.rglob("*.log")):
        home = path.parent.relative_to(root).as_posix()
        for line in path.read_text().splitlines():
            match = MARKED.search(line)
            if match is None:
                continue  # of a traceback, written in one piece with the line before
            owner = match[1]
            wanted = f"DefaultCluster_{owner}_0" if owner in isolated else "."
            named = f" #DefaultCluster_{owner}_0#" in line
            if home != wanted or named != (owner in shared) or "+" in owner:
                strays.append(f"{path.relative_to(root)}: {line}")
            if owner == NOBODY and any(
                re.search(rf"[TG]_{name}\b|/{name}/|_{name}_0", line) for name in (*isolated, *shared)
            ):
                strays.append(f"nobody's? {path.relative_to(root)}: {line}")
            counted[owner, path.name] += 1
    assert not strays, "\n".join(strays)
    return counted


ISOLATED = {"alive", "doomed", "stillborn", "twin"}


async def a_life(directory: Path, disk: BreakableDisk, taken: int, *, dies: bool) -> None:
    brokers = [
        a_broker(directory, "alive", isolated=True),
        a_broker(directory, "doomed", isolated=True),
        a_broker(directory, "common", isolated=False),
        a_broker(directory, "stillborn", isolated=True, port=taken),
    ]
    twin, _ = a_broker(directory, "twin", isolated=True)
    _, same_store = a_broker(directory, "alive", isolated=True)
    async with open_container([*brokers, (twin, same_store)], directory=directory, files=disk) as container:
        inner = {one.identity.name: one for one in container.get_broker_controllers()}
        assert set(inner) == {"alive", "doomed", "common"}
        async with trio.open_nursery() as nursery:
            for name, one in inner.items():
                nursery.start_soon(trouble, address_of(one), name)
        await move_name_servers(container)
        if dies:
            disk.broken = "doomed"
            await until_dead(inner["doomed"])
            disk.broken = None
        for name in ("alive", "common"):
            await trouble(address_of(inner[name]), name)
        assert await container.remove_broker(inner["alive"].identity) is not None


async def move_name_servers(container: BrokerContainer) -> None:
    """By request on the container's port: its task makes the brokers' tasks start others."""
    known = container.name_servers
    assert container.broker_container_addr is not None
    async with RemotingClient(RemotingClientConfig()) as client:
        for name_servers in ([*known, "127.0.0.1:1"], known):
            body = f"namesrvAddr={';'.join(name_servers)}\n".encode()
            request = RemotingCommand.request(RequestCode.UPDATE_BROKER_CONFIG, {}, body)
            assert (await client.invoke(container.broker_container_addr, request, 5000)).code == 0
            for inner in container.get_broker_controllers():
                if inner.broker is not None and inner.broker.context is not None:
                    await inner.broker.context.registration.settled()


async def test_every_line_of_every_broker_is_at_home(tmp_path: Path) -> None:
    root = tmp_path / "log"
    disk = BreakableDisk()
    owners = Owners(tmp_path, [*ISOLATED, "common"])
    logs.install(LogSettings(root=root, level=logging.DEBUG, queue_bytes=1 << 30))
    with socket.create_server(("127.0.0.1", 0)) as blocker, owners_in_every_line(owners):
        taken = blocker.getsockname()[1]
        await a_life(tmp_path, disk, taken, dies=True)
        await a_life(tmp_path, disk, taken, dies=False)  # which recovers, also after the crash
    logs.uninstall()

    counted = check_homes(root, ISOLATED, {"common"})
    assert sum(counted.values()) == owners.records
    for name in ("alive", "doomed", "common"):
        for file in ("broker.log", "store.log", "remoting.log"):
            assert counted[name, file] > 0, (name, file)
    assert counted["stillborn", "broker.log"] > 0
    assert counted["twin", "broker.log"] > 0
    assert counted[PROCESS, "broker.log"] > 0
    assert counted[PROCESS, "namesrv.log"] > 0


async def test_why_a_broker_failed_is_in_its_own_log_and_in_the_containers(tmp_path: Path) -> None:
    root = tmp_path / "log"
    disk = BreakableDisk()
    logs.install(LogSettings(root=root))
    with socket.create_server(("127.0.0.1", 0)) as blocker:
        await a_life(tmp_path, disk, blocker.getsockname()[1], dies=True)
    logs.uninstall()
    of_container = (root / "broker.log").read_text()
    for name, reason in (
        ("doomed", "Input/output error"),
        ("stillborn", "the port is in use by another process"),
        ("twin", "is already in use in this container by DefaultCluster_alive_0"),
    ):
        own = (root / f"DefaultCluster_{name}_0" / "broker.log").read_text()
        assert reason in own
        (short,) = re.findall(rf"ERROR MainThread - broker DefaultCluster_{name}_0 failed: .*", of_container)
        assert reason in short


async def test_isolation_is_changed_by_request_while_the_broker_runs(tmp_path: Path) -> None:
    root = tmp_path / "log"
    logs.install(LogSettings(root=root))
    own = root / "DefaultCluster_a_0" / "broker.log"
    async with (
        open_container([a_broker(tmp_path, "a", isolated=False)], directory=tmp_path) as container,
        RemotingClient(RemotingClientConfig()) as client,
    ):
        (inner,) = container.get_broker_controllers()

        async def update(text: str) -> None:
            request = RemotingCommand.request(RequestCode.UPDATE_BROKER_CONFIG, {}, text.encode())
            assert (await client.invoke(address_of(inner), request, 5000)).code == 0
            assert logs.flush()

        assert not own.exists()
        await update("isolateLogEnable=true\n")
        before = own.read_text()
        assert "isolateLogEnable" in before
        await update("isolateLogEnable=false\n")
        assert own.read_text() == before
        assert "#DefaultCluster_a_0#MainThread - configuration changed" in (root / "broker.log").read_text()


async def test_brokers_of_two_containers_with_the_same_identity_are_told_apart(tmp_path: Path) -> None:
    root = tmp_path / "log"
    logs.install(LogSettings(root=root))
    async with (
        open_container([a_broker(tmp_path / "1", "a", isolated=True)], directory=tmp_path / "1") as first,
        open_container([a_broker(tmp_path / "2", "a", isolated=False)], directory=tmp_path / "2") as second,
        RemotingClient(RemotingClientConfig()) as client,
    ):
        for container, topic in ((first, "TopicOfFirst"), (second, "TopicOfSecond")):
            (inner,) = container.get_broker_controllers()
            assert (await client.invoke(address_of(inner), a_send(topic, b"x"), 5000)).code == 0
    logs.uninstall()
    own = (root / "DefaultCluster_a_0" / "broker.log").read_text()
    of_all = (root / "broker.log").read_text()
    assert ("TopicOfFirst" in own, "TopicOfSecond" in own) == (True, False)
    assert ("TopicOfFirst" in of_all, "TopicOfSecond" in of_all) == (False, True)


async def test_brokers_that_come_and_go_leave_no_log_file_open(tmp_path: Path) -> None:
    root = tmp_path / "log"
    logs.install(LogSettings(root=root))
    async with open_container(directory=tmp_path) as container:
        for number in range(3):
            config, store = a_broker(tmp_path, f"b{number}", isolated=True)
            inner = await container.add_broker(config, store)
            await container.remove_broker(inner.identity)
        assert await trio.to_thread.run_sync(logs.flush)
        still_open = [file.path for file in psutil.Process().open_files() if str(root) in file.path]
    assert [path for path in still_open if "DefaultCluster_b" in path] == []
    assert len(list(root.glob("DefaultCluster_b*_0/broker.log"))) == 3


async def test_a_log_disk_that_takes_nothing_stops_no_broker(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("a file where the directory should be")
    logs.install(LogSettings(root=tmp_path / "log", level=logging.DEBUG))
    async with (
        open_container([a_broker(tmp_path, "a", isolated=True)], directory=tmp_path) as container,
        RemotingClient(RemotingClientConfig()) as client,
    ):
        (inner,) = container.get_broker_controllers()
        assert (await client.invoke(address_of(inner), a_send("T", b"x"), 5000)).code == 0
        assert await trio.to_thread.run_sync(logs.flush)
        counts = logs.statistics()
        warnings = (await container.status()).warnings
    assert counts is not None
    assert any("broker.log were lost: File exists" in warning for warning in warnings), warnings
    assert counts.written_lines == 0
    assert counts.dropped_by("DefaultCluster_a_0") > 0
