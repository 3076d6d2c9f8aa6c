"""What the infos of a group's members say about the group."""

from __future__ import annotations

from typing import Any

import pytest

from client.running_info import Hindrance, StuckQueue, held_twice, same_subscription, stuck_queues
from remoting.protocol.admin_body import ConsumerRunningInfo, ProcessQueueInfo
from remoting.protocol.body import MessageQueue
from remoting.protocol.heartbeat import SubscriptionData

NOW_MS = 1_700_000_000_000
FIRST, SECOND = MessageQueue("T", "a", 0), MessageQueue("T", "a", 1)


def member(
    *queues: MessageQueue,
    wants: str = "*",
    kind: str = "CONSUME_PASSIVELY",
    orderly: bool = False,
    **state: Any,
) -> ConsumerRunningInfo:
    return ConsumerRunningInfo(
        properties={"PROP_CONSUME_TYPE": kind, "PROP_CONSUMEORDERLY": "true" if orderly else "false"},
        subscription_set=[SubscriptionData(topic="T", sub_string=wants, sub_version=len(queues))],
        mq_table={queue: ProcessQueueInfo(**state) for queue in queues},
    )


def test_members_want_the_same_whenever_they_said_so() -> None:
    assert same_subscription([member(FIRST), member(FIRST, SECOND)])
    assert not same_subscription([member(), member(wants="paid")])
    assert same_subscription([member(), member(wants="paid", kind="CONSUME_ACTIVELY")]), "a pull consumer"
    assert same_subscription([])


def test_a_queue_belongs_to_one_member() -> None:
    assert held_twice([member(FIRST), member(SECOND)]) == []
    assert held_twice([member(SECOND, FIRST), member(FIRST, SECOND)]) == [FIRST, SECOND]
    assert held_twice([member(FIRST), member(FIRST, droped=True)]) == [], "one is giving it back"
    assert held_twice([member(FIRST), member(FIRST, kind="CONSUME_ACTIVELY")]) == []


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        (member(FIRST, cached_msg_count=1, last_consume_timestamp=NOW_MS - 60_000), []),
        (
            member(FIRST, cached_msg_count=1, last_consume_timestamp=NOW_MS - 60_001),
            [StuckQueue(FIRST, Hindrance.NOT_CONSUMED, 60_001)],
        ),
        (member(FIRST, last_consume_timestamp=0), []),
        (member(FIRST, kind="CONSUME_ACTIVELY", cached_msg_count=1), []),
        (
            member(FIRST, orderly=True, last_lock_timestamp=NOW_MS - 5),
            [StuckQueue(FIRST, Hindrance.NOT_LOCKED, 5)],
        ),
        (member(FIRST, orderly=True, locked=True, cached_msg_count=1), []),
        (
            member(FIRST, orderly=True, locked=True, droped=True, try_unlock_times=3),
            [StuckQueue(FIRST, Hindrance.NOT_UNLOCKED, 3)],
        ),
        (member(FIRST, orderly=True, locked=True, droped=True), []),
    ],
)
def test_queues_that_do_not_move(info: ConsumerRunningInfo, expected: list[StuckQueue]) -> None:
    assert list(stuck_queues(info, NOW_MS)) == expected
