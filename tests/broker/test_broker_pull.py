"""Pulls: what is found, what is held and woken, what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest
import trio
from rig import Rig, bodies, open_rig, properties, pull_request, send_request

from broker.remarks import OVERLOAD
from store import GetResult, GetStatus

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with open_rig(tmp_path) as rig:
        rig.topic("T")
        rig.subscribe("g", "T")
        yield rig


def send(rig: Rig, *tags: str, queue_id: int = 0) -> None:
    rig.send(
        *[
            send_request(body=tag.encode(), e=str(queue_id), i=properties(UNIQ_KEY=f"K{number}", TAGS=tag))
            for number, tag in enumerate(tags)
        ]
    )


def test_messages_come_in_order_as_they_are_stored(rig: Rig) -> None:
    send(rig, "a", "b", "c")
    answer = rig.pull(pull_request(queueOffset="1"))
    assert bodies(answer) == [b"b", b"c"]
    assert answer is not None
    assert (answer.code, answer.remark) == (0, "FOUND")
    assert answer.ext_fields == {
        "groupSysFlag": "0",
        "maxOffset": "3",
        "minOffset": "0",
        "nextBeginOffset": "3",
        "suggestWhichBrokerId": "0",
        "topicSysFlag": "0",
    }


def test_only_wanted_tags_come(rig: Rig) -> None:
    rig.subscribe("g", "T", "a || c", version=2)
    send(rig, "a", "b", "c")
    answer = rig.pull(pull_request(subVersion="2"))
    assert bodies(answer) == [b"a", b"c"]


def test_an_inline_subscription_needs_no_heartbeat(rig: Rig) -> None:
    send(rig, "a", "b")
    request = pull_request(consumerGroup="lite", sysFlag="4", subscription="b", code=361)
    assert bodies(rig.pull(request)) == [b"b"]
    assert rig.context.consumers.find_subscription("lite", "T") is not None


def test_nothing_wanted_moves_on_at_once(rig: Rig) -> None:
    rig.subscribe("g", "T", "x", version=2)
    send(rig, "a", "b")
    answer = rig.pull(pull_request(subVersion="2"))
    assert answer is not None
    assert (answer.code, answer.remark) == (20, "NO_MATCHED_MESSAGE")
    assert answer.ext_fields["nextBeginOffset"] == "2"


@pytest.mark.parametrize(
    ("offset", "code", "status", "following"),
    [
        ("2", 19, "OFFSET_OVERFLOW_ONE", "2"),
        ("9", 21, "OFFSET_OVERFLOW_BADLY", "2"),
        ("-5", 21, "OFFSET_TOO_SMALL", "0"),
    ],
)
def test_offsets_outside_the_queue_are_corrected(
    rig: Rig, offset: str, code: int, status: str, following: str
) -> None:
    send(rig, "a", "b")
    answer = rig.pull(pull_request(queueOffset=offset, sysFlag="0"))
    assert answer is not None
    assert (answer.code, answer.remark) == (code, status)
    assert answer.ext_fields["nextBeginOffset"] == following


@pytest.mark.parametrize(("offset", "code"), [("0", 19), ("5", 21)])
def test_a_queue_without_messages_is_begun_at_0(rig: Rig, offset: str, code: int) -> None:
    answer = rig.pull(pull_request(queueOffset=offset, sysFlag="0"))
    assert answer is not None
    assert (answer.code, answer.ext_fields["nextBeginOffset"]) == (code, "0")


def test_the_offset_comes_along_only_when_the_flag_says_so(rig: Rig) -> None:
    send(rig, "a", "b")
    rig.pull(pull_request(commitOffset="1", sysFlag="0"))
    assert rig.context.offsets.query("g", "T", 0) == -1
    rig.pull(pull_request(commitOffset="1", sysFlag="1"))
    assert rig.context.offsets.query("g", "T", 0) == 1
    rig.pull(pull_request(commitOffset="-1", sysFlag="1"))
    assert rig.context.offsets.query("g", "T", 0) == 1


def test_a_reset_moves_the_next_pull_once(rig: Rig) -> None:
    send(rig, "a", "b", "c")
    rig.context.offsets.reset("g", "T", 0, 1)
    answer = rig.pull(pull_request(queueOffset="3"))
    assert answer is not None
    assert (answer.code, answer.remark, answer.ext_fields["nextBeginOffset"]) == (21, "OFFSET_RESET", "1")
    assert bodies(rig.pull(pull_request(queueOffset="1"))) == [b"b", b"c"]


# Refusals


@pytest.mark.parametrize(
    "name", ["consumerGroup", "topic", "queueId", "queueOffset", "maxMsgNums", "sysFlag"]
)
def test_a_missing_field_is_named(rig: Rig, name: str) -> None:
    from remoting.errors import CommandError

    with pytest.raises(CommandError) as refused:
        rig.pull(pull_request(**{name: None}))
    assert (refused.value.code, refused.value.remark) == (1, f"the custom field <{name}> is null")


def refusal(rig: Rig, **changes: Any) -> tuple[int, str, str | None]:
    from remoting.errors import CommandError

    try:
        answer = rig.pull(pull_request(**changes))
    except CommandError as error:
        return error.code, error.remark, None
    assert answer is not None
    return answer.code, answer.remark or "", answer.ext_fields.get("forbiddenType")


@pytest.mark.parametrize(
    ("changes", "code", "remark"),
    [
        ({"topic": "unknown"}, 17, "topic[unknown] not exist, apply first please!"),
        ({"queueId": "4"}, 29, "queueId[4] is illegal, topic:[T] topicConfig.readQueueNums:[4]"),
        ({"queueId": "-1"}, 29, "queueId[-1] is illegal"),
        ({"consumerGroup": "offline"}, 24, "the consumer's group info not exist"),
        ({"subVersion": "2"}, 25, "the consumer's subscription not latest"),
        ({"sysFlag": "4", "subscription": "||"}, 23, "parse the consumer's subscription failed"),
        ({"sysFlag": "4", "subscription": "a > 1", "expressionType": "SQL92"}, 1, "filter message by SQL92"),
        ({"sysFlag": "1", "commitOffset": None}, 1, "the custom field <commitOffset> is null"),
        ({"queueOffset": "x"}, 1, 'For input string: "x"'),
    ],
)
def test_what_is_refused(rig: Rig, changes: dict[str, Any], code: int, remark: str) -> None:
    assert refusal(rig, **changes)[0] == code
    assert remark in refusal(rig, **changes)[1]


def test_a_group_without_a_subscription_of_the_topic_is_refused(rig: Rig) -> None:
    rig.topic("other")
    assert refusal(rig, topic="other")[:2][0] == 24


def test_a_group_that_may_not_be_created_is_refused(tmp_path: Path) -> None:
    with open_rig(tmp_path, config={"auto_create_subscription_group": False}) as rig:
        rig.topic("T")
        assert refusal(rig)[0] == 26


def test_permissions_say_what_is_forbidden(rig: Rig) -> None:
    context = rig.context
    rig.topic("T", perm=2)
    assert refusal(rig) == (16, "the topic[T] pulling message is forbidden", "3")
    rig.topic("T")
    group = context.groups.find("g")
    assert group is not None
    context.groups.update(msgspec.structs.replace(group, consume_enable=False))
    assert refusal(rig) == (16, "subscription group no permission, g", "2")
    context.groups.update(msgspec.structs.replace(group, consume_broadcast_enable=False))
    rig.subscribe("g", "T", message_model="BROADCASTING")
    assert refusal(rig) == (16, "the consumer group[g] can not consume by broadcast way", "4")
    context.config.broker_permission = 2
    assert refusal(rig) == (16, "the broker[127.0.0.1] pulling message is forbidden", "1")
    context.config.broker_permission = 6
    context.config.lite_pull_message_enable = False
    assert refusal(rig, code=361)[0] == 16


def test_a_slave_is_not_read_unless_allowed(tmp_path: Path) -> None:
    with open_rig(tmp_path, broker_id=1) as rig:
        rig.topic("T")
        rig.subscribe("g", "T")
        assert refusal(rig)[0] == 2
        rig.context.config.slave_read_enable = True
        assert refusal(rig, sysFlag="0")[0] == 19


# Long polling


async def test_a_held_pull_is_answered_by_the_send_that_brings_its_message(rig: Rig) -> None:
    request = pull_request()
    assert rig.pull(request) is None
    assert rig.connection.held_requests == [request]
    send(rig, "a")
    assert bodies(rig.connection.answer_to(request)) == [b"a"]


async def test_a_message_for_another_queue_or_tag_wakes_nobody(rig: Rig) -> None:
    rig.subscribe("g", "T", "a", version=2)
    request = pull_request(subVersion="2")
    assert rig.pull(request) is None
    send(rig, "a", queue_id=1)
    send(rig, "b")
    assert request.opaque not in rig.connection.answers
    send(rig, "a")
    assert bodies(rig.connection.answer_to(request)) == [b"a"]


async def test_a_hold_ends_in_time_and_is_not_repeated(rig: Rig, autojump_clock: trio.abc.Clock) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(rig.context.hold.run)
        request = pull_request(suspendTimeoutMillis="700")
        start = trio.current_time()
        assert rig.pull(request) is None
        await trio.sleep_until(start + 0.699)
        assert request.opaque not in rig.connection.answers
        await trio.sleep_until(start + 0.701)
        assert rig.connection.answer_to(request).code == 19
        assert rig.connection.answer_to(request).remark == "NO_MATCHED_LOGIC_QUEUE"
        assert len(rig.context.hold) == 0
        nursery.cancel_scope.cancel()


async def test_a_woken_pull_does_not_commit_its_offset_again(rig: Rig) -> None:
    send(rig, "a", "b")
    request = pull_request(queueOffset="2", sysFlag="3", commitOffset="1")
    assert rig.pull(request) is None
    assert rig.context.offsets.query("g", "T", 0) == 1
    rig.context.offsets.commit("c", "g", "T", 0, 2)
    send(rig, "c")
    assert rig.connection.answer_to(request).code == 0
    assert rig.context.offsets.query("g", "T", 0) == 2


async def test_a_reset_reaches_a_held_pull(rig: Rig) -> None:
    send(rig, "a", "b")
    request = pull_request(queueOffset="2")
    assert rig.pull(request) is None
    rig.context.offsets.reset("g", "T", 0, 0)
    rig.context.hold.wake_queue("T", 0)
    assert rig.connection.answer_to(request).remark == "OFFSET_RESET"


async def test_a_deleted_topic_ends_its_held_pulls(rig: Rig) -> None:
    request = pull_request()
    assert rig.pull(request) is None
    rig.context.topics.delete("T")
    rig.context.hold.wake_topic("T")
    assert rig.connection.answer_to(request).code == 17


async def test_too_many_held_pulls_turn_new_ones_away(rig: Rig) -> None:
    rig.context.config.pull_thread_pool_queue_capacity = 1
    assert rig.pull(pull_request()) is None
    answer = rig.pull(pull_request())
    assert answer is not None
    assert (answer.code, answer.remark) == (2, OVERLOAD)


async def test_without_long_polling_a_pull_is_held_shortly(rig: Rig, autojump_clock: trio.abc.Clock) -> None:
    rig.context.config.long_polling_enable = False
    async with trio.open_nursery() as nursery:
        await nursery.start(rig.context.hold.run)
        request = pull_request()
        assert rig.pull(request) is None
        send(rig, "a")
        assert request.opaque not in rig.connection.answers
        await trio.sleep(1.001)
        assert bodies(rig.connection.answer_to(request)) == [b"a"]
        nursery.cancel_scope.cancel()


# Cold data


class ColdStore:
    """A store whose data is on disk only: `get_cold` waits for `disk`."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.disk = trio.Event()
        self.before_answer = lambda: None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def get(self, *_: Any) -> GetResult | None:
        return None if not self.disk.is_set() else self._store.get(*_)

    async def get_cold(self, *arguments: Any) -> GetResult:
        result = self._store.get(*arguments)
        await self.disk.wait()
        self.before_answer()
        return cast("GetResult", result)


