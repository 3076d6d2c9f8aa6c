"""`mqbrokercontainer`, `mqbroker`, `mqnamesrv`, `mqshutdown` as their users see them."""

from __future__ import annotations

import signal
import socket
from typing import TYPE_CHECKING

import pytest
from commands import Started, run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


def broker_file(home: Path, name: str = "a", **keys: object) -> Path:
    path = home / f"broker-{name}.conf"
    entries = {
        "brokerName": f"broker-{name}",
        "listenPort": 0,
        "brokerIP1": "127.0.0.1",
        "storePathRootDir": f"~/store-{name}",
        "mappedFileSizeCommitLog": 1 << 20,
        **keys,
    }
    path.write_text("".join(f"{key}={value}\n" for key, value in entries.items()))
    return path


def container_file(home: Path, **keys: object) -> Path:
    path = home / "container.conf"
    entries = {
        "listenPort": 0,
        "bindAddress": "127.0.0.1",
        "embeddedNamesrv": "true",
        "embeddedNamesrvListenPort": 0,
        **keys,
    }
    path.write_text("".join(f"{key}={value}\n" for key, value in entries.items()))
    return path


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_container_stops_cleanly_on_a_signal_and_saves_everything(
    home: Path, number: signal.Signals
) -> None:
    files = broker_file(home), broker_file(home, "b")
    names = ":".join(file.name for file in files)
    with Started(
        home, "mqbrokercontainer", "-c", str(container_file(home, brokerConfigPaths=names))
    ) as started:
        started.wait_for(r"Broker \[broker-[ab]-0\] boot success\. serializeType=JSON")
        started.wait_for(r"The broker container boot success\. serializeType=JSON and name server is 127")
        started.wait_for(r"try .*mqadmin clusterList -n 127\.0\.0\.1:\d+")
        assert (home / "store-a" / "abort").exists()
        code, errors = started.stop(number)
    assert (code, "Traceback" in errors) == (0, False), errors
    for store in ("store-a", "store-b"):
        assert not (home / store / "abort").exists()
        assert (home / store / "checkpoint").exists()
        assert (home / store / "config" / "topics.json").exists()
    log = (home / "logs" / "rocketmqlogs" / "broker.log").read_text()
    assert "broker-a" in log


def test_a_broker_alone_prints_the_boot_line_that_scripts_wait_for(home: Path) -> None:
    with Started(home, "mqbroker", "-c", str(broker_file(home))) as started:
        started.wait_for(r"The broker boot success\. serializeType=JSON")
        assert started.stop()[0] == 0


def test_a_name_server_prints_the_boot_line_that_scripts_wait_for(home: Path) -> None:
    path = home / "namesrv.conf"
    path.write_text("listenPort=0\n")
    with Started(home, "mqnamesrv", "-c", str(path)) as started:
        started.wait_for(r"The Name Server boot success\. serializeType=JSON, address 0\.0\.0\.0:\d+")
        assert started.stop()[0] == 0


