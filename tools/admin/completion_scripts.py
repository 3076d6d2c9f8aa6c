"""Completion scripts for bash, zsh and fish, from the words of all commands. Pure text.

Each script finds the command among the words before the cursor, in any case, and offers its options, the
values of an option that has few, or files. Options are taken with one dash too, as Java takes them, but
completed as `mqadmin COMMAND -h` shows them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["SCRIPTS", "CommandWords", "OptionWords"]

_GLOBAL = "-n --namesrvAddr -h --help"
_NAME_SERVERS = "Name servers, before any command."
_HELP = "help"


@attrs.frozen
class OptionWords:
    """An option, or an argument.

    Attributes:
        names: As typed, the short one first; none for an argument.
        summary: One line.
        takes_value: Whether a value follows.
        values: All values there are, if they are few.
        is_file: Whether the value is the path of a file.
    """

    names: tuple[str, ...]
    summary: str
    takes_value: bool
    values: tuple[str, ...] = ()
    is_file: bool = False


@attrs.frozen
class CommandWords:
    """A command with its options."""

    name: str
    summary: str
    options: tuple[OptionWords, ...]

    @property
    def option_names(self) -> list[str]:
        return [name for option in self.options for name in option.names]

    @property
    def argument_values(self) -> tuple[str, ...]:
        """The values of its argument; none when it takes options only."""
        return next((option.values for option in self.options if not option.names), ())


# --- bash -------------------------------------------------------------------------------------------------

# bash 3.2, as macOS has it: no ${word,,}, no associative arrays. A value like host:port is three words.
_BASH = """\
# Completion of mqadmin for bash; printed by 'mqadmin completion bash'.
_mqadmin() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} command= files= index restore IFS=$' \\t\\n'
    local words= previous=${{COMP_WORDS[COMP_CWORD-1]}}
    restore=$(shopt -p nocasematch)
    shopt -s nocasematch
    for ((index = 1; index < COMP_CWORD; index++)); do
        case ${{COMP_WORDS[index]}} in
            {names}) command=${{COMP_WORDS[index]}}; break ;;
        esac
    done
    COMPREPLY=()
    if [[ -z $command ]]; then
        case $previous in
            -n|--namesrvAddr|-namesrvAddr) ;;
            *) if [[ $word == -* ]]; then words='{global_options}'; else words='{commands}'; fi ;;
        esac
    else
        case $command in
{cases}
        esac
    fi
    for index in $words; do
        [[ $index == "$word"* ]] && COMPREPLY+=("$index")
    done
    eval "$restore"
    if [[ -n $files ]]; then
        compopt -o filenames 2>/dev/null
        while IFS= read -r index; do COMPREPLY+=("$index"); done < <(compgen -f -- "$word")
    fi
    return 0
}}
complete -F _mqadmin mqadmin
"""


def _bash(commands: Sequence[CommandWords]) -> str:
    names = " ".join(each.name for each in commands)
    return _BASH.format(
        names="|".join(each.name for each in commands),
        commands=f"{names} {_HELP}",
        global_options=_GLOBAL,
        cases="\n".join(_bash_case(each) for each in commands),
    )


def _bash_case(command: CommandWords) -> str:
    lines = [f"            {command.name}) case $previous in"]
    free = []
    for option in command.options:
        if not option.names or not option.takes_value:
            continue
        pattern = "|".join(_typed(option.names))
        if option.is_file:
            lines.append(f"                {pattern}) files=1 ;;")
        elif option.values:
            lines.append(f"                {pattern}) words='{' '.join(option.values)}' ;;")
        else:
            free.append(pattern)
    if free:
        lines.append(f"                {'|'.join(free)}) ;;")
    offered = " ".join([*command.argument_values, *command.option_names])
    lines += [f"                *) words='{offered}' ;;", "            esac ;;"]
    return "\n".join(lines)


def _typed(names: Sequence[str]) -> list[str]:
    """All ways of writing an option: a long one with one dash too."""
    return [*names, *(name[1:] for name in names if name.startswith("--"))]


# --- zsh --------------------------------------------------------------------------------------------------

_ZSH = """\
#compdef mqadmin
# Completion of mqadmin for zsh; printed by 'mqadmin completion zsh'.
_mqadmin() {{
    local command= index
    local -a commands=(
{commands}
    )
    for ((index = 2; index < CURRENT; index++)); do
        case ${{(L)words[index]}} in
            {names}) command=${{(L)words[index]}}; break ;;
        esac
    done
    if [[ -z $command ]]; then
        case $words[CURRENT-1] in
            -n|--namesrvAddr|-namesrvAddr) _message 'host:port;...'; return ;;
        esac
        if [[ $words[CURRENT] == -* ]]; then
            compadd -- {global_options}
        else
            _describe -t commands 'mqadmin command' commands -M 'm:{{a-zA-Z}}={{A-Za-z}}'
        fi
        return
    fi
    shift $((index - 1)) words
    ((CURRENT -= index - 1))
    case $command in
{cases}
    esac
}}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _mqadmin "$@"
else
    compdef _mqadmin mqadmin
