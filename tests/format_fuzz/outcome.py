"""One trial of the fuzz, and what every part needs to judge its outcome: a failure, a disk, what was said."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import stat
from typing import TYPE_CHECKING, Any, Self

from store import OsFileSystem, StoreIOError
from tests.format_fuzz.damage import do_damage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from random import Random

    from store import StoreFile
    from tests.format_fuzz.damage import Damage

_MOST_OPERATIONS = 50_000


class FuzzError(AssertionError):
    """The product made something of damage that it must not."""


class QuickDisk(OsFileSystem):
    """Syncs nothing, as nothing here loses power, and ends what would never end.

    A file without permissions cannot be opened, by root neither.
    """

    def __init__(self) -> None:
        self.operations = 0

    def count(self) -> None:
        self.operations += 1
        if self.operations > _MOST_OPERATIONS:
            raise FuzzError(f"more than {_MOST_OPERATIONS} operations")

    def open(self, path: str, *, create: bool = False, writable: bool = True) -> Any:
        self.count()
        if os.path.isfile(path) and not stat.S_IMODE(os.stat(path).st_mode):
            denied = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            raise StoreIOError(denied, "open", path)
        return _QuickFile(self, super().open(path, create=create, writable=writable))

    def sync_directory(self, path: str) -> None:
        """Does nothing."""


class _QuickFile:
    def __init__(self, disk: QuickDisk, inner: StoreFile) -> None:
        self._disk = disk
        self._inner = inner
        self.path = inner.path

    def fdatasync(self) -> None:
        """Does nothing."""

    def pread(self, size: int, offset: int) -> bytes:
        self._disk.count()
        return self._inner.pread(size, offset)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class Said(logging.Handler):
    """Keeps our warnings and errors while inside."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._logger = logging.getLogger("rocketmq")
        self.lines: list[str] = []

    def __enter__(self) -> Self:
        self._logger.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._logger.removeHandler(self)

    def __str__(self) -> str:
        return "".join(f"\n  said: {line}" for line in self.lines)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())

    def names(self, path: Path) -> bool:
        """Whether something was said about the file."""
        return any(str(path) in line for line in self.lines)


def run_trial(
    template: Path, copy: Path, random: Random, part: str, judge: Callable[[Path, Damage, Said], str]
) -> str:
    """Damage a copy of a directory and see what becomes of it.

    Args:
        template: The directory.
        copy: Where its copy goes, instead of the one that is there.
        random: Chooses the damage.
        part: Damage only files whose path in the copy begins so, if there are any.
        judge: Gets the copy, what was done to it, and what will be said meanwhile; returns what came of it,
            or raises.

    Returns:
        What was done and what came of it.

    Raises:
        FuzzError: something that must not happen did.
    """
    if copy.exists():
        shutil.rmtree(copy)
    shutil.copytree(template, copy)
    files = sorted(path for path in copy.rglob("*") if path.is_file())
    chosen = [path for path in files if str(path.relative_to(copy)).startswith(part)] or files
    damage = do_damage(chosen, random)
    with Said() as said:
        try:
            return f"{damage}: {judge(copy, damage, said)}"
        except Exception as error:
            raise FuzzError(f"{damage}: {type(error).__name__}: {error}{said}") from error