def test_one_broker_that_cannot_start_does_not_hurt_the_others(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        names = f"{broker_file(home).name}:{broker_file(home, 'b', listenPort=port).name}"
        path = container_file(home, brokerConfigPaths=names)
        with Started(home, "mqbrokercontainer", "-c", str(path)) as started:
            started.wait_for(r"Add broker \[broker-b-0\] failed\.")
            started.wait_for(r"The broker container boot success")
            code, errors = started.stop()
    assert code == 0
    assert f"127.0.0.1:{port}" in errors
    assert "Traceback" not in errors


def test_with_exit_on_boot_failure_one_broker_that_cannot_start_ends_the_process(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        names = f"{broker_file(home).name}:{broker_file(home, 'b', listenPort=port).name}"
        path = container_file(home, brokerConfigPaths=names, exitOnBootFailure="true")
        ended = run(home, "mqbrokercontainer", "-c", str(path))
    assert ended.returncode == 255
    assert f"broker-b: cannot listen on 127.0.0.1:{port}" in ended.stderr
    assert not (home / "store-a" / "abort").exists()


def test_a_container_port_that_is_taken_is_one_sentence(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run(home, "mqbrokercontainer", "-c", str(container_file(home, listenPort=port)))
    assert ended.returncode == 255
    assert f"container: cannot listen on 127.0.0.1:{port}" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_name_servers_file_that_cannot_be_read_is_one_sentence(home: Path) -> None:
    (home / "kv").mkdir()
    path = home / "namesrv.conf"
    path.write_text(f"listenPort=0\nkvConfigPath={home}/kv\n")
    embedded = container_file(home, embeddedNamesrvConfigPath=path)
    for ended in (
        run(home, "mqnamesrv", "-c", str(path)),
        run(home, "mqbrokercontainer", "-c", str(embedded)),
    ):
        assert ended.returncode == 255
        assert f"{home}/kv" in ended.stderr
        assert "Traceback" not in ended.stderr


def test_keys_without_effect_are_named_in_the_log(home: Path) -> None:
    path = container_file(home, embeddedNamesrvListenPrt=1)
    with Started(home, "mqbrokercontainer", "-c", str(path)) as started:
        started.wait_for("boot success")
        assert started.stop()[0] == 0
    log = (home / "logs" / "rocketmqlogs" / "broker.log").read_text()
    assert "did you mean 'embeddedNamesrvListenPort'?" in log


def test_a_store_that_another_process_has_is_one_sentence(home: Path) -> None:
    file = broker_file(home)
    with Started(home, "mqbroker", "-c", str(file)) as started:
        started.wait_for("boot success")
        ended = run(home, "mqbroker", "-c", str(file))
        assert started.stop()[0] == 0
    assert ended.returncode == 255
    assert str(home / "store-a") in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_directory_that_cannot_be_written_is_one_sentence(home: Path) -> None:
    (home / "file").write_text("")
    ended = run(home, "mqbroker", "-c", str(broker_file(home, storePathRootDir="~/file/store")))
    assert ended.returncode == 255
    assert str(home / "file") in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("keys", "code", "text"),
    [
        ({"brokerRole": "SLAVE", "brokerId": 0}, 253, "Slave's brokerId must be > 0"),
        ({"minInSyncReplicas": 2}, 253, "invalid replicas number"),
        ({"flushDiskType": "MAYBE"}, 255, "broker-a.conf:6: key 'flushDiskType'"),
        ({"enableDLegerCommitLog": "true"}, 255, "DLedger is not supported"),
    ],
)
def test_wrong_broker_files_refuse_the_start(
    home: Path, keys: dict[str, object], code: int, text: str
) -> None:
    ended = run(home, "mqbrokercontainer", "-b", str(broker_file(home, **keys)))
    assert (ended.returncode, ended.stdout) == (code, "")
    assert text in ended.stderr


@pytest.mark.parametrize("command", ["mqbroker", "mqnamesrv"])
def test_a_log_directory_that_cannot_be_written_is_one_sentence(home: Path, command: str) -> None:
    (home / "logs").write_text("")
    (home / "any.conf").write_text("listenPort=0\n")
    ended = run(home, command, "-c", "any.conf")
    assert (ended.returncode, ended.stdout) == (255, "")
    assert f"{home}/logs/rocketmqlogs: the log cannot be written there" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_commit_log_directory_that_is_none_is_one_sentence(home: Path) -> None:
    (home / "store-a").mkdir()
    (home / "store-a" / "commitlog").write_text("")
    ended = run(home, "mqbroker", "-c", str(broker_file(home)))
    assert ended.returncode == 255
    assert f"{home}/store-a/commitlog" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_an_empty_home_is_an_unknown_one(home: Path) -> None:
    for command in ("mqbrokercontainer", "mqbroker", "mqnamesrv"):
        ended = run(home, command, "-p", HOME="")
        assert (ended.returncode, ended.stdout) == (254, "")
        assert "please set HOME" in ended.stderr


def test_an_option_b_without_a_file_is_refused(home: Path) -> None:
    ended = run(home, "mqbrokercontainer", "-c", str(container_file(home)), "-b", ":")
    assert ended.returncode == 255
    assert "names no broker's file" in ended.stderr


def test_a_name_server_tells_the_serialization_that_it_has(home: Path) -> None:
    path = home / "namesrv.conf"
    path.write_text("listenPort=0\nserializeType=ROCKETMQ\nlistenPrt=1\n")
    with Started(home, "mqnamesrv", "-c", str(path)) as started:
        started.wait_for(r"boot success\. serializeType=ROCKETMQ, address")
        code, errors = started.stop()
    assert code == 0
    assert "namesrv.conf:3: key 'listenPrt' is not known" in errors
    assert "did you mean 'listenPort'?" in errors


def test_a_malformed_name_server_address_refuses_the_start_with_253(home: Path) -> None:
    for command in ("mqbrokercontainer", "mqbroker"):
        ended = run(home, command, "-n", "here")
        assert ended.returncode == 253
        assert "The Name Server Address[here] illegal" in ended.stderr


def test_a_missing_file_is_named(home: Path) -> None:
    for command in ("mqbrokercontainer", "mqbroker", "mqnamesrv"):
        ended = run(home, command, "-c", "nowhere.conf")
        assert ended.returncode == 255
        assert "nowhere.conf" in ended.stderr


def test_p_prints_every_key_and_m_the_important_ones(home: Path) -> None:
    every = run(home, "mqbrokercontainer", "-p", "-n", "10.0.0.1:9876")
    important = run(home, "mqbrokercontainer", "-m", "-n", "10.0.0.1:9876")
    assert (every.returncode, important.returncode) == (0, 0)
    assert {"listenPort=10811", "namesrvAddr=10.0.0.1:9876", "bindAddress=0.0.0.0"} <= set(
        every.stdout.splitlines()
    )
    assert "namesrvAddr=10.0.0.1:9876" in important.stdout
    assert "bindAddress" not in important.stdout
    broker = run(home, "mqbroker", "-p", "-c", str(broker_file(home)))
    assert "brokerName=broker-a" in broker.stdout.splitlines()
    assert "listenPort=9876" in run(home, "mqnamesrv", "-p").stdout.splitlines()


@pytest.mark.parametrize("command", ["mqbrokercontainer", "mqbroker", "mqnamesrv", "mqshutdown"])
def test_help_ends_with_0_and_a_wrong_option_with_255(home: Path, command: str) -> None:
    helped = run(home, command, "-h")
    assert helped.returncode == 0
    assert helped.stdout.startswith(f"Usage: {command}")
    assert run(home, command, "--no-such-option").returncode == 255
