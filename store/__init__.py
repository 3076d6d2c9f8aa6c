"""One broker's disk: commit log, consume queues, index, recovery, retention.

Byte-compatible with the files of RocketMQ 5.5. `MessageStore` is what a broker uses.
"""

from store.clock import Clock, ManualClock, SystemClock
from store.config import BrokerRole, FlushDiskType, MessageStoreConfig
from store.config_table import ConfigTable
from store.consume_queue import Boundary
from store.disk_space import DiskUse
from store.errors import StoreCorruptError, StoreError, StoreIOError, StoreLockedError
from store.files import DiskSpace, FileSystem, OsFileSystem, StoreFile
from store.message_store import MessageStore
from store.records import Arrival, GetResult, GetStatus, Message, PutResult, PutStatus, QueryResult
from store.recovery import RecoveryReport
from store.runtime_table import StoreStatistics

__all__ = [
    "Arrival",
    "Boundary",
    "BrokerRole",
    "Clock",
    "ConfigTable",
    "DiskSpace",
    "DiskUse",
    "FileSystem",
    "FlushDiskType",
    "GetResult",
    "GetStatus",
    "ManualClock",
    "Message",
    "MessageStore",
    "MessageStoreConfig",
    "OsFileSystem",
    "PutResult",
    "PutStatus",
    "QueryResult",
    "RecoveryReport",
    "StoreCorruptError",
    "StoreError",
    "StoreFile",
    "StoreIOError",
    "StoreLockedError",
    "StoreStatistics",
    "SystemClock",
]
