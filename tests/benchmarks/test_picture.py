"""The picture of `benchmarks.compare`: well-formed, with every figure, nothing outside of its edges."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from benchmarks.compare_bars import QUANTITIES, SYSTEMS, Figures, Reading
from benchmarks.picture import svg_of

NAMESPACE = "{http://www.w3.org/2000/svg}"


def drawn(readings: list[Reading]) -> ElementTree.Element:
    return ElementTree.fromstring(
        svg_of(Figures(readings), "Ours <beside> Java & others", ["2 cores", "CPython"])
    )


def texts(picture: ElementTree.Element) -> list[str]:
    return [each.text or "" for each in picture.iter(f"{NAMESPACE}text")]


@pytest.fixture
def readings() -> list[Reading]:
    return [
        Reading(quantity.key, system, 0, 1000 * (number + 1))
        for quantity in QUANTITIES
        for number, system in enumerate(SYSTEMS)
    ]


def test_every_figure_is_there(readings: list[Reading]) -> None:
    shown = texts(drawn(readings))
    for number in range(len(SYSTEMS)):
        figures = [text for text in shown if text.startswith(f"{1000 * (number + 1):,}")]
        assert len(figures) == len(QUANTITIES)


def test_texts_are_escaped(readings: list[Reading]) -> None:
    shown = texts(drawn(readings))
    assert {"Ours <beside> Java & others", "2 cores", "CPython"} <= set(shown)


def test_nothing_leaves_the_paper(readings: list[Reading]) -> None:
    picture = drawn(readings)
    width, height = float(picture.attrib["width"]), float(picture.attrib["height"])
    for shape in picture.iter(f"{NAMESPACE}rect"):
        left, top = float(shape.get("x", "0")), float(shape.get("y", "0"))
        assert 0 <= left <= left + float(shape.attrib["width"]) <= width
        assert 0 <= top <= top + float(shape.attrib["height"]) <= height
    for line in picture.iter(f"{NAMESPACE}line"):
        assert all(0 <= float(line.attrib[name]) <= width for name in ("x1", "x2"))
        assert all(0 <= float(line.attrib[name]) <= height for name in ("y1", "y2"))


def test_bars_are_as_long_as_their_figures() -> None:
    picture = drawn([Reading("batch-rate", "java", 0, 50_000), Reading("batch-rate", "ours", 0, 100_000)])
    _paper, java, ours = (float(each.attrib["width"]) for each in picture.iter(f"{NAMESPACE}rect"))
    assert ours == pytest.approx(2 * java, abs=0.2)


def test_a_missed_goal_is_marked() -> None:
    shown = texts(drawn([Reading("memory", "ours", 0, 79), Reading("memory", "compiled", 0, 81)]))
    assert "79.0 ✓" in shown
    assert "81.0 ✗" in shown
    assert "goal ≤ 80 MB" in shown


def test_a_figure_without_java_has_no_goal() -> None:
    shown = texts(drawn([Reading("send-1-cpu", "ours", 0, 79)]))
    assert "79.0" in shown
    assert not [text for text in shown if text.startswith("goal ")]
