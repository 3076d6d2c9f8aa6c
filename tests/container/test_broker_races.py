"""What meets in the life of a broker: a removal and a retry, a failure and a removal, a disk that hangs."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio
from container_rig import a_broker, add, address_of, ask, broker_file, remove, send, until
from test_saved_brokers import container_file, started

from container import BootRefusedError, BrokerState, open_container, read_plan
from logs import BrokerIdentity
from remoting.protocol.container_body import ContainerStatus
from remoting.protocol.request_code import RequestCode
from tests.failing_files import FailingFiles, Holdings, as_files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from container import BrokerContainer, BrokerPlan, InnerBroker

A = BrokerIdentity("DefaultCluster", "a", 0)


def the(container: BrokerContainer, name: str) -> InnerBroker:
    inner = container.get_broker(BrokerIdentity("DefaultCluster", name, 0))
    assert inner is not None
    return inner


def die(inner: InnerBroker) -> None:
    """A service of `inner` raises at its next look at its clients."""
    assert inner.broker is not None
    assert inner.broker.context is not None
    vars(inner.broker.context.consumers)["flush_notifications"] = lambda: 1 / 0


@pytest.fixture(autouse=True)
def _quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broker.broker.SAMPLE_INTERVAL_S", 0.01)


class HangingDisk:
    """A disk that answers no thread that asks it about one broker, until it is let go."""

    def __init__(self) -> None:
        self.waiting = 0
        self._about: str | None = None
        self._operation: str | None = None
        self._go = threading.Event()
        self._go.set()
        self._loop = threading.current_thread()
        self._fails = False
        self.files = as_files(FailingFiles(self._wait))

    @contextmanager
    def hanging(self, name: str, operation: str | None = None) -> Iterator[None]:
        self._go.clear()
        self._about, self._operation = f"/{name}/", operation
        try:
            yield
        finally:
            self.let_go()

    def let_go(self, *, fails: bool = False) -> None:
        self._fails = fails
        self._go.set()

    def _wait(self, _number: int, operation: str, path: str) -> bool:
        if (
            self._go.is_set()
            or self._about not in f"{path}/"
            or self._operation not in (None, operation)
            or threading.current_thread() is self._loop
        ):
            return False
        self.waiting += 1
        self._go.wait(60)
        self.waiting -= 1
        return self._fails


def retries() -> list[str]:
    """The tasks of this process that wait to start a broker again, or are about to."""
    names = Holdings.now(Path()).tasks
    return [name for name in names if name.endswith("._restart")]


class HeldRead:
    """Reading of a broker's file, which waits."""

    def __init__(self) -> None:
        self.begun = trio.Event()
        self._go = threading.Event()

    def __call__(self, path: Path) -> BrokerPlan:
        trio.from_thread.run_sync(self.begun.set)
        self._go.wait(60)
        return read_plan(path)

    def let_go(self) -> None:
        self._go.set()


@pytest.mark.parametrize("ended_by", ["a removal", "an add", "the configuration"])
async def test_a_retry_that_is_given_up_while_it_reads_its_file(
    tmp_path: Path, free_port: int, monkeypatch: pytest.MonkeyPatch, ended_by: str
) -> None:
    path = broker_file(tmp_path, "a", free_port)
    async with open_container(directory=tmp_path) as container:
        address = container.broker_container_addr
        container.config.restart_failed_brokers = True
        container.config.restart_backoff_millis = 10
        assert (await add(address, path)).code == 0
        read = HeldRead()
        monkeypatch.setattr("container.supervisor.read_plan", read)
        die(the(container, "a"))
        await read.begun.wait()
        (failed,) = container.failed_brokers
        if ended_by == "a removal":
            assert (await remove(address, "a")).code == 0
        elif ended_by == "an add":
            assert (await add(address, path)).code == 0
        else:
            await ask(address, RequestCode.UPDATE_BROKER_CONFIG, b"restartFailedBrokers=false\n")
        read.let_go()
        await until(lambda: not retries())
        assert failed.retry_at is None
        if ended_by == "a removal":
            assert (container.get_broker(A), container.failed_brokers) == (None, [])
            assert (await add(address, path)).code == 0
        elif ended_by == "an add":
            assert container.failed_brokers == []
            assert the(container, "a").state is BrokerState.RUNNING
        else:
            assert (container.get_broker(A), container.failed_brokers) == (None, [failed])


