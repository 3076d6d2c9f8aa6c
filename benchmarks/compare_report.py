"""The figures of `benchmarks.compare` as a file that can be gone on with, and as the text of a page."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import attrs

from benchmarks.compare_bars import JUDGED, LABELS, Figures, Reading, markdown_of, misses

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["TITLE", "Gap", "Report", "caption", "load_report", "page_text", "save_report"]

TITLE = "Ours beside Java RocketMQ 5.5.0 and NATS JetStream 2.15.2"


@attrs.frozen
class Gap:
    """What should have been measured and was not.

    Attributes:
        load: A key; empty for all loads of the run.
        text: Why, in one line.
    """

    system: str
    load: str
    text: str

    def __str__(self) -> str:
        return f"{LABELS[self.system]}{f', {self.load}' if self.load else ''}: {self.text}"


@attrs.frozen
class Report:
    """All figures of a run and what they must be read with.

    Attributes:
        python: What ran ours.
        messages: In the store of each broker when its memory was taken, at least.
        failed: Load → system → sends of its clients that failed.
        taken: The loads that were run, in their order.
    """

    quick: bool
    rounds: int
    date: str
    seconds: float
    machine: dict[str, Any]
    python: str
    messages: int
    failed: dict[str, dict[str, int]]
    taken: list[str]
    gaps: list[Gap]
    readings: list[Reading]

    @property
    def conditions(self) -> list[str]:
        """Two lines: the machine and the run, and what ran ours."""
        gib = self.machine["memory_bytes"] / (1 << 30)
        lines = [
            f"{self.date}, {self.machine['cores']} cores shared with the clients, {gib:.0f} GiB,"
            f" the best of {self.rounds} round{'s' if self.rounds > 1 else ''}"
            f"{', a quick run' if self.quick else ''}"
        ]
        if any(reading.system in JUDGED for reading in self.readings):
            lines.append(f"ours: {self.python}")
        return lines

    def without(self, loads: Iterable[str], quantities: Iterable[str]) -> Report:
        """The report before `loads` were run, which yield `quantities`."""
        loads, quantities = set(loads), set(quantities)
        return attrs.evolve(
            self,
            failed={key: counts for key, counts in self.failed.items() if key not in loads},
            taken=[key for key in self.taken if key not in loads],
            gaps=[gap for gap in self.gaps if gap.load and gap.load not in loads],
            readings=[each for each in self.readings if each.quantity not in quantities],
        )


def load_report(path: Path) -> Report:
    """What `save_report` wrote.

    Raises:
        OSError: It cannot be read.
        ValueError: It is something else.
    """
    data = json.loads(path.read_text())
    try:
        gaps = [Gap(**each) for each in data["gaps"]]
        return Report(**{**data, "gaps": gaps, "readings": [Reading(**each) for each in data["readings"]]})
    except (KeyError, TypeError) as fault:
        raise ValueError(f"{path} has no figures of this command: {fault}") from fault


def save_report(report: Report, path: Path) -> None:
    """Writes it beside `path` and then in its place, so that an interrupted run leaves a whole file.

    Raises:
        OSError: It cannot be written.
    """
    unfinished = path.with_name(f"{path.name}.tmp")
    unfinished.write_text(json.dumps(attrs.asdict(report), indent=2) + "\n")
    os.replace(unfinished, path)


def page_text(report: Report, picture: str) -> str:
    """What the page's region says; misses and gaps first."""
    figures = Figures(report.readings)
    lines = [f"Taken {report.conditions[0]}."]
    lines += [f"{line[:1].upper()}{line[1:]}." for line in report.conditions[1:]]
    if report.quick:
        lines.append(
            "**A quick run (`--quick`): it shows that the command works, not how fast anything is.**"
        )
    missed = misses(figures)
    lines += ["", "Missed:", "", *(f"- {line}" for line in missed)] if missed else ["", "No bar is missed."]
    if report.gaps:
        lines += ["", "Not measured:", "", *(f"- {gap}" for gap in report.gaps)]
    lines += ["", markdown_of(figures), "", caption(report), "", f"![{TITLE}]({picture})"]
    return "\n".join(lines)


def caption(report: Report) -> str:
    """What stands below the table."""
    counts: dict[str, int] = {}
    for of_load in report.failed.values():
        for system, count in of_load.items():
            counts[system] = counts.get(system, 0) + count
    failed = ", ".join(f"{LABELS[name]} {count}" for name, count in counts.items())
    return (
        "µs CPU: of the broker's process, for each message. Behind a figure of ours its ratio to the others."
        f" Memory: with {report.messages:,} messages or more in the store. Sends that failed: {failed}."
    )
