"""Figures: 28 the state of the whole broker, 315 one statistic."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from broker.admin.answers import body_answer
from broker.admin.fall_behind import FALL_SIZE, FALL_TIME, fall_behind
from remoting.errors import CommandError
from remoting.loop_stalls import loop_stalls
from remoting.protocol import headers
from remoting.protocol.admin_body import BrokerStatsData, BrokerStatsItem
from remoting.protocol.body import KVTable
from remoting.protocol.mq_version import CURRENT, version_desc
from remoting.protocol.request_code import RequestCode
from remoting.protocol.response_code import ResponseCode
from store.worker_threads import in_request_thread

if TYPE_CHECKING:
    from broker.context import BrokerContext
    from broker.stats import StatsWindow
    from remoting.command import RemotingCommand
    from remoting.connection import Connection
    from remoting.processors import ProcessorTable

__all__ = ["RuntimeRequests", "register", "runtime_info"]


def register(table: ProcessorTable, context: BrokerContext) -> None:
    """Serve the codes of this module by `table`."""
    requests = RuntimeRequests(context)
    table.task((RequestCode.GET_BROKER_RUNTIME_INFO,), requests.runtime_info)
    table.task((RequestCode.VIEW_BROKER_STATS_DATA,), requests.statistic)


@attrs.frozen
class RuntimeRequests:
    """Handlers of one broker."""

    context: BrokerContext

    async def runtime_info(self, _: Connection, request: RemotingCommand) -> RemotingCommand:
        """GET_BROKER_RUNTIME_INFO (28)."""
        store = self.context.store
        await in_request_thread(
            store.earliest_message_time
        )  # what the next line reads from disk is warm then
        store_info = store.runtime_info()
        return body_answer(request, KVTable(table=runtime_info(self.context, store_info)))

    async def statistic(self, _: Connection, request: RemotingCommand) -> RemotingCommand:
        """VIEW_BROKER_STATS_DATA (315)."""
        header = headers.ViewBrokerStatsDataRequestHeader.decode(request.ext_fields)
        name, key = header.stats_name, header.stats_key
        if name in (FALL_SIZE, FALL_TIME):
            found = await in_request_thread(fall_behind, self.context, name, key)
        else:
            found = self.context.stats.find(name, key)
        if found is None:
            raise CommandError(ResponseCode.SYSTEM_ERROR, f"The stats <{name}> <{key}> not exist")
        body = BrokerStatsData(
            stats_minute=_item(found.minute), stats_hour=_item(found.hour), stats_day=_item(found.day)
        )
        return body_answer(request, body)


def runtime_info(context: BrokerContext, store_info: dict[str, str]) -> dict[str, str]:
    """The table of code 28, with every key that Java's tools look for.

    Figures of parts that this broker does not have (timer, transactions, pop, the transient pool) are zero.
    What Java calls the queue of a thread pool is here what waits for the same reason: sends for their flush,
    pulls for a message.
    """
    config = context.config
    sends, oldest_send_ms = context.sends.waiting()
    return {
        **dict.fromkeys(_ZERO_KEYS, "0"),
        "timerEnqueueTps": "0.0",
        "timerDequeueTps": "0.0",
        **context.stats.runtime_info(),
        **store_info,
        **context.schedule.runtime_info(),
        **_stall_info(),
        "brokerActive": "false" if context.is_slave else "true",
        "brokerVersion": str(CURRENT),
        "brokerVersionDesc": version_desc(CURRENT),
        "startAcceptSendRequestTimeStamp": str(config.start_accept_send_request_time_stamp),
        "sendThreadPoolQueueSize": str(sends),
        "sendThreadPoolQueueHeadWaitTimeMills": str(oldest_send_ms),
        "sendThreadPoolQueueCapacity": str(config.send_thread_pool_queue_capacity),
        "pullThreadPoolQueueSize": str(len(context.hold)),
        "pullThreadPoolQueueCapacity": str(config.pull_thread_pool_queue_capacity),
        "litePullThreadPoolQueueCapacity": str(config.lite_pull_thread_pool_queue_capacity),
        "queryThreadPoolQueueCapacity": str(config.query_thread_pool_queue_capacity),
    }


def _stall_info() -> dict[str, str]:
    """How long the event loop stood still, which is the process's and the same for all of its brokers.

    Keys of ours; Java has no loop that all requests share.
    """
    watch = loop_stalls()
    if watch is None:
        return {}
    stalls = watch.statistics()
    return {
        "eventLoopStallMillisLongest": f"{stalls.longest_s * 1000:.3f}",
        "eventLoopStallMillisRecent": f"{stalls.recent_longest_s * 1000:.3f}",
        "eventLoopLatenessMillisP999": f"{stalls.lateness_p999_s * 1000:.3f}",
        "eventLoopComputingMillisLongest": f"{stalls.computing_longest_s * 1000:.3f}",
        "eventLoopComputingMillisP999": f"{stalls.computing_p999_s * 1000:.3f}",
    }


_ZERO_KEYS = (
    "ackThreadPoolQueueCapacity",
    "ackThreadPoolQueueHeadWaitTimeMills",
    "ackThreadPoolQueueSize",
    "EndTransactionQueueSize",
    "EndTransactionThreadPoolQueueCapacity",
    "litePullThreadPoolQueueHeadWaitTimeMills",
    "litePullThreadPoolQueueSize",
    "pullThreadPoolQueueHeadWaitTimeMills",
    "queryThreadPoolQueueHeadWaitTimeMills",
    "queryThreadPoolQueueSize",
    "timerCongestNum",
    "timerOffsetBehind",
    "timerReadBehind",
)


def _item(window: StatsWindow) -> BrokerStatsItem:
    return BrokerStatsItem(sum=window.sum, tps=window.tps, avgpt=window.average)
