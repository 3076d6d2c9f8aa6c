"""Keys marked live really are: nothing keeps a copy, and a change shows in the next request."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

from broker.config import BrokerConfig
from configuration import settings_of, wait_configured
from remoting.json_dialect import loads
from remoting.protocol.request_code import RequestCode
from store import MessageStoreConfig

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

REPOSITORY = Path(__file__).parents[2]
LIVE = {
    setting.name
    for cls in (BrokerConfig, MessageStoreConfig)
    for setting in settings_of(cls).values()
    if setting.runtime
}

FOLLOWED = {
    ("broker/send.py", "trace_on"),  # compared with the configuration by each batch
    ("broker/send_admission.py", "trace_on"),  # made anew then
}
"""Copies that are kept up to date."""

SEND = {
    "a": "p", "c": "TBW102", "d": 4, "e": 0, "f": 0, "g": 1_700_000_000_000, "h": 0, "i": "", "j": 0,
    "k": False, "m": False,
}  # fmt: skip
PULL = {
    "consumerGroup": "g", "topic": "t", "queueId": 0, "queueOffset": 0, "maxMsgNums": 32, "sysFlag": 4,
    "commitOffset": 0, "suspendTimeoutMillis": 0, "subVersion": 1, "subscription": "*",
    "expressionType": "TAG",
}  # fmt: skip
TOPIC = {
    "topic": "t", "defaultTopic": "TBW102", "readQueueNums": 4, "writeQueueNums": 4, "perm": 6,
    "topicFilterType": "SINGLE_TAG", "topicSysFlag": 0, "order": False,
}  # fmt: skip


def copies(path: Path) -> Iterator[tuple[str, int]]:
    """Live keys that a module keeps: read by a constructor or stored in an attribute. A lambda keeps none."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        kept: list[ast.AST] = []
        if isinstance(node, ast.FunctionDef) and node.name in ("__init__", "__attrs_post_init__"):
            kept = list(node.body)
        elif isinstance(node, ast.Assign) and any(isinstance(each, ast.Attribute) for each in node.targets):
            kept = [node.value]
        while kept:
            part = kept.pop()
            if isinstance(part, ast.Attribute) and part.attr in LIVE and "config" in ast.unparse(part.value):
                yield part.attr, part.lineno
            if not isinstance(part, (ast.Lambda, ast.FunctionDef, ast.AsyncFunctionDef)):
                kept.extend(ast.iter_child_nodes(part))


@pytest.mark.parametrize("room", ["broker", "store"])
def test_nothing_keeps_a_copy_of_a_live_key(room: str) -> None:
    """A copy would keep the old value for ever while code 26 shows the new one."""
    found = {
        (str(path.relative_to(REPOSITORY)), key, line)
        for path in (REPOSITORY / room).rglob("*.py")
        for key, line in copies(path)
    }
    assert {each for each in found if each[:2] not in FOLLOWED} == set()


@pytest.mark.parametrize("key", sorted(LIVE))
def test_every_live_key_is_read_somewhere(key: str) -> None:
    rooms = [path for room in ("broker", "store") for path in (REPOSITORY / room).rglob("*.py")]
    assert any(
        isinstance(node, ast.Attribute) and node.attr == key and "config" in ast.unparse(node.value)
        for path in rooms
        if path.name != "config.py" and f".{key}" in path.read_text()
        for node in ast.walk(ast.parse(path.read_text()))
    ) or key in {"quota_percent_for_disk_partition", "replicas_per_disk_partition"}  # by quota_share


async def send(ask: Any, body: bytes = b"hello", **changes: object) -> Any:
    return await ask(RequestCode.SEND_MESSAGE_V2, body, **{"b": "t", **SEND, **changes})


async def code_of_a_send(ask: Any) -> int:
    return int((await send(ask)).code)


async def code_of_a_large_send(ask: Any) -> int:
    return int((await send(ask, b"x" * 100)).code)


