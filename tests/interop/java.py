"""RocketMQ for Java as child processes: servers, the programs of its examples, and our driver."""

from __future__ import annotations

import itertools
import json
import os
import re
import threading
from typing import TYPE_CHECKING, Any

from tests.interop.processes import ChildProcess, ProcessError, wait_for_port

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tests.interop.peers import JavaPeer

__all__ = ["Driver", "DriverError", "java_argv", "java_environment", "start_java", "start_java_server"]

_MODULE_FLAGS = (
    "--add-exports=java.base/jdk.internal.ref=ALL-UNNAMED",
    "--add-exports=java.base/sun.nio.ch=ALL-UNNAMED",
    "--add-opens=java.base/java.nio=ALL-UNNAMED",
    "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
)
# The tests run short programs on few cores: the cheap compiler and collector start and run them sooner.
_SHORT_LIVED = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto")

_LOGBACK_STATUS = re.compile(r"\|-(INFO|WARN) in ")


def java_argv(
    peer: JavaPeer,
    main: str,
    *arguments: str,
    home: Path,
    heap: Sequence[str] = ("-Xmx256m",),
    short: bool = True,
) -> list[str]:
    """The command of one Java program.

    Args:
        main: Its main class.
        home: Its `user.home`: logs, client offsets and default stores go there.
        heap: Heap options.
        short: Tune for a short life; benchmarks say False.
    """
    tuning = _SHORT_LIVED if short else ()
    return [
        peer.java,
        *heap,
        *tuning,
        *_MODULE_FLAGS,
        f"-Duser.home={home}",
        "-cp",
        peer.class_path,
        main,
        *arguments,
    ]


def java_environment(home: Path, *, name_server: str | None = None) -> dict[str, str]:
    """This process's environment with an empty `ROCKETMQ_HOME` below `home` and the name server asked for."""
    rocketmq_home = home / "rocketmq-home"
    (rocketmq_home / "conf").mkdir(parents=True, exist_ok=True)
    environment = {
        key: value for key, value in os.environ.items() if key not in ("JAVA_TOOL_OPTIONS", "NAMESRV_ADDR")
    }
    environment["ROCKETMQ_HOME"] = str(rocketmq_home)
    if name_server is not None:
        environment["NAMESRV_ADDR"] = name_server
    return environment


def start_java(
    peer: JavaPeer,
    main: str,
    *arguments: str,
    name: str,
    home: Path,
    name_server: str | None = None,
    heap: Sequence[str] = ("-Xmx256m",),
    short: bool = True,
    stdin: bool = False,
) -> ChildProcess:
    """Starts a Java program; see `java_argv`. Its output is `home/<name>.log`."""
    home.mkdir(parents=True, exist_ok=True)
    return ChildProcess(
        name,
        java_argv(peer, main, *arguments, home=home, heap=heap, short=short),
        log_dir=home,
        env=java_environment(home, name_server=name_server),
        cwd=home,
        stdin=stdin,
    )


def start_java_server(
    peer: JavaPeer,
    main: str,
    settings: Mapping[str, object],
    *,
    name: str,
    home: Path,
    heap: Sequence[str] = ("-Xmx512m",),
    short: bool = True,
    timeout_s: float = 60,
) -> ChildProcess:
    """Starts a Java server with `settings` as its properties file and waits until it says that it is up."""
    home.mkdir(parents=True, exist_ok=True)
    file = home / f"{name}.conf"
    file.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    server = start_java(peer, main, "-c", str(file), name=name, home=home, heap=heap, short=short)
    try:
        server.wait_for_line("boot success", timeout_s)
        wait_for_port(int(str(settings["listenPort"])), timeout_s, process=server)
    except BaseException:
        server.kill()
        raise
    return server


class DriverError(Exception):
    """A command of the driver failed; the text is the Java stack trace."""


class Driver:
    """Our Java program that runs many client scenarios in one JVM.

    It reads one JSON object per line from standard input, runs each command in a thread of its own and
    answers with one JSON line that carries the command's id; whatever else Java prints stays in the log.

    Args:
        peer: Jars and driver.
        home: Directory of the JVM; two drivers need two.
        name_server: `host:port` of the cluster under test.
    """

    def __init__(self, peer: JavaPeer, *, home: Path, name_server: str, name: str = "driver") -> None:
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        self.process = start_java(
            peer, "mqbc.Driver", name_server, name=name, home=home, name_server=name_server, stdin=True
        )
        try:
            self.process.wait_for_line("^driver ready$", 30)
        except ProcessError:
            self.process.stop()
            raise

    def __enter__(self) -> Driver:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the JVM with everything it still holds."""
        self.process.kill()

    def begin(self, command: str, **arguments: object) -> int:
        """Sends a command without waiting; returns the id for `result`."""
        with self._lock:
            number = next(self._ids)
            self.process.write_line(json.dumps({"id": number, "command": command, **arguments}))
        return number

    def result(self, number: int, timeout_s: float = 60) -> Any:
        """The answer to a command.

        Raises:
            DriverError: The command threw.
            ProcessError: No answer in `timeout_s` seconds.
        """
        match = self.process.wait_for_line(rf"^answer {number} (ok|failed) (.*)$", timeout_s)
        value = json.loads(match[2])
        if match[1] == "failed":
            raise DriverError(value)
        return value

    def call(self, command: str, *, timeout_s: float = 60, **arguments: object) -> Any:
        """`begin` and `result` in one."""
        return self.result(self.begin(command, **arguments), timeout_s)

    def admin(self, *arguments: str) -> str:
        """Runs one `MQAdminStartup` command in the driver's JVM; returns what it printed."""
        printed = str(self.call("admin", arguments=list(arguments)))
        return "\n".join(line for line in printed.splitlines() if not _LOGBACK_STATUS.search(line))
