"""`mqbroker`: one broker, in the same engine as the container, without the container's own port."""

from __future__ import annotations

import os
from pathlib import Path

import click

from configuration import Report
from container import BrokerContainerConfig, ContainerSettings, name_server_list, read_lone_plan
from container.settings import check_home, read_tls_settings
from tools.boot import HELP, common_options, refusing
from tools.command_line import run_command
from tools.container_process import run_container
from tools.print_config import print_config

__all__ = ["main"]


@click.command(context_settings=HELP)
@click.option("config_file", "-c", "--configFile", metavar="FILE", help="The broker's configuration.")
@click.option(
    "namesrv_addr", "-n", "--namesrvAddr", metavar="ADDRS", help="Name servers: host:port;host:port"
)
@common_options
def command(
    config_file: str | None,
    namesrv_addr: str | None,
    print_all: bool,
    print_important: bool,
    tls_file: Path | None,
) -> int:
    """Start one broker. Without a file: broker-a on port 10911, its store in ~/store."""

    def start() -> int:
        check_home()
        path = None if config_file is None else Path(config_file)
        plan, server_config, client_config = read_lone_plan(path)
        config = plan.config
        config.rocketmq_home = config.rocketmq_home or os.environ.get("ROCKETMQ_HOME")
        config.namesrv_addr = namesrv_addr or config.namesrv_addr or os.environ.get("NAMESRV_ADDR") or None
        name_server_list(config.namesrv_addr)
        if print_all or print_important:
            configs = [config, server_config, client_config, plan.store_config, plan.log_config]
            print_config(configs, important_only=not print_all)
            return 0
        settings = ContainerSettings(
            config=BrokerContainerConfig(namesrv_addr=config.namesrv_addr, exit_on_boot_failure=True),
            server_config=server_config,
            client_config=client_config,
            report=Report(),
            log_config=plan.log_config,
        )
        return run_container("broker", settings, [plan], tls=read_tls_settings(tls_file))

    return refusing(start)


def main() -> int:
    return run_command(command, "mqbroker")
