"""`MQ_COMPILED`: which build is loaded, and that one of other sources never is."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest
from click.testing import CliRunner
from commands import REPOSITORY

from tools import compiled, compiled_build
from tools.compiled import BUILDS, CompiledRefusedError, build_directory, choose, copy_sources
from tools.compiled_build import MODULES, NO_COMPILER, NoCompilerError, build


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The sources that a build is made from, without a build."""
    copy_sources(REPOSITORY, tmp_path)
    return tmp_path


def pretend_to_build(checkout: Path) -> Path:
    directory = build_directory(checkout)
    directory.mkdir(parents=True)
    return directory


def test_every_module_of_the_build_is_there() -> None:
    for name in MODULES:
        assert (REPOSITORY / f"{name.replace('.', '/')}.py").is_file()


def test_without_a_build_everything_is_pure_python(checkout: Path) -> None:
    assert choose(checkout, {}) is None
    assert choose(checkout, {"MQ_COMPILED": "no"}) is None


def test_a_build_that_is_wanted_and_missing_is_refused(checkout: Path) -> None:
    with pytest.raises(CompiledRefusedError, match="run bin/compile"):
        choose(checkout, {"MQ_COMPILED": "yes"})


def test_a_build_that_fits_is_taken_unless_told_otherwise(checkout: Path) -> None:
    built = pretend_to_build(checkout)
    assert choose(checkout, {}) == built
    assert choose(checkout, {"MQ_COMPILED": "yes"}) == built
    assert choose(checkout, {"MQ_COMPILED": "no"}) is None


@pytest.mark.parametrize(
    "changed",
    ["store/append.py", "remoting/command.py", "tools/compiled_build.py", "tools/compiled_order.py"],
)
def test_a_build_of_other_sources_is_never_taken(checkout: Path, changed: str) -> None:
    pretend_to_build(checkout)
    with (checkout / changed).open("a") as source:
        source.write("\n")
    assert choose(checkout, {}) is None
    with pytest.raises(CompiledRefusedError):
        choose(checkout, {"MQ_COMPILED": "yes"})


def test_a_source_more_or_less_is_another_build(checkout: Path) -> None:
    before = build_directory(checkout)
    (checkout / "store" / "more.py").touch()
    more = build_directory(checkout)
    (checkout / "store" / "more.py").rename(checkout / "broker" / "more.py")
    assert len({before, more, build_directory(checkout)}) == 3


def test_another_interpreter_has_another_build(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = build_directory(checkout)
    monkeypatch.setattr(compiled, "_interpreter", lambda: "cpython-399-elsewhere")
    assert build_directory(checkout) != before


@pytest.mark.parametrize("value", ["1", "true", "Yes"])
def test_another_word_than_yes_or_no_is_refused(checkout: Path, value: str) -> None:
    with pytest.raises(CompiledRefusedError, match="must be yes or no"):
        choose(checkout, {"MQ_COMPILED": value})


def test_a_module_of_the_build_comes_before_its_source(tmp_path: Path) -> None:
    library = tmp_path / f"smtplib{EXTENSION_SUFFIXES[0]}"  # any source that nothing here imports
    library.touch()
    program = (
        "import sys, importlib.util; from pathlib import Path; from tools.compiled import load, loaded_from\n"
        "load(Path(sys.argv[1])); assert loaded_from() == Path(sys.argv[1])\n"
        "print(importlib.util.find_spec('smtplib').origin)"
    )
    assert run(program, str(tmp_path)).stdout.strip() == str(library)


def test_a_build_comes_too_late_for_a_module_that_is_imported_already(tmp_path: Path) -> None:
    library = tmp_path / "store" / f"append{EXTENSION_SUFFIXES[0]}"
    library.parent.mkdir()
    library.touch()
    program = (
        "import sys; from pathlib import Path; import store.append; from tools.compiled import load\n"
        "load(Path(sys.argv[1]))"
    )
    assert "imported before the build was loaded: store.append" in run(program, str(tmp_path)).stderr


def run(program: str, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program, *args]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)


def test_a_launcher_says_which_word_it_does_not_know(tmp_path: Path) -> None:
    command = [sys.executable, "-P", str(REPOSITORY / "bin" / ".launch.py"), "mqadmin", "topicList"]
    environment = {**os.environ, "HOME": str(tmp_path), "MQ_COMPILED": "maybe"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.strip() == "mqadmin: MQ_COMPILED must be yes or no, not 'maybe'"


def test_without_a_c_compiler_it_says_so_and_changes_nothing(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", str(checkout / "no-compiler"))
    with pytest.raises(NoCompilerError, match=r"no C compiler: none of .*no-compiler is here"):
        build(checkout, jobs=1)
    assert choose(checkout, {}) is None
    assert not (checkout / BUILDS).exists()


def test_without_the_headers_of_python_it_says_so(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", sys.executable)
    monkeypatch.setattr("sysconfig.get_paths", lambda: {"include": str(checkout)})
    with pytest.raises(NoCompilerError, match="no headers of Python"):
        build(checkout, jobs=1)


def test_without_a_c_compiler_the_command_ends_with_one_line(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled_build, "build_directory", lambda root: checkout / "nothing-here")
    monkeypatch.setenv("CC", str(checkout / "no-compiler"))
    done = CliRunner().invoke(compiled_build.main, [])
    assert done.exit_code == NO_COMPILER
    assert done.stderr.splitlines()[-1].endswith("is here. The commands run as Python, as before.")


def test_this_run_is_what_was_asked_for() -> None:
    """Of a run of MQ_COMPILED=yes bin/test: it is the native code that is tested."""
    native = compiled.loaded_from() is not None
    for name in MODULES:
        if name in sys.modules:
            assert (Path(sys.modules[name].__file__ or "").suffix != ".py") is native
    assert os.environ.get("MQ_COMPILED") != ("no" if native else "yes")
