"""`python -m benchmarks.smoke`: is this tree much slower than an older one?

Two containers run beside each other, one with the code of this tree, one with that of the reference: the last
tag, or main where there is none, or what --against names. They get the same requests in turns, and what is
compared is the CPU time of their processes: the least of all rounds, which other processes of the machine
disturb least. Below the margin a difference is printed and nothing else happens; only beyond it the command
fails.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click
from rich.console import Console
from rich.table import Table

from benchmarks.load_host import LoadHost, tidy_end
from benchmarks.wire_load import batch_frame, pull_frame, send_frame
from tests.interop.processes import ProcessError

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.wire_load import Peer

_REPOSITORY = Path(__file__).parents[1]
_TOPIC = "Smoke"
_BODY = bytes(1024)
_DEPTH = 32
_ADDS = 1


@attrs.frozen
class Load:
    """Something that a container is asked for again and again.

    Attributes:
        operations: what its cost is divided by.
        run: does it all once and returns its CPU seconds.
    """

    name: str
    operations: int
    run: Callable[[LoadHost, Peer], float]


def git(*arguments: str) -> str | None:
    """What git prints; None when it cannot say."""
    done = subprocess.run(["git", *arguments], cwd=_REPOSITORY, capture_output=True, text=True, check=False)
    return done.stdout.strip() or None if done.returncode == 0 else None


def reference() -> str | None:
    """The last tag, else main; what came before it where this tree is nothing but main itself."""
    head, dirty = git("rev-parse", "HEAD"), git("status", "--porcelain")
    tag = git("describe", "--tags", "--abbrev=0", "HEAD" if dirty else "HEAD^")
    if tag is not None:
        return tag
    for name in ("main", "origin/main"):
        commit = git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
        if commit is not None:
            return name if commit != head or dirty else git("rev-parse", "--verify", "--quiet", "HEAD^")
    return git("rev-parse", "--verify", "--quiet", "HEAD^")


def known(revision: str) -> str:
    """`revision`, or the branch of that name of the remote repository: a clone of one branch has no others.

    Raises:
        click.ClickException: git knows neither.
    """
    for name in (revision, f"origin/{revision}"):
        if git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}") is not None:
            return name
    raise click.ClickException(
        f"there is no {revision} in {_REPOSITORY} to compare with; `git fetch --unshallow --tags origin` or"
        f" `git fetch origin {revision}` may bring it"
    )


def unpack(revision: str, directory: Path) -> None:
    """Puts the tree of `revision` into `directory`; the repository stays as it is, without a work tree more.

    Raises:
        click.ClickException: git cannot read that revision.
    """
    done = subprocess.run(
        ["git", "archive", "--format=tar", revision], cwd=_REPOSITORY, capture_output=True, check=False
    )
    if done.returncode:
        raise click.ClickException(f"{revision}: {done.stderr.decode(errors='replace').strip()}")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(directory, filter="data")


def exchanges(frames: list[bytes], depth: int) -> Callable[[LoadHost, Peer], float]:
    """Sends `frames`, `depth` at a time."""

    def run(host: LoadHost, peer: Peer) -> float:
        began = host.cpu_seconds()
        for first in range(0, len(frames), depth):
            peer.exchange(frames[first : first + depth])
        return host.cpu_seconds() - began

    return run


def loads(count: int) -> list[Load]:
    """The loads, `count` messages each where they are about messages."""
    sends = [send_frame(_TOPIC, number % 4, _BODY, number) for number in range(count)]
    batches = [batch_frame(_TOPIC, number % 4, _BODY, _DEPTH) for number in range(count // _DEPTH)]
    # What the first sends of all put into queue 0, from the beginning.
    pulls = [pull_frame(_TOPIC, 0, offset, _DEPTH) for offset in range(0, count // 4 - _DEPTH, _DEPTH)] * 4
    return [
        Load("sends, one at a time", count // 4, exchanges(sends[: count // 4], 1)),
        Load(f"sends, {_DEPTH} at a time", count, exchanges(sends, _DEPTH)),
        Load(f"batches of {_DEPTH}, per message", len(batches) * _DEPTH, exchanges(batches, 1)),
        Load(f"pulls of {_DEPTH}, per message", len(pulls) * _DEPTH, exchanges(pulls, 1)),
        Load("brokers that come and go", _ADDS, lambda host, _peer: host.add_brokers(_ADDS)),
    ]


def measure(trees: dict[str, Path], *, count: int, rounds: int) -> dict[str, dict[str, float]]:
    """Least CPU seconds per operation: load → name of the tree → seconds.

    Raises:
        ProcessError: a container ended or refused something.
    """
    least: dict[str, dict[str, float]] = {}
    with ExitStack() as stack:
        hosts = {
            name: stack.enter_context(LoadHost("--log-size", "256", tree=tree))
            for name, tree in trees.items()
        }
        peers = {name: host.connect() for name, host in hosts.items()}
        for peer in peers.values():
            stack.callback(peer.close)
        all_loads = loads(count)
        for peer in peers.values():
            for number in range(4):  # what pulls ask for is there from the first round on
                frames = [send_frame(_TOPIC, number, _BODY, each) for each in range(count // 4)]
                peer.exchange(frames)
        for number in range(-1, rounds):  # the first one warms up
            for load in all_loads:
                found = least.setdefault(load.name, {})
                for name in sorted(hosts, reverse=number % 2 == 0):
                    seconds = load.run(hosts[name], peers[name]) / load.operations
                    if number >= 0:
                        found[name] = min(seconds, found.get(name, seconds))
    return least


def table_of(least: dict[str, dict[str, float]], before: str, margin: float) -> tuple[Table, list[str]]:
    """The costs side by side, and the loads that are beyond the margin."""
    table = Table(title="CPU of the container's process", title_justify="left")
    for column in ("µs per operation", before, "this tree", "ratio"):
        table.add_column(column, justify="left" if column == "µs per operation" else "right")
    beyond = []
    for name, costs in least.items():
        old, new = costs["reference"], costs["this tree"]
        ratio = new / old
        colour = "red" if ratio > margin else "green" if ratio <= 1 else "default"
        if ratio > margin:
            beyond.append(f"{name}: {ratio:.2f} times as much CPU as {before}")
        table.add_row(name, f"{old * 1e6:,.1f}", f"{new * 1e6:,.1f}", f"[{colour}]{ratio:.2f}[/]")
    return table, beyond


@click.command(help=__doc__.partition("\n\n")[2] if __doc__ else None)
@click.option("--against", metavar="REF", help="A tag, branch or commit. [the last tag, or main]")
@click.option("--margin", default=2.0, show_default=True, help="Fail beyond this ratio.")
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1), help="Of each load.")
@click.option(
    "--count", default=4000, show_default=True, type=click.IntRange(256), help="Messages of a load."
)
def main(against: str | None, margin: float, rounds: int, count: int) -> None:
    before = reference() if against is None else known(against)
    if before is None:
        click.echo("nothing is compared: there is no tag, no main and no commit before this one here")
        return
    with tidy_end(), tempfile.TemporaryDirectory(prefix="mqbc-benchmark-") as directory:
        unpack(before, Path(directory))
        try:
            least = measure(
                {"reference": Path(directory), "this tree": _REPOSITORY}, count=count, rounds=rounds
            )
        except (ProcessError, OSError) as fault:
            raise click.ClickException(str(fault)) from fault
    table, beyond = table_of(least, before[:12], margin)
    Console().print(table)
    for line in beyond:
        click.echo(line, err=True)
    sys.exit(1 if beyond else 0)


if __name__ == "__main__":
    main()
