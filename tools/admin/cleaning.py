"""Dropping now what brokers drop in time: `cleanExpiredCQ`, `cleanUnusedTopic`, `deleteExpiredCommitLog`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from client import routing
from client.errors import ClientError, NotFound
from remoting.errors import RemotingError
from tools.admin.command import AdminContext, admin_command, one_target

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Body = Callable[..., Awaitable[None]]

__all__ = ["COMMANDS"]


def _where(body: Body) -> Body:
    """Adds `-b` and `-c`; without either it is all clusters."""
    for option in (
        click.option(
            "cluster", "-c", "--cluster", help="All brokers of this cluster. [default: all clusters]"
        ),
        click.option("address", "-b", "--brokerAddr", metavar="HOST:PORT", help="Only this broker."),
    ):
        body = option(body)
    return body


async def _addresses(context: AdminContext, address: str | None, cluster: str | None) -> list[str]:
    if address is None and cluster is None:
        info = await context.admin.cluster_info()
        clusters = sorted(info.cluster_addr_table)
    else:
        target = one_target(address, cluster)
        if not target.is_cluster:
            return [target.name]
        info = await context.admin.cluster_info()
        clusters = [target.name]
    found = [each for name in clusters for each in routing.replica_addresses(info, name)]
    if not found:
        raise NotFound("no broker is registered")
    return list(dict.fromkeys(found))


async def _clean(
    context: AdminContext,
    name: str,
    address: str | None,
    cluster: str | None,
    ask: Callable[[str], Awaitable[None]],
) -> None:
    """Asks each broker; one word is printed as in Java: "success" if all did it, "false" if there is none."""
    done = []
    try:
        addresses = await _addresses(context, address, cluster)
    except NotFound:
        context.out.unended_line("false")
        raise
    for each in context.walk(addresses, "brokers"):
        try:
            await ask(each)
        except (ClientError, RemotingError) as fault:
            context.failed(f"{name}: {fault}")
        else:
            done.append(each)
    if len(done) == len(addresses):
        context.out.unended_line("success")
    context.out.value({"addresses": done})


@admin_command("cleanExpiredCQ")
@_where
async def clean_expired_cq(context: AdminContext, address: str | None, cluster: str | None) -> None:
    clean = context.admin.clean_expired_consume_queues_at
    await _clean(context, "cleanExpiredCQ", address, cluster, clean)


@admin_command("cleanUnusedTopic")
@_where
async def clean_unused_topic(context: AdminContext, address: str | None, cluster: str | None) -> None:
    await _clean(context, "cleanUnusedTopic", address, cluster, context.admin.clean_unused_topics_at)


@admin_command("deleteExpiredCommitLog")
@_where
async def delete_expired_commit_log(context: AdminContext, address: str | None, cluster: str | None) -> None:
    """Brokers begin at once and go on after the answer."""
    delete = context.admin.delete_expired_commit_log_at
    await _clean(context, "deleteExpiredCommitLog", address, cluster, delete)


COMMANDS = {
    "cleanExpiredCQ": clean_expired_cq,
    "cleanUnusedTopic": clean_unused_topic,
    "deleteExpiredCommitLog": delete_expired_commit_log,
}
