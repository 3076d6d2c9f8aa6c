"""``bin/compile``: makes the native build that `tools.compiled` finds. Needs mypyc and a C compiler.

mypyc turns each module of `MODULES` into C; the C compiler makes one shared library of each room, and a small
one for each module that is its door. Types are those that mypy checks: a value of another type is a TypeError
at the door of a function. Within a room classes are known to the compiler. Between rooms they are ordinary
objects, so that another object may stand for one: a test's connection for a `Connection`.

What is not native is in a module that is not in the list: `RemotingCommand` and the header classes, which are
msgspec's; `MessageStore`, whose methods tests replace; `Connection` and `FlushService`, because tests ask of
each line of the log which broker's object is on the stack, and native functions are not there.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import click

from tools.compiled import BUILDS, build_directory, copy_sources
from tools.compiled_order import UnknownOrderError, store_before_release

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["MODULES", "BuildError", "build", "main"]

ROOMS = {
    "broker": (
        "broker.header_fields",
        "broker.message_properties",
        "broker.pull",
        "broker.reply_frames",
        "broker.send",
        "broker.send_admission",
        "broker.stats",
    ),
    "remoting": (
        "remoting.frame",
        "remoting.owner",
        "remoting.processors",
        "remoting.protocol.message",
        "remoting.serving",
    ),
    "store": (
        "store.append",
        "store.commit_log",
        "store.consume_queue",
        "store.delay_levels",
        "store.dispatch",
        "store.index",
        "store.index_file",
        "store.key_hash",
        "store.mapped_files",
        "store.message_codec",
        "store.message_reader",
        "store.put_times",
        "store.queue_table",
        "store.rates",
        "store.records",
        "store.store_stats",
        "store.unit_repair",
        "store.write_behind",
    ),
}
"""What measurement says belongs to the way of a message, by the library that it becomes a part of."""

MODULES = tuple(name for modules in ROOMS.values() for name in modules)

NO_COMPILER = 3
"""Exit code of ``bin/compile`` where nothing is wrong but that there is no compiler."""

_OPTIONS = ("--config-file=", "--strict", f"--python-version={sys.version_info[0]}.{sys.version_info[1]}")


_PIP = ("-P", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r")


class BuildError(Exception):
    """What is missing, or what the compiler said, for the person at the terminal."""


class NoCompilerError(BuildError):
    """This machine cannot make a build; it is no fault of the sources."""


class Extension(Protocol):
    """What mypyc tells of a module: setuptools' class, of which these two are used."""

    name: str
    sources: list[str]


def c_compiler() -> list[str]:
    """The command of the C compiler: the one of ``CC``, the one that made Python, or what this machine has.

    Raises:
        NoCompilerError: there is none, or Python came without its headers.
    """
    named = os.environ.get("CC")
    candidates = [named] if named else [sysconfig.get_config_var("CC") or "cc", "cc", "gcc", "clang"]
    for candidate in candidates:
        words = shlex.split(candidate)
        if words and shutil.which(words[0]):
            break
    else:
        raise NoCompilerError(f"no C compiler: none of {', '.join(dict.fromkeys(candidates))} is here")
    headers = Path(sysconfig.get_paths()["include"])
    if not (headers / "Python.h").is_file():
        raise NoCompilerError(
            f"no headers of Python: {headers} has no Python.h (Debian's package is python3-dev)"
        )
    return words


def build(root: Path, *, jobs: int, optimisation: str = "2") -> Path:
    """Compiles the present sources of the checkout `root`, unless that was done before.

    It works on a copy, so that a build is of one moment. Older builds for the same interpreter are removed.

    Args:
        root: the checkout.
        jobs: C compilers at a time.
        optimisation: their level.

    Raises:
        BuildError: mypyc or the C compiler is missing or failed; no build is there.
    """
    target = build_directory(root)
    if target.is_dir():
        return target
    compiler = c_compiler()
    _install_mypyc(root)
    builds = root / BUILDS
    builds.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="making-", dir=builds) as scratch:
        sources, made = Path(scratch, "sources"), Path(scratch, "build")
        copy_sources(root, sources)
        target = builds / build_directory(sources).name
        for room, modules in ROOMS.items():
            c_directory = Path(scratch, room)
            cache = root / ".mypy_cache" / f"compiled-{room}"
            extensions = _translate(sources, cache, c_directory, room, modules)
            _put_in_order(c_directory)
            _compile(extensions, [*compiler, f"-O{optimisation}"], c_directory, made, jobs)
        made.rename(target)
    interpreter = target.name.rpartition("-")[0]
    for other in builds.iterdir():
        if other != target and other.name.rpartition("-")[0] == interpreter:
            shutil.rmtree(other)
    return target


