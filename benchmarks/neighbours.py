"""`python -m benchmarks.neighbours`: does a broker notice that its neighbour dies and recovers?

One container process holds a measured broker and a victim with a big commit log. A client, which is this
process, sends 1 KiB messages to the measured broker at a steady rate over one blocking socket and takes the
time of each. Quiet stretches alternate with stretches in which the victim's disk fails, the victim is closed
as failed and started again at once (restartFailedBrokers), which makes it read its log from the beginning,
again and again. The bar: the 99th percentile stays within twice that of the quiet stretches.

All brokers of a process share one interpreter, so a recovery, which is computation, and the event loop take
turns; how long a turn may be is what the figures show.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import statistics
import sys
import tempfile
import time
from pathlib import Path

import attrs
import click
from rich.console import Console
from rich.table import Table

from benchmarks.measured import machine, percentile
from tests.interop.processes import ChildProcess, ProcessError
from tests.interop.wire import ask_raw
from tests.send_fields import send_fields

BAR = 2.0
_TOPIC = "Measured"
_TIMEOUT_S = 300


@attrs.frozen
class Stretch:
    """A stretch of time with the latencies of the messages sent in it.

    Attributes:
        seconds: Of each message, from before the send until its answer was read.
        late: Messages that could not be sent in time because the one before took too long.
        deaths: Of the victim.
        recoveries: Seconds of each of its recoveries, from its end as a failed broker until it served.
    """

    troubled: bool
    seconds: list[float]
    late: int
    deaths: int
    recoveries: list[float]


def send_steadily(connection: socket.socket, rate: float, seconds: float) -> tuple[list[float], int]:
    """Sends at `rate` per second, waiting for each answer; returns the latencies and how many began late."""
    body, took, late = bytes(1024), [], 0
    begin = time.perf_counter()
    for number in range(int(rate * seconds)):
        due = begin + number / rate
        wait = due - time.perf_counter()
        if wait > 0:
            time.sleep(wait)
        else:
            late += number > 0
        sent = time.perf_counter()
        answer = ask_raw(connection, _HEADER, body)
        took.append(time.perf_counter() - sent)
        if answer.code != 0:
            raise ProcessError(f"the measured broker answers {answer.code} {answer.header.get('remark')}")
    return took, late


def measure(child: ChildProcess, *, rate: float, stretch: float, rounds: int) -> list[Stretch]:
    """Alternates quiet and troubled stretches.

    Raises:
        ProcessError: The container ended, or a message was refused.
    """
    address = child.wait_for_line(r"^prepared (\S+)$", _TIMEOUT_S)[1]
    host, _, port = address.rpartition(":")
    stretches = []
    with socket.create_connection((host, int(port)), timeout=_TIMEOUT_S) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        send_steadily(connection, rate, 2)  # warms up
        for number in range(rounds):
            for troubled in (False, True):
                seen = len(child.lines)
                if troubled:
                    child.write_line("torment")
                took, late = send_steadily(connection, rate, stretch)
                lines = list(child.lines)[seen:]
                deaths = sum(line == "died failed" for line in lines)
                recoveries = [float(line.split()[1]) for line in lines if re.match("back ", line)]
                stretches.append(Stretch(troubled, took, late, deaths, recoveries))
                if troubled:
                    child.write_line("calm")
                    child.wait_for_count("^calm$", number + 1, _TIMEOUT_S)
                    time.sleep(0.5)
    return stretches


def table_of(stretches: list[Stretch], title: str) -> tuple[Table, bool]:
    """The percentiles side by side, and whether the bar is reached."""
    table = Table(title=title, title_justify="left")
    for column in ("", "quiet", "neighbour dies and recovers", "ratio"):
        table.add_column(column, justify="right" if column else "left")
    quiet, troubled = (
        [value for each in stretches if each.troubled is kind for value in each.seconds]
        for kind in (False, True)
    )
    reached = True
    for label, share in (("p50, µs", 0.5), ("p90, µs", 0.9), ("p99, µs", 0.99), ("p99.9, µs", 0.999)):
        before, after = percentile(quiet, share), percentile(troubled, share)
        ratio = f"{after / before:.2f}"
        if share == 0.99:
            reached = after <= BAR * before
            ratio = f"[{'green' if reached else 'red'}]{ratio}[/]"
        table.add_row(label, f"{before * 1e6:,.0f}", f"{after * 1e6:,.0f}", ratio)
    table.add_row("greatest, µs", f"{max(quiet) * 1e6:,.0f}", f"{max(troubled) * 1e6:,.0f}", "")
    recoveries = [value for each in stretches for value in each.recoveries]
    deaths = sum(each.deaths for each in stretches)
    mean = f"{statistics.fmean(recoveries):.2f} s each" if recoveries else "none complete"
    late = sum(each.late for each in stretches if each.troubled)
    table.caption = (
        f"{len(quiet):,} and {len(troubled):,} messages, {late} of the latter began late;"
        f" {deaths} deaths, recoveries: {mean}"
    )
    table.caption_justify = "left"
    return table, reached


@click.command(help=__doc__.partition("\n\n")[2] if __doc__ else None)
@click.option("--size", default=512, show_default=True, help="MiB of the victim's commit log.")
@click.option("--file-size", default=1024, show_default=True, help="MiB of one file of it.")
@click.option("--rate", default=200.0, show_default=True, help="Messages per second.")
@click.option("--stretch", default=15.0, show_default=True, help="Seconds of a quiet or troubled stretch.")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1), help="Of both stretches.")
@click.option(
    "--switch-interval",
    "intervals",
    multiple=True,
    type=float,
    help="Milliseconds, see sys.setswitchinterval; repeatable. [the container's own]",
)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write all latencies there.")
def main(
    size: int,
    file_size: int,
    rate: float,
    stretch: float,
    rounds: int,
    intervals: tuple[float, ...],
    json_file: Path | None,
) -> None:
    console = Console()
    report: dict[str, object] = {"machine": machine()}
    all_reached = True
    for interval in intervals or (None,):
        directory = Path(tempfile.mkdtemp(prefix="mqbc-benchmark-"))
        options = ["--size", str(size), "--file-size", str(file_size)]
        if interval is not None:
            options += ["--switch-interval", str(interval)]
        argv = [sys.executable, "-m", "benchmarks.neighbours_container", str(directory), *options]
        try:
            with ChildProcess(
                "neighbours", argv, log_dir=directory, env=dict(os.environ), stdin=True
            ) as child:
                stretches = measure(child, rate=rate, stretch=stretch, rounds=rounds)
                child.end_input()
                child.wait(_TIMEOUT_S)
        except (ProcessError, OSError) as fault:
            raise click.ClickException(str(fault)) from fault
        finally:
            shutil.rmtree(directory, ignore_errors=True)
        title = f"1 KiB sends beside a victim with {size} MiB"
        if interval is not None:
            title += f", switch interval {interval:g} ms"
        table, reached = table_of(stretches, title)
        console.print(table)
        all_reached = all_reached and reached
        report[title] = [attrs.asdict(each) for each in stretches]
    if json_file is not None:
        json_file.write_text(json.dumps(report, indent=2) + "\n")
    sys.exit(0 if all_reached else 1)


_HEADER = json.dumps(
    {
        "code": 10,
        "language": "JAVA",
        "version": 479,
        "opaque": 1,
        "flag": 0,
        "serializeTypeCurrentRPC": "JSON",
        "extFields": send_fields(_TOPIC, group="measured"),
    }
).encode()

if __name__ == "__main__":
    main()
