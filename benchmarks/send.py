"""`python -m benchmarks.send`: throughput and broker CPU of sending, ours beside Java's.

The load is Java's own benchmark Producer (1 KiB bodies, synchronous sends, ASYNC_FLUSH). Both systems run all
the time; each round gives each of them the same number of messages in turn, so that neither has the machine
in a better hour. The first round warms up and is not counted.

The CPU is user and system time of the broker's process, from the moment that the producer's JVM is up: of
Java that is the broker alone, its name server being another process; of ours it is the whole container with
its embedded name server. The throughput is the producer's own figure, over the last ten seconds of a run at
most.
"""

from __future__ import annotations

import json
import shutil
import statistics
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click
from rich.console import Console
from rich.table import Table

from benchmarks.measured import machine
from tests.interop.cluster import Cluster, JavaCluster, OurCluster
from tests.interop.java import start_java
from tests.interop.peers import JavaPeer, PeerUnavailableError, java
from tests.interop.processes import ProcessError

if TYPE_CHECKING:
    from collections.abc import Iterator

PRODUCER = "org.apache.rocketmq.example.benchmark.Producer"
TOPIC = "BenchmarkSend"
SYSTEMS = ("java", "ours")
# Some seconds each on a machine of two cores.
DEFAULT_COUNTS = {1: 10_000, 16: 60_000, 64: 100_000}
_PRODUCER_TIMEOUT_S = 900
_COMPLETE = r"\[Complete\] Send Total: \d+ \| Send TPS: (\d+) .*Send Failed: (\d+) \| Response Failed: (\d+)"


@attrs.frozen
class Measurement:
    """One run of the producer against one system; `failed` sends were tried again by the client."""

    system: str
    threads: int
    round: int
    messages: int
    failed: int
    messages_per_second: float
    cpu_seconds: float

    @property
    def cpu_us_per_message(self) -> float:
        return self.cpu_seconds / self.messages * 1e6


def measure(
    peer: JavaPeer,
    system: str,
    cluster: Cluster,
    *,
    home: Path,
    threads: int,
    count: int,
    size: int,
    number: int,
) -> Measurement:
    """Runs the producer once.

    Raises:
        ProcessError: The producer failed, was too short for its own statistics or exceeded its time limit.
    """
    arguments = {"n": cluster.name_server, "t": TOPIC, "w": threads, "s": size, "q": count}
    with start_java(
        peer,
        PRODUCER,
        *(part for key, value in arguments.items() for part in (f"-{key}", str(value))),
        name=f"producer-{system}-{threads}-{number}",
        home=home,
        heap=("-Xms256m", "-Xmx256m"),
        short=False,
    ) as producer:
        producer.wait_for_line("^topic: ", 60)
        before = cluster.broker_process.cpu_seconds()
        complete = producer.wait_for_line(_COMPLETE, _PRODUCER_TIMEOUT_S)
        cpu = cluster.broker_process.cpu_seconds() - before
    return Measurement(
        system=system,
        threads=threads,
        round=number,
        messages=count,
        failed=int(complete[2]) + int(complete[3]),
        messages_per_second=float(complete[1]),
        cpu_seconds=cpu,
    )


def line_of(result: Measurement, label: str) -> str:
    return (
        f"{label:8} {result.system:5} {result.threads:3} threads {result.messages_per_second:9,.0f} msg/s "
        f"{result.cpu_us_per_message:7.1f} µs CPU/msg {result.failed} failed"
    )


@contextmanager
def running(peer: JavaPeer, systems: tuple[str, ...], home: Path) -> Iterator[dict[str, Cluster]]:
    """Starts the systems beside each other, each with a commit log of 1 GiB files as in production."""
    clusters: dict[str, Cluster] = {}
    settings = {"mappedFileSizeCommitLog": 1 << 30}
    with ExitStack() as stack:
        for system in systems:
            directory = home / system
            directory.mkdir(parents=True)
            cluster: Cluster = (
                JavaCluster(peer, directory, settings=settings, heap=("-Xms1g", "-Xmx1g"), short=False)
                if system == "java"
                else OurCluster(directory, settings=settings)
            )
            stack.callback(cluster.close)
            cluster.start()
            clusters[system] = cluster
        yield clusters


