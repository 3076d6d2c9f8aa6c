"""`-p` and `-m`: the effective configuration as `key=value` lines, all keys or Java's important ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from configuration import settings_of
from configuration.fields import to_text

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["IMPORTANT_KEYS", "print_config"]

_IMPORTANT = """
    brokerName brokerClusterName brokerId namesrvAddr listenPort brokerIP1 recoverConcurrently
    autoCreateTopicEnable autoCreateSubscriptionGroup msgTraceTopicName traceTopicEnable
    rejectTransactionMessage fetchNameSrvAddrByDnsLookup fetchNamesrvAddrByAddressServer transactionTimeOut
    transactionCheckMax transactionCheckInterval aclEnable brokerContainerIP
    storePathRootDir storePathCommitLog flushIntervalCommitLog commitIntervalCommitLog flushCommitLogTimed
    deleteWhen fileReservedTime deleteFileBatchMax maxTransferBytesOnMessageInMemory
    maxTransferCountOnMessageInMemory maxTransferBytesOnMessageInDisk maxTransferCountOnMessageInDisk
    accessMessageInMemoryMaxRatio messageIndexEnable messageIndexSafe haMasterAddress brokerRole flushDiskType
    cleanFileForciblyEnable transientStorePoolEnable dispatchFromSenderThread wakeCommitWhenPutMessage
    wakeFlushWhenPutMessage enableCleanExpiredOffset totalReplicas inSyncReplicas minInSyncReplicas
    enableAutoInSyncReplicas haFlowControlEnable brokerConfigPaths embeddedNamesrv
    isolateLogEnable logDirectory logLevel logLevels logFormat logConsoleLevel logFileSizeBytes logOldFiles
"""

IMPORTANT_KEYS = frozenset(_IMPORTANT.split())
"""Keys that Java marks with `@ImportantField`, and those of ours without which nobody would find the brokers,
the name server and the log."""


def print_config(configs: Sequence[Any | None], *, important_only: bool) -> None:
    """Prints the keys of `configs`, attrs instances of config classes, in the order of their declaration."""
    for config in filter(None, configs):
        for name, key in settings_of(type(config)).items():
            if important_only and key.wire not in IMPORTANT_KEYS:
                continue
            value = "******" if key.secret else to_text(getattr(config, name), key.separator)
            click.echo(f"{key.wire}={value}")