fi
"""


def _zsh(commands: Sequence[CommandWords]) -> str:
    listed = [(each.name, each.summary) for each in commands]
    listed.append((_HELP, "Show the options of a command."))
    return _ZSH.format(
        commands="\n".join(f"        {_quoted(f'{name}:{summary}')}" for name, summary in listed),
        names="|".join(each.name.lower() for each in commands),
        global_options=_GLOBAL,
        cases="\n".join(_zsh_case(each) for each in commands),
    )


def _zsh_case(command: CommandWords) -> str:
    lines = [f"        {command.name.lower()}) _arguments \\"]
    lines += [f"            {_zsh_spec(option)} \\" for option in command.options]
    return "\n".join(lines).removesuffix(" \\") + " ;;"


def _zsh_spec(option: OptionWords) -> str:
    action = "_files" if option.is_file else f"({' '.join(option.values)})" if option.values else " "
    if not option.names:
        return _quoted(f"1:value:{action}")
    summary = option.summary.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]").replace(":", "\\:")
    tail = f"[{summary}]" + (f":value:{action}" if option.takes_value else "")
    if len(option.names) == 1:
        return _quoted(option.names[0] + tail)
    return f"'({' '.join(option.names)})'{{{','.join(option.names)}}}{_quoted(tail)}"


# --- fish -------------------------------------------------------------------------------------------------

# fish matches in any case by itself.
_FISH = """\
# Completion of mqadmin for fish; printed by 'mqadmin completion fish'.
function __mqadmin_command
    for word in (commandline -opc)[2..-1]
        switch (string lower -- $word)
            case {names}
                string lower -- $word
                return 0
        end
    end
    return 1
end
function __mqadmin_is
    test (__mqadmin_command; or echo none) = $argv[1]
end
complete -c mqadmin -e
complete -c mqadmin -f
complete -c mqadmin -n 'not __mqadmin_command' -s n -l namesrvAddr -x -d '{name_servers}'
{lines}
"""


def _fish(commands: Sequence[CommandWords]) -> str:
    lines = [
        f"complete -c mqadmin -n 'not __mqadmin_command' -a {name} -d {_fish_quoted(summary)}"
        for name, summary in [
            *((each.name, each.summary) for each in commands),
            (_HELP, "Show the options of a command."),
        ]
    ]
    for command in commands:
        condition = f"complete -c mqadmin -n '__mqadmin_is {command.name.lower()}'"
        lines += [f"{condition} {_fish_option(option)}" for option in command.options]
    return _FISH.format(
        names=" ".join(each.name.lower() for each in commands),
        name_servers=_NAME_SERVERS,
        lines="\n".join(lines),
    )


def _fish_option(option: OptionWords) -> str:
    values = f" -a {_fish_quoted(' '.join(option.values))}" if option.values else ""
    if not option.names:
        return values.strip()
    words = [f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names]
    if option.takes_value:
        words.append("-r -F" if option.is_file else "-x")
    return f"{' '.join(words)}{values} -d {_fish_quoted(option.summary)}"


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _quoted(text: str) -> str:
    """One word of a POSIX shell."""
    return "'" + text.replace("'", "'\\''") + "'"


SCRIPTS: dict[str, Callable[[Sequence[CommandWords]], str]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}
"""Printers of the scripts by the name of the shell."""
