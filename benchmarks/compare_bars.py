"""What `benchmarks.compare` measures, the bars, and the table in which both meet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import attrs
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "COMPILED",
    "JAVA",
    "JUDGED",
    "LABELS",
    "NATS",
    "OURS",
    "QUANTITIES",
    "SYSTEMS",
    "Bar",
    "Figures",
    "Quantity",
    "Reading",
    "markdown_of",
    "misses",
    "table_of",
]

JAVA, NATS, OURS, COMPILED = "java", "nats", "ours", "compiled"
SYSTEMS = (JAVA, NATS, OURS, COMPILED)
LABELS = {JAVA: "Java", NATS: "NATS", OURS: "ours", COMPILED: "compiled"}
JUDGED = (OURS, COMPILED)


@attrs.frozen
class Bar:
    """A limit for ours.

    Attributes:
        of: The system whose figure times `limit` must be reached; None if `limit` is the figure itself.
        text: As the table says it.
    """

    limit: float
    text: str
    of: str | None = JAVA


@attrs.frozen
class Quantity:
    """One line of the table.

    Attributes:
        better: Which way is better.
        load: The key of the load that yields it.
    """

    key: str
    load: str
    label: str
    unit: str
    better: Literal["less", "more"]
    bar: Bar | None = None
    beyond: Bar | None = None  # the moonshot

    def shown(self, value: float) -> str:
        """A figure with as many digits as mean something."""
        return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}" if value >= 10 else f"{value:,.2f}"


@attrs.frozen
class Reading:
    """One figure of one round."""

    quantity: str
    system: str
    round: int
    value: float


_AT_MOST_A_QUARTER = Bar(1 / 4, "≤ 1/4 of Java")
_AT_LEAST_JAVA, _AT_MOST_JAVA = Bar(1.0, "≥ Java"), Bar(1.0, "≤ Java")
_CPU, _RATE = "µs CPU", "msg/s"


def _of_load(
    load: str, label: str, *, cpu: Bar | None = None, rate: Bar | None = None, beyond: Bar | None = None
) -> tuple[Quantity, Quantity]:
    """CPU per message and throughput."""
    return (
        Quantity(f"{load}-cpu", load, label, _CPU, "less", bar=cpu, beyond=beyond),
        Quantity(f"{load}-rate", load, label, _RATE, "more", bar=rate),
    )


def _send(threads: int) -> tuple[Quantity, Quantity]:
    return _of_load(
        f"send-{threads}",
        f"sync send, {threads} thread{'s' if threads > 1 else ''}",
        cpu=_AT_MOST_A_QUARTER,
        rate=Bar(1.5, "≥ 1.5 × Java"),
        beyond=Bar(1.0, "≤ NATS", of=NATS),
    )


QUANTITIES = (
    *_send(1),
    *_send(16),
    *_send(64),
    *_of_load("batch", "batches of 32, 4 threads", cpu=Bar(1 / 3, "≤ 1/3 of Java")),
    *_of_load("catch-up", "catching up", cpu=_AT_MOST_A_QUARTER, rate=_AT_LEAST_JAVA),
    Quantity("latency-p50", "latency", "send to long poll, p50", "µs", "less", bar=_AT_MOST_JAVA),
    Quantity("latency-p99", "latency", "send to long poll, p99", "µs", "less", bar=_AT_MOST_JAVA),
    *_of_load("sync-flush", "SYNC_FLUSH, 64 threads", rate=_AT_LEAST_JAVA),
    Quantity("memory", "memory", "anonymous memory", "MB", "less", bar=Bar(80, "≤ 80 MB", of=None)),
)


class Figures:
    """The best of the rounds of every quantity and system.

    Other guests of a shared machine change its speed by a factor of two within seconds, and only ever make a
    figure worse: the best is the one that they disturbed least.
    """

    def __init__(self, readings: Sequence[Reading]) -> None:
        values: dict[tuple[str, str], list[float]] = {}
        for reading in readings:
            values.setdefault((reading.quantity, reading.system), []).append(reading.value)
        less = {each.key for each in QUANTITIES if each.better == "less"}
        self._best = {key: (min if key[0] in less else max)(each) for key, each in values.items()}
        self.systems = [name for name in SYSTEMS if any(system == name for _, system in values)]
        self.quantities = [each for each in QUANTITIES if any(key == each.key for key, _ in values)]

    def of(self, quantity: Quantity, system: str) -> float | None:
        """None where nothing was measured."""
        return self._best.get((quantity.key, system))

    def limit(self, quantity: Quantity, bar: Bar | None) -> float | None:
        """The figure that a bar stands for; None without a bar, or without what it refers to."""
        if bar is None or bar.of is None:
            return None if bar is None else bar.limit
        base = self.of(quantity, bar.of)
        return None if base is None else bar.limit * base

    def ratio(self, quantity: Quantity, system: str, base: str) -> float | None:
        """How many times the figure of `base`."""
        value, other = self.of(quantity, system), self.of(quantity, base)
        return None if value is None or not other else value / other

    def reached(self, quantity: Quantity, bar: Bar | None, system: str) -> bool | None:
        """Whether a system of ours reaches a bar; None for the others, and where one of both is not there."""
        value, limit = self.of(quantity, system), self.limit(quantity, bar)
        if value is None or limit is None or system not in JUDGED:
            return None
        return value <= limit if quantity.better == "less" else value >= limit


def misses(figures: Figures) -> list[str]:
    """A line for each bar that a system of ours misses, then for each moonshot."""
    bars = [(each, each.bar, "bar") for each in figures.quantities]
    moonshots = [(each, each.beyond, "moonshot") for each in figures.quantities]
    lines = []
    for quantity, bar, what in bars + moonshots:
        for system in JUDGED:
            value = figures.of(quantity, system)
            if bar is None or value is None or figures.reached(quantity, bar, system) is not False:
                continue
            ratio = None if bar.of is None else figures.ratio(quantity, system, bar.of)
            times = "" if ratio is None or bar.of is None else f", {ratio:.2f} of {LABELS[bar.of]}"
            lines.append(
                f"{LABELS[system]}, {quantity.label}: {quantity.shown(value)} {quantity.unit}{times};"
                f" {what} {bar.text}"
            )
    return lines


@attrs.frozen
class _Cell:
    text: str
    reached: bool | None = None


def _rows(figures: Figures) -> tuple[list[str], list[list[_Cell]]]:
    """Headings and cells that the console and the page share: after each of ours its ratios."""
    headings = [""]
    for system in figures.systems:
        headings.append(LABELS[system])
        headings += [f"÷ {LABELS[base]}" for base in _bases(figures, system)]
    headings.append("bar")
    return headings, [_row(quantity, figures) for quantity in figures.quantities]


def _bases(figures: Figures, system: str) -> list[str]:
    return [base for base in (JAVA, NATS) if system in JUDGED and base in figures.systems]


def _row(quantity: Quantity, figures: Figures) -> list[_Cell]:
    cells = [_Cell(f"{quantity.label}, {quantity.unit}")]
    bar = quantity.bar
    for system in figures.systems:
        value = figures.of(quantity, system)
        absolute = bar if bar is not None and bar.of is None else None
        cells.append(
            _Cell("" if value is None else quantity.shown(value), figures.reached(quantity, absolute, system))
        )
        for base in _bases(figures, system):
            ratio = figures.ratio(quantity, system, base)
            own = next(
                (each for each in (bar, quantity.beyond) if each is not None and each.of == base), None
            )
            cells.append(
                _Cell("" if ratio is None else f"{ratio:.2f}", figures.reached(quantity, own, system))
            )
    cells.append(_Cell("" if bar is None else bar.text))
    return cells


def table_of(figures: Figures, title: str, caption: str) -> Table:
    """For the console: what has a bar is green or red."""
    table = Table(title=title, title_justify="left", caption=caption, caption_justify="left")
    headings, rows = _rows(figures)
    for heading in headings:
        table.add_column(heading, justify="right" if heading else "left")
    styles = {True: "green", False: "red", None: ""}
    for cells in rows:
        table.add_row(*(Text(cell.text, style=styles[cell.reached]) for cell in cells))
    return table


def markdown_of(figures: Figures) -> str:
    """For a page: what misses a bar or a moonshot is bold."""
    headings, rows = _rows(figures)
    texts = [headings, ["---"] * len(headings)]
    texts += [[f"**{cell.text}**" if cell.reached is False else cell.text for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |".replace("|  |", "| |").replace("|  |", "| |") for row in texts)
