"""Our `mqadmin` as scripts run it: a process of its own, plain text, an exit code."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.interop.cluster import REPOSITORY

__all__ = ["run_mqadmin"]

TIMEOUT_S = 120


def run_mqadmin(*arguments: str, name_server: str, code: int = 0, cwd: object = REPOSITORY) -> str:
    """Runs one command; fails on another exit code than `code`.

    Returns:
        Standard output, or standard error where a code other than 0 is expected.
    """
    environment = {"NAMESRV_ADDR": name_server, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "tools.mqadmin", *arguments],
        cwd=str(cwd),
        env=dict(os.environ) | environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr
