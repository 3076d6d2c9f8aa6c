"""What an application has set up for its own process and a guest in it must leave alone."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading
import warnings
from typing import Any

__all__ = ["process_state"]


def process_state() -> dict[str, Any]:
    """What belongs to the application and not to a library in it."""
    loggers = [logging.getLogger(), logging.getLogger("rocketmq"), logging.getLogger("py.warnings")]
    return {
        "loggers": [
            (logger.level, logger.propagate, list(logger.handlers), list(logger.filters), logger.disabled)
            for logger in loggers
        ],
        "logging": (logging.root.manager.disable, logging.getLogRecordFactory(), logging.getLoggerClass()),
        "shown warnings": warnings.showwarning,
        "warning filters": list(warnings.filters),
        "signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "excepthooks": (sys.excepthook, threading.excepthook, sys.unraisablehook),
        "gc": (gc.get_threshold(), gc.isenabled(), gc.get_freeze_count()),
        "switch interval": sys.getswitchinterval(),
        "recursion limit": sys.getrecursionlimit(),
        "directory": os.getcwd(),
        "environment": dict(os.environ),
        "umask": _umask(),
        "paths": list(sys.path),
        "asyncgen hooks": sys.get_asyncgen_hooks(),
    }


def _umask() -> int:
    mask = os.umask(0o77)
    os.umask(mask)
    return mask
