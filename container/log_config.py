"""`LogConfig`: what the file of a process (container, lone broker, name server) says about its log.

The log is the process's, so the files of the brokers inside a container have no say in it, except for
`isolateLogEnable`. All keys are our own; Java has logback's XML file for this.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

import logs
from configuration import Form, setting
from logs import LEVELS, LOGGERS, LogSettings, parse_levels

if TYPE_CHECKING:
    from logs import Layout

__all__ = ["LogConfig", "apply_log_config"]

_MIN_FILE_BYTES = 4096


def _are_levels(text: str) -> bool:
    try:
        parse_levels(text)
    except ValueError:
        return False
    return True


_LEVELS_FORM = Form(
    "a list of logger=level separated by ';', with levels "
    f"{', '.join(LEVELS)} and the loggers rocketmq, {', '.join(LOGGERS)}, or one below them",
    _are_levels,
)


@attrs.define(kw_only=True)
class LogConfig:
    """Settings of the log of a process."""

    log_directory: str | None = setting(
        None, help="Directory of the log files; ~/logs/rocketmqlogs when not set."
    )
    log_level: str = setting(
        "INFO", choices=tuple(LEVELS), runtime=True, help="Lines below this level are not written."
    )
    log_levels: str = setting(
        "",
        form=_LEVELS_FORM,
        runtime=True,
        help="Other levels for some loggers, as in `rocketmq.store=DEBUG;rocketmq.remoting=WARN`. The loggers"
        f" are {', '.join(LOGGERS)}.",
    )
    log_format: str = setting(
        "text",
        choices=("text", "json"),
        help="Lines as Java's, or one JSON object a line with time, level, logger, thread, broker, message"
        " and exception.",
    )
    log_console_level: str = setting(
        "OFF",
        choices=tuple(LEVELS),
        runtime=True,
        help="Lines from this level on are shown on standard error as well, in colours on a terminal.",
    )
    log_file_size_bytes: int | None = setting(
        None,
        ge=_MIN_FILE_BYTES,
        runtime=True,
        help="Size at which a log file is compressed into otherdays/ and begun anew; Java's 64 to 128 MiB"
        " when not set.",
    )
    log_old_files: int | None = setting(
        None,
        ge=0,
        le=10_000,
        runtime=True,
        help="Compressed files kept of each log file; Java's 5 to 20 when not set.",
    )

    def settings(self, layout: Layout = logs.BROKER_LAYOUT) -> LogSettings:
        """What :func:`logs.install` takes, for a process that is nobody's host.

        Args:
            layout: the files of this kind of process.
        """
        made = LogSettings(
            layout=layout,
            json=self.log_format == "json",
            others=True,
            level=LEVELS[self.log_level],
            levels=parse_levels(self.log_levels),
            console_level=None if self.log_console_level == "OFF" else LEVELS[self.log_console_level],
            max_size_bytes=self.log_file_size_bytes,
            keep=self.log_old_files,
        )
        if self.log_directory:
            made = attrs.evolve(made, root=Path(os.path.expanduser(self.log_directory)).absolute())
        return made


def apply_log_config(config: LogConfig | None) -> None:
    """Lets a change of `config` count from the next line on: levels, console, size and number of old files.

    Does nothing where the log is the host application's: nothing is installed there. Safe in any thread.

    Args:
        config: None for a container without a say in the log.
    """
    if config is not None:
        logs.change(config.settings())
