"""The file of the key-value configuration when it is damaged."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from namesrv.kv_config import KVConfigManager

SOUND = b'{"configTable":{"n":{"k":"v"}}}'


def loaded(path: Path) -> KVConfigManager:
    manager = KVConfigManager(path)
    manager.load()
    return manager


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"[]",
        b"{}",
        b'{"configTable":7}',
        SOUND.replace(b'"v"', b"7"),
        SOUND.replace(b"v", b"\xff"),
    ],
)
def test_a_damaged_file_gives_way_to_its_backup_or_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "kvConfig.json"
    path.write_bytes(data)
    with pytest.raises(OSError, match="is damaged, and no sound version is beside it: ") as caught:
        loaded(path)
    assert caught.value.filename == str(path)
    backup = tmp_path / "kvConfig.json.bak"
    backup.write_bytes(SOUND)
    manager = loaded(path)
    assert manager.get("n", "k") == "v"
    manager.put("n", "k", "w")
    manager.save(manager.content())
    assert (loaded(path).get("n", "k"), backup.read_bytes()) == ("w", SOUND)
    manager.save(manager.content())
    assert backup.read_bytes() == path.read_bytes()


def test_what_cannot_be_opened_is_no_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "kvConfig.json"
    path.symlink_to(path)
    with pytest.raises(OSError, match="symbolic links"):
        loaded(path)


def test_an_empty_file_gives_way_to_its_backup(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "kvConfig.json"
    path.touch()
    assert loaded(path).namespace("n") is None
    (tmp_path / "kvConfig.json.bak").write_bytes(SOUND)
    assert loaded(path).get("n", "k") == "v"
    assert caplog.messages.count(f"key-value configuration {path} is empty") == 2


def test_no_file_is_an_empty_table(tmp_path: Path) -> None:
    assert loaded(tmp_path / "kvConfig.json").namespace("n") is None


def test_a_saved_file_and_its_name_are_on_the_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The content before the rename, the directory behind it."""
    done: list[str] = []
    sync, replace = os.fsync, Path.replace

    def noted_sync(descriptor: int) -> None:
        done.append("directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        sync(descriptor)

    def noted_replace(source: Path, target: Path) -> Path:
        done.append(f"rename to {target.name}")
        return replace(source, target)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    manager = KVConfigManager(tmp_path / "kvConfig.json")
    manager.save(manager.content())
    manager.save(manager.content())
    first = ["file", "rename to kvConfig.json", "directory"]
    assert done == [*first, "file", "rename to kvConfig.json.bak", *first[1:]]
