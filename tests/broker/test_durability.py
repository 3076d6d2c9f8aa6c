"""What an acknowledgement means: each cell of `store.acknowledgement`, as docs/durability.md lists them.

A real broker, from the request to the answer, over a disk that loses power, fills up and fails on demand.
"""

from __future__ import annotations

import errno
import itertools
import re
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing
from rig import NOW_MS, Rig, properties, rig_on, send_request

from remoting.protocol.message import BatchItem, encode_batch
from remoting.protocol.request_code import RequestCode
from store import FlushDiskType, ManualClock, PutStatus, StoreError
from store.acknowledgement import ACKNOWLEDGEMENTS, Failure, Kept, Moment
from tests.simulation.disk import SimulatedDisk, SimulatedFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from remoting.command import RemotingCommand

SUCCESS, SYSTEM_ERROR, SERVICE_NOT_AVAILABLE = 0, 1, 14
POWER_LOSSES = 25
DISKS = 6
SMALL_LOG = {
    "mapped_file_size_commit_log": 4096,
    "disk_space_reserved_bytes": 0,
    "clean_file_forcibly_enable": False,  # retention takes nothing before its time
}
CELLS = [
    pytest.param(mode, wait, id=f"{mode.value}-{'true' if wait else 'false'}")
    for mode, wait in sorted(ACKNOWLEDGEMENTS, key=lambda cell: (cell[0].value, not cell[1]))
]
every_cell = pytest.mark.parametrize(("mode", "wait"), CELLS)


class Producer:
    """Sends to one broker over all its lives, and knows what was answered.

    Attributes:
        answered: Body to (code, queue offset, offset ids).
        sent: Bodies in the order of the sends.
    """

    def __init__(self, disk: SimulatedDisk, root: Path, mode: FlushDiskType, *, wait: bool) -> None:
        self.disk, self.root, self.mode, self.wait = disk, root, mode, wait
        self.sent: list[bytes] = []
        self.answered: dict[bytes, tuple[int, int, str]] = {}
        self._open: list[tuple[RemotingCommand, list[bytes]]] = []
        self._numbers = itertools.count()
        self._clock = ManualClock(NOW_MS)
        disk.now_ms = self._clock.now_ms
        self.rig = self._started()

    def _started(self) -> Rig:
        rig = rig_on(self.disk, self.root, clock=self._clock, flush_disk_type=self.mode, **SMALL_LOG)
        rig.topic("T")
        return rig

    def restart(self) -> None:
        """A new life over what a crash left."""
        self._note()
        self._open.clear()
        self.rig.context.store.release()
        self.rig = self._started()

    def send(self, count: int) -> list[bytes]:
        """`count` requests in one read, each third a batch of two; returns the bodies."""
        requests: list[RemotingCommand] = []
        bodies: list[bytes] = []
        wait = "true" if self.wait else "false"
        for place in range(count):
            own = [b"%d-" % next(self._numbers) + bytes(200) for _ in range(2 if place % 3 == 2 else 1)]
            request = send_request(body=own[0], i=properties(UNIQ_KEY=f"K{own[0][:4].hex()}", WAIT=wait))
            if len(own) == 2:
                request = send_request(
                    body=encode_batch([BatchItem(0, memoryview(body), b"") for body in own]),
                    i=properties(WAIT=wait), m="true",
                )  # fmt: skip
                request.code = 320
            requests.append(request)
            bodies += own
            self._open.append((request, own))
        self.sent += bodies
        self.rig.sends.process_batch(self.rig.connection, requests)  # type: ignore[arg-type]
        self._note()
        return bodies

    def _note(self) -> None:
        for request, bodies in self._open:
            answer = self.rig.connection.answers.get(request.opaque)
            if answer is None:
                continue
            fields = answer.ext_fields
            ids = fields["msgId"].split(",") if answer.code == SUCCESS else [""] * len(bodies)
            first = int(fields.get("queueOffset", -1))
            for place, body in enumerate(bodies):
                self.answered[body] = (answer.code, first + place, ids[place])

    async def flush(self) -> None:
        """What the flush service does again and again."""
        await self.rig.context.store._flush.flush()
        self._note()

    def acknowledged(self) -> set[bytes]:
        """Bodies of what was answered with SUCCESS."""
        return {body for body, (code, _, _) in self.answered.items() if code == SUCCESS}

    def stored(self) -> list[bytes]:
        """Bodies that a consumer finds, each whole (the CRC says so), under the ids that were answered."""
        messages = self.rig.messages("T")
        for message in messages:
            code, queue_offset, msg_id = self.answered.get(message.body, (None, -1, ""))
            if code == SUCCESS:
                assert (message.queue_offset, message.msg_id) == (queue_offset, msg_id)
        assert [message.queue_offset for message in messages] == list(range(len(messages)))
        return [message.body for message in messages]


