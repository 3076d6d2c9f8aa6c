"""Lines reach the file of their logger and broker; the host application's logging is left alone."""

from __future__ import annotations

import contextvars
import logging
import re
import threading
import warnings
from typing import TYPE_CHECKING

import psutil
import pytest
import trio

import logs
from logs import NAMESRV_LAYOUT, BrokerIdentity, LogSettings

if TYPE_CHECKING:
    from pathlib import Path

A = BrokerIdentity("DefaultCluster", "broker-a", 0)
B = BrokerIdentity("DefaultCluster", "broker-b", 1)
LOG = logging.getLogger("rocketmq.broker")


def isolated() -> bool:
    return True


def lines(path: Path) -> list[str]:
    assert logs.flush()
    return path.read_text().splitlines()


def texts(path: Path) -> list[str]:
    return [line.partition(" - ")[2] for line in lines(path)]


def open_below(directory: Path) -> list[str]:
    """Files of this process that are open for writing below a directory."""
    return [file.path for file in psutil.Process().open_files() if file.path.startswith(str(directory))]


FILES = [
    ("rocketmq.broker", "broker.log"),
    ("rocketmq.broker.send", "broker.log"),
    ("rocketmq.container", "broker.log"),
    ("rocketmq.store", "store.log"),
    ("rocketmq.storeerror", "storeerror.log"),
    ("rocketmq.remoting", "remoting.log"),
    ("rocketmq.namesrv", "namesrv.log"),
    ("rocketmq.transaction", "transaction.log"),
    ("rocketmq.stats", "stats.log"),
    ("rocketmq.lock", "lock.log"),
    ("rocketmq.filter", "filter.log"),
    ("rocketmq.protection", "protection.log"),
    ("rocketmq.watermark", "watermark.log"),
    ("rocketmq.client", "rocketmq_client.log"),
    ("rocketmq", "broker_default.log"),
    ("rocketmq.other", "broker_default.log"),
]


@pytest.mark.parametrize(("logger", "file"), FILES)
def test_each_logger_has_its_file(tmp_path: Path, logger: str, file: str) -> None:
    logs.install(LogSettings(root=tmp_path))
    logging.getLogger(logger).warning("hello %s", "there")
    (line,) = lines(tmp_path / file)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} WARN MainThread - hello there", line)
    assert [path.name for path in tmp_path.iterdir()] == [file]


def test_a_name_server_alone_has_javas_two_files(tmp_path: Path) -> None:
    logs.install(LogSettings(root=tmp_path, layout=NAMESRV_LAYOUT))
    for logger in ("namesrv", "remoting", "other"):
        logging.getLogger(f"rocketmq.{logger}").warning("of %s", logger)
    assert texts(tmp_path / "namesrv.log") == ["of namesrv", "of remoting"]
    assert texts(tmp_path / "namesrv_default.log") == ["of other"]


def test_an_isolated_broker_has_a_directory_of_its_own(tmp_path: Path) -> None:
    logs.install(LogSettings(root=tmp_path))
    with logs.bound(A, isolated):
        LOG.info("from a")
        thread = threading.Thread(target=contextvars.copy_context().run, args=(LOG.info, "from a's thread"))
        thread.start()
        thread.join()
    with logs.bound(B):
        LOG.info("from b")
    LOG.info("from the container")
    assert texts(tmp_path / "DefaultCluster_broker-a_0" / "broker.log") == ["from a", "from a's thread"]
    of_all = lines(tmp_path / "broker.log")
    assert [line.partition("INFO ")[2] for line in of_all] == [
        "#DefaultCluster_broker-b_1#MainThread - from b",
        "MainThread - from the container",
    ]


def test_isolation_can_be_changed_between_two_lines(tmp_path: Path) -> None:
    logs.install(LogSettings(root=tmp_path))
    answers = [True, False, True]
    with logs.bound(A, lambda: answers.pop(0)):
        for number in range(3):
            LOG.info("line %d", number)
    assert texts(tmp_path / A.canonical_name / "broker.log") == ["line 0", "line 2"]
    assert texts(tmp_path / "broker.log") == ["line 1"]


async def test_brokers_of_the_same_name_do_not_see_each_others_isolation(tmp_path: Path) -> None:
    logs.install(LogSettings(root=tmp_path))
    both = trio.Event()

    async def live(is_isolated: bool) -> None:
        with logs.bound(A, lambda: is_isolated):
            await both.wait()
            LOG.info("isolated: %s", is_isolated)
            await trio.to_thread.run_sync(LOG.info, f"in a thread: {is_isolated}")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(live, True)
        nursery.start_soon(live, False)
        both.set()
    assert texts(tmp_path / A.canonical_name / "broker.log") == ["isolated: True", "in a thread: True"]
    assert texts(tmp_path / "broker.log") == ["isolated: False", "in a thread: False"]


@pytest.mark.parametrize("logger", ["container", "container.status", "namesrv"])
def test_lines_of_the_container_and_its_name_server_are_the_roots_whoever_runs_them(
    tmp_path: Path, logger: str
) -> None:
    logs.install(LogSettings(root=tmp_path))
    with logs.bound(A, isolated):
        logging.getLogger(f"rocketmq.{logger}").info("about a broker, from its task")
    assert logs.flush()
    (file,) = tmp_path.iterdir()
    assert texts(file) == ["about a broker, from its task"]
    assert "#" not in file.read_text()


