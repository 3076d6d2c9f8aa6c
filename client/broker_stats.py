"""What brokers have counted: messages by topic and group, and how far all groups of a broker are.

Rules of Java's `StatsAllSubCommand`: figures come from the masters; what was never counted is zero; the sum
of a day is that of the longest window which has one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from client.errors import AnswerError, ClientError
from client.routing import master_of, name_of
from remoting.protocol import headers
from remoting.protocol.admin_body import BrokerStatsData, ConsumeStatsList
from remoting.protocol.request_code import RequestCode
from remoting.protocol.response_code import ResponseCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from client.admin import AdminClient

__all__ = [
    "GROUP_GET_NUMS",
    "TOPIC_PUT_NUMS",
    "TopicTraffic",
    "Traffic",
    "broker_consume_stats",
    "counted_at",
    "topic_traffic",
]

TOPIC_PUT_NUMS = "TOPIC_PUT_NUMS"
GROUP_GET_NUMS = "GROUP_GET_NUMS"


@attrs.frozen
class Traffic:
    """Messages per second in the last minute, and how many there were in the last 24 hours."""

    tps: float = 0.0
    day: int = 0

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(self.tps + other.tps, self.day + other.day)


@attrs.frozen
class GroupTraffic:
    """What a consumer group takes out of a topic.

    Attributes:
        accumulation: Messages that it has not consumed yet, 0 where the brokers do not tell.
    """

    group: str
    accumulation: int
    outgoing: Traffic


@attrs.frozen
class TopicTraffic:
    """What goes into a topic, and out of it by group."""

    topic: str
    incoming: Traffic
    groups: tuple[GroupTraffic, ...]

    @property
    def active(self) -> bool:
        """Whether anything went in or out during the last 24 hours."""
        return self.incoming.day > 0 or any(each.outgoing.day > 0 for each in self.groups)


async def counted_at(admin: AdminClient, address: str, name: str, key: str) -> BrokerStatsData | None:
    """One statistic of a broker (315), None if it never counted anything under that name and key.

    Args:
        name: `TOPIC_PUT_NUMS` and so on.
        key: A topic; `topic@group` for what is counted by group.
    """
    header = headers.ViewBrokerStatsDataRequestHeader(stats_name=name, stats_key=key)
    try:
        answer = await admin.remote.ask(address, RequestCode.VIEW_BROKER_STATS_DATA, header)
    except AnswerError as fault:
        if fault.code == ResponseCode.SYSTEM_ERROR and fault.remark.startswith("The stats <"):
            return None
        raise
    return BrokerStatsData.decode(answer.body)


async def _traffic(admin: AdminClient, masters: Sequence[str], name: str, key: str) -> Traffic:
    total = Traffic()
    for address in masters:
        data = await counted_at(admin, address, name, key)
        if data is not None:
            day = data.stats_day.sum or data.stats_hour.sum or data.stats_minute.sum
            total += Traffic(data.stats_minute.tps, day)
    return total


async def topic_traffic(admin: AdminClient, topic: str) -> TopicTraffic:
    """The traffic of one topic on all of its masters, with every group that reads it, sorted.

    Raises:
        NotFound: The topic has no route.
        RemotingError: A broker does not answer.
    """
    route = await admin.route(topic)
    brokers = sorted(route.broker_datas, key=name_of)
    masters = [address for broker in brokers if (address := master_of(broker)) is not None]
    incoming = await _traffic(admin, masters, TOPIC_PUT_NUMS, topic)
    groups = []
    for group in await admin.groups_of_topic(topic):
        outgoing = await _traffic(admin, masters, GROUP_GET_NUMS, f"{topic}@{group}")
        groups.append(GroupTraffic(group, await _accumulation(admin, group, topic), outgoing))
    return TopicTraffic(topic, incoming, tuple(groups))


async def _accumulation(admin: AdminClient, group: str, topic: str) -> int:
    try:
        stats = await admin.consume_stats(group, topic)
    except ClientError:  # a group without offsets, one that broadcasts: nobody knows
        return 0
    behind = sum(each.broker_offset - each.consumer_offset for each in stats.offset_table.values())
    return max(0, behind)


async def broker_consume_stats(
    admin: AdminClient, address: str, *, ordered_only: bool = False, timeout_ms: int
) -> ConsumeStatsList:
    """How far every consumer group of a broker is (317).

    Args:
        ordered_only: Only in topics that are marked as ordered.
        timeout_ms: A broker with many groups reads many positions.
    """
    header = headers.GetConsumeStatsInBrokerHeader(is_order=ordered_only)
    answer = await admin.remote.ask(
        address, RequestCode.GET_BROKER_CONSUME_STATS, header, timeout_ms=timeout_ms
    )
    return ConsumeStatsList.decode(answer.body)
