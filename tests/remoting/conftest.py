from collections.abc import Iterator

import pytest
from wire_rig import close_peers


@pytest.fixture(autouse=True)
def _no_peer_is_left_open() -> Iterator[None]:
    yield
    close_peers()


@pytest.fixture(params=["directly", "by tasks"])
def way_of_reading(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways in which connections are read; the second is that of platforms without the first."""
    if request.param == "by tasks":
        monkeypatch.setattr("remoting.connection.direct_events", lambda: None)
    return request.param
