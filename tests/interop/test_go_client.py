"""github.com/apache/rocketmq-client-go/v2 v2.1.2: the Go client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.interop.foreign import ForeignClient
from tests.interop.foreign_suite import ForeignSuite, Unique

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.interop.cluster import Cluster
    from tests.interop.java import Driver


class TestGoClient(ForeignSuite):
    @pytest.fixture
    def client(
        self, go_client: list[str], cluster: Cluster, new_home: Callable[[str], Path]
    ) -> ForeignClient:
        return ForeignClient(go_client, cluster.name_server, new_home)

    def test_a_batch_is_stored_as_single_messages(
        self, client: ForeignClient, driver: Driver, topic: str, unique: Unique
    ) -> None:
        (result,) = client.send(topic, unique("senders"), 20, "TagF", "batch")
        assert len(result["offsetMsgId"].split(",")) == 20
        received = driver.call("pullAll", topic=topic, group=unique("readers"))
        assert [message["body"] for message in received] == [f"m{i}" for i in range(20)]
        assert [message["keys"] for message in received] == [f"key{i}" for i in range(20)]

    def test_sharding_keys_keep_their_queue(
        self, client: ForeignClient, driver: Driver, topic: str, unique: Unique
    ) -> None:
        results = client.send(topic, unique("senders"), 20, "TagF", "ordered")
        for shard in range(4):
            own = [result for number, result in enumerate(results) if number % 4 == shard]
            assert len({result["queueId"] for result in own}) == 1
            offsets = [result["queueOffset"] for result in own]
            assert offsets == sorted(offsets)
        assert len(driver.call("pullAll", topic=topic, group=unique("readers"))) == 20
