"""The body of GET_CONTAINER_STATUS (20902), a code of ours: a container and its brokers at one moment.

Java's container answers no such question; its tools see each broker alone. Names on the wire are camelCase,
as everywhere.
"""

from __future__ import annotations

from msgspec import field

from remoting.protocol.body_fields import Body

__all__ = ["BrokerStatus", "ContainerStatus"]


class BrokerStatus(Body, frozen=True, kw_only=True):
    """One broker of a container, also one that failed. Times are milliseconds since the epoch."""

    cluster_name: str = ""
    broker_name: str = ""
    broker_id: int = 0
    role: str = ""
    """ASYNC_MASTER, SYNC_MASTER or SLAVE."""
    state: str = ""
    """reserved, starting, running, stopping or failed."""
    reason: str | None = None
    """Why it failed."""
    retry_in_millis: int | None = None
    """Time until the next attempt to start a failed broker; None when there will be none."""
    restarts: int = 0
    """Attempts to start it again since it was added."""
    config_path: str | None = None
    """Its file; None for a broker that a program configured."""
    saved: bool = False
    """The container's file names it, so it is there after a restart of the process."""
    address: str = ""
    """`ip:port` given to clients."""
    listen_port: int = 0
    fast_port: int = 0
    ha_port: int = 0
    store_path: str = ""
    share: float = 1.0
    """Part of the partition that the broker may fill, above 0 and at most 1."""
    quota_bytes: int = 0
    used_bytes: int = 0
    disk_used_ratio: float = -1.0
    """Used part of the partition, whoever uses it; -1 unknown."""
    disk_note: str | None = None
    """What an operator should know: messages are refused, a purge waits for its confirmation."""
    earliest_message_time: int = -1
    """Store time of the oldest message; -1 when there is none."""
    put_tps: float = 0.0
    """Messages stored per second, over the last ten seconds."""
    get_tps: float = 0.0
    """Messages delivered per second, over the last ten seconds."""
    messages_put: int = 0
    connections: int = 0
    buffered_bytes: int = 0
    """Memory that is counted for this broker: answers not yet read, entries not yet written."""


class ContainerStatus(Body, frozen=True, kw_only=True):
    """A process and its brokers."""

    container_addr: str = ""
    pid: int = 0
    version: str = ""
    start_time: int = 0
    name_servers: list[str] = field(default_factory=list)
    resident_bytes: int = 0
    anonymous_bytes: int = 0
    """-1 where the system does not tell."""
    threads: int = 0
    tasks: int = 0
    """Tasks of the event loop."""
    open_files: int = 0
    cpu_seconds: float = 0.0
    """User and system time since the start of the process."""
    stall_longest_millis: float = -1.0
    """Longest time for which the event loop served nobody since the start was over; 0 when it never was a
    millisecond, -1 unknown."""
    stall_recent_millis: float = -1.0
    """The same over the last one to two minutes."""
    lateness_p999_millis: float = -1.0
    """What somebody who comes at a random moment waits for the loop at most, in 999 of 1000 cases; 0 when it
    is less than a millisecond, -1 unknown."""
    computing_longest_millis: float = -1.0
    """Longest stall if each had only lasted for the CPU time that the process used in it: what is above, and
    not here, is waiting for a core of the machine or for a disk. -1 unknown."""
    computing_p999_millis: float = -1.0
    """`lateness_p999_millis` in the same way."""
    loop_computing_longest_millis: float = -1.0
    """Longest stall by the CPU time that the loop itself used in it; what is left, worker threads used."""
    loop_computing_p999_millis: float = -1.0
    """`lateness_p999_millis` in the same way."""
    dropped_log_lines: int = 0
    brokers: list[BrokerStatus] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    """What concerns several brokers or the process: shares of a partition that add up to more than all of it,
    log files that take no lines."""