def test_who_speaks_can_be_asked() -> None:
    assert logs.current_identity() is None
    with logs.bound(A):
        assert logs.current_identity() == A
        with logs.bound(None):
            assert logs.current_identity() is None


@pytest.mark.parametrize("name", ["../x", "a/b", "..\\x"])
def test_no_broker_name_leads_out_of_the_root(tmp_path: Path, name: str) -> None:
    root = tmp_path / "logs"
    logs.install(LogSettings(root=root))
    with logs.bound(BrokerIdentity("c", name, 0), isolated):
        LOG.info("x")
    logs.flush()
    assert len(list(root.glob("*/broker.log"))) == 1
    assert list(tmp_path.iterdir()) == [root]


def test_the_files_of_a_broker_that_ended_are_closed_and_a_late_line_still_arrives(tmp_path: Path) -> None:
    logs.install(LogSettings(root=tmp_path))
    with logs.bound(A, isolated):
        LOG.info("one")
        logging.getLogger("rocketmq.store").info("two")
        assert logs.flush()
        assert len(open_below(tmp_path)) == 2
        logs.release(A)
        assert logs.flush()
        assert open_below(tmp_path) == []
        LOG.info("late")
    assert texts(tmp_path / A.canonical_name / "broker.log") == ["one", "late"]


def test_the_hosts_logging_is_not_touched(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    LOG.warning("before")
    logs.install(LogSettings(root=tmp_path))
    LOG.warning("in the file")
    logging.getLogger("somebody").warning("else")
    logs.uninstall()
    LOG.warning("after")
    assert caplog.messages == ["before", "else", "after"]
    assert (tmp_path / "broker.log").read_text().count("\n") == 1
    assert logging.getLogger("rocketmq").handlers == []


def test_levels_and_propagation_that_the_host_chose_come_back(tmp_path: Path) -> None:
    root, store = logging.getLogger("rocketmq"), logging.getLogger("rocketmq.store")
    try:
        root.setLevel(logging.ERROR)
        store.setLevel(logging.DEBUG)
        root.propagate = False
        logs.install(LogSettings(root=tmp_path, levels={"rocketmq.store": logging.WARNING}))
        assert (root.level, store.level) == (logging.INFO, logging.WARNING)
        logs.uninstall()
        assert (root.level, store.level, root.propagate) == (logging.ERROR, logging.DEBUG, False)
    finally:
        root.setLevel(logging.NOTSET)
        store.setLevel(logging.NOTSET)
        root.propagate = True


def test_a_process_of_its_own_gets_the_lines_of_all_loggers_and_pythons_warnings(tmp_path: Path) -> None:
    logs.install(LogSettings(root=tmp_path, others=True))
    with logs.bound(A, isolated):  # whoever runs when the garbage collector finds something
        logging.getLogger("somebody").warning("else")
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            logging.captureWarnings(True)
            warnings.warn("coroutine was never awaited", RuntimeWarning, stacklevel=1)
    of_others = "\n".join(lines(tmp_path / "broker_default.log"))
    assert "else" in of_others
    assert "coroutine was never awaited" in of_others
    assert [path.name for path in tmp_path.iterdir()] == ["broker_default.log"]


def test_installing_twice_is_an_error(tmp_path: Path) -> None:
    logs.install(LogSettings(root=tmp_path))
    with pytest.raises(RuntimeError, match="installed already"):
        logs.install(LogSettings(root=tmp_path))


def test_without_files_nothing_is_changed_counted_or_waited_for() -> None:
    logs.set_levels(logging.DEBUG, {})
    logs.change(LogSettings(level=logging.DEBUG))
    logs.release(A)
    assert logs.statistics() is None
    assert logs.flush()
    assert logging.getLogger("rocketmq").level == logging.NOTSET


def test_levels_change_while_running_and_what_is_not_named_any_more_is_as_before(tmp_path: Path) -> None:
    logs.install(LogSettings(root=tmp_path))
    store = logging.getLogger("rocketmq.store")
    store.debug("not yet")
    logs.set_levels(logging.WARNING, {"rocketmq.store": logging.DEBUG})
    store.debug("now")
    logging.getLogger("rocketmq.store.flush").debug("below as well")
    LOG.info("no longer")
    logs.set_levels(logging.INFO, {})
    store.debug("no more")
    store.info("back")
    assert texts(tmp_path / "store.log") == ["now", "below as well", "back"]
    assert not (tmp_path / "broker.log").exists()


def test_a_change_leaves_the_place_and_the_form_of_the_log_alone(tmp_path: Path) -> None:
    logs.install(LogSettings(root=tmp_path / "log", json=True))
    logs.change(LogSettings(root=tmp_path / "elsewhere", level=logging.DEBUG))
    LOG.debug("hello")
    (line,) = lines(tmp_path / "log" / "broker.log")
    assert line.startswith("{")
    assert not (tmp_path / "elsewhere").exists()
