"""`mqshutdown`: asks a running container, broker or name server of this user to stop."""

from __future__ import annotations

import os
import signal

import click

from tools import pid_files
from tools.command_line import run_command

__all__ = ["main"]

TITLES = {"brokerContainer": "broker container", "broker": "mqbroker", "namesrv": "mqnamesrv"}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("role", type=click.Choice(list(TITLES), case_sensitive=False))
@click.option(
    "-w", "--wait", "wait_s", type=click.FloatRange(min=0), metavar="SECONDS",
    help="Wait so long for the end; exit code 1 if it does not come.",
)  # fmt: skip
def command(role: str, wait_s: float | None) -> int:
    """Send SIGTERM to every running ROLE that was started by this user."""
    title = TITLES[role]
    pids = pid_files.running(role)
    if not pids:
        click.echo(f"No {title} running.")
        return 1
    numbers = " ".join(map(str, pids))
    click.echo(f"The {title}({numbers}) is running...")
    for pid in pids:
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            continue  # it went by itself
    click.echo(f"Send shutdown request to {title}({numbers}) OK")
    if wait_s is None:
        return 0
    alive = pid_files.wait_until_gone(pids, wait_s)
    if alive:
        click.echo(f"The {title}({' '.join(map(str, alive))}) is still running after {wait_s:g} s.")
    return 1 if alive else 0


def main() -> int:
    return run_command(command, "mqshutdown")
