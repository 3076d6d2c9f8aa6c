"""docs/embedding.md does what it says: the sections that need nothing but this repository.

Those with clients of other people are in `tests/interop/test_embedding_page.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.embedding_page import REPOSITORY, run_pytest, sections, write_section

if TYPE_CHECKING:
    from pathlib import Path

OURS = ["unittest", "trio", "Keys of the brokers", "Brokers that come and go"]
WITH_CLIENTS_OF_OTHERS = ["Plain pytest", "A child process", "JUnit"]


def test_every_section_with_code_is_run_by_a_test() -> None:
    assert sorted(sections()) == sorted(OURS + WITH_CLIENTS_OF_OTHERS)


@pytest.mark.parametrize("heading", OURS)
def test_what_the_page_shows_works(tmp_path: Path, heading: str) -> None:
    write_section(heading, tmp_path)
    done = run_pytest(tmp_path, path=[REPOSITORY])
    assert done.returncode == 0, done.stdout + done.stderr
