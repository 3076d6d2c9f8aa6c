"""The container's loop is watched: operators see its stalls, and a long one is a line in the log."""

from __future__ import annotations

import gc
import logging
import time
from typing import TYPE_CHECKING

from container_rig import a_broker, address_of, ask

from container import open_container
from remoting.json_dialect import loads
from remoting.loop_stalls import loop_stalls
from remoting.protocol.container_body import ContainerStatus
from remoting.protocol.request_code import RequestCode
from tools.process import settle_garbage

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from container import BrokerContainer

GET_CONTAINER_STATUS = 20902


def stand_still(seconds: float) -> None:
    """Computes for so long; it takes longer where others have the cores."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


async def status_of(container: BrokerContainer) -> ContainerStatus:
    """Asked over the wire: between two passes of the loop at least."""
    answer = await ask(container.broker_container_addr, GET_CONTAINER_STATUS)
    return ContainerStatus.decode(bytes(answer.body))


async def test_a_stall_shows_in_the_container_s_status_and_in_the_runtime_table_of_its_brokers(
    tmp_path: Path,
) -> None:
    async with open_container([a_broker(tmp_path, "a")], directory=tmp_path) as container:
        stand_still(0.05)
        status = await status_of(container)
        assert status.stall_longest_millis >= 50
        assert status.stall_recent_millis == status.stall_longest_millis
        assert 0 < status.lateness_p999_millis <= status.stall_longest_millis
        assert 0 < status.loop_computing_longest_millis <= status.computing_longest_millis
        assert status.computing_longest_millis <= status.stall_longest_millis
        assert 0 < status.loop_computing_p999_millis <= status.computing_p999_millis
        (inner,) = container.get_broker_controllers()
        answer = await ask(address_of(inner), RequestCode.GET_BROKER_RUNTIME_INFO)
        table = loads(bytes(answer.body))["table"]
        assert float(table["eventLoopStallMillisLongest"]) >= 50
        assert float(table["eventLoopStallMillisRecent"]) >= 50
        assert float(table["eventLoopLatenessMillisP999"]) > 0
        assert float(table["eventLoopComputingMillisP999"]) > 0
        assert (
            0 < float(table["eventLoopComputingMillisLongest"]) <= float(table["eventLoopStallMillisLongest"])
        )
    assert loop_stalls() is None


async def test_the_figures_begin_when_the_start_is_over(tmp_path: Path) -> None:
    async with open_container([a_broker(tmp_path, "a")], directory=tmp_path) as container:
        stand_still(0.5)
        settle_garbage()
        gc.unfreeze()  # the garbage of other tests is to be found
        assert (await status_of(container)).stall_longest_millis < 500


async def test_the_key_says_what_is_worth_a_line_in_the_log_and_can_be_changed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_container(directory=tmp_path) as container:

        async def lines_after(millis: int) -> list[str]:
            change = f"eventLoopStallWarnMillis={millis}\n".encode()
            address = container.broker_container_addr
            assert (await ask(address, RequestCode.UPDATE_BROKER_CONFIG, change)).code == 0
            caplog.clear()
            stand_still(0.03)
            await status_of(container)
            return [one.message for one in caplog.records if "stood still" in one.message]

        with caplog.at_level(logging.WARNING, "rocketmq.remoting"):
            assert await lines_after(0) == []
            (line,) = await lines_after(30)
            assert line.startswith("the event loop stood still for ")
