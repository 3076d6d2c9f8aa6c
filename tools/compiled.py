"""The switch between Python and native code: ``MQ_COMPILED=yes|no``.

``bin/compile`` makes an optional native build (mypyc) of the modules on the way of a message, from the same
sources. It lies in the virtual environment of the checkout, in a directory that is named by what it was made
from: the interpreter, the pins of the compiler, and the text of every source that it may look at. A build of
other sources is therefore never found, and never loaded.

| MQ_COMPILED | a build that fits the sources | none |
|---|---|---|
| not set | it is loaded | pure Python |
| yes | it is loaded | refused: run bin/compile |
| no | pure Python | pure Python |

The launchers in ``bin/`` and ``bin/test`` ask here before they import anything else. An installed wheel is
always pure Python, and so is a program that imports our packages by itself, unless it calls `load`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import sysconfig
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import ModuleType

__all__ = [
    "BUILDS",
    "CompiledRefusedError",
    "build_directory",
    "choose",
    "copy_sources",
    "load",
    "loaded_from",
]

VARIABLE = "MQ_COMPILED"
BUILDS = Path(".venv", "compiled")
"""Where builds lie, below the checkout."""

_ROOMS = ("broker", "configuration", "logs", "remoting", "store")
_RECIPE = ("tools/compiled.py", "tools/compiled_build.py", "tools/compiled_order.py", "requirements/dev.txt")
_LOOKED_AT = (*_ROOMS, *_RECIPE)
"""Whatever decides what a build is: the rooms of its modules, all that those may import, and the recipe."""


class CompiledRefusedError(Exception):
    """One sentence for the person at the terminal."""


def build_directory(root: Path) -> Path:
    """Where the build of the present sources of the checkout `root` lies, if there is one.

    Raises:
        OSError: a source cannot be read.
    """
    digest = hashlib.blake2b(digest_size=12)
    for path in _sources(root):
        text = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()}:{len(text)}:".encode())
        digest.update(text)
    return root / BUILDS / f"{_interpreter()}-{digest.hexdigest()}"


def copy_sources(root: Path, target: Path) -> None:
    """Copies what a build is made from; `build_directory` gives the copy the name of the original."""
    for path in _sources(root):
        copy = target / path.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)


def _sources(root: Path) -> Iterator[Path]:
    for name in _LOOKED_AT:
        path = root / name
        yield from sorted(path.rglob("*.py")) if path.is_dir() else [path]


def _interpreter() -> str:
    """What a native module must have been made for: the import system's name, and this very Python."""
    name = sysconfig.get_config_var("SOABI") or sys.implementation.cache_tag
    return f"{name}-{hashlib.blake2b(sys.version.encode(), digest_size=4).hexdigest()}"


def choose(root: Path, environment: Mapping[str, str] = os.environ) -> Path | None:
    """The build to load, None for pure Python.

    Raises:
        CompiledRefusedError: a build is wanted and there is none for these sources, or the variable is
            neither yes nor no.
    """
    wanted = environment.get(VARIABLE, "")
    if wanted not in ("", "yes", "no"):
        raise CompiledRefusedError(f"{VARIABLE} must be yes or no, not {wanted!r}")
    if wanted == "no":
        return None
    if (root / BUILDS).is_dir():
        directory = build_directory(root)
        if directory.is_dir():
            return directory
    if wanted == "yes":
        raise CompiledRefusedError(f"{VARIABLE}=yes, but there is no build of these sources; run bin/compile")
    return None


class _CompiledFinder:
    """Finds the modules of a build before their sources."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._paths = {name: str(path) for name, path in _native_modules(directory)}

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See `importlib.abc.MetaPathFinder`."""
        native = self._paths.get(name)
        return None if native is None else spec_from_file_location(name, native)


def _native_modules(directory: Path) -> Iterator[tuple[str, Path]]:
    suffix = EXTENSION_SUFFIXES[0]
    for path in directory.rglob(f"*{suffix}"):
        yield ".".join(path.relative_to(directory).parts).removesuffix(suffix), path


def load(directory: Path) -> None:
    """From here on the modules of the build in `directory` are imported instead of their sources.

    Call it before any of them is imported. A second build cannot be loaded.

    Raises:
        RuntimeError: one of the modules, or another build, is there already.
    """
    finder = _CompiledFinder(directory)
    there = loaded_from()
    if there is not None and there != directory:
        raise RuntimeError(f"the build {there} is loaded already")
    late = sorted(name for name, _ in _native_modules(directory) if name in sys.modules)
    if late:
        raise RuntimeError(f"imported before the build was loaded: {', '.join(late)}")
    sys.meta_path.insert(0, finder)


def loaded_from() -> Path | None:
    """The build that this process runs; None when it runs pure Python."""
    for finder in sys.meta_path:
        if isinstance(finder, _CompiledFinder):
            return finder.directory
    return None
