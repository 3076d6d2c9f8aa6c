"""`mqadmin`: the administrator's commands for name servers and brokers, ours and Java's.

    mqadmin <command> [-n host:port;host:port] [--json] [options]

Command names, option letters and the plain output are those of RocketMQ's own tool, because scripts parse
them. On a terminal the tables are drawn; `--json` gives standard JSON. Exit codes: 0 done, 1 it failed (the
reason is one sentence on standard error), 2 wrong usage, 130 interrupted.

A command's module is imported when the command is asked for, so that help and completion are immediate.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import click

from tools.admin import catalog

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["AdminGroup", "main", "mqadmin"]


class AdminGroup(click.Group):
    """Finds commands through the catalog and imports each only when it is used."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Java's `mqadmin help COMMAND` is `mqadmin COMMAND --help`."""
        return super().parse_args(ctx, [*args[1:2], "--help"] if args[:1] == ["help"] else args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(catalog.COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = catalog.find(cmd_name)
        if entry is None:
            return None
        module = importlib.import_module(f"tools.admin.{entry.module}")
        command: click.Command = module.COMMANDS[entry.name]
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name.startswith("-") or catalog.find(name) is not None:
            return super().resolve_command(ctx, args)
        likely = catalog.nearest(name)
        hint = f" Did you mean {likely}?" if likely else " 'mqadmin help' lists what there is."
        raise click.UsageError(f"There is no command {name}.{hint}", ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(entry.name, entry.summary) for entry in catalog.COMMANDS.values()])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write("\n'mqadmin help COMMAND' or 'mqadmin COMMAND -h' shows the options of a command.\n")


@click.group(
    cls=AdminGroup,
    name="mqadmin",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    invoke_without_command=True,
)
@click.option(
    "name_servers", "-n", "--namesrvAddr", metavar="HOST:PORT;…", help="Name servers, before any command."
)
@click.pass_context
def mqadmin(ctx: click.Context, name_servers: str | None) -> None:
    """Look after RocketMQ name servers, brokers, topics, groups and messages."""
    ctx.obj = name_servers
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command and ends the process with its exit code."""
    mqadmin.main(args=arguments, prog_name="mqadmin")


if __name__ == "__main__":
    main()
