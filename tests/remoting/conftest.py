from collections.abc import Iterator

import pytest
from wire_rig import close_peers


@pytest.fixture(autouse=True)
def _no_peer_is_left_open() -> Iterator[None]:
    yield
    close_peers()
