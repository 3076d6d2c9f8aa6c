"""Who may open a store: the registry inside the process, the lock against others."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from store_kit import closed, make_store, open_store, opened

from store import StoreError, StoreLockedError

if TYPE_CHECKING:
    from pathlib import Path

HOLD = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 0)
print("held", flush=True)
sys.stdin.read()
"""

PROBE = """
import fcntl, sys
with open(sys.argv[1], "r+") as file:
    assert file.read() == "lock"
    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 0)
"""


def test_the_same_root_is_refused_and_its_owner_named(tmp_path: Path) -> None:
    with open_store(tmp_path):
        abort = (tmp_path / "abort").read_text()
        other = make_store(tmp_path / "sub" / "..")
        with pytest.raises(StoreLockedError) as caught:
            other.reserve()
        assert str(tmp_path) in str(caught.value)
        assert "broker-a" in str(caught.value)
        other.shutdown()
        other.release()
        assert (tmp_path / "abort").read_text() == abort
        with pytest.raises(StoreLockedError):
            make_store(tmp_path).reserve()
    closed(opened(tmp_path))


def test_the_same_root_behind_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "parent").symlink_to(tmp_path)
    with open_store(tmp_path / "link"):
        for name in ("real", "parent/real", "parent/link"):
            with pytest.raises(StoreLockedError, match="real: store path is already used by broker broker-a"):
                make_store(tmp_path / name).reserve()
    closed(opened(tmp_path / "parent" / "link"))


@pytest.mark.parametrize("key", ["store_path_commit_log", "store_path_consume_queue"])
def test_a_shared_log_or_queue_directory_is_refused(tmp_path: Path, key: str) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "shared")
    with open_store(tmp_path / "one", **{key: str(tmp_path / "shared")}):
        other = make_store(tmp_path / "two", **{key: str(tmp_path / "link")})
        with pytest.raises(StoreLockedError, match="shared: store path is already used by broker broker-a"):
            other.reserve()
        other.release()
    closed(opened(tmp_path / "two", **{key: str(tmp_path / "link")}))


def test_another_process_with_the_lock_is_refused(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(StoreLockedError, match=r"lock: another process has locked this store"):
            make_store(tmp_path).reserve()
        holder.communicate()
    closed(opened(tmp_path))


def test_our_lock_keeps_others_out_until_release(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROBE, str(tmp_path / "lock")]
    store = opened(tmp_path)
    refused = subprocess.run(command, capture_output=True, check=False)
    assert b"BlockingIOError" in refused.stderr
    closed(store)
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_an_unusable_root_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = make_store(tmp_path / "file" / "root")
    with pytest.raises(StoreError, match="file/root: create directory failed"):
        store.reserve()
