"""Runs one of the commands from the checkout, or its tests: .launch.py NAME|pytest ARGS."""

import importlib
import os
import signal
import sys
from pathlib import Path

root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, root)
del sys.argv[0]
interrupted = signal.getsignal(signal.SIGINT)
if interrupted is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # nothing has begun yet: an end without a traceback
compiled = importlib.import_module("tools.compiled")
try:
    build = compiled.choose(Path(root))
except compiled.CompiledRefusedError as refused:
    sys.exit(f"{sys.argv[0]}: {refused}")
if build is not None:
    compiled.load(build)
command = importlib.import_module(sys.argv[0] if sys.argv[0] == "pytest" else f"tools.{sys.argv[0]}")
signal.signal(signal.SIGINT, interrupted)
sys.exit(command.main())
