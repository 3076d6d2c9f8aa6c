"""`mqnamesrv`: the name server as a process of its own."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
import trio

import logs
from container.inner_broker import sentence
from container.refusal import EXIT_FAILURE
from container.settings import check_home, read_namesrv_settings, read_tls_settings
from namesrv import NameServer
from remoting.errors import ReservationError
from remoting.loop_stalls import watched_loop
from remoting.server import Transport
from tools.banner import command_name, print_banner, print_refusal, short_path
from tools.boot import HELP, common_options, install_logs, refusing, show_mistakes
from tools.boot_display import boot_success
from tools.command_line import run_command
from tools.print_config import print_config
from tools.process import run_process, settle_garbage

if TYPE_CHECKING:
    from container.settings import NamesrvSettings
    from remoting.tls import TlsSettings

__all__ = ["main"]

log = logging.getLogger("rocketmq.namesrv")


@click.command(context_settings=HELP)
@click.option("config_file", "-c", "--configFile", metavar="FILE", help="The name server's configuration.")
@click.option("namesrv_addr", "-n", "--namesrvAddr", metavar="ADDRS", help="Accepted, without effect.")
@common_options
def command(
    config_file: str | None,
    namesrv_addr: str | None,
    print_all: bool,
    print_important: bool,
    tls_file: Path | None,
) -> int:
    """Start a name server, on port 9876 unless the file says otherwise."""

    def start() -> int:
        check_home()
        settings = read_namesrv_settings(None if config_file is None else Path(config_file))
        if print_all or print_important:
            configs = [settings.config, settings.server_config, settings.log_config]
            print_config(configs, important_only=not print_all)
            return 0
        log_settings = install_logs(settings.log_config, logs.NAMESRV_LAYOUT)
        show_mistakes([settings.report])
        try:
            return run_process("namesrv", partial(_run, settings, read_tls_settings(tls_file), log_settings))
        finally:
            logs.uninstall()

    return refusing(start)


async def _run(settings: NamesrvSettings, tls: TlsSettings, log_settings: logs.LogSettings) -> int:
    server = settings.server_config
    transport = Transport(server, tls)
    try:
        reservation = transport.reserve_ports(server.bind_address, [server.listen_port])
    except ReservationError as error:
        print_refusal(str(error))
        return EXIT_FAILURE
    settings.report.log(log)
    name_server = NameServer(settings.config, configuration=settings.configuration())
    with watched_loop(lambda: server.event_loop_stall_warn_millis):
        async with trio.open_nursery() as nursery:
            try:
                await nursery.start(name_server.serve, transport, reservation)
            except OSError as error:
                print_refusal(sentence(error))
                return EXIT_FAILURE
            address = f"{server.bind_address}:{reservation.ports[0]}"
            print_banner(
                f"The Name Server {boot_success(server)}, address {address}",
                [
                    ("log", short_path(log_settings.root)),
                    ("try", f"{command_name('mqbroker')} -n 127.0.0.1:{reservation.ports[0]}"),
                ],
            )
            settle_garbage()
    return 0


def main() -> int:
    return run_command(command, "mqnamesrv")
