"""What the commands that start something have in common: options and refusals."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

import logs
from configuration import ConfigError
from container.log_config import LogConfig
from container.refusal import EXIT_FAILURE, BootRefusedError
from remoting.errors import TlsConfigError
from tools.banner import print_refusal, print_warning

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from configuration import Report

__all__ = ["HELP", "common_options", "install_logs", "refusing", "show_mistakes"]

HELP: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 110}

F = TypeVar("F", bound="Callable[..., Any]")


def common_options(function: F) -> F:
    """The options -p, -m and --tlsConfigFile, as `print_all`, `print_important` and `tls_file`."""
    options = (
        click.option("print_all", "-p", "--printConfigItem", is_flag=True, help="Print all keys and end."),
        click.option(
            "print_important",
            "-m",
            "--printImportantConfig",
            is_flag=True,
            help="Print important keys and end.",
        ),
        click.option(
            "tls_file",
            "--tlsConfigFile",
            metavar="FILE",
            envvar="TLS_CONFIG_FILE",
            type=click.Path(path_type=Path),
            help="File with the keys tls.*; /etc/rocketmq/tls.properties if that is there.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def refusing(start: Callable[[], int]) -> int:
    """Calls `start`; a refusal becomes one sentence on stderr and its exit code."""
    try:
        return start()
    except BootRefusedError as refused:
        print_refusal(str(refused))
        return refused.exit_code
    except (ConfigError, TlsConfigError) as wrong:
        print_refusal(str(wrong))
        return EXIT_FAILURE


def install_logs(config: LogConfig | None, layout: logs.Layout = logs.BROKER_LAYOUT) -> logs.LogSettings:
    """Sends the log of this process to its files from now on, with Python's warnings and all other loggers.

    Args:
        config: what the file says about it; None for the defaults.
        layout: the files of this kind of process.

    Raises:
        BootRefusedError: their directory cannot be written.
    """
    settings = (config or LogConfig()).settings(layout)
    try:
        settings.root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=settings.root):
            pass
    except OSError as error:
        reason = f"{settings.root}: the log cannot be written there: {error.strerror}"
        raise BootRefusedError(reason) from error
    logs.install(settings)
    return settings


def show_mistakes(reports: Iterable[Report]) -> None:
    """Prints on stderr what was probably meant otherwise; the log holds it too, with all other warnings."""
    for report in reports:
        for mistake in report.mistakes:
            print_warning(mistake)
