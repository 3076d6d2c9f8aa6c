"""The answer to GET_CONTAINER_STATUS (20902): a container and its brokers at one moment.

What may wait for a disk is asked in a worker thread, and not for long: a disk that hangs is said to do so,
and is not asked again before it has answered.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import attrs
import psutil
import trio
from msgspec.structs import replace

import logs
from remoting.loop_stalls import loop_stalls
from remoting.protocol.container_body import BrokerStatus, ContainerStatus
from remoting.protocol.mq_version import CURRENT, version_desc
from store import StoreError
from store.config import quota_share

if TYPE_CHECKING:
    from collections.abc import Container, Iterable
    from pathlib import Path

    from container.broker_container import BrokerContainer
    from container.inner_broker import InnerBroker
    from container.supervisor import FailedBroker
    from logs import LogStatistics
    from store import DiskUse, MessageStore

__all__ = ["container_status", "share_warnings", "share_warnings_of"]


async def container_status(container: BrokerContainer) -> ContainerStatus:
    """Looks at everything once.

    Cancellation waits for the worker thread of the moment, at most.
    """
    looks = [(inner, await _look(inner)) for inner in container.get_broker_controllers()]
    failed_brokers = container.failed_brokers
    known = [inner for inner, _ in looks] + [failed.inner for failed in failed_brokers]
    saved = await trio.to_thread.run_sync(container.saved.named, [inner.plan.source for inner in known])
    found = [_of_broker(inner, look, saved) for inner, look in looks]
    found += [_of_failed(failed, saved) for failed in failed_brokers]
    process = psutil.Process()
    with process.oneshot():
        times = process.cpu_times()
        memory = process.memory_info()
        threads, started = process.num_threads(), process.create_time()
    dropped = logs.statistics()
    watch = loop_stalls()
    stalls = None if watch is None else watch.statistics()
    return ContainerStatus(
        container_addr=container.broker_container_addr or "",
        pid=os.getpid(),
        version=version_desc(CURRENT),
        start_time=int(started * 1000),
        name_servers=container.name_servers,
        resident_bytes=memory.rss,
        anonymous_bytes=await trio.to_thread.run_sync(_anonymous_bytes),
        threads=threads,
        tasks=trio.lowlevel.current_statistics().tasks_living,
        open_files=process.num_fds(),
        cpu_seconds=times.user + times.system,
        stall_longest_millis=-1.0 if stalls is None else _millis(stalls.longest_s),
        stall_recent_millis=-1.0 if stalls is None else _millis(stalls.recent_longest_s),
        lateness_p999_millis=-1.0 if stalls is None else _millis(stalls.lateness_p999_s),
        computing_longest_millis=-1.0 if stalls is None else _millis(stalls.computing_longest_s),
        computing_p999_millis=-1.0 if stalls is None else _millis(stalls.computing_p999_s),
        loop_computing_longest_millis=-1.0 if stalls is None else _millis(stalls.own_longest_s),
        loop_computing_p999_millis=-1.0 if stalls is None else _millis(stalls.own_p999_s),
        dropped_log_lines=0 if dropped is None else dropped.dropped_queue_full + dropped.dropped_disk,
        brokers=found,
        warnings=[*_share_warnings(looks), *_log_warnings(dropped)],
    )


def _millis(seconds: float) -> float:
    return round(seconds * 1000, 3)


def _log_warnings(log: LogStatistics | None) -> list[str]:
    refused = () if log is None else log.refused_files
    return [f"{file.lines} log lines for {file.path} were lost: {file.reason}" for file in refused]


async def share_warnings_of(brokers: Iterable[InnerBroker]) -> list[str]:
    """`share_warnings` of those of `brokers` that serve; asks no disk when nobody has a share."""
    brokers = list(brokers)
    if all(quota_share(inner.plan.store_config) >= 1 for inner in brokers):
        return []
    return _share_warnings([(inner, await _look(inner)) for inner in brokers])


_LONGEST_LOOK_S = 2.0


@attrs.frozen
class _Look:
    """What a disk says of one broker; `use` is None when it cannot be asked, `trouble` says why."""

    use: DiskUse | None = None
    earliest_message_time: int = -1
    trouble: str | None = None


async def _look(inner: InnerBroker) -> _Look:
    context = None if inner.broker is None else inner.broker.context
    if context is None:
        return _Look()
    limiter = inner.disk_limiter
    if not inner.disk_hangs or limiter.available_tokens:
        inner.disk_hangs = False
        try:
            with inner.speaking(), trio.move_on_after(_LONGEST_LOOK_S):
                return await trio.to_thread.run_sync(
                    _ask_store, context.store, limiter=limiter, abandon_on_cancel=True
                )
        except StoreError as error:  # its disk is gone, or the broker was closed meanwhile
            return _Look(trouble=str(error))
        inner.disk_hangs = True
    return _Look(trouble="its disk does not answer")


def _ask_store(store: MessageStore) -> _Look:
    return _Look(store.disk_use(), store.earliest_message_time())


def _share_warnings(looks: Iterable[tuple[InnerBroker, _Look]]) -> list[str]:
    return share_warnings((inner.identity.name, look.use) for inner, look in looks if look.use is not None)


def share_warnings(uses: Iterable[tuple[str, DiskUse]]) -> list[str]:
    """One sentence for each partition of which more than all is promised to several brokers.

    Args:
        uses: name of a broker and its part of the disk. Where nobody has a quota nothing is promised; where
            somebody has one, a broker without may take all.
    """
    by_partition: dict[int, list[tuple[str, DiskUse]]] = {}
    for name, use in uses:
        by_partition.setdefault(use.partition, []).append((name, use))
    warnings = []
    for partition in by_partition.values():
        total = sum(use.share for _, use in partition)
        if total > 1 + 1e-9 and any(use.share < 1 for _, use in partition):
            names = ", ".join(f"{name} {use.share:g}" for name, use in partition)
            warnings.append(
                f"the shares of one partition add up to {total:g}, which is more than all of it: {names}"
            )
    return warnings


def _of_broker(inner: InnerBroker, look: _Look, saved: Container[Path]) -> BrokerStatus:
    status = _of_plan(inner, saved)
    if (broker := inner.broker) is None:
        return status
    statistics = broker.statistics()
    status = replace(
        status,
        address=broker.address,
        listen_port=broker.listen_port,
        fast_port=statistics.fast_port,
        ha_port=statistics.ha_port,
        put_tps=statistics.put_tps,
        get_tps=statistics.get_tps,
        messages_put=statistics.messages_put,
        connections=statistics.connections,
        buffered_bytes=statistics.buffered_bytes,
        disk_note=look.trouble,
        earliest_message_time=look.earliest_message_time,
    )
    if (use := look.use) is None:
        return status
    return replace(
        status,
        share=use.share,
        quota_bytes=use.quota_bytes,
        used_bytes=use.used_bytes,
        disk_used_ratio=use.used_ratio,
        disk_note=use.note,
    )


def _of_plan(inner: InnerBroker, saved: Container[Path]) -> BrokerStatus:
    plan = inner.plan
    return BrokerStatus(
        cluster_name=plan.identity.cluster,
        broker_name=plan.identity.name,
        broker_id=plan.identity.broker_id,
        role=plan.store_config.broker_role.value,
        state=inner.state.value,
        reason=inner.reason,
        restarts=inner.restarts,
        config_path=None if plan.source is None else str(plan.source),
        saved=plan.source is not None and plan.source in saved,
        listen_port=plan.config.listen_port,
        store_path=plan.store_config.store_path_root_dir,
    )


def _of_failed(failed: FailedBroker, saved: Container[Path]) -> BrokerStatus:
    left_s = None if failed.retry_at is None else max(failed.retry_at - trio.current_time(), 0)
    return replace(
        _of_plan(failed.inner, saved),
        reason=failed.reason,
        restarts=failed.inner.restarts,
        retry_in_millis=None if left_s is None else int(left_s * 1000),
    )


def _anonymous_bytes() -> int:
    """Memory of the process that no file backs; -1 where the system does not tell. Blocks for some ms."""
    try:
        with open("/proc/self/smaps_rollup", encoding="ascii") as file:
            for line in file:
                if line.startswith("Anonymous:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        return -1
    return -1
