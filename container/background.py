"""A running container beside a blocking program: :func:`container.open_container` in a thread of its own.

For tests with plain pytest or unittest, and for clients that block. The thread runs one trio run, which holds
everything of the container; signals, logging and the rest of the process stay the program's own.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import trio

from client import AdminClient
from container.config import BrokerContainerConfig
from container.open_container import open_container
from remoting.protocol.admin_body import TopicConfig

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from container.broker_container import BrokerContainer
    from container.inner_broker import BootHook, InnerBrokerStatistics
    from container.open_container import BrokerChoice
    from store import FileSystem

__all__ = ["ContainerFailedError", "RunningContainer", "running_container"]

A = ParamSpec("A")
T = TypeVar("T")

DEFAULT_QUEUES = 4


class ContainerFailedError(Exception):
    """A broker has failed since the start; the text says which and why."""


class RunningContainer:
    """A container that runs in another thread. Made by :func:`running_container`.

    Everything here may be called from any thread but the container's own.

    Attributes:
        container: only for functions that :meth:`run` runs: trio's objects belong to one thread.
        namesrv_address: `host:port` of the name server, as clients take it.
    """

    def __init__(self, container: BrokerContainer, token: trio.lowlevel.TrioToken) -> None:
        self.container = container
        self.namesrv_address = container.namesrv_address
        self._token = token

    def __repr__(self) -> str:
        return f"<RunningContainer, name server {self.namesrv_address}>"

    @property
    def broker_addresses(self) -> dict[str, str]:
        """Name to `host:port` of the brokers that run now; none after the end."""
        return self._ask(lambda: self.container.broker_addresses)

    @property
    def failed_brokers(self) -> tuple[InnerBrokerStatistics, ...]:
        """Brokers that have failed, with their reasons, the newest last; also after the end."""
        return self._ask(lambda: self.container.statistics().failed)

    def check(self) -> None:
        """Does nothing while all is well.

        Raises:
            ContainerFailedError: a broker has failed.
        """
        if failed := self.failed_brokers:
            raise ContainerFailedError("; ".join(f"{one.canonical_name}: {one.reason}" for one in failed))

    def create_topic(self, topic: str, *, queues: int = DEFAULT_QUEUES) -> None:
        """Makes a topic on every broker; when this returns, the name server has its route.

        Sending to a topic makes it too, but a client that asked for its route before asks again only after
        half a minute.

        Raises:
            AnswerError: a broker refuses the name or the number.
        """
        self.run(self._create_topic, topic, queues)

    async def _create_topic(self, topic: str, queues: int) -> None:
        config = TopicConfig(topic_name=topic, read_queue_nums=queues, write_queue_nums=queues)
        async with AdminClient(self.container.name_servers) as admin:
            for address in self.container.broker_addresses.values():
                await admin.put_topic_at(address, config)

    def run(self, function: Callable[A, Awaitable[T]], *args: A.args, **kwargs: A.kwargs) -> T:
        """Runs an async function in the container's thread and waits for its result.

        Raises:
            trio.RunFinishedError: the container has ended.
        """
        return trio.from_thread.run(partial(function, *args, **kwargs), trio_token=self._token)

    def _ask(self, function: Callable[[], T]) -> T:
        try:
            return trio.from_thread.run_sync(function, trio_token=self._token)
        except trio.RunFinishedError:
            return function()  # nothing of the container changes any more


class _ContainerThread:
    """The thread with the trio run.

    Args:
        opened: makes what the run holds open.
    """

    def __init__(self, opened: Callable[[], AbstractAsyncContextManager[BrokerContainer]]) -> None:
        self.started: Future[RunningContainer] = Future()
        self.ended: Future[None] = Future()
        self._opened = opened
        self._stop_asked = False
        self._begun = threading.Event()
        self._token: trio.lowlevel.TrioToken | None = None
        self._life = trio.CancelScope()
        # A daemon: a program that ends without leaving its block must not hang at its end.
        self._thread = threading.Thread(target=self._run, name="broker container", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Asks for an orderly stop, also of a start that is still under way, and waits for it.

        A thread that has not begun yet, because the interrupt hit its very start, stops when it does.
        """
        self._stop_asked = True
        if self._token is not None:
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(self._life.cancel)
        if self._begun.is_set():
            self._thread.join()

    def _run(self) -> None:
        self._begun.set()
        try:
            trio.run(self._live, strict_exception_groups=True)
        except BaseException as error:
            (self.ended if self.started.done() else self.started).set_exception(error)
        else:
            self.ended.set_result(None)

    async def _live(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        if self._stop_asked:
            self._life.cancel()
        with self._life:
            async with self._opened() as container:
                self.started.set_result(RunningContainer(container, self._token))
                await trio.sleep_forever()


@contextmanager
def running_container(
    brokers: Iterable[BrokerChoice] = (),
    *,
    directory: Path | None = None,
    bind_address: str = "127.0.0.1",
    listen_port: int = 0,
    namesrv_addr: str | None = None,
    config: BrokerContainerConfig | None = None,
    hooks: Sequence[BootHook] = (),
    files: FileSystem | None = None,
) -> Iterator[RunningContainer]:
    """A container in a thread of its own; arguments as for :func:`container.open_container`.

    The brokers run when the block begins. At its end they are stopped in order, and the thread has ended.

    Args:
        config: by default one with `exitOnBootFailure`: a broker that cannot start is an error here.
        hooks: are told in the container's thread.

    Raises:
        BootRefusedError: a broker or the container cannot start; nothing of it is left.
        ContainerFailedError: at the end of a block without an error of its own: a broker has failed while it
            ran. An error of the block gets it as a note.
    """
    thread = _ContainerThread(
        partial(
            open_container,
            list(brokers),
            directory=directory,
            bind_address=bind_address,
            listen_port=listen_port,
            namesrv_addr=namesrv_addr,
            config=config or BrokerContainerConfig(exit_on_boot_failure=True),
            hooks=hooks,
            files=files,
        )
    )
    try:
        thread.start()
        running = thread.started.result()
        try:
            yield running
        except BaseException as error:
            for failed in running.failed_brokers:
                error.add_note(f"meanwhile broker {failed.canonical_name} has failed: {failed.reason}")
            if thread.ended.done() and (crash := thread.ended.exception()):
                error.add_note(f"meanwhile the container has failed: {crash!r}")
            raise
    finally:
        thread.stop()
    thread.ended.result()
    running.check()
