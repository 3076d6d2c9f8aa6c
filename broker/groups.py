"""Consumer groups of one broker: what each may do, and the topics that it is forbidden.

Mirrors `org.apache.rocketmq.broker.subscription.SubscriptionGroupManager`; the file is
`config/subscriptionGroup.json`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import attrs
import msgspec

from broker.attributes import GROUP_ATTRIBUTES, altered
from broker.saved_table import SavedTable
from broker.table_content import int64, optional_section, section
from broker.versions import next_version, version_from
from remoting.errors import BodyFault
from remoting.protocol.admin_body import SubscriptionGroupConfig
from remoting.protocol.body import DataVersion
from remoting.protocol.message import group_fault

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from broker.config import BrokerConfig
    from store import ConfigTable

__all__ = ["PRESET_GROUPS", "SubscriptionGroupManager"]

_log = logging.getLogger("rocketmq.broker")

PRESET_GROUPS = (
    "TOOLS_CONSUMER",
    "FILTERSRV_CONSUMER",
    "SELF_TEST_C_GROUP",
    "CID_ONS-HTTP-PROXY",
    "CID_ONSAPI_PULL",
    "CID_ONSAPI_PERMISSION",
    "CID_ONSAPI_OWNER",
    "CID_RMQ_SYS_TRANS",
)
_SYSTEM_PREFIX = "CID_RMQ_SYS_"


class SubscriptionGroupManager:
    """The group table, and per group and topic the bits of what is forbidden."""

    def __init__(self, config: BrokerConfig, file: ConfigTable, *, clock_ms: Callable[[], int]) -> None:
        self._config = config
        self._clock_ms = clock_ms
        self.data_version = DataVersion(counter=0, state_version=0, timestamp=clock_ms())
        self.file = SavedTable(file, snapshot=self._snapshot, to_json_object=_to_json_object)
        self._table = {name: SubscriptionGroupConfig(group_name=name) for name in PRESET_GROUPS}
        self._forbidden: dict[str, dict[str, int]] = {}

    def load(self) -> None:
        """Read the file over the presets. Blocks; call it in a worker thread before the broker serves.

        Raises:
            StoreCorruptError: it is damaged, and so is its backup.
            StoreIOError: it cannot be read.
        """
        found = self.file.load(_parsed)
        if found is None:
            self.file.changed()
            return
        version, forbidden, table = found
        self._table.update(table)
        self._forbidden.update(forbidden)
        self.data_version = version or self.data_version

    @property
    def table(self) -> Mapping[str, SubscriptionGroupConfig]:
        """Every group by name. Change it through the methods only."""
        return self._table

    @property
    def forbidden_table(self) -> Mapping[str, Mapping[str, int]]:
        """Bits of what is forbidden, by group and topic."""
        return self._forbidden

    def contains(self, group: str) -> bool:
        """Whether the group exists, without creating it."""
        return group in self._table

    def find(self, group: str) -> SubscriptionGroupConfig | None:
        """The group, created if need be and allowed; None when it is neither there nor to be created."""
        found = self._table.get(group)
        if found is not None:
            return found
        is_system = group.startswith(_SYSTEM_PREFIX) and self._config.enable_create_sys_group
        if not (self._config.auto_create_subscription_group or is_system) or group_fault(group) is not None:
            return None
        created = self._table[group] = SubscriptionGroupConfig(group_name=group)
        _log.info("group %s created", group)
        self._changed()
        return created

    def update(self, *requested: SubscriptionGroupConfig) -> None:
        """Create or change groups as an administrator asked; all or none.

        Raises:
            CommandError: code 1, the attributes are not acceptable.
        """
        result = []
        for group in requested:
            old = self._table.get(group.group_name)
            current = None if old is None else old.attributes or {}
            attributes = altered(GROUP_ATTRIBUTES, current, group.attributes or {})
            result.append(msgspec.structs.replace(group, attributes=attributes))
        for group in result:
            _log.info("group %s set to %s", group.group_name, group)
            self._table[group.group_name] = group
        self._changed()

    def delete(self, group: str) -> bool:
        """Forget a group; False when there was none."""
        self._forbidden.pop(group, None)
        if self._table.pop(group, None) is None:
            return False
        _log.info("group %s deleted", group)
        self._changed()
        return True

    def forbidden(self, group: str, topic: str, bit: int) -> bool:
        """Whether what `bit` stands for is forbidden to the group in the topic (bit 1 is reading)."""
        if not self._forbidden:
            return False
        return bool(self._forbidden.get(group, {}).get(topic, 0) >> bit & 1)

    def part(self, version: DataVersion | None, first: int, most: int) -> dict[str, SubscriptionGroupConfig]:
        """`most` groups from number `first` on, by name; from the beginning when `version` is not ours."""
        begin = first if version == self.data_version else 0
        names = sorted(self._table)[begin : begin + most]
        return {name: self._table[name] for name in names}

    def _changed(self) -> None:
        self.data_version = next_version(self.data_version, self._clock_ms())
        self.file.changed()

    def _snapshot(self) -> _Snapshot:
        forbidden = {group: dict(topics) for group, topics in self._forbidden.items()}
        return _Snapshot(self.data_version, forbidden, dict(self._table))


@attrs.frozen
class _Snapshot:
    data_version: DataVersion
    forbidden: dict[str, dict[str, int]]
    table: dict[str, SubscriptionGroupConfig]


def _parsed(
    content: dict[str, Any],
) -> tuple[DataVersion | None, dict[str, dict[str, int]], dict[str, SubscriptionGroupConfig]]:
    table = {}
    for key, value in section(content, "subscriptionGroupTable").items():
        group = SubscriptionGroupConfig.from_json_object(value)
        if group.group_name and group.group_name != str(key):
            raise BodyFault(f"has group {key!r} under the name {group.group_name!r}")
        table[str(key)] = group
    forbidden = optional_section(content, "forbiddenTable")
    return (
        version_from(content),
        {
            str(name): {
                str(topic): int64(bits, f"forbiddenTable of {name}")
                for topic, bits in section(forbidden, name).items()
            }
            for name in forbidden
        },
        table,
    )


def _to_json_object(snapshot: _Snapshot) -> dict[str, Any]:
    return {
        "dataVersion": snapshot.data_version.to_json_object(),
        "forbiddenTable": snapshot.forbidden,
        "subscriptionGroupTable": {name: group.to_json_object() for name, group in snapshot.table.items()},
    }
