"""`python -m tests.format_fuzz`: damages files by many seeds and prints what must not happen.

    python -m tests.format_fuzz [--seeds N] [--first SEED] [--kind KIND] [--part PATH] [--verbose]

A failure prints the command that repeats it alone.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.format_fuzz.kinds import KINDS, Fuzz
from tests.format_fuzz.outcome import FuzzError


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.format_fuzz")
    parser.add_argument("--seeds", type=int, default=1000, help="how many, for each kind of files")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--kind", choices=KINDS, action="append", help="only these files; may be given again")
    parser.add_argument("--part", default="", help="damage only files whose path in the copy begins so")
    parser.add_argument("--verbose", action="store_true", help="print every outcome")
    options = parser.parse_args()
    outcomes: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as directory:
        for kind in options.kind or KINDS:
            fuzz = Fuzz(kind, Path(directory, kind))
            for seed in range(options.first, options.first + options.seeds):
                try:
                    outcome = fuzz.trial(seed, options.part)
                except FuzzError as error:
                    print(error, flush=True)
                    outcomes["FAILED"] += 1
                else:
                    if options.verbose:
                        print(f"{kind} {seed}: {outcome}")
                    outcomes[outcome.partition("): ")[2].split()[0].strip(":,")] += 1
    print(", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items())))
    return 1 if outcomes["FAILED"] else 0


if __name__ == "__main__":
    sys.exit(main())
