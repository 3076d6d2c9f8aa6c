"""One directory, some kills: load, kill -9, read the files, start, read through the broker, and so on."""

from __future__ import annotations

import random
import shutil
import signal
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import trio

from tests.kill.container import KilledContainer
from tests.kill.ledger import number_of
from tests.kill.load import TOPICS, create_topics, load, pull
from tests.kill.wire import connected
from tests.store_reader import Faults, read_checkpoint, read_offsets, split_messages

if TYPE_CHECKING:
    from tests.interop.processes import ChildProcess
    from tests.kill.container import KilledBroker
    from tests.kill.wire import Connection
    from tests.store_reader import StoredMessage, StoreImage

__all__ = ["KillError", "RoundOutcome", "run_round", "run_round_alone"]

_MIN_OFFSET, _MAX_OFFSET, _QUERY_OFFSET, _QUERY_MESSAGE = 31, 30, 14, 12
_MOMENTS = ("load", "load", "load", "load", "load", "load", "start", "stop")
_LONGEST_LOAD_S = 0.4
_LONGEST_START_S = 1.2
_LONGEST_STOP_S = 0.2
_PULLED_EACH_TIME = 400
_QUERIES = 12
_NEAR_BYTES = 4096
_END_TIMEOUT_S = 120


class KillError(Exception):
    """The files, or what the broker says, do not keep what was promised."""


@attrs.define
class RoundOutcome:
    """Counts of one round, of both brokers together.

    Attributes:
        kills: By the moment: under load, while starting, while stopping.
        near_boundary: Kills that left a log tail within a page of the end or the start of a file.
        rolls: Files that the load began, by their kind.
    """

    kills: Counter[str] = attrs.field(factory=Counter)
    near_boundary: int = 0
    rolls: Counter[str] = attrs.field(factory=Counter)
    sent: int = 0
    acknowledged: int = 0
    refused: int = 0
    unanswered: int = 0
    stored_unanswered: int = 0
    read_back: int = 0
    queried: int = 0
    expired_files: int = 0
    torn_tails: int = 0
    commits: int = 0

    def add(self, other: RoundOutcome) -> None:
        for each in attrs.fields(RoundOutcome):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))


async def run_round(directory: Path, seed: str, kills: int) -> RoundOutcome:
    """Kill one container `kills` times, then stop it in order.

    Args:
        directory: Empty; kept by the caller when this raises.
        seed: Settings and moments follow from it; what the processes make of them does not.

    Raises:
        KillError: names what is wrong.
        ProcessError: the container did not come up again, or not go down.
    """
    chance = random.Random(seed)
    container = KilledContainer(directory, chance)
    outcome = RoundOutcome()
    images: dict[str, StoreImage] = {}
    while outcome.kills.total() < kills:
        moment = chance.choice(_MOMENTS) if images else "load"
        await _one_life(container, chance, moment, images, outcome)
    await _last_life(container, chance, images, outcome)
    _count(container, images, outcome)
    return outcome


async def _one_life(
    container: KilledContainer,
    chance: random.Random,
    moment: str,
    images: dict[str, StoreImage],
    outcome: RoundOutcome,
) -> None:
    process = container.start()
    try:
        if moment == "start":
            await trio.sleep(chance.uniform(0, _LONGEST_START_S))
        else:
            await trio.to_thread.run_sync(container.wait_until_ready, process)
            for broker in container.brokers:
                await _prepare(broker, chance, images, outcome)
            await _kill_under_load(container, process, chance, moment)
    finally:
        process.kill()
    outcome.kills[moment] += process.wait(_END_TIMEOUT_S) == -signal.SIGKILL
    for broker in container.brokers:
        images[broker.root.name] = image = _checked_image(broker)
        size = int(str(broker.settings["mappedFileSizeCommitLog"]))
        outcome.near_boundary += min(image.log.tail % size, -image.log.tail % size) <= _NEAR_BYTES
        outcome.torn_tails += bool(image.log.end_reason and "no more files" not in image.log.end_reason)


async def _kill_under_load(
    container: KilledContainer, process: ChildProcess, chance: random.Random, moment: str
) -> None:
    async with trio.open_nursery() as nursery:
        for broker in container.brokers:
            nursery.start_soon(_load, broker, random.Random(chance.random()))
        await trio.sleep(chance.uniform(0, _LONGEST_LOAD_S))
        if moment == "stop":
            process.signal(signal.SIGTERM)
            await trio.sleep(chance.uniform(0, _LONGEST_STOP_S))
        process.signal(signal.SIGKILL)


async def _load(broker: KilledBroker, chance: random.Random) -> None:
    try:
        await load(broker.port, broker.ledger, chance, delays=broker.delays)
    except* OSError:
        pass  # killed before it took the connection


