"""Routes and cluster tables from the name servers, kept for a while."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from client.errors import AnswerError, NotFound
from client.routing import master_of
from remoting.protocol import headers
from remoting.protocol.admin_body import ClusterInfo
from remoting.protocol.request_code import RequestCode
from remoting.protocol.response_code import ResponseCode
from remoting.protocol.route import TopicRouteData

if TYPE_CHECKING:
    from collections.abc import Callable

    from client.remote import Remote

__all__ = ["Routes"]

_FRESH_S = 30.0


class Routes:
    """What the name servers say, remembered for 30 seconds (the interval at which Java's clients ask).

    Args:
        remote: Asks them.
        clock: Seconds, monotonic.
    """

    def __init__(self, remote: Remote, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._remote = remote
        self._clock = clock
        self._known: dict[str, tuple[float, TopicRouteData]] = {}

    async def route(self, topic: str, *, fresh: bool = False) -> TopicRouteData:
        """The route of a topic.

        Args:
            fresh: Ask, even if the last answer is young.

        Raises:
            NotFound: The name server knows no broker with that topic.
        """
        known = self._known.get(topic)
        if known is not None and not fresh and self._clock() - known[0] < _FRESH_S:
            return known[1]
        try:
            answer = await self._remote.ask_name_server(
                RequestCode.GET_ROUTEINFO_BY_TOPIC, headers.GetRouteInfoRequestHeader(topic=topic)
            )
        except AnswerError as fault:
            if fault.code != ResponseCode.TOPIC_NOT_EXIST:
                raise
            self._known.pop(topic, None)
            raise NotFound(f"no name server has a route for topic {topic}") from fault
        route = TopicRouteData.decode(answer.body)
        self._known[topic] = (self._clock(), route)
        return route

    def forget(self, topic: str) -> None:
        """The next `route` of this topic asks again."""
        self._known.pop(topic, None)

    async def cluster_info(self) -> ClusterInfo:
        """Which brokers there are, by cluster and name; always asked."""
        answer = await self._remote.ask_name_server(RequestCode.GET_BROKER_CLUSTER_INFO)
        return ClusterInfo.decode(answer.body)

    async def master_of_broker(self, topic: str, broker_name: str) -> str:
        """The address to write to.

        Raises:
            NotFound: The broker does not serve the topic or has no master.
        """
        for broker in (await self.route(topic)).broker_datas:
            if broker.broker_name == broker_name and (address := master_of(broker)) is not None:
                return address
        raise NotFound(f"broker {broker_name} has no master for topic {topic}")
