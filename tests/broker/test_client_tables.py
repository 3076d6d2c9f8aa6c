"""Who is connected, and who hears of it."""

from __future__ import annotations

from typing import Any

from fake_connection import FakeConnection
from memory_table import FakeClock

from broker.clients import ClientChannelInfo, ConsumerManager, ProducerManager
from broker.config import BrokerConfig
from remoting.protocol.heartbeat import SubscriptionData
from remoting.protocol.request_code import RequestCode


def subscription(topic: str, version: int = 1, expression: str = "*") -> SubscriptionData:
    return SubscriptionData(topic=topic, sub_string=expression, sub_version=version)


def client(connection: FakeConnection, client_id: str = "c1") -> ClientChannelInfo:
    return ClientChannelInfo(connection, client_id, "JAVA", 479, 0)  # type: ignore[arg-type]


class Consumers:
    """A consumer manager with what it needs."""

    def __init__(self, **config: Any) -> None:
        self.clock = FakeClock()
        self.manager = ConsumerManager(BrokerConfig(**config), clock_ms=self.clock)

    def register(
        self,
        connection: FakeConnection,
        client_id: str = "c1",
        *subscriptions: SubscriptionData,
        model: str = "CLUSTERING",
        notify: bool = True,
    ) -> bool:
        return self.manager.register(
            "g",
            client(connection, client_id),
            consume_type="CONSUME_PASSIVELY",
            message_model=model,
            consume_from_where="CONSUME_FROM_LAST_OFFSET",
            subscriptions=subscriptions or [subscription("t")],
            notify=notify,
        )


def notified(connection: FakeConnection) -> int:
    assert all(command.code == RequestCode.NOTIFY_CONSUMER_IDS_CHANGED for command in connection.pushed)
    return len(connection.pushed)


def test_a_new_member_is_told_to_everyone_in_the_group() -> None:
    consumers, first, second = Consumers(), FakeConnection(), FakeConnection()
    assert consumers.register(first)
    assert consumers.register(second, "c2")
    assert (notified(first), notified(second)) == (2, 1)
    assert first.pushed[0].ext_fields == {"consumerGroup": "g"}


def test_the_same_heartbeat_again_tells_nobody() -> None:
    consumers, first = Consumers(), FakeConnection()
    consumers.register(first)
    assert not consumers.register(first)
    assert notified(first) == 1


def test_a_changed_subscription_is_told() -> None:
    consumers, first = Consumers(), FakeConnection()
    consumers.register(first)
    assert consumers.register(first, "c1", subscription("t"), subscription("u"))
    assert consumers.register(first, "c1", subscription("u"))
    assert notified(first) == 3
    assert consumers.manager.find_subscription("g", "t") is None


def test_the_newest_version_of_a_subscription_counts() -> None:
    consumers, first = Consumers(), FakeConnection()
    consumers.register(first, "c1", subscription("t", 5, "a"))
    consumers.register(first, "c1", subscription("t", 3, "b"))
    found = consumers.manager.find_subscription("g", "t")
    assert found is not None
    assert found.sub_string == "a"


def test_broadcast_groups_and_silent_groups_are_not_told() -> None:
    consumers, first = Consumers(), FakeConnection()
    consumers.register(first, model="BROADCASTING")
    assert notified(first) == 0
    consumers, first = Consumers(), FakeConnection()
    consumers.register(first, notify=False)
    assert notified(first) == 0
    consumers, first = Consumers(notify_consumer_ids_changed_enable=False), FakeConnection()
    consumers.register(first)
    assert notified(first) == 0


def test_notifications_can_be_put_off_and_are_then_sent_once() -> None:
    consumers, first, second = Consumers(real_time_notify_consumer_change=False), *(FakeConnection(),) * 2
    consumers.register(first)
    consumers.register(second, "c2")
    assert notified(first) == 0
    consumers.manager.flush_notifications()
    consumers.manager.flush_notifications()
    assert notified(first) == 1


def test_a_closed_connection_takes_its_members_away_and_the_others_hear_it() -> None:
    consumers, first, second = Consumers(), FakeConnection(), FakeConnection()
    consumers.register(first)
    consumers.register(second, "c2")
    before = notified(second)
    consumers.manager.on_close(first)  # type: ignore[arg-type]
    assert notified(second) == before + 1
    info = consumers.manager.consumer_group_info("g")
    assert info is not None
    assert info.client_ids() == ["c2"]
    consumers.manager.on_close(second)  # type: ignore[arg-type]
    assert consumers.manager.consumer_group_info("g") is None
    consumers.manager.on_close(second)  # type: ignore[arg-type]


def test_unregistering_removes_one_client_of_one_group() -> None:
    consumers, first, second = Consumers(), FakeConnection(), FakeConnection()
    consumers.register(first)
    consumers.register(second, "c2")
    consumers.manager.unregister("g", first)  # type: ignore[arg-type]
    consumers.manager.unregister("g", first)  # type: ignore[arg-type]
    info = consumers.manager.consumer_group_info("g")
    assert info is not None
    assert info.find("c1") is None
    assert info.find("c2") is not None


def test_a_member_without_heartbeat_is_given_up_after_the_timeout() -> None:
    consumers, first, second = Consumers(channel_expired_timeout=120_000), FakeConnection(), FakeConnection()
    consumers.register(first)
    consumers.register(second, "c2")
    consumers.clock.now_ms += 119_000
    assert consumers.manager.scan_expired() == []
    consumers.register(second, "c2")
    consumers.clock.now_ms += 2_000
    assert consumers.manager.scan_expired() == [first]
    info = consumers.manager.consumer_group_info("g")
    assert info is not None
    assert info.client_ids() == ["c2"]


def test_a_subscription_that_came_with_a_pull_is_known_for_a_while() -> None:
    consumers = Consumers()
    consumers.manager.compensate("g", subscription("t", consumers.clock.now_ms))
    assert consumers.manager.find_subscription("g", "t") is not None
    consumers.clock.now_ms += 600_001
    consumers.manager.scan_expired()
    assert consumers.manager.find_subscription("g", "t") is None


def test_a_heartbeat_without_subscriptions_keeps_them() -> None:
    consumers, first = Consumers(), FakeConnection()
    consumers.register(first)
    consumers.manager.register(
        "g",
        client(first),
        consume_type="CONSUME_PASSIVELY",
        message_model="CLUSTERING",
        consume_from_where="CONSUME_FROM_LAST_OFFSET",
        subscriptions=None,
    )
    assert consumers.manager.find_subscription("g", "t") is not None
    assert consumers.manager.groups_by_topic("t") == {"g"}


def test_producers_come_go_and_expire() -> None:
    clock = FakeClock()
    producers = ProducerManager(BrokerConfig(), clock_ms=clock)
    first, second = FakeConnection(), FakeConnection()
    producers.register("p", client(first))
    producers.register("p", client(second, "c2"))
    assert set(producers.table["p"]) == {first, second}
    producers.unregister("p", first)  # type: ignore[arg-type]
    assert [info.client_id for _, info in producers.clients()] == ["c2"]
    clock.now_ms += 120_001
    assert producers.scan_expired() == [second]
    assert not producers.table
    producers.register("p", client(first))
    producers.on_close(first)  # type: ignore[arg-type]
    assert not producers.table