@pytest.fixture
def producer(tmp_path: Path, mode: FlushDiskType, wait: bool) -> Iterator[Producer]:
    producer = Producer(SimulatedDisk(seed=1), tmp_path, mode, wait=wait)
    yield producer
    producer.rig.context.store.release()


def kept(mode: FlushDiskType, failure: Failure, *, wait: bool) -> Kept:
    return ACKNOWLEDGEMENTS[mode, wait].kept[failure]


@every_cell
async def test_answered(producer: Producer, mode: FlushDiskType, wait: bool) -> None:
    """The answer goes out when the table says, and not before."""
    syncs = sum(operation.name == "fdatasync" for operation in producer.disk.operations)
    bodies = producer.send(6)
    assert sum(operation.name == "fdatasync" for operation in producer.disk.operations) == syncs
    is_written = ACKNOWLEDGEMENTS[mode, wait].answered is Moment.WRITTEN
    assert producer.acknowledged() == (set(bodies) if is_written else set())
    await producer.flush()
    assert producer.acknowledged() == set(bodies)


@every_cell
async def test_readable(producer: Producer, mode: FlushDiskType, wait: bool) -> None:
    """In SYNC_FLUSH nobody reads what a failure may take, also of those who do not wait for the device."""
    bodies = producer.send(6)
    assert producer.stored() == ([] if mode is FlushDiskType.SYNC_FLUSH else bodies)
    await producer.flush()
    assert producer.stored() == bodies


async def test_a_sync_answers_for_what_was_written_before_it_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    producer = Producer(SimulatedDisk(seed=1), tmp_path, FlushDiskType.SYNC_FLUSH, wait=True)
    early, late = producer.send(4), list[bytes]()
    sync = SimulatedFile.fdatasync

    def sync_then_send(file: SimulatedFile) -> None:
        sync(file)
        if not late:
            late.extend(trio.from_thread.run_sync(producer.send, 2))

    monkeypatch.setattr(SimulatedFile, "fdatasync", sync_then_send)
    await producer.flush()
    assert producer.acknowledged() == set(early)
    await producer.flush()
    assert producer.acknowledged() == {*early, *late}
    producer.rig.context.store.release()


@every_cell
async def test_process_killed(producer: Producer, mode: FlushDiskType, wait: bool) -> None:
    assert kept(mode, Failure.PROCESS_KILLED, wait=wait) is Kept.ALL
    for life in range(4):
        producer.send(10)
        await producer.flush()
        producer.send(10)
        producer.disk.crash(Random(life), "process")
        producer.restart()
        assert producer.stored() == producer.sent, "what is written outlives the process, answered or not"
    assert len(producer.acknowledged()) >= 4 * 13


@every_cell
async def test_machine_lost(tmp_path: Path, mode: FlushDiskType, wait: bool) -> None:
    lost = 0
    for seed in range(POWER_LOSSES):
        chance = Random(seed)
        producer = Producer(SimulatedDisk(seed), tmp_path, mode, wait=wait)
        flushed: set[bytes] = set()
        for _ in range(chance.randint(1, 4)):
            producer.send(chance.randint(1, 12))
            if chance.random() < 0.6:
                await producer.flush()
                flushed = producer.acknowledged()
        producer.disk.crash(chance, "power")
        producer.restart()
        stored = producer.stored()
        acknowledged = producer.acknowledged()
        if kept(mode, Failure.MACHINE_LOST, wait=wait) is Kept.ALL:
            assert acknowledged <= set(stored), f"seed {seed}"
        assert flushed <= set(stored), f"seed {seed}"
        assert stored == producer.sent[: len(stored)], f"seed {seed}: from the oldest on, none twice"
        lost += len(acknowledged - set(stored))
        producer.rig.context.store.release()
    if kept(mode, Failure.MACHINE_LOST, wait=wait) is Kept.FLUSHED:
        assert lost > 0, (
            "none of these disks lost anything: the cell says less than is true, or nothing is shown"
        )


