"""The regression guard: what it compares with, and when it fails."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from benchmarks import smoke

PACKAGES = ("broker", "client", "configuration", "container", "logs", "namesrv", "remoting", "store", "tools")
SLOWER = """

def _slower() -> None:
    import time

    from store import MessageStore

    put = MessageStore.put

    def slow_put(*arguments, **options):
        until = time.thread_time() + 0.002
        while time.thread_time() < until:
            pass
        return put(*arguments, **options)

    MessageStore.put = slow_put


_slower()
"""
"""Two milliseconds of CPU more for each batch of messages, some thirty times the cost of one."""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of its own, with one commit on main."""
    monkeypatch.setattr(smoke, "_REPOSITORY", tmp_path)
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    run_git(tmp_path, "init", "--quiet", "--initial-branch=main")
    commit(tmp_path, "first")
    return tmp_path


def run_git(repository: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=n", "-c", "user.email=e@localhost", "-c", "commit.gpgsign=false")
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=repository, check=True, capture_output=True, text=True).stdout


def commit(repository: Path, text: str) -> None:
    (repository / "file").write_text(text)
    run_git(repository, "add", "file")
    run_git(repository, "commit", "--quiet", "-m", text)


def test_the_first_commit_has_nothing_to_compare_with(repository: Path) -> None:
    assert smoke.reference() is None


def test_changes_that_are_not_committed_are_compared_with_main(repository: Path) -> None:
    (repository / "file").write_text("changed")
    assert smoke.reference() == "main"


def test_a_branch_is_compared_with_main(repository: Path) -> None:
    run_git(repository, "checkout", "--quiet", "-b", "work")
    commit(repository, "second")
    assert smoke.reference() == "main"


def test_main_itself_is_compared_with_what_came_before(repository: Path) -> None:
    before = smoke.git("rev-parse", "HEAD")
    commit(repository, "second")
    assert smoke.reference() == before


def test_a_tag_comes_before_main(repository: Path) -> None:
    run_git(repository, "tag", "v1")
    commit(repository, "second")
    commit(repository, "third")
    assert smoke.reference() == "v1"


def test_a_reference_is_looked_for_among_the_branches_of_the_remote_too(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_git(repository, "branch", "older")
    commit(repository, "second")
    clone = tmp_path / "clone"
    run_git(tmp_path, "clone", "--quiet", str(repository), str(clone))
    run_git(clone, "checkout", "--quiet", "--detach")
    run_git(clone, "branch", "-D", "main")
    monkeypatch.setattr(smoke, "_REPOSITORY", clone)
    assert smoke.known("older") == "origin/older"
    assert smoke.reference() == smoke.git("rev-parse", "HEAD^")
    commit(clone, "third")
    assert smoke.reference() == "origin/main"


def test_a_shallow_clone_of_one_commit_has_nothing_to_compare_with(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(repository, "second")
    clone = tmp_path / "clone"
    run_git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{repository}", str(clone))
    monkeypatch.setattr(smoke, "_REPOSITORY", clone)
    outcome = CliRunner().invoke(smoke.main, [])
    assert (outcome.exit_code, outcome.output.partition(":")[0]) == (0, "nothing is compared")


def test_a_reference_that_is_not_there_is_said_with_what_may_bring_it(repository: Path) -> None:
    outcome = CliRunner().invoke(smoke.main, ["--against", "v9.9"])
    assert outcome.exit_code == 1
    assert "there is no v9.9" in outcome.output
    assert "git fetch" in outcome.output


def test_the_reference_is_unpacked_beside_the_repository(repository: Path, tmp_path: Path) -> None:
    commit(repository, "second")
    directory = tmp_path / "reference"
    smoke.unpack("HEAD^", directory)
    assert (directory / "file").read_text() == "first"
    assert (repository / "file").read_text() == "second"
    with pytest.raises(click.ClickException, match="no-such"):
        smoke.unpack("no-such", directory)


def test_only_what_is_beyond_the_margin_is_a_failure() -> None:
    least = {
        "sends": {"reference": 10e-6, "this tree": 19e-6},
        "pulls": {"reference": 10e-6, "this tree": 21e-6},
        "adds": {"reference": 10e-6, "this tree": 5e-6},
    }
    _, beyond = smoke.table_of(least, "v1", 2.0)
    assert beyond == ["pulls: 2.10 times as much CPU as v1"]


def test_a_tree_that_is_slower_than_its_reference_fails_and_nothing_stays_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree, temporary = tmp_path / "tree", tmp_path / "temporary"
    temporary.mkdir()
    root = Path(smoke.__file__).parents[1]
    for package in PACKAGES:
        shutil.copytree(root / package, tree / package, ignore=shutil.ignore_patterns("__pycache__"))
    run_git(tree, "init", "--quiet", "--initial-branch=main")
    run_git(tree, "add", ".")
    run_git(tree, "commit", "--quiet", "-m", "fast")
    opened = tree / "container" / "open_container.py"
    opened.write_text(opened.read_text() + SLOWER)
    monkeypatch.setattr(smoke, "_REPOSITORY", tree)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    outcome = CliRunner().invoke(smoke.main, ["--rounds", "1", "--count", "256"])
    assert outcome.exit_code == 1, outcome.output
    assert "sends, one at a time: " in outcome.output
    assert " times as much CPU as main" in outcome.output
    assert list(temporary.iterdir()) == []
    assert len(run_git(tree, "worktree", "list").splitlines()) == 1