def table_of(measurements: list[Measurement]) -> Table:
    """Medians over the rounds, one row per thread count, systems side by side with ratios."""
    systems = [name for name in SYSTEMS if any(each.system == name for each in measurements)]
    both = len(systems) == len(SYSTEMS)
    table = Table(title="Java's benchmark Producer, medians", title_justify="left")
    table.add_column("threads", justify="right")
    for unit in ("msg/s", "µs CPU"):
        for system in systems:
            table.add_column(f"{unit} {system}", justify="right")
        if both:
            table.add_column("ours:java", justify="right")
    for threads in sorted({each.threads for each in measurements}):
        rates: dict[str, float] = {}
        costs: dict[str, float] = {}
        for system in systems:
            own = [each for each in measurements if (each.system, each.threads) == (system, threads)]
            rates[system] = statistics.median(each.messages_per_second for each in own)
            costs[system] = statistics.median(each.cpu_us_per_message for each in own)
        cells = [f"{rates[system]:,.0f}" for system in systems]
        if both:
            cells.append(_judged(rates["ours"] / rates["java"], rates["ours"] > rates["java"]))
        cells += [f"{costs[system]:.1f}" for system in systems]
        if both:
            cells.append(_judged(costs["ours"] / costs["java"], costs["ours"] <= costs["java"] / 2))
        table.add_row(str(threads), *cells)
    failed = sum(each.failed for each in measurements)
    table.caption = f"µs CPU: of the broker, per message; {failed} sends failed"
    table.caption_justify = "left"
    return table


def _judged(ratio: float, reached: bool) -> str:
    return f"[green]{ratio:.2f}[/]" if reached else f"[red]{ratio:.2f}[/]"


@click.command(help=__doc__.partition("\n\n")[2] if __doc__ else None)
@click.option(
    "--system", "systems", multiple=True, type=click.Choice(SYSTEMS), help="Only this one; repeatable."
)
@click.option(
    "--threads", multiple=True, type=click.IntRange(1), help="Sender threads; repeatable. [1 16 64]"
)
@click.option("--count", type=click.IntRange(1), help="Messages of a run. [10,000 to 100,000 by threads]")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1), help="Counted rounds.")
@click.option("--warm-up", default=1, show_default=True, type=click.IntRange(0), help="Rounds before those.")
@click.option("--size", default=1024, show_default=True, type=click.IntRange(1), help="Bytes of a body.")
@click.option("--home", type=click.Path(path_type=Path), help="Directory for stores and logs; kept.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write all runs there.")
def main(
    systems: tuple[str, ...],
    threads: tuple[int, ...],
    count: int | None,
    rounds: int,
    warm_up: int,
    size: int,
    home: Path | None,
    json_file: Path | None,
) -> None:
    console = Console()
    directory = Path(tempfile.mkdtemp(prefix="mqbc-benchmark-")) if home is None else home
    measurements: list[Measurement] = []
    try:
        with running(java(), systems or SYSTEMS, directory) as clusters:
            for number in range(-warm_up, rounds):
                for workers in threads or tuple(DEFAULT_COUNTS):
                    # Who goes first changes from round to round.
                    order = list(clusters.items()) if number % 2 else list(reversed(clusters.items()))
                    for system, cluster in order:
                        result = measure(
                            java(),
                            system,
                            cluster,
                            home=directory / f"producer-{system}",
                            threads=workers,
                            count=count or DEFAULT_COUNTS.get(workers, 60_000),
                            size=size,
                            number=number,
                        )
                        label = "warm-up" if number < 0 else f"round {number + 1}"
                        console.print(line_of(result, label), highlight=False)
                        if number >= 0:
                            measurements.append(result)
    except (PeerUnavailableError, ProcessError) as fault:
        raise click.ClickException(str(fault)) from fault
    finally:
        if home is None:
            shutil.rmtree(directory, ignore_errors=True)
    console.print(table_of(measurements))
    if json_file is not None:
        runs = [attrs.asdict(each) | {"cpu_us_per_message": each.cpu_us_per_message} for each in measurements]
        report = {"machine": machine(), "body_bytes": size, "runs": runs}
        json_file.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
