"""Schedules on the simulated disk: those of some seeds, and that the driver notices a store that is broken.

``python -m tests.simulation --schedules 10000 --jobs 2`` runs more of them.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from remoting.protocol.message import RMQ_SYS_SCHEDULE_TOPIC
from store import PutStatus
from store.checkpoint import AbortMarker
from store.commit_log import CommitLog
from store.config_table import ConfigTable
from store.consume_queue import ConsumeQueue
from store.flush import FlushService
from store.index import MessageIndex
from store.recovery import Recovery
from tests.simulation.__main__ import main
from tests.simulation.driver import failing_seeds, quiet, run_schedule
from tests.simulation.schedule import TOPICS, Crash, Fault, Send, Step, derive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHUNK = 100
CHUNKS = 6
SEEDS = range(CHUNK * CHUNKS)


@pytest.fixture(autouse=True)
def _the_log_is_heard_again() -> Iterator[None]:
    """Behind `quiet`, which is for a process of its own: other tests read the log."""
    logger = logging.getLogger("rocketmq")
    level = logger.level
    yield
    logger.setLevel(level)


@pytest.mark.parametrize("first", range(0, len(SEEDS), CHUNK))
def test_the_store_keeps_its_promises(first: int) -> None:
    failures = failing_seeds(range(first, first + CHUNK))
    assert not failures, "\n".join(f"{text}\n  python -m tests.simulation --seed {n}" for n, text in failures)


@pytest.mark.parametrize("seed", range(12))
def test_a_seed_always_gives_the_same_steps_and_the_same_files(seed: int) -> None:
    quiet()
    runs = []
    for _ in range(2):
        traced: list[str] = []
        disk = run_schedule(derive(seed), trace=traced.append)
        files = {path: disk.contents(path) for path in disk.paths()}
        runs.append((derive(seed), traced, disk.operations, files))
    assert runs[0] == runs[1]


def test_the_seeds_have_every_kind_of_step_and_of_fault() -> None:
    schedules = [derive(seed) for seed in SEEDS]
    steps = [step for schedule in schedules for step in schedule.steps]
    assert {type(step) for step in steps} == set(Step.__args__)
    drafts = [draft for step in steps if isinstance(step, Send) for draft in step.drafts]
    assert {draft.topic for draft in drafts} == set(range(len(TOPICS)))
    assert max(len(topic.encode()) for topic in TOPICS) > 127, "a record with a topic of two length bytes"
    assert any(draft.ipv6 for draft in drafts)
    assert any(TOPICS[draft.topic] == RMQ_SYS_SCHEDULE_TOPIC and draft.delay_level for draft in drafts)
    assert {draft.transaction for draft in drafts} == {0, 4, 8, 12}
    assert {step.is_batch for step in steps if isinstance(step, Send) and len(step.drafts) > 1} == {
        False,
        True,
    }
    assert {step.keep for step in steps if isinstance(step, Crash)} == {"process", "power"}
    faults = {(step.operation, step.error) for step in steps if isinstance(step, Fault)}
    assert faults >= {
        ("write", "ENOSPC"), ("write", "EIO"), ("read", "EIO"), ("fdatasync", "EIO"), ("fdatasync", "ENOSPC"),
        ("sync directory", "EIO"), ("open", "EMFILE"), ("truncate", "EIO"), ("rename", "EIO"),
    }  # fmt: skip
    setups = [schedule.setup for schedule in schedules]
    for name in ("sync_flush", "index", "ipv6_store", "any_hour", "names"):
        assert len({getattr(setup, name) for setup in setups}) == 2
    assert {setup.directories for setup in setups} == {1, 2, 3}
    assert any(setup.capacity_bytes < 1 << 62 for setup in setups)


def _sync_nothing(_log: CommitLog, _files: Any) -> None:
    pass


def _forget_the_abort_file(_marker: AbortMarker, *, unsynced: bool = False) -> None:
    pass


def _answer_at_once(
    _service: FlushService, _offset: int, callback: Callable[[Any], None], _timeout: int | None = None
) -> None:
    callback(PutStatus.PUT_OK)


def _give_the_last_offset_again(settle: Callable[[Any], None]) -> Callable[[Any], None]:
    def settled(run: Any) -> None:
        settle(run)
        for queue in run._queues.queues.values():
            queue.next_offset = max(queue.max_offset - 1, 0)

    return settled


def _cut_too_much(set_tail: Callable[[Any, int], None]) -> Callable[[Any, int], None]:
    return lambda log, tail: set_tail(log, max(tail - 1, log.min_offset))


def _lose_an_entry_of_ten(append: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    return lambda entries, new: append(entries, [entry for entry in new if entry[2] % 10])


def _save_in_place(table: ConfigTable, path: str, text: str) -> None:
    file = table._files.open(path, create=True)
    file.truncate(0)
    file.pwrite(text.encode(), 0)
    file.close()


BROKEN: dict[str, tuple[Any, str, Any]] = {
    "the log is never synced": (CommitLog, "sync", _sync_nothing),
    "answers do not wait for the device": (FlushService, "when_durable", _answer_at_once),
    "a crash looks like a clean stop": (AbortMarker, "create", _forget_the_abort_file),
    "tables are overwritten in place": (ConfigTable, "_write", _save_in_place),
    "an offset is given twice after a start": (
        Recovery, "_settle_queues", _give_the_last_offset_again(Recovery._settle_queues)),
    "a start cuts the last message off": (CommitLog, "set_tail", _cut_too_much(CommitLog.set_tail)),
    "entries of the index are lost": (
        MessageIndex, "append", _lose_an_entry_of_ten(MessageIndex.append)),
    "queues are not cut to the log": (ConsumeQueue, "truncate", lambda *_arguments: False),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_the_driver_notices_a_store_that_is_broken(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, name, broken = BROKEN[what]
    monkeypatch.setattr(owner, name, broken)
    assert any(failing_seeds([seed]) for seed in SEEDS)


def test_a_failing_seed_names_one_command_that_shows_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CommitLog, "sync", _sync_nothing)
    seed = next(seed for seed in SEEDS if failing_seeds([seed]))
    found = CliRunner().invoke(main, ["--seed", str(seed), "--schedules", "1"])
    assert found.exit_code == 1
    assert found.output.count(f"python -m tests.simulation --seed {seed}\n") == 1
    shown = CliRunner().invoke(main, ["--seed", str(seed)])
    assert shown.exit_code == 1
    assert "start after clean" in shown.output
    assert "MismatchError" in shown.output
    assert any(str(step) in shown.output for step in derive(seed).steps)


def test_a_good_seed_is_shown_too() -> None:
    shown = CliRunner().invoke(main, ["--seed", "0"])
    assert shown.exit_code == 0
    assert shown.output.endswith("nothing wrong\n")
