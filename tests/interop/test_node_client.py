"""npm ali-ons 3.12.0: the Node client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.interop.foreign import ForeignClient
from tests.interop.foreign_suite import ForeignSuite

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.interop.cluster import Cluster


class TestNodeClient(ForeignSuite):
    @pytest.fixture
    def client(
        self, node_client: list[str], cluster: Cluster, new_home: Callable[[str], Path]
    ) -> ForeignClient:
        return ForeignClient(node_client, cluster.name_server, new_home)
