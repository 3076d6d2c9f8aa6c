"""Runs one of the commands from the checkout: .launch.py NAME ARGS."""

import importlib
import os
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
del sys.argv[0]
interrupted = signal.getsignal(signal.SIGINT)
if interrupted is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # nothing has begun yet: an end without a traceback
command = importlib.import_module(f"tools.{sys.argv[0]}")
signal.signal(signal.SIGINT, interrupted)
sys.exit(command.main())