async def code_of_a_half_message(ask: Any) -> int:
    return int((await send(ask, f=4, i="TRAN_MSG\x01true\x02PGROUP\x01p\x02")).code)


async def trace_of_a_send(ask: Any) -> str:
    return str((await send(ask)).ext_fields["TRACE_ON"])


async def queues_of_a_new_topic(ask: Any) -> int | None:
    topic = f"new-{trio.current_time()}".replace(".", "-")
    await send(ask, b=topic, d=64)
    answer = await ask(RequestCode.GET_TOPIC_CONFIG, topic=topic)
    return int(loads(bytes(answer.body))["writeQueueNums"]) if answer.code == 0 else None


async def code_of_a_pull(ask: Any) -> int:
    return int((await ask(RequestCode.PULL_MESSAGE, **PULL)).code)


async def code_of_a_lite_pull(ask: Any) -> int:
    return int((await ask(RequestCode.LITE_PULL_MESSAGE, **PULL)).code)


async def code_of_a_new_group(ask: Any) -> int:
    group = f"g-{trio.current_time()}".replace(".", "-")
    return int((await ask(RequestCode.PULL_MESSAGE, **{**PULL, "consumerGroup": group})).code)


async def code_of_a_mixed_topic(ask: Any) -> int:
    answer = await ask(RequestCode.UPDATE_AND_CREATE_TOPIC, **TOPIC, attributes="+message.type=MIXED")
    return int(answer.code)


async def code_of_a_system_topic(ask: Any) -> int:
    return int((await ask(RequestCode.UPDATE_AND_CREATE_TOPIC, **{**TOPIC, "topic": "TBW102"})).code)


async def first_part_of_the_topics(ask: Any) -> int:
    answer = await ask(RequestCode.GET_ALL_TOPIC_CONFIG, topicSeq=0, maxTopicNum=5)
    return len(loads(bytes(answer.body))["topicConfigTable"])


CASES: list[tuple[str, str, Callable[[Any], Awaitable[object]], object, object]] = [
    ("brokerPermission", "2", code_of_a_pull, 0, 16),
    ("autoCreateTopicEnable", "false", queues_of_a_new_topic, 8, None),
    ("defaultTopicQueueNums", "3", queues_of_a_new_topic, 8, 3),
    ("autoCreateSubscriptionGroup", "false", code_of_a_new_group, 0, 26),
    ("litePullMessageEnable", "false", code_of_a_lite_pull, 0, 16),
    ("rejectTransactionMessage", "true", code_of_a_half_message, 3, 16),
    ("maxMessageSize", "10", code_of_a_large_send, 0, 13),
    ("traceOn", "false", trace_of_a_send, "true", "false"),
    ("startAcceptSendRequestTimeStamp", "99999999999999", code_of_a_send, 0, 1),
    ("enableMixedMessageType", "true", code_of_a_mixed_topic, 29, 0),
    ("validateSystemTopicWhenUpdateTopic", "false", code_of_a_system_topic, 29, 0),
    ("splitMetadataSize", "2", first_part_of_the_topics, 5, 2),
]


@pytest.mark.parametrize(("key", "value", "probe", "before", "after"), CASES, ids=[case[0] for case in CASES])
async def test_a_live_key_changes_the_next_request(
    tmp_path: Path,
    running_broker: Any,
    asking: Any,
    key: str,
    value: str,
    probe: Callable[[Any], Awaitable[object]],
    before: object,
    after: object,
) -> None:
    async with running_broker(tmp_path) as broker, asking(broker) as ask:
        assert await code_of_a_send(ask) == 0
        assert await probe(ask) == before
        answer = await ask(RequestCode.UPDATE_BROKER_CONFIG, f"{key}={value}".encode())
        assert (answer.code, answer.remark) == (0, None)
        assert await probe(ask) == after
        assert (
            f"{key}={value}" in bytes((await ask(RequestCode.GET_BROKER_CONFIG)).body).decode().splitlines()
        )


