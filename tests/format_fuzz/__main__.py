"""`python -m tests.format_fuzz`: damages stores by many seeds and prints what must not happen.

    python -m tests.format_fuzz [--seeds N] [--first SEED] [--kind KIND] [--part PATH] [--verbose]

A failure prints the command that repeats it alone.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path
from random import Random

from tests.format_fuzz.store_root import KINDS, StoreFuzzError, make_template, trial


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.format_fuzz")
    parser.add_argument("--seeds", type=int, default=1000, help="how many, for each kind of store")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--kind", choices=KINDS, help="only this kind of store")
    parser.add_argument("--part", default="", help="only files below this path of the root")
    parser.add_argument("--verbose", action="store_true", help="print every outcome")
    options = parser.parse_args()
    failures = 0
    outcomes: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as directory:
        for kind in [options.kind] if options.kind else KINDS:
            template = make_template(Path(directory, kind), kind)
            for seed in range(options.first, options.first + options.seeds):
                try:
                    outcome = trial(template, Path(directory), Random(f"{kind} {seed}"), options.part)
                except StoreFuzzError as error:
                    failures += 1
                    part = f" --part {options.part}" if options.part else ""
                    again = f"--kind {kind} --first {seed} --seeds 1{part}"
                    print(f"{error}\n  again: python -m tests.format_fuzz {again}")
                    outcomes["FAILED"] += 1
                else:
                    if options.verbose:
                        print(f"{kind} {seed}: {outcome}")
                    outcomes[outcome.partition("): ")[2].split()[0].strip(":")] += 1
    print(", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items())))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
