"""A fake cluster and container that answer as Java's did when brokers were added, removed and cleaned."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from admin_peer import RECORDED, Peer, running_peer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

RECORDED_ADMINISTRATION = json.loads((Path(__file__).parent / "recorded_administration.json").read_text())
_COMPARED = ("topic", "key", "configPath", "brokerName", "brokerClusterName", "brokerId")


@asynccontextmanager
async def running_administration() -> AsyncIterator[Peer]:
    """The peer until the block ends; name server, broker and container are one address."""
    async with running_peer(Peer(recorded=RECORDED + RECORDED_ADMINISTRATION, compared=_COMPARED)) as peer:
        yield peer