def _checked_image(broker: KilledBroker) -> StoreImage:
    image = broker.image()
    _raise_if(broker, "on disk after the kill", broker.ledger.check(image))
    offsets = read_offsets(broker.root / "config")
    _raise_if(broker, "offsets on disk", broker.ledger.check_offsets(offsets))
    return image


def _raise_if(broker: KilledBroker, where: str, faults: Faults) -> None:
    if faults.count:
        raise KillError(f"{broker.root.name} {where}: {faults}")


async def _prepare(
    broker: KilledBroker, chance: random.Random, images: dict[str, StoreImage], outcome: RoundOutcome
) -> None:
    image = images.get(broker.root.name)
    if image is None:
        await create_topics(broker.port)
        return
    async with trio.open_nursery() as nursery:
        connection = await connected(broker.port, nursery)
        await _read_back(broker, connection, image, outcome, at_most=_PULLED_EACH_TIME)
        await _check_offsets(broker, connection)
        await _query(broker, connection, image, chance, outcome)
        await connection.close()


async def _read_back(
    broker: KilledBroker, connection: Connection, image: StoreImage, outcome: RoundOutcome, *, at_most: int
) -> None:
    """Pull what the files say; message for message, field for field."""
    faults = Faults()
    by_queue = image.by_queue()
    for topic, queues in TOPICS.items():
        for queue_id in range(queues):
            stored = {message.queue_offset: message for message in by_queue.get((topic, queue_id), [])}
            place = {"topic": topic, "queueId": str(queue_id)}
            last = max(stored, default=-1)
            maximum = int(await _field(connection, _MAX_OFFSET, place, "offset"))
            grows = topic == "KillLater"
            if stored and (maximum < last + 1 or (maximum > last + 1 and not grows)):
                faults.add(f"{topic}-{queue_id}: max offset {maximum}, the log ends with {last}")
            minimum = int(await _field(connection, _MIN_OFFSET, place, "offset"))
            offset = max(minimum, last + 1 - at_most, min(stored, default=0))
            while offset <= last:
                answer = await pull(connection, topic, queue_id, offset)
                if answer is None or answer.code != 0:
                    if broker.delays or answer is None:
                        faults.add(
                            f"{topic}-{queue_id}: pull at {offset} of {minimum} to {maximum}: {answer}"
                        )
                        break
                    offset = max(offset + 1, int(await _field(connection, _MIN_OFFSET, place, "offset")))
                    continue  # retention removed it meanwhile
                got = split_messages(answer.body)
                offset = _compare(got, stored, offset, last, faults, gaps=not broker.delays)
                outcome.read_back += 1
    _raise_if(broker, "through the broker", faults)


def _compare(
    got: list[StoredMessage],
    stored: dict[int, StoredMessage],
    offset: int,
    last: int,
    faults: Faults,
    *,
    gaps: bool,
) -> int:
    """Returns the offset behind the last message; with `gaps` retention may have removed some before it."""
    for message in got:
        if message.queue_offset < offset or (message.queue_offset > offset and not gaps):
            faults.add(f"pull at {offset} brought {message.queue_offset}")
        if message.queue_offset <= last and stored.get(message.queue_offset) != message:
            faults.add(f"pulled {message}, stored {stored.get(message.queue_offset)}"[:600])
        offset = message.queue_offset + 1
    return offset


async def _field(connection: Connection, code: int, fields: dict[str, str], name: str) -> str:
    answer = await connection.ask(code, fields)
    if answer is None or answer.code != 0:
        raise KillError(f"request {code} {fields}: {answer}")
    return str(answer.header["extFields"][name])


async def _check_offsets(broker: KilledBroker, connection: Connection) -> None:
    table = {}
    for key, queue_id in broker.ledger.asked:
        topic, group = key.split("@")
        fields = {"consumerGroup": group, "topic": topic, "queueId": str(queue_id)}
        answer = await connection.ask(_QUERY_OFFSET, fields)
        if answer is not None and answer.code == 0:
            table[key, queue_id] = int(answer.header["extFields"]["offset"])
    _raise_if(broker, "offsets of the broker", broker.ledger.check_offsets(table))


