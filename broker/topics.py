"""Topics of one broker: which there are, how many queues they have, who may read and write.

Mirrors `org.apache.rocketmq.broker.topic.TopicConfigManager`; the file is `config/topics.json`. Unlike there,
the set of system topics belongs to the broker, not to the process: brokers of a container differ in it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import msgspec

from broker.attributes import TOPIC_ATTRIBUTES, altered
from broker.saved_table import SavedTable
from broker.table_content import section
from broker.versions import next_version, version_from
from remoting.errors import BodyFault
from remoting.protocol.admin_body import TopicConfig
from remoting.protocol.body import DataVersion
from remoting.protocol.message import AUTO_CREATE_TOPIC_KEY_TOPIC, SYSTEM_TOPIC_PREFIX, SYSTEM_TOPICS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from broker.config import BrokerConfig
    from store import ConfigTable

__all__ = ["PERM_INHERIT", "PERM_READ", "PERM_WRITE", "TopicConfigManager"]

_log = logging.getLogger("rocketmq.broker")

PERM_INHERIT = 1
PERM_WRITE = 2
PERM_READ = 4
_READ_WRITE = PERM_READ | PERM_WRITE

_SCHEDULE_QUEUES = 18
_REVIVE_QUEUES = 8


def _no_one(_: Collection[TopicConfig]) -> None:
    """The listener of a manager that nobody listens to."""


class TopicConfigManager:
    """The topic table.

    Args:
        file: topics.json.
        on_change: told of each topic created or changed, after the table has it; registers with the name
            servers. Called in the event loop, must not block.
    """

    def __init__(
        self,
        config: BrokerConfig,
        file: ConfigTable,
        *,
        clock_ms: Callable[[], int],
        on_change: Callable[[Collection[TopicConfig]], None] = _no_one,
    ) -> None:
        self._config = config
        self._clock_ms = clock_ms
        self.on_change = on_change
        self.data_version = DataVersion(counter=0, state_version=0, timestamp=clock_ms())
        self._table: dict[str, TopicConfig] = {}
        self.file = SavedTable(file, snapshot=self._snapshot, to_json_object=_to_json_object)
        presets = list(_preset_topics(config))
        self.system_topics = SYSTEM_TOPICS | {preset.topic_name for preset in presets}
        for preset in presets:
            self._table[preset.topic_name] = preset

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
        version, table = found
        self._table.update(table)
        self.data_version = version or self.data_version

    @property
    def table(self) -> Mapping[str, TopicConfig]:
        """Every topic by name. Change it through the methods only."""
        return self._table

    def get(self, topic: str) -> TopicConfig | None:
        """The topic, or None when this broker does not have it."""
        return self._table.get(topic)

    def is_system(self, topic: str) -> bool:
        """Whether the topic is one of the broker's own, which nobody may create, change or delete."""
        return topic in self.system_topics or topic.startswith(SYSTEM_TOPIC_PREFIX)

    def create_in_send(
        self, topic: str, default_topic: str, client_host: str, default_queue_nums: int, sys_flag: int
    ) -> TopicConfig | None:
        """The topic, created after the example of `default_topic` if need be.

        Returns None when it may not be created: the example is missing or not to be inherited, or it is
        TBW102 and autoCreateTopicEnable is false.
        """
        if (found := self._table.get(topic)) is not None:
            return found
        example = self._table.get(default_topic)
        if example is None:
            _log.warning("topic %s not created: no topic %s, producer %s", topic, default_topic, client_host)
            return None
        barred = default_topic == AUTO_CREATE_TOPIC_KEY_TOPIC and not self._config.auto_create_topic_enable
        if barred or not example.perm & PERM_INHERIT:
            _log.warning(
                "topic %s not created: %s is not to be inherited, producer %s",
                topic, default_topic, client_host,
            )  # fmt: skip
            return None
        queue_nums = max(0, min(default_queue_nums, example.write_queue_nums))
        created = TopicConfig(
            topic_name=topic,
            read_queue_nums=queue_nums,
            write_queue_nums=queue_nums,
            perm=example.perm & ~PERM_INHERIT,
            topic_filter_type=example.topic_filter_type,
            topic_sys_flag=sys_flag,
        )
        _log.info("topic %s created after %s for producer %s", topic, default_topic, client_host)
        self._put([created])
        return created

    def create_in_send_back(
        self, topic: str, queue_nums: int, perm: int, sys_flag: int = 0, *, order: bool = False
    ) -> TopicConfig:
        """The topic, created as told if need be: retry and dead-letter topics and the like.

        An ordered topic stays ordered: only some of the requests that lead here know about it.
        """
        if (found := self._table.get(topic)) is not None:
            if order and not found.order:
                found = msgspec.structs.replace(found, order=True)
                self._put([found])
            return found
        created = TopicConfig(
            topic_name=topic,
            read_queue_nums=queue_nums,
            write_queue_nums=queue_nums,
            perm=perm,
            topic_sys_flag=sys_flag,
            order=order,
        )
        _log.info("topic %s created", topic)
        self._put([created])
        return created

    def update(self, *requested: TopicConfig) -> None:
        """Create or change topics as an administrator asked; attributes carry their `+` and `-`.

        All or none: nothing is changed when one of them is refused.

        Raises:
            CommandError: code 1, the attributes are not acceptable.
        """
        result = []
        for topic in requested:
            old = self._table.get(topic.topic_name)
            current = None if old is None else old.attributes or {}
            attributes = altered(TOPIC_ATTRIBUTES, current, topic.attributes or {})
            result.append(msgspec.structs.replace(topic, attributes=attributes))
        for topic in result:
            _log.info("topic %s set to %s", topic.topic_name, topic)
        self._put(result)

    def delete(self, topic: str) -> bool:
        """Forget a topic; False when there was none."""
        if self._table.pop(topic, None) is None:
            return False
        _log.info("topic %s deleted", topic)
        self._next_version()
        self.file.changed()
        return True

    def set_order_topics(self, topics: Iterable[str]) -> None:
        """Mark the topics that the name server's order configuration names as ordered."""
        changed = [
            msgspec.structs.replace(found, order=True)
            for topic in topics
            if (found := self._table.get(topic)) is not None and not found.order
        ]
        if changed:
            self._put(changed)

    def part(self, version: DataVersion | None, first: int, most: int) -> dict[str, TopicConfig]:
        """`most` topics from number `first` on, by name; from the beginning when `version` is not ours."""
        begin = first if version == self.data_version else 0
        names = sorted(self._table)[begin : begin + most]
        return {name: self._table[name] for name in names}

    def follow_config(self) -> None:
        """Make the example of automatic topics what the configuration says by now.

        It exists when autoCreateTopicEnable became true, and gives as many queues as defaultTopicQueueNums.
        """
        config = self._config
        found = self._table.get(AUTO_CREATE_TOPIC_KEY_TOPIC)
        if not config.auto_create_topic_enable:
            return
        if found is None or found.write_queue_nums != config.default_topic_queue_nums:
            self._put([_automatic(config)])

    def _put(self, topics: list[TopicConfig]) -> None:
        for topic in topics:
            self._table[topic.topic_name] = topic
        self._next_version()
        self.file.changed()
        self.on_change(topics)

    def _next_version(self) -> None:
        self.data_version = next_version(self.data_version, self._clock_ms())

    def _snapshot(self) -> tuple[DataVersion, dict[str, TopicConfig]]:
        return self.data_version, dict(self._table)


