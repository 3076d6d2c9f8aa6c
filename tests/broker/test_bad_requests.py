"""Whatever is wrong with a request: it is answered, its connection lives on, and nothing is damaged."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from remoting.protocol.message import group_fault, topic_fault
from tests.broker.conftest import running_broker
from tests.broker.known_requests import KNOWN
from tests.broker.malformed import BODIES, TEXTS, Case, Known, Wire, cases, faults_of, run_table, wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from broker.broker import Broker
    from broker.context import BrokerContext

SENDS = (10, 310, 320)
PULLS = (11, 361)
HEALTHY = Case("a good request", 31, {"topic": "Known", "queueId": "0"}, b"")


@attrs.frozen
class Abused:
    broker: Broker
    context: BrokerContext
    wire: Wire


@asynccontextmanager
async def abused(directory: Path, port: int = 0) -> AsyncIterator[Abused]:
    """A broker with the topic and the group of the known requests, and a connection to one of its ports."""
    async with running_broker(directory) as broker, wire(broker.ports[port]) as connection:
        assert broker.context is not None
        await prepare(connection)
        yield Abused(broker, broker.context, connection)


async def prepare(connection: Wire) -> None:
    """Bring the broker into the state that the known requests go out from."""
    for code, changes, body in (
        (17, {"topic": "Known"}, None),
        (34, {}, None),
        (310, {}, None),
        (15, {}, None),
    ):
        known = KNOWN[code]
        fields = {**known.fields, **changes}
        answer = await connection.ask(Case("prepare", code, fields, known.body if body is None else body))
        assert answer.code == 0, answer.remark


async def test_every_code_of_both_ports_has_a_known_request(tmp_path: Path) -> None:
    async with running_broker(tmp_path) as broker:
        main, fast = (server.table.codes for server in broker._servers)
        assert main == KNOWN.keys()
        assert fast == KNOWN.keys() - {11, 361}


@pytest.mark.parametrize("port", [0, 1], ids=["main", "fast"])
async def test_malformed_requests_are_answered_and_the_tables_stay_whole(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, port: int
) -> None:
    faults: list[str] = []
    with caplog.at_level(logging.ERROR):
        async with abused(tmp_path, port) as broker:
            for code, known in KNOWN.items():
                if code in SENDS or (port and code in PULLS):
                    continue
                caplog.clear()
                faults += await run_table(broker.wire, code, known)
                faults += [f"{code} logged: {record.getMessage()[:300]}" for record in caplog.records]
                assert (await broker.wire.ask(HEALTHY)).code == 0
                await prepare(broker.wire)
            faults += tables_faults(broker.context)
            before = tables(broker.context)
        caplog.clear()
        async with running_broker(tmp_path) as again:
            assert again.context is not None
            assert tables(again.context) == before
            faults += [f"restart logged: {record.getMessage()[:300]}" for record in caplog.records]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("code", SENDS)
async def test_refused_sends_store_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    faults = []
    async with abused(tmp_path) as broker:
        store = broker.context.store
        with caplog.at_level(logging.ERROR):
            for case in cases(code, KNOWN[code]):
                before = store.max_phy_offset
                answer = await broker.wire.ask(case)
                faults += faults_of(case, answer)
                if (store.max_phy_offset != before) is not (answer.code == 0):
                    faults.append(
                        f"{case.label}: {answer.code} {answer.remark}, {store.max_phy_offset} bytes"
                    )
            faults += [record.getMessage()[:300] for record in caplog.records]
        assert (await broker.wire.ask(HEALTHY)).code == 0
        faults += tables_faults(broker.context)
    with caplog.at_level(logging.ERROR):
        caplog.clear()
        async with running_broker(tmp_path):
            assert not caplog.records
    assert not faults, "\n".join(faults)


async def test_one_way_requests_are_never_answered(tmp_path: Path) -> None:
    async with abused(tmp_path) as broker:
        silent = set()
        for code, known in KNOWN.items():
            for fields, body in (
                ({}, b""),
                (known.fields, known.body),
                (dict.fromkeys(known.fields, "x"), b"{"),
            ):
                silent.add(await broker.wire.send(code, fields, body, one_way=True))
        silent.add(await broker.wire.send(9999, {}, one_way=True))
        for code, known in KNOWN.items():
            await broker.wire.ask(Case("after one-way ones", code, known.fields, known.body))
        assert not silent & broker.wire.answers.keys()


async def test_a_pull_held_for_ever_is_still_woken(tmp_path: Path) -> None:
    async with abused(tmp_path) as broker:
        fields = {**KNOWN[11].fields, "sysFlag": "6", "queueId": "3", "suspendTimeoutMillis": str(2**63 - 1)}
        held = await broker.wire.send(11, fields)
        assert (await broker.wire.ask(HEALTHY)).code == 0
        assert held not in broker.wire.answers
        sent = await broker.wire.ask(Case("wake", 310, {**KNOWN[310].fields, "e": "3"}, b"x"))
        assert sent.code == 0
        assert (await broker.wire.answer(held, "held pull")).code == 0


_texts = st.one_of(st.sampled_from(TEXTS), st.integers().map(str), st.text(max_size=40))
_changes = st.dictionaries(st.integers(0, 20), st.one_of(st.none(), _texts), max_size=4)
_bodies = st.one_of(st.none(), st.sampled_from(BODIES), st.binary(max_size=60))
_edits = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=3)


def _fuzzed(code: int, known: Known, changes: dict[int, str | None], body: bytes | None, edits: Any) -> Case:
    fields = dict(known.fields)
    names = sorted(fields)
    for index, value in changes.items() if names else ():
        name = names[index % len(names)]
        if value is None:
            fields.pop(name, None)
        elif _encodable(value):
            fields[name] = value
    if code in PULLS:
        fields["suspendTimeoutMillis"] = "1"
    if code in (307, 309):
        fields["clientId"] = "absent"
    content = bytearray(known.body if body is None else body)
    for position, value in edits if content else ():
        content[position % len(content)] = value
    return Case(f"{fields} {bytes(content[:200])!r}", code, fields, bytes(content))


def _encodable(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


@pytest.mark.parametrize("code", sorted(KNOWN))
async def test_any_fields_and_bodies_are_answered(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    requests: list[Case] = []

    @settings(
        max_examples=60,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        deadline=None,
    )
    @given(_changes, _bodies, _edits)
    def collect(changes: dict[int, str | None], body: bytes | None, edits: Any) -> None:
        requests.append(_fuzzed(code, KNOWN[code], changes, body, edits))

    collect()
    faults: list[str] = []
    async with abused(tmp_path) as broker:
        with caplog.at_level(logging.ERROR):
            opaques = [await broker.wire.send(case.code, case.fields, case.body) for case in requests]
            for case, opaque in zip(requests, opaques, strict=True):
                faults += faults_of(case, await broker.wire.answer(opaque, case.label))
            faults += [record.getMessage()[:300] for record in caplog.records]
        assert (await broker.wire.ask(HEALTHY)).code == 0
        faults += tables_faults(broker.context)
    assert not faults, "\n".join(faults)


def tables(context: BrokerContext) -> dict[str, Any]:
    """What must be the same after a restart."""
    return {
        "topics": dict(context.topics.table),
        "groups": dict(context.groups.table),
        "offsets": context.offsets.to_json_object()["offsetTable"],
    }


def tables_faults(context: BrokerContext) -> list[str]:
    """Entries that Java could not read, or that are out of any range."""
    faults = []
    for name, topic in context.topics.table.items():
        if not context.topics.is_system(name) and topic_fault(name) is not None:
            faults.append(f"topic {name[:80]!r}")
        numbers = (topic.read_queue_nums, topic.write_queue_nums, topic.perm, topic.topic_sys_flag)
        if not all(-(2**31) <= number < 2**31 for number in numbers):
            faults.append(f"topic {name}: {numbers}")
        if topic.topic_filter_type not in ("SINGLE_TAG", "MULTI_TAG"):
            faults.append(f"topic {name}: filter type {topic.topic_filter_type[:80]!r}")
    for name, group in context.groups.table.items():
        if group_fault(name) is not None:
            faults.append(f"group {name[:80]!r}")
        figures = (
            group.retry_queue_nums, group.retry_max_times, group.group_sys_flag, group.consume_timeout_minute,
        )  # fmt: skip
        if not all(-(2**31) <= number < 2**31 for number in figures):
            faults.append(f"group {name}: {figures}")
    for key, row in context.offsets.to_json_object()["offsetTable"].items():
        topic_name, _, group_name = key.partition("@")
        if context.topics.get(topic_name) is None or group_fault(group_name) is not None:
            faults.append(f"offsets of {key[:80]!r}")
        if any(queue_id < 0 or offset < 0 for queue_id, offset in row.items()):
            faults.append(f"offsets of {key[:80]!r}: {row}")
    return faults
