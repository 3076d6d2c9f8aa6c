"""Heartbeats and goodbyes of clients, and what members of a group see of each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from rig import Rig, open_rig

from broker.client_manage import register
from remoting.command import RemotingCommand
from remoting.errors import CommandError
from remoting.json_dialect import dumps, loads
from remoting.processors import ProcessorTable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Ask = Callable[..., RemotingCommand]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with open_rig(tmp_path) as rig:
        rig.topic("T")
        yield rig


@pytest.fixture
def ask(rig: Rig) -> Ask:
    table = ProcessorTable()
    register(table, rig.context)

    def ask(code: int, body: bytes = b"", **fields: str) -> RemotingCommand:
        entry = table.find(code)
        assert entry is not None
        assert entry.call is not None
        connection: Any = rig.connection
        request = RemotingCommand.request(code, fields, body)
        try:
            answer = entry.call(connection, request)
        except CommandError as error:
            answer = request.response(error.code, error.remark)
        assert answer is not None
        return answer

    return ask


def consumer(group: str = "g", **changes: Any) -> dict[str, Any]:
    return {
        "groupName": group,
        "consumeType": "CONSUME_PASSIVELY",
        "messageModel": "CLUSTERING",
        "consumeFromWhere": "CONSUME_FROM_LAST_OFFSET",
        "unitMode": False,
        "subscriptionDataSet": [
            {
                "topic": "T", "subString": "a", "tagsSet": ["a"], "codeSet": [97], "subVersion": 5,
                "expressionType": "TAG", "classFilterMode": False,
            }
        ],
        **changes,
    }  # fmt: skip


def beat(*consumers: dict[str, Any], **changes: Any) -> bytes:
    return dumps(
        {
            "clientID": "client-1",
            "producerDataSet": [{"groupName": "producers"}],
            "consumerDataSet": list(consumers),
            **changes,
        }
    )


def test_a_heartbeat_registers_producers_and_consumers(rig: Rig, ask: Ask) -> None:
    answer = ask(34, beat(consumer()))
    assert answer.code == 0
    assert answer.ext_fields == {"IS_SUPPORT_HEART_BEAT_V2": "true", "IS_SUB_CHANGE": "true"}
    assert "producers" in rig.context.producers.table
    subscription = rig.context.consumers.find_subscription("g", "T")
    assert subscription is not None
    assert (subscription.sub_string, subscription.sub_version) == ("a", 5)


def test_a_heartbeat_makes_the_retry_topic(rig: Rig, ask: Ask) -> None:
    group = rig.context.groups.find("g")
    assert group is not None
    rig.context.groups.update(msgspec.structs.replace(group, retry_queue_nums=3))
    ask(34, beat(consumer()))
    retry = rig.context.topics.get("%RETRY%g")
    assert retry is not None
    assert (retry.write_queue_nums, retry.perm, retry.order) == (3, 6, False)


def test_members_of_a_group_are_listed_and_leave(rig: Rig, ask: Ask) -> None:
    answer = ask(38, consumerGroup="g")
    assert (answer.code, answer.remark) == (1, "no consumer for this group, g")
    ask(34, beat(consumer()))
    assert loads(bytes(ask(38, consumerGroup="g").body)) == {"consumerIdList": ["client-1"]}
    assert ask(35, clientID="client-1", consumerGroup="g", producerGroup="producers").code == 0
    assert ask(38, consumerGroup="g").code == 1
    assert "producers" not in rig.context.producers.table


def test_a_second_form_heartbeat_without_subscriptions_keeps_them(rig: Rig, ask: Ask) -> None:
    answer = ask(34, beat(consumer(), heartbeatFingerprint=7))
    assert answer.ext_fields["IS_SUB_CHANGE"] == "false"
    light = consumer(subscriptionDataSet=[])
    answer = ask(34, beat(light, heartbeatFingerprint=7, withoutSub=True))
    assert answer.ext_fields["IS_SUB_CHANGE"] == "false"
    assert rig.context.consumers.find_subscription("g", "T") is not None
    answer = ask(34, beat(consumer(), heartbeatFingerprint=8))
    assert answer.ext_fields["IS_SUB_CHANGE"] == "true"


def test_an_unknown_group_that_may_not_be_made_is_passed_over(rig: Rig, ask: Ask) -> None:
    rig.context.config.auto_create_subscription_group = False
    assert ask(34, beat(consumer())).code == 0
    assert rig.context.consumers.consumer_group_info("g") is None


def test_pull_consumers_can_be_turned_away(rig: Rig, ask: Ask) -> None:
    rig.context.config.reject_pull_consumer_enable = True
    ask(34, beat(consumer("pull", consumeType="CONSUME_ACTIVELY"), consumer("push")))
    assert rig.context.consumers.consumer_group_info("pull") is None
    assert rig.context.consumers.consumer_group_info("push") is not None


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"clientID":"c","consumerDataSet":5}'])
def test_a_heartbeat_that_cannot_be_read_is_refused(ask: Ask, body: bytes) -> None:
    assert ask(34, body).code == 1


def test_a_goodbye_without_a_name_is_refused(ask: Ask) -> None:
    answer = ask(35)
    assert (answer.code, answer.remark) == (1, "the custom field <clientID> is null")


def test_only_tag_filters_are_served(ask: Ask) -> None:
    body = {"clientId": "c", "group": "g", "subscriptionData": {"topic": "T", "subString": "a"}}
    assert ask(46, dumps(body)).code == 0
    body["subscriptionData"] = {"topic": "T", "subString": "a > 1", "expressionType": "SQL92"}
    answer = ask(46, dumps(body))
    assert (answer.code, answer.remark) == (
        1, "The broker does not support consumer to filter message by SQL92",
    )  # fmt: skip
