"""Commands that talk to name servers alone: their configuration, key-value table, and write permissions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from client.errors import ClientError
from remoting.errors import RemotingError
from tools.admin.broker import show_config
from tools.admin.command import AdminContext, admin_command

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["COMMANDS"]


@admin_command("getNamesrvConfig")
async def get_namesrv_config(context: AdminContext) -> None:
    configs = await context.admin.name_server_configs()
    for address, config in configs.items():
        show_config(context, f"============{address}============", config)
    context.out.value(configs)


@admin_command("updateNamesrvConfig")
@click.option("key", "-k", "--key", required=True, help="Configuration key.")
@click.option("value", "-v", "--value", required=True, help="Its new value.")
async def update_namesrv_config(context: AdminContext, key: str, value: str) -> None:
    key, value = key.strip(), value.strip()
    await context.admin.update_name_server_configs({key: value})
    given = f"[{', '.join(context.name_servers)}]" if context.name_servers_given else ""
    context.out.line(f"update name server config success!{given}")
    context.out.line(f"{key} : {value}")
    context.out.value({"nameServers": list(context.name_servers), "key": key, "value": value})


@admin_command("updateKvConfig")
@click.option("namespace", "-s", "--namespace", required=True, help="Namespace of the key.")
@click.option("key", "-k", "--key", required=True, help="The key.")
@click.option("value", "-v", "--value", required=True, help="Its value.")
async def update_kv_config(context: AdminContext, namespace: str, key: str, value: str) -> None:
    await context.admin.put_kv(namespace.strip(), key.strip(), value.strip())
    context.out.line("create or update kv config to namespace success.")
    context.out.value({"namespace": namespace.strip(), "key": key.strip(), "value": value.strip()})


@admin_command("deleteKvConfig")
@click.option("namespace", "-s", "--namespace", required=True, help="Namespace of the key.")
@click.option("key", "-k", "--key", required=True, help="The key.")
async def delete_kv_config(context: AdminContext, namespace: str, key: str) -> None:
    await context.admin.delete_kv(namespace.strip(), key.strip())
    context.out.line("delete kv config from namespace success.")
    context.out.value({"namespace": namespace.strip(), "key": key.strip()})


async def _change_write_perm(
    context: AdminContext, verb: str, broker_name: str, change: Callable[[str, str], Awaitable[int]]
) -> None:
    topics = {}
    for name_server in context.name_servers:
        subject = f"{verb} write perm of broker[{broker_name}] in name server[{name_server}]"
        try:
            topics[name_server] = await change(name_server, broker_name)
        except (ClientError, RemotingError) as fault:
            context.out.line(f"{subject} Failed")
            context.failed(f"{verb}WritePerm: {fault}")
        else:
            context.out.line(f"{subject} OK, {topics[name_server]}")
    if topics and not any(topics.values()):
        context.failed(f"{verb}WritePerm: no name server has a topic of broker {broker_name}")
    context.out.value({"brokerName": broker_name, "changedTopics": topics})


@admin_command("wipeWritePerm")
@click.option("broker_name", "-b", "--brokerName", required=True, help="Name of the broker.")
async def wipe_write_perm(context: AdminContext, broker_name: str) -> None:
    await _change_write_perm(context, "wipe", broker_name.strip(), context.admin.wipe_write_perm_at)


@admin_command("addWritePerm")
@click.option("broker_name", "-b", "--brokerName", required=True, help="Name of the broker.")
async def add_write_perm(context: AdminContext, broker_name: str) -> None:
    await _change_write_perm(context, "add", broker_name.strip(), context.admin.add_write_perm_at)


COMMANDS = {
    "getNamesrvConfig": get_namesrv_config,
    "updateNamesrvConfig": update_namesrv_config,
    "updateKvConfig": update_kv_config,
    "deleteKvConfig": delete_kv_config,
    "wipeWritePerm": wipe_write_perm,
    "addWritePerm": add_write_perm,
}