def _parsed(content: dict[str, Any]) -> tuple[DataVersion | None, dict[str, TopicConfig]]:
    table = {}
    for key, value in section(content, "topicConfigTable").items():
        topic = TopicConfig.from_json_object(value)
        if topic.topic_name and topic.topic_name != str(key):
            raise BodyFault(f"has topic {key!r} under the name {topic.topic_name!r}")
        table[str(key)] = topic
    return version_from(content), table


def _to_json_object(snapshot: tuple[DataVersion, dict[str, TopicConfig]]) -> dict[str, Any]:
    data_version, table = snapshot
    return {
        "dataVersion": data_version.to_json_object(),
        "topicConfigTable": {name: topic.to_json_object() for name, topic in table.items()},
    }


def _preset_topics(config: BrokerConfig) -> Iterable[TopicConfig]:
    """The topics that every broker has from its first start on."""
    cluster, broker = config.broker_cluster_name, config.broker_name
    cluster_perm = PERM_INHERIT | (_READ_WRITE if config.cluster_topic_enable else 0)
    broker_perm = PERM_INHERIT | (_READ_WRITE if config.broker_topic_enable else 0)
    yield _preset("SELF_TEST_TOPIC", 1)
    if config.auto_create_topic_enable:
        yield _automatic(config)
    yield _preset("BenchmarkTest", 1024)
    yield _preset(cluster, 16, cluster_perm)
    yield _preset(broker, 1, broker_perm)
    yield _preset("OFFSET_MOVED_EVENT", 1)
    yield _preset("SCHEDULE_TOPIC_XXXX", _SCHEDULE_QUEUES)
    if config.trace_topic_enable:
        yield _preset(config.msg_trace_topic_name, 1)
    yield _preset(f"{cluster}_REPLY_TOPIC", 1)
    yield _preset(f"rmq_sys_REVIVE_LOG_{cluster}", _REVIVE_QUEUES)
    yield _preset(f"rmq_sys_SYNC_BROKER_MEMBER_{broker}", 1, PERM_INHERIT)
    yield _preset("RMQ_SYS_TRANS_HALF_TOPIC", 1)
    yield _preset("RMQ_SYS_TRANS_OP_HALF_TOPIC", 1)
    yield _preset("rmq_sys_wheel_timer", 1)


def _automatic(config: BrokerConfig) -> TopicConfig:
    queue_nums = config.default_topic_queue_nums
    return _preset(AUTO_CREATE_TOPIC_KEY_TOPIC, queue_nums, PERM_INHERIT | _READ_WRITE)


def _preset(name: str, queue_nums: int, perm: int = _READ_WRITE) -> TopicConfig:
    return TopicConfig(topic_name=name, read_queue_nums=queue_nums, write_queue_nums=queue_nums, perm=perm)
