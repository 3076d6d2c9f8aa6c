"""`consumerStatus`."""

from __future__ import annotations

import contextlib
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from client.errors import ClientError
from client.running_info import held_twice, same_subscription, stuck_queues
from remoting.errors import RemotingError
from remoting.protocol.mq_version import version_desc
from tools.admin.command import AdminContext, CommandFailed, admin_command
from tools.admin.message_text import queue_text
from tools.admin.output import Mode, Table
from tools.admin.rows import Rows
from tools.admin.running_info_text import document, draw, info_value, stuck_text

if TYPE_CHECKING:
    from remoting.protocol.admin_body import Connection, ConsumerConnection, ConsumerRunningInfo

__all__ = ["COMMANDS"]

_CLIENTS = Table(
    ("#Index", "#ClientId", "#Version", "#ConsumerRunningInfoFile"),
    "%-10s %-40s %-20s %s",
    "%-10d %-40s %-20s %s",
    numeric=frozenset({0}),
)
_NOT_IN_FILE_NAMES = re.compile(r"[^0-9A-Za-z_.@#%:-]")


@admin_command("consumerStatus")
@click.option("group", "-g", "--consumerGroup", required=True, help="Name of the consumer group.")
@click.option("client_id", "-i", "--clientId", help="Print what this consumer says instead.")
@click.option("address", "-b", "--brokerAddr", metavar="HOST:PORT", help="Broker to ask who is online.")
@click.option("jstack", "-s", "--jstack", is_flag=True, help="Have the consumers add their threads' stacks.")
async def consumer_status(
    context: AdminContext, group: str, client_id: str | None, address: str | None, jstack: bool
) -> None:
    """What each consumer of the group says about itself is written to a file in a new directory below the
    current one. With --json everything is printed and no file written.
    """
    group = group.strip()
    connection = await context.admin.consumer_connection(group, address.strip() if address else None)
    if client_id is not None:
        info = await context.admin.consumer_running_info(group, client_id.strip(), jstack=jstack)
        if context.out.mode is Mode.RICH:
            draw(context.out, info)
        else:
            context.out.line(document(info).removesuffix("\n"))
        context.out.value({"clientId": client_id.strip(), **info_value(info)})
        return
    infos, clients = await _ask_all(context, group, connection, jstack=jstack)
    if not infos:
        raise CommandFailed(f"no consumer of group {group} told about itself")
    context.out.value({"consumerGroup": group, "clients": clients, **_findings(context, connection, infos)})


async def _ask_all(
    context: AdminContext, group: str, connection: ConsumerConnection, *, jstack: bool
) -> tuple[dict[str, ConsumerRunningInfo], list[dict[str, Any]]]:
    """Every member's info by client id, in their order; those who do not answer are told of."""
    members = sorted(connection.connection_set, key=lambda each: (each.client_id, each.client_addr))
    directory = Path(str(time.time_ns() // 1_000_000))
    infos: dict[str, ConsumerRunningInfo] = {}
    values = []
    with Rows(context.out, _CLIENTS) as rows:
        for member in context.walk(members, "consumers"):
            client_id = member.client_id or ""
            try:
                info = await context.admin.consumer_running_info(group, client_id, jstack=jstack)
            except (ClientError, RemotingError) as fault:
                context.failed(f"consumerStatus: consumer {client_id}: {fault}")
                continue
            infos[client_id] = info
            if context.out.mode is not Mode.JSON:
                path = _save(directory, client_id, document(info))
                rows.add((len(infos), client_id, version_desc(member.version), path))
            values.append(_client_value(member, info))
    return infos, values


def _client_value(member: Connection, info: ConsumerRunningInfo) -> dict[str, Any]:
    return {
        "clientId": member.client_id,
        "clientAddr": member.client_addr,
        "version": version_desc(member.version),
        **info_value(info),
    }


def _save(directory: Path, client_id: str, text: str) -> Path:
    """Writes a document to `<directory>/<client id>`; what a client calls itself does not lead elsewhere.

    Raises:
        CommandFailed: It cannot be written.
    """
    name = _NOT_IN_FILE_NAMES.sub("_", client_id)[:200]
    path = directory / (name if name.strip(".") else "_")
    try:
        directory.mkdir(exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as fault:
        raise CommandFailed(f"{path} cannot be written: {fault.strerror}") from fault
    return path


def _findings(
    context: AdminContext, connection: ConsumerConnection, infos: dict[str, ConsumerRunningInfo]
) -> dict[str, Any]:
    """Says whether the members fit together and which queues do not move; the same for `--json`."""
    same = same_subscription(infos.values())
    twice = [] if connection.message_model == "BROADCASTING" else held_twice(infos.values())
    now_ms = time.time_ns() // 1_000_000
    stuck = [
        stuck_text(client_id, each)
        for client_id, info in sorted(infos.items())
        for each in stuck_queues(info, now_ms)
    ]
    out = context.out
    out.line()
    out.line()
    if same:
        out.line("Same subscription in the same group of consumer")
        out.line()
        out.line(f"Rebalance {'Failed' if twice else 'OK'}")
        for queue in twice:
            out.line(f"{queue_text(queue)} is held by several consumers")
        for line in stuck:
            out.line(line)
    else:
        out.unended_line("WARN: Different subscription in the same group of consumer!!!")
    return {
        "sameSubscription": same,
        "rebalanceOk": same and not twice,
        "heldTwice": [queue.to_json_object() for queue in twice],
        "stuck": stuck,
    }


COMMANDS = {"consumerStatus": consumer_status}
