r"""Delayed delivery by levels: messages wait in SCHEDULE_TOPIC_XXXX and are stored again when they are due.

All messages of a level wait equally long, so each queue is ordered by due time and its head says when
there is something to do. The service sleeps until the earliest head is due, or until a message comes to a
level in which none waited: nothing is polled, and delivery starts as soon as the timer fires. What is due
is put in batches.

**Exactly once.** A level's delivery offset moves in the same step of the event loop that stores the
copies, and is written to delayOffset.json within flushDelayOffsetInterval (10 s) and at the stop, after the
last delivery. So a clean restart delivers each message once. After a crash the deliveries since the last
write of the file are done again, those of one interval at most; a message is never lost, because offsets on
disk only trail. Java: ScheduleMessageService, with the same file.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import trio

from broker.saved_table import SavedTable
from broker.stored_message import take_apart
from broker.table_content import int64, section
from broker.versions import next_version, version_from
from remoting.protocol.body import DataVersion
from remoting.protocol.message import (
    RMQ_SYS_SCHEDULE_TOPIC,
    RMQ_SYS_TRANS_HALF_TOPIC,
    decode_properties,
    tags_code,
)
from store import ConfigTable, Message, PutStatus, StoreError
from store.worker_threads import in_service_thread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.context import BrokerContext
    from store import Arrival

__all__ = ["ScheduleMessageService", "queue_of_level"]

_log = logging.getLogger("rocketmq.broker")

_UNITS_PER_LOOK = 64
_BATCH_BYTES = 1 << 20
_RETRY_AFTER_MS = 100
_CLOCK_TOLERANCE_MS = 10_000
_LONGEST_SLEEP_S = 60.0
"""Bound for the effect of a wall clock that is set forward while something waits."""
_NEVER_DELIVERABLE = (PutStatus.MESSAGE_ILLEGAL, PutStatus.PROPERTIES_SIZE_EXCEEDED)


def queue_of_level(level: int) -> int:
    """Queue of SCHEDULE_TOPIC_XXXX in which messages of `level` wait."""
    return level - 1


class ScheduleMessageService:
    """Delay levels of one broker, and what waits in them.

    Args:
        context: its store, clock and statistics are used; the store must be loaded when :meth:`load` runs.
        file: delayOffset.json, for tests; by default in `config/` below the store's root.
    """

    def __init__(self, context: BrokerContext, file: ConfigTable | None = None) -> None:
        self._context = context
        self.levels = context.store.delay_levels
        root = context.store_config.store_path_root_dir
        self.file = SavedTable(
            file or ConfigTable(f"{root}/config/delayOffset.json"),
            snapshot=self._snapshot,
            to_json_object=_to_json_object,
            before=context.store.flush,  # a loss of power must not take a copy that counts as delivered
        )
        self.data_version = DataVersion(counter=0, state_version=0, timestamp=context.clock_ms())
        self._offsets: dict[int, int] = {}
        self._due_ms: dict[int, int] = {}
        self._deliveries = 0
        self._wake = trio.Event()
        self._sleeping_until_ms: int | None = None

    # Putting messages in

    def redirect(self, message: Message, level: int) -> None:
        """Let `message` wait before it reaches its topic; its DELAY property must say `level`.

        The store takes the time of delivery from that property.
        """
        message.properties += f"REAL_TOPIC\x01{message.topic}\x02REAL_QID\x01{message.queue_id}\x02".encode(
            "utf-8", "replace"
        )
        message.topic = RMQ_SYS_SCHEDULE_TOPIC
        message.queue_id = queue_of_level(min(level, self.levels.maximum))

    def on_arrival(self, arrivals: Sequence[Arrival]) -> None:
        """Listener of the store: a level that was empty may have something to wait for now."""
        for arrival in arrivals:
            if arrival.topic != RMQ_SYS_SCHEDULE_TOPIC:
                continue
            level = arrival.queue_id + 1
            if level in self._due_ms or level > self.levels.maximum:
                continue
            self._due_ms[level] = self._due(level, arrival.tags_code)
            if self._sleeping_until_ms is None or self._due_ms[level] < self._sleeping_until_ms:
                self._wake.set()

    # State

    def load(self) -> None:
        """Read the file and bring offsets within what the store has. Blocks; the store must be loaded.

        Raises:
            StoreCorruptError: it is damaged, and so is its backup.
            StoreIOError: it cannot be read.
        """
        found = self.file.load(_parsed)
        if found is not None:
            version, offsets = found
            self._offsets.update(offsets)
            self.data_version = version or self.data_version
        store = self._context.store
        for level in range(1, self.levels.maximum + 1):
            queue_id = queue_of_level(level)
            lowest = max(store.min_offset(RMQ_SYS_SCHEDULE_TOPIC, queue_id), 0)
            highest = max(store.max_offset(RMQ_SYS_SCHEDULE_TOPIC, queue_id), lowest)
            offset = self._offsets.get(level, 0)
            corrected = min(max(offset, lowest), highest)
            if corrected != offset:
                _log.error("delay level %d: offset %d corrected to %d", level, offset, corrected)
            if level in self._offsets or corrected:
                self._offsets[level] = corrected
            if corrected < highest:
                self._due_ms[level] = 0

    @property
    def offsets(self) -> dict[int, int]:
        """Offset of the next message to deliver, by level; levels never used are left out."""
        return dict(self._offsets)

    def to_json_object(self) -> dict[str, Any]:
        """The content of delayOffset.json as it would be written now (code 45)."""
        return _to_json_object(self._snapshot())

    def runtime_info(self) -> dict[str, str]:
        """`scheduleMessageOffset_<level>` = `delivered,stored` for code 28, of levels ever used."""
        store = self._context.store
        info = {}
        for level in sorted(self._offsets.keys() | self._due_ms.keys()):
            offset = self._offsets.get(level, 0)
            stored = store.max_offset(RMQ_SYS_SCHEDULE_TOPIC, queue_of_level(level))
            info[f"scheduleMessageOffset_{level}"] = f"{offset},{stored}"
        return info

    def _snapshot(self) -> tuple[DataVersion, dict[int, int]]:
        return self.data_version, dict(self._offsets)

    # Delivery

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Deliver until cancelled, then save the offsets. :meth:`load` must have run."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                self.file.run, lambda: self._context.store_config.flush_delay_offset_interval / 1000
            )
            task_status.started()
            try:
                await self._deliver_for_ever()
            finally:
                with trio.CancelScope(shield=True):
                    await self._save_last()

    async def _save_last(self) -> None:
        """A full disk must not keep the broker from stopping; what was delivered since is delivered again."""
        try:
            await self.file.saved()
        except StoreError as error:
            _log.error("delay offsets are not saved: %s", error)

    async def _deliver_for_ever(self) -> None:
        while True:
            self._wake = trio.Event()
            now_ms = self._context.clock_ms()
            for level in [level for level, due_ms in self._due_ms.items() if due_ms <= now_ms]:
                await self._deliver_due(level)
                await trio.lowlevel.checkpoint()
            if self._due_ms and min(self._due_ms.values()) <= self._context.clock_ms():
                continue
            await self._sleep()

    async def _sleep(self) -> None:
        """Return when the earliest head is due or an earlier one came."""
        self._sleeping_until_ms = min(self._due_ms.values(), default=None)
        seconds = float("inf")
        if self._sleeping_until_ms is not None:
            seconds = max(self._sleeping_until_ms - self._context.clock_ms(), 0) / 1000
            seconds = min(seconds, _LONGEST_SLEEP_S)
        with trio.move_on_after(seconds):
            await self._wake.wait()
        self._sleeping_until_ms = None

    async def _deliver_due(self, level: int) -> None:
        """Store again what is due at the head of a level, one batch of it; note when the rest is."""
        context = self._context
        store = context.store
        queue_id = queue_of_level(level)
        offset = max(self._offsets.get(level, 0), store.min_offset(RMQ_SYS_SCHEDULE_TOPIC, queue_id))
        head = (RMQ_SYS_SCHEDULE_TOPIC, queue_id, offset, _UNITS_PER_LOOK)
        units = store.consume_queue_units_nowait(*head)
        if units is None:
            units = await in_service_thread(store.consume_queue_units, *head)
        now_ms = context.clock_ms()
        due: list[int] = []
        next_due_ms: int | None = None
        size_bytes = 0
        for position, size, deliver_ms in units:
            due_ms = self._due(level, deliver_ms)
            if due_ms > now_ms or size_bytes > _BATCH_BYTES:
                next_due_ms = due_ms
                break
            due.append(position)
            size_bytes += size
        done = self._store(await self._read(due)) if due else 0
        self._move(level, offset + done)
        if done < len(due):
            next_due_ms = now_ms + _RETRY_AFTER_MS
        elif next_due_ms is None and store.max_offset(RMQ_SYS_SCHEDULE_TOPIC, queue_id) > offset + done:
            next_due_ms = now_ms if units else now_ms + _RETRY_AFTER_MS
        if next_due_ms is None:
            self._due_ms.pop(level, None)
        else:
            self._due_ms[level] = next_due_ms

    async def _read(self, positions: list[int]) -> list[memoryview | bytes | None]:
        """The messages at these places of the log; beside the loop when the disk is needed."""
        store = self._context.store

        def read() -> list[memoryview | bytes | None]:
            return [store.message_at(position) for position in positions]

        if all(map(store.is_hot, positions)):
            return read()
        return await in_service_thread(read)

    def _due(self, level: int, deliver_ms: int) -> int:
        """When to deliver; at once if `deliver_ms` was written by a clock that was far ahead of ours."""
        now_ms = self._context.clock_ms()
        latest_ms = self.levels.deliver_timestamp(level, now_ms) + _CLOCK_TOLERANCE_MS
        return deliver_ms if deliver_ms <= latest_ms else now_ms

    def _store(self, waiting: list[memoryview | bytes | None]) -> int:
        """Store the copies; returns how many from the start of `waiting` are done with."""
        context = self._context
        messages: list[Message] = []
        numbers: list[int] = []
        for number, data in enumerate(waiting):
            message = None if data is None else _restored(data)
            if message is None:
                _log.error("a delayed message is gone or has no topic to go to")
            else:
                messages.append(message)
                numbers.append(number)
        with context.transport.corked():
            results = context.store.put(messages)
        for number, message, result in zip(numbers, messages, results, strict=True):
            if result.status is PutStatus.PUT_OK:
                context.stats.put(message.topic, message.queue_id, 1, result.size)
            else:
                _log.warning("cannot deliver a delayed message to %s: %s", message.topic, result.status.name)
                if result.status not in _NEVER_DELIVERABLE:
                    return number
        return len(waiting)

    def _move(self, level: int, offset: int) -> None:
        if self._offsets.get(level) == offset:
            return
        self._offsets[level] = offset
        self._deliveries += 1
        if self._deliveries % self._context.config.delay_offset_update_version_step == 0:
            self.data_version = next_version(self.data_version, self._context.clock_ms())
        self.file.changed()


def _restored(data: memoryview | bytes) -> Message | None:
    """The message as it was before it had to wait; None when it has no topic to go to."""
    stored = take_apart(data)
    pairs = decode_properties(stored.properties)
    topic, queue_id = pairs.get("REAL_TOPIC"), pairs.get("REAL_QID", "")
    if topic is None or not queue_id.isdecimal() or topic == RMQ_SYS_TRANS_HALF_TOPIC:
        return None
    unique_key = pairs.get("UNIQ_KEY")
    keys = [key for key in pairs.get("KEYS", "").split(" ") if key]
    return Message(
        topic=topic,
        queue_id=int(queue_id),
        flag=stored.flag,
        sys_flag=stored.sys_flag,
        born_timestamp=stored.born_timestamp,
        born_host=stored.born_host,
        body=stored.body,
        properties=stored.properties.encode("utf-8", "replace"),
        tags_code=tags_code(pairs.get("TAGS")),
        keys=tuple([unique_key, *keys] if unique_key else keys),
        reconsume_times=stored.reconsume_times,
    )


def _parsed(content: dict[str, Any]) -> tuple[DataVersion | None, dict[int, int]]:
    offsets = {
        int64(level, "a level of offsetTable"): int64(offset, f"offsetTable of {level}")
        for level, offset in section(content, "offsetTable").items()
    }
    return version_from(content), offsets


def _to_json_object(snapshot: tuple[DataVersion, dict[int, int]]) -> dict[str, Any]:
    data_version, offsets = snapshot
    return {"dataVersion": data_version.to_json_object(), "offsetTable": offsets}
