"""A disk in memory that can lose power, fail and fill up, the same way each time for one seed.

`SimulatedDisk` is a `store.files.FileSystem`; the real store runs on it unchanged. It keeps apart what
a program sees (the page cache) and what the device holds:

- A write changes the page cache. Its bytes reach the device with the next ``fdatasync`` of the file,
  or at any moment before: each page on its own, in any order, torn between sectors or within one.
- The size of a file changes on the device in the order of the changes, all of them or the first few.
- A name (create, rename, remove) reaches the device with the next sync of its directory, or at any
  moment before. `Names` says how much order a power loss leaves between names.
- After an ``fdatasync`` that failed some dirty pages are on the device and some are not, and all count
  as clean: the next ``fdatasync`` says that all is well (Linux since 4.13).

What a crash leaves is chosen by the `Random` that `SimulatedDisk.crash` gets; all other choices come
from the disk's seed.
"""

from __future__ import annotations

import errno
import os
import weakref
from functools import lru_cache
from random import Random
from threading import RLock
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

import attrs

from store.errors import StoreIOError, StoreLockedError
from store.files import DiskSpace, FileLock, FileSystem, StoreFile
from tests.simulation.handles import SimulatedFile, SimulatedLock, disk_error
from tests.simulation.pages import PagedFile

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Names", "Operation", "SimulatedDisk", "SimulatedFile", "UnwrittenRead"]

Names: TypeAlias = Literal["posix", "journal"]
"""What a power loss may do to names whose directory was not synced since they changed.

``posix``: each stays or is lost by itself, and a sync of one directory says nothing about another.
``journal``: as in ext4 and xfs. Changes stay up to some moment and are lost from there on, in all
directories; the sync of a directory, or of a file that grew or got new pages, makes all durable that
was before it.
"""

_LOCK_TEXT = b"lock"

_above = lru_cache(10_000)(os.path.dirname)
_name = lru_cache(10_000)(os.path.basename)


@lru_cache(10_000)
def _normal(path: str) -> str:
    return os.path.normpath(f"/{path.lstrip('/')}")


class Operation(NamedTuple):
    """One operation as the replay of a failing seed prints it."""

    name: str
    path: str
    detail: str

    def __str__(self) -> str:
        return f"{self.name} {self.path} {self.detail}".rstrip()


class UnwrittenRead(NamedTuple):
    """A read met bytes that nobody ever wrote (it got zeros): from `offset` to `end` lies at least one."""

    path: str
    offset: int
    end: int


@attrs.frozen
class _Change:
    """One change of a directory that is not durable yet. `moved_from` is the old name of a rename."""

    number: int
    name: str
    node: _Node | None
    moved_from: str | None = None

    def apply(self, entries: dict[str, _Node]) -> None:
        if self.moved_from is not None:
            entries.pop(self.moved_from, None)
        if self.node is None:
            entries.pop(self.name, None)
        else:
            entries[self.name] = self.node


@attrs.define(eq=False)
class _Directory:
    entries: dict[str, _Node] = attrs.field(factory=dict)
    durable: dict[str, _Node] = attrs.field(factory=dict)
    pending: list[_Change] = attrs.field(factory=list)

    def change(self, change: _Change) -> None:
        change.apply(self.entries)
        self.pending.append(change)

    def synced(self) -> None:
        self.durable = dict(self.entries)
        self.pending.clear()


_Node: TypeAlias = "PagedFile | _Directory"


