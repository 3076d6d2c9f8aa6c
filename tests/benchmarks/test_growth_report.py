"""What the growth benchmark says of its figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from benchmarks import growth
from benchmarks.growth import PAGE, REGION, Report, growth_rows, markdown_of, stall_rows
from benchmarks.growth_loads import Answer, Figure
from benchmarks.load_host import Stalls
from benchmarks.marked_region import replaced
from tests.interop.processes import ProcessError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.growth_loads import Sizes


CALM = Stalls(0.0, 0.0, 0.0, 0.0)
STALLED = Stalls(0.02, 0.003, 0.002, 0.02)


def answer(*figures: Figure, **stalls: Stalls) -> Answer:
    return Answer("topics", list(figures), stalls)


def report(*answers: Answer) -> Report:
    return Report({"python": "3.11.7", "cores": 2, "load_average": 0.04}, {"topics": list(answers)})


def test_each_load_is_compared_with_its_own_first_scale() -> None:
    found = answer(
        Figure("sends", "1", 20.0),
        Figure("pulls", "1", 40.0),
        Figure("sends", "100", 30.0),
        Figure("pulls", "100", 64.0),
        Figure("pulls", "10,000", 30.0),
    )
    assert growth_rows(found) == [
        (["pulls", "1", "40.0", ""], None),
        (["pulls", "100", "64.0", "1.60"], False),
        (["pulls", "10,000", "30.0", "0.75"], True),
        (["sends", "1", "20.0", ""], None),
        (["sends", "100", "30.0", "1.50"], True),
    ]


def test_the_first_scale_is_no_ratio_even_if_another_value_equals_it() -> None:
    rows = growth_rows(answer(Figure("sends", "1", 20.0), Figure("sends", "100", 20.0)))
    assert [cells[3] for cells, _ in rows] == ["", "1.00"]


def test_stalls_are_judged_by_their_p999_and_the_worst_comes_first() -> None:
    rows = stall_rows(
        [
            answer(
                calm=Stalls(0.0, 0.0, 0.0, 0.0),
                rare=Stalls(0.002, 0.0015, 0.0, 0.3),
                bad=Stalls(0.0101, 0.009, 0.004, 0.02, 0.25),
            )
        ]
    )
    assert rows == [
        (["bad", "10.1", "9.0", "4.0", "20.0", "25.0%"], False),
        (["rare", "2.0", "1.5", "< 1", "300.0", "0.0%"], True),
        (["calm", "< 1", "< 1", "< 1", "< 1", "0.0%"], True),
    ]


def test_a_page_names_the_misses_first() -> None:
    page = markdown_of(report(answer(Figure("sends", "1", 20.0), Figure("sends", "100", 31.0), bad=STALLED)))
    assert page.startswith("Beyond its bar:\n\n- topics: sends (100) 1.55 times\n- bad: p99.9 20.0 ms\n\n")
    assert "Python 3.11.7, 2 cores, load average before the first load 0.0." in page
    assert "| sends | 100 | 31.0 | **1.55** |" in page
    assert "| bad | **20.0** | 3.0 | 2.0 | 20.0 | 0.0% |" in page


def test_a_page_without_misses_says_so() -> None:
    page = markdown_of(report(answer(Figure("sends", "1", 20.0), calm=CALM)))
    assert page.startswith("Everything is within its bar.\n")


def test_the_documentation_has_the_regions_place() -> None:
    page = PAGE.read_text()
    assert replaced(page, REGION, "new") != page


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page of its own, and questions that are answered at once."""
    page = tmp_path / "page.md"
    page.write_text(f"before\n<!-- begin {REGION} -->\nold\n<!-- end {REGION} -->\nafter\n")
    monkeypatch.setattr(growth, "PAGE", page)
    monkeypatch.setattr(growth, "QUESTIONS", {"topics": one("topics"), "brokers": one("brokers")})
    return page


class one:  # noqa: N801 - reads as a function
    """A question with an answer; the first `failures` times there is none."""

    def __init__(self, grows: str, failures: int = 0) -> None:
        self._grows = grows
        self._failures = failures
        self.asked = 0

    def __call__(self, sizes: Sizes) -> Iterator[Answer]:
        self.asked += 1
        if self.asked <= self._failures:
            raise ProcessError("the container has ended")
        figures = [Figure("sends", "1", 20.0), Figure("sends", "9", 20.0 + self.asked)]
        yield Answer(self._grows, figures, {self._grows: CALM})


def run(*arguments: str) -> Result:
    return CliRunner().invoke(growth.main, arguments)


def test_a_run_writes_the_page(page: Path) -> None:
    assert run("--document").exit_code == 0
    text = page.read_text()
    assert text.startswith("before\n")
    assert "old" not in text
    assert "| topics | at | µs | ratio |" in text
    assert "| brokers | at | µs | ratio |" in text


def test_what_failed_is_taken_again_and_the_page_is_written_when_all_is_there(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions = {"topics": one("topics", failures=1), "brokers": one("brokers")}
    monkeypatch.setattr(growth, "QUESTIONS", questions)
    figures = str(tmp_path / "figures.json")
    outcome = run("--document", "--json", figures)
    assert outcome.exit_code == 1
    assert "topics: the container has ended" in outcome.output
    assert "old" in page.read_text()
    outcome = run("--from-json", figures, "--only", "topics", "--document")
    assert outcome.exit_code == 0, outcome.output
    assert [question.asked for question in questions.values()] == [2, 1]
    assert "| brokers | at | µs | ratio |" in page.read_text()
    assert "| sends | 9 | 22.0 | 1.10 |" in page.read_text()


def test_a_file_of_something_else_is_no_figures(page: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text('{"answers": {"topics": [{}]}}')
    outcome = run("--from-json", str(other))
    assert outcome.exit_code == 1
    assert "does not hold figures of this benchmark" in outcome.output
