"""Messages that consumers give back: retries, and dead letters after too many of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import msgspec
import pytest
from rig import Rig, open_rig, properties, send_request

from broker import send_back
from remoting.command import RemotingCommand
from remoting.errors import CommandError
from remoting.processors import ProcessorTable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with open_rig(tmp_path) as rig:
        rig.topic("T")
        yield rig


async def give_back(rig: Rig, place: int, /, version: int = 479, **changes: str | None) -> RemotingCommand:
    fields: dict[str, str | None] = {"offset": str(place), "group": "g", "delayLevel": "0", **changes}
    request = RemotingCommand.request(36, {k: v for k, v in fields.items() if v is not None})
    request.version = version
    table = ProcessorTable()
    send_back.register(table, rig.context)
    entry = table.find(36)
    assert entry is not None
    assert entry.task is not None
    answer = await entry.task(rig.connection, request)  # type: ignore[arg-type]
    return cast("RemotingCommand", answer)


def stored(rig: Rig) -> int:
    """Store a message; returns its place in the log."""
    rig.send(send_request(body=b"x", h="3", i=properties(UNIQ_KEY="U", TAGS="t", KEYS="k")))
    return rig.messages("T")[-1].commit_log_offset


async def test_a_first_retry_waits_at_level_3(rig: Rig) -> None:
    place = stored(rig)
    original = rig.messages("T")[0]
    assert (await give_back(rig, place)).code == 0
    (retry,) = rig.messages("SCHEDULE_TOPIC_XXXX", 2)
    assert (retry.body, retry.flag, retry.reconsume_times) == (b"x", 3, 1)
    assert retry.born_host == original.born_host
    assert retry.born_timestamp == original.born_timestamp
    expected = {
        "RETRY_TOPIC": "T", "ORIGIN_MESSAGE_ID": original.msg_id, "REAL_TOPIC": "%RETRY%g", "REAL_QID": "0",
        "DELAY": "3", "UNIQ_KEY": "U", "TAGS": "t", "KEYS": "k", "WAIT": "false",
    }  # fmt: skip
    assert expected.items() <= retry.properties.items()
    assert rig.context.topics.get("%RETRY%g") is not None


async def test_each_further_retry_waits_longer_and_remembers_its_origin(rig: Rig) -> None:
    place = stored(rig)
    origin = rig.messages("T")[0].msg_id
    await give_back(rig, place)
    again = rig.messages("SCHEDULE_TOPIC_XXXX", 2)[0].commit_log_offset
    await give_back(rig, again)
    (second,) = rig.messages("SCHEDULE_TOPIC_XXXX", 3)
    assert second.reconsume_times == 2
    assert second.properties["RETRY_TOPIC"] == "T"
    assert second.properties["ORIGIN_MESSAGE_ID"] == origin
    assert second.properties["REAL_TOPIC"] == "%RETRY%g"


async def test_the_consumer_may_choose_the_level(rig: Rig) -> None:
    await give_back(rig, stored(rig), delayLevel="10")
    assert len(rig.messages("SCHEDULE_TOPIC_XXXX", 9)) == 1


async def test_a_level_below_0_asks_for_the_dead_letters(rig: Rig) -> None:
    place = stored(rig)
    await give_back(rig, place, delayLevel="-1")
    (dead,) = rig.messages("%DLQ%g")
    assert dead.properties["DELAY"] == "0"
    assert dead.properties["DLQ_ORIGIN_TOPIC"] == "T"
    assert dead.properties["DLQ_ORIGIN_MESSAGE_ID"] == rig.messages("T")[0].msg_id


@pytest.mark.parametrize(("version", "queue"), [(479, "%DLQ%g"), (120, "SCHEDULE_TOPIC_XXXX")])
async def test_after_the_last_try_it_is_a_dead_letter(rig: Rig, version: int, queue: str) -> None:
    await give_back(rig, stored(rig), version=version, maxReconsumeTimes="0")
    assert len(rig.messages(queue, 2 if queue.startswith("SCHEDULE") else 0)) == 1


async def test_the_groups_own_limit_holds_when_the_client_names_none(rig: Rig) -> None:
    group = rig.context.groups.find("g")
    assert group is not None
    rig.context.groups.update(msgspec.structs.replace(group, retry_max_times=0))
    await give_back(rig, stored(rig))
    assert len(rig.messages("%DLQ%g")) == 1


async def test_a_group_without_retry_queues_loses_the_message_silently(rig: Rig) -> None:
    group = rig.context.groups.find("g")
    assert group is not None
    rig.context.groups.update(msgspec.structs.replace(group, retry_queue_nums=0))
    place = stored(rig)
    before = rig.context.store.max_phy_offset
    assert (await give_back(rig, place)).code == 0
    assert rig.context.store.max_phy_offset == before


@pytest.mark.parametrize("offset", [-1, 5, 1 << 40])
async def test_a_message_that_is_not_there_is_told(rig: Rig, offset: int) -> None:
    stored(rig)
    with pytest.raises(CommandError) as refused:
        await give_back(rig, offset)
    assert (refused.value.code, refused.value.remark) == (1, f"look message by offset failed, {offset}")


@pytest.mark.parametrize("name", ["offset", "group", "delayLevel"])
async def test_a_missing_field_is_named(rig: Rig, name: str) -> None:
    with pytest.raises(CommandError) as refused:
        await give_back(rig, stored(rig), **{name: None})
    assert (refused.value.code, refused.value.remark) == (1, f"the custom field <{name}> is null")


async def test_what_may_not_be_written_is_refused(rig: Rig) -> None:
    place = stored(rig)
    rig.topic("%RETRY%g", queues=1, perm=4)
    with pytest.raises(CommandError) as refused:
        await give_back(rig, place)
    assert (refused.value.code, refused.value.remark) == (
        16,
        "the topic[%RETRY%g] sending message is forbidden",
    )
    rig.context.config.broker_permission = 4
    with pytest.raises(CommandError) as refused:
        await give_back(rig, place)
    assert (refused.value.code, refused.value.remark) == (
        16,
        "the broker[127.0.0.1] sending message is forbidden",
    )


async def test_an_unknown_group_is_refused(rig: Rig) -> None:
    rig.context.config.auto_create_subscription_group = False
    with pytest.raises(CommandError) as refused:
        await give_back(rig, stored(rig))
    assert refused.value.code == 26
