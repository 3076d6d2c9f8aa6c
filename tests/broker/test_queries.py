"""Offsets of groups and queues, and messages by key and by place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from rig import NOW_MS, Rig, open_rig, properties, send_request

from broker import message_query, offset_query
from remoting.command import RemotingCommand
from remoting.errors import CommandError
from remoting.processors import ProcessorTable
from remoting.protocol.message import decode_messages

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with open_rig(tmp_path) as rig:
        rig.topic("T")
        yield rig


async def ask(rig: Rig, code: int, **fields: str) -> RemotingCommand:
    """Give one request to the handler of its code; refusals come as answers."""
    table = ProcessorTable()
    offset_query.register(table, rig.context)
    message_query.register(table, rig.context)
    request = RemotingCommand.request(code, fields)
    entry = table.find(code)
    assert entry is not None
    connection: Any = rig.connection
    try:
        if entry.call is not None:
            answer = entry.call(connection, request)
        else:
            assert entry.task is not None
            answer = await entry.task(connection, request)
    except CommandError as error:
        answer = request.response(error.code, error.remark)
    assert answer is not None
    return answer


def send(rig: Rig, count: int = 3) -> None:
    """One message each second."""
    for number in range(count):
        rig.send(
            send_request(body=b"%d" % number, i=properties(UNIQ_KEY=f"U{number}", KEYS=f"all k{number}"))
        )
        rig.clock.advance(1000)


OF_GROUP = {"consumerGroup": "g", "topic": "T", "queueId": "0"}


async def test_a_kept_offset_is_told(rig: Rig) -> None:
    rig.context.groups.find("g")
    answer = await ask(rig, 15, **OF_GROUP, commitOffset="7")
    assert (answer.code, answer.remark) == (0, None)
    assert (await ask(rig, 14, **OF_GROUP)).ext_fields == {"offset": "7"}


async def test_an_offset_may_go_down(rig: Rig) -> None:
    rig.context.groups.find("g")
    await ask(rig, 15, **OF_GROUP, commitOffset="7")
    await ask(rig, 15, **OF_GROUP, commitOffset="3")
    assert (await ask(rig, 14, **OF_GROUP)).ext_fields == {"offset": "3"}


async def test_a_new_group_begins_at_0_while_the_first_message_is_near(rig: Rig) -> None:
    send(rig, 1)
    assert (await ask(rig, 14, **OF_GROUP)).ext_fields == {"offset": "0"}
    answer = await ask(rig, 14, **OF_GROUP, setZeroIfNotFound="false")
    assert (answer.code, answer.remark) == (22, "Not found, do not set to zero, maybe this group boot first")


async def test_a_new_group_of_an_empty_queue_is_told_that_it_has_no_offset(rig: Rig) -> None:
    answer = await ask(rig, 14, **OF_GROUP)
    assert (answer.code, answer.remark) == (
        22,
        "Not found, V3_0_6_SNAPSHOT maybe this group consumer boot first",
    )


async def test_a_new_group_far_behind_is_told_that_it_has_no_offset(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(rig, 1)
    monkeypatch.setattr(rig.context.store, "is_in_memory", lambda *_: False)
    assert (await ask(rig, 14, **OF_GROUP)).code == 22


async def test_commits_are_ignored_while_a_reset_waits(rig: Rig) -> None:
    rig.context.groups.find("g")
    rig.context.offsets.reset("g", "T", 0, 2)
    answer = await ask(rig, 15, **OF_GROUP, commitOffset="7")
    assert (answer.code, answer.remark) == (0, "Offset has been previously reset")
    assert rig.context.offsets.take_reset("g", "T", 0) == 2
    assert rig.context.offsets.query("g", "T", 0) == 2


@pytest.mark.parametrize(
    ("fields", "code", "remark"),
    [
        ({"consumerGroup": "none"}, 26, "Group none not exist!"),
        ({"topic": "none"}, 17, "Topic none not exist!"),
        ({"queueId": ""}, 1, "<queueId>"),
        ({"commitOffset": "x"}, 1, "<commitOffset>"),
        ({"commitOffset": str(2**63)}, 1, "<commitOffset>"),
    ],
)
async def test_what_cannot_be_kept_is_refused(
    rig: Rig, fields: dict[str, str], code: int, remark: str
) -> None:
    rig.context.groups.find("g")
    answer = await ask(rig, 15, **{**OF_GROUP, "commitOffset": "1", **fields})
    assert answer.code == code
    assert remark in (answer.remark or "")


async def test_missing_numbers_of_a_commit_are_told_as_java_does(rig: Rig) -> None:
    rig.context.groups.find("g")
    answer = await ask(rig, 15, consumerGroup="g", topic="T", commitOffset="1")
    assert (answer.code, answer.remark) == (29, "QueueId is null, topic is T")
    answer = await ask(rig, 15, **OF_GROUP)
    assert (answer.code, answer.remark) == (29, "Offset is null, topic is T")


async def test_ends_of_a_queue(rig: Rig) -> None:
    queue = {"topic": "T", "queueId": "0"}
    assert (await ask(rig, 30, **queue)).ext_fields == {"offset": "0"}
    assert (await ask(rig, 31, **queue)).ext_fields == {"offset": "0"}
    assert (await ask(rig, 32, **queue)).ext_fields == {"timestamp": "-1"}
    send(rig)
    assert (await ask(rig, 30, **queue)).ext_fields == {"offset": "3"}
    assert (await ask(rig, 31, **queue)).ext_fields == {"offset": "0"}
    assert (await ask(rig, 32, **queue)).ext_fields == {"timestamp": str(NOW_MS)}


@pytest.mark.parametrize(("boundary", "offset"), [("LOWER", "2"), ("upper", "1"), ("other", "2")])
async def test_an_offset_by_time(rig: Rig, boundary: str, offset: str) -> None:
    send(rig)
    answer = await ask(rig, 29, topic="T", queueId="0", timestamp=str(NOW_MS + 1500), boundaryType=boundary)
    assert answer.ext_fields == {"offset": offset}


async def test_the_search_by_time_of_the_go_client_is_understood(rig: Rig) -> None:
    send(rig)
    answer = await ask(rig, 30, Topic="T", QueueId="0", Timestamp=str(NOW_MS + 1500))
    assert answer.ext_fields == {"offset": "2"}
    assert (await ask(rig, 30)).remark == "the custom field <topic> is null"


async def test_messages_by_key(rig: Rig) -> None:
    send(rig)
    times = {"beginTimestamp": "0", "endTimestamp": str(2**62)}
    answer = await ask(rig, 12, topic="T", key="all", maxNum="32", **times)
    assert [message.body for message in decode_messages(bytes(answer.body))] == [b"0", b"1", b"2"]
    newest = rig.messages("T")[2]
    assert answer.ext_fields == {
        "indexLastUpdateTimestamp": str(newest.store_timestamp),
        "indexLastUpdatePhyoffset": str(newest.commit_log_offset),
    }
    answer = await ask(rig, 12, topic="T", key="U1", maxNum="0", _UNIQUE_KEY_QUERY="true", **times)
    assert [message.body for message in decode_messages(bytes(answer.body))] == [b"1"]
    answer = await ask(rig, 12, topic="T", key="unknown", maxNum="32", **times)
    assert (answer.code, answer.remark) == (22, "can not find message, maybe time range not correct")


async def test_a_query_by_unique_key_brings_at_most_default_query_max_num(rig: Rig) -> None:
    send(rig)
    rig.context.store_config.default_query_max_num = 2
    fields = {"topic": "T", "key": "all", "beginTimestamp": "0", "endTimestamp": str(2**62)}
    answer = await ask(rig, 12, maxNum="32", _UNIQUE_KEY_QUERY="true", **fields)
    assert len(decode_messages(bytes(answer.body))) == 2
    answer = await ask(rig, 12, maxNum="3", **fields)
    assert len(decode_messages(bytes(answer.body))) == 3


async def test_a_message_by_its_place(rig: Rig) -> None:
    send(rig)
    place = rig.messages("T")[1].commit_log_offset
    answer = await ask(rig, 33, offset=str(place))
    assert [message.body for message in decode_messages(bytes(answer.body))] == [b"1"]
    for wrong in (-1, place + 1, 1 << 50):
        answer = await ask(rig, 33, offset=str(wrong))
        assert (answer.code, answer.remark) == (1, f"can not find message by the offset, {wrong}")
