"""The ``checkpoint`` file and the ``abort`` marker.

checkpoint, 4096 bytes (Java: ``StoreCheckpoint``):

| off | len | field |
|-----|-----|-------|
| 0   | 8   | physicMsgTimestamp: store time of the newest message of the log that is on the device |
| 8   | 8   | logicsMsgTimestamp: the same for consume queues |
| 16  | 8   | indexMsgTimestamp: what `MessageIndex.complete_until` is once all of it is on the device |
| 24  | 8   | masterFlushedOffset |
| 32  | 8   | confirmPhyOffset |

``abort`` exists while a broker runs and holds its process id. A second line ``unsynced`` says that a
sync of the commit log failed: what the page cache shows of it may not be on the device.
"""

from __future__ import annotations

import logging
import os
import struct
from typing import TYPE_CHECKING

import attrs

from store.errors import StoreIOError, StoreMissingError
from store.files import remove_for_good

if TYPE_CHECKING:
    from store.files import FileSystem

log = logging.getLogger("rocketmq.store")

CHECKPOINT_BYTES = 4096
_UNSYNCED = b"\nunsynced\n"
_FIELDS = struct.Struct(">qqqqq")


@attrs.frozen
class Checkpoint:
    """Timestamps in milliseconds, offsets in bytes of the commit log; zero means unknown."""

    physic_msg_timestamp: int = 0
    logics_msg_timestamp: int = 0
    index_msg_timestamp: int = 0
    master_flushed_offset: int = 0
    confirm_phy_offset: int = 0

    @property
    def min_timestamp(self) -> int:
        """From here on derived files may be incomplete: the older of log and queues, less 3 s."""
        return max(0, min(self.physic_msg_timestamp, self.logics_msg_timestamp) - 3000)


def load_checkpoint(path: str, files: FileSystem) -> Checkpoint:
    """Read `path`; a missing or short file is a checkpoint of zeros."""
    try:
        file = files.open(path, writable=False)
    except StoreMissingError:
        return Checkpoint()
    try:
        data = file.pread(_FIELDS.size, 0)
    finally:
        file.close()
    return Checkpoint(*_FIELDS.unpack(data)) if len(data) == _FIELDS.size else Checkpoint()


def save_checkpoint(path: str, checkpoint: Checkpoint, files: FileSystem) -> None:
    """Write in place and sync, as Java does; 40 bytes lie in one sector.

    Raises:
        StoreIOError: the device has this checkpoint or the one before. Both are true, so that it may be
            tried again.
    """
    created = not files.exists(path)
    file = files.open(path, create=True)
    try:
        if file.size() != CHECKPOINT_BYTES:
            file.truncate(CHECKPOINT_BYTES)
        file.pwrite(_FIELDS.pack(*attrs.astuple(checkpoint)), 0)
        file.fdatasync()
    finally:
        file.close()
    if created:
        files.sync_directory(os.path.dirname(path))


class AbortMarker:
    """The ``abort`` file of one store."""

    def __init__(self, path: str, files: FileSystem) -> None:
        self._path = path
        self._files = files

    def present(self) -> bool:
        """True when the last run did not end cleanly."""
        return self._files.exists(self._path)

    def says_unsynced(self) -> bool:
        """True when a sync of the commit log failed, and no start since has written it again."""
        try:
            file = self._files.open(self._path, writable=False)
        except StoreMissingError:
            return False
        try:
            return file.pread(file.size(), 0).endswith(_UNSYNCED)
        finally:
            file.close()

    def create(self, *, unsynced: bool = False) -> None:
        """Make the marker durable; call before the first change to any file.

        That it exists is what counts: on a full disk it stays empty.

        Args:
            unsynced: `says_unsynced`, and it has to go on saying so.
        """
        file = self._files.open(self._path, create=True)
        try:
            try:
                if not unsynced:
                    file.truncate(0)
                    file.pwrite(str(os.getpid()).encode(), 0)
                file.fdatasync()
            except StoreIOError as error:
                if not error.disk_full:
                    raise
                log.warning("the process id is not in it: %s", error)
        finally:
            file.close()
        self._files.sync_directory(os.path.dirname(self._path))

    def note_failed_sync(self) -> None:
        """Say that a sync of the commit log failed.

        No sync follows: the word is for a start that sees the same page cache as this process. One after
        a loss of power sees what is on the device, and needs no warning.
        """
        try:
            file = self._files.open(self._path)
            try:
                file.pwrite(_UNSYNCED, file.size())
            finally:
                file.close()
        except StoreIOError as error:
            log.error("the next start will not know that a sync of the commit log failed: %s", error)

    def remove(self) -> None:
        """Declare a clean stop."""
        if self.present():
            remove_for_good(self._path, self._files)
