"""Runs one of the commands from the checkout: .launch.py NAME ARGS."""

import importlib
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
del sys.argv[0]
sys.exit(importlib.import_module(f"tools.{sys.argv[0]}").main())
