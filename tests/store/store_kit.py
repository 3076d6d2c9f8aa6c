"""What the store's tests share: small files, disks that fail or lose power on demand, one-line messages."""

from __future__ import annotations

import os
import tarfile
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from remoting.protocol.message import decode_messages, encode_host
from store import ManualClock, Message, MessageStore, MessageStoreConfig, OsFileSystem
from store.errors import StoreIOError
from store.files import DiskSpace
from tests.simulation.disk import SimulatedDisk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

FIXTURE = Path(__file__).parent / "fixtures" / "java-5.5.0-store.tar.xz"
BORN = encode_host("10.1.2.3", 4567)
START_MS = 1_700_000_000_000
ALL_TIME = (0, 1 << 62)
ROOT = "/s"
"""Where a store lies on a `new_disk`."""


def small_config(root: Path | str, **changes: Any) -> MessageStoreConfig:
    settings: dict[str, Any] = {
        "store_path_root_dir": str(root),
        "mapped_file_size_commit_log": 4096,
        "mapped_file_size_consume_queue": 200,
        "max_hash_slot_num": 100,
        "max_index_num": 400,
        "disk_max_used_space_ratio": 100,
        "disk_space_reserved_bytes": 0,
    }
    return MessageStoreConfig(**(settings | changes))


def make_store(root: Path | str, **changes: Any) -> MessageStore:
    files = changes.pop("files", None)
    clock = changes.pop("clock", None) or ManualClock(START_MS)
    host = changes.pop("store_host", ("10.9.8.7", 10911))
    return MessageStore(
        small_config(root, **changes), broker_name="broker-a", store_host=host, files=files, clock=clock
    )


def opened(root: Path | str, **changes: Any) -> MessageStore:
    store = make_store(root, **changes)
    store.reserve()
    store.load()
    return store


def a_second_later(store: MessageStore) -> None:
    """What the running store does a second after a write found no space."""
    store._cleaner._write_failed = False
    store._cleaner.measure()


def checkpointed(store: MessageStore) -> None:
    """What the services of a running store do in time: all is on the device, and the checkpoint says so."""
    store._log.sync_from(0)
    store._flush.flushed_timestamp = store._last_store_timestamp
    store._dispatcher.flushed(store._log.tail)
    store._behind.write_blocking()
    store._behind.sync_blocking(store._dispatcher.timestamp)


def closed(store: MessageStore, *, clean: bool = True) -> None:
    """Stop in order, or leave everything as a killed process would (memory is lost)."""
    if clean:
        store.shutdown()
    store.release()


@contextmanager
def open_store(root: Path | str, **changes: Any) -> Iterator[MessageStore]:
    store = opened(root, **changes)
    try:
        yield store
    finally:
        closed(store)


@asynccontextmanager
async def running(store: MessageStore) -> AsyncIterator[MessageStore]:
    async with trio.open_nursery() as nursery:
        await nursery.start(store.run)
        yield store
        nursery.cancel_scope.cancel()


def message(
    number: int = 0,
    topic: str = "TopicTest",
    queue_id: int = 0,
    *,
    body: bytes | None = None,
    sys_flag: int = 0,
    keys: tuple[str, ...] | None = None,
    tags: str = "",
    born_host: bytes = BORN,
    extra: str = "",
) -> Message:
    from remoting.protocol.message import tags_code

    keys = (f"U{number:08d}",) if keys is None else keys
    text = "".join(f"UNIQ_KEY\x01{key}\x02" for key in keys[:1])
    text += f"KEYS\x01{' '.join(keys[1:])}\x02" if keys[1:] else ""
    text += f"TAGS\x01{tags}\x02" if tags else ""
    return Message(
        topic,
        queue_id,
        number,
        sys_flag,
        START_MS - 5,
        born_host,
        f"body-{number}".encode() if body is None else body,
        (text + extra).encode(),
        tags_code(tags),
        keys,
    )


def put_ok(store: MessageStore, *messages: Message) -> list[Any]:
    results = store.put(messages)
    assert [result.status.name for result in results] == ["PUT_OK"] * len(messages)
    return results


