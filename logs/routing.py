"""Which line goes to which file: by the logger's name and by the broker that speaks.

Everybody logs with the standard library under `rocketmq.*`. Once installed, those lines, and only those, go
to Java's file names: `<root>/<file>`, or `<root>/<cluster>_<name>_<id>/<file>` for an isolated broker
(`isolateLogEnable`). Lines of `rocketmq.container` and `rocketmq.namesrv`, also those *about* a broker or
from a broker's task, are the root's. So is what other libraries say when a process hands it over (`others`):
a warning from the garbage collector comes in whichever task happens to run, and nobody knows whose it is.

The host application's own logging is not touched; before :func:`install` and after :func:`uninstall` the
lines travel to its handlers as usual.
"""

from __future__ import annotations

import contextlib
import logging
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from logs.console import Console
from logs.identity import current_speaker
from logs.layout import BROKER_LAYOUT, ROOT_LOGGER, Layout, directory_name
from logs.levels import LevelKeeper
from logs.lines import JsonLines, TextLines, notice
from logs.writer import LogWriter, Target

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from logs.identity import BrokerIdentity
    from logs.lines import LineFormat
    from logs.writer import LogStatistics

__all__ = ["LogSettings", "change", "flush", "install", "release", "set_levels", "statistics", "uninstall"]

_STOP_TIMEOUT_S = 10.0
_CONSOLE_STOP_TIMEOUT_S = 1.0
_MOST_TARGETS = 4096

_OF_THE_PROCESS = frozenset({"container", "namesrv"})
"""Second part of the loggers whose lines are never a broker's, whosever task they come from."""


@attrs.frozen(kw_only=True)
class LogSettings:
    """Where and what to log."""

    root: Path = attrs.field(factory=lambda: Path.home() / "logs" / "rocketmqlogs", converter=Path)
    """Directory of the files; created with the first line."""
    layout: Layout = BROKER_LAYOUT
    """Names, sizes and numbers of the files."""
    json: bool = False
    """One JSON object a line, instead of Java's text."""
    others: bool = False
    """Whether lines of other loggers, and Python's warnings, go to the default file: for a process that is
    nobody's host."""
    queue_bytes: int = 8 << 20
    """Most bytes of lines waiting for the writer thread; what comes beyond is dropped and counted."""

    level: int = logging.INFO
    """Lines below this level are not written."""
    levels: Mapping[str, int] = attrs.field(factory=dict)
    """Other levels for some loggers, `rocketmq.store` for example, and those below them."""
    console_level: int | None = None
    """Lines from this level on are shown on standard error as well; None shows none."""
    max_size_bytes: int | None = None
    """Size at which every file is rotated, instead of the layout's."""
    keep: int | None = None
    """Old files kept of each, instead of the layout's."""


@lru_cache(maxsize=1024)
def _may_be_a_brokers(logger_name: str) -> bool:
    root, _, rest = logger_name.partition(".")
    return root == ROOT_LOGGER and rest.partition(".")[0] not in _OF_THE_PROCESS


class _Router(logging.Handler):
    """Formats lines where they arise and hands them to the writer thread."""

    def __init__(self, settings: LogSettings) -> None:
        super().__init__()
        self.settings = settings
        self._format: LineFormat = JsonLines() if settings.json else TextLines()
        self.console = Console()
        self.writer = LogWriter(settings.queue_bytes, self._notice, self._last_resort)
        self.levels = LevelKeeper()
        self._targets: dict[tuple[str, BrokerIdentity | None], Target] = {}

    def change(self, settings: LogSettings) -> None:
        """Levels, console and rotation as in `settings`, from the next line on."""
        self.settings = settings
        self._targets.clear()
        self.levels.set(settings.level, settings.levels)

    def handle(self, record: logging.LogRecord) -> bool:
        # Without the handler's lock: nothing here needs it, and nobody shall wait for a slow message.
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._emit(record)
        except Exception:  # a line must not end whoever writes it
            self.handleError(record)

    def _emit(self, record: logging.LogRecord) -> None:
        identity, isolated = None, False
        if _may_be_a_brokers(record.name):
            speaker = current_speaker.get()
            if speaker is not None:
                identity, isolated = speaker.identity, speaker.isolated()
        target = self._target(record.name, identity if isolated else None)
        text = self._format.format(record, identity, named=not isolated)
        self.writer.put(target, text)
        shown_from = self.settings.console_level
        if shown_from is not None and record.levelno >= shown_from:
            shown = self._format.format(record, identity, named=True) if isolated else text
            self.console.put(record.levelno, shown)

    def forget(self, identity: BrokerIdentity) -> None:
        """Nothing more is expected of a broker."""
        for key in [key for key in list(self._targets) if key[1] == identity]:
            self._targets.pop(key, None)
        self.writer.release(identity.canonical_name)

    def _target(self, logger_name: str, isolated: BrokerIdentity | None) -> Target:
        key = (logger_name, isolated)
        target = self._targets.get(key)
        if target is None:
            if len(self._targets) >= _MOST_TARGETS:
                self._targets.clear()
            target = self._targets[key] = self._make_target(logger_name, isolated)
        return target

    def _make_target(self, logger_name: str, isolated: BrokerIdentity | None) -> Target:
        settings = self.settings
        file = settings.layout.file_of(logger_name)
        name = "" if isolated is None else isolated.canonical_name
        home = self.writer.home(name, settings.root / directory_name(name) if name else settings.root)
        default: Target | None = None
        if file is not settings.layout.default:
            default = self._target("", isolated)
        elif isolated is not None:
            default = self._target("", None)
        path = home.directory / file.name
        for made in list(self._targets.values()):
            if made.path == path and made.home is home:
                return made
        return Target(
            home,
            path,
            max_size_bytes=settings.max_size_bytes or file.max_size_bytes,
            keep=file.keep if settings.keep is None else settings.keep,
            default=default,
        )

    def _notice(self, target: Target, text: str) -> str:
        return self._format.format(notice(text), None, named=False)

    def _last_resort(self, text: str) -> None:
        self.console.put(logging.WARNING, text)


