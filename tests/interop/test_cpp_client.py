"""The C++ client 1.0.1, through PyPI rocketmq 0.4.4."""

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


class TestCppClient(ForeignSuite):
    @pytest.fixture
    def client(
        self, cpp_client: list[str], cluster: Cluster, new_home: Callable[[str], Path]
    ) -> ForeignClient:
        return ForeignClient(cpp_client, cluster.name_server, new_home)

    def test_ordered_sends_keep_their_queue(
        self, client: ForeignClient, driver: Driver, topic: str, unique: Unique
    ) -> None:
        client.send(topic, unique("senders"), 20, "TagF", "ordered")
        received = driver.call("pullAll", topic=topic, group=unique("readers"))
        for queue in range(4):
            own = [int(message["body"][1:]) for message in received if message["queueId"] == queue]
            assert own == list(range(queue, 20, 4))
