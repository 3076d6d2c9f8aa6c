"""docs/embedding.md with the clients that it shows: the C++ client in Python, the Java client in JUnit."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.embedding_page import REPOSITORY, run_pytest, write_section

if TYPE_CHECKING:
    from tests.interop.peers import JavaPeer

COMMANDS = REPOSITORY / "bin"


@pytest.fixture
def cpp_packages(cpp_client: list[str]) -> Path:
    """Where the package `rocketmq` is: its environment has the same interpreter as these tests."""
    environment = Path(cpp_client[0]).parents[1]
    (packages,) = environment.glob("lib/python*/site-packages")
    return packages


def test_plain_pytest(tmp_path: Path, cpp_packages: Path) -> None:
    write_section("Plain pytest", tmp_path)
    done = run_pytest(tmp_path, path=[REPOSITORY, cpp_packages])
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_child_process(tmp_path: Path, cpp_packages: Path) -> None:
    write_section("A child process", tmp_path)
    done = run_pytest(tmp_path, path=[cpp_packages], commands=COMMANDS)
    assert done.returncode == 0, done.stdout + done.stderr


def test_junit(tmp_path: Path, java_peer: JavaPeer, junit_libraries: Path) -> None:
    (source,) = write_section("JUnit", tmp_path)
    class_path = os.pathsep.join([str(tmp_path), java_peer.class_path, f"{junit_libraries}/*"])
    environment = {**os.environ, "PATH": os.pathsep.join([str(COMMANDS), os.environ["PATH"]])}
    compiler = Path(java_peer.java).with_name("javac")
    subprocess.run([compiler, "-proc:none", "-nowarn", "-cp", class_path, source], check=True)
    done = subprocess.run(
        [
            java_peer.java,
            f"-Duser.home={tmp_path}",
            "-cp",
            class_path,
            "org.junit.platform.console.ConsoleLauncher",
            "execute",
            "--select-class=OrdersTest",
            "--fail-if-no-tests",
            "--disable-banner",
        ],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
