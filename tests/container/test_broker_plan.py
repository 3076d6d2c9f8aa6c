"""From a broker's file to its plan: RocketMQ's rules and ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from configuration import ConfigError
from container import BootRefusedError, BrokerPlan, default_plan, read_plan
from container.broker_plan import read_lone_plan

if TYPE_CHECKING:
    from pathlib import Path


def plan(directory: Path, text: str) -> BrokerPlan:
    path = directory / "broker.conf"
    path.write_text(text)
    return read_plan(path)


def refusal(directory: Path, text: str) -> BootRefusedError:
    with pytest.raises(BootRefusedError) as refused:
        plan(directory, text)
    return refused.value


@pytest.mark.parametrize("role", ["ASYNC_MASTER", "SYNC_MASTER"])
def test_a_master_has_id_0_whatever_the_file_says(tmp_path: Path, role: str) -> None:
    made = plan(tmp_path, f"brokerRole={role}\nbrokerId=5\nlistenPort=10911\n")
    assert made.config.broker_id == 0
    assert made.identity.canonical_name == "DefaultCluster_broker-a_0"


def test_a_missing_port_is_6888_in_a_container_and_the_log_says_so(tmp_path: Path) -> None:
    made = plan(tmp_path, "brokerName=b\n")
    assert made.config.listen_port == 6888
    assert any("listenPort is not set" in warning and "6888" in warning for warning in made.report.warnings)


def test_a_missing_port_is_10911_for_a_broker_that_is_alone(tmp_path: Path) -> None:
    path = tmp_path / "broker.conf"
    path.write_text("brokerName=b\n")
    made, server_config, _client_config = read_lone_plan(path)
    assert (made.config.listen_port, server_config.listen_port) == (10911, 10911)


def test_the_transport_of_a_lone_broker_is_configured_by_its_own_file(tmp_path: Path) -> None:
    path = tmp_path / "broker.conf"
    path.write_text("bindAddress=127.0.0.1\nserverChannelMaxIdleTimeSeconds=7\n")
    _plan, server_config, _client_config = read_lone_plan(path)
    assert server_config.bind_address == "127.0.0.1"
    assert server_config.server_channel_max_idle_time_seconds == 7


def test_the_replication_port_is_the_next_one_unless_the_file_says_otherwise(tmp_path: Path) -> None:
    assert plan(tmp_path, "listenPort=20911\n").store_config.ha_listen_port == 20912
    assert plan(tmp_path, "listenPort=20911\nhaListenPort=30000\n").store_config.ha_listen_port == 30000


@pytest.mark.parametrize(
    "line", ["namesrvAddr=10.0.0.1:9876", "serverWorkerThreads=4", "bindAddress=10.0.0.1", "useTLS=true"]
)
def test_keys_that_a_container_ignores_are_reported(tmp_path: Path, line: str) -> None:
    made = plan(tmp_path, f"listenPort=10911\n{line}\n")
    key = line.partition("=")[0]
    assert any(f"'{key}'" in warning and "no effect" in warning for warning in made.report.warnings)


def test_updates_are_written_to_the_file_it_came_from(tmp_path: Path) -> None:
    made = plan(tmp_path, "listenPort=10911\n")
    assert made.config.broker_config_path == str(tmp_path / "broker.conf")
    made.configuration().update(b"autoCreateTopicEnable=false\n")
    assert "autoCreateTopicEnable=false" in (tmp_path / "broker.conf").read_text()
    assert read_plan(tmp_path / "broker.conf").config.auto_create_topic_enable is False


@pytest.mark.parametrize("broker_id", ["0", "-1"])
def test_a_slave_with_id_0_or_less_ends_the_process_with_253(tmp_path: Path, broker_id: str) -> None:
    refused = refusal(tmp_path, f"brokerRole=SLAVE\nbrokerId={broker_id}\n")
    assert refused.exit_code == 253
    assert "Slave's brokerId must be > 0" in str(refused)


@pytest.mark.parametrize(
    "text",
    [
        "totalReplicas=1\ninSyncReplicas=2\n",
        "minInSyncReplicas=2\n",
        "totalReplicas=3\ninSyncReplicas=1\nminInSyncReplicas=2\n",
    ],
)
def test_invalid_numbers_of_replicas_end_the_process_with_253(tmp_path: Path, text: str) -> None:
    refused = refusal(tmp_path, text)
    assert refused.exit_code == 253
    assert "invalid replicas number" in str(refused)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("brokerRole=SLAVE\nbrokerId=1\n", "SLAVE is not supported yet"),
        ("duplicationEnable=true\n", "duplicationEnable is true"),
        ("brokerRole=SYNC_MASTER\ntotalReplicas=2\ninSyncReplicas=2\n", "inSyncReplicas 2 asks for slaves"),
    ],
)
def test_what_is_not_there_yet_is_refused_by_name(tmp_path: Path, text: str, what: str) -> None:
    refused = refusal(tmp_path, text)
    assert what in str(refused)
    assert str(tmp_path / "broker.conf") in str(refused)


@pytest.mark.parametrize("key", ["enableDLegerCommitLog", "enableControllerMode"])
def test_replicated_logs_and_controllers_are_refused_with_file_and_line(tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigError, match=rf"broker\.conf:2:.*{key}"):
        plan(tmp_path, f"listenPort=10911\n{key}=true\n")


def test_toml_files_say_the_same_in_snake_case(tmp_path: Path) -> None:
    path = tmp_path / "broker.toml"
    path.write_text('broker_name = "t"\nlisten_port = 20911\nbroker_role = "SLAVE"\nbroker_id = 0\n')
    with pytest.raises(BootRefusedError, match="Slave's brokerId must be > 0"):
        read_plan(path)
    path.write_text('broker_name = "t"\nlisten_port = 20911\n')
    assert read_plan(path).store_config.ha_listen_port == 20912


def test_the_home_directory_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    made = plan(tmp_path, "storePathRootDir=~/a\nstorePathCommitLog=~/b\n")
    assert made.paths() == {
        str(tmp_path / "a"): "storePathRootDir",
        str(tmp_path / "b"): "storePathCommitLog",
    }


def test_paths_are_compared_as_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    made = plan(tmp_path, f"storePathRootDir={tmp_path}/link\n")
    assert made.paths() == {str(tmp_path / "real"): "storePathRootDir"}


def test_without_any_configuration_it_is_broker_a_on_10911() -> None:
    made = default_plan()
    assert made.identity.name == "broker-a"
    assert made.ports() == {
        10911: "listenPort",
        10909: "fast port of listenPort 10911",
        10912: "HA port of listenPort 10911",
    }


@pytest.mark.parametrize(
    ("entry", "allowed"),
    [
        ("brokerName=", "must not be empty"),
        ("brokerClusterName=", "must not be empty"),
        ("storePathRootDir=", "must not be empty"),
        ("brokerIP1=1.2.3", "an IPv4 or IPv6 address"),
        ("deleteWhen=04;24", "hours from 00 to 23"),
        ("messageDelayLevel=1s 5x", "times like 10s"),
    ],
)
def test_a_text_without_its_form_is_refused_with_its_line(tmp_path: Path, entry: str, allowed: str) -> None:
    with pytest.raises(ConfigError) as refused:
        plan(tmp_path, f"listenPort=10911\n{entry}\n")
    assert refused.value.line == 2
    assert refused.value.key == entry.partition("=")[0]
    assert allowed in str(refused.value)


REFUSED_AT_START = [
    "brokerName=",
    "storePathRootDir=",
    "brokerIP1=1.2.3",
    "brokerIP2=nowhere",
    "deleteWhen=04;24",
    "messageDelayLevel=1s 5x",
    "brokerRole=SLAVE",
    "brokerRole=SLAVE\nbrokerId=1",
    "brokerId=-1",
    "totalReplicas=0",
    "inSyncReplicas=2",
    "totalReplicas=3\nminInSyncReplicas=2",
    "brokerRole=SYNC_MASTER\ntotalReplicas=2\ninSyncReplicas=2",
    "duplicationEnable=true",
    "enableDLegerCommitLog=true",
    "aclEnable=true",
    "quotaPercentForDiskPartition=0.5\nreplicasPerDiskPartition=3",
    "quotaPercentForDiskPartition=1.5",
    "listenPort=70000",
    "listenPort=2",
    "listenPort=65535",
    "fastListenPort=10911",
    "haListenPort=10911",
    "haListenPort=10909",
    "brokerPermission=9",
]


@pytest.mark.parametrize("suffix", ["conf", "toml"])
@pytest.mark.parametrize("text", REFUSED_AT_START)
def test_what_a_start_refuses_an_update_refuses_too(tmp_path: Path, text: str, suffix: str) -> None:
    with pytest.raises((ConfigError, BootRefusedError)):
        plan(tmp_path, f"listenPort=10911\n{text}\n")
    path = tmp_path / f"served.{suffix}"
    path.write_text("listenPort=10911\n" if suffix == "conf" else "listen_port = 10911\n")
    before = path.read_text()
    configuration = read_plan(path).configuration()
    shown = configuration.text()
    with pytest.raises(ConfigError):
        configuration.update(f"traceOn=false\n{text}\n".encode())
    assert (path.read_text(), configuration.text()) == (before, shown)


def test_a_contradiction_of_values_that_came_one_after_the_other_is_refused(tmp_path: Path) -> None:
    configuration = plan(tmp_path, "listenPort=10911\n").configuration()
    configuration.update(b"quotaPercentForDiskPartition=0.5\n")
    with pytest.raises(ConfigError, match="contradict each other"):
        configuration.update(b"replicasPerDiskPartition=3\n")
    configuration.update(b"quotaPercentForDiskPartition=1\nreplicasPerDiskPartition=3\n")


def test_a_low_listening_port_needs_a_fast_port_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"broker\.conf:1: key 'listenPort': there is no port two below 2"):
        plan(tmp_path, "listenPort=2\n")
    assert plan(tmp_path, "listenPort=2\nfastListenPort=10\n").config.fast_listen_port == 10
    assert list(plan(tmp_path, "listenPort=65535\nhaListenPort=10\n").ports()) == [65535, 65533, 10]


def test_contradicting_shares_are_refused_with_their_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"broker\.conf:2: key 'quotaPercentForDiskPartition': 0\.5 and"):
        plan(tmp_path, "listenPort=10911\nquotaPercentForDiskPartition=0.5\nreplicasPerDiskPartition=3\n")


def test_a_master_cannot_be_given_another_id(tmp_path: Path) -> None:
    configuration = plan(tmp_path, "listenPort=10911\nbrokerId=5\n").configuration()
    configuration.update(b"traceOn=false\n")
    configuration.update(b"brokerId=0\n")
    with pytest.raises(ConfigError, match="a master's id is 0"):
        configuration.update(b"brokerId=3\n")


def test_keys_that_the_container_decides_are_kept_without_effect(tmp_path: Path) -> None:
    configuration = plan(tmp_path, "listenPort=10911\n").configuration()
    update = configuration.update(b"namesrvAddr=10.0.0.1:9876\n")
    assert (update.pending, update.remark("b")) == ((), "kept without effect: namesrvAddr")


def test_a_lone_broker_answers_for_its_transport_too(tmp_path: Path) -> None:
    path = tmp_path / "broker.conf"
    path.write_text("listenPort=10911\n")
    lone, _, _ = read_lone_plan(path)
    configuration = lone.configuration()
    assert "serverChannelMaxIdleTimeSeconds=120" in configuration.text()
    update = configuration.update(b"serverChannelMaxIdleTimeSeconds=60\nlistenPort=10921\n")
    assert set(update.pending) == {"serverChannelMaxIdleTimeSeconds", "listenPort"}
    again, server_config, _ = read_lone_plan(path)
    assert (again.config.listen_port, server_config.listen_port) == (10921, 10921)
    assert server_config.server_channel_max_idle_time_seconds == 60
    assert (lone.config.is_in_broker_container, plan(tmp_path, "").config.is_in_broker_container) == (
        False,
        True,
    )


def test_secrets_are_shown_to_nobody(tmp_path: Path) -> None:
    text = 'listenPort=10911\ninitAuthenticationUser={"password":"p"}\nmySecretKey=s\n'
    configuration = plan(tmp_path, text).configuration()
    assert {"initAuthenticationUser=******", "mySecretKey=******"} <= set(configuration.text().splitlines())
    update = configuration.update(b"mySecretKey=t\ntraceOn=false\n")
    assert update.shown == {"mySecretKey": "******", "traceOn": "false"}
    assert "mySecretKey=t\n" in (tmp_path / "broker.conf").read_text()
    with pytest.raises(ConfigError, match=r"\*\*\*\*\*\* stands for the value"):
        configuration.update(b"mySecretKey=******\n")
