"""Writing the file of a running program: whole or not at all, whatever happens around it."""

from __future__ import annotations

import errno
import os
import tempfile
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from configuration import ConfigError, Configuration, RawConfig, build, read_file
from configuration.replace_file import FileContent, read_content, replace_file
from tests.configuration.samples import BrokerConfig, MessageStoreConfig

FILE = "# mine\nbrokerName=b\ntraceOn=true\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "broker.conf"
    path.write_text(FILE)
    return path


def configuration(path: Path, **options: Any) -> Configuration:
    objects, report = build([BrokerConfig, MessageStoreConfig], read_file(path))
    return Configuration(objects, report=report, path=path, **options)


def names(directory: Path) -> set[str]:
    return {entry.name for entry in directory.iterdir()}


def test_a_symbolic_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    real, link = tmp_path / "real" / "one.conf", tmp_path / "broker.conf"
    real.write_text(FILE)
    link.symlink_to(Path("real") / "one.conf")
    configuration(link).update(b"traceOn=false")
    assert link.is_symlink()
    assert real.read_text() == FILE.replace("true", "false")
    assert (tmp_path / "broker.conf.bak").read_text() == FILE
    assert names(tmp_path / "real") == {"one.conf"}


def test_a_link_to_nothing_gets_its_file(tmp_path: Path) -> None:
    link = tmp_path / "broker.conf"
    link.symlink_to(tmp_path / "later" / "one.conf")
    Configuration([BrokerConfig()], path=link).update(b"traceOn=false")
    assert (tmp_path / "later" / "one.conf").read_text() == "traceOn=false\n"
    assert link.is_symlink()


def test_who_may_read_it_stays_also_for_the_backup(path: Path) -> None:
    path.chmod(0o600)
    configuration(path).update(b"password=x")
    for each in (path, path.with_name("broker.conf.bak")):
        assert each.stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_owner_stays(path: Path) -> None:
    os.chown(path, 12345, 12346)
    configuration(path).update(b"traceOn=false")
    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 12346)


def test_what_somebody_wrote_by_hand_meanwhile_is_kept(path: Path) -> None:
    live = configuration(path)
    path.write_text("# theirs\nbrokerName=c\n")
    live.update(b"traceOn=false")
    assert path.read_text() == "# theirs\nbrokerName=c\ntraceOn=false\n"
    assert path.with_name("broker.conf.bak").read_text() == "# theirs\nbrokerName=c\n"


def test_a_file_that_changes_while_it_is_written_is_read_anew(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = configuration(path)
    fsync, by_hand = os.fsync, ["# first\n", "# second\n"]

    def edit_meanwhile(descriptor: int) -> None:
        fsync(descriptor)
        if by_hand:
            path.write_text(by_hand.pop(0))

    monkeypatch.setattr(os, "fsync", edit_meanwhile)
    live.update(b"traceOn=false")
    assert path.read_text() == "# second\ntraceOn=false\n"
    assert names(path.parent) == {"broker.conf", "broker.conf.bak"}


def test_a_file_that_never_rests_is_given_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    live = configuration(path)
    fsync = os.fsync
    count = 0

    def edit_always(descriptor: int) -> None:
        nonlocal count
        count += 1
        fsync(descriptor)
        path.write_text(f"# {count}\n")

    monkeypatch.setattr(os, "fsync", edit_always)
    with pytest.raises(ConfigError, match="somebody else is changing it"):
        live.update(b"traceOn=false")
    assert "traceOn=true" in live.text()
    assert names(path.parent) == {"broker.conf", "broker.conf.bak"}


def test_a_file_that_was_removed_is_written_as_it_last_was(path: Path) -> None:
    live = configuration(path)
    live.update(b"regionId=x")
    path.unlink()
    live.update(b"traceOn=false")
    assert path.read_text() == FILE.replace("true", "false") + "regionId=x\n"


@pytest.mark.parametrize("text", ["", "\n"])
def test_a_file_that_was_emptied_stays_what_it_is(path: Path, text: str) -> None:
    live = configuration(path)
    path.write_text(text)
    live.update(b"traceOn=false")
    assert path.read_text() == text + "traceOn=false\n"


def test_a_file_that_was_broken_by_hand_is_left_alone(path: Path) -> None:
    live = configuration(path)
    path.write_text("a=1\nb=\\u1\n")
    with pytest.raises(ConfigError, match=r"broker\.conf:2: "):
        live.update(b"traceOn=false")
    assert path.read_text() == "a=1\nb=\\u1\n"
    assert "traceOn=true" in live.text()


def test_a_directory_that_takes_no_files(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_options: object) -> tuple[int, str]:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path.parent / ".x"))

    live = configuration(path)
    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    with pytest.raises(ConfigError) as refused:
        live.update(b"traceOn=false\nlistenPort=2")
    assert str(refused.value) == f"{path}: cannot be written: Permission denied (in {path.parent})"
    assert "traceOn=true" in live.text()
    assert (path.read_text(), live.pending) == (FILE, {})