def bodies(store: MessageStore, topic: str = "TopicTest", queue_id: int = 0) -> list[bytes]:
    """Every readable body of a queue, read from min to max offset."""
    found: list[bytes] = []
    offset = store.min_offset(topic, queue_id)
    while 0 <= offset < store.max_offset(topic, queue_id):
        result = store._reader.get(topic, queue_id, offset, 32, 1 << 20, None, blocking=True)
        assert result is not None
        assert result.next_begin_offset > offset, result
        for buffer in result.buffers:
            found += [item.body for item in decode_messages(buffer)]
        offset = result.next_begin_offset
    return found


def queried(store: MessageStore, key: str, topic: str = "TopicTest") -> list[bytes]:
    result = store.query(topic, key, 64, *ALL_TIME)
    return [item.body for buffer in result.buffers for item in decode_messages(buffer)]


def unpack_java_store(target: Path) -> Path:
    with tarfile.open(FIXTURE) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # Python 3.11.4
        archive.extractall(target)
    return target


def new_disk(seed: int = 0) -> SimulatedDisk:
    """A disk that can lose power, on which the directory `ROOT` is durable."""
    disk = SimulatedDisk(seed)
    disk.makedirs(ROOT)
    disk.sync_directory("/")
    return disk


class FaultyDisk(OsFileSystem):
    """A disk whose operations can be watched, blocked or made to fail.

    `hook(operation, path, detail)` runs before each pwrite and pread (detail: bytes), truncate,
    fdatasync, open and remove; it may raise `StoreIOError` by `fail`.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.hook: Callable[[str, str, int], None] = lambda _operation, _path, _detail: None
        self.always_cold = False

    def _before(self, operation: str, path: str, detail: int = 0) -> None:
        self.calls.append((operation, path))
        self.hook(operation, path, detail)

    def open(self, path: str, *, create: bool = False, writable: bool = True) -> Any:
        self._before("create" if create else "open", path)
        return _FaultyFile(self, super().open(path, create=create, writable=writable))

    def remove(self, path: str) -> None:
        self._before("remove", path)
        super().remove(path)

    def count(self, operation: str, part: str) -> int:
        return sum(1 for name, path in self.calls if name == operation and part in path)


class SizedDisk(FaultyDisk):
    """Partitions of a million bytes whose fill is what the test says; `fills` by a part of the path."""

    def __init__(self) -> None:
        super().__init__()
        self.used = 0.1
        self.fills: dict[str, float] = {}

    def space(self, path: str) -> DiskSpace:
        if not self.exists(path):
            return super().space(path)
        used = next((used for part, used in self.fills.items() if part in path), self.used)
        free = round(1_000_000 * (1 - used))
        return DiskSpace(1_000_000, free, free)


class _FaultyFile:
    def __init__(self, disk: FaultyDisk, inner: Any) -> None:
        self._disk = disk
        self._inner = inner
        self.path = inner.path

    def pwrite(self, data: bytes, offset: int) -> None:
        self._disk._before("pwrite", self.path, len(data))
        self._inner.pwrite(data, offset)

    def fdatasync(self) -> None:
        self._disk._before("fdatasync", self.path)
        self._inner.fdatasync()

    def truncate(self, size: int) -> None:
        self._disk._before("truncate", self.path, size)
        self._inner.truncate(size)

    def pread(self, size: int, offset: int) -> bytes:
        self._disk._before("pread", self.path, size)
        return bytes(self._inner.pread(size, offset))

    def pread_nowait(self, size: int, offset: int) -> bytes | None:
        self._disk._before("pread", self.path, size)
        return None if self._disk.always_cold else self._inner.pread_nowait(size, offset)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def fail(number: int, path: str, operation: str = "write") -> None:
    raise StoreIOError(OSError(number, os.strerror(number)), operation, path)


def failing(operation: str, part: str, number: int) -> Callable[[str, str, int], None]:
    """A hook: `operation` on a path that contains `part` fails with errno `number`."""

    def hook(name: str, path: str, _detail: int) -> None:
        if name == operation and part in path:
            fail(number, path, operation)

    return hook
