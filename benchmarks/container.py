"""`python -m benchmarks.container`: what a container with many idle brokers costs, and what one more costs.

One container file names all brokers. Measured are the time from the start of the process until the last
broker takes connections, its threads, its resident anonymous memory (smaps_rollup) once it has come to rest,
and the CPU that it uses while nobody talks to it. Then further brokers are added to the running container,
one after the other, and the time of each ADD_BROKER request is taken from before the connection until the
answer, which comes when the broker serves. The name server is a process of its own for Java and embedded for
ours.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import attrs
import click
from rich.console import Console
from rich.table import Table

from benchmarks.measured import footprint, machine
from tests.interop.cluster import (
    CONTAINER_LAUNCHER,
    broker_settings,
    our_environment,
    start_java_namesrv,
    write_properties,
)
from tests.interop.java import start_java
from tests.interop.peers import PeerUnavailableError, java
from tests.interop.processes import ChildProcess, ProcessError, wait_for_port
from tests.interop.wire import ask, wait_until_registered
from tests.ports import lease_broker_port, lease_port

JAVA_CONTAINER = "org.apache.rocketmq.container.BrokerContainerStartup"
SYSTEMS = ("java", "ours")
DEFAULT_COUNTS = {"java": (1, 10), "ours": (1, 10, 50, 100)}
ADD_BROKER = 902
MB = 1_000_000

_START_TIMEOUT_S = 300
_ADD_TIMEOUT_S = 60


@attrs.frozen
class Figures:
    """One container.

    Attributes:
        ready_seconds: Until the last broker's port was open.
        registered_seconds: Until the name server knew all brokers.
        add_seconds: Of each further broker, until the answer to its ADD_BROKER.
        idle_cpu_percent: Of one core.
    """

    system: str
    brokers: int
    ready_seconds: float
    registered_seconds: float
    add_seconds: list[float]
    threads: int
    anonymous_bytes: int
    resident_bytes: int
    idle_cpu_percent: float

    @property
    def add_mean_seconds(self) -> float:
        return statistics.fmean(self.add_seconds)


def measure(
    system: str, brokers: int, home: Path, *, adds: int, idle_seconds: float, settle_seconds: float
) -> Figures:
    """Starts one container with `brokers` brokers, measures, adds `adds` further ones and ends it.

    Raises:
        ProcessError: A process did not come up, or an add was refused.
        PeerUnavailableError: Java cannot be had.
    """
    name_server_port, container_port = lease_port(), lease_broker_port()
    name_server = f"127.0.0.1:{name_server_port}"
    ports = {f"broker-{number:03}": lease_broker_port() for number in range(brokers + adds)}
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
        "brokerConfigPaths": ":".join(map(str, files[:brokers])),
    }
    with ExitStack() as stack:
        if system == "java":
            stack.enter_context(start_java_namesrv(java(), home / "namesrv", name_server_port))
        else:
            settings |= {"embeddedNamesrv": "true", "embeddedNamesrvListenPort": name_server_port}
        file = write_properties(home / "broker-container.conf", settings)
        begin = time.monotonic()
        container = stack.enter_context(_start(system, file, home))
        first = dict(list(ports.items())[:brokers])
        for port in first.values():
            wait_for_port(port, _START_TIMEOUT_S, process=container)
        ready = time.monotonic() - begin
        for name in first:
            wait_until_registered(name_server, name, _START_TIMEOUT_S)
        registered = time.monotonic() - begin
        time.sleep(settle_seconds)
        used, since = container.cpu_seconds(), time.monotonic()
        time.sleep(idle_seconds)
        idle = (container.cpu_seconds() - used) / (time.monotonic() - since)
        size = footprint(container)
        address = f"127.0.0.1:{container_port}"
        return Figures(
            system=system,
            brokers=brokers,
            ready_seconds=ready,
            registered_seconds=registered,
            add_seconds=[_add(address, path) for path in files[brokers:]],
            threads=size.threads,
            anonymous_bytes=size.anonymous_bytes,
            resident_bytes=size.resident_bytes,
            idle_cpu_percent=idle * 100,
        )


def _add(container: str, path: Path) -> float:
    begin = time.monotonic()
    answer = ask(container, ADD_BROKER, {"configPath": str(path)}, timeout_s=_ADD_TIMEOUT_S)
    took = time.monotonic() - begin
    if answer.code != 0:
        raise ProcessError(f"{path.name} is not added: {answer.code} {answer.header.get('remark')}")
    return took


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


def further_broker_bytes(figures: list[Figures], each: Figures) -> float | None:
    """Anonymous memory of each broker beyond the first; None without a run that has one broker."""
    one = next((other for other in figures if (other.system, other.brokers) == (each.system, 1)), None)
    if one is None or each.brokers == 1:
        return None
    return (each.anonymous_bytes - one.anonymous_bytes) / (each.brokers - 1)


def _cell(text: str, reached: bool | None) -> str:
    """Green or red where there is a bar, which is there for ours only."""
    return text if reached is None else f"[{'green' if reached else 'red'}]{text}[/]"


def table_of(figures: list[Figures]) -> Table:
    """One column for each container; what has a bar is green or red."""
    table = Table(title="A container with idle brokers", title_justify="left")
    table.add_column("")
    for each in figures:
        table.add_column(f"{each.system}, {each.brokers}", justify="right")
    table.add_column("bar for ours", justify="right")

    def judged(each: Figures, value: float, bar: float, *, at: tuple[int, ...] | None = None) -> bool | None:
        return value <= bar if each.system == "ours" and (at is None or each.brokers in at) else None

    def row(label: str, cells: list[str], bar: str = "") -> None:
        table.add_row(label, *cells, bar)

    row("ready, s", [f"{each.ready_seconds:.2f}" for each in figures])
    row("all registered, s", [f"{each.registered_seconds:.2f}" for each in figures])
    row(
        "add of one more, ms, mean",
        [
            _cell(f"{each.add_mean_seconds * 1000:.0f}", judged(each, each.add_mean_seconds, 0.1))
            for each in figures
        ],
        "<= 100",
    )
    row("add of one more, ms, greatest", [f"{max(each.add_seconds) * 1000:.0f}" for each in figures])
    row(
        "threads",
        [_cell(str(each.threads), judged(each, each.threads, 20)) for each in figures],
        "<= 20",
    )
    row(
        "anonymous memory, MB",
        [
            _cell(f"{each.anonymous_bytes / MB:.1f}", judged(each, each.anonymous_bytes / MB, 45, at=(1,)))
            for each in figures
        ],
        "<= 45 at 1",
    )
    further = [(each, further_broker_bytes(figures, each)) for each in figures]
    row(
        "… each broker beyond the first, MB",
        [
            "" if cost is None else _cell(f"{cost / MB:.2f}", judged(each, cost / MB, 5))
            for each, cost in further
        ],
        "<= 5",
    )
    row("resident memory, MB", [f"{each.resident_bytes / MB:.1f}" for each in figures])
    row(
        "idle CPU, % of a core",
        [
            _cell(f"{each.idle_cpu_percent:.2f}", judged(each, each.idle_cpu_percent, 1, at=(10,)))
            for each in figures
        ],
        "<= 1 at 10",
    )
    return table


@click.command(help=__doc__.partition("\n\n")[2] if __doc__ else None)
@click.option("--system", "systems", multiple=True, type=click.Choice(SYSTEMS), help="Repeatable. [ours]")
@click.option("--brokers", multiple=True, type=click.IntRange(1), help="Repeatable. [1 10 50 100; Java 1 10]")
@click.option("--adds", default=10, show_default=True, type=click.IntRange(1), help="Brokers added later.")
@click.option("--idle", default=20.0, show_default=True, help="Seconds over which idle CPU is taken.")
@click.option("--settle", default=5.0, show_default=True, help="Seconds of rest before that.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the figures there.")
def main(
    systems: tuple[str, ...],
    brokers: tuple[int, ...],
    adds: int,
    idle: float,
    settle: float,
    json_file: Path | None,
) -> None:
    figures: list[Figures] = []
    prepare_ours()
    for system in systems or ("ours",):
        for count in brokers or DEFAULT_COUNTS[system]:
            home = Path(tempfile.mkdtemp(prefix="mqbc-benchmark-"))
            try:
                figures.append(
                    measure(system, count, home, adds=adds, idle_seconds=idle, settle_seconds=settle)
                )
            except (PeerUnavailableError, ProcessError, OSError) as fault:
                raise click.ClickException(f"{system} with {count} brokers: {fault}") from fault
            finally:
                shutil.rmtree(home, ignore_errors=True)
    Console().print(table_of(figures))
    if json_file is not None:
        runs = [attrs.asdict(each) for each in figures]
        json_file.write_text(json.dumps({"machine": machine(), "runs": runs}, indent=2) + "\n")


if __name__ == "__main__":
    main()