async def test_what_was_removed_is_not_started_again_when_it_fails_on_its_way_out(
    tmp_path: Path, free_port: int
) -> None:
    disk = HangingDisk()
    path = container_file(tmp_path, "restartFailedBrokers=true\nrestartBackoffMillis=10\n")
    async with started(path, files=disk.files) as container:
        address = container.broker_container_addr
        assert (await add(address, broker_file(tmp_path, "a", free_port))).code == 0
        inner = the(container, "a")
        container.config.remove_broker_timeout_millis = 100
        with disk.hanging("checkpoint"):
            late = await remove(address, "a")
            assert (late.code, "is still stopping" in str(late.remark)) == (1, True)
            assert "brokerConfigPaths=\n" in path.read_text()
            disk.let_go(fails=True)
            await inner.wait_closed()
        assert not retries()
        assert inner.state is BrokerState.FAILED
        assert (container.failed_brokers, container.get_broker_controllers()) == ([], [])


async def test_a_broker_that_dies_while_the_list_is_written_is_not_on_it(
    tmp_path: Path, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = container_file(tmp_path, "brokerConfigPaths=\n")
    async with started(path) as container, trio.open_nursery() as nursery:
        saved, written, dead = container.saved, trio.Event(), threading.Event()
        write = saved._add

        def write_slowly(*args: Any) -> object:
            added = write(*args)
            trio.from_thread.run_sync(written.set)
            dead.wait(60)
            return added

        async def die_meanwhile() -> None:
            await written.wait()
            assert f"brokerConfigPaths={broker}\n" in path.read_text()
            inner = the(container, "a")
            die(inner)
            await until(lambda: inner.broker is not None and inner.broker.failure)
            dead.set()

        broker = broker_file(tmp_path, "a", free_port)
        monkeypatch.setattr(saved, "_add", write_slowly)
        nursery.start_soon(die_meanwhile)
        answer = await add(container.broker_container_addr, broker)
        monkeypatch.undo()
        assert answer.code == 1
        assert "division by zero" in str(answer.remark)
        assert (container.failed_brokers, container.get_broker_controllers()) == ([], [])
        assert "brokerConfigPaths=\n" in path.read_text()
        assert (await add(container.broker_container_addr, broker)).remark is None


async def test_a_failed_broker_comes_back_from_another_file_and_leaves_with_both(
    tmp_path: Path, free_port: int
) -> None:
    first = broker_file(tmp_path, "a", free_port)
    other = broker_file(tmp_path, "a-mended", free_port, brokerName="a", storePathRootDir=tmp_path / "a")
    path = container_file(tmp_path, "")
    async with started(path) as container:
        address = container.broker_container_addr
        assert (await add(address, first)).remark is None
        die(the(container, "a"))
        await until(lambda: container.failed_brokers)
        assert (await add(address, other)).remark is None
        assert f"brokerConfigPaths={other}\n" in path.read_text()
        assert (await remove(address, "a")).remark is None
        assert "brokerConfigPaths=\n" in path.read_text()


async def test_a_failed_broker_keeps_its_file_when_another_one_does_not_work(
    tmp_path: Path, free_port: int
) -> None:
    first = broker_file(tmp_path, "a", free_port)
    other = broker_file(tmp_path, "a-worse", free_port, brokerName="a", storePathRootDir="/dev/null/x")
    path = container_file(tmp_path, "")
    async with started(path) as container:
        address = container.broker_container_addr
        assert (await add(address, first)).remark is None
        die(the(container, "a"))
        await until(lambda: container.failed_brokers)
        for _ in range(2):
            assert (await add(address, other)).code == 1
            (failed,) = container.failed_brokers
            assert failed.inner.plan.source == first
            assert failed.reason == f"{other}: /dev/null: is not a directory"
        assert f"brokerConfigPaths={first}\n" in path.read_text()
        container.config.restart_backoff_millis = 10
        await ask(address, RequestCode.UPDATE_BROKER_CONFIG, b"restartFailedBrokers=true\n")
        await until(lambda: container.get_broker(A))
        await the(container, "a").wait_settled()
        assert the(container, "a").plan.source == first
        assert the(container, "a").state is BrokerState.RUNNING


async def test_a_broker_whose_file_is_gone_can_be_removed(tmp_path: Path, free_port: int) -> None:
    broker = broker_file(tmp_path, "a", free_port)
    path = container_file(tmp_path, "brokerConfigPaths=a.conf\n")
    async with started(path) as container:
        broker.unlink()
        assert (await remove(container.broker_container_addr, "a")).code == 0
    assert "brokerConfigPaths=\n" in path.read_text()


async def test_a_list_that_was_edited_by_hand_keeps_what_was_written(
    tmp_path: Path, free_ports: list[int]
) -> None:
    broker_file(tmp_path, "a", free_ports[0])
    path = container_file(tmp_path, "brokerConfigPaths=a.conf\n")
    async with started(path) as container:
        path.write_text(path.read_text().replace("=a.conf", "=a.conf:later.conf"))
        answer = await add(container.broker_container_addr, broker_file(tmp_path, "b", free_ports[1]))
        assert answer.remark is None
        assert f"=a.conf:later.conf:{tmp_path / 'b.conf'}\n" in path.read_text()


async def test_the_brokers_of_the_start_do_not_change_the_list(tmp_path: Path, free_port: int) -> None:
    """They come from it, or from the option -b, which counts for this start."""
    plan = read_plan(broker_file(tmp_path, "a", free_port))
    path = container_file(tmp_path, "brokerConfigPaths=other.conf\n")
    before = path.read_text()
    async with started(path, plans=[plan]) as container:
        assert the(container, "a").state is BrokerState.RUNNING
        (status,) = (await container.status()).brokers
        assert status.saved is False
    assert path.read_text() == before


async def test_files_of_the_same_broker_in_the_list(tmp_path: Path, free_ports: list[int]) -> None:
    broker_file(tmp_path, "a", free_ports[0])
    broker_file(tmp_path, "twin", free_ports[1], brokerName="a")
    path = container_file(tmp_path, "brokerConfigPaths=a.conf:twin.conf\n")
    async with started(path) as container:
        address = container.broker_container_addr
        (failed,) = container.failed_brokers
        assert "has already been added" in failed.reason
        assert (await remove(address, "a")).code == 0
        assert container.failed_brokers == []
        assert (await remove(address, "a")).code == 211
    assert "brokerConfigPaths=\n" in path.read_text()


async def test_name_servers_that_change_while_a_broker_recovers(tmp_path: Path, free_port: int) -> None:
    disk = HangingDisk()
    broker = broker_file(tmp_path, "a", free_port)
    async with open_container(directory=tmp_path, files=disk.files) as container:
        address = container.broker_container_addr
        container.config.add_broker_answer_millis = 10
        async with open_container(directory=tmp_path / "other") as other:
            with disk.hanging("a"):
                assert (await add(address, broker)).ext_fields.get("state") == "starting"
                body = f"namesrvAddr={other.namesrv_address}\n".encode()
                assert (await ask(address, RequestCode.UPDATE_BROKER_CONFIG, body)).code == 0
            container.config.add_broker_answer_millis = 10_000
            assert (await add(address, broker)).code == 0
            broker_address = address_of(the(container, "a"))

            async def is_known() -> bool:
                answer = await ask(other.name_servers[0], RequestCode.GET_BROKER_CLUSTER_INFO)
                return broker_address.encode() in bytes(answer.body)

            while not await is_known():  # noqa: ASYNC110 - another process would poll, too
                await trio.sleep(0.001)


async def test_a_disk_that_hangs_is_its_broker_s_trouble_only(
    tmp_path: Path, free_ports: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("container.container_status._LONGEST_LOOK_S", 0.3)
    disk = HangingDisk()
    async with open_container(directory=tmp_path, files=disk.files) as container:
        address = container.broker_container_addr
        for name, port in zip(("slow", "b"), free_ports[:2], strict=True):
            assert (await add(address, broker_file(tmp_path, name, port))).code == 0
        slow = the(container, "slow")
        with disk.hanging("slow"):
            for _ in range(3):
                answer = await ask(address, RequestCode.GET_CONTAINER_STATUS)
                notes = {
                    one.broker_name: one.disk_note for one in ContainerStatus.decode(answer.body).brokers
                }
                assert notes == {"slow": "its disk does not answer", "b": None}
            assert disk.waiting <= 2
            assert (await add(address, broker_file(tmp_path, "c", free_ports[2]))).code == 0
            container.config.remove_broker_timeout_millis = 100
            for _ in range(2):
                late = await remove(address, "slow")
                assert (late.code, "is still stopping" in str(late.remark)) == (1, True)
            again = await add(address, tmp_path / "slow.conf")
            assert "has already been added" in str(again.remark)
            container.config.remove_broker_timeout_millis = 10_000
            assert (await remove(address, "c")).code == 0
            assert (await send(address_of(the(container, "b")), "T", b"hello")).code == 0
        await slow.wait_closed()
        assert (await add(address, tmp_path / "slow.conf")).code == 0


async def test_the_others_are_saved_when_one_hangs_at_the_stop(tmp_path: Path, free_ports: list[int]) -> None:
    disk = HangingDisk()
    brokers = [a_broker(tmp_path, name, port) for name, port in zip("ab", free_ports[:2], strict=True)]
    with disk.hanging("nobody"):
        async with (
            trio.open_nursery() as nursery,
            open_container(brokers, directory=tmp_path, files=disk.files) as container,
        ):
            if True:
                container.server_config.shutdown_wait_time_seconds = 1
                slow, quick = the(container, "a"), the(container, "b")

                async def let_go_when_the_other_is_closed() -> None:
                    await quick.wait_closed()
                    assert slow.state is BrokerState.STOPPING
                    assert not (tmp_path / "b" / "abort").exists()
                    disk.let_go()

                nursery.start_soon(let_go_when_the_other_is_closed)
                disk._about = "/a/"
    assert slow.state is BrokerState.CLOSED


async def test_an_add_that_the_container_s_stop_meets(tmp_path: Path, free_port: int) -> None:
    disk = HangingDisk()
    path = container_file(tmp_path, "")
    before = path.read_text()
    remarks = []
    async with trio.open_nursery() as nursery, started(path, files=disk.files) as container:

        async def add_it() -> None:
            answer = await add(container.broker_container_addr, broker_file(tmp_path, "a", free_port))
            remarks.append(answer.remark)

        with disk.hanging("a"):
            nursery.start_soon(add_it)
            await until(lambda: disk.waiting)
            nursery.start_soon(container.shutdown)
            await until(lambda: container.get_broker(A).stop_asked)
    assert remarks == ["DefaultCluster_a_0 was stopped with the container before it had started"]
    assert path.read_text() == before
    assert not (tmp_path / "a").exists()


async def test_a_program_whose_broker_is_removed_while_it_starts_is_told(
    tmp_path: Path, free_port: int
) -> None:
    disk = HangingDisk()
    async with open_container(directory=tmp_path, files=disk.files) as container:

        async def add_it() -> None:
            with pytest.raises(BootRefusedError, match="was stopped before it had started"):
                await container.add_broker(*a_broker(tmp_path, "a", free_port))

        async with trio.open_nursery() as nursery:
            with disk.hanging("a"):
                nursery.start_soon(add_it)
                await until(lambda: disk.waiting)
                nursery.start_soon(container.remove_broker, A)
                await until(lambda: the(container, "a").stop_asked)


async def test_one_that_fails_ends_the_start_at_once_where_it_must(
    tmp_path: Path, free_ports: list[int]
) -> None:
    """With exitOnBootFailure nobody waits until the others have recovered."""
    disk = HangingDisk()
    slow = read_plan(broker_file(tmp_path, "slow", free_ports[0]))
    wrong = read_plan(broker_file(tmp_path, "wrong", free_ports[1], storePathRootDir="/dev/null/x"))
    path = container_file(tmp_path, "exitOnBootFailure=true\n")
    with disk.hanging("slow"), pytest.RaisesGroup(BootRefusedError, flatten_subgroups=True):
        async with trio.open_nursery() as nursery:

            async def let_go_when_it_is_stopped() -> None:
                await until(lambda: disk.waiting)
                await until(lambda: container_of[0].get_broker(slow.identity).stop_asked)
                disk.let_go()

            container_of: list[BrokerContainer] = []
            nursery.start_soon(let_go_when_it_is_stopped)
            async with started(path, files=disk.files, plans=[slow, wrong], made=container_of.append):
                pytest.fail("it started")


async def test_a_container_s_file_in_any_language(tmp_path: Path, free_port: int) -> None:
    odd = tmp_path / "größe = 1 #!\\t"
    odd.mkdir()
    path = container_file(tmp_path, "")
    async with started(path) as container:
        added = await add(container.broker_container_addr, broker_file(odd, "a", free_port))
        assert added.remark is None
    async with started(path) as container:
        assert the(container, "a").plan.source == odd / "a.conf"
        assert (await remove(container.broker_container_addr, "a")).remark is None
