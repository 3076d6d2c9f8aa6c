"""How a process of ours ends: the first signal, the second one, and signals at odd moments."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest
import trio
from commands import REPOSITORY, environment

from client import AdminClient, ClientError, Message, Producer, PullStatus, SendStatus
from container import open_container

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STOPPING = "stopping, a second signal ends at once\n"
ENDING = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]

# What `run_process` runs; each says "ready" and then goes on in its own way.
ORDERLY = """
async def body():
    print("ready", flush=True)
    try:
        await trio.sleep_forever()
    finally:
        print("saved", flush=True)
"""
HANGING = """
async def body():
    print("ready", flush=True)
    try:
        await trio.sleep_forever()
    finally:
        with trio.CancelScope(shield=True):
            await trio.sleep_forever()
"""
HANGING_LOOP = """
async def body():
    print("ready", flush=True)
    try:
        await trio.sleep_forever()
    finally:
        threading.Event().wait()
"""
NOT_STARTED_YET = """
async def body():
    print("never", flush=True)
    await trio.sleep_forever()

written = pid_files.written
@contextmanager
def slow(role):
    with written(role):
        print("ready", flush=True)
        sys.stdin.readline()
        yield
pid_files.written = slow
"""


@contextmanager
def process(
    home: Path, body: str, *, before: str = "", prefix: tuple[str, ...] = ()
) -> Iterator[subprocess.Popen[str]]:
    """A process of ours with this body, once it has said that it is ready."""
    script = f"""
