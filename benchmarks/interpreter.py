"""The interpreter that runs ours in a benchmark, and how it was built: that decides a good part of a figure.

A distribution's Python is built with profile-guided optimisation; one that a version manager compiled often
is not, and needs more CPU for the same work.
"""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import attrs

from tests.interop.cluster import REPOSITORY
from tests.interop.peers import PeerUnavailableError, python_environment

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["CHECKOUTS_PYTHON", "Interpreter", "described", "interpreter"]

CHECKOUTS_PYTHON = REPOSITORY / ".venv" / "bin" / "python"
_LAUNCHER = REPOSITORY / "bin" / ".launch.py"
_ANSWER_TIMEOUT_S = 60

# Runs in the interpreter in question, with the checkout first on its path.
_QUESTION = """
import json, os, platform, sys, sysconfig
from pathlib import Path
root = Path(sys.argv[1])
sys.path.insert(0, str(root))
from tools.compiled import choose
try:
    system = platform.freedesktop_os_release().get("PRETTY_NAME", "")
except OSError:
    system = ""
print(json.dumps({
    "implementation": platform.python_implementation(),
    "version": platform.python_version(),
    "base": sys.base_prefix,
    "system": system,
    "options": sysconfig.get_config_var("CONFIG_ARGS") or "",
    "compiled": choose(root, {}) is not None,
}))
"""


@attrs.frozen
class Interpreter:
    """An interpreter with our dependencies.

    Attributes:
        python: Its executable.
        text: What it is, for a page.
        compiled: Whether `bin/compile` made a build of the present sources that it can load.
    """

    python: Path
    text: str
    compiled: bool

    @property
    def command(self) -> tuple[str, ...]:
        """What `bin/mqbrokercontainer` executes in the end, with this interpreter."""
        return self._launch("mqbrokercontainer")

    def _launch(self, name: str) -> tuple[str, ...]:
        return (str(self.python), "-P", str(_LAUNCHER), name)

    def with_build(self) -> Interpreter:
        """Does what `bin/compile` does, for this interpreter; what that says goes to the terminal.

        Its build replaces those for others with the same binary interface. If it fails, the result has none.
        """
        subprocess.run(
            self._launch("compiled_build"),
            stdin=subprocess.DEVNULL,
            env={**os.environ, "MQ_COMPILED": "no"},
            cwd=REPOSITORY,
            check=False,
        )
        return _asked(self.python)


def described(implementation: str, version: str, base: str, system: str, options: str) -> str:
    """How a page calls a build.

    Args:
        base: `sys.base_prefix`.
        system: The name of the distribution; may be empty.
        options: What `configure` was given. Distributions have their own ways to say that they want a
            profile, so it only tells something of the others.
    """
    if base == "/usr":
        built = f"as {system or 'the distribution'} builds it"
    elif "--enable-optimizations" in options:
        built = "built from source with profile-guided optimisation"
    else:
        built = "built from source without profile-guided optimisation"
    return f"{implementation} {version}, {built}"


def interpreter(python: Path | None = None) -> Interpreter:
    """The interpreter to run ours.

    Args:
        python: Any Python; the dependencies are installed beside it in an environment of the cache. None for
            the one of the checkout's `.venv`.

    Raises:
        PeerUnavailableError: It does not run, is too old, or has no environment.
    """
    own = python is None or python.absolute() == CHECKOUTS_PYTHON
    return _asked(CHECKOUTS_PYTHON if own or python is None else python_environment(str(python)))


def _asked(chosen: Path) -> Interpreter:
    try:
        done = subprocess.run(
            [str(chosen), "-I", "-c", _QUESTION, str(REPOSITORY)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_ANSWER_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as fault:
        raise PeerUnavailableError(f"{chosen}: {fault}") from fault
    if done.returncode:
        raise PeerUnavailableError(f"{chosen}: {done.stderr.decode('utf-8', 'replace')[-2000:]}")
    told = json.loads(done.stdout)
    compiled = told.pop("compiled")
    return Interpreter(chosen, described(**told), compiled)
