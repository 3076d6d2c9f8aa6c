"""`python -m benchmarks.compare`: ours, Java's broker and NATS side by side, alternating in one run.

Java 5.5.0 is a name server and a broker with a heap of 1 GiB, ours a container with an embedded name server;
the loads are Java's own benchmark programs with 1 KiB bodies and ASYNC_FLUSH unless they say otherwise. NATS
is a JetStream stream on files with a small publisher in Go, a mark from outside: another protocol and client.
Each load runs in rounds; in each round every system has its turn, and who is first changes. The systems whose
turn it is not are stopped, so that nobody's idle threads count against another.

CPU is user and system time of the broker's process, for each message. Figures are the best of the rounds:
what else runs on a shared machine makes them worse, never better. Ratios within one run mean something,
absolute figures depend on the machine.
"""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click
from rich.console import Console

from benchmarks.compare_bars import (
    COMPILED,
    LABELS,
    NATS,
    QUANTITIES,
    SYSTEMS,
    Figures,
    Reading,
    misses,
    table_of,
)
from benchmarks.compare_loads import LOADS, TOPICS, Load, Size, VoidRunError
from benchmarks.compare_report import TITLE, Gap, Report, caption, load_report, page_text, save_report
from benchmarks.compare_systems import FAULTS, RocketMq, System, awake, started
from benchmarks.interpreter import Interpreter, interpreter
from benchmarks.marked_region import MarkedRegionError, write_region
from benchmarks.measured import machine
from benchmarks.picture import svg_of
from tests.interop.peers import PeerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

_DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE, PICTURE, REGION = _DOCS / "performance.md", _DOCS / "comparison.svg", "comparison"
WHOLE = Size(warm_up_seconds=2.5, span_seconds=4, messages=1_500_000, latency_seconds=6)
QUICK = Size(warm_up_seconds=1, span_seconds=1.5, messages=300_000, latency_seconds=2)
_BROKER_WARM_UP_S = 6.0
_ATTEMPTS = 3
_UNITS = {quantity.key: quantity for quantity in QUANTITIES}
_NO_BUILD = "no build of these sources for this interpreter; `bin/compile` or `--compile` makes one"


def _of_session(loads: list[Load]) -> dict[tuple[tuple[str, str], ...], list[Load]]:
    """Loads by the broker settings that they share."""
    sessions: dict[tuple[tuple[str, str], ...], list[Load]] = {}
    for load in loads:
        sessions.setdefault(load.settings, []).append(load)
    return sessions


