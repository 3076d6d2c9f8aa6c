"""What there is to damage, by name, and the one command that repeats a failure."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

from tests.format_fuzz import configuration_files, store_root, tables
from tests.format_fuzz.outcome import FuzzError, run_trial

if TYPE_CHECKING:
    from pathlib import Path

STORE_KINDS: tuple[str, ...] = store_root.KINDS
_MODULES: tuple[Any, ...] = (store_root, tables, configuration_files)
KINDS: tuple[str, ...] = tuple(kind for module in _MODULES for kind in module.KINDS)


class Fuzz:
    """Files of one kind, each trial on a copy.

    Args:
        kind: One of `KINDS`.
        directory: Where they are made and copied to; not there yet.
    """

    def __init__(self, kind: str, directory: Path) -> None:
        [self._module] = [module for module in _MODULES if kind in module.KINDS]
        self._kind = kind
        self._copy = directory / "copy"
        directory.mkdir(parents=True)
        self._template = self._module.make_template(directory / kind, kind)

    def trial(self, seed: int, part: str = "") -> str:
        """Damage one file, or two, and see what becomes of it.

        Args:
            seed: Everything follows from it and the kind.
            part: Only files are damaged whose path in the copy begins so, if there are any.

        Returns:
            What was done and what came of it.

        Raises:
            FuzzError: what must not be; it says how to repeat it.
        """
        judge = partial(self._module.outcome, self._template)
        try:
            return run_trial(self._template.root, self._copy, Random(f"{self._kind} {seed}"), part, judge)
        except FuzzError as error:
            only = f" --part {part}" if part else ""
            again = f"python -m tests.format_fuzz --kind {self._kind} --first {seed} --seeds 1{only}"
            raise FuzzError(f"{error}\n  again: {again}") from error
