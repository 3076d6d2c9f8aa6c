"""`mqshutdown`: asks a running container, broker or name server of this user to stop.

Standard output and exit codes are those of Java's script: 1 with "No ... running." when there is nothing.
"""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

import click

from tools import pid_files
from tools.command_line import EXIT_FAILURE, run_command

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tools.pid_files import RunningProcess

__all__ = ["main"]

EXIT_NOTHING_THERE = 1
EXIT_NO_HOME = 254

TITLES = {"brokerContainer": "broker container", "broker": "mqbroker", "namesrv": "mqnamesrv"}
NOT_OURS = {"controller": "mqcontroller", "proxy": "mqproxy"}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("role", type=click.Choice([*TITLES, *NOT_OURS], case_sensitive=False), metavar="ROLE")
@click.option(
    "-w", "--wait", "wait_s", type=click.FloatRange(min=0), metavar="SECONDS",
    help="Wait so long for the end; exit code 1 if it does not come.",
)  # fmt: skip
def command(role: str, wait_s: float | None) -> int:
    """Send SIGTERM to every running ROLE that this user has started: brokerContainer, broker or namesrv.

    It saves everything and ends. Sent twice, the second one ends it at once.
    """
    if role in NOT_OURS:
        click.echo(f"No {NOT_OURS[role]} running.")
        click.echo(f"mqshutdown: there is no {role} in this version, so none can be stopped", err=True)
        return EXIT_NOTHING_THERE
    title = TITLES[role]
    try:
        processes = pid_files.running(role)
    except OSError as error:
        click.echo(f"mqshutdown: cannot read {error.filename}: {error.strerror}", err=True)
        return EXIT_FAILURE
    except RuntimeError:
        click.echo("mqshutdown: the home directory is unknown, please set HOME", err=True)
        return EXIT_NO_HOME
    if not processes:
        click.echo(f"No {title} running.")
        return EXIT_NOTHING_THERE
    click.echo(f"The {title}({_numbers(processes)}) is running...")
    asked, forbidden = _ask(processes)
    for process in forbidden:
        click.echo(f"mqshutdown: {title}({process.pid}) belongs to another user, it is not stopped", err=True)
    if asked:
        click.echo(f"Send shutdown request to {title}({_numbers(asked)}) OK")
    alive = [] if wait_s is None else pid_files.wait_until_gone(asked, wait_s)
    if alive:
        click.echo(f"The {title}({_numbers(alive)}) is still running after {wait_s:g} s.")
    return 1 if alive or forbidden else 0


def _ask(processes: Iterable[RunningProcess]) -> tuple[list[RunningProcess], list[RunningProcess]]:
    """Sends the signal; returns who was asked (or went by itself), and who may not be."""
    asked, forbidden = [], []
    for process in processes:
        try:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGTERM)
            asked.append(process)
        except PermissionError:
            forbidden.append(process)
    return asked, forbidden


def _numbers(processes: Iterable[RunningProcess]) -> str:
    return " ".join(str(process.pid) for process in processes)


def main() -> int:
    return run_command(command, "mqshutdown")
