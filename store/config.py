"""Keys of a broker's store, with the names and defaults of Java's ``MessageStoreConfig``."""

from __future__ import annotations

from enum import Enum

import attrs

from configuration import DELAYS, HOURS, NOT_EMPTY, ConfigError, setting

__all__ = ["BrokerRole", "FlushDiskType", "MessageStoreConfig", "check_quota", "quota_share"]


class FlushDiskType(Enum):
    """When an answer may be given: at once, or after the bytes are on the device."""

    ASYNC_FLUSH = "ASYNC_FLUSH"
    SYNC_FLUSH = "SYNC_FLUSH"


class BrokerRole(Enum):
    """Place of a broker in its group."""

    ASYNC_MASTER = "ASYNC_MASTER"
    SYNC_MASTER = "SYNC_MASTER"
    SLAVE = "SLAVE"


@attrs.define(kw_only=True)
class MessageStoreConfig:
    """What the store obeys; sizes in bytes, times in the unit that the help names."""

    store_path_root_dir: str = setting(
        "~/store", form=NOT_EMPTY, help="Directory of everything a broker stores."
    )
    store_path_commit_log: str | None = setting(
        None,
        help="Directory of the commit log, or several separated by commas, which get its files in turn;"
        " empty: <root>/commitlog.",
    )
    read_only_commit_log_store_paths: str | None = setting(
        None,
        help="More directories of the commit log, separated by commas, that get no new files: theirs are read"
        " and, when their time has come, deleted.",
    )
    store_path_consume_queue: str | None = setting(
        None, help="Directory of the consume queues; empty: <root>/consumequeue. Java always uses the latter."
    )
    mapped_file_size_commit_log: int = setting(
        1 << 30, ge=1024, le=2**31 - 1, help="Size of a commit log file in bytes."
    )
    mapped_file_size_consume_queue: int = setting(
        6_000_000, ge=20, help="Size of a consume queue file in bytes; rounded up to units of 20."
    )
    flush_disk_type: FlushDiskType = setting(
        FlushDiskType.ASYNC_FLUSH, help="Whether an answer waits until its message is on the device."
    )
    flush_interval_commit_log: int = setting(
        500, ge=1, runtime=True, help="Milliseconds between flushes of the commit log (ASYNC_FLUSH)."
    )
    flush_commit_log_least_pages: int = setting(
        4, ge=0, runtime=True, help="Pages of 4096 bytes that must be dirty for a flush (ASYNC_FLUSH)."
    )
    flush_commit_log_thorough_interval: int = setting(
        10_000, ge=1, runtime=True, help="Milliseconds after which fewer dirty pages are flushed too."
    )
    flush_interval_consume_queue: int = setting(
        1000, ge=1, runtime=True, help="Milliseconds that queue and index entries wait in memory at most."
    )
    flush_consume_queue_thorough_interval: int = setting(
        60_000, ge=1, runtime=True, help="Milliseconds between syncs of queues and index, with checkpoint."
    )
    sync_flush_timeout: int = setting(
        5000,
        ge=1,
        runtime=True,
        help="Milliseconds that a SYNC_FLUSH answer waits before FLUSH_DISK_TIMEOUT.",
    )
    max_message_size: int = setting(4 << 20, ge=10, runtime=True, help="Largest message body in bytes.")
    message_delay_level: str = setting(
        "1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h",
        form=DELAYS,
        help="Delays of the levels from 1 on; units s, m, h, d.",
    )
    message_index_enable: bool = setting(True, help="Build the index that queries by key read.")
    max_hash_slot_num: int = setting(5_000_000, ge=1, help="Hash slots of an index file.")
    max_index_num: int = setting(20_000_000, ge=2, help="Entries of an index file.")
    max_msgs_num_batch: int = setting(64, ge=1, runtime=True, help="Most messages of one query by key.")
    max_filter_message_size: int = setting(
        16_000, ge=20, runtime=True, help="Bytes of a consume queue that one pull looks through."
    )
    max_transfer_bytes_on_message_in_memory: int = setting(
        262_144, ge=1, runtime=True, help="Bytes of one pull answer near the tail; one message always fits."
    )
    max_transfer_count_on_message_in_memory: int = setting(
        32, ge=1, runtime=True, help="Messages of one pull answer near the tail."
    )
    max_transfer_bytes_on_message_in_disk: int = setting(
        65_536, ge=1, runtime=True, help="Bytes of one pull answer far behind the tail."
    )
    max_transfer_count_on_message_in_disk: int = setting(
        8, ge=1, runtime=True, help="Messages of one pull answer far behind the tail."
    )
    access_message_in_memory_max_ratio: int = setting(
        40, ge=0, le=100, runtime=True, help="Percent of the machine's memory that counts as near the tail."
    )
    check_crc_on_recover: bool = setting(
        True, wire="checkCRCOnRecover", help="Check the CRC of bodies while recovering."
    )
    flush_delay_offset_interval: int = setting(
        10_000, ge=1, runtime=True, help="Milliseconds from a delayed delivery to the save of its offset."
    )
    default_query_max_num: int = setting(
        32, ge=0, runtime=True, help="Most messages of a query by unique key; never more than 64."
    )
    file_reserved_time: int = setting(72, ge=0, runtime=True, help="Hours that a commit log file is kept.")
    delete_when: str = setting(
        "04",
        form=HOURS,
        runtime=True,
        help="Hours of the day, ';' between, in which expired files are deleted.",
    )
    disk_max_used_space_ratio: int = setting(
        75, ge=0, le=100, runtime=True, help="Percent of the partition above which expired files go at once."
    )
    disk_space_clean_forcibly_ratio: int = setting(
        85, ge=0, le=100, runtime=True, help="Percent above which unexpired files go too; 30 to 85 in effect."
    )
    disk_space_warning_level_ratio: int = setting(
        90, ge=0, le=100, runtime=True, help="Percent above which messages are refused; 35 to 90 in effect."
    )
    clean_file_forcibly_enable: bool = setting(
        True, runtime=True, help="Allow the deletion of files that are not expired."
    )
    quota_percent_for_disk_partition: float = setting(
        1.0,
        ge=0.0001,
        le=1.0,
        runtime=True,
        help="Share of the commit log's partition that this broker may fill before it deletes its oldest"
        " files; 1: no share, the partition alone counts. Key of RIP-31, which Java brokers do not know.",
    )
    replicas_per_disk_partition: int = setting(
        1,
        ge=1,
        runtime=True,
        help="Brokers that share the partition: a share of 1/n each; 1: no share. Java's way to say"
        " quotaPercentForDiskPartition; if both say something they must agree.",
    )
    logical_disk_space_clean_forcibly_threshold: float = setting(
        0.8,
        ge=0.0,
        le=1.0,
        runtime=True,
        help="Part of its share above which a broker deletes files that are not expired, too.",
    )
    quota_purge_confirmed: bool = setting(
        False,
        runtime=True,
        help="Let a share that is new or smaller than before delete what lies above it; until then nothing is"
        " deleted because of that share. Good for one share: set it to false and to true again for the next."
        " Ours.",
    )
    disk_space_reserved_bytes: int = setting(
        4 << 20,
        ge=0,
        le=2**63 - 1,
        runtime=True,
        help="Free bytes of a partition below which messages are refused and files are deleted, as above"
        " diskSpaceWarningLevelRatio; what is left is for queues, tables and logs. 0: only the ratios count."
        " Ours.",
    )
    clean_resource_interval: int = setting(
        10_000, ge=1, runtime=True, help="Milliseconds between looks at disk space and expired files."
    )
    delete_file_batch_max: int = setting(
        10, ge=1, runtime=True, help="Most commit log files that one pass deletes."
    )
    delete_commit_log_files_interval: int = setting(
        100, ge=0, runtime=True, help="Milliseconds between two deletions of commit log files."
    )
    broker_role: BrokerRole = setting(BrokerRole.ASYNC_MASTER, help="Place of the broker in its group.")
    ha_listen_port: int | None = setting(
        None,
        ge=0,
        le=65535,
        help="Port of the replication link, as Java's containers have it listenPort + 1 when not set; 0 takes"
        " any free one.",
    )
    hot_tail_bytes: int = setting(
        256 << 20, ge=0, help="Bytes behind the log's tail that reads take from the mapping unasked. Ours."
    )
    max_unwritten_entries: int = setting(
        600_000, ge=1, help="Queue entries in memory above which messages are refused as busy. Ours."
    )


_SHARE_TOLERANCE = 0.02


def quota_share(config: MessageStoreConfig) -> float:
    """The share of its partition that a broker may fill, 0 < share <= 1; 1 means no quota.

    The defaults of both keys say nothing, because a file that a program wrote holds every key.
    """
    if config.quota_percent_for_disk_partition < 1:
        return config.quota_percent_for_disk_partition
    return 1 / config.replicas_per_disk_partition


def check_quota(config: MessageStoreConfig) -> None:
    """Refuse two shares that contradict each other; 0.33 and a third do not.

    Raises:
        ConfigError: quotaPercentForDiskPartition and replicasPerDiskPartition differ.
    """
    percent, replicas = config.quota_percent_for_disk_partition, config.replicas_per_disk_partition
    if percent < 1 and replicas > 1 and abs(percent * replicas - 1) > _SHARE_TOLERANCE:
        raise ConfigError(
            None,
            None,
            "quotaPercentForDiskPartition",
            f"{percent:g} and replicasPerDiskPartition={replicas} (a share of {1 / replicas:.4g}) contradict"
            " each other: leave one of them out",
        )