async def _query(
    broker: KilledBroker,
    connection: Connection,
    image: StoreImage,
    chance: random.Random,
    outcome: RoundOutcome,
) -> None:
    """Find messages by their two keys and by their unique key."""
    stored = [message for message in image.log.messages.values() if message.topic in TOPICS]
    chosen = stored[-3:] + chance.sample(stored, min(_QUERIES, len(stored)))
    faults = Faults()
    for message in chosen:
        number = number_of(message.body)
        key = chance.choice((f"k{number}", f"{number:032X}"))
        answer = await connection.ask(
            _QUERY_MESSAGE,
            {
                "topic": message.topic, "key": key, "maxNum": "32", "beginTimestamp": "0",
                "endTimestamp": str(message.store_timestamp),  # a delayed one may have come many times since
            },
        )  # fmt: skip
        found = split_messages(answer.body) if answer is not None and answer.code == 0 else []
        if message not in found and broker.delays:
            faults.add(f"{key} of {message.topic} is not found: {message}"[:300])
        outcome.queried += 1
    _raise_if(broker, "index through the broker", faults)


async def _last_life(
    container: KilledContainer,
    chance: random.Random,
    images: dict[str, StoreImage],
    outcome: RoundOutcome,
) -> None:
    """Read everything, wait for what is delayed, stop in order: now nothing at all may be missing."""
    process = container.start()
    try:
        await trio.to_thread.run_sync(container.wait_until_ready, process)
        for broker in container.brokers:
            async with trio.open_nursery() as nursery:
                connection = await connected(broker.port, nursery)
                image = images[broker.root.name]
                await _read_back(broker, connection, image, outcome, at_most=1 << 60)
                await _check_offsets(broker, connection)
                await _query(broker, connection, image, chance, outcome)
                await _await_delayed(broker, connection)
                await connection.close()
        process.signal(signal.SIGTERM)
        code = await trio.to_thread.run_sync(process.wait, _END_TIMEOUT_S)
        if code != 0:
            raise KillError(f"a stop in order ended with {code}\n{process.tail()}")
    finally:
        process.kill()
    for broker in container.brokers:
        images[broker.root.name] = image = broker.image()
        _raise_if(broker, "after a stop in order", broker.ledger.check(image, complete=True))
        _raise_if(broker, "offsets", broker.ledger.check_offsets(read_offsets(broker.root / "config")))
        newest = max((each.store_timestamp for each in image.log.messages.values()), default=0)
        checkpoint = read_checkpoint(broker.root / "checkpoint")
        if image.aborted or (newest and checkpoint[:2] != (newest, newest)):
            raise KillError(
                f"{broker.root.name}: abort {image.aborted}, checkpoint {checkpoint}, newest message {newest}"
            )


async def _await_delayed(broker: KilledBroker, connection: Connection) -> None:
    """Each delayed message that was acknowledged comes, at least once."""
    due = broker.ledger.delayed & broker.ledger.acknowledged.keys()
    found: set[int | None] = set()
    offsets = dict.fromkeys(range(TOPICS["KillLater"]), 0)
    with trio.move_on_after(_END_TIMEOUT_S):
        while not due <= found:
            for queue_id in offsets:
                answer = await pull(connection, "KillLater", queue_id, offsets[queue_id])
                if answer is None or answer.code != 0:
                    continue
                for message in split_messages(answer.body):
                    found.add(number_of(message.body))
                    offsets[queue_id] = message.queue_offset + 1
            await trio.sleep(0.02)
    if not due <= found:
        raise KillError(f"{broker.root.name}: delayed messages {sorted(due - found)[:10]} did not come")


def _count(container: KilledContainer, images: dict[str, StoreImage], outcome: RoundOutcome) -> None:
    for broker in container.brokers:
        ledger, image = broker.ledger, images[broker.root.name]
        numbers = {number_of(message.body) for message in image.log.messages.values()}
        unanswered = ledger.sent.keys() - ledger.acknowledged.keys() - ledger.refused
        log_files = image.log.tail // int(str(broker.settings["mappedFileSizeCommitLog"])) + 1
        outcome.sent += len(ledger.sent)
        outcome.acknowledged += len(ledger.acknowledged)
        outcome.refused += len(ledger.refused)
        outcome.unanswered += len(unanswered)
        outcome.stored_unanswered += len(unanswered & numbers)
        outcome.commits += sum(ledger.committed.values())
        outcome.expired_files += image.log.minimum // int(str(broker.settings["mappedFileSizeCommitLog"]))
        outcome.rolls["commit log"] += log_files - 1
        outcome.rolls["index"] += max(len(image.index) - 1, 0)
        unit_files = int(str(broker.settings["mappedFileSizeConsumeQueue"])) // 20
        outcome.rolls["consume queue"] += sum(
            (queue.first + len(queue.units)) // unit_files for queue in image.queues.values()
        )


def run_round_alone(directory: str, seed: str, kills: int) -> RoundOutcome:
    """`run_round` for a process of its own; the directory is made, and removed after success."""
    path = Path(directory)
    path.mkdir(parents=True)
    outcome = trio.run(run_round, path, seed, kills)
    shutil.rmtree(path)
    return outcome
