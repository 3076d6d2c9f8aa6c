"""What the wheel brings: type information of every package, and commands that exist."""

from __future__ import annotations

import importlib.metadata
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
WHEEL = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]


@pytest.mark.parametrize("package", WHEEL["packages"])
def test_type_checkers_of_programs_that_embed_us_read_our_types(package: str) -> None:
    assert (REPOSITORY / package / "py.typed").is_file(), "PEP 561: without it every name of ours is Any"


def test_every_package_that_is_type_checked_is_installed() -> None:
    assert WHEEL["packages"] == PROJECT["tool"]["mypy"]["packages"]


@pytest.mark.parametrize("command", PROJECT["project"]["scripts"])
def test_every_command_that_is_installed_exists(command: str) -> None:
    target = importlib.metadata.EntryPoint(command, PROJECT["project"]["scripts"][command], "console_scripts")
    assert callable(target.load())
    assert (REPOSITORY / "bin" / command).is_file()


@pytest.mark.parametrize("source", WHEEL["force-include"])
def test_what_is_installed_besides_exists(source: str) -> None:
    assert any((REPOSITORY / source).iterdir())
