"""What the operating system says about a process, and what is made of measurements."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import psutil

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.interop.processes import ChildProcess

__all__ = ["Footprint", "footprint", "machine", "percentile"]


@attrs.frozen
class Footprint:
    """Size of a process at one moment.

    Attributes:
        threads: Count of its threads.
        anonymous_bytes: Resident anonymous memory; mapped files, which the kernel can drop, do not count.
        resident_bytes: All resident memory.
    """

    threads: int
    anonymous_bytes: int
    resident_bytes: int


def _smaps_bytes(pid: int, field: str) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(f"/proc/{pid}/smaps_rollup has no {field}")


def footprint(child: ChildProcess) -> Footprint:
    """Sums over the child's running processes. Linux only."""
    processes: Iterable[psutil.Process] = child.processes()
    parts = [
        Footprint(
            process.num_threads(), _smaps_bytes(process.pid, "Anonymous"), _smaps_bytes(process.pid, "Rss")
        )
        for process in processes
    ]
    return Footprint(*(sum(column) for column in zip(*(attrs.astuple(part) for part in parts), strict=True)))


def machine() -> dict[str, object]:
    """What a figure must be read with."""
    return {
        "python": platform.python_version(),
        "cores": psutil.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "load_average": psutil.getloadavg()[0],
    }


def percentile(values: list[float], share: float) -> float:
    """The value that `share` of `values` do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
