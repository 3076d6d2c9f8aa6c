"""The administrative requests of a broker, by what they are about.

Mirrors `org.apache.rocketmq.broker.processor.AdminBrokerProcessor`. Every handler runs in a task of its own;
what reads many positions of the store or waits for a disk does so in a worker thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.admin import (
    client_requests,
    config_requests,
    group_requests,
    offset_requests,
    progress_requests,
    runtime_requests,
    store_requests,
    topic_requests,
)

if TYPE_CHECKING:
    from broker.context import BrokerContext
    from remoting.processors import ProcessorTable

__all__ = ["register"]


def register(table: ProcessorTable, context: BrokerContext) -> None:
    """Serve every administrative code of this package by `table`."""
    for requests in (
        client_requests,
        config_requests,
        group_requests,
        offset_requests,
        progress_requests,
        runtime_requests,
        store_requests,
        topic_requests,
    ):
        requests.register(table, context)
