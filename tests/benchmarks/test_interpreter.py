"""How a benchmark names the interpreter that ran ours."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from benchmarks.interpreter import CHECKOUTS_PYTHON, described, interpreter
from tests.interop.peers import PeerUnavailableError, python_environment

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("base", "system", "options", "text"),
    [
        ("/usr", "Debian 12", "--enable-shared", "CPython 3.11.2, as Debian 12 builds it"),
        ("/usr", "", "", "CPython 3.11.2, as the distribution builds it"),
        (
            "/opt/python",
            "Debian 12",
            "'--enable-shared' '--enable-optimizations'",
            "CPython 3.11.2, built from source with profile-guided optimisation",
        ),
        (
            "/usr/local",
            "Debian 12",
            "'--enable-shared'",
            "CPython 3.11.2, built from source without profile-guided optimisation",
        ),
    ],
)
def test_who_built_it_is_said(base: str, system: str, options: str, text: str) -> None:
    assert described("CPython", "3.11.2", base, system, options) == text


def test_the_checkouts_own_is_taken_as_it_is() -> None:
    chosen = interpreter()
    assert chosen.python == CHECKOUTS_PYTHON
    assert chosen.text.startswith(f"CPython {sys.version_info[0]}.")
    assert chosen == interpreter(CHECKOUTS_PYTHON)
    assert chosen.command[0] == str(CHECKOUTS_PYTHON)


def test_a_program_that_is_no_python_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MQBC_INTEROP_CACHE", str(tmp_path / "cache"))
    with pytest.raises(PeerUnavailableError, match="false"):
        python_environment("/bin/false")