class Comparison:
    """A run: the figures so far, what failed, and how it goes on without that.

    Args:
        report: To which the figures are added.
        names: The systems, in the order of the first round.
        ours: What runs our own.
        keep: Is given the report after each load.
    """

    def __init__(
        self,
        report: Report,
        names: list[str],
        ours: Interpreter,
        console: Console,
        keep: Callable[[Report], None],
    ) -> None:
        self.report = report
        self._names = names
        self._ours = ours
        self._console = console
        self._keep = keep
        self._size = QUICK if report.quick else WHOLE
        self._began = time.monotonic()
        self._seconds_before = report.seconds

    def run(self, loads: list[Load], home: Path) -> None:
        """Runs the loads; those that share their settings have the same brokers.

        Args:
            home: Directory for stores and logs.
        """
        for number, shared in enumerate(_of_session(loads).values()):
            names = [name for name in self._names if name != NATS or any(load.with_nats for load in shared)]

            def not_started(name: str, fault: Exception, shared: list[Load] = shared) -> None:
                for load in shared:
                    if name != NATS or load.with_nats:
                        self._fail(name, load, fault)

            settings = dict(shared[0].settings)
            with started(names, home / str(number), settings, self._ours, not_started) as systems:
                for system in systems:
                    self._warm_up(system)
                for load in shared:
                    self._load(load, systems)

    def _say(self, text: str) -> None:
        elapsed = time.monotonic() - self._began
        self._console.print(f"{elapsed:4.0f} s  {text}", highlight=False, soft_wrap=True, markup=False)

    def _fail(self, name: str, load: Load, fault: Exception) -> None:
        """Notes that a system has no figure of a load; the console gets the whole text, the page a line."""
        lines = str(fault).splitlines() or [repr(fault)]
        gap = Gap(name, load.key, lines[0])
        if gap not in self.report.gaps:
            self._say("\n".join([f"failed: {gap}", *lines[1:]]))
            self.report = attrs.evolve(self.report, gaps=[*self.report.gaps, gap])

    def _warm_up(self, system: System) -> None:
        """Makes the topics, and brings a JVM to compiled code before anything counts.

        A fault is told and not kept: each load shows by itself whether the system serves.
        """
        again = attrs.evolve(self._size, span_seconds=0.5 if self.report.quick else _BROKER_WARM_UP_S)
        hardest = next(load for load in LOADS if load.key == "send-64")
        try:
            with awake(system):
                if isinstance(system, RocketMq):
                    for topic in TOPICS:
                        system.create_topic(topic)
                self._valid(hardest, system, again, -1)
        except FAULTS as fault:
            self._say(f"warm-up {LABELS[system.name]} failed: {fault}")
        else:
            self._say(f"warm-up {LABELS[system.name]}")

    def _load(self, load: Load, systems: list[System]) -> None:
        """All rounds of a load; in each every system has its turn, and who is first changes."""
        present = [system for system in systems if system.name != NATS or load.with_nats]
        failed_before = {system.name: system.failed_sends() for system in present}
        readings: list[Reading] = []
        for number in range(1 if load.once else self.report.rounds):
            for system in present if number % 2 == 0 else reversed(present):
                try:
                    with awake(system):
                        found = self._valid(load, system, self._size, number)
                except FAULTS as fault:
                    self._fail(system.name, load, fault)
                else:
                    self._say(_line(load, system, number, found))
                    readings += found
        failed = {system.name: system.failed_sends() - failed_before[system.name] for system in present}
        self.report = attrs.evolve(
            self.report,
            readings=[*self.report.readings, *readings],
            failed={**self.report.failed, load.key: failed},
            taken=[*self.report.taken, load.key],
            seconds=self._seconds_before + time.monotonic() - self._began,
        )
        self._keep(self.report)

    def _valid(self, load: Load, system: System, size: Size, number: int) -> list[Reading]:
        """Runs a load, again if the run is void, and says so."""
        for _ in range(_ATTEMPTS - 1):
            try:
                return load.readings(system, size, number)
            except VoidRunError as fault:
                self._say(f"{load.key}: void, once more: {str(fault).splitlines()[0]}")
        return load.readings(system, size, number)


def _line(load: Load, system: System, number: int, readings: list[Reading]) -> str:
    figures = (
        f"{_UNITS[each.quantity].shown(each.value):>9} {_UNITS[each.quantity].unit}" for each in readings
    )
    return f"{load.key:10} round {number + 1} {LABELS[system.name]:14} {'  '.join(figures)}"


def _end_in_order(number: int, frame: FrameType | None) -> None:
    """SIGTERM unwinds like Ctrl-C does, so that no stopped process is left."""
    del frame
    sys.exit(128 + number)


