"""Native code stores before it lets go: of the text, and of whatever build this run has."""

from __future__ import annotations

import mmap
import threading
from typing import TYPE_CHECKING, Any

import pytest

from remoting.command import RemotingCommand
from remoting.processors import Processor
from remoting.serving import serve
from store.files import OsFileSystem
from store.mapped_files import LogFile, open_log_file
from tools.compiled_order import UnknownOrderError, store_before_release

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from store.files import StoreFile


@pytest.mark.parametrize(
    ("written", "ordered"),
    [
        (
            "    CPy_DECREF(((AObject *)cpy_r_self)->_x);\n    ((AObject *)cpy_r_self)->_x = cpy_r_r1;",
            "{ __typeof__(((AObject *)cpy_r_self)->_x) released = ((AObject *)cpy_r_self)->_x;\n"
            "    ((AObject *)cpy_r_self)->_x = cpy_r_r1;\n    CPy_DECREF(released);\n}",
        ),
        (
            "if (self->_x != NULL) {\n    CPy_DECREF(self->_x);\n}\nself->_x = tmp;",
            "{ __typeof__(self->_x) released = self->_x;\nself->_x = tmp;\n"
            "if (released != NULL) {\n    CPy_DECREF(released);\n}\n}",
        ),
        (
            "}\nCPyTagged_DECREF(self->_x.f0);\nCPy_DECREF(self->_x.f1);\nself->_x = tmp;",
            "}\n{ __typeof__(self->_x) released = self->_x;\nself->_x = tmp;\n"
            "CPyTagged_DECREF(released.f0);\nCPy_DECREF(released.f1);\n}",
        ),
        ("}\nself->_x = tmp;", "}\nself->_x = tmp;"),
        (
            "    if (a_free_instance == NULL) {\n        a_free_instance = self;\n"
            "        Py_CLEAR(self->_x);\n        return;\n    }",
            "    if (a_free_instance == NULL) {\n\n        Py_CLEAR(self->_x);\n"
            "        if (a_free_instance == NULL) { a_free_instance = self; return; }\n    }",
        ),
    ],
    ids=["attribute", "attribute that may be unset", "tuple", "first value", "kept instance"],
)
def test_what_is_let_go_of_is_let_go_of_last(written: str, ordered: str) -> None:
    assert store_before_release(written) == ordered


@pytest.mark.parametrize(
    "written",
    [
        "CPy_DECREF(self->_x);\nlog();\nself->_x = tmp;",
        "if (other) {\nCPy_DECREF(self->_x);\n}\nself->_x = tmp;",
        "CPy_DECREF(self->_x);\nself->_y = tmp;",
        "a_free_instance = self;\n        return;",
    ],
)
def test_an_order_that_is_not_known_ends_the_build(written: str) -> None:
    with pytest.raises(UnknownOrderError, match=r"line [12] of mypyc's C"):
        store_before_release(written)


class Dying(bytearray):
    """Calls a function when nothing refers to it any more."""

    dies: Callable[[], None]

    def __del__(self) -> None:
        self.dies()


def test_who_reads_an_attribute_while_its_old_value_ends_gets_the_new_one(tmp_path: Path) -> None:
    seen: list[bytes] = []

    class File:
        """Maps the file once more while it is mapped, as another thread may."""

        depth = 0

        def map_readonly(self, _size: int) -> memoryview:
            self.depth += 1
            if self.depth == 2:
                old = Dying(b"old")
                old.dies = lambda: seen.append(bytes(log_file.view))
                return memoryview(old)
            bytes(log_file.view)
            return memoryview(b"new")

    file: StoreFile = File()  # type: ignore[assignment]
    log_file = LogFile(str(tmp_path), 0, 3, file, maps_holes=True)
    assert bytes(log_file.view) == b"new"
    assert seen == [b"new"]


class DyingConnection:
    """Serves another connection when nothing refers to it any more."""

    dies: Callable[[], None]

    def __del__(self) -> None:
        self.dies()


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
def test_a_coroutine_that_is_made_while_another_ends_is_whole() -> None:
    made: list[Coroutine[Any, Any, None]] = []
    served: list[object] = []

    class Tasks:
        def start_soon(self, function: Callable[..., Coroutine[Any, Any, None]], *args: object) -> None:
            made.append(function(*args))

    async def answer(connection: object, request: object) -> None:
        served.append((connection, request))

    def begin(connection: object) -> None:
        serve(tasks, connection, Processor(task=answer), [request])  # type: ignore[arg-type]

    tasks, request, following = Tasks(), RemotingCommand(code=10), object()
    connection = DyingConnection()
    connection.dies = lambda: begin(following)
    begin(connection)
    del connection
    del made[0]
    [coroutine] = made
    with pytest.raises(StopIteration):
        coroutine.send(None)
    assert served == [(following, request)]


def test_threads_that_map_a_file_at_the_same_time_read_it(tmp_path: Path) -> None:
    size = mmap.PAGESIZE
    found: list[bytes] = []

    def read(log_file: LogFile, together: threading.Barrier) -> None:
        together.wait()
        found.extend(bytes(log_file.view[:2]) for _ in range(20))

    for _ in range(100):
        log_file = open_log_file(str(tmp_path), 0, size, OsFileSystem(), create=True)
        together = threading.Barrier(4)
        threads = [threading.Thread(target=read, args=(log_file, together)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        log_file.file.close()
    assert found == [bytes(2)] * (100 * 4 * 20)
