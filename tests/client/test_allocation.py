"""Sharing out queues: everybody the same or one more, neighbours together, all of them once."""

from __future__ import annotations

import pytest

from client.allocation import allocate_averagely
from client.walk import walk
from remoting.protocol.body import MessageQueue

QUEUES = [MessageQueue("T", "b", number) for number in range(8)]


@pytest.mark.parametrize(
    ("queues", "shares"),
    [
        (8, [[0, 1, 2], [3, 4, 5], [6, 7]]),
        (3, [[0], [1], [2]]),
        (2, [[0], [1], []]),
        (0, [[], [], []]),
    ],
)
def test_shares_are_even_and_next_to_each_other(queues: int, shares: list[list[int]]) -> None:
    clients = ["x", "y", "z"]
    given = [
        [each.queue_id for each in allocate_averagely(client, QUEUES[:queues], clients)] for client in clients
    ]
    assert given == shares


def test_a_client_that_is_named_twice_counts_where_it_is_first() -> None:
    assert [each.queue_id for each in allocate_averagely("x", QUEUES[:4], ["x", "x", "y"])] == [0, 1]
    assert [each.queue_id for each in allocate_averagely("y", QUEUES[:4], ["x", "x", "y"])] == [3]


def test_a_walk_tells_how_far_it_is() -> None:
    told: list[tuple[int, int]] = []
    assert list(walk("ab", lambda done, total: told.append((done, total)))) == ["a", "b"]
    assert told == [(0, 2), (1, 2), (2, 2)]
    assert list(walk("ab", None)) == ["a", "b"]
