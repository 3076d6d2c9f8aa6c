"""Small file systems of their own, real ones: a tmpfs, or ext4 in an image behind a loop device."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KINDS = ("tmpfs", "ext4")
BLOCK = 4096


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"{command[0]} is not possible here: {done.stderr.strip() or done.returncode}")


@contextmanager
def small_disk(kind: str, directory: Path, size_bytes: int) -> Iterator[Path]:
    """An empty file system of `size_bytes` mounted below `directory`; skips where that cannot be done."""
    if os.name != "posix" or os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small file system")
    point = directory / f"{kind}-mount"
    point.mkdir()
    if kind == "tmpfs":
        _run("mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "none", str(point))
    else:
        image = directory / "image"
        if shutil.which("mkfs.ext4") is None:
            pytest.skip("there is no mkfs.ext4")
        with image.open("wb") as file:
            file.truncate(size_bytes)
        _run("mkfs.ext4", "-q", "-F", "-m", "0", str(image))
        _run("mount", "-o", "loop", str(image), str(point))
    try:
        yield point
    finally:
        subprocess.run(["umount", "-l", str(point)], check=True)


def free_bytes(path: Path) -> int:
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize


class Filler:
    """A file of somebody else that takes what is left."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "filler"

    def leave(self, left: int) -> None:
        """Grow until about `left` bytes are free; 0 takes everything."""
        with self._path.open("ab", buffering=0) as file:
            while (room := free_bytes(self._path.parent) - left) > 0 or left == 0:
                try:
                    file.write(bytes(min(max(room, BLOCK), 1 << 20)))
                    os.fsync(file.fileno())
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    return

    def remove(self) -> None:
        self._path.unlink()
