"""`addBroker`, `removeBroker`, `containerStatus`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from client.errors import AnswerError
from remoting.errors import TimeoutError_
from remoting.protocol.response_code import ResponseCode
from tools.admin.command import AdminContext, CommandFailed, admin_command
from tools.admin.human_text import age_text, bytes_text
from tools.admin.output import Table

if TYPE_CHECKING:
    from collections.abc import Callable

    from remoting.protocol.container_body import BrokerStatus, ContainerStatus

__all__ = ["COMMANDS"]

_ASK_AGAIN_S = 0.2
_NONE = "-"
_PROCESS = Table(
    (
        "#Container",
        "#Pid",
        "#Version",
        "#Up",
        "#Memory",
        "#Anonymous",
        "#Threads",
        "#Files",
        "#CPU(s)",
        "#Stall(ms)",
        "#NameServers",
    ),
    "%-22s %-8s %-10s %-8s %-9s %-10s %-8s %-6s %-9s %-12s %s",
    "%-22s %-8d %-10s %-8s %-9s %-10s %-8d %-6d %-9.1f %-12s %s",
    numeric=frozenset({1, 3, 4, 5, 6, 7, 8, 9}),
)
_BROKERS = Table(
    (
        "#Broker",
        "#Role",
        "#State",
        "#Ports",
        "#Share",
        "#Used",
        "#Quota",
        "#Disk",
        "#Oldest",
        "#InTPS",
        "#OutTPS",
        "#Memory",
        "#Clients",
    ),
    "%-36s %-12s %-9s %-19s %-6s %-8s %-8s %-5s %-7s %-9s %-9s %-8s %s",
    "%-36s %-12s %-9s %-19s %-6s %-8s %-8s %-5s %-7s %-9.1f %-9.1f %-8s %d",
    numeric=frozenset({4, 5, 6, 7, 8, 9, 10, 11, 12}),
    styles={
        2: {
            "running": "green",
            "reserved": "yellow",
            "starting": "yellow",
            "stopping": "yellow",
            "failed": "bold red",
        }
    },
)
_FAILED = "failed"


def _container(body: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "container",
        "-c",
        "--brokerContainerAddr",
        metavar="HOST:PORT",
        required=True,
        help="Address of the container.",
    )(body)


@admin_command("addBroker")
@_container
@click.option(
    "config_path",
    "-b",
    "--brokerConfigPath",
    type=click.Path(),
    required=True,
    help="The broker's configuration file, on the container's machine.",
)
async def add_broker(context: AdminContext, container: str, config_path: str) -> None:
    """Waits until the broker serves or has failed, however long it recovers.

    Interrupted, it leaves the broker to the container, which goes on starting it.
    """
    import trio

    container, config_path = container.strip(), config_path.strip()
    context.out.if_interrupted = (
        f"nobody waits for the broker of {config_path} any more; {container} goes on starting it, "
        "'mqadmin containerStatus' tells how it went"
    )
    with context.progress("adding the broker"):
        try:
            added = await context.admin.containers.add_broker(container, config_path)
            while not added.serves:
                await trio.sleep(_ASK_AGAIN_S)
                added = await context.admin.containers.add_broker(container, config_path)
        except TimeoutError_ as fault:
            raise CommandFailed(f"{fault}; the broker may be starting all the same") from fault
    context.out.if_interrupted = None
    context.out.line(f"add broker to {container} success")
    if added.remark:
        context.out.note(f"addBroker: {added.remark}")
    context.out.value(
        {"container": container, "brokerConfigPath": config_path, "remark": added.remark or None}
    )


@admin_command("removeBroker")
@_container
@click.option(
    "identity",
    "-b",
    "--brokerIdentity",
    metavar="CLUSTER:NAME:ID",
    required=True,
    help="The broker: clusterName:brokerName:brokerId.",
)
async def remove_broker(context: AdminContext, container: str, identity: str) -> None:
    """Its clients go on with the other brokers of their topics."""
    container = container.strip()
    cluster, colon, rest = identity.strip().partition(":")
    name, second_colon, id_text = rest.rpartition(":")
    if not colon or not second_colon:
        raise click.UsageError(f"{identity!r} is not clusterName:brokerName:brokerId.")
    try:
        broker_id = int(id_text)
    except ValueError:
        raise click.UsageError(f"{id_text!r} in {identity!r} is not the number of a broker.") from None
    if broker_id < 0:
        context.out.line("brokerId can't be negative")
        raise CommandFailed(f"a broker has an id of 0 or more, not {broker_id}")
    with context.progress("removing the broker"):
        remark = await context.admin.containers.remove_broker(
            container, cluster.strip(), name.strip(), broker_id
        )
    context.out.line(f"remove broker from {container} success")
    if remark:
        context.out.note(f"removeBroker: {remark}")
    context.out.value(
        {
            "container": container,
            "clusterName": cluster.strip(),
            "brokerName": name.strip(),
            "brokerId": broker_id,
            "remark": remark or None,
        }
    )


@admin_command("containerStatus")
@_container
async def container_status(context: AdminContext, container: str) -> None:
    """A broker is shown as removeBroker takes it; Memory of a broker is what it holds for clients and files.

    Stall is the longest time for which the process served nobody: in the last two minutes / since its start.
    With --json, computing tells how much of that the process itself was at work, and not waiting for a core.

    Exit code 1 also tells that a broker has failed, so that this can be a health check.
    """
    container = container.strip()
    try:
        with context.progress("asking the container"):
            status = await context.admin.containers.status(container)
    except AnswerError as fault:
        if fault.code != ResponseCode.REQUEST_CODE_NOT_SUPPORTED:
            raise
        raise CommandFailed(f"{fault}; that is no container, which has a port of its own") from fault
    except TimeoutError_ as fault:
        raise CommandFailed(f"{fault} (Java's containers do not know this question)") from fault
    now_ms = time.time_ns() // 1_000_000
    context.out.table(_PROCESS, [_process_row(status, now_ms)])
    context.out.line()
    context.out.table(_BROKERS, [_broker_row(broker, now_ms) for broker in status.brokers])
    remarks = _remarks(status)
    if remarks:
        context.out.line()
    for remark in remarks:
        context.out.line(remark)
    context.out.value(status.to_json_object())
    failed = [_name(broker) for broker in status.brokers if broker.state == _FAILED]
    if failed:
        names = ", ".join(failed)
        context.failed(f"containerStatus: {len(failed)} of {len(status.brokers)} brokers failed: {names}")


def _process_row(status: ContainerStatus, now_ms: int) -> tuple[Any, ...]:
    return (
        status.container_addr,
        status.pid,
        status.version,
        age_text(now_ms - status.start_time),
        bytes_text(status.resident_bytes),
        _NONE if status.anonymous_bytes < 0 else bytes_text(status.anonymous_bytes),
        status.threads,
        status.open_files,
        status.cpu_seconds,
        _stall_text(status),
        ";".join(status.name_servers) or _NONE,
    )


def _stall_text(status: ContainerStatus) -> str:
    """Longest stall of the event loop, of late and since the start."""
    if status.stall_longest_millis < 0:
        return _NONE
    return f"{status.stall_recent_millis:.0f}/{status.stall_longest_millis:.0f}"


def _broker_row(broker: BrokerStatus, now_ms: int) -> tuple[Any, ...]:
    known = broker.disk_used_ratio >= 0
    ports = "/".join(str(port) for port in (broker.listen_port, broker.fast_port, broker.ha_port) if port > 0)
    return (
        _name(broker),
        broker.role,
        broker.state,
        ports or _NONE,
        f"{broker.share * 100:.4g}%" if known else _NONE,
        bytes_text(broker.used_bytes) if known else _NONE,
        bytes_text(broker.quota_bytes) if known else _NONE,
        f"{broker.disk_used_ratio:.0%}" if known else _NONE,
        _NONE if broker.earliest_message_time < 0 else age_text(now_ms - broker.earliest_message_time),
        broker.put_tps,
        broker.get_tps,
        bytes_text(broker.buffered_bytes),
        broker.connections,
    )


def _name(broker: BrokerStatus) -> str:
    return f"{broker.cluster_name}:{broker.broker_name}:{broker.broker_id}"


def _remarks(status: ContainerStatus) -> list[str]:
    """What figures do not say, a line each."""
    lines = [f"WARN: {warning}" for warning in status.warnings]
    if status.dropped_log_lines:
        lines.append(f"WARN: {status.dropped_log_lines} log lines were dropped")
    for broker in status.brokers:
        if broker.state == _FAILED:
            again = (
                ""
                if broker.retry_in_millis is None
                else f"; starts again in {age_text(broker.retry_in_millis)}"
            )
            lines.append(f"FAILED: {_name(broker)}: {broker.reason or 'no reason given'}{again}")
        if broker.disk_note:
            lines.append(f"DISK: {_name(broker)}: {broker.disk_note}")
        if not broker.saved:
            lines.append(f"NOTE: {_name(broker)} is not there after a restart of the container")
    return lines


COMMANDS = {"addBroker": add_broker, "removeBroker": remove_broker, "containerStatus": container_status}
