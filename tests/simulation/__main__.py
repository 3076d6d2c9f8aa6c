"""``python -m tests.simulation``: many schedules, or one again with every step of it."""

from __future__ import annotations

import multiprocessing
import sys
import time
import traceback
from typing import TYPE_CHECKING

import click

from tests.simulation.driver import FailedScheduleError, failing_seeds, quiet, run_schedule
from tests.simulation.schedule import derive

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK = 50
_SHOWN = 20
_SAID_EVERY = 20  # chunks


def _all_failures(first: int, count: int, jobs: int) -> Iterator[list[tuple[int, str]]]:
    chunks = [
        range(start, min(start + _CHUNK, first + count)) for start in range(first, first + count, _CHUNK)
    ]
    if jobs == 1:
        yield from map(failing_seeds, chunks)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap(failing_seeds, chunks)


def _replay(seed: int) -> int:
    quiet()
    schedule = derive(seed)
    click.echo(f"seed {seed}: {schedule.setup}")
    try:
        run_schedule(schedule, trace=click.echo)
    except FailedScheduleError:
        traceback.print_exc(file=sys.stdout)
        return 1
    click.echo("nothing wrong")
    return 0


@click.command()
@click.option("--schedules", type=click.IntRange(min=1), help="How many seeds; 1000, or 1 with --seed.")
@click.option("--seed", type=click.IntRange(min=0), help="The first seed; alone: show each of its steps.")
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Processes.")
def main(schedules: int | None, seed: int | None, jobs: int) -> None:
    """Drive the store and the offset table through crashes and faults on a simulated disk."""
    if seed is not None and schedules is None:
        sys.exit(_replay(seed))
    first, count = seed or 0, schedules or 1000
    began = time.monotonic()
    failures: list[tuple[int, str]] = []
    for chunks, found in enumerate(_all_failures(first, count, jobs), 1):
        for number, text in found:
            if len(failures) < _SHOWN:
                click.echo(f"{text[:400]}\n  python -m tests.simulation --seed {number}")
            failures.append((number, text))
        if not chunks % _SAID_EVERY:
            click.echo(f"{chunks * _CHUNK} of {count}, {len(failures)} failed", err=True)
    took_s = time.monotonic() - began
    click.echo(
        f"{count} schedules in {took_s:.1f} s ({1000 * took_s * jobs / count:.1f} ms each, {jobs} jobs):"
        f" {len(failures)} failed"
    )
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
