"""What all commands of ours do alike: run a click command and turn its end into an exit code.

Exit codes are RocketMQ's, which are negative there; a process can only end with 0 to 255, so -1 is 255.
"""

from __future__ import annotations

import sys

import click

__all__ = ["EXIT_FAILURE", "run_command"]

EXIT_FAILURE = 255
"""Java's -1: anything without an exit code of its own."""


def run_command(command: click.Command, name: str) -> int:
    """Runs `command` on the arguments of this process.

    Returns:
        What the command returned, 0 for `-h`, 255 for wrong arguments.
    """
    try:
        result = command.main(prog_name=name, standalone_mode=False)
    except click.ClickException as error:
        error.show(sys.stderr)
        return EXIT_FAILURE
    except (click.Abort, KeyboardInterrupt):
        return 0  # stopped by hand before anything was started
    return result if isinstance(result, int) else 0
