"""What an acknowledgement means: each cell of `store.acknowledgement`, as docs/durability.md lists them.

A real broker, from the request to the answer, over a disk that loses power, fills up and fails on demand.
"""

from __future__ import annotations

import errno
import itertools
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from rig import NOW_MS, Rig, properties, rig_on, send_request

from remoting.protocol.message import BatchItem, encode_batch
from store import FlushDiskType, ManualClock, PutStatus, StoreError
from store.acknowledgement import ACKNOWLEDGEMENTS, Failure, Kept, Moment
from tests.simulation.disk import SimulatedDisk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from remoting.command import RemotingCommand

SUCCESS, SYSTEM_ERROR, SERVICE_NOT_AVAILABLE = 0, 1, 14
POWER_LOSSES = 25
SMALL_LOG = {"mapped_file_size_commit_log": 4096, "disk_space_reserved_bytes": 0}
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
                    body=encode_batch([BatchItem(0, memoryview(body), memoryview(b"")) for body in own]),
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
async def test_disk_full(producer: Producer, mode: FlushDiskType, wait: bool) -> None:
    assert kept(mode, Failure.DISK_FULL, wait=wait) is Kept.ALL
    before = producer.send(10)
    await producer.flush()
    disk = producer.disk
    disk.capacity_bytes = disk.used_bytes
    refused = producer.send(30)
    late = [body for body in refused if producer.answered.get(body, (SUCCESS,))[0] == SUCCESS]
    refused = refused[len(late) :]
    assert refused, "the disk is full"
    assert {producer.answered[body][0] for body in refused} == {SERVICE_NOT_AVAILABLE}
    await producer.flush()
    assert producer.acknowledged() == {*before, *late}
    assert producer.stored() == before + late, "nothing of what was refused, not even in part"

    disk.crash(Random(7), "process")
    disk.capacity_bytes = 1 << 40
    producer.restart()
    assert producer.stored() == before + late
    after = producer.send(5)
    await producer.flush()
    assert producer.acknowledged() == {*before, *late, *after}
    assert producer.stored() == before + late + after


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
async def test_disk_error_of_a_write(producer: Producer, mode: FlushDiskType, wait: bool) -> None:
    """What a failing write was for is refused and leaves nothing; the next one goes on behind the last."""
    first = producer.send(5)
    producer.disk.fail = lambda operation, _path: errno.EIO if operation == "write" else None
    failed = producer.send(3)
    producer.disk.fail = None
    assert {producer.answered[body][0] for body in failed} == {SYSTEM_ERROR}
    second = producer.send(5)
    await producer.flush()
    assert producer.acknowledged() == {*first, *second}
    assert producer.stored() == first + second
    producer.disk.crash(Random(5), "power")
    producer.restart()
    assert kept(mode, Failure.DISK_ERROR, wait=wait) in (Kept.ALL, Kept.FLUSHED)
    assert producer.stored() == first + second, "flushed above"


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


def test_the_page_names_every_cell(request: pytest.FixtureRequest) -> None:
    """docs/durability.md: one row for each cell, with the test that proves it and what is kept."""
    page: Any = (request.config.rootpath / "docs" / "durability.md").read_text()
    for (mode, wait), acknowledgement in ACKNOWLEDGEMENTS.items():
        cell = f"{mode.value}-{'true' if wait else 'false'}"
        for failure, what in acknowledgement.kept.items():
            test = f"test_{failure.value.replace(' ', '_')}"
            assert test in globals()
            row = f"| {failure.value} | {what.value} | `{test}[{cell}]` |"
            assert row in page, row
        assert (
            f"| `{mode.value}` | `{'true' if wait else 'false'}` | {acknowledgement.answered.value} |" in page
        )
