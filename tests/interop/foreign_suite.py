"""What a client in any language must be able to do with the cluster under test, beside Java's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.interop.cluster import Cluster
    from tests.interop.foreign import ForeignClient
    from tests.interop.java import Driver

Unique = Callable[[str], str]

# ali-ons and the C++ client balance by timer, and a retry of theirs waits for level 3, ten seconds.
WAIT_S = 45
QUIET_S = 1.5


def bodies_of(messages: list[dict[str, Any]]) -> list[str]:
    return [message["body"] for message in messages]


class ForeignSuite:
    """A subclass gives the fixture `client`."""

    @pytest.fixture
    def topic(self, driver: Driver, cluster: Cluster, unique: Unique) -> str:
        """A topic that exists: not every client has topics made by sending."""
        name = unique("Foreign")
        driver.admin("updateTopic", "-b", cluster.broker_address, "-t", name, "-r", "4", "-w", "4")
        return name

    def test_java_reads_what_it_sends(
        self, client: ForeignClient, driver: Driver, topic: str, unique: Unique
    ) -> None:
        results = client.send(topic, unique("senders"), 20, "TagF")
        assert len(results) == 20
        received = driver.call("pullAll", topic=topic, group=unique("readers"))
        assert Counter(bodies_of(received)) == Counter(f"m{i}" for i in range(20))
        assert {message["tags"] for message in received} == {"TagF"}
        assert {message["keys"] for message in received} == {f"key{i}" for i in range(20)}
        by_place = {(message["body"], message["queueOffset"]) for message in received}
        assert by_place == {(f"m{i}", result["queueOffset"]) for i, result in enumerate(results)}

    def test_it_consumes_what_java_sends_and_goes_on_after_a_restart(
        self, client: ForeignClient, driver: Driver, topic: str, unique: Unique, system_under_test: str
    ) -> None:
        group = unique("foreign_group")
        if system_under_test == "java":
            # Java's broker may lose one of a group's first commits when they come at the same time.
            driver.call("commit", topic=topic, group=group, queueId=0, offset=0)
        driver.call("send", topic=topic, bodies=[f"old{i}" for i in range(12)], tags="T")
        with client.consume(topic, group) as consumer:
            old = consumer.received(12, WAIT_S)
            driver.call("send", topic=topic, bodies=[f"live{i}" for i in range(12)], tags="T")
            both = consumer.received(24, WAIT_S)
        assert Counter(bodies_of(old)) == Counter(f"old{i}" for i in range(12))
        assert Counter(bodies_of(both[12:])) == Counter(f"live{i}" for i in range(12))
        driver.call("send", topic=topic, bodies=[f"new{i}" for i in range(12)], tags="T")
        with client.consume(topic, group) as consumer:
            consumer.received(12, WAIT_S)
            new = consumer.received(13, QUIET_S)
        assert Counter(bodies_of(new)) == Counter(f"new{i}" for i in range(12)), "new ones only, each once"

    def test_tags_filter_what_it_gets(
        self, client: ForeignClient, driver: Driver, topic: str, unique: Unique
    ) -> None:
        for tag in ("TagA", "TagB", "TagC"):
            driver.call("send", topic=topic, bodies=[f"{tag}{i}" for i in range(5)], tags=tag)
        with client.consume(topic, unique("foreign_group"), "TagA || TagC") as consumer:
            consumer.received(10, WAIT_S)
            received = consumer.received(11, QUIET_S)
        assert Counter(bodies_of(received)) == Counter(f"Tag{tag}{i}" for tag in "AC" for i in range(5))

    def test_a_failed_message_comes_again(
        self, client: ForeignClient, driver: Driver, cluster: Cluster, topic: str, unique: Unique
    ) -> None:
        group = unique("foreign_group")
        # As for a group that is not new. The Go client looks for a retry topic made by its own heartbeat
        # only half a minute later.
        driver.admin(
            "updateTopic", "-b", cluster.broker_address, "-t", f"%RETRY%{group}", "-r", "1", "-w", "1"
        )
        driver.call("send", topic=topic, bodies=[f"m{i}" for i in range(3)], tags="T")
        with client.consume(topic, group, failures=1) as consumer:
            consumer.received(6, WAIT_S)
            received = consumer.received(7, QUIET_S)
        assert Counter((message["body"], message["reconsumeTimes"]) for message in received) == Counter(
            (f"m{i}", times) for i in range(3) for times in range(2)
        )
