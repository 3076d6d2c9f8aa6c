"""A container as a process of its own: its log, its boot on the terminal, its end."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import attrs
import click
import trio

import logs
from container import BootRefusedError, BrokerContainer
from tools.banner import command_name, print_banner, print_refusal, short_path
from tools.boot import install_logs, show_mistakes
from tools.boot_display import BootDisplay, boot_success
from tools.broker_garbage import BrokerGarbage
from tools.process import run_process, settle_garbage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from container import BrokerPlan, ContainerSettings, NamesrvSettings
    from remoting.tls import TlsSettings

__all__ = ["run_container"]

_SHOWN_BROKERS = 12


def run_container(
    role: str,
    settings: ContainerSettings,
    plans: Sequence[BrokerPlan],
    *,
    tls: TlsSettings,
    namesrv: NamesrvSettings | None = None,
) -> int:
    """Runs a container until a signal stops it.

    Args:
        role: "brokerContainer", or "broker" for a broker that is alone: no port of the container's own.
        settings: of the process.
        plans: the brokers to start with.
        tls: of all ports.
        namesrv: for a name server in this process; what its file says about the log has no effect.

    Returns:
        The exit code: 0 after an orderly stop.
    """
    log_settings = install_logs(settings.log_config)
    if namesrv is not None:
        namesrv = attrs.evolve(namesrv, log_config=None)
    reports = [settings.report, *(plan.report for plan in plans)]
    show_mistakes(reports if namesrv is None else [*reports, namesrv.report])
    display = BootDisplay(settings.server_config)
    try:
        container = BrokerContainer(
            settings,
            plans,
            namesrv=namesrv,
            tls=tls,
            listen=role == "brokerContainer",
            hooks=[display, BrokerGarbage()],
        )
        return run_process(role, partial(_run, container, display, log_settings))
    finally:
        logs.uninstall()


async def _run(container: BrokerContainer, display: BootDisplay, log_settings: logs.LogSettings) -> int:
    async with trio.open_nursery() as nursery:
        try:
            await nursery.start(container.run)
        except BootRefusedError as refused:
            print_refusal(str(refused))
            return refused.exit_code
        finally:
            display.close()
        for inner in container.failed_brokers:
            click.echo(f"Add broker [{inner.identity.name}-{inner.identity.broker_id}] failed.")
            print_refusal(str(inner.reason))
        _greet(container, log_settings)
        settle_garbage()
    return 0


def _greet(container: BrokerContainer, log_settings: logs.LogSettings) -> None:
    """The banner: what listens where, where the files are, what to try first."""
    rows: list[tuple[str, str]] = []
    name_servers = ";".join(container.name_servers)
    if not name_servers:
        rows.append(("name server", "none, so clients do not find the broker; name one with -n"))
    if container.namesrv_port is not None:
        rows.append(("name server", f"port {container.namesrv_port}, in this process"))
    if (address := container.broker_container_addr) is not None:
        port = int(address.rpartition(":")[2])
        rows.append(("container", f"{address}, fast port {port - 2}"))
    brokers = container.get_broker_controllers()
    for inner in brokers[:_SHOWN_BROKERS]:
        if inner.broker is not None:
            address = inner.broker.address
            fast = inner.broker.ports[1]
            store = short_path(inner.plan.store_config.store_path_root_dir)
            rows.append((inner.identity.name, f"{address}, fast port {fast}, store {store}"))
    if not brokers:
        rows.append(("brokers", "none; name their files with brokerConfigPaths or -b"))
    if len(brokers) > _SHOWN_BROKERS:
        rows.append(("", f"and {len(brokers) - _SHOWN_BROKERS} more"))
    rows.append(("log", short_path(log_settings.root)))
    if name_servers:
        rows.append(("try", f"{command_name('mqadmin')} clusterList -n {name_servers}"))
    success = boot_success(container.settings.server_config)
    headline = f"The broker {'container ' if container.broker_container_addr else ''}{success}"
    if name_servers:
        headline += f" and name server is {name_servers}"
    print_banner(headline, rows)
