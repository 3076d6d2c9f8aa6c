"""Showing and changing the configuration of a running program (codes 25 and 26)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from configuration import ConfigError, Configuration, ForbiddenKeyError, build, properties_text, read_file
from tests.configuration.samples import BrokerConfig, MessageStoreConfig

if TYPE_CHECKING:
    from pathlib import Path

FILE = "# my broker\nbrokerName=b\nlistenPort=10911\nfileReservedTime=72\nmine=1\nregionId=a,\\\n  b\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "broker.conf"
    path.write_text(FILE)
    return path


def configuration(path: Path) -> Configuration:
    objects, report = build([BrokerConfig, MessageStoreConfig], read_file(path))
    return Configuration(
        objects,
        report=report,
        path=path,
        always_forbidden=("rocketmqHome",),
        black_list=lambda: objects[0].config_black_list,
    )


def test_the_text_shows_effective_inert_and_unknown_keys_sorted(path: Path) -> None:
    live = configuration(path)
    lines = live.text().splitlines()
    assert lines == sorted(lines)
    assert {"brokerName=b", "fileReservedTime=72", "mine=1", "brokerIP1=", "traceOn=true", "tags=x"} <= set(
        lines
    )
    assert properties_text([BrokerConfig(password="p")]).count("password=******\n") == 1


def test_a_runtime_key_changes_at_once_and_in_the_file(path: Path) -> None:
    live = configuration(path)
    update = live.update(b"traceOn=false\nregionId=c\n")
    broker = live.objects[0]
    assert isinstance(broker, BrokerConfig)
    assert (broker.trace_on, broker.region_id, update.pending) == (False, "c", ())
    assert path.read_text() == FILE.replace("regionId=a,\\\n  b", "regionId=c") + "traceOn=false\n"
    assert path.with_name("broker.conf.bak").read_text() == FILE
    assert path.with_name("broker.conf.bak").stat().st_mode & 0o777 == 0o644


def test_another_key_waits_for_the_next_start(path: Path) -> None:
    live = configuration(path)
    update = live.update(b"listenPort=10999\ntraceOn=false")
    assert update.pending == ("listenPort",)
    assert "listenPort=10911" in live.text()
    assert "listenPort=10999" in path.read_text()
    assert "listenPort=10999" in configuration(path).text()


def test_inert_and_extra_keys_are_kept(path: Path) -> None:
    live = configuration(path)
    assert live.update(b"fileReservedTime=48\nmine=2\ncheckCRCOnRecover=false").inert == (
        "fileReservedTime",
        "mine",
        "checkCRCOnRecover",
    )
    assert {"fileReservedTime=48", "mine=2", "checkCRCOnRecover=false"} <= set(live.text().splitlines())
    assert live.text() == configuration(path).text()


@pytest.mark.parametrize("key", ["rocketmqHome", "brokerConfigPath", "configBlackList"])
def test_keys_of_the_black_list_are_refused(path: Path, key: str) -> None:
    with pytest.raises(ForbiddenKeyError, match=r"^Can not update config in black list\.$"):
        configuration(path).update(f"traceOn=false\n{key}=x".encode())
    assert path.read_text() == FILE


def test_one_wrong_value_changes_nothing_and_every_wrong_key_is_named(path: Path) -> None:
    live = configuration(path)
    before = live.text()
    with pytest.raises(ConfigError) as refused:
        live.update(b"traceOn=false\nlistenPort=x\nregonId=q\nfileReservedTime=y\n")
    assert str(refused.value).split("; key") == [
        "key 'listenPort': 'x' is not an integer between 1 and 65535",
        " 'regonId': is not known; did you mean 'regionId'?",
        " 'fileReservedTime': 'y' is not an integer between -2147483648 and 2147483647",
    ]
    assert live.text() == before
    assert path.read_text() == FILE


def test_an_empty_body_changes_nothing(path: Path) -> None:
    assert configuration(path).update(b"").accepted == {}
    assert not path.with_name("broker.conf.bak").exists()


def test_a_file_that_cannot_be_written_changes_nothing(path: Path) -> None:
    live = configuration(path)
    live.path = path / "below-a-file"
    with pytest.raises(ConfigError, match="cannot be written"):
        live.update(b"traceOn=false")
    assert "traceOn=true" in live.text()


def test_a_missing_file_is_created(tmp_path: Path) -> None:
    path = tmp_path / "store" / "config" / "broker.properties"
    live = Configuration([BrokerConfig()], path=path)
    live.update("regionId=é".encode())
    assert path.read_text() == "regionId=\\u00E9\n"


def test_a_toml_file_stays_toml(tmp_path: Path) -> None:
    path = tmp_path / "broker.toml"
    path.write_text('# mine\ntags = [\n "a",\n]\nlisten_port = 1 # odd')
    live = configuration(path)
    live.update(b"tags=q;r\nlistenPort=2\ntraceOn=false\nfileReservedTime=3\ndiskRatio=0.5\nregionId=x")
    assert path.read_text() == (
        '# mine\ntags = ["q", "r"]\nlisten_port = 2 # odd\ntrace_on = false\nfile_reserved_time = 3\n'
        'disk_ratio = 0.5\nregion_id = "x"\n'
    )