@every_cell
async def test_machine_lost_after_a_restart(tmp_path: Path, mode: FlushDiskType, wait: bool) -> None:
    """What a start found in the page cache is on the device before anybody reads it."""
    for seed in range(POWER_LOSSES):
        producer = Producer(SimulatedDisk(seed), tmp_path, mode, wait=wait)
        producer.send(20)
        producer.disk.crash(Random(seed), "process")
        producer.restart()
        assert producer.stored() == producer.sent
        producer.disk.crash(Random(seed), "power")
        producer.restart()
        assert producer.stored() == producer.sent, f"seed {seed}"
        producer.rig.context.store.release()


@every_cell
async def test_disk_full(
    virtual_time: trio.testing.MockClock, tmp_path: Path, mode: FlushDiskType, wait: bool
) -> None:
    """The last write fills what is left and fails; room comes back under a running store, then at a start."""
    assert kept(mode, Failure.DISK_FULL, wait=wait) is Kept.ALL
    for seed in range(DISKS):
        disk = SimulatedDisk(seed, page_bytes=512)
        producer = Producer(disk, tmp_path, mode, wait=wait)
        good = producer.send(10 + seed)
        await producer.flush()

        good += await _sent_to_a_full_disk(producer)
        disk.capacity_bytes = 1 << 40
        with trio.move_on_after(60):
            await producer.rig.context.store._cleaner.run()
        good += producer.send(5)
        await producer.flush()
        assert producer.acknowledged() == set(good)

        good += await _sent_to_a_full_disk(producer)
        disk.crash(Random(seed), "process")
        disk.capacity_bytes = 1 << 40
        producer.restart()
        assert producer.stored() == good, f"seed {seed}: nothing of what was refused, not even in part"
        good += producer.send(5)
        await producer.flush()
        assert producer.acknowledged() == set(good)
        assert producer.stored() == good
        producer.rig.context.store.release()


async def _sent_to_a_full_disk(producer: Producer) -> list[bytes]:
    """Fills the disk; returns what found room."""
    producer.disk.capacity_bytes = producer.disk.used_bytes + 1024
    bodies = producer.send(30)
    await producer.flush()
    refused = {body for body in bodies if producer.answered[body][0] != SUCCESS}
    assert refused, "the disk is full"
    assert {producer.answered[body][0] for body in refused} == {SERVICE_NOT_AVAILABLE}
    assert not refused & set(producer.stored())
    return [body for body in bodies if body not in refused]


@every_cell
async def test_disk_error(producer: Producer, mode: FlushDiskType, wait: bool) -> None:
    """The device refuses an ``fdatasync``, once; the next ones would say that all is well."""
    flushed = producer.send(10)
    await producer.flush()
    assert producer.acknowledged() == set(flushed)
    doubtful = producer.send(10)
    disk = producer.disk
    disk.fail = lambda operation, _path: errno.EIO if operation == "fdatasync" else None
    with pytest.raises(StoreError):
        await producer.flush()
    disk.fail = None
    producer._note()
    is_written = ACKNOWLEDGEMENTS[mode, wait].answered is Moment.WRITTEN
    codes = {producer.answered[body][0] for body in doubtful}
    assert codes == ({SUCCESS} if is_written else {SYSTEM_ERROR})

    refused = producer.send(3)
    assert {producer.answered[body][0] for body in refused} == {SERVICE_NOT_AVAILABLE}
    answers: list[PutStatus] = []
    store = producer.rig.context.store
    store.when_durable(store.flushed_offset, answers.append)
    store.when_durable(store.max_phy_offset, answers.append)
    assert answers == [PutStatus.UNKNOWN_ERROR] * 2, "no retry-and-hope on that file"
    assert "fdatasync" in str(store.unwritable_reason)

    disk.crash(Random(3), "power")
    producer.restart()
    stored = producer.stored()
    promised = (
        set(flushed) if kept(mode, Failure.DISK_ERROR, wait=wait) is Kept.FLUSHED else producer.acknowledged()
    )
    assert promised <= set(stored)
    assert stored == producer.sent[: len(stored)]


