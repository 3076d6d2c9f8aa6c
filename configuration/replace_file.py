"""Replacing a small file so that at any moment the old or the new content is there, whole."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path

import attrs

__all__ = ["FileContent", "read_content", "replace_file"]

_NEW_FILE_MODE = 0o644


@attrs.frozen
class FileContent:
    """What is in a file and who may see it."""

    data: bytes = b""
    mode: int = _NEW_FILE_MODE


def read_content(path: Path) -> FileContent | None:
    """The content of a file, None if there is none.

    Raises:
        OSError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return FileContent(file.read(), stat.S_IMODE(os.fstat(file.fileno()).st_mode))
    except FileNotFoundError:
        return None


def replace_file(path: Path, content: FileContent, *, previous: FileContent | None) -> bool:
    """Write a file, its directory if need be, and the previous content to `<path>.bak`.

    A symbolic link stays one: the file that it leads to is replaced, by a rename within its directory. The
    owner is kept as far as the system lets this process give files away.

    Args:
        path: the file.
        content: what shall be in it.
        previous: what is in it; None if there is no file.

    Returns:
        Whether it was done: not if the file has another content than `previous` by now.

    Raises:
        OSError: something could not be written (read-only directory, full disk); the file is as it was. The
            backup may have been replaced.
    """
    real = Path(os.path.realpath(path))
    real.parent.mkdir(parents=True, exist_ok=True)
    temporary = _written_beside(real, content)
    try:
        if previous is not None:
            kept = Path(os.path.realpath(path.with_name(path.name + ".bak")))
            _rename(_written_beside(kept, previous), kept)
        if read_content(path) != previous:
            return False
        _rename(temporary, real)
        return True
    finally:
        _forget(temporary)


def _written_beside(path: Path, content: FileContent) -> str:
    """Write and sync a file in the directory of `path`; it has a name that nobody else uses."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(descriptor, "wb") as file:
            file.write(content.data)
            file.flush()
            os.fchmod(descriptor, content.mode)
            _keep_owner(descriptor, path)
            os.fsync(descriptor)
    except BaseException:
        _forget(temporary)
        raise
    return temporary


def _keep_owner(descriptor: int, path: Path) -> None:
    try:
        old = path.stat()
    except FileNotFoundError:
        return
    new = os.fstat(descriptor)
    if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
        with contextlib.suppress(PermissionError):  # only root may; the mode still says who may read it
            os.fchown(descriptor, old.st_uid, old.st_gid)


def _rename(temporary: str, path: Path) -> None:
    try:
        os.replace(temporary, path)
    finally:
        _forget(temporary)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # the new content is there: too late to say that nothing was done
            os.fsync(directory)
    finally:
        os.close(directory)


def _forget(temporary: str) -> None:
    """Remove a temporary file that may have got its real name already."""
    Path(temporary).unlink(missing_ok=True)
