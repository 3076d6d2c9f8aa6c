"""`python -m benchmarks.growth`: what a message costs when there is more of everything else.

More topics, more brokers in the process, more connections, more messages in the queues, readers of old
messages whose pages the system had dropped. The figures are CPU time of the container's process per
operation, medians over rounds in which the scales take turns, and are compared with the first scale: flat is
a ratio of at most 1.5. All the time the event loop is watched: the longest time for which it served nobody,
and what somebody who comes at a random moment waits for it at most, in 999 of 1000 cases, which should not be
above 10 ms; and what that would be if cores and disks were always free, so that a stall that this process
makes can be told from one of the machine.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click
from rich.console import Console
from rich.table import Table

from benchmarks.growth_loads import (
    Answer,
    Figure,
    Sizes,
    backlog_and_cold_reads,
    brokers,
    connections,
    topics,
)
from benchmarks.load_host import Stalls, raise_file_limit, tidy_end
from benchmarks.marked_region import MarkedRegionError, write_region
from benchmarks.measured import machine
from tests.interop.processes import ProcessError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FLAT = 1.5
STALL_BAR_S = 0.010
PAGE, REGION = Path(__file__).parents[1] / "docs" / "performance.md", "growth"

FULL = Sizes(
    messages=20_000,
    rounds=5,
    topics=(1, 100, 10_000),
    brokers=(1, 10, 50),
    connections=(1, 200, 2_000),
    backlog=(0, 10_000_000),
    tail_seconds=6,
)
QUICK = attrs.evolve(
    FULL,
    messages=2_000,
    rounds=2,
    topics=(1, 1_000),
    brokers=(1, 5),
    connections=(1, 200),
    backlog=(0, 400_000),
    tail_seconds=2,
)


def _once(question: Callable[[Sizes], Answer]) -> Callable[[Sizes], Iterator[Answer]]:
    return lambda sizes: iter([question(sizes)])


QUESTIONS: dict[str, Callable[[Sizes], Iterator[Answer]]] = {
    "topics": _once(topics),
    "brokers": _once(brokers),
    "connections": _once(connections),
    "backlog": backlog_and_cold_reads,
}


@attrs.frozen
class Report:
    """What a run found.

    Attributes:
        machine: see `benchmarks.measured.machine`, before the first load.
        answers: by the name of the question.
    """

    machine: dict[str, object]
    answers: dict[str, list[Answer]]

    @property
    def in_order(self) -> list[Answer]:
        """All answers in the order of the questions."""
        return [answer for name in QUESTIONS for answer in self.answers.get(name, ())]


Row = tuple[list[str], bool | None]
"""Cells, and whether what they show is as it should be; None where nothing is judged."""


def growth_rows(answer: Answer) -> list[Row]:
    """What, scale, microseconds, ratio to the first scale of the same load."""
    rows: list[Row] = []
    bases: dict[str, float] = {}
    for figure in sorted(answer.figures, key=lambda each: each.what):
        first = figure.what not in bases
        ratio = figure.micros / bases.setdefault(figure.what, figure.micros)
        cells = [figure.what, figure.scale, f"{figure.micros:,.1f}", "" if first else f"{ratio:.2f}"]
        rows.append((cells, None if first else ratio <= FLAT))
    return rows


def stall_rows(answers: list[Answer]) -> list[Row]:
    """Label, the three p99.9 and the longest in milliseconds, part of time without a core; worst first."""
    found = [(label, stalls) for answer in answers for label, stalls in answer.stalls.items()]
    found.sort(key=lambda each: -each[1].p999)
    return [
        (
            [
                label,
                _millis(stalls.p999),
                _millis(stalls.computing),
                _millis(stalls.own),
                _millis(stalls.longest),
                f"{stalls.starved:.1%}",
            ],
            stalls.p999 <= STALL_BAR_S,
        )
        for label, stalls in found
    ]


def _millis(seconds: float) -> str:
    return "< 1" if seconds == 0 else f"{seconds * 1000:.1f}"


GROWTH_HEADINGS = ["µs per operation", "at", "µs", "ratio"]
STALL_HEADINGS = [
    "the event loop",
    "p99.9, ms",
    "process computing",
    "loop computing",
    "longest, ms",
    "waited for a core",
]


def table_of(title: str, headings: list[str], rows: list[Row]) -> Table:
    """For the terminal: the last cell that is judged is green or red."""
    table = Table(title=title, title_justify="left")
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number else "left")
    for cells, well in rows:
        shown = list(cells)
        if well is not None:
            place = -1 if headings is GROWTH_HEADINGS else 1
            shown[place] = f"[{'green' if well else 'red'}]{shown[place]}[/]"
        table.add_row(*shown)
    return table


def markdown_of(report: Report) -> str:
    """For a page: what misses its bar is bold, the misses come first."""
    answers = report.in_order
    misses = [
        f"{answer.grows}: {cells[0]} ({cells[1]}) {cells[3]} times"
        for answer in answers
        for cells, well in growth_rows(answer)
        if well is False
    ]
    misses += [f"{cells[0]}: p99.9 {cells[1]} ms" for cells, well in stall_rows(answers) if well is False]
    of_machine = report.machine
    lines = (
        ["Beyond its bar:", "", *(f"- {miss}" for miss in misses)]
        if misses
        else ["Everything is within its bar."]
    )
    lines += [
        "",
        f"Python {of_machine['python']}, {of_machine['cores']} cores, load average before the first load"
        f" {of_machine['load_average']:.1f}.",
        "",
    ]
    for answer in answers:
        lines += _markdown_table([answer.grows, *GROWTH_HEADINGS[1:]], growth_rows(answer), judged=-1)
    lines += _markdown_table(STALL_HEADINGS, stall_rows(answers), judged=1)
    return "\n".join(lines)


def _markdown_table(headings: list[str], rows: list[Row], *, judged: int) -> list[str]:
    lines = ["| " + " | ".join(headings) + " |", "|---" * len(headings) + "|"]
    for cells, well in rows:
        shown = list(cells)
        if well is False:
            shown[judged] = f"**{shown[judged]}**"
        lines.append("| " + " | ".join(shown) + " |")
    return [*lines, ""]


def saved(path: Path) -> Report:
    """What `save` wrote.

    Raises:
        click.ClickException: the file is not one of them.
    """
    try:
        found = json.loads(path.read_text())
        answers = {
            name: [
                Answer(
                    each["grows"],
                    [Figure(**figure) for figure in each["figures"]],
                    {label: Stalls(**stalls) for label, stalls in each["stalls"].items()},
                )
                for each in found["answers"][name]
            ]
            for name in found["answers"]
        }
        return Report(found["machine"], answers)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as fault:
        raise click.ClickException(f"{path} does not hold figures of this benchmark: {fault}") from fault


def save(report: Report, path: Path) -> None:
    """Writes all figures as JSON."""
    path.write_text(json.dumps(attrs.asdict(report), indent=2) + "\n")


def ask(name: str, sizes: Sizes, console: Console) -> list[Answer]:
    """The answers to one question, shown as they come.

    Raises:
        ProcessError: a container ended or refused something.
        OSError: there is no room for its files, or for so many connections.
    """
    answers = []
    for answer in QUESTIONS[name](sizes):
        answers.append(answer)
        show(answer, console)
    return answers


def show(answer: Answer, console: Console) -> None:
    console.print(table_of(f"More {answer.grows}", GROWTH_HEADINGS, growth_rows(answer)))


@click.command(help=__doc__.partition("\n\n")[2] if __doc__ else None)
@click.option("--only", multiple=True, type=click.Choice(list(QUESTIONS)), help="Only this; repeatable.")
@click.option("--quick", is_flag=True, help="Small scales and few messages: whether it works.")
@click.option("--rounds", type=click.IntRange(1), help=f"Of each load. [{FULL.rounds}]")
@click.option("--document", is_flag=True, help="Write the tables into docs/.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write all figures there.")
@click.option(
    "--from-json",
    "earlier",
    type=click.Path(path_type=Path),
    help="Figures of an earlier run; only what --only names is taken again.",
)
def main(
    only: tuple[str, ...],
    quick: bool,
    rounds: int | None,
    document: bool,
    json_file: Path | None,
    earlier: Path | None,
) -> None:
    raise_file_limit()
    sizes = QUICK if quick else FULL
    if rounds is not None:
        sizes = attrs.evolve(sizes, rounds=rounds)
    console = Console()
    report = Report(machine(), {}) if earlier is None else saved(earlier)
    wanted = only or (QUESTIONS if earlier is None else ())
    failed = []
    for name in QUESTIONS:
        if name in wanted:
            try:
                with tidy_end():
                    report.answers[name] = ask(name, sizes, console)
            except (ProcessError, OSError) as fault:
                failed.append(name)
                click.echo(f"{name}: {fault}", err=True)
            if json_file is not None:
                save(report, json_file)
        else:
            for answer in report.answers.get(name, ()):
                show(answer, console)
    console.print(table_of("Nobody was served", STALL_HEADINGS, stall_rows(report.in_order)))
    if failed:
        raise click.ClickException(f"without figures: {', '.join(failed)}")
    if document:
        try:
            write_region(PAGE, REGION, markdown_of(report))
        except MarkedRegionError as fault:
            raise click.ClickException(str(fault)) from fault


if __name__ == "__main__":
    main()