async def test_cold_messages_are_read_beside_the_loop(rig: Rig) -> None:
    send(rig, "a")
    store = ColdStore(rig.context.store)
    rig.context.store = cast("Any", store)
    async with trio.open_nursery() as nursery:
        await nursery.start(rig.context.hold.run)
        request = pull_request()
        assert rig.pull(request) is None
        await trio.testing.wait_all_tasks_blocked()
        assert request.opaque not in rig.connection.answers
        store.disk.set()
        await trio.testing.wait_all_tasks_blocked()
        assert bodies(rig.connection.answer_to(request)) == [b"a"]
        nursery.cancel_scope.cancel()


async def test_a_message_that_comes_while_the_disk_is_read_is_not_missed(rig: Rig) -> None:
    send(rig, "a")
    store = ColdStore(rig.context.store)
    rig.context.store = cast("Any", store)
    store.before_answer = lambda: send(rig, "b")
    async with trio.open_nursery() as nursery:
        await nursery.start(rig.context.hold.run)
        request = pull_request(queueOffset="1")
        assert rig.pull(request) is None
        await trio.testing.wait_all_tasks_blocked()
        store.disk.set()
        await trio.testing.wait_all_tasks_blocked()
        assert bodies(rig.connection.answer_to(request)) == [b"b"]
        nursery.cancel_scope.cancel()


async def test_a_disk_that_fails_is_answered(rig: Rig) -> None:
    async def fail(*_: Any) -> GetResult:
        raise OSError("broken")

    store = ColdStore(rig.context.store)
    store.get_cold = fail  # type: ignore[method-assign]
    rig.context.store = cast("Any", store)
    async with trio.open_nursery() as nursery:
        await nursery.start(rig.context.hold.run)
        request = pull_request()
        assert rig.pull(request) is None
        await trio.testing.wait_all_tasks_blocked()
        assert rig.connection.answer_to(request).code == 1
        nursery.cancel_scope.cancel()


def test_every_status_has_a_code() -> None:
    from broker.pull import _CODES

    assert set(_CODES) == set(GetStatus)