_installed: _Router | None = None
_undo = contextlib.ExitStack()


def install(settings: LogSettings | None = None) -> None:
    """Send the lines of `rocketmq.*` to files from now on, and no longer to the host's handlers.

    Raises:
        RuntimeError: it is installed already.
    """
    global _installed
    if _installed is not None:
        raise RuntimeError("the log files are installed already")
    settings = settings or LogSettings()
    router = _Router(settings)
    router.writer.start()
    _undo.callback(router.levels.restore)
    router.change(settings)
    _undo.enter_context(_handling(ROOT_LOGGER, router))
    if settings.others:
        _undo.enter_context(_handling("", router))
        logging.captureWarnings(True)
        _undo.callback(logging.captureWarnings, False)
    _installed = router


@contextlib.contextmanager
def _handling(name: str, router: _Router) -> Iterator[None]:
    """All lines of one logger and those below it go to `router` and nowhere else."""
    logger = logging.getLogger(name)
    propagated = logger.propagate
    logger.addHandler(router)
    logger.propagate = False
    try:
        yield
    finally:
        logger.propagate = propagated
        logger.removeHandler(router)


def uninstall() -> None:
    """Write what waits, close the files, and leave `rocketmq.*` to the host's handlers again, as it was.

    Blocks, at most about twenty seconds. Does nothing if nothing is installed.
    """
    global _installed
    router, _installed = _installed, None
    if router is None:
        return
    _undo.close()
    router.writer.stop(_STOP_TIMEOUT_S)
    router.console.stop(_CONSOLE_STOP_TIMEOUT_S)
    router.close()


def change(settings: LogSettings) -> None:
    """Adopt levels, console level, rotation size and number of old files; the other settings stay.

    Counts from the next line on, in every thread. Does nothing if nothing is installed: then the lines, and
    their levels, are the host application's.
    """
    if _installed is not None:
        installed = _installed.settings
        _installed.change(
            attrs.evolve(
                settings,
                root=installed.root,
                layout=installed.layout,
                json=installed.json,
                others=installed.others,
                queue_bytes=installed.queue_bytes,
            )
        )


def set_levels(level: int, levels: Mapping[str, int]) -> None:
    """Another level for all lines and for single loggers; see :func:`change`, of which it is a part."""
    if _installed is not None:
        change(attrs.evolve(_installed.settings, level=level, levels=levels))


def release(identity: BrokerIdentity) -> None:
    """Close the files of a broker that has ended; a late line opens them again. Does not block."""
    if _installed is not None:
        _installed.forget(identity)


def flush(timeout_s: float = _STOP_TIMEOUT_S) -> bool:
    """Wait until all lines logged so far are written or dropped; False if that took too long. Blocks."""
    router = _installed
    return router is None or (router.writer.flush(timeout_s) and router.console.flush(timeout_s))


def statistics() -> LogStatistics | None:
    """Counts since :func:`install`, or None if nothing is installed. Cheap, in any thread."""
    router = _installed
    return None if router is None else router.writer.statistics(router.console.dropped)
