"""`brokerStatus`, `getBrokerConfig`, `updateBrokerConfig`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from client import routing
from client.errors import ClientError
from remoting.errors import RemotingError
from tools.admin.command import (
    AdminContext,
    admin_command,
    broker_or_cluster,
    java_boolean,
    one_target,
    targets,
)
from tools.admin.output import Mode, Table

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["COMMANDS", "show_config"]

_NO_MASTER = "NO_MASTER"
_STATUS = Table(("#Name", "#Value"), "%-32s: %s", "%-32s: %s")
_CONFIG = Table(("#Key", "#Value"), "%-50s=  %s", "%-50s=  %s")


def show_config(context: AdminContext, title: str, config: Mapping[str, str]) -> None:
    """A title and `key = value` lines, or a drawn table."""
    context.out.line(title)
    if context.out.mode is Mode.RICH:
        context.out.table(_CONFIG, sorted(config.items()))
        return
    for key, value in sorted(config.items()):
        context.out.line(_CONFIG.row_format % (key, value))


async def _replicas(context: AdminContext, cluster: str) -> list[tuple[str | None, str]]:
    """(its master or None, address) of every broker of a cluster, each master before its slaves."""
    found = []
    for broker in routing.brokers_of_cluster(await context.admin.cluster_info(), cluster):
        master = routing.master_of(broker)
        found += [(master, address) for _, address in sorted(broker.broker_addrs.items())]
    return found


@admin_command("brokerStatus")
@broker_or_cluster
async def broker_status(context: AdminContext, address: str | None, cluster: str | None) -> None:
    target = one_target(address, cluster)
    addresses = [target.name]
    if target.is_cluster:
        addresses = [each for _, each in await _replicas(context, target.name)]
    values = {}
    for each in context.walk(addresses, "asking brokers"):
        try:
            info = await context.admin.runtime_info_at(each)
        except (ClientError, RemotingError) as fault:
            context.failed(f"brokerStatus: {fault}")
            continue
        values[each] = info
        if context.out.mode is Mode.RICH:
            context.out.line(each)
            context.out.table(_STATUS, sorted(info.items()))
            continue
        for key, value in sorted(info.items()):
            line = _STATUS.row_format % (key, value)
            context.out.line(f"{each:<24} {line}" if target.is_cluster else line)
    context.out.value(values)


@admin_command("getBrokerConfig")
@broker_or_cluster
async def get_broker_config(context: AdminContext, address: str | None, cluster: str | None) -> None:
    target = one_target(address, cluster)
    wanted = [(f"============{target.name}============", target.name)]
    if target.is_cluster:
        wanted = [
            (
                f"============Master: {each}============"
                if each == master
                else f"============My Master: {master or _NO_MASTER}=====Slave: {each}============",
                each,
            )
            for master, each in await _replicas(context, target.name)
        ]
    values = {}
    for title, each in context.walk(wanted, "asking brokers"):
        try:
            config = await context.admin.broker_config_at(each)
        except (ClientError, RemotingError) as fault:
            context.failed(f"getBrokerConfig: {fault}")
            continue
        values[each] = config
        show_config(context, title, config)
        context.out.line()
    context.out.value(values)


@admin_command("updateBrokerConfig")
@broker_or_cluster
@click.option("all_replicas", "-a", "--updateAllBroker", type=java_boolean, help="With -c: slaves as well.")
@click.option("key", "-k", "--key", required=True, help="Configuration key.")
@click.option("value", "-v", "--value", required=True, help="Its new value.")
async def update_broker_config(
    context: AdminContext,
    address: str | None,
    cluster: str | None,
    all_replicas: bool | None,
    key: str,
    value: str,
) -> None:
    target = one_target(address, cluster)
    if target.is_cluster and all_replicas:
        addresses = [each for _, each in await _replicas(context, target.name)]
    else:
        addresses = await targets(context, address, cluster)
    updated = []
    remarks = {}
    for each in context.walk(addresses, "brokers"):
        try:
            remark = await context.admin.update_broker_config_at(each, {key.strip(): value.strip()})
        except (ClientError, RemotingError) as fault:
            context.failed(f"updateBrokerConfig: {fault}")
            continue
        updated.append(each)
        context.out.line(f"update broker config success, {each}")
        if remark:
            remarks[each] = remark
            context.out.note(f"updateBrokerConfig: {each}: {remark}")
    context.out.value({"updated": updated, "key": key.strip(), "value": value.strip(), "remarks": remarks})


COMMANDS = {
    "brokerStatus": broker_status,
    "getBrokerConfig": get_broker_config,
    "updateBrokerConfig": update_broker_config,
}