def _install_mypyc(root: Path) -> None:
    """It comes with the development tools, which running the commands does not need."""
    if all(importlib.util.find_spec(name) is not None for name in ("mypyc", "setuptools")):
        return
    command = [sys.executable, *_PIP, str(root / "requirements" / "dev.txt")]
    if subprocess.run(command, check=False).returncode:  # noqa: S603 - our own pins
        raise BuildError("mypyc cannot be installed, see above")


def _translate(
    root: Path, cache: Path, c_directory: Path, room: str, modules: Sequence[str]
) -> list[Extension]:
    """From Python to C."""
    from mypyc.build import mypycify

    files = [f"{name.replace('.', '/')}.py" for name in modules]
    before = Path.cwd()
    os.chdir(root)  # mypyc takes the names of modules from relative paths
    try:
        return mypycify(
            [*_OPTIONS, f"--cache-dir={cache}", *files],
            target_dir=str(c_directory),
            multi_file=True,
            group_name=f"mqbrokercontainer_{room}",
        )
    except SystemExit as failure:
        raise BuildError("mypyc does not take the sources, see above") from failure
    finally:
        os.chdir(before)


def _put_in_order(c_directory: Path) -> None:
    for path in c_directory.rglob("__native_*.c"):
        try:
            path.write_text(store_before_release(path.read_text()))
        except UnknownOrderError as error:
            raise BuildError(f"{path.name}, {error}: tools/compiled_order.py must learn it") from error


def _compile(
    extensions: Sequence[Extension], command: Sequence[str], c_directory: Path, target: Path, jobs: int
) -> None:
    """From C to libraries below `target`."""
    from mypyc.build import include_dir

    includes = [sysconfig.get_paths()["include"], str(c_directory), include_dir()]
    compiler = [
        *command,
        *shlex.split(sysconfig.get_config_var("CCSHARED") or "-fPIC"),
        "-g0", "-w", "-DNDEBUG", "-fwrapv", "-fno-semantic-interposition", "-fvisibility=hidden",
        *(f"-I{directory}" for directory in includes),
    ]  # fmt: skip
    linker = [command[0], *shlex.split(sysconfig.get_config_var("LDSHARED") or "cc -shared")[1:]]
    sources = {source for extension in extensions for source in extension.sources}
    by_size = sorted(sources, key=lambda source: -Path(source).stat().st_size)
    with ThreadPoolExecutor(jobs) as workers:
        objects = dict(workers.map(lambda source: (source, _object(compiler, source)), by_size))
        suffix = sysconfig.get_config_var("EXT_SUFFIX")
        libraries = []
        for extension in extensions:
            library = target.joinpath(*extension.name.split(".")).with_suffix(suffix)
            library.parent.mkdir(parents=True, exist_ok=True)
            parts = [objects[source] for source in extension.sources]
            libraries.append(workers.submit(_run, [*linker, *parts, "-o", str(library)]))
        for done in libraries:
            done.result()


def _object(compiler: Sequence[str], source: str) -> str:
    made = f"{source.removesuffix('.c')}.o"
    _run([*compiler, "-c", source, "-o", made])
    return made


def _run(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - the compiler
    except OSError as error:
        raise BuildError(f"{command[0]} cannot be started: {error.strerror}") from error
    if done.returncode:
        raise BuildError(f"{shlex.join(command)} ended with {done.returncode}:\n{done.stderr[-4000:]}")


@click.command()
@click.option("--jobs", type=click.IntRange(1), default=os.cpu_count() or 1, help="C compilers at a time.")
def main(jobs: int) -> None:
    """Make the native build of the modules on the way of a message.

    It is used from the next start on: MQ_COMPILED=yes|no chooses. Ends with 3 where there is no C compiler.
    """
    root = Path(__file__).resolve().parent.parent
    began = time.monotonic()
    try:
        directory = build(root, jobs=jobs)
    except NoCompilerError as failure:
        click.echo(f"Error: {failure}. The commands run as Python, as before.", err=True)
        sys.exit(NO_COMPILER)
    except BuildError as failure:
        raise click.ClickException(str(failure)) from None
    size = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    seconds = time.monotonic() - began
    click.echo(f"{len(MODULES)} modules, {size / 1e6:.1f} MB, {seconds:.0f} s: {directory.relative_to(root)}")


if __name__ == "__main__":
    main()
