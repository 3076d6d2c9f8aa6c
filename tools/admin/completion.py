"""`completion`: what a shell needs to complete `mqadmin` by itself.

The script holds the names of all commands and options, so pressing the tabulator starts no Python. It is
printed from the commands themselves and cannot say anything else than they do.
"""

from __future__ import annotations

import importlib

import click

from tools.admin import catalog
from tools.admin.command import java_boolean
from tools.admin.completion_scripts import SCRIPTS, CommandWords, OptionWords

__all__ = ["COMMANDS", "all_words"]


def all_words() -> list[CommandWords]:
    """Every command as it is now; imports all of them."""
    return [
        CommandWords(name, entry.summary, tuple(_options(_command(entry))))
        for name, entry in catalog.COMMANDS.items()
    ]


def _command(entry: catalog.Entry) -> click.Command:
    command: click.Command = importlib.import_module(f"tools.admin.{entry.module}").COMMANDS[entry.name]
    return command


def _options(command: click.Command) -> list[OptionWords]:
    options = []
    for parameter in command.get_params(click.Context(command, **command.context_settings)):
        values: tuple[str, ...] = ()
        if isinstance(parameter.type, click.Choice):
            values = tuple(str(each) for each in parameter.type.choices)
        elif parameter.type is java_boolean:
            values = ("true", "false")
        option = parameter if isinstance(parameter, click.Option) else None
        options.append(
            OptionWords(
                names=() if option is None else tuple(option.opts),
                summary=((option and option.help) or "").split("\n")[0],
                takes_value=option is None or not (option.is_flag or option.count),
                values=values,
                is_file=isinstance(parameter.type, click.Path),
            )
        )
    return options


@click.command(
    name="completion",
    short_help=catalog.COMMANDS["completion"].summary,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.argument("shell", type=click.Choice(list(SCRIPTS)))
def completion(shell: str) -> None:
    """Print what completes mqadmin's commands and options in bash, zsh or fish.

    \b
    For this shell only:
      bash   eval "$(mqadmin completion bash)"
      zsh    eval "$(mqadmin completion zsh)"
      fish   mqadmin completion fish | source

    \b
    For good, to be repeated when mqadmin is updated:
      bash   mqadmin completion bash > ~/.local/share/bash-completion/completions/mqadmin
      zsh    mqadmin completion zsh > ~/.zfunc/_mqadmin, with ~/.zfunc in $fpath before compinit
      fish   mqadmin completion fish > ~/.config/fish/completions/mqadmin.fish

    Names of commands are completed in upper and lower case, as they are taken.
    """
    click.echo(SCRIPTS[shell](all_words()), nl=False)


COMMANDS = {"completion": completion}
