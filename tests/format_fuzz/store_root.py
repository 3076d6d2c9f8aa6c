"""Stores to damage, and the question what became of them.

Whatever happened to a file, a store either says which file is wrong and refuses, or opens, and then

- gives no bytes that were not written,
- has lost nothing but what the damaged bytes of the commit log held, and has said so,
- uses no queue offset again that a message had,
- takes messages, and has the same content after the next stop and start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from remoting.protocol.message import decode_message, encode_host, tags_code
from store import (
    ManualClock,
    Message,
    MessageStore,
    MessageStoreConfig,
    StoreError,
    StoreIOError,
)
from store.index_file import HEADER_BYTES
from store.message_codec import frame_of
from tests.format_fuzz.outcome import FuzzError, QuickDisk
from tests.store_reader import UnsoundError, parse_message

if TYPE_CHECKING:
    from pathlib import Path

    from tests.format_fuzz.damage import Damage
    from tests.format_fuzz.outcome import Said

START_MS = 1_700_000_000_000
LOG_FILE_BYTES = 4096
COUNT = 90
_AROUND_MS = 2000
LONG_TOPIC = "L" * 200
KINDS = ("clean", "killed", "aged", "aged-killed")
_HOSTS = (encode_host("10.1.2.3", 4567), encode_host("2001:db8::1", 4567))


def make_store(root: Path, now_ms: int = START_MS + 3_600_000) -> MessageStore:
    """A store of small files, not open."""
    config = MessageStoreConfig(
        store_path_root_dir=str(root),
        mapped_file_size_commit_log=LOG_FILE_BYTES,
        mapped_file_size_consume_queue=200,
        max_hash_slot_num=50,
        max_index_num=60,
        disk_max_used_space_ratio=100,
        disk_space_reserved_bytes=0,
        delete_commit_log_files_interval=0,
    )
    return MessageStore(
        config,
        broker_name="broker-a",
        store_host=("10.9.8.7", 10911),
        files=QuickDisk(),
        clock=ManualClock(now_ms),
    )


@attrs.frozen
class Stored:
    """One message as it lies in the log."""

    topic: str
    queue_id: int
    queue_offset: int
    physical: int
    size: int
    body: bytes
    key: str
    stored_ms: int


@attrs.frozen
class Template:
    """A store that was closed, and everything in it."""

    root: Path
    messages: tuple[Stored, ...]
    tail: int
    min_physical: int
    is_clean: bool
    durable: int
    """Up to here the checkpoint, or the clean stop, says that the log is on the device."""


def make_template(root: Path, kind: str) -> Template:
    """A store in `root`: closed in order or killed, from its beginning on or with its first files expired."""
    store = make_store(root, START_MS)
    clock: Any = store._clock
    store.reserve()
    store.load()
    stored: list[Stored] = []
    durable = 0
    for number in range(COUNT):
        clock.advance(200)
        message = _message(number)
        body = bytes(message.body)
        [result] = store.put([message])
        assert result.status.name == "PUT_OK"
        end, size = result.end_offset, result.size
        stored.append(
            Stored(
                message.topic,
                message.queue_id,
                result.queue_offset,
                end - size,
                size,
                body,
                message.keys[0],
                clock.now_ms(),
            )
        )
        if number in (30, 60):
            store._behind.write_blocking()
            store._log.sync_from(store._log.flushed)
            store._log.flushed = store._log.tail
            store._flush.flushed_timestamp = store._last_store_timestamp
            store._behind.sync_blocking(store._dispatcher.timestamp)
            durable = store.max_phy_offset
    if kind.startswith("aged"):
        for _ in range(2):
            _expire_first_file(store)
    min_physical, tail = store.min_phy_offset, store.max_phy_offset
    if kind.endswith("killed"):
        store._behind.write_blocking()
    else:
        store.shutdown()
        durable = tail
    store.release()
    return Template(root, tuple(stored), tail, min_physical, not kind.endswith("killed"), durable)


def _expire_first_file(store: MessageStore) -> None:
    store._behind.write_blocking()
    minimum = store._log.remove_first_file()
    for queue in store._queues.queues.values():
        queue.delete_expired_files(minimum)
        queue.correct_min_offset(minimum)
    if store._index is not None:
        store._index.delete_expired_files(minimum)


def _message(number: int) -> Message:
    topic = LONG_TOPIC if number % 9 == 4 else "Idle" if number in (1, 70) else "TopicTest"
    key = f"U{number:08d}"
    properties = f"UNIQ_KEY\x01{key}\x02TAGS\x01A\x02".encode()
    return Message(
        topic,
        number % 2 if topic == "TopicTest" else 0,
        number,
        0,
        START_MS - 5,
        _HOSTS[number % 7 == 3],
        f"body-{number}".encode() * (1 + number % 5),
        properties,
        tags_code("A"),
        (key,),
    )


def outcome(template: Template, root: Path, damage: Damage, said: Said) -> str:
    """What a store does with `root`, a copy of `template` that got `damage`; see `run_trial`."""
    store = make_store(root)
    try:
        store.reserve()
        store.load()
    except StoreError as error:
        _close(store)
        if not any(path.name in str(error) or _is_missing(path, str(error)) for path in damage.paths):
            raise FuzzError(f"refused without the name of the file: {error}") from error
        if isinstance(error, StoreIOError) and damage.kind not in ("directory", "denied", "loop"):
            raise FuzzError(f"an error of the disk where there was none: {error}") from error
        return f"refused: {error}"
    except BaseException:
        _close(store)
        raise
    try:
        if damage.kind == "swap" and all(path.parent.name == "commitlog" for path in damage.paths):
            raise FuzzError("log files in each other's place are taken, though nothing in them is lost")
        lost = _check_content(store, template, damage, said)
        ends = {(topic, queue_id): store.max_offset(topic, queue_id) for topic, queue_id in _queues(template)}
        first = _readable(store, template, damage)
    finally:
        _close(store)
    again = make_store(root)
    try:
        again.reserve()
        again.load()
        report = again.recovery
        if report is None or not report.clean:
            raise FuzzError("no clean stop after it")
        second = _readable(again, template, damage)
        if first != second:
            raise FuzzError(f"not the same after the next stop: {_difference(first, second)}")
        for (topic, queue_id), end in ends.items():
            if again.max_offset(topic, queue_id) != end:
                raise FuzzError(f"{topic}-{queue_id} ends elsewhere after the next stop")
    finally:
        _close(again)
    return f"recovered without {lost} messages" if lost else "recovered"


def _close(store: MessageStore) -> None:
    try:
        store.shutdown()
    finally:
        store.release()


def _queues(template: Template) -> set[tuple[str, int]]:
    return {(each.topic, each.queue_id) for each in template.messages}


def _difference(first: dict[Any, Any], second: dict[Any, Any]) -> str:
    return str(sorted({key for key in first.keys() | second.keys() if first.get(key) != second.get(key)})[:5])


def _readable(store: MessageStore, template: Template, damage: Damage) -> dict[tuple[str, int, int], bytes]:
    """Every undamaged message that a consumer gets, by topic, queue and offset.

    Raises:
        FuzzError: it gets what is no message.
    """
    found: dict[tuple[str, int, int], bytes] = {}
    for topic, queue_id in sorted(_queues(template)):
        offset = store.min_offset(topic, queue_id)
        while 0 <= offset < store.max_offset(topic, queue_id):
            result = store._reader.get(topic, queue_id, offset, 32, 1 << 20, None, blocking=True)
            if result is None or result.next_begin_offset <= offset:
                raise FuzzError(f"a reader of {topic}-{queue_id} cannot go on from {offset}: {result}")
            for buffer in result.buffers:
                at = 0
                while at < len(buffer):
                    size, _ = frame_of(buffer, at)
                    physical = int.from_bytes(buffer[at + 28 : at + 36], "big")
                    if _is_hit(physical, size, damage):
                        at += size
                        continue
                    message = decode_message(bytes(buffer), at)
                    key = message.topic, message.queue_id, message.queue_offset
                    if key[:2] != (topic, queue_id) or key in found or not offset <= key[2]:
                        raise FuzzError(f"a reader of {topic}-{queue_id} at {offset} gets {key}")
                    found[key] = message.body
                    at += size
            offset = result.next_begin_offset
    return found


def _check_content(store: MessageStore, template: Template, damage: Damage, said: Said) -> int:
    """How many messages are lost.

    Raises:
        FuzzError: one that must not be.
    """
    expected = {
        (each.topic, each.queue_id, each.queue_offset): each
        for each in template.messages
        if each.physical >= template.min_physical
    }
    bodies = _readable(store, template, damage)
    damaged = {key for key, each in expected.items() if _is_hit(each.physical, each.size, damage)}
    for key, body in bodies.items():
        if key not in expected or expected[key].body != body:
            raise FuzzError(f"{key} was never written so")
    missing = expected.keys() - bodies.keys()
    if damage.kind == "remove" and damage.paths[0].name == f"{template.min_physical:020d}":
        said.lines.append(f"{damage.paths[0]}: as if it had expired")
    if template.durable < template.tail:  # behind it a record that is not sound is the end of the log
        durable = 0 if any(path.name == "checkpoint" for path in damage.paths) else template.durable
        first = max(_first_byte(template, damage), durable)
        damaged |= {key for key, each in expected.items() if each.physical >= first}
    start = 0 if store.recovery is None else store.recovery.start
    for key, each in expected.items():
        is_read = each.physical >= start and _is_hit(each.physical, each.size, damage)
        if is_read and _is_consumable(store, each) and not _still_sound(each, damage):
            raise FuzzError(f"{key} is handed out, which recovery has read and is not sound")
    missing = {key for key in missing if not _is_consumable(store, expected[key])}
    if missing - damaged:
        raise FuzzError(f"lost without need: {sorted(missing - damaged)[:5]}")
    missing = {key for key in missing if not _still_sound(expected[key], damage)}
    names = {str(path.parent) for path in damage.paths} | {repr(topic) for topic, _, _ in missing}
    if missing and not any(name in line for name in names for line in said.lines):
        raise FuzzError(f"lost without a word: {sorted(missing)[:5]}")
    if not _is_index_content(damage):
        # The times of a file follow those of its first and last message, damaged as they may be.
        around = 1 << 61 if any(path.parent.name == "commitlog" for path in damage.paths) else _AROUND_MS
        for key, each in expected.items():
            if key in bodies and key not in damaged and not _found_by_key(store, each, around):
                raise FuzzError(f"{each.key} at {each.physical} is not found by its key")
    for topic, queue_id in sorted(_queues(template)):
        taken = [offset for name, number, offset in expected if (name, number) == (topic, queue_id)]
        number = COUNT + queue_id
        message = _message(number)
        message.topic, message.queue_id = topic, queue_id
        [result] = store.put([message])
        if result.status.name != "PUT_OK":
            raise FuzzError(f"{topic}-{queue_id} takes no message: {result.status.name}")
        # Where the queue ended is known by the stop, whatever became of its messages.
        is_known = template.is_clean and all(path.name != "queueEnds" for path in damage.paths)
        is_lost = (topic, queue_id, max(taken, default=0)) in damaged and not is_known
        if taken and result.queue_offset <= max(taken) and not is_lost:
            raise FuzzError(f"offset {result.queue_offset} of {topic}-{queue_id} is used again")
    return len(missing)


def _is_hit(physical: int, size: int, damage: Damage) -> bool:
    """Whether bytes of the message were damaged."""
    return any(
        physical < int(path.name) + end and int(path.name) + start < physical + size
        for path in damage.paths
        if path.parent.name == "commitlog"
        for start, end in damage.ranges
    )


def _first_byte(template: Template, damage: Damage) -> int:
    """First commit log offset that was damaged."""
    logs = [path for path in damage.paths if path.parent.name == "commitlog"]
    return min((int(path.name) + damage.ranges[0][0] for path in logs), default=template.tail)


def _still_sound(each: Stored, damage: Damage) -> bool:
    """Whether only bytes of the message were damaged that its checksum does not cover."""
    base = each.physical - each.physical % LOG_FILE_BYTES
    path = next((path for path in damage.paths if path.name == f"{base:020d}"), None)
    if path is None or not path.is_file() or not _is_hit(each.physical, each.size, damage):
        return False
    record = path.read_bytes()[each.physical - base :][: each.size]
    try:
        return parse_message(record).physical == each.physical
    except UnsoundError:
        return False


def _is_consumable(store: MessageStore, each: Stored) -> bool:
    """Whether a damaged message is handed out: its consumer checks what its CRC covers."""
    units = store.consume_queue_units(each.topic, each.queue_id, each.queue_offset, 1)
    return bool(units) and units[0][:2] == (each.physical, each.size)


def _is_missing(path: Path, text: str) -> bool:
    """Whether `text` says that the file is gone; the next one is what shows it."""
    return not path.exists() and f"{path.parent}/" in text and "one is missing" in text


def _is_index_content(damage: Damage) -> bool:
    """Slots and entries of the index have no checksum, and are too many to be read at each start."""
    return (
        damage.paths[0].parent.name == "index"
        and damage.kind in ("flip", "flip_head", "flip_written", "zero_pages", "garble", "replace")
        and any(end > HEADER_BYTES for _, end in damage.ranges)
    )


def _found_by_key(store: MessageStore, each: Stored, around_ms: int) -> bool:
    result = store.query(each.topic, each.key, 64, each.stored_ms - around_ms, each.stored_ms + around_ms)
    return any(decode_message(bytes(buffer), 0).body == each.body for buffer in result.buffers)