async def test_automatic_topics_can_be_switched_on_later(
    tmp_path: Path, running_broker: Any, asking: Any
) -> None:
    """Java makes TBW102 at the start only: switched on later, nothing is created."""
    async with running_broker(tmp_path, auto_create_topic_enable=False) as broker, asking(broker) as ask:
        assert await queues_of_a_new_topic(ask) is None
        await ask(RequestCode.UPDATE_BROKER_CONFIG, b"autoCreateTopicEnable=true\ndefaultTopicQueueNums=2")
        assert await queues_of_a_new_topic(ask) == 2


async def test_keys_that_need_a_restart_are_named_and_kept(
    tmp_path: Path, running_broker: Any, asking: Any
) -> None:
    file = tmp_path / "broker.conf"
    file.write_text("brokerName=broker-a\n")
    async with (
        running_broker(tmp_path / "store", broker_config_path=str(file)) as broker,
        asking(broker) as ask,
    ):
        answer = await ask(
            RequestCode.UPDATE_BROKER_CONFIG,
            b"regionId=x\nbrokerPermission=4\nmessageDelayLevel=1s 2s\ndLegerGroup=g",
        )
        assert answer.code == 0
        assert answer.remark == (
            "needs a restart of DefaultCluster_broker-a_0 to take effect: regionId, messageDelayLevel;"
            " kept without effect: dLegerGroup"
        )
        assert file.read_text() == (
            "brokerName=broker-a\nregionId=x\nbrokerPermission=4\nmessageDelayLevel=1s 2s\ndLegerGroup=g\n"
        )
        shown = await ask(RequestCode.GET_BROKER_CONFIG)
        lines = bytes(shown.body).decode().splitlines()
        assert {"regionId=DefaultRegion", "brokerPermission=4", "dLegerGroup=g"} <= set(lines)
        assert shown.remark == (
            "waiting for a restart of DefaultCluster_broker-a_0: regionId, messageDelayLevel"
        )
        assert loads(shown.ext_fields["version"].encode())["counter"] == 1


async def test_several_wrong_keys_are_all_named_and_nothing_is_applied(
    tmp_path: Path, running_broker: Any, asking: Any
) -> None:
    async with running_broker(tmp_path) as broker, asking(broker) as ask:
        before = await ask(RequestCode.GET_BROKER_CONFIG)
        refused = await ask(
            RequestCode.UPDATE_BROKER_CONFIG,
            b"traceOn=false\ndeleteWhen=25\nbrokerPermision=1\nbrokerIP1=here\nmessageDelayLevel=1x\nclientWorkerThreads=1",
        )
        assert refused.code == 1
        assert refused.remark.split("; key ") == [
            "key 'deleteWhen': '25' is not a list of hours from 00 to 23 separated by ';'",
            "'brokerPermision': is not known; did you mean 'brokerPermission'?",
            "'brokerIP1': 'here' is not an IPv4 or IPv6 address",
            "'messageDelayLevel': '1x' is not a list of times like 10s, 5m, 2h or 1d separated by spaces",
            "'clientWorkerThreads': belongs to NettyClientConfig, which is not configured here",
        ]
        broken = await ask(RequestCode.UPDATE_BROKER_CONFIG, b"traceOn=\\u12")
        assert (broken.code, broken.remark) == (1, "string2Properties error")
        after = await ask(RequestCode.GET_BROKER_CONFIG)
        assert (after.body, after.ext_fields) == (before.body, before.ext_fields)


async def test_a_configured_wait_follows_its_key(autojump_clock: trio.testing.MockClock) -> None:
    seconds = 3600.0
    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_configured, lambda: seconds)
        await trio.sleep(10)
        seconds = 1
    assert trio.current_time() - start <= 15


async def test_a_configured_wait_ends_with_its_event(autojump_clock: trio.testing.MockClock) -> None:
    start, event = trio.current_time(), trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_configured, lambda: 3600.0, event)
        await trio.sleep(10)
        event.set()
    assert trio.current_time() - start == 10
    await wait_configured(lambda: 7.5)
    assert trio.current_time() - start == 17.5
