"""The container's file, its environment and its options."""

from __future__ import annotations

from pathlib import Path

import pytest

from configuration import ConfigError
from container import BootRefusedError, broker_paths, name_server_list, read_settings


def test_the_container_listens_on_10811_unless_its_file_says_otherwise(tmp_path: Path) -> None:
    assert read_settings(None, environ={}).server_config.listen_port == 10811
    path = tmp_path / "container.conf"
    path.write_text("listenPort=20811\n")
    assert read_settings(path, environ={}).server_config.listen_port == 20811


def test_an_option_comes_before_the_file_and_the_file_before_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "container.conf"
    path.write_text("namesrvAddr=file:1\n")
    environ = {"NAMESRV_ADDR": "environment:1"}
    assert read_settings(None, environ=environ).config.namesrv_addr == "environment:1"
    assert read_settings(path, environ=environ).config.namesrv_addr == "file:1"
    assert read_settings(path, namesrv_addr="option:1", environ=environ).config.namesrv_addr == "option:1"


@pytest.mark.parametrize("text", ["nohost", ":9876", "host:", "host:port", "a:1;b", "a:0", "a:65536"])
def test_a_malformed_name_server_address_ends_the_process_with_253(text: str) -> None:
    with pytest.raises(BootRefusedError, match=r"The Name Server Address\[.*\] illegal") as refused:
        name_server_list(text)
    assert refused.value.exit_code == 253


def test_name_servers_are_separated_by_semicolons() -> None:
    assert name_server_list("a:1; b:2;") == ["a:1", "b:2"]
    assert name_server_list(None) == []


def test_broker_files_are_looked_for_beside_the_containers_file_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.conf").write_text("")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    assert broker_paths("a.conf:b.conf", tmp_path) == [tmp_path / "a.conf", tmp_path / "b.conf"]
    assert broker_paths("a.conf:b.conf", tmp_path / "sub") == [Path("a.conf"), tmp_path / "sub" / "b.conf"]
    assert broker_paths("a.conf", None) == [Path("a.conf")]


def test_odd_lists_of_files(tmp_path: Path) -> None:
    file, link = tmp_path / "a.conf", tmp_path / "link.conf"
    file.write_text("")
    link.symlink_to(file)
    assert broker_paths(f":: {file} :{file}:{link}: :", None) == [file]
    assert broker_paths("~nobody-has-this-name/a.conf", None) == [Path("~nobody-has-this-name/a.conf")]
    assert broker_paths("~/a.conf", tmp_path) == [Path.home() / "a.conf"]


def test_updates_go_to_the_file_it_came_from_and_may_not_name_the_brokers(tmp_path: Path) -> None:
    path = tmp_path / "container.conf"
    path.write_text("# mine\nlistenPort=20811\n")
    configuration = read_settings(path, environ={}).configuration()
    configuration.update(b"restartBackoffMillis=5000\n")
    assert path.read_text() == "# mine\nlistenPort=20811\nrestartBackoffMillis=5000\n"
    assert (tmp_path / "container.conf.bak").read_text() == "# mine\nlistenPort=20811\n"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("listenPort=2\n", "key 'listenPort': there is no port two below 2"),
        ("embeddedNamesrvListenPort=20811\n", "20811 is the container's listenPort"),
        ("embeddedNamesrvListenPort=20809\n", "20809 is the container's fast port"),
        ("namesrvAddr=nowhere\n", "illegal"),
    ],
)
def test_no_update_keeps_the_process_from_starting_again(tmp_path: Path, text: str, wrong: str) -> None:
    served, refused = tmp_path / "container.conf", tmp_path / "refused.conf"
    served.write_text("listenPort=20811\nembeddedNamesrv=true\n")
    refused.write_text(served.read_text() + text)
    with pytest.raises((BootRefusedError, ConfigError), match=wrong):
        read_settings(refused, environ={})
    configuration = read_settings(served, environ={}).configuration()
    with pytest.raises(ConfigError, match=wrong):
        configuration.update(text.encode())
    assert served.read_text() == "listenPort=20811\nembeddedNamesrv=true\n"


def test_a_malformed_name_server_address_is_refused_with_the_line_that_it_stands_in(tmp_path: Path) -> None:
    path = tmp_path / "container.conf"
    path.write_text("listenPort=10811\nnamesrvAddr=127.0.0.\n")
    with pytest.raises(BootRefusedError, match=rf"^{path}:2: The Name Server Address\[127\.0\.0\.\] illegal"):
        read_settings(path, environ={})
    with pytest.raises(BootRefusedError, match=r"^The Name Server Address\[x\] illegal"):
        read_settings(path, namesrv_addr="x", environ={})


@pytest.mark.parametrize(
    ("name", "text"), [("c.conf", "a=b\nlistenPort=1\n"), ("c.toml", "a = 1\nlisten_port = 1\n")]
)
def test_a_port_that_cannot_be_is_refused_with_its_line(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ConfigError, match=rf"^{path}:2: key 'listenPort': there is no port two below 1"):
        read_settings(path, environ={})
