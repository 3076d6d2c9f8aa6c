"""`mqbrokercontainer`: one process, many brokers.

Without any argument it is complete: a name server, the container's port and one broker. Options and the lines
about the boot are those of RocketMQ's own command.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from container import (
    BootRefusedError,
    broker_paths,
    default_plan,
    read_namesrv_settings,
    read_plan,
    read_settings,
    read_tls_settings,
)
from tools.boot import HELP, common_options, refusing
from tools.command_line import run_command
from tools.container_process import run_container
from tools.print_config import print_config

if TYPE_CHECKING:
    from container import BrokerPlan, ContainerSettings

__all__ = ["main"]


@click.command(context_settings=HELP)
@click.option("config_file", "-c", "--configFile", metavar="FILE", help="The container's configuration.")
@click.option(
    "broker_files", "-b", "--brokerConfigFiles", metavar="FILES",
    help="The brokers' configurations, separated by ':', instead of brokerConfigPaths in the container's.",
)  # fmt: skip
@click.option(
    "namesrv_addr", "-n", "--namesrvAddr", metavar="ADDRS", help="Name servers: host:port;host:port"
)
@common_options
def command(
    config_file: str | None,
    broker_files: str | None,
    namesrv_addr: str | None,
    print_all: bool,
    print_important: bool,
    tls_file: Path | None,
) -> int:
    """Start a process with many brokers. Without options: a name server on port 9876, the container on 10811
    and one broker, broker-a, on 10911.
    """

    def start() -> int:
        path = None if config_file is None else Path(config_file)
        settings = read_settings(path, namesrv_addr=namesrv_addr)
        if path is None and not settings.config.namesrv_addr:
            settings.config.embedded_namesrv = True
        if print_all or print_important:
            configs = [settings.config, settings.server_config, settings.client_config, settings.log_config]
            print_config(configs, important_only=not print_all)
            return 0
        plans = _plans(settings, broker_files)
        namesrv = None
        if settings.config.embedded_namesrv:
            file = settings.config.embedded_namesrv_config_path
            namesrv = read_namesrv_settings(None if file is None else Path(file).expanduser())
        return run_container(
            "brokerContainer", settings, plans, namesrv=namesrv, tls=read_tls_settings(tls_file)
        )

    return refusing(start)


def _plans(settings: ContainerSettings, broker_files: str | None) -> list[BrokerPlan]:
    if broker_files is not None and not broker_files.strip(": "):
        raise BootRefusedError(f"-b '{broker_files}' names no broker's file")
    listed = broker_files or settings.config.broker_config_paths
    if listed is None:
        return [default_plan()] if settings.source is None else []
    base = settings.source.parent if settings.source is not None and broker_files is None else None
    return [read_plan(path) for path in broker_paths(listed, base)]


def main() -> int:
    return run_command(command, "mqbrokercontainer")
