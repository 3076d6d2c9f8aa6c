"""One piece of damage to the files below a directory, chosen by a seed."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from random import Random

_PAGE_BYTES = 512
_HEAD_BYTES = 48


@attrs.frozen
class Damage:
    """What was done.

    Attributes:
        kind: One of `KINDS`.
        paths: The files that are not as they were.
        detail: Where in them.
        ranges: Bytes of the first of `paths` that may differ, as (first, behind the last).
    """

    kind: str
    paths: tuple[Path, ...]
    detail: str
    ranges: tuple[tuple[int, int], ...] = ()

    def __str__(self) -> str:
        return f"{self.kind} of {', '.join(map(str, self.paths))} ({self.detail})"


def _flip(path: Path, random: Random) -> Damage:
    """One bit."""
    data = bytearray(path.read_bytes())
    at, bit = random.randrange(len(data)), random.randrange(8)
    data[at] ^= 1 << bit
    path.write_bytes(data)
    return Damage("flip", (path,), f"bit {bit} of byte {at}", ((at, at + 1),))


def _flip_head(path: Path, random: Random) -> Damage:
    """One bit of the first bytes, where headers are."""
    data = bytearray(path.read_bytes())
    at, bit = random.randrange(min(_HEAD_BYTES, len(data))), random.randrange(8)
    data[at] ^= 1 << bit
    path.write_bytes(data)
    return Damage("flip_head", (path,), f"bit {bit} of byte {at}", ((at, at + 1),))


def _flip_written(path: Path, random: Random) -> Damage:
    """One bit of a byte that is not zero: most of a file of fixed size was never written."""
    data = bytearray(path.read_bytes())
    written = [at for at, byte in enumerate(data) if byte]
    at, bit = random.choice(written or [0]), random.randrange(8)
    data[at] ^= 1 << bit
    path.write_bytes(data)
    return Damage("flip_written", (path,), f"bit {bit} of byte {at}", ((at, at + 1),))


def _overwrite(path: Path, random: Random, kind: str, make: Callable[[int], bytes], unit: int) -> Damage:
    data = path.read_bytes()
    start = random.randrange(len(data)) // unit * unit
    end = min(start + unit * random.choice((1, 1, 2, 4)), len(data))
    path.write_bytes(data[:start] + make(end - start) + data[end:])
    return Damage(kind, (path,), f"bytes {start} to {end}", ((start, end),))


def _zero_pages(path: Path, random: Random) -> Damage:
    return _overwrite(path, random, "zero_pages", bytes, _PAGE_BYTES)


def _garble(path: Path, random: Random) -> Damage:
    return _overwrite(path, random, "garble", random.randbytes, random.choice((1, 4, 20, 100)))


def _cut(path: Path, random: Random) -> Damage:
    data = path.read_bytes()
    size = random.randrange(len(data))
    path.write_bytes(data[:size])
    return Damage("cut", (path,), f"{size} of {len(data)} bytes are left", ((size, len(data)),))


def _empty(path: Path, _random: Random) -> Damage:
    size = path.stat().st_size
    path.write_bytes(b"")
    return Damage("empty", (path,), f"{size} bytes are gone", ((0, size),))


def _grow(path: Path, random: Random) -> Damage:
    size = path.stat().st_size
    more = random.randbytes(random.choice((1, 20, 4096)))
    with path.open("ab") as file:
        file.write(more)
    return Damage("grow", (path,), f"{len(more)} bytes more than {size}", ((size, size + len(more)),))


def _replace(path: Path, random: Random) -> Damage:
    size = path.stat().st_size
    path.write_bytes(random.randbytes(size))
    return Damage("replace", (path,), f"{size} bytes of noise", ((0, size),))


def _remove(path: Path, _random: Random) -> Damage:
    size = path.stat().st_size
    path.unlink()
    return Damage("remove", (path,), f"{size} bytes", ((0, size),))


def _directory(path: Path, _random: Random) -> Damage:
    size = path.stat().st_size
    path.unlink()
    path.mkdir()
    return Damage("directory", (path,), "a directory in its place", ((0, size),))


def _denied(path: Path, _random: Random) -> Damage:
    """For a disk that asks for permissions: root does not."""
    path.chmod(0)
    return Damage("denied", (path,), "no permission")


def _loop(path: Path, _random: Random) -> Damage:
    """What nobody can open, root neither."""
    size = path.stat().st_size
    path.unlink()
    path.symlink_to(path)
    return Damage("loop", (path,), "a link to itself", ((0, size),))


KINDS: dict[str, Callable[[Path, Random], Damage]] = {
    "flip": _flip,
    "flip_head": _flip_head,
    "flip_written": _flip_written,
    "zero_pages": _zero_pages,
    "garble": _garble,
    "cut": _cut,
    "empty": _empty,
    "grow": _grow,
    "replace": _replace,
    "remove": _remove,
    "directory": _directory,
    "denied": _denied,
    "loop": _loop,
}
_WEIGHTS = {"flip": 3, "flip_head": 4, "flip_written": 8, "zero_pages": 3, "garble": 4, "cut": 3}
_NEED_BYTES = ("flip", "flip_head", "flip_written", "zero_pages", "garble", "cut", "replace")


def swap(first: Path, second: Path) -> Damage:
    """Each gets the other's content."""
    first_data, second_data = first.read_bytes(), second.read_bytes()
    first.write_bytes(second_data)
    second.write_bytes(first_data)
    ranges = ((0, max(len(first_data), len(second_data))),)
    return Damage("swap", (first, second), "contents exchanged", ranges)


def copy(source: Path, target: Path) -> Damage:
    """`target` gets the content of `source`."""
    size = target.stat().st_size
    shutil.copyfile(source, target)
    return Damage("copy", (target,), f"content of {source}", ((0, max(size, target.stat().st_size)),))


def do_damage(files: list[Path], random: Random) -> Damage:
    """Damage one of `files`, or two of them to each other."""
    path = random.choice(files)
    size = path.stat().st_size
    if len(files) > 1 and random.random() < 0.15:
        alike = [each for each in files if each != path and each.stat().st_size == size]
        other = random.choice(alike or [each for each in files if each != path])
        return swap(path, other) if random.random() < 0.5 else copy(other, path)
    kinds = [kind for kind in KINDS if size or kind not in _NEED_BYTES]
    [kind] = random.choices(kinds, [_WEIGHTS.get(kind, 1) for kind in kinds])
    return KINDS[kind](path, random)