@pytest.mark.parametrize("failing", range(4))
@pytest.mark.parametrize("operation", ["fsync", "replace"])
def test_a_disk_that_gets_full_at_any_step_leaves_the_old_file(
    path: Path, monkeypatch: pytest.MonkeyPatch, operation: str, failing: int
) -> None:
    live = configuration(path)
    original = getattr(os, operation)
    calls = 0

    def fill(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == failing + 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return original(*args)

    monkeypatch.setattr(os, operation, fill)
    reached = failing < 2  # later ones only sync directories
    refusal = pytest.raises(ConfigError, match="cannot be written: No space left on device")
    with refusal if reached else nullcontext():
        live.update(b"traceOn=false")
    done = "traceOn=false" in live.text()
    monkeypatch.undo()
    assert names(path.parent) <= {"broker.conf", "broker.conf.bak"}
    assert path.read_text() in ((FILE.replace("true", "false"),) if done else (FILE,))
    live.update(b"traceOn=false")
    assert path.read_text() == FILE.replace("true", "false")


def test_two_updates_at_once_lose_nothing(path: Path) -> None:
    live = configuration(path)
    bodies = [f"regionId=r{number}\nbrokerPermission={number}".encode() for number in range(8)]
    ready = threading.Barrier(len(bodies) + 1)

    def change(body: bytes) -> None:
        ready.wait()
        live.update(body)

    def rewrite() -> None:
        ready.wait()
        live.rewrite({"listenPort": "7"})

    threads = [threading.Thread(target=change, args=(body,)) for body in bodies]
    threads.append(threading.Thread(target=rewrite))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    again = configuration(path)
    assert again.text() == live.text()
    broker = live.objects[0]
    assert isinstance(broker, BrokerConfig)
    assert (broker.region_id, broker.listen_port) == (f"r{broker.broker_permission}", 7)


def test_a_rewrite_changes_any_key_in_the_file_and_in_memory(path: Path) -> None:
    live = configuration(path, always_forbidden=("brokerName",))
    live.rewrite({"brokerName": "c", "traceOn": "false", "fileReservedTime": "3"})
    broker = live.objects[0]
    assert isinstance(broker, BrokerConfig)
    assert (broker.broker_name, broker.trace_on, live.pending) == ("c", False, {})
    assert path.read_text() == "# mine\nbrokerName=c\ntraceOn=false\nfileReservedTime=3\n"
    assert live.text() == configuration(path).text()


@pytest.mark.parametrize("changes", [{"brokerNam": "c"}, {"brokerName": "c", "listenPort": "0"}])
def test_a_rewrite_is_checked_and_whole(path: Path, changes: dict[str, str]) -> None:
    live = configuration(path)
    before = live.text()
    with pytest.raises(ConfigError):
        live.rewrite(changes)
    assert (live.text(), path.read_text()) == (before, FILE)


def test_without_a_file_only_what_takes_effect_at_once_is_accepted() -> None:
    live = Configuration([BrokerConfig()])
    live.update(b"traceOn=false")
    with pytest.raises(
        ConfigError, match="needs a restart, and no file would keep it until then: listenPort"
    ):
        live.update(b"regionId=x\nlistenPort=5")
    assert {"traceOn=false", "regionId=DefaultRegion", "listenPort=6888"} <= set(live.text().splitlines())
    live.rewrite({"listenPort": "5"})
    assert "listenPort=5" in live.text()


def even(raw: RawConfig) -> None:
    (broker, _), _ = build([BrokerConfig, MessageStoreConfig], raw)
    if broker.listen_port % 2 != broker.broker_permission % 2:
        raise ConfigError(None, None, "listenPort", f"{broker.listen_port} does not go with the permission")


def test_what_the_next_start_would_refuse_is_refused(path: Path) -> None:
    live = configuration(path, check=even)
    with pytest.raises(ConfigError, match="key 'listenPort': 7001 does not go with the permission"):
        live.update(b"listenPort=7001\ntraceOn=false")
    assert (path.read_text(), live.pending) == (FILE, {})
    live.update(b"listenPort=7000")
    assert live.pending == {"listenPort": "7000"}


def test_a_rule_holds_for_the_running_values_too(path: Path) -> None:
    live = configuration(path, check=even)
    with pytest.raises(ConfigError, match="6888 does not go"):
        live.update(b"brokerPermission=5")
    with pytest.raises(ConfigError, match="6888 does not go"):
        live.update(b"brokerPermission=5\nlistenPort=7001")


def test_what_was_wrong_before_does_not_stop_another_key(path: Path) -> None:
    live = configuration(path, check=even)
    path.write_text("listenPort=7001\n")
    live.update(b"traceOn=false")
    assert path.read_text() == "listenPort=7001\ntraceOn=false\n"


def test_replacing_says_when_the_file_is_another(tmp_path: Path) -> None:
    path = tmp_path / "x"
    assert replace_file(path, FileContent(b"1"), previous=None)
    assert not replace_file(path, FileContent(b"2"), previous=None)
    assert read_content(path) == FileContent(b"1")
    assert replace_file(path, FileContent(b"2"), previous=FileContent(b"1"))
    assert names(tmp_path) == {"x", "x.bak"}
