"""A broker from its start to its end, and again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import trio

from broker.broker import BrokerState
from remoting.errors import ReservationError
from remoting.protocol.request_code import RequestCode
from store import StoreError

if TYPE_CHECKING:
    from pathlib import Path

SEND = {
    "a": "p",
    "c": "TBW102",
    "d": 4,
    "e": 0,
    "f": 0,
    "g": 1_700_000_000_000,
    "h": 0,
    "i": "",
    "j": 0,
    "k": False,
    "m": False,
}


def names_in(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


async def test_port_0_becomes_three_real_ports(tmp_path: Path, running_broker: Any, asking: Any) -> None:
    async with running_broker(tmp_path) as broker, asking(broker) as ask:
        port, fast, ha = broker.ports
        assert port > 1024
        assert (fast, ha) == (port - 2, port + 1)
        assert broker.address == f"127.0.0.1:{port}"
        answer = await ask(RequestCode.GET_BROKER_RUNTIME_INFO)
        assert answer.code == 0
        assert broker.state is BrokerState.RUNNING
        assert broker.statistics().connections == 1


async def test_what_was_stored_is_there_after_a_restart(
    tmp_path: Path, running_broker: Any, asking: Any
) -> None:
    async with running_broker(tmp_path) as broker, asking(broker) as ask:
        sent = await ask(RequestCode.SEND_MESSAGE_V2, b"hello", b="t", **SEND)
        assert sent.code == 0
        group = b'{"groupName":"g","retryMaxTimes":3}'
        assert (await ask(RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, group)).code == 0
        committed = await ask(
            RequestCode.UPDATE_CONSUMER_OFFSET, consumerGroup="g", topic="t", queueId=0, commitOffset=1
        )
        assert committed.code == 0
    assert broker.state is BrokerState.STOPPED
    assert "abort" not in names_in(tmp_path)
    async with running_broker(tmp_path) as broker, asking(broker) as ask:
        end = await ask(RequestCode.GET_MAX_OFFSET, topic="t", queueId=0)
        assert end.ext_fields["offset"] == "1"
        offset = await ask(RequestCode.QUERY_CONSUMER_OFFSET, consumerGroup="g", topic="t", queueId=0)
        assert offset.ext_fields["offset"] == "1"
        kept = await ask(RequestCode.GET_SUBSCRIPTIONGROUP_CONFIG, group="g")
        assert b'"retryMaxTimes":3' in bytes(kept.body)


async def test_a_message_id_names_the_broker_s_own_port(
    tmp_path: Path, running_broker: Any, asking: Any
) -> None:
    async with running_broker(tmp_path) as broker, asking(broker) as ask:
        sent = await ask(RequestCode.SEND_MESSAGE_V2, b"hello", b="t", **SEND)
        assert int(sent.ext_fields["msgId"][8:16], 16) == broker.ports[0]


async def test_the_fast_port_serves_everything_but_pulls(
    tmp_path: Path, running_broker: Any, asking: Any
) -> None:
    async with running_broker(tmp_path) as broker, asking(broker) as ask:
        ask.address = f"127.0.0.1:{broker.ports[1]}"
        assert (await ask(RequestCode.GET_BROKER_RUNTIME_INFO)).code == 0
        assert (await ask(RequestCode.SEND_MESSAGE_V2, b"hello", b="t", **SEND)).code == 0
        assert (await ask(RequestCode.PULL_MESSAGE)).code == 3
        unknown = await ask(4711)
        assert (unknown.code, unknown.remark) == (3, " request type 4711 not supported")


async def test_a_port_in_use_ends_the_start_and_leaves_nothing_behind(
    tmp_path: Path, running_broker: Any, make_broker: Any
) -> None:
    async with running_broker(tmp_path / "first") as first:
        second = make_broker(tmp_path / "second", listen_port=first.ports[0])
        with pytest.raises(ReservationError):
            await second.run()
        assert second.state is BrokerState.FAILED
        assert not (tmp_path / "second").exists()
        overlapping = make_broker(tmp_path / "second", listen_port=first.ports[1])
        with pytest.raises(ReservationError):
            await overlapping.run()


async def test_a_store_in_use_ends_the_start_and_gives_its_ports_back(
    tmp_path: Path, running_broker: Any, make_broker: Any
) -> None:
    async with running_broker(tmp_path):
        second = make_broker(tmp_path)
        with pytest.raises(StoreError) as refusal:
            await second.run()
        assert str(tmp_path) in str(refusal.value)
        port = second.listen_port
        async with running_broker(tmp_path / "other", listen_port=port) as third:
            assert third.ports[0] == port


async def test_a_broker_stopped_while_it_starts_gives_everything_back(
    tmp_path: Path, running_broker: Any, make_broker: Any
) -> None:
    broker = make_broker(tmp_path)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(broker.run)
        nursery.cancel_scope.cancel()
    assert broker.state is BrokerState.STOPPED
    async with running_broker(tmp_path) as again:
        assert again.state is BrokerState.RUNNING


async def test_a_service_that_fails_ends_the_broker_and_saves_what_there_is(
    tmp_path: Path, make_broker: Any, running_broker: Any, asking: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = make_broker(tmp_path)
    broken = trio.Event()

    async def fail(*_: object) -> None:
        await broken.wait()
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(broker, "_keep_house", fail)
    with pytest.RaisesGroup(pytest.RaisesExc(RuntimeError, match="on purpose"), flatten_subgroups=True):
        async with trio.open_nursery() as nursery:
            await nursery.start(broker.run)
            async with asking(broker) as ask:
                assert (await ask(RequestCode.SEND_MESSAGE_V2, b"hello", b="t", **SEND)).code == 0
            broken.set()
    assert broker.state is BrokerState.FAILED
    assert broker.failure is not None
    assert "abort" not in names_in(tmp_path)
    async with running_broker(tmp_path) as again, asking(again) as ask:
        end = await ask(RequestCode.GET_MAX_OFFSET, topic="t", queueId=0)
        assert end.ext_fields["offset"] == "1"


async def test_a_broker_runs_once(tmp_path: Path, running_broker: Any) -> None:
    async with running_broker(tmp_path) as broker:
        with pytest.raises(RuntimeError, match="cannot run twice"):
            await broker.run()