@click.command(help=__doc__.partition("\n\n")[2] if __doc__ else None)
@click.option("--rounds", default=4, show_default=True, type=click.IntRange(1))
@click.option("--quick", is_flag=True, help="One short round of everything: does it all work?")
@click.option(
    "--only",
    "keys",
    multiple=True,
    type=click.Choice([load.key for load in LOADS]),
    help="Only this load; repeatable.",
)
@click.option(
    "--system",
    "wanted",
    multiple=True,
    type=click.Choice(SYSTEMS),
    help=f"Only this one; repeatable. [all; {COMPILED} if it is built]",
)
@click.option(
    "--python",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="What runs ours; it gets an environment in the cache. [the one of .venv]",
)
@click.option(
    "--compile", "make_build", is_flag=True, help="Make the compiled build for it before, see bin/compile."
)
@click.option("--document", is_flag=True, help="Write table and picture into docs/.")
@click.option("--markdown", "markdown_file", type=click.Path(path_type=Path), help="Write the table there.")
@click.option("--svg", "svg_file", type=click.Path(path_type=Path), help="Write the picture there.")
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path),
    help="Write all figures there, after each load.",
)
@click.option(
    "--from-json",
    "source",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Begin with the figures that --json wrote: take the loads of --only or --missing anew, or none.",
)
@click.option("--missing", is_flag=True, help="With --from-json: take the loads that the file has not whole.")
@click.option("--home", type=click.Path(path_type=Path), help="Directory for stores and logs; kept.")
def main(
    rounds: int,
    quick: bool,
    keys: tuple[str, ...],
    wanted: tuple[str, ...],
    python: Path | None,
    make_build: bool,
    document: bool,
    markdown_file: Path | None,
    svg_file: Path | None,
    json_file: Path | None,
    source: Path | None,
    missing: bool,
    home: Path | None,
) -> None:
    console = Console()
    if wanted and source is not None:
        raise click.UsageError("--system with --from-json would mix figures of different runs in one ratio")
    if missing and source is None:
        raise click.UsageError("--missing needs --from-json")
    loads = [load for load in LOADS if load.key in keys or not (keys or source)]
    signal.signal(signal.SIGTERM, _end_in_order)
    try:
        ours = interpreter(python)
        if make_build:
            ours = ours.with_build()
        before = load_report(source) if source else _empty(1 if quick else rounds, quick)
    except (PeerUnavailableError, OSError, ValueError) as fault:
        raise click.ClickException(str(fault)) from fault
    if missing:
        lacking = {gap.load for gap in before.gaps} | {load.key for load in LOADS} - set(before.taken)
        loads = [load for load in LOADS if load.key in lacking or load in loads]
    if before.readings and loads and before.python != ours.text:
        raise click.ClickException(
            f"{source} has figures of {before.python}, not of {ours.text}: see --python"
        )
    report = _measured(before, loads, wanted, ours, json_file, home, console) if loads else before
    _show(report, console)
    if json_file is not None:
        save_report(report, json_file)
    if markdown_file is not None:
        markdown_file.write_text(page_text(report, svg_file.name if svg_file else PICTURE.name) + "\n")
    picture = svg_of(Figures(report.readings), TITLE, report.conditions)
    if svg_file is not None:
        svg_file.write_text(picture)
    if document:
        try:
            write_region(PAGE, REGION, page_text(report, PICTURE.name))
        except MarkedRegionError as fault:
            raise click.ClickException(str(fault)) from fault
        PICTURE.write_text(picture)
    if any(gap.load for gap in report.gaps):
        sys.exit(1)


def _empty(rounds: int, quick: bool) -> Report:
    return Report(
        quick=quick,
        rounds=rounds,
        date="",
        seconds=0.0,
        machine={},
        python="",
        messages=(QUICK if quick else WHOLE).messages,
        failed={},
        taken=[],
        gaps=[],
        readings=[],
    )


def _measured(
    before: Report,
    loads: list[Load],
    wanted: tuple[str, ...],
    ours: Interpreter,
    json_file: Path | None,
    home: Path | None,
    console: Console,
) -> Report:
    """Runs `loads`, whose figures take the place of those that `before` has."""
    directory = Path(tempfile.mkdtemp(prefix="mqbc-benchmark-")) if home is None else home
    names = [name for name in SYSTEMS if name in wanted or not wanted]
    gaps = []
    if COMPILED in names and not ours.compiled:
        names.remove(COMPILED)
        gaps = [Gap(COMPILED, "", _NO_BUILD)]
        console.print(f"without the compiled build: {_NO_BUILD}", highlight=False)
    kept = before.without(
        (load.key for load in loads),
        (quantity.key for quantity in QUANTITIES if quantity.load in {load.key for load in loads}),
    )
    begun = attrs.evolve(
        kept,
        date=time.strftime("%Y-%m-%d"),
        machine=machine(),
        python=ours.text,
        gaps=gaps + kept.gaps,
    )

    def keep(report: Report) -> None:
        if json_file is not None:
            save_report(report, json_file)

    comparison = Comparison(begun, names, ours, console, keep)
    try:
        comparison.run(loads, directory)
    finally:
        if home is None:
            shutil.rmtree(directory, ignore_errors=True)
    return comparison.report


def _show(report: Report, console: Console) -> None:
    """The table, then what is missed and what is not there."""
    figures = Figures(report.readings)
    console.print(table_of(figures, TITLE, f"Taken {'; '.join(report.conditions)}. {caption(report)}"))
    for line in misses(figures):
        console.print(f"[red]missed[/] {line}", highlight=False, soft_wrap=True)
    for gap in report.gaps:
        console.print(f"[red]not measured[/] {gap}", highlight=False, soft_wrap=True)
    console.print(f"measured in {report.seconds / 60:.1f} minutes", highlight=False)


if __name__ == "__main__":
    main()
