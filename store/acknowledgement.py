"""What the answer to a send means: when it goes out, and what is kept of what it acknowledged.

The one place that says so. ``flushDiskType`` belongs to the broker, ``waitStoreMsgOK`` (property ``WAIT``,
true unless the producer says otherwise) to the message; Java: ``CommitLog.handleDiskFlush``.
docs/durability.md shows the same table, with the test that proves each cell.

| flush mode  | WAIT  | answered when | process killed | machine lost | disk full | disk error |
|-------------|-------|---------------|----------------|--------------|-----------|------------|
| ASYNC_FLUSH | any   | written       | all            | flushed      | all       | flushed    |
| SYNC_FLUSH  | true  | on the device | all            | all          | all       | all        |
| SYNC_FLUSH  | false | written       | all            | flushed      | all       | flushed    |
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

import attrs

from store.config import FlushDiskType

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "ACKNOWLEDGEMENTS",
    "Acknowledgement",
    "Failure",
    "Kept",
    "Moment",
    "answers_on_device",
    "readers_wait_for_device",
]


class Moment(Enum):
    """How far a message has come.

    Written: the operating system has it, it outlives the process. On the device: an ``fdatasync`` that began
    after the write has returned without an error.
    """

    WRITTEN = "written"
    ON_DEVICE = "on the device"


class Failure(Enum):
    """What may happen after an answer, or instead of one.

    Disk full: a write finds no room. Disk error: a write or an ``fdatasync`` fails, also one that finds no
    room. What a failing write was for is refused and not stored, not even in part; after an ``fdatasync``
    that failed nothing is acknowledged any more, and the broker ends.
    """

    PROCESS_KILLED = "process killed"
    MACHINE_LOST = "machine lost"
    DISK_FULL = "disk full"
    DISK_ERROR = "disk error"


class Kept(Enum):
    """Which acknowledged messages are there after a failure, whole, once, under the ids they were given."""

    ALL = "all"
    FLUSHED = "flushed"
    """Those that were on the device before it; of the younger ones any number, from the oldest on."""


@attrs.frozen
class Acknowledgement:
    """What SUCCESS says.

    Attributes:
        answered: When it goes out.
        kept: What every failure leaves.
    """

    answered: Moment
    kept: Mapping[Failure, Kept]


_WRITTEN = Acknowledgement(
    Moment.WRITTEN,
    {
        Failure.PROCESS_KILLED: Kept.ALL,
        Failure.MACHINE_LOST: Kept.FLUSHED,
        Failure.DISK_FULL: Kept.ALL,
        Failure.DISK_ERROR: Kept.FLUSHED,
    },
)
_ON_DEVICE = Acknowledgement(Moment.ON_DEVICE, dict.fromkeys(Failure, Kept.ALL))

ACKNOWLEDGEMENTS: Mapping[tuple[FlushDiskType, bool], Acknowledgement] = {
    (FlushDiskType.ASYNC_FLUSH, False): _WRITTEN,
    (FlushDiskType.ASYNC_FLUSH, True): _WRITTEN,
    (FlushDiskType.SYNC_FLUSH, False): _WRITTEN,
    (FlushDiskType.SYNC_FLUSH, True): _ON_DEVICE,
}
"""By flush mode and ``waitStoreMsgOK``."""


def answers_on_device(mode: FlushDiskType) -> tuple[bool, bool]:
    """Whether an answer waits for the device: of a message with ``waitStoreMsgOK`` false, and with true."""
    return (
        ACKNOWLEDGEMENTS[mode, False].answered is Moment.ON_DEVICE,
        ACKNOWLEDGEMENTS[mode, True].answered is Moment.ON_DEVICE,
    )


def readers_wait_for_device(mode: FlushDiskType) -> bool:
    """Whether consumers get a message only once it is on the device.

    So they do where an answer can wait for it: nobody reads what its producer was not told of and what may
    be gone after a failure.
    """
    return any(answers_on_device(mode))