import signal, sys, threading, trio
from contextlib import contextmanager
from tools import pid_files
from tools.process import run_process
for number in (signal.SIGHUP, signal.SIGTERM):
    signal.signal(number, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
{before}
{body}
sys.exit(run_process("broker", body))
"""
    child = subprocess.Popen(
        [*prefix, sys.executable, "-c", script],
        env={**environment(home), "PYTHONPATH": str(REPOSITORY)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stderr is not None
    with child:
        try:
            assert child.stdout.readline() == "ready\n", child.stderr.read()
            yield child
        finally:
            child.kill()


def errors(child: subprocess.Popen[str]) -> str:
    assert child.stderr is not None
    return child.stderr.read()


def next_error(child: subprocess.Popen[str]) -> str:
    assert child.stderr is not None
    return child.stderr.readline()


def output(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.read()


def pid_files_in(home: Path) -> list[str]:
    return os.listdir(home / ".mqbrokercontainer" / "run")


@pytest.mark.parametrize("number", ENDING)
def test_the_first_signal_is_an_orderly_end(tmp_path: Path, number: signal.Signals) -> None:
    with process(tmp_path, ORDERLY) as child:
        child.send_signal(number)
        assert (child.wait(), output(child), errors(child)) == (0, "saved\n", STOPPING)
    assert pid_files_in(tmp_path) == []


@pytest.mark.parametrize("body", [HANGING, HANGING_LOOP])
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("first", ENDING)
def test_the_second_one_ends_at_once_whatever_hangs(
    tmp_path: Path, body: str, first: signal.Signals, second: signal.Signals
) -> None:
    with process(tmp_path, body) as child:
        child.send_signal(first)
        assert next_error(child) == STOPPING
        child.send_signal(second)
        assert (child.wait(), errors(child)) == (-second, "")


def test_a_terminal_that_closes_and_says_so_twice_is_one_orderly_end(tmp_path: Path) -> None:
    with process(tmp_path, HANGING) as child:
        for _ in range(2):
            child.send_signal(signal.SIGHUP)
        assert next_error(child) == STOPPING
        child.send_signal(signal.SIGHUP)
        child.send_signal(signal.SIGTERM)
        assert child.wait() == -signal.SIGTERM, "it did not end by the hang-ups"


def test_a_terminal_that_is_gone_does_not_hurt_the_end(tmp_path: Path) -> None:
    with process(tmp_path, ORDERLY) as child:
        assert child.stderr is not None
        child.stderr.close()
        child.send_signal(signal.SIGTERM)
        assert (child.wait(), output(child)) == (0, "saved\n")


def test_what_was_started_by_nohup_does_not_hear_of_the_terminal(tmp_path: Path) -> None:
    ignored = "signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    with process(tmp_path, ORDERLY, before=ignored) as child:
        child.send_signal(signal.SIGHUP)
        child.send_signal(signal.SIGTERM)
        assert (child.wait(), errors(child)) == (0, STOPPING)


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_before_anything_runs_is_not_forgotten(tmp_path: Path, number: signal.Signals) -> None:
    with process(tmp_path, NOT_STARTED_YET) as child:
        child.send_signal(number)
        assert next_error(child) == STOPPING
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
        assert child.wait() == 0
    assert pid_files_in(tmp_path) == []


def test_the_first_process_of_a_container_ends_at_once_too(tmp_path: Path) -> None:
    """The kernel does not deliver such a process a signal that it has no handler for."""
    unshare = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child")
    try:
        possible = (
            subprocess.run([*unshare, "true"], capture_output=True, check=False, timeout=60).returncode == 0
        )
    except FileNotFoundError:
        possible = False
    if not possible:
        pytest.skip("this machine lets nobody make a process namespace")
    before = "import os; assert os.getpid() == 1"
    with process(tmp_path, HANGING_LOOP, before=before, prefix=unshare) as child:
        (inner,) = _children(child.pid)
        os.kill(inner, signal.SIGTERM)
        assert next_error(child) == STOPPING
        os.kill(inner, signal.SIGTERM)
        assert child.wait() == 128 + signal.SIGTERM


def _children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(number) for number in file.read().split()]


SERVING_WHILE_IT_HANGS = """
from pathlib import Path
from container import open_container

async def body():
    with trio.CancelScope(shield=True):
        async with open_container(["broker-a"], directory=Path.home()) as container:
            print("ready", flush=True)
            print(container.namesrv_address, flush=True)
            await trio.sleep_forever()
"""


async def test_nothing_acknowledged_is_lost_when_it_ends_at_once(tmp_path: Path) -> None:
    acknowledged: list[bytes] = []
    with process(tmp_path, SERVING_WHILE_IT_HANGS) as child:
        assert child.stdout is not None
        async with AdminClient([child.stdout.readline().strip()]) as admin, trio.open_nursery() as nursery:
            told, heard = trio.open_memory_channel[bytes](10_000)
            nursery.start_soon(_send_until_it_breaks, admin, told)
            acknowledged += [await heard.receive() for _ in range(100)]
            child.send_signal(signal.SIGTERM)
            assert await trio.to_thread.run_sync(next_error, child) == STOPPING
            acknowledged += [await heard.receive() for _ in range(100)]
            child.send_signal(signal.SIGTERM)
            assert await trio.to_thread.run_sync(child.wait) == -signal.SIGTERM
            acknowledged += [body async for body in heard]
    assert (tmp_path / "broker-a" / "abort").exists()
    async with (
        open_container(["broker-a"], directory=tmp_path) as container,
        AdminClient([container.namesrv_address]) as admin,
    ):
        assert set(acknowledged) <= await _everything(admin)


async def _send_until_it_breaks(admin: AdminClient, told: trio.MemorySendChannel[bytes]) -> None:
    producer = Producer(admin.remote, admin.routes, "senders", retries=0)
    with told, suppress(ClientError):
        for number in itertools.count():
            body = b"%d" % number
            result = await producer.send(Message(topic="Topic", body=body))
            assert result.status is SendStatus.SEND_OK
            await told.send(body)


async def _everything(admin: AdminClient) -> set[bytes]:
    found: set[bytes] = set()
    puller = admin.puller()
    for queue in await puller.queues("Topic"):
        offset = 0
        while (result := await puller.pull(queue, offset)).status is PullStatus.FOUND:
            found.update(bytes(message.body) for message in result.messages)
            offset = result.next_begin_offset
    return found
