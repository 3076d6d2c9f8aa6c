"""One store directory goes back and forth between our broker and Java's, each killed under load."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.interop.cluster import start_our_namesrv
from tests.interop.java import Driver
from tests.interop.store_stress import StoreStress
from tests.interop.stress_loads import add_long_group
from tests.interop.stress_messages import SINGLE
from tests.ports import lease_broker_port, lease_port
from tests.store_reader import read_checkpoint, read_index

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.interop.conftest import ClusterMaker
    from tests.interop.peers import JavaPeer

# Every border is crossed in each round: files of some hundred messages, queue files and index files of less.
SIZES = {
    "mappedFileSizeCommitLog": 1 << 18,
    "mappedFileSizeConsumeQueue": 800,
    "maxHashSlotNum": 1000,
    "maxIndexNum": 2000,
}
DEFAULTS: dict[str, object] = {"bindAddress": "::", "messageDelayLevel": "1s 2s", **SIZES}
SETTINGS = DEFAULTS | {
    "flushConsumerOffsetInterval": 500,
    "flushConsumeQueueThoroughInterval": 500,  # brings checkpoints
    # After a crash Java drops index files. By default it makes only the newest of their entries again, and
    # reads ten files of the log at most.
    "messageIndexSafe": "true",
    "commitLogRecoverMaxNum": 10_000,
    "timerWheelEnable": "false",
}
JAVA_READS_AGAIN = 10
ROUNDS = 4
PER_ROUND = 200


@pytest.fixture(autouse=True)
def _ours_only(system_under_test: str) -> None:
    if system_under_test != "ours":
        pytest.skip("one of the two brokers is to be ours")


@pytest.mark.parametrize(
    ("first", "store_host", "other_host"),
    [("ours", "127.0.0.1", "::1"), ("java", "::1", "127.0.0.1")],
    ids=["ours-first-ipv4", "java-first-ipv6"],
)
def test_a_store_survives_kills_and_changes_hands(
    first: str,
    store_host: str,
    other_host: str,
    new_cluster: ClusterMaker,
    new_java_cluster: ClusterMaker,
    java_peer: JavaPeer,
    new_home: Callable[[str], Path],
) -> None:
    store = new_home("store") / "broker"
    add_long_group(store)
    port = lease_broker_port()
    makers = [new_cluster, new_java_cluster] if first == "ours" else [new_java_cluster, new_cluster]
    with start_our_namesrv(new_home("namesrv"), name_server_port := lease_port()):
        name_server = f"127.0.0.1:{name_server_port}"
        options = {"name_server": name_server, "store": store, "port": port}
        options["settings"] = SETTINGS | {"brokerIP1": store_host, "brokerIP2": store_host}
        broker = makers[0](**options)
        with Driver(java_peer, home=new_home("driver"), name_server=name_server) as driver:
            stress = StoreStress(
                driver,
                store=store,
                port=port,
                store_host=store_host,
                other_host=other_host,
                cluster=broker.name,
            )
            stress.prepare()
            for number in range(1, ROUNDS):
                stress.start_loads()
                stress.await_more(PER_ROUND)
                stress.commit()
                stress.commit_late()
                broker.kill_broker()
                stress.after_kill()
                assert end_of_kept_index(store) > 0, "Java would keep nothing of the index"
                # The Java loads find the next broker at the address of the last one and go on.
                broker = makers[number % 2](**options)
                stress.start_raw_load()
                stress.await_more(PER_ROUND)
                stress.stop_loads()
                stress.check()
            stress.finish_consuming()


def test_what_java_loses_of_the_index_by_default_is_made_again_by_ours(
    new_cluster: ClusterMaker,
    new_java_cluster: ClusterMaker,
    java_peer: JavaPeer,
    new_home: Callable[[str], Path],
) -> None:
    """After a crash Java drops each index file that ends behind the checkpoint, and reads the last files of
    the log again. Everything between is not found by any key any more, until one of our brokers has it.
    """
    store = new_home("store") / "broker"
    add_long_group(store)
    port = lease_broker_port()
    with start_our_namesrv(new_home("namesrv"), name_server_port := lease_port()):
        name_server = f"127.0.0.1:{name_server_port}"
        options = {"name_server": name_server, "store": store, "port": port, "settings": DEFAULTS}
        broker = new_cluster(**options)
        with Driver(java_peer, home=new_home("driver"), name_server=name_server) as driver:
            stress = StoreStress(
                driver, store=store, port=port, store_host="127.0.0.1", other_host="::1", cluster=broker.name
            )
            stress.prepare()
            stress.start_loads()
            while log_files(store) < 2 * JAVA_READS_AGAIN:
                stress.await_more(20)
            broker.kill_broker()
            stress.after_kill()
            files = log_files(store)
            kept_until = end_of_kept_index(store)
            stress.stop_loads()
            broker = new_java_cluster(**options)
            known = stress.read(SINGLE)
            # The entries of the message at the border may lie on both sides of it.
            lost = [
                message
                for message in stress.await_missing(SINGLE)
                if message["commitLogOffset"] != kept_until
            ]
            assert lost, "Java finds everything, as ours would have"
            behind_kept = [message for message in known if message["commitLogOffset"] > kept_until]
            assert lost == behind_kept[: len(lost)]
            size = SIZES["mappedFileSizeCommitLog"]
            read_from = behind_kept[len(lost)]["commitLogOffset"] // size
            assert lost[-1]["commitLogOffset"] < read_from * size
            assert files - read_from <= JAVA_READS_AGAIN
            broker.kill_broker()
            new_cluster(**options)
            assert not stress.await_missing(SINGLE)
            stress.check()


def log_files(store: Path) -> int:
    return len(list((store / "commitlog").iterdir()))


def end_of_kept_index(store: Path) -> int:
    """Offset in the log of the last entry that Java keeps when it opens `store`; -1 when it keeps none."""
    index = read_index(store / "index", SIZES["maxHashSlotNum"], SIZES["maxIndexNum"], killed=False)
    covered_until_ms = read_checkpoint(store / "checkpoint")[2]
    return max((file.end_physical for file in index if file.end_timestamp <= covered_until_ms), default=-1)
