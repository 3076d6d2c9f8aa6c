"""The bytes of one simulated file: what the page cache shows and what the device holds.

The cache is one block of memory that mappings look into. Beside it lies a mask of the same length that
says which bytes were ever written. For each page that differs from the device, `_device` has what the
device holds; for each dirty page `_dirty` has the writes since the last sync, in order.
"""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING, TypeAlias

import attrs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

SECTOR_BYTES = 512
_LAZY_BYTES = 1 << 20

_Memory: TypeAlias = "bytearray | mmap.mmap"


def _memory(size: int) -> _Memory:
    """Zeros; a large block takes memory only where it is touched."""
    return bytearray(size) if size < _LAZY_BYTES else mmap.mmap(-1, size)


@attrs.frozen(eq=False)
class _Write:
    """Bytes from `start` to `end` got `data`; None: they were cut off, and read as zeros."""

    number: int
    start: int
    end: int
    data: bytes | None


@attrs.frozen
class _Resize:
    number: int
    size: int
    shrinks: bool


_Page: TypeAlias = "tuple[bytes, bytes]"
"""Content and mask of one page."""


class PagedFile:
    """One file, whatever its names.

    Attributes:
        size: Bytes, as a program sees it.
        modified_ms: Time of the last write or truncate.
        links: Names that lead to it.
        handles: How often it is open.
    """

    def __init__(self, page_bytes: int, now_ms: int) -> None:
        self._page_bytes = page_bytes
        self.size = 0
        self.modified_ms = now_ms
        self.links = 0
        self.handles = 0
        self._cache: _Memory = bytearray()
        self._mask: _Memory = bytearray()
        self._outgrown: list[_Memory] = []
        self._room = 0
        self._mapped = False
        self._allocated: set[int] = set()
        self._device: dict[int, _Page] = {}
        self._dirty: dict[int, list[_Write]] = {}
        self._device_size = 0
        self._resizes: list[_Resize] = []
        self._number = 0
        self._spread = False

    @property
    def allocated_bytes(self) -> int:
        return len(self._allocated) * self._page_bytes

    @property
    def dirty_pages(self) -> int:
        """Pages whose content on the device is another, or may be."""
        return len(self._device)

    def read(self, size: int, offset: int) -> bytes:
        return bytes(self._cache[offset : max(min(offset + size, self.size), offset)])

    def first_unwritten(self, start: int, end: int) -> int | None:
        """Offset of the first byte from `start` to `end` that nobody wrote."""
        found = self._mask.find(b"\0", start, end)
        if found >= 0:
            return found
        return None if end <= self._room else max(start, self._room)

    def view(self, size: int) -> memoryview:
        """The first bytes of the cache; later writes are seen there."""
        self._mapped = True
        return memoryview(self._cache).toreadonly()[:size]

    def fitting(self, offset: int, size: int, free_bytes: int) -> int:
        """How many of `size` bytes can be written at `offset` before `free_bytes` are used up."""
        page_bytes = self._page_bytes
        left = free_bytes // page_bytes
        for page in range(offset // page_bytes, -(-(offset + size) // page_bytes)):
            if page not in self._allocated:
                if not left:
                    return max(page * page_bytes - offset, 0)
                left -= 1
        return size

    def write(self, data: bytes, offset: int) -> None:
        end = offset + len(data)
        self._number += 1
        if end > self._room:
            self._grow(end)
        self._soil(_Write(self._number, offset, end, data))
        self._set(offset, data, b"\1" * len(data))
        if end > self.size:
            self.size = end
            self._resizes.append(_Resize(self._number, end, shrinks=False))

    def truncate(self, size: int) -> None:
        if size == self.size:
            return
        self._number += 1
        if size > self._room:
            self._grow(size)
        shrinks = size < self.size
        if shrinks:
            self._cut(size)
        self.size = size
        self._resizes.append(_Resize(self._number, size, shrinks))

    def _cut(self, size: int) -> None:
        page_bytes = self._page_bytes
        for page in sorted(page for page in self._allocated if (page + 1) * page_bytes > size):
            start = max(size, page * page_bytes)
            end = (page + 1) * page_bytes
            self._soil(_Write(self._number, start, end, None))
            self._set(start, bytes(end - start), bytes(end - start))
            if start == page * page_bytes:
                self._allocated.discard(page)

    def _soil(self, write: _Write) -> None:
        """Note a write before it is done."""
        page_bytes = self._page_bytes
        for page in range(write.start // page_bytes, -(-write.end // page_bytes)):
            if page not in self._device:
                self._device[page] = self._page(page)
            self._dirty.setdefault(page, []).append(write)
            if write.data is not None and page not in self._allocated:
                self._allocated.add(page)
                self._spread = True

    def _page(self, page: int) -> _Page:
        start, end = page * self._page_bytes, (page + 1) * self._page_bytes
        return bytes(self._cache[start:end]), bytes(self._mask[start:end])

    def _set(self, offset: int, data: bytes, mask: bytes) -> None:
        end = offset + len(data)
        self._cache[offset:end] = data
        self._mask[offset:end] = mask
        for memory in self._outgrown:
            room = len(memory)
            if offset < room:
                memory[offset : min(end, room)] = data[: room - offset]

    def _grow(self, size: int) -> None:
        """Make room for `size` bytes; mappings of the old memory go on seeing writes."""
        room = -(-size // self._page_bytes) * self._page_bytes
        cache, mask = _memory(room), _memory(room)
        cache[: self._room] = self._cache[: self._room]
        mask[: self._room] = self._mask[: self._room]
        if self._mapped:
            self._outgrown.append(self._cache)
            self._mapped = False
        self._cache, self._mask, self._room = cache, mask, room

    def synced(self) -> bool:
        """Dirty pages and the size are on the device.

        Returns:
            Whether the size or the file's pages on the device changed with it, and not their content alone.
        """
        for page in self._dirty:
            del self._device[page]
        shrinks = [each for each in self._resizes if each.shrinks]
        for page, held in self._device.items():
            self._device[page] = self._cut_page(page, held, shrinks)
        changed = self._spread or bool(self._resizes)
        self._dirty.clear()
        self._device_size = self.size
        self._resizes.clear()
        self._spread = False
        return changed

    def sync_failed(self, random: Random) -> None:
        """Some dirty pages are on the device, others are not, and none is dirty any more."""
        self._settle(random)
        self._dirty.clear()
        self._device = {page: held for page, held in self._device.items() if held != self._page(page)}

    def forget_mappings(self) -> None:
        """What was mapped goes on showing what it shows now."""
        self._outgrown.clear()
        if self._mapped:
            old, self._cache = self._cache, _memory(self._room)
            for page in self._allocated:
                start, end = page * self._page_bytes, (page + 1) * self._page_bytes
                self._cache[start:end] = old[start:end]
            self._mapped = False

    def lose_power(self, random: Random) -> None:
        """From now on the cache shows what the device holds."""
        self._settle(random)
        self._dirty.clear()
        self._resizes.clear()
        self._spread = False
        for page, (data, mask) in self._device.items():
            self._set(page * self._page_bytes, data, mask)
            if 1 in mask:
                self._allocated.add(page)
            else:
                self._allocated.discard(page)
        self._device.clear()
        self.size = self._device_size
        if self.size > self._room:
            self._grow(self.size)
        self._cut(self.size)
        self._dirty.clear()
        self._device.clear()

    def _settle(self, random: Random) -> None:
        """Choose what the device holds of the dirty pages and of the changes of the size.

        Four fates, so that the plain ones are as frequent as the odd ones: nothing reached the device,
        all did, the writes up to a moment (the last one torn), or each page by itself.
        """
        if not self._dirty and not self._resizes:
            return
        fate = random.choice(("none", "all", "moment", "pages"))
        moment = self._number
        torn_at = 0
        if fate == "none":
            moment = 0
        elif fate == "moment":
            moment = random.randint(0, self._number)
            torn_at = random.randrange(1 << 32)
        elif fate == "pages":
            numbers = [0, *(each.number for each in self._resizes)]
            moment = random.choice(numbers)
        done = [each for each in self._resizes if each.number <= moment]
        shrinks = [each for each in done if each.shrinks]
        for page in sorted(self._dirty):
            held = self._cut_page(page, self._device[page], shrinks)
            writes = self._possible(page, shrinks)
            if fate == "all":
                held = self._applied(page, held, writes)
            elif fate == "moment":
                held = self._applied(page, held, _up_to(writes, moment, torn_at))
            elif fate == "pages":
                held = self._torn(page, held, writes, random)
            self._device[page] = held
        if done:
            self._device_size = done[-1].size
            self._resizes = self._resizes[len(done) :]

    def _cut_page(self, page: int, held: _Page, shrinks: Sequence[_Resize]) -> _Page:
        keep = min((each.size for each in shrinks), default=None)
        if keep is None:
            return held
        room = min(max(keep - page * self._page_bytes, 0), self._page_bytes)
        rest = bytes(self._page_bytes - room)
        return held[0][:room] + rest, held[1][:room] + rest

    def _possible(self, page: int, shrinks: Sequence[_Resize]) -> list[_Write]:
        """The writes of a page that may be on the device, without what a later durable cut took away.

        A cut that is not durable may show as zeros in the page where it begins, and nowhere else.
        """
        found = []
        for write in self._dirty[page]:
            if write.data is None and write.start <= page * self._page_bytes:
                continue
            end = min([write.end, *(each.size for each in shrinks if each.number > write.number)])
            if end > write.start:
                found.append(attrs.evolve(write, end=end))
        return found

    def _applied(self, page: int, held: _Page, writes: Sequence[_Write]) -> _Page:
        begin = page * self._page_bytes
        data, mask = bytearray(held[0]), bytearray(held[1])
        for write in writes:
            start, end = max(write.start, begin), min(write.end, begin + self._page_bytes)
            if start < end:
                where = slice(start - begin, end - begin)
                if write.data is None:
                    data[where] = mask[where] = bytes(end - start)
                else:
                    data[where] = write.data[start - write.start : end - write.start]
                    mask[where] = b"\1" * (end - start)
        return bytes(data), bytes(mask)

    def _torn(self, page: int, held: _Page, writes: list[_Write], random: Random) -> _Page:
        """One page by itself: an older version, some of its writes, some of its sectors, or a piece."""
        kind = random.choice(("none", "all", "all", "version", "some", "sectors", "sectors", "prefix"))
        if kind == "none":
            return held
        if kind == "version":
            return self._applied(page, held, writes[: random.randint(0, len(writes))])
        if kind == "some":
            return self._applied(page, held, [each for each in writes if random.random() < 0.5])
        newest = self._applied(page, held, writes)
        if kind == "all":
            return newest
        if kind == "prefix":
            return _prefix(held, newest, random.randint(0, self._page_bytes))
        lost = random.choice((0.1, 0.5))
        for start in range(0, self._page_bytes, SECTOR_BYTES):
            if random.random() < lost:
                newest = _without(held, newest, start, start + SECTOR_BYTES)
        return newest


def _up_to(writes: Sequence[_Write], moment: int, torn_at: int) -> list[_Write]:
    """What was written until `moment`, and of the write of that moment only the beginning."""
    found = [write for write in writes if write.number <= moment]
    if found and found[-1].number == moment and found[-1].data is not None:
        last = found[-1]
        length = torn_at % (len(last.data or b"") + 1)
        found[-1] = attrs.evolve(last, end=min(last.end, last.start + length))
    return found


def _prefix(old: _Page, new: _Page, length: int) -> _Page:
    return new[0][:length] + old[0][length:], new[1][:length] + old[1][length:]


def _without(old: _Page, new: _Page, start: int, end: int) -> _Page:
    """`new` with the bytes from `start` to `end` as they were before."""
    return (
        new[0][:start] + old[0][start:end] + new[0][end:],
        new[1][:start] + old[1][start:end] + new[1][end:],
    )
