"""From files to config objects: names, types, ranges and what is said about keys without effect."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from configuration import ConfigError, RawConfig, build, parse_text, read_file
from configuration.java_keys import java_keys
from configuration.names import to_camel_case, to_snake_case
from tests.configuration.samples import BrokerConfig, MessageStoreConfig, Role

CLASSES = [BrokerConfig, MessageStoreConfig]


def built(raw: RawConfig) -> tuple[BrokerConfig, MessageStoreConfig, Any]:
    (broker, store), report = build(CLASSES, raw)
    return broker, store, report


def test_a_java_file_is_read_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "broker.conf"
    path.write_text(
        "# sample\nbrokerName = broker-b \nbrokerIP1=10.0.0.1\nlistenPort: 10911\nbrokerRole SLAVE\n"
        "traceOn=False\ndiskRatio=0.5\ntags=a; b;\n"
    )
    broker, store, report = built(read_file(path))
    assert broker == BrokerConfig(
        broker_name="broker-b", broker_ip1="10.0.0.1", listen_port=10911, trace_on=False, tags=["a", "b"]
    )
    assert store == MessageStoreConfig(broker_role=Role.SLAVE, disk_ratio=0.5)
    assert report.warnings == ()


def test_toml_has_the_same_keys_in_snake_case(tmp_path: Path) -> None:
    path = tmp_path / "broker.toml"
    path.write_text(
        '# sample\nbroker_name = "broker-b"\nbroker_ip1 = "10.0.0.1"\nlisten_port = 10911\n'
        'broker_role = "SLAVE"\ntrace_on = false\ndisk_ratio = 1\ntags = [\n  "a", # first\n  "b",\n]\n'
        'aux_toml = 1\ncheck_crc_on_recover = "x"\n'
    )
    with pytest.raises(ConfigError, match=r"broker\.toml:13: key 'check_crc_on_recover': 'x' is not true or"):
        built(read_file(path))
    path.write_text(path.read_text().replace('"x"', "true"))
    broker, store, report = built(read_file(path))
    assert (broker.broker_name, broker.broker_ip1, broker.listen_port) == ("broker-b", "10.0.0.1", 10911)
    assert (broker.trace_on, broker.tags) == (False, ["a", "b"])
    assert (store.broker_role, store.disk_ratio) == (Role.SLAVE, 1.0)
    assert report.unknown == {"auxToml": "1"}
    assert report.inert == {"checkCRCOnRecover": "true"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("listenPort=abc", "key 'listenPort': 'abc' is not an integer between 1 and 65535"),
        ("listenPort=0", "key 'listenPort': '0' is not an integer between 1 and 65535"),
        ("listenPort=", "key 'listenPort': '' is not an integer between 1 and 65535"),
        ("listenPort=1_0", "key 'listenPort': '1_0' is not an integer between 1 and 65535"),
        ("brokerPermission=2147483648", "an integer between -2147483648 and 2147483647"),
        ("traceOn=yes", "key 'traceOn': 'yes' is not true or false"),
        ("brokerRole=MASTER", "key 'brokerRole': 'MASTER' is not one of ASYNC_MASTER, SLAVE"),
        ("diskRatio=1.5", "key 'diskRatio': '1.5' is not a number between 0 and 1"),
        ("diskRatio=nan", "key 'diskRatio': 'nan' is not a number between 0 and 1"),
        ("sqlFilter=true", "key 'sqlFilter': 'true' is not false"),
        (
            "serverWorkerThreads2=1\nfileReservedTime=x",
            "b.conf:3: key 'fileReservedTime': 'x' is not an integer",
        ),
        ("aclEnable=true", "key 'aclEnable': 'true' is refused: access control is not supported"),
        ("authenticationEnabled=TRUE", "authentication is not supported"),
    ],
)
def test_wrong_values_are_refused_with_their_place(line: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "b.conf"
    path.write_text(f"# first\n{line}\n")
    with pytest.raises(ConfigError) as refused:
        built(read_file(path))
    assert message in str(refused.value)
    assert f"{path}:" in str(refused.value)


def test_the_first_wrong_line_of_the_file_is_reported() -> None:
    with pytest.raises(ConfigError) as refused:
        built(parse_text("diskRatio=x\nlistenPort=y\n"))
    assert (refused.value.line, refused.value.key) == (1, "diskRatio")


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("listenport=1", "key 'listenport' is not known and has no effect; did you mean 'listenPort'?"),
        ("brokrName=b", "key 'brokrName' is not known and has no effect; did you mean 'brokerName'?"),
        ("fileReservedTme=1", "did you mean 'fileReservedTime'?"),
        ("zzz=1", "key 'zzz' is not known and has no effect"),
        ("fileReservedTime=72", "key 'fileReservedTime' is known, but has no effect in this program"),
        (
            "serverWorkerThreads=8",
            "key 'serverWorkerThreads' belongs to NettyServerConfig and has no effect here",
        ),
        ("traceOn=true\ntraceOn=false", "key 'traceOn' is set again in line 2, which counts"),
    ],
)
def test_keys_without_effect_are_said(text: str, warning: str) -> None:
    report = built(parse_text(text))[2]
    assert len(report.warnings) == 1
    assert warning in report.warnings[0]


def test_defaults_of_the_caller_give_way_to_the_file() -> None:
    defaults = {"listen_port": 10811, "broker_name": "x"}
    (broker, _), _ = build(CLASSES, parse_text("brokerName=y"), defaults)
    assert (broker.listen_port, broker.broker_name) == (10811, "y")


def test_an_empty_value_of_an_optional_key_is_none() -> None:
    assert built(parse_text("brokerIP1="))[0].broker_ip1 is None


def test_toml_without_keys_of_its_own_kind_is_refused() -> None:
    for text, message in [
        ("[broker]\nname='x'", "tables are not used"),
        ("a.b = 1", "tables are not used"),
        ("a = 1979-05-27", "only texts, numbers"),
        ("a = [1]", "only texts, numbers"),
        ("x = 1\na = ", "f.toml:2: "),
    ]:
        with pytest.raises(ConfigError, match=message):
            parse_text(text, Path("f.toml"))


def test_an_unreadable_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.conf: cannot be read: No such file or directory"):
        read_file(tmp_path / "none.conf")


def test_objects_refuse_wrong_values_too() -> None:
    with pytest.raises(ConfigError, match="key 'listenPort': '0' is not an integer between 1 and 65535"):
        BrokerConfig(listen_port=0)
    config = BrokerConfig()
    with pytest.raises(ConfigError):
        config.listen_port = 70000
    assert config.listen_port == 6888
    assert "password" not in repr(config)


def test_lists_are_not_shared_between_objects() -> None:
    assert BrokerConfig().tags is not BrokerConfig().tags


@pytest.mark.parametrize(
    ("camel", "snake"),
    [
        ("listenPort", "listen_port"),
        ("brokerIP1", "broker_ip1"),
        ("enableDLegerCommitLog", "enable_dleger_commit_log"),
        ("storePathDLedgerCommitLog", "store_path_dledger_commit_log"),
        ("rocksdbCQDoubleWriteEnable", "rocksdb_cq_double_write_enable"),
        ("useTLS", "use_tls"),
    ],
)
def test_names_map_mechanically(camel: str, snake: str) -> None:
    assert to_snake_case(camel) == snake


def test_every_java_key_has_a_snake_name_of_its_own() -> None:
    for cls in CLASSES:
        keys = java_keys(cls)
        assert len({to_snake_case(key) for key in keys}) == len(keys) > 200
        plain = [key for key in keys if to_camel_case(to_snake_case(key)) == key]
        assert len(plain) > 0.85 * len(keys)