class SimulatedDisk:
    """A `FileSystem` of one partition.

    Args:
        seed: Decides everything that is left to chance, but for `crash`.
        capacity_bytes: Size of the partition. Only written pages take space; a write beyond it
            writes what fits and then fails with ENOSPC.
        page_bytes: Unit of space and of what a power loss keeps or drops.

    Attributes:
        fail: Asked before each operation with its name (as `StoreIOError.operation` has it) and path; an
            errno makes the operation fail with it. What `fail` raises passes through: a crash in the midst of
            things. `exists`, `is_directory`, `real_path` and `pread_nowait` are not asked about.
        partial_write: Share of the bytes that a failing write leaves in the file, 0.0 to 1.0;
            None leaves it to the seed.
        cold: Share of `pread_nowait` that say "not in the page cache".
        now_ms: The clock of modification times.
        memory: What `memory_bytes` tells.
        operations: What was done, oldest first, failed attempts included.
        unwritten_reads: Reads by `pread` of bytes never written (or lost); see also `was_written`.
        life: Counts the crashes: handles of another life are dead.
    """

    def __init__(self, seed: int, *, capacity_bytes: int = 1 << 62, page_bytes: int = 4096) -> None:
        self._random = Random(seed)
        self.capacity_bytes = capacity_bytes
        self.page_bytes = page_bytes
        self.fail: Callable[[str, str], int | None] | None = None
        self.partial_write: float | None = None
        self.cold = 0.0
        self.now_ms: Callable[[], int] = lambda: 0
        self.memory = 8 << 30
        self.operations: list[Operation] = []
        self.unwritten_reads: list[UnwrittenRead] = []
        self.life = 0
        self.mutex = RLock()
        self._root = _Directory()
        self._directories: dict[str, _Directory] = {"/": self._root}
        self._handles: dict[SimulatedFile, None] = {}
        self._locks: set[str] = set()
        self._views: list[weakref.ref[memoryview]] = []
        self._used = 0
        self._changes = 0
        self._journalled = 0

    def __repr__(self) -> str:
        return f"<SimulatedDisk life={self.life} used={self._used} handles={len(self._handles)}>"

    # What tests ask and do.

    def crash(self, random: Random, keep: Literal["process", "power"], *, names: Names = "posix") -> None:
        """End the program that used the disk; with ``power`` the machine too.

        All handles are dead (use raises `RuntimeError`, `close` and `release` do nothing), locks are
        free, mappings are released (`ValueError`), but for slices that somebody cut from them.

        Args:
            random: Chooses what stays after a power loss.
            keep: ``process`` keeps all that was written, ``power`` any part of what was not synced.
            names: What a power loss does to names.
        """
        with self.mutex:
            self.operations.append(Operation("crash", "", f"{keep} {names}" if keep == "power" else keep))
            self.life += 1
            for handle in self._handles:
                handle.inode.handles = 0
            self._handles.clear()
            self._locks.clear()
            for view in self._views:
                mapping = view()
                if mapping is not None:
                    mapping.release()
            self._views.clear()
            if keep == "power":
                self._lose_power(random, names)
            for inode in self._inodes():
                inode.forget_mappings()
            self._used = sum(each.allocated_bytes for each in self._inodes())

    def open_handles(self) -> list[str]:
        """Paths of all open files, with those of locks, sorted."""
        with self.mutex:
            return sorted(handle.path for handle in self._handles)

    def paths(self) -> list[str]:
        """All files, sorted."""
        with self.mutex:
            return sorted(
                os.path.join(path, name)
                for path, directory in self._directories.items()
                for name, node in directory.entries.items()
                if isinstance(node, PagedFile)
            )

    def contents(self, path: str) -> bytes:
        """All bytes of a file, as the page cache has them; no operation."""
        with self.mutex:
            inode = self._file(path, "read")
            return inode.read(inode.size, 0)

    def was_written(self, path: str, offset: int, size: int) -> bool:
        """Whether each of these bytes was written by somebody and not lost since."""
        with self.mutex:
            return self._file(path, "read").first_unwritten(offset, offset + size) is None

    def unsynced_bytes(self, path: str) -> int:
        """Bytes in pages of a file that a power loss may take."""
        with self.mutex:
            return self._file(path, "read").dirty_pages * self.page_bytes

    @property
    def used_bytes(self) -> int:
        return self._used

    # FileSystem.

    def open(self, path: str, *, create: bool = False, writable: bool = True) -> SimulatedFile:
        with self.mutex:
            path = self.real_path(path)
            self.before("open", path, "create" if create else "" if writable else "read only")
            return self._opened(path, "open", create=create, writable=writable)

    def listdir(self, path: str) -> list[str]:
        with self.mutex:
            path = self.real_path(path)
            self.before("list", path)
            node = self._node(path, "list")
            if isinstance(node, PagedFile):
                raise disk_error(errno.ENOTDIR, "list", path)
            return [] if node is None else sorted(node.entries)

    def is_directory(self, path: str) -> bool:
        with self.mutex:
            return self.real_path(path) in self._directories

    def exists(self, path: str) -> bool:
        with self.mutex:
            path = self.real_path(path)
            parent = self._directories.get(_above(path))
            return path == "/" or (parent is not None and _name(path) in parent.entries)

    def file_size(self, path: str) -> int:
        with self.mutex:
            path = self.real_path(path)
            self.before("stat", path)
            return self._file(path, "stat").size

    def modified_ms(self, path: str) -> int:
        with self.mutex:
            path = self.real_path(path)
            self.before("stat", path)
            return self._file(path, "stat").modified_ms

    def makedirs(self, path: str) -> None:
        with self.mutex:
            path = self.real_path(path)
            if path in self._directories:
                return
            self.before("create directory", path)
            if self._node(path, "create directory") is not None:
                raise disk_error(errno.EEXIST, "create directory", path)
            self._made(path)

    def remove(self, path: str) -> None:
        with self.mutex:
            path = self.real_path(path)
            self.before("remove", path)
            inode = self._file(path, "remove")
            self._change(_above(path), _name(path), None)
            self._unlinked(inode)

    def remove_directory(self, path: str) -> None:
        with self.mutex:
            path = self.real_path(path)
            directory = self._directories.get(path)
            if directory is None or directory.entries:
                return
            self.before("remove directory", path)
            self._change(_above(path), _name(path), None)
            del self._directories[path]

    def replace(self, source: str, target: str) -> None:
        """Files only, and within one directory."""
        with self.mutex:
            source, target = self.real_path(source), self.real_path(target)
            self.before("rename", target, f"from {source}")
            inode = self._file(source, "rename")
            if _above(source) != _above(target):
                raise NotImplementedError("a rename between directories")
            old = self._node(target, "rename")
            if isinstance(old, _Directory):
                raise disk_error(errno.EISDIR, "rename", target)
            if old is not inode:
                name, moved = _name(target), _name(source)
                self._change(_above(target), name, inode, moved_from=moved)
                if old is not None:
                    self._unlinked(old)
            self.sync_directory(_above(target))

    def sync_directory(self, path: str) -> None:
        with self.mutex:
            path = self.real_path(path)
            self.before("sync directory", path)
            directory = self._directories.get(path)
            if directory is None:
                raise disk_error(errno.ENOENT, "sync directory", path)
            directory.synced()
            self._journalled = self._changes

    def space(self, path: str) -> DiskSpace:
        with self.mutex:
            path = self.real_path(path)
            self.before("measure space", path)
            if not self.exists(path):
                raise disk_error(errno.ENOENT, "measure space", path)
            free = max(self.capacity_bytes - self._used, 0)
            return DiskSpace(self.capacity_bytes, free, free)

    def device(self, path: str) -> int:
        with self.mutex:
            path = self.real_path(path)
            self.before("stat", path)
            if not self.exists(path):
                raise disk_error(errno.ENOENT, "stat", path)
            return 1

    def maps_holes(self, path: str) -> bool:
        self.device(path)
        return True

    def real_path(self, path: str) -> str:
        return _normal(path)

    def memory_bytes(self) -> int:
        return self.memory

    def lock(self, path: str) -> FileLock:
        with self.mutex:
            path = self.real_path(path)
            self.before("lock", path)
            if path in self._locks:
                raise StoreLockedError("another process has locked this store", path)
            file = self._opened(path, "open", create=True, writable=True)
            self._locks.add(path)
            try:
                file.pwrite(_LOCK_TEXT, 0)
            except StoreIOError as error:
                if not error.disk_full:  # the lock counts, not the word
                    self._locks.discard(path)
                    file.close()
                    raise
            return SimulatedLock(self, file)

    # What handles ask.

    def before(self, operation: str, path: str, detail: str = "") -> None:
        """Record an operation.

        Raises:
            StoreIOError: `fail` says so.
        """
        self.operations.append(Operation(operation, path, detail))
        if self.fail is not None:
            number = self.fail(operation, path)
            if number is not None:
                self._failed(number)
                raise disk_error(number, operation, path)

    def write(self, inode: PagedFile, path: str, data: bytes, offset: int) -> None:
        """See `StoreFile.pwrite`."""
        try:
            self.before("write", path, f"{len(data)} at {offset}")
        except BaseException:
            share = self._random.random() if self.partial_write is None else self.partial_write
            self._put(inode, data[: int(len(data) * share)], offset)
            raise
        fits = inode.fitting(offset, len(data), max(self.capacity_bytes - self._used, 0))
        self._put(inode, data[:fits], offset)
        if fits < len(data):
            self._failed(errno.ENOSPC)
            raise disk_error(errno.ENOSPC, "write", path)

    def read(self, inode: PagedFile, path: str, size: int, offset: int) -> bytes:
        """See `StoreFile.pread`."""
        end = min(offset + size, inode.size)
        if offset < end:
            unwritten = inode.first_unwritten(offset, end)
            if unwritten is not None:
                self.unwritten_reads.append(UnwrittenRead(path, unwritten, end))
        return inode.read(size, offset)

    def resize(self, inode: PagedFile, size: int) -> None:
        """See `StoreFile.truncate`."""
        before = inode.allocated_bytes
        inode.truncate(size)
        inode.modified_ms = self.now_ms()
        self._used += inode.allocated_bytes - before

    def sync(self, inode: PagedFile, path: str) -> None:
        """See `StoreFile.fdatasync`."""
        try:
            self.before("fdatasync", path)
        except StoreIOError:
            inode.sync_failed(self._random)
            raise
        if inode.synced():
            self._journalled = self._changes

    def is_cold(self) -> bool:
        return self.cold > 0 and self._random.random() < self.cold

    def mapped(self, view: memoryview) -> memoryview:
        """Remember a mapping, so that a crash can release it."""
        if len(self._views) > 256:
            self._views = [each for each in self._views if each() is not None]
        self._views.append(weakref.ref(view))
        return view

    def closed(self, file: SimulatedFile) -> None:
        """`file` is no longer open."""
        del self._handles[file]
        file.inode.handles -= 1
        self._free(file.inode)

    def unlocked(self, path: str) -> None:
        self._locks.discard(path)

    # Names and space.

    def _failed(self, number: int) -> None:
        last = self.operations[-1]
        name = errno.errorcode.get(number, str(number))
        self.operations[-1] = last._replace(detail=f"{last.detail} -> {name}".lstrip())

    def _node(self, path: str, operation: str) -> _Node | None:
        if path == "/":
            return self._root
        above = _above(path)
        parent = self._directories.get(above)
        if parent is not None:
            return parent.entries.get(_name(path))
        if isinstance(self._node(above, operation), PagedFile):
            raise disk_error(errno.ENOTDIR, operation, path)
        return None

    def _file(self, path: str, operation: str) -> PagedFile:
        path = self.real_path(path)
        node = self._node(path, operation)
        if node is None:
            raise disk_error(errno.ENOENT, operation, path)
        if isinstance(node, _Directory):
            raise disk_error(errno.EISDIR, operation, path)
        return node

    def _opened(self, path: str, operation: str, *, create: bool, writable: bool) -> SimulatedFile:
        node = self._node(path, operation)
        if isinstance(node, _Directory):
            raise disk_error(errno.EISDIR, operation, path)
        if node is None:
            directory = _above(path)
            if not create or directory not in self._directories:
                raise disk_error(errno.ENOENT, operation, path)
            node = PagedFile(self.page_bytes, self.now_ms())
            node.links = 1
            self._change(directory, _name(path), node)
        file = SimulatedFile(self, path, node, writable=writable)
        node.handles += 1
        self._handles[file] = None
        return file

    def _made(self, path: str) -> None:
        if path in self._directories:
            return
        above = _above(path)
        self._made(above)
        self._directories[path] = made = _Directory()
        self._change(above, _name(path), made)

    def _change(self, path: str, name: str, node: _Node | None, moved_from: str | None = None) -> None:
        self._changes += 1
        self._directories[path].change(_Change(self._changes, name, node, moved_from))

    def _unlinked(self, inode: PagedFile) -> None:
        inode.links -= 1
        self._free(inode)

    def _free(self, inode: PagedFile) -> None:
        if not inode.links and not inode.handles:
            self._used -= inode.allocated_bytes

    def _put(self, inode: PagedFile, data: bytes, offset: int) -> None:
        if data:
            before = inode.allocated_bytes
            inode.write(data, offset)
            inode.modified_ms = self.now_ms()
            self._used += inode.allocated_bytes - before

    def _inodes(self) -> list[PagedFile]:
        """The files that have a name, each once, in an order that depends on names alone."""
        found: dict[PagedFile, None] = {}
        for path in sorted(self._directories):
            for _, node in sorted(self._directories[path].entries.items(), key=lambda entry: entry[0]):
                if isinstance(node, PagedFile):
                    found[node] = None
        return list(found)

    def _lose_power(self, random: Random, names: Names) -> None:
        cut = random.randint(self._journalled, self._changes) if names == "journal" else None
        self._directories = {}
        self._survive("/", self._root, random, cut)
        for inode in self._inodes():
            inode.lose_power(random)
            inode.links = 1
        self._journalled = self._changes

    def _survive(self, path: str, directory: _Directory, random: Random, cut: int | None) -> None:
        """Settle what names of `directory` stay, then those below it."""
        self._directories[path] = directory
        likely = random.choice((0.0, 0.5, 1.0))
        for change in directory.pending:
            if change.number <= cut if cut is not None else random.random() < likely:
                change.apply(directory.durable)
        directory.entries = dict(directory.durable)
        directory.pending.clear()
        for name, node in sorted(directory.entries.items(), key=lambda entry: entry[0]):
            if isinstance(node, _Directory):
                self._survive(os.path.join(path, name), node, random, cut)


def _is_a_disk(disk: SimulatedDisk, file: SimulatedFile) -> tuple[FileSystem, StoreFile]:
    """Lets the type checker compare both classes with the protocols of the store."""
    return disk, file
