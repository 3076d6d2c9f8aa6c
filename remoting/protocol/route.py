"""Where topics are: the answer to 105 and its parts.

Java sources: `TopicRouteData`, `BrokerData`, `QueueData`. The broker addresses are a map with numbers as
keys, so the choice of the JSON writer matters: `json_dialect.dumps_standard` for requests of version 401 and
above or with `acceptStandardJsonOnly`, else `json_dialect.dumps`.
"""

from __future__ import annotations

from typing import Any

from msgspec import field

from remoting.protocol.body_fields import Body


class QueueData(Body, frozen=True, kw_only=True):
    """How many queues of a topic the brokers of one name have, and what may be done with them."""

    broker_name: str | None = None
    read_queue_nums: int = 0
    write_queue_nums: int = 0
    perm: int = 0
    """Bits: 4 read, 2 write, 1 inherit."""
    topic_sys_flag: int = 0


class BrokerData(Body, frozen=True, kw_only=True):
    """The addresses of the brokers of one name, by broker id; 0 is the master."""

    cluster: str | None = None
    broker_name: str | None = None
    broker_addrs: dict[int, str] = field(default_factory=dict)
    zone_name: str | None = None
    enable_acting_master: bool = False


class TopicRouteData(Body, frozen=True, kw_only=True):
    """The route of one topic."""

    order_topic_conf: str | None = None
    queue_datas: list[QueueData] = field(default_factory=list)
    broker_datas: list[BrokerData] = field(default_factory=list)
    filter_server_table: dict[str, list[str]] = field(default_factory=dict)
    topic_queue_mapping_by_broker: dict[str, Any] | None = None
