"""The comparison as a picture: an SVG of bars, one panel per quantity, each with a scale of its own.

Written by hand so that a page needs nothing but a browser. It brings its own background, because pages are
shown on light and on dark ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

import attrs

from benchmarks.compare_bars import COMPILED, JAVA, LABELS, NATS, OURS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.compare_bars import Figures, Quantity

__all__ = ["svg_of"]

_COLOURS = {JAVA: "#c2410c", NATS: "#8b95a5", OURS: "#1d4ed8", COMPILED: "#0f766e"}
_INK, _FAINT, _PAPER, _LINE = "#1f2937", "#6b7280", "#ffffff", "#e5e7eb"
_FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"

# Figures stay readable where the line of a goal crosses them.
_HALO = f' stroke="{_PAPER}" stroke-width="4" paint-order="stroke"'
_PER_MESSAGE = {"µs CPU": " per message"}

_COLUMNS = 2
_MARGIN, _GAP = 24, 36
_PANEL_WIDTH = 410
_NAME_WIDTH, _VALUE_WIDTH = 76, 82
_BAR_HEIGHT, _BAR_STEP = 16, 22
_PANEL_HEAD, _PANEL_FOOT = 42, 22
_PAGE_HEAD, _PAGE_FOOT, _LINE_STEP = 68, 34, 18


@attrs.frozen
class _Panel:
    """A quantity with the figures that there are."""

    quantity: Quantity
    bars: list[tuple[str, float]]
    limit: float | None
    height: int


def _panels(figures: Figures) -> list[_Panel]:
    panels = []
    for quantity in figures.quantities:
        values = ((system, figures.of(quantity, system)) for system in figures.systems)
        bars = [(system, value) for system, value in values if value is not None]
        limit = figures.limit(quantity, quantity.bar)
        panels.append(_Panel(quantity, bars, limit, _PANEL_HEAD + _BAR_STEP * len(bars) + _PANEL_FOOT))
    return panels


def _text(x: float, y: float, text: str, *, size: int = 12, colour: str = _INK, extra: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}"{extra}>{escape(text)}</text>'


def _drawn(panel: _Panel, left: int, top: int, figures: Figures) -> list[str]:
    """One panel: heading, then bars, then the line of the goal, then what stands above both."""
    quantity = panel.quantity
    better = f"{quantity.unit}{_PER_MESSAGE.get(quantity.unit, '')}, {quantity.better} is better"
    parts = [
        _text(left, top + 14, quantity.label, size=14, extra=' font-weight="600"'),
        _text(left, top + 31, better, size=11, colour=_FAINT),
    ]
    above = []
    room = _PANEL_WIDTH - _NAME_WIDTH - _VALUE_WIDTH
    greatest = max([*(value for _, value in panel.bars), panel.limit or 0.0])
    zero, bars_top = left + _NAME_WIDTH, top + _PANEL_HEAD
    for index, (system, value) in enumerate(panel.bars):
        y = bars_top + index * _BAR_STEP
        width = max(1.0, value / greatest * room)
        reached = figures.reached(quantity, quantity.bar, system)
        mark = {True: " ✓", False: " ✗", None: ""}[reached]
        parts += [
            _text(zero - 8, y + 12.5, LABELS[system], extra=' text-anchor="end"'),
            f'<rect x="{zero}" y="{y}" width="{width:.1f}" height="{_BAR_HEIGHT}" rx="2"'
            f' fill="{_COLOURS[system]}"/>',
        ]
        weight = ' font-weight="600"' if reached is False else ""
        above.append(_text(zero + width + 6, y + 12.5, quantity.shown(value) + mark, extra=weight + _HALO))
    if panel.limit is not None and quantity.bar is not None:
        x = zero + panel.limit / greatest * room
        bottom = bars_top + len(panel.bars) * _BAR_STEP
        anchor = "end" if x > left + _PANEL_WIDTH * 0.75 else "middle"
        parts.append(
            f'<line x1="{x:.1f}" y1="{bars_top - 4}" x2="{x:.1f}" y2="{bottom}" stroke="{_INK}"'
            f' stroke-width="1.2" stroke-dasharray="4 3"/>'
        )
        extra = f' text-anchor="{anchor}"'
        parts.append(_text(x, bottom + 12, f"goal {quantity.bar.text}", size=10, colour=_FAINT, extra=extra))
    return parts + above


def svg_of(figures: Figures, title: str, subtitles: Sequence[str]) -> str:
    """The whole picture.

    Args:
        title: One short line.
        subtitles: What the figures must be read with, one line each.
    """
    panels = _panels(figures)
    width = 2 * _MARGIN + _COLUMNS * _PANEL_WIDTH + (_COLUMNS - 1) * _GAP
    parts: list[str] = []
    top = _PAGE_HEAD + _LINE_STEP * len(subtitles)
    for first in range(0, len(panels), _COLUMNS):
        row = panels[first : first + _COLUMNS]
        for column, panel in enumerate(row):
            parts += _drawn(panel, _MARGIN + column * (_PANEL_WIDTH + _GAP), top, figures)
        top += max(panel.height for panel in row)
        if first + _COLUMNS < len(panels):
            parts.append(
                f'<line x1="{_MARGIN}" y1="{top - 1}" x2="{width - _MARGIN}" y2="{top - 1}"'
                f' stroke="{_LINE}"/>'
            )
            top += 14
    height = top + _PAGE_FOOT
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
        f' viewBox="0 0 {width} {height}" font-family="{_FONT}" role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width}" height="{height}" rx="8" fill="{_PAPER}"/>',
        _text(_MARGIN, 36, title, size=20, extra=' font-weight="700"'),
        *(_text(_MARGIN, 60 + _LINE_STEP * n, line, colour=_FAINT) for n, line in enumerate(subtitles)),
    ]
    foot = _text(
        _MARGIN,
        height - 16,
        "✓ goal reached · ✗ goal missed · CPU and memory of the broker's process",
        size=11,
        colour=_FAINT,
    )
    return "\n".join([*head, *parts, foot, "</svg>", ""])
