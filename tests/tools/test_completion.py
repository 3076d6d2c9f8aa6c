"""Completion as the shells do it: with the tabulator on a terminal, and for every command and option."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from terminal import REPOSITORY, OnTerminal

from tools.admin import catalog
from tools.admin.completion import all_words
from tools.admin.completion_scripts import SCRIPTS, CommandWords, OptionWords

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PROMPT = "ready> "


def needs(shell: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(shell) is None, reason=f"{shell} is not installed")


ALL_SHELLS = [pytest.param(each, marks=needs(each)) for each in SCRIPTS]
TYPED_INTO = [pytest.param(each, marks=needs(each)) for each in ("bash", "zsh")]
ASKED = [pytest.param(each, marks=needs(each)) for each in ("bash", "fish")]


@pytest.fixture(scope="module", params=ALL_SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def script(shell: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `mqadmin completion SHELL` prints."""
    done = subprocess.run(
        [sys.executable, "-m", "tools.mqadmin", "completion", shell],
        cwd=REPOSITORY,
        capture_output=True,
        check=True,
    )
    assert done.stderr == b""
    path = tmp_path_factory.mktemp("completion") / f"mqadmin.{shell}"
    path.write_bytes(done.stdout)
    return path


def completed_by_bash(script: Path, lines: Sequence[Sequence[str]]) -> list[list[str]]:
    """What bash offers for the last word of each line."""
    program = """
source "$1"; shift
try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _mqadmin; echo "${COMPREPLY[*]}"; }
"""
    program += "\n".join("try mqadmin " + " ".join(f"'{word}'" for word in line) for line in lines)
    bash = ["bash", "--noprofile", "--norc", "-c", program, "bash", str(script)]
    done = subprocess.run(bash, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return [line.split() for line in done.stdout.splitlines()]


def completed_by_fish(script: Path, lines: Sequence[Sequence[str]]) -> list[list[str]]:
    program = f"source {script}\n"
    for line in lines:
        program += f"complete -C 'mqadmin {' '.join(line)}'; echo ====\n"
    done = subprocess.run(["fish", "--no-config", "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return [
        [each.split("\t")[0] for each in part.splitlines()]
        for part in done.stdout.removesuffix("====\n").split("====\n")
    ]


def completed(shell: str, script: Path, *lines: Sequence[str]) -> list[list[str]]:
    return {"bash": completed_by_bash, "fish": completed_by_fish}[shell](script, lines)


# --- on a terminal -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "run"),
    [
        ("mqadmin TOPICL\t-c\r", "topicList -c"),
        ("mqadmin help addb\t\r", "help addBroker"),
        ("mqadmin topicroute --l\t\r", "topicroute --list"),
        ("mqadmin -n 127.0.0.1:9876 allo\t\r", "-n 127.0.0.1:9876 allocateMQ"),
        ("mqadmin updateOrderConf -m de\t\r", "updateOrderConf -m delete"),
    ],
)
@pytest.mark.parametrize("shell", TYPED_INTO, indirect=True)
def test_the_tabulator_completes_on_a_terminal(
    shell: str, script: Path, tmp_path: Path, typed: str, run: str
) -> None:
    setup = tmp_path / "setup"
    prepare = "autoload -U compinit; compinit -D -u\n" if shell == "zsh" else ""
    # The command itself is a function here: it shows what was typed, and that completing does not run it.
    setup.write_text(f'{prepare}source {script}\nmqadmin() {{ echo "ran:$*"; }}\n')
    argv = {"bash": ["bash", "--noprofile", "--norc", "-i"], "zsh": ["zsh", "-f", "-i"]}[shell]
    environment = {"PS1": PROMPT, "HOME": str(tmp_path), "INPUTRC": "/dev/null"}
    with OnTerminal.start(argv, **environment) as terminal:
        terminal.read_until(PROMPT)
        terminal.type(f"source {setup}\r")
        terminal.read_until("source")
        terminal.read_until(PROMPT)
        terminal.type(typed)
        assert terminal.read_until(r"ran:([^\r\n]*)")[1].rstrip() == run


@pytest.mark.parametrize("shell", TYPED_INTO, indirect=True)
def test_a_path_is_completed_where_a_file_is_wanted(shell: str, script: Path, tmp_path: Path) -> None:
    (tmp_path / "broker one.conf").touch()
    setup = tmp_path / "setup"
    prepare = "autoload -U compinit; compinit -D -u\n" if shell == "zsh" else ""
    setup.write_text(f'{prepare}source {script}\nmqadmin() {{ echo "ran:$4"; }}\n')
    argv = {"bash": ["bash", "--noprofile", "--norc", "-i"], "zsh": ["zsh", "-f", "-i"]}[shell]
    with OnTerminal.start(argv, PS1=PROMPT, HOME=str(tmp_path), INPUTRC="/dev/null") as terminal:
        terminal.read_until(PROMPT)
        terminal.type(f"source {setup}\r")
        terminal.read_until("source")
        terminal.read_until(PROMPT)
        terminal.type(f"mqadmin addBroker --json -b {tmp_path}/brok\t\r")
        assert terminal.read_until(r"ran:([^\r\n]*)")[1].rstrip() == f"{tmp_path}/broker one.conf"


# --- what is offered ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", ASKED, indirect=True)
def test_commands_in_any_case(shell: str, script: Path) -> None:
    upper, lower, some, every = completed(
        shell, script, ["TOPICL"], ["topicl"], ["queryMSG"], [""] if shell == "bash" else [" "]
    )
    assert upper == lower == ["topicList"]
    assert sorted(some) == ["queryMsgById", "queryMsgByKey", "queryMsgByOffset", "queryMsgByUniqueKey"]
    assert sorted(every) == sorted([*catalog.COMMANDS, "help"])


@pytest.mark.parametrize("shell", ASKED, indirect=True)
def test_every_option_of_every_command(shell: str, script: Path) -> None:
    words = all_words()
    assert [each.name for each in words] == list(catalog.COMMANDS)
    lines = [[each.name.upper(), "-"] for each in words]
    for command, offered in zip(words, completed(shell, script, *lines), strict=True):
        assert sorted(offered) == sorted(command.option_names)
        assert {"-h", "--help"} <= set(offered)


@pytest.mark.parametrize("shell", ASKED, indirect=True)
def test_values_where_there_are_few(shell: str, script: Path) -> None:
    methods, switch, nothing, shells = completed(
        shell,
        script,
        ["updateorderconf", "-m", ""],
        ["printMsg", "--printBody", ""],
        ["topicRoute", "-t", ""],
        ["completion", ""],
    )
    assert sorted(methods) == ["delete", "get", "put"]
    assert sorted(switch) == ["false", "true"]
    assert nothing == []
    assert set(SCRIPTS) <= set(shells)


def test_summaries_may_hold_what_shells_care_about(tmp_path: Path, shell: str) -> None:
    option = OptionWords(("-x", "--extra"), 'It\'s [one] of: $HOME `id` \\ "two"', takes_value=True)
    path = tmp_path / "script"
    path.write_text(SCRIPTS[shell]([CommandWords("it", "Isn't: a $(touch /nowhere/x)", (option,))]))
    checked = subprocess.run([shell, "-n", str(path)], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


# --- the command -------------------------------------------------------------------------------------------


def test_a_shell_it_does_not_know() -> None:
    argv = [sys.executable, "-m", "tools.mqadmin", "completion", "tcsh"]
    done = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "'tcsh' is not one of 'bash', 'zsh', 'fish'" in done.stderr


def test_its_help_says_how_to_install_it() -> None:
    argv = [sys.executable, "-m", "tools.mqadmin", "completion", "-h"]
    shown = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    for line in (
        'bash   eval "$(mqadmin completion bash)"',
        'zsh    eval "$(mqadmin completion zsh)"',
        "fish   mqadmin completion fish | source",
    ):
        assert line in shown
