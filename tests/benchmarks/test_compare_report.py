"""What `benchmarks.compare` writes, from figures of an earlier run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import pytest
from click.testing import CliRunner

from benchmarks import compare
from benchmarks.compare import main
from benchmarks.compare_bars import QUANTITIES, Reading
from benchmarks.compare_loads import LOADS, Load
from benchmarks.compare_report import Gap, Report, load_report, page_text, save_report
from benchmarks.interpreter import Interpreter

if TYPE_CHECKING:
    from pathlib import Path

REPORT = Report(
    quick=False,
    rounds=2,
    date="2026-01-31",
    seconds=600.0,
    machine={"python": "3.11.7", "cores": 2, "memory_bytes": 24 << 30, "load_average": 0.1},
    python="CPython 3.11.2, as Debian builds it",
    messages=1_500_000,
    failed={"send-1": {"java": 3, "ours": 0}, "batch": {"java": 1}},
    taken=["send-1", "batch"],
    gaps=[],
    readings=[
        Reading("send-1-cpu", "java", 0, 240.0),
        Reading("send-1-cpu", "ours", 0, 90.0),
        Reading("send-1-cpu", "ours", 1, 70.0),
    ],
)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "figures.json"
    save_report(REPORT, path)
    return path


def run(*arguments: object) -> str:
    done = CliRunner().invoke(main, [str(each) for each in arguments])
    assert done.exit_code == 0, done.output
    return done.output


def test_a_saved_run_reads_back(saved: Path) -> None:
    assert load_report(saved) == REPORT


def test_a_saved_run_is_shown_without_measuring(saved: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.json"
    output = run("--from-json", saved, "--json", again)
    assert "missed ours, sync send, 1 thread: 70.0 µs CPU, 0.29 of Java; bar ≤ 1/4 of Java" in output
    assert load_report(again) == REPORT


def test_misses_stand_before_the_table() -> None:
    text = page_text(REPORT, "picture.svg")
    assert (
        text.index("Missed:") < text.index("| sync send, 1 thread, µs CPU |") < text.index("](picture.svg)")
    )
    assert "Taken 2026-01-31, 2 cores shared with the clients, 24 GiB, the best of 2 rounds." in text
    assert "Ours: CPython 3.11.2, as Debian builds it." in text
    assert "Sends that failed: Java 4, ours 0." in text
    assert "quick" not in text
    assert "Not measured" not in text


def test_what_was_not_measured_is_named() -> None:
    gaps = [Gap("compiled", "", "no build"), Gap("nats", "send-16", "nats-server ended")]
    text = page_text(attrs.evolve(REPORT, gaps=gaps), "picture.svg")
    assert "Not measured:\n\n- compiled: no build\n- NATS, send-16: nats-server ended\n" in text
    assert text.index("Not measured:") < text.index("| sync send, 1 thread, µs CPU |")


def test_a_load_that_is_taken_anew_leaves_nothing_of_the_old_one() -> None:
    gaps = [Gap("nats", "send-1", "ended"), Gap("java", "batch", "ended"), Gap("compiled", "", "no build")]
    left = attrs.evolve(REPORT, gaps=gaps).without(["send-1"], ["send-1-cpu", "send-1-rate"])
    assert left.readings == []
    assert left.taken == ["batch"]
    assert left.failed == {"batch": {"java": 1}}
    assert left.gaps == [Gap("java", "batch", "ended")]


def test_a_quick_run_says_so() -> None:
    assert "quick run" in page_text(attrs.evolve(REPORT, quick=True), "picture.svg")


def test_document_writes_page_and_picture(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, picture = tmp_path / "performance.md", tmp_path / "comparison.svg"
    page.write_text("# P\n<!-- begin comparison -->\n<!-- end comparison -->\nrest\n")
    monkeypatch.setattr(compare, "PAGE", page)
    monkeypatch.setattr(compare, "PICTURE", picture)
    run("--from-json", saved, "--document")
    assert "![Ours beside" in page.read_text()
    assert page.read_text().endswith("<!-- end comparison -->\nrest\n")
    assert picture.read_text().startswith("<svg ")


def test_a_page_without_a_region_is_an_error(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "performance.md"
    page.write_text("# P\n")
    monkeypatch.setattr(compare, "PAGE", page)
    done = CliRunner().invoke(main, ["--from-json", str(saved), "--document"])
    assert done.exit_code == 1
    assert "begin comparison" in done.output


def test_another_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    path.write_text('{"gaps": [], "figures": 1}')
    done = CliRunner().invoke(main, ["--from-json", str(path)])
    assert done.exit_code == 1
    assert "has no figures of this command" in done.output


def test_figures_of_two_interpreters_do_not_mix(saved: Path) -> None:
    done = CliRunner().invoke(main, ["--from-json", str(saved), "--only", "send-1"])
    assert done.exit_code == 1
    assert "has figures of CPython 3.11.2, as Debian builds it" in done.output


def test_what_is_missing_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = attrs.evolve(
        REPORT,
        taken=[load.key for load in LOADS if load.key != "latency"],
        gaps=[Gap("compiled", "", "no build"), Gap("nats", "send-16", "ended")],
    )
    save_report(lacking, tmp_path / "figures.json")
    ran: list[str] = []

    def measured(before: Report, loads: list[Load], *others: object) -> Report:
        ran.extend(load.key for load in loads)
        return attrs.evolve(before, gaps=[])

    own = Interpreter(tmp_path, REPORT.python, compiled=False)
    monkeypatch.setattr(compare, "interpreter", lambda python: own)
    monkeypatch.setattr(compare, "_measured", measured)
    run("--from-json", tmp_path / "figures.json", "--missing", "--only", "batch")
    assert ran == ["send-16", "batch", "latency"]


def test_a_run_with_gaps_ends_with_a_failure(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    save_report(attrs.evolve(REPORT, gaps=[Gap("nats", "send-16", "ended")]), path)
    done = CliRunner().invoke(main, ["--from-json", str(path)])
    assert done.exit_code == 1
    assert "not measured NATS, send-16: ended" in done.output


def test_figures_of_two_runs_do_not_mix_in_one_load(saved: Path) -> None:
    done = CliRunner().invoke(main, ["--from-json", str(saved), "--only", "send-1", "--system", "ours"])
    assert done.exit_code == 2
    assert "--system with --from-json" in done.output


def test_every_load_has_its_lines() -> None:
    assert {load.key for load in LOADS} == {quantity.load for quantity in QUANTITIES}


def test_only_takes_the_loads_there_are() -> None:
    done = CliRunner().invoke(main, ["--only", "nothing"])
    assert done.exit_code == 2
    choices: Any = next(each for each in main.params if each.name == "keys").type
    assert list(choices.choices) == [load.key for load in LOADS]
