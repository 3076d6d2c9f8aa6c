"""The answer to GET_CONTAINER_STATUS (20902): a container and its brokers at one moment.

What may wait for a disk is asked in a worker thread, so a broker on a slow disk delays this answer only.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import attrs
import psutil
import trio
from msgspec.structs import replace

import logs
from remoting.protocol.container_body import BrokerStatus, ContainerStatus
from remoting.protocol.mq_version import CURRENT, version_desc
from store import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from container.broker_container import BrokerContainer
    from container.inner_broker import InnerBroker
    from container.supervisor import FailedBroker
    from store import DiskUse

__all__ = ["all_share_warnings", "container_status", "share_warnings"]


async def container_status(container: BrokerContainer) -> ContainerStatus:
    """Looks at everything once.

    Cancellation waits for the worker thread of the moment, at most.
    """
    brokers = container.get_broker_controllers()
    looks = [(inner, await _look(inner)) for inner in brokers]
    found = [_of_broker(container, inner, look) for inner, look in looks]
    found += [_of_failed(container, failed) for failed in container.failed_brokers]
    process = psutil.Process()
    with process.oneshot():
        times = process.cpu_times()
        memory = process.memory_info()
        threads, started = process.num_threads(), process.create_time()
    dropped = logs.statistics()
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
        dropped_log_lines=0 if dropped is None else dropped.dropped_queue_full + dropped.dropped_disk,
        brokers=found,
        warnings=_share_warnings(looks),
    )


async def all_share_warnings(brokers: Iterable[InnerBroker]) -> list[str]:
    """`share_warnings` of those of `brokers` that serve."""
    return _share_warnings([(inner, await _look(inner)) for inner in brokers])


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
    try:
        with inner.speaking():
            use = await trio.to_thread.run_sync(context.store.disk_use)
            earliest = await trio.to_thread.run_sync(context.store.earliest_message_time)
    except StoreError as error:  # its disk is gone, or the broker was closed meanwhile
        return _Look(trouble=str(error))
    return _Look(use, earliest)


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


def _of_broker(container: BrokerContainer, inner: InnerBroker, look: _Look) -> BrokerStatus:
    status = _of_plan(container, inner)
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


def _of_plan(container: BrokerContainer, inner: InnerBroker) -> BrokerStatus:
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
        saved=container.saved.names(plan.source),
        listen_port=plan.config.listen_port,
        store_path=plan.store_config.store_path_root_dir,
    )


def _of_failed(container: BrokerContainer, failed: FailedBroker) -> BrokerStatus:
    left_s = None if failed.retry_at is None else max(failed.retry_at - trio.current_time(), 0)
    return replace(
        _of_plan(container, failed.inner),
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
