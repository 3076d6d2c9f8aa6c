"""What the one door to the operating system does where a platform lacks a call."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

import pytest

import store.files as door

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("knows_full_sync", [True, False])
@pytest.mark.parametrize("has_command", [True, False])
def test_full_sync_of_a_platform_without_fdatasync(
    monkeypatch: pytest.MonkeyPatch, has_command: bool, knows_full_sync: bool
) -> None:
    calls: list[tuple[int, ...]] = []

    def control(fd: int, command: int) -> int:
        calls.append((fd, command))
        if not knows_full_sync:
            raise OSError
        return 0

    if has_command:
        monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    else:
        monkeypatch.delattr(fcntl, "F_FULLFSYNC", raising=False)
    monkeypatch.setattr(fcntl, "fcntl", control)
    monkeypatch.setattr(os, "fsync", lambda fd: calls.append((fd,)))
    door._full_sync(7)
    wanted = [(7, 51)] if has_command else []
    assert calls == (wanted if has_command and knows_full_sync else [*wanted, (7,)])


def test_reads_without_waiting_are_cold_where_the_platform_cannot_tell(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    monkeypatch.setattr(door, "_RWF_NOWAIT", 0)
    file = door.OsFileSystem().open(str(path))
    assert file.pread_nowait(4, 2) is None
    assert file.pread(4, 2) == b"2345"
    file.close()


def test_a_short_write_is_continued(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: write(fd, bytes(data[:3]), offset))
    file = door.OsFileSystem().open(str(tmp_path / "file"), create=True)
    file.pwrite(b"0123456789", 0)
    file.close()
    assert (tmp_path / "file").read_bytes() == b"0123456789"
