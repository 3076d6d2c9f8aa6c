"""Configuration: config classes, the files they are read from, and their change at run time.

A room declares its keys in an attrs class with :func:`setting`. A start reads a file with
:func:`read_file`, fills the classes with :func:`build` and logs the report; :class:`Configuration` then
answers the requests that show and change it.
"""

from configuration.build import Report, build
from configuration.change import Configuration, Update, plan_update, properties_text
from configuration.errors import ConfigError, ForbiddenKeyError
from configuration.fields import Setting, setting, settings_of
from configuration.forms import ADDRESS, DELAYS, HOURS, NOT_EMPTY, Form
from configuration.read import RawConfig, parse_text, read_file
from configuration.waiting import wait_configured

__all__ = [
    "ADDRESS",
    "DELAYS",
    "HOURS",
    "NOT_EMPTY",
    "ConfigError",
    "Configuration",
    "ForbiddenKeyError",
    "Form",
    "RawConfig",
    "Report",
    "Setting",
    "Update",
    "build",
    "parse_text",
    "plan_update",
    "properties_text",
    "read_file",
    "setting",
    "settings_of",
    "wait_configured",
]
