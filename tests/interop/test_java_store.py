"""Files, not brokers: what a Java broker leaves on disk our store reads, and the other way round."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from remoting.protocol.message import (
    decode_messages,
    encode_host,
    encode_properties,
    is_system_topic,
    java_string_hash,
    tags_code,
)
from store import Message, MessageStore, MessageStoreConfig
from tests.interop.java import Driver

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.interop.conftest import ClusterMaker
    from tests.interop.peers import JavaPeer

TOPIC = "Exchanged"
SIZES = {
    "mappedFileSizeCommitLog": 1 << 16,
    "mappedFileSizeConsumeQueue": 400,
    "maxHashSlotNum": 1000,
    "maxIndexNum": 4000,
}


def open_store(root: Path) -> MessageStore:
    config = MessageStoreConfig(
        store_path_root_dir=str(root),
        mapped_file_size_commit_log=SIZES["mappedFileSizeCommitLog"],
        mapped_file_size_consume_queue=SIZES["mappedFileSizeConsumeQueue"],
        max_hash_slot_num=SIZES["maxHashSlotNum"],
        max_index_num=SIZES["maxIndexNum"],
    )
    store = MessageStore(config, broker_name="broker-a", store_host=("127.0.0.1", 10911))
    store.reserve()
    store.load()
    return store


def check_whole_store(store: MessageStore, expected: list[str]) -> None:
    """Every queue unit points at its message, every key finds its message, nothing is missing."""
    found: list[str] = []
    for topic in store.topics():
        for queue_id in store.queues(topic):
            first, end = store.min_offset(topic, queue_id), store.max_offset(topic, queue_id)
            units = store.consume_queue_units(topic, queue_id, first, end - first)
            assert len(units) == end - first
            for offset, (physical, size, code) in enumerate(units, first):
                data = store.message_at(physical)
                assert data is not None
                [message] = decode_messages(data)
                assert (message.topic, message.queue_id, message.queue_offset) == (topic, queue_id, offset)
                assert (message.store_size, message.commit_log_offset) == (size, physical)
                if is_system_topic(topic):
                    continue
                assert code == java_string_hash(message.properties.get("TAGS", ""))
                for key in (message.properties["UNIQ_KEY"], *message.properties.get("KEYS", "").split()):
                    result = store.query(topic, key, 64, 0, 1 << 62)
                    assert message.commit_log_offset in [
                        item.commit_log_offset
                        for buffer in result.buffers
                        for item in decode_messages(buffer)
                    ]
                if topic == TOPIC:
                    found.append(message.body.decode())
    assert sorted(found) == sorted(expected)


@pytest.mark.parametrize("end", ["stopped", "killed"])
def test_our_store_opens_what_a_java_broker_left(
    end: str,
    new_java_cluster: ClusterMaker,
    java_peer: JavaPeer,
    new_home: Callable[[str], Path],
) -> None:
    root = new_home("store") / "broker"
    cluster = new_java_cluster(store=root, settings=SIZES)
    single = [f"m{i}-" + "x" * (i * 37 % 3000) for i in range(40)]
    batch = [f"b{i}" for i in range(20)]
    with Driver(java_peer, home=new_home("driver"), name_server=cluster.name_server) as driver:
        driver.admin("updateTopic", "-b", cluster.broker_address, "-t", TOPIC, "-r", "2", "-w", "2")
        for number, body in enumerate(single):
            driver.call("send", topic=TOPIC, bodies=[body], tags=f"Tag{number % 3}", keys=f"key{number}")
        driver.call("sendBatch", topic=TOPIC, bodies=batch, tags="TagB")
    if end == "killed":
        cluster.kill_broker()
    else:
        cluster.stop_broker()
    store = open_store(root)
    assert store.recovery is not None
    assert store.recovery.clean is (end == "stopped")
    check_whole_store(store, single + batch)
    store.shutdown()
    store.release()


@pytest.mark.parametrize("end", ["stopped", "killed"])
def test_a_java_broker_serves_what_our_store_wrote(
    end: str,
    new_java_cluster: ClusterMaker,
    java_peer: JavaPeer,
    new_home: Callable[[str], Path],
) -> None:
    root = new_home("store") / "broker"
    store = open_store(root)
    born = encode_host("127.0.0.1", 5555)
    bodies = [f"m{i}-" + "y" * (i * 37 % 3000) for i in range(60)]
    messages = []
    for number, body in enumerate(bodies):
        unique = f"7F000001{number:024X}"
        tags = f"Tag{number % 3}"
        properties = {"KEYS": f"key{number}", "UNIQ_KEY": unique, "WAIT": "true", "TAGS": tags}
        messages.append(
            Message(
                TOPIC,
                number % 2,
                0,
                0,
                1_700_000_000_000,
                born,
                body.encode(),
                encode_properties(properties),
                tags_code(tags),
                (unique, f"key{number}"),
            )
        )
    for at in range(0, len(messages), 7):
        assert all(result.ok for result in store.put(messages[at : at + 7]))
    if end == "stopped":
        store.shutdown()
    store.release()
    if end == "killed":
        shutil.rmtree(root / "consumequeue")
    cluster = new_java_cluster(store=root, settings=SIZES)
    with Driver(java_peer, home=new_home("driver"), name_server=cluster.name_server) as driver:
        driver.admin("updateTopic", "-b", cluster.broker_address, "-t", TOPIC, "-r", "2", "-w", "2")
        read = driver.call("pullAll", topic=TOPIC, group="readers")
        assert sorted(message["body"] for message in read) == sorted(bodies)
        tagged = driver.call("pullAll", topic=TOPIC, group="readers", expression="Tag1")
        assert sorted(message["body"] for message in tagged) == sorted(bodies[1::3])
        assert "7F000001" in driver.admin("queryMsgByKey", "-t", TOPIC, "-k", "key7")
