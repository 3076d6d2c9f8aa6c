"""`python -m benchmarks.churn`: brokers come and go in a container under load; what is left of them?

Each round adds a broker by request, sends to it and removes an earlier one, while Java producers send to the
brokers that stay. The sizes of the process are taken every so many rounds. A leak is what grows with the
rounds: the slope is the median of all pairs of samples (Theil-Sen).
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import attrs
import click
from rich.console import Console
from rich.table import Table

from benchmarks.measured import machine
from tests.interop.churn import ChurnOutcome, Sample, run_churn
from tests.interop.peers import PeerUnavailableError, java
from tests.interop.processes import ProcessError

_FIELDS = {
    "anonymous_bytes": "anonymous memory, KiB",
    "descriptors": "descriptors",
    "threads": "threads",
    "tasks": "tasks",
    "ports": "listening ports",
}
_SAMPLES = 50
# One broker that is not given back costs some 300 KiB; the allocator's own wandering is far below this.
_MEMORY_BAR_BYTES_PER_ROUND = 20 << 10


def _scaled(field: str, value: float) -> float:
    return value / 1024 if field == "anonymous_bytes" else value


def table_of(outcome: ChurnOutcome, rounds: int, steady: int) -> Table:
    table = Table(title=f"{rounds} adds and removes beside {steady} brokers", title_justify="left")
    for column in ("", "first sample", "last sample", "least", "greatest", "per 1,000 rounds"):
        table.add_column(column, justify="left" if not column else "right")
    for field, label in _FIELDS.items():
        values = [getattr(sample, field) for sample in outcome.samples]
        cells = [_scaled(field, value) for value in (values[0], values[-1], min(values), max(values))]
        slope = _scaled(field, outcome.growth(field) * 1000)
        table.add_row(label, *(f"{cell:,.0f}" for cell in cells), f"{slope:+,.1f}")
    return table


def _times(label: str, seconds: list[float]) -> str:
    ordered = sorted(seconds)
    return (
        f"{label}: mean {statistics.fmean(ordered) * 1000:.1f} ms,"
        f" median {ordered[len(ordered) // 2] * 1000:.1f} ms, greatest {ordered[-1] * 1000:.1f} ms"
    )


@click.command(help=__doc__.partition("\n\n")[2] if __doc__ else None)
@click.option("--rounds", default=1000, show_default=True, type=click.IntRange(30))
@click.option("--steady", default=20, show_default=True, type=click.IntRange(1), help="Brokers that stay.")
@click.option("--pause", default=5, show_default=True, help="Milliseconds between sends of a Java thread.")
@click.option("--threads", default=4, show_default=True, help="Java threads that send.")
@click.option("--home", type=click.Path(path_type=Path), help="Directory for stores and logs; kept.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write all samples there.")
def main(
    rounds: int, steady: int, pause: int, threads: int, home: Path | None, json_file: Path | None
) -> None:
    console = Console()
    directory = home or Path(tempfile.mkdtemp(prefix="mqbc-benchmark-"))
    began = time.monotonic()

    def show(sample: Sample) -> None:
        console.print(f"{time.monotonic() - began:6.0f} s, {sample}", highlight=False, soft_wrap=True)

    try:
        outcome = run_churn(
            java(),
            directory,
            rounds=rounds,
            steady=steady,
            sample_every=max(1, rounds // _SAMPLES),
            pause_ms=pause,
            load_threads=threads,
            show=show,
        )
    except (PeerUnavailableError, ProcessError, AssertionError) as fault:
        raise click.ClickException(str(fault)) from fault
    finally:
        if home is None:
            shutil.rmtree(directory, ignore_errors=True)
    console.print(table_of(outcome, rounds, steady))
    console.print(_times("add", outcome.add_seconds), _times("remove", outcome.remove_seconds), sep="\n")
    console.print(f"Java producers: {outcome.sent:,} messages acknowledged, {outcome.failed} failed")
    if json_file is not None:
        report = {"machine": machine(), **attrs.asdict(outcome)}
        json_file.write_text(json.dumps(report, indent=2) + "\n")
    wrong = [*outcome.leaks(), *outcome.clutter]
    if outcome.failed:
        wrong.append(f"{outcome.failed} sends failed, the first: {outcome.first_failure}")
    growth = outcome.growth("anonymous_bytes")
    if growth > _MEMORY_BAR_BYTES_PER_ROUND:
        wrong.append(f"anonymous memory grows by {growth / 1024:.0f} KiB with each round")
    for text in wrong:
        console.print(f"[red]{text}[/]")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
