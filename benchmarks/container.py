"""`python -m benchmarks.container`: what a container with many idle brokers costs.

One container file names all brokers. Measured are the time from the start of the process until the last
broker takes connections, its threads, its resident anonymous memory (smaps_rollup) once it has come to rest,
and the CPU that it uses while nobody talks to it. The name server is a process of its own for Java and
embedded for ours.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import attrs
import click
from rich.console import Console
from rich.table import Table

from benchmarks.measured import footprint, machine
from tests.interop.cluster import CONTAINER_LAUNCHER, broker_settings, our_environment, start_java_namesrv
from tests.interop.java import start_java
from tests.interop.peers import PeerUnavailableError, java
from tests.interop.processes import ChildProcess, ProcessError, free_port, free_port_pair, wait_for_port
from tests.interop.wire import wait_until_registered

JAVA_CONTAINER = "org.apache.rocketmq.container.BrokerContainerStartup"
SYSTEMS = ("java", "ours")
_START_TIMEOUT_S = 300


@attrs.frozen
class Figures:
    """One container.

    Attributes:
        ready_seconds: Until the last broker's port was open.
        registered_seconds: Until the name server knew all brokers.
        idle_cpu_percent: Of one core.
    """

    system: str
    brokers: int
    ready_seconds: float
    registered_seconds: float
    threads: int
    anonymous_bytes: int
    resident_bytes: int
    idle_cpu_percent: float


def write_properties(path: Path, settings: dict[str, object]) -> Path:
    path.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    return path


def measure(system: str, brokers: int, home: Path, *, idle_seconds: float, settle_seconds: float) -> Figures:
    """Starts one container with `brokers` brokers, measures and ends it.

    Raises:
        ProcessError: A process did not come up.
        PeerUnavailableError: Java cannot be had.
    """
    name_server_port, container_port = free_port(), free_port_pair()
    name_server = f"127.0.0.1:{name_server_port}"
    ports = {f"broker-{number:02}": free_port_pair() for number in range(brokers)}
    files = [
        write_properties(
            home / f"{name}.conf",
            broker_settings(
                cluster="DefaultCluster", name=name, port=port, store=home / name, name_server=name_server
            ),
        )
        for name, port in ports.items()
    ]
    settings: dict[str, object] = {
        "listenPort": container_port,
        "namesrvAddr": name_server,
        "brokerConfigPaths": ":".join(map(str, files)),
    }
    with ExitStack() as stack:
        if system == "java":
            stack.enter_context(start_java_namesrv(java(), home / "namesrv", name_server_port))
        else:
            settings |= {"embeddedNamesrv": "true", "embeddedNamesrvListenPort": name_server_port}
        file = write_properties(home / "broker-container.conf", settings)
        begin = time.monotonic()
        container = stack.enter_context(_start(system, file, home))
        for port in ports.values():
            wait_for_port(port, _START_TIMEOUT_S, process=container)
        ready = time.monotonic() - begin
        for name in ports:
            wait_until_registered(name_server, name, _START_TIMEOUT_S)
        registered = time.monotonic() - begin
        time.sleep(settle_seconds)
        used, since = container.cpu_seconds(), time.monotonic()
        time.sleep(idle_seconds)
        idle = (container.cpu_seconds() - used) / (time.monotonic() - since)
        size = footprint(container)
        return Figures(
            system=system,
            brokers=brokers,
            ready_seconds=ready,
            registered_seconds=registered,
            threads=size.threads,
            anonymous_bytes=size.anonymous_bytes,
            resident_bytes=size.resident_bytes,
            idle_cpu_percent=idle * 100,
        )


def _start(system: str, file: Path, home: Path) -> ChildProcess:
    if system == "java":
        return start_java(
            java(),
            JAVA_CONTAINER,
            "-c",
            str(file),
            name="java-container",
            home=home,
            heap=("-Xms1g", "-Xmx2g"),
            short=False,
        )
    return ChildProcess(
        "mqbrokercontainer",
        [str(CONTAINER_LAUNCHER), "-c", str(file)],
        log_dir=home,
        env=our_environment(home),
        cwd=home,
    )


def prepare_ours() -> None:
    """Lets the launcher build its environment before the clock runs."""
    with ChildProcess(
        "prepare", [str(CONTAINER_LAUNCHER), "-h"], log_dir=Path(tempfile.mkdtemp()), env=dict(os.environ)
    ) as launcher:
        launcher.wait(_START_TIMEOUT_S)


def table_of(figures: list[Figures]) -> Table:
    table = Table(title=f"A container with {figures[0].brokers} idle brokers", title_justify="left")
    table.add_column("")
    for each in figures:
        table.add_column(each.system, justify="right")
    table.add_column("bar for ours", justify="right")
    mib = 1 << 20
    table.add_row("ready, s", *(f"{each.ready_seconds:.2f}" for each in figures), "< 1.5")
    table.add_row("all registered, s", *(f"{each.registered_seconds:.2f}" for each in figures), "")
    table.add_row("threads", *(str(each.threads) for each in figures), "< 30")
    table.add_row(
        "anonymous memory, MiB", *(f"{each.anonymous_bytes / mib:.1f}" for each in figures), "< 114 (120 MB)"
    )
    table.add_row("resident memory, MiB", *(f"{each.resident_bytes / mib:.1f}" for each in figures), "")
    table.add_row("idle CPU, % of a core", *(f"{each.idle_cpu_percent:.2f}" for each in figures), "< 2")
    return table


@click.command(help=__doc__.partition("\n\n")[2] if __doc__ else None)
@click.option("--system", "systems", multiple=True, type=click.Choice(SYSTEMS), help="Repeatable. [ours]")
@click.option("--brokers", default=10, show_default=True, type=click.IntRange(1))
@click.option("--idle", default=20.0, show_default=True, help="Seconds over which idle CPU is taken.")
@click.option("--settle", default=5.0, show_default=True, help="Seconds of rest before that.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the figures there.")
def main(systems: tuple[str, ...], brokers: int, idle: float, settle: float, json_file: Path | None) -> None:
    figures: list[Figures] = []
    for system in systems or ("ours",):
        home = Path(tempfile.mkdtemp(prefix="mqbc-benchmark-"))
        try:
            if system == "ours":
                prepare_ours()
            figures.append(measure(system, brokers, home, idle_seconds=idle, settle_seconds=settle))
        except (PeerUnavailableError, ProcessError, TimeoutError) as fault:
            raise click.ClickException(str(fault)) from fault
        finally:
            shutil.rmtree(home, ignore_errors=True)
    Console().print(table_of(figures))
    if json_file is not None:
        runs = [attrs.asdict(each) for each in figures]
        json_file.write_text(json.dumps({"machine": machine(), "runs": runs}, indent=2) + "\n")


if __name__ == "__main__":
    main()
