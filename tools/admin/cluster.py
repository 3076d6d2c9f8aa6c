"""`clusterList`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import attrs
import click

from client import routing
from client.errors import ClientError
from remoting.errors import RemotingError
from tools.admin.command import AdminContext, admin_command
from tools.admin.java_text import boolean
from tools.admin.output import Table

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["COMMANDS", "BrokerLoad", "broker_load"]

_BASE = Table(
    (
        "#Cluster Name",
        "#Broker Name",
        "#BID",
        "#Addr",
        "#Version",
        "#InTPS(LOAD)",
        "#OutTPS(LOAD)",
        "#Timer(Progress)",
        "#PCWait(ms)",
        "#Hour",
        "#SPACE",
        "#ACTIVATED",
    ),
    "%-22s  %-22s  %-4s  %-22s %-16s  %16s  %30s  %-22s  %-11s  %-12s  %-8s  %-10s",
    "%-22s  %-22s  %-4s  %-22s %-16s  %16s  %30s  %-22s  %11s  %-12s  %-8s  %10s",
    numeric=frozenset({2, 5, 6, 8, 9, 10}),
)
_TOTALS = Table(
    ("#Cluster Name", "#Broker Name", "#InTotalYest", "#OutTotalYest", "#InTotalToday", "#OutTotalToday"),
    "%-16s  %-32s %14s %14s %14s %14s",
    "%-16s  %-32s %14d %14d %14d %14d",
    numeric=frozenset({2, 3, 4, 5}),
)
_UNKNOWN = "N"
_MS_PER_HOUR = 3_600_000


def _number(info: Mapping[str, str], key: str) -> float:
    """The first number of a figure like `0.0 1.2 3.4`; 0 when an older broker has none."""
    try:
        return float(info.get(key, "").split()[0])
    except (IndexError, ValueError):
        return 0.0


def _whole(info: Mapping[str, str], key: str) -> int:
    try:
        return int(info.get(key, ""))
    except ValueError:
        return 0


@attrs.frozen
class BrokerLoad:
    """What `clusterList` shows of one broker, from its runtime figures."""

    version: str
    in_tps: float
    out_tps: float
    in_load: str
    out_load: str
    timer: str
    page_cache_wait_ms: str
    hours_kept: float
    disk_ratio: float
    active: bool
    in_yesterday: int
    out_yesterday: int
    in_today: int
    out_today: int


def broker_load(info: Mapping[str, str], now_ms: int) -> BrokerLoad:
    """Reads a broker's figures; older brokers lack some, which must not stop the others from showing."""

    def load(tps: float, *queues: str) -> str:
        parts = [
            f"{info.get(f'{queue}ThreadPoolQueueSize', _UNKNOWN)},"
            f"{info.get(f'{queue}ThreadPoolQueueHeadWaitTimeMills', _UNKNOWN)}ms"
            for queue in queues
        ]
        return f"{tps:9.2f}({'|'.join(parts)})"

    in_tps = _number(info, "putTps")
    out_tps = _number(info, "getTransferredTps") or _number(info, "getTransferedTps")
    earliest = _whole(info, "earliestMessageTimeStamp")
    return BrokerLoad(
        version=info.get("brokerVersionDesc", ""),
        in_tps=in_tps,
        out_tps=out_tps,
        in_load=load(in_tps, "send"),
        out_load=load(out_tps, "pull", "ack"),
        timer=(
            f"{_whole(info, 'timerReadBehind')}-{_whole(info, 'timerOffsetBehind')}"
            f"({_whole(info, 'timerCongestNum') / 10000:.1f}w, "
            f"{_number(info, 'timerEnqueueTps'):.1f}, {_number(info, 'timerDequeueTps'):.1f})"
        ),
        page_cache_wait_ms=info.get("pageCacheLockTimeMills", ""),
        hours_kept=(now_ms - earliest) / _MS_PER_HOUR if "earliestMessageTimeStamp" in info else 0.0,
        disk_ratio=_number(info, "commitLogDiskRatio"),
        active=info.get("brokerActive", "").lower() == "true",
        in_yesterday=_whole(info, "msgPutTotalTodayMorning") - _whole(info, "msgPutTotalYesterdayMorning"),
        out_yesterday=_whole(info, "msgGetTotalTodayMorning") - _whole(info, "msgGetTotalYesterdayMorning"),
        in_today=_whole(info, "msgPutTotalTodayNow") - _whole(info, "msgPutTotalTodayMorning"),
        out_today=_whole(info, "msgGetTotalTodayNow") - _whole(info, "msgGetTotalTodayMorning"),
    )


@attrs.frozen
class _Replica:
    cluster: str
    broker_name: str
    broker_id: int
    address: str
    load: BrokerLoad

    def base_row(self) -> tuple[object, ...]:
        load = self.load
        return (
            self.cluster,
            self.broker_name,
            self.broker_id,
            self.address,
            load.version,
            load.in_load,
            load.out_load,
            load.timer,
            load.page_cache_wait_ms,
            f"{load.hours_kept:2.2f}",
            f"{load.disk_ratio:.4f}",
            boolean(load.active),
        )

    def totals_row(self) -> tuple[object, ...]:
        load = self.load
        return (
            self.cluster,
            self.broker_name,
            load.in_yesterday,
            load.out_yesterday,
            load.in_today,
            load.out_today,
        )


async def _replicas(context: AdminContext, wanted: str | None) -> list[_Replica]:
    info = await context.admin.cluster_info()
    brokers = [
        (cluster, routing.name_of(broker), broker_id, address)
        for cluster in ([wanted] if wanted else sorted(info.cluster_addr_table))
        for broker in routing.brokers_of_cluster(info, cluster)
        for broker_id, address in sorted(broker.broker_addrs.items())
    ]
    found = []
    for cluster, name, broker_id, address in context.walk(brokers, "asking brokers"):
        figures: dict[str, str] = {}
        try:
            figures = await context.admin.runtime_info_at(address)
        except (ClientError, RemotingError) as fault:
            context.failed(f"clusterList: {fault}")
        load = broker_load(figures, time.time_ns() // 1_000_000)
        found.append(_Replica(cluster, name, broker_id, address, load))
    return found


@admin_command("clusterList")
@click.option(
    "more_stats", "-m", "--moreStats", is_flag=True, help="Show totals of yesterday and today instead."
)
@click.option(
    "interval_s", "-i", "--interval", type=click.FloatRange(min=0.1), help="Repeat every so many seconds."
)
@click.option("cluster", "-c", "--clusterName", help="Only this cluster.")
async def cluster_list(
    context: AdminContext, more_stats: bool, interval_s: float | None, cluster: str | None
) -> None:
    import trio

    while True:
        replicas = await _replicas(context, cluster)
        if more_stats:
            context.out.table(_TOTALS, [replica.totals_row() for replica in replicas])
        else:
            context.out.table(_BASE, [replica.base_row() for replica in replicas])
        value = [
            {
                "cluster": each.cluster,
                "brokerName": each.broker_name,
                "brokerId": each.broker_id,
                "address": each.address,
                **attrs.asdict(each.load),
            }
            for each in replicas
        ]
        if interval_s is None:
            context.out.value(value)
            return
        context.out.record(value)
        await trio.sleep(interval_s)


COMMANDS = {"clusterList": cluster_list}