@every_cell
async def test_disk_error_of_a_write(tmp_path: Path, mode: FlushDiskType, wait: bool) -> None:
    """What a failing write was for is refused and leaves nothing, whatever of it had reached the file."""
    assert kept(mode, Failure.DISK_ERROR, wait=wait) in (Kept.ALL, Kept.FLUSHED)
    for seed in range(DISKS):
        disk = SimulatedDisk(seed)
        disk.partial_write = seed / (DISKS - 1)
        producer = Producer(disk, tmp_path, mode, wait=wait)
        good = producer.send(5)
        await producer.flush()
        for power in (False, True):
            disk.fail = lambda operation, _path: errno.EIO if operation == "write" else None
            failed = producer.send(3)
            disk.fail = None
            assert {producer.answered[body][0] for body in failed} == {SYSTEM_ERROR}
            if power:
                good += producer.send(1)
                await producer.flush()
                assert producer.acknowledged() == set(good)
            disk.crash(Random(seed), "power" if power else "process")
            producer.restart()
            assert producer.stored() == good, f"seed {seed}: nothing of what was refused, not even in part"
            good += producer.send(5)
            await producer.flush()
        assert producer.stored() == good
        producer.rig.context.store.release()


@pytest.mark.parametrize("mode", list(FlushDiskType), ids=lambda mode: str(mode.value))
async def test_a_delayed_message_outlives_a_loss_of_power_after_its_delivery(
    tmp_path: Path, mode: FlushDiskType
) -> None:
    """It was on the device once, so it stays: in its own topic, or waiting to be delivered again."""
    for seed in range(POWER_LOSSES):
        disk, clock = SimulatedDisk(seed), ManualClock(NOW_MS)
        rig = rig_on(disk, tmp_path, clock=clock, flush_disk_type=mode, **SMALL_LOG)
        rig.topic("T")
        rig.send(send_request(i=properties(UNIQ_KEY="D", DELAY="1", WAIT="false")))
        await rig.context.store.flush()
        clock.advance(2000)
        schedule = rig.context.schedule
        await schedule._deliver_due(1)
        await schedule.file.saved()
        disk.crash(Random(seed), "power", names="journal")
        rig.context.store.release()
        rig = rig_on(disk, tmp_path, clock=clock, flush_disk_type=mode, **SMALL_LOG)
        assert rig.messages("T") or rig.context.schedule.offsets.get(1, 0) == 0, f"seed {seed}"
        rig.context.store.release()


@pytest.mark.parametrize("seed", range(DISKS))
async def test_a_topic_outlives_a_loss_of_power_once_its_request_is_answered(
    running_broker: Any, asking: Any, seed: int
) -> None:
    """Whether an administrator's request made it or a send."""
    root, disk = Path("/store/a"), SimulatedDisk(seed)
    disk.makedirs(str(root))
    disk.sync_directory("/store")
    disk.sync_directory("/")
    with suppress(BaseExceptionGroup):  # the disk goes away below a broker that runs
        async with running_broker(root, files=disk) as broker, asking(broker) as ask:
            asked = {
                "topic": "Asked", "defaultTopic": "TBW102", "readQueueNums": 3, "writeQueueNums": 3,
                "perm": 6, "topicFilterType": "SINGLE_TAG", "topicSysFlag": 0, "order": False,
            }  # fmt: skip
            assert (await ask(RequestCode.UPDATE_AND_CREATE_TOPIC, **asked)).code == SUCCESS
            request = send_request("Sent")
            answer = await ask(RequestCode.SEND_MESSAGE_V2, request.body, **request.ext_fields)
            assert answer.code == SUCCESS
            disk.crash(Random(seed), "power")
    async with running_broker(root, files=disk) as broker:
        for name, queues in (("Asked", 3), ("Sent", 4)):
            found = broker.context.topics.get(name)
            assert found is not None
            assert found.write_queue_nums == queues


def test_the_pages_say_what_the_table_says(request: pytest.FixtureRequest) -> None:
    """docs/durability.md has a row for each cell with the test that proves it, README.md the short table."""
    page = (request.config.rootpath / "docs" / "durability.md").read_text()
    readme = re.sub(r" \(.*?\)", "", (request.config.rootpath / "README.md").read_text())
    for (mode, wait), acknowledgement in ACKNOWLEDGEMENTS.items():
        cell = f"{mode.value}-{'true' if wait else 'false'}"
        for failure, what in acknowledgement.kept.items():
            test = f"test_{failure.value.replace(' ', '_')}"
            assert test in globals()
            row = f"| {failure.value} | {what.value} | `{test}[{cell}]` |"
            assert row in page, row
        moment = acknowledgement.answered.value
        assert f"| `{mode.value}` | `{str(wait).lower()}` | {moment} |" in page
        short = " | ".join([moment, *(acknowledgement.kept[failure].value for failure in Failure)])
        waits = "any" if mode is FlushDiskType.ASYNC_FLUSH else f"`{str(wait).lower()}`"
        assert f"| `{mode.value}` | {waits} | {short} |" in readme
