"""Kills a real container with `kill -9`, again and again, at random moments under load.

Two brokers (ASYNC_FLUSH and SYNC_FLUSH) with small files take sends, batches, delayed messages, pulls and
offset commits. After each kill an independent reader looks at the files; after each start everything is
asked of the brokers again. Some kills hit a start or a stop. Each round begins with a new directory and
new settings.
"""

from __future__ import annotations

import multiprocessing
import shutil
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from tests.kill.rounds import RoundOutcome, run_round_alone

KILLS_IN_A_ROUND = 12


def table_of(outcome: RoundOutcome, seconds: float) -> Table:
    table = Table(title=f"{outcome.kills.total():,} kills in {seconds:,.0f} s", title_justify="left")
    table.add_column("")
    table.add_column("count", justify="right")
    kills, rolls = outcome.kills, outcome.rolls
    rows: list[tuple[str, int]] = [
        *((f"kills: {moment}", count) for moment, count in sorted(kills.items())),
        ("broker lives that ended within a page of a log file's border", outcome.near_boundary),
        ("log tails with torn bytes behind them", outcome.torn_tails),
        *((f"files rolled: {kind}", count) for kind, count in sorted(rolls.items())),
        ("log files deleted by retention", outcome.expired_files),
        ("messages sent", outcome.sent),
        ("… acknowledged: all found, whole, once, at their place", outcome.acknowledged),
        ("… refused: none found", outcome.refused),
        ("… without an answer", outcome.unanswered),
        ("… of these stored", outcome.stored_unanswered),
        ("pulls compared byte for byte", outcome.read_back),
        ("queries by key", outcome.queried),
        ("steps of committed offsets", outcome.commits),
    ]
    for label, count in rows:
        table.add_row(label, f"{count:,}")
    return table


@click.command(help=__doc__)
@click.option("--kills", default=1000, show_default=True, type=click.IntRange(1))
@click.option("--seed", default=0, show_default=True, help="Settings and moments follow from it.")
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(1), help="Containers at a time.")
@click.option("--seconds", type=click.IntRange(1), help="Begin hardly any round after this time.")
@click.option("--home", type=click.Path(path_type=Path), help="Where directories of rounds go.")
def main(
    kills: int,
    seed: int,
    jobs: int,
    seconds: int | None,
    home: Path | None,
) -> None:
    console = Console()
    base = home or Path(tempfile.mkdtemp(prefix="mqbc-kill-"))
    began = time.monotonic()
    total = RoundOutcome()
    failed = False
    rounds = [min(KILLS_IN_A_ROUND, kills - done) for done in range(0, kills, KILLS_IN_A_ROUND)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        running = {}
        for number, count in enumerate(rounds):
            directory = base / f"round-{number}"
            task = pool.submit(run_round_alone, str(directory), f"{seed}/{number}", count)
            running[task] = directory
        for task in as_completed(running):
            if task.cancelled():
                continue
            if seconds is not None and time.monotonic() - began > seconds:
                for other in running:
                    other.cancel()
            try:
                total.add(task.result())
            except Exception as error:
                failed = True
                console.print(
                    f"{running[task]} is kept: {error!r}", style="red", markup=False, soft_wrap=True
                )
                continue
            console.print(
                f"{time.monotonic() - began:6.0f} s, {total.kills.total()} kills,"
                f" {total.acknowledged:,} messages acknowledged",
                highlight=False,
            )
    console.print(table_of(total, time.monotonic() - began))
    if not failed:
        shutil.rmtree(base, ignore_errors=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
