"""`mqadmin` on groups, figures and times of sends: what it prints is what Java's own command prints.

`recorded_groups.json` holds exchanges with a Java cluster of 5.5.0 (those of the groups mixed, stuck and
ordered are edited copies), and what Java's own command printed when it was given exactly these answers.
"""

from __future__ import annotations

import io
import json
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio
from admin_peer import RECORDED_BROKER, Peer, run, running_peer

from remoting.json_dialect import loads
from remoting.protocol.admin_body import ConsumerRunningInfo
from tools.admin.output import Mode, Output
from tools.admin.running_info_text import draw

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

GROUPS = json.loads((Path(__file__).parent / "recorded_groups.json").read_text())
CLIENT = GROUPS["clientId"]
COMPARED = (
    "topic", "queueId", "queueOffset", "subscription", "statsName", "statsKey", "consumerGroup", "clientId",
    "jstackEnable", "isOrder", "timestamp", "group",
)  # fmt: skip


@pytest.fixture
async def peer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Peer]:
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.chdir(tmp_path)
    time.tzset()
    async with running_peer(Peer(recorded=GROUPS["exchanges"], compared=COMPARED)) as running:
        yield running
    monkeypatch.undo()
    time.tzset()


def arguments(command: str, peer: Peer) -> list[str]:
    return command.replace("BROKER", peer.address).replace("CLIENT", CLIENT).split(" ")


def without_chance(text: str) -> list[str]:
    """The lines without figures that differ from run to run; Java's hash maps have an order of their own."""
    text = re.sub(r"\{[^{}]*=[^{}]*\}", lambda found: str(sorted(found[0].strip("{}").split(", "))), text)
    text = re.sub(r"(rt=|, )\d+ms", r"\1_ms", text)
    text = re.sub(r"msgId=\w{32,}, off", "msgId=_, off", text)
    text = re.sub(r"Avg RT: .*|^\d{4}-\d\d-\d\d [\d:]{8}(?=\|)|(?<=\|)\d+$", "_", text, flags=re.MULTILINE)
    text = re.sub(r"^(broker-a .* true  .*?)\d+$", r"\1_", text, flags=re.MULTILINE)
    text = re.sub(r"^(DefaultCluster +broker-a +)\S+ +", r"\1_", text, flags=re.MULTILINE)
    text = re.sub(r"^\d+( +\S+@\S+ .* )\d+/", r"_\1_/", text, flags=re.MULTILINE)
    return sorted(text.splitlines())


@pytest.mark.parametrize("command", [each for each in GROUPS["printed"] if "-g mixed" not in each])
async def test_prints_what_java_prints(peer: Peer, command: str) -> None:
    rounds = ["--rounds", "1"] if command.startswith("clusterRT") else []
    done = await run(peer, *arguments(command, peer), *rounds)
    assert (done.exit_code, done.stderr) == (0, "")
    ours = done.stdout.replace(peer.address, RECORDED_BROKER)
    assert without_chance(ours) == without_chance(GROUPS["printed"][command])


# --- consumerStatus ----------------------------------------------------------------------------------------


async def test_consumers_write_what_they_say_into_files(peer: Peer) -> None:
    before_ms = time.time_ns() // 1_000_000
    done = await run(peer, "consumerStatus", "-g", "billing")
    rows = [line.split() for line in done.stdout.splitlines()[1:3]]
    assert [row[:3] for row in rows] == [
        ["1", "192.0.2.2@first", "V5_5_0"],
        ["2", "192.0.2.2@second", "V5_5_0"],
    ]
    for row, (name, java) in zip(rows, sorted(GROUPS["files"].items()), strict=True):
        directory, _, file_name = row[3].partition("/")
        assert file_name == name
        assert before_ms <= int(directory) <= time.time_ns() // 1_000_000
        ours = (await trio.Path(row[3]).read_text()).replace(peer.address, RECORDED_BROKER)
        assert sorted(ours.splitlines()) == sorted(java.splitlines())


def test_one_consumer_is_drawn_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    stream = io.StringIO()
    (said,) = [
        each["body"]
        for each in GROUPS["exchanges"]
        if each["code"] == 307
        and each["request"] == {"consumerGroup": "stuck", "clientId": CLIENT, "jstackEnable": "false"}
    ]
    draw(Output(Mode.RICH, stream, io.StringIO()), ConsumerRunningInfo.decode(said))
    lines = [line.split() for line in stream.getvalue().splitlines()]
    assert ["Consumer", "MQ", "Detail"] in lines
    assert ["User", "Consume", "Info"] not in lines, "it is empty"
    (orders,) = [line for line in lines if line[:4] == ["Orders", "broker-a", "0", "6"]]
    assert orders[4:6] == ["5", "0"], "five messages are cached"


async def test_members_that_want_different_messages_are_told_of(peer: Peer) -> None:
    done = await run(peer, "consumerStatus", "-g", "mixed")
    assert done.exit_code == 0
    assert without_chance(done.stdout) == without_chance(GROUPS["printed"]["consumerStatus -g mixed"])
    assert done.stdout.endswith("\n\nWARN: Different subscription in the same group of consumer!!!")


async def test_json_has_everything_and_writes_no_file(peer: Peer, tmp_path: Path) -> None:
    found = json.loads((await run(peer, "consumerStatus", "-g", "stuck", "--json")).stdout)
    assert (found["sameSubscription"], found["rebalanceOk"], found["heldTwice"]) == (True, True, [])
    assert {line.partition(" ")[0] for line in found["stuck"]} == {"192.0.2.2@first", "192.0.2.2@second"}
    first = found["clients"][0]
    assert (first["clientId"], first["version"]) == ("192.0.2.2@first", "V5_5_0")
    queue = first["mqTable"][-1]
    assert (queue["topic"], queue["brokerName"], queue["queueId"], queue["cachedMsgCount"]) == (
        "Orders", "broker-a", 0, 5,
    )  # fmt: skip
    assert os.listdir(tmp_path) == []


async def test_a_consumer_without_an_answer_is_told_of_and_the_others_are_served(peer: Peer) -> None:
    silent = [each for each in GROUPS["exchanges"] if each["code"] == 307]
    peer.recorded = [each for each in GROUPS["exchanges"] if each["code"] != 307]
    peer.recorded += [
        each | {"answer": 207, "remark": "Timeout"}
        if each["request"]["clientId"].endswith("second")
        else each
        for each in silent
    ]
    done = await run(peer, "consumerStatus", "-g", "billing")
    assert done.exit_code == 1
    assert "192.0.2.2@first" in done.stdout
    assert (
        done.stderr
        == f"mqadmin: consumerStatus: consumer 192.0.2.2@second: {peer.address} answered code 207: Timeout\n"
    )


async def test_a_client_id_leads_to_no_other_directory(peer: Peer, tmp_path: Path) -> None:
    names = {"192.0.2.2@first": "../../outside", "192.0.2.2@second": ".."}
    changed = json.dumps(GROUPS["exchanges"])
    for name, evil in names.items():
        changed = changed.replace(name, evil)
    peer.recorded = json.loads(changed)
    done = await run(peer, "consumerStatus", "-g", "billing")
    assert done.exit_code == 0
    (directory,) = os.listdir(tmp_path)
    assert sorted(os.listdir(tmp_path / directory)) == [".._.._outside", "_"]


async def test_nobody_online_is_one_sentence(peer: Peer) -> None:
    peer.answer(203, response=206, remark="the consumer group[billing] not online")
    done = await run(peer, "consumerStatus", "-g", "billing")
    assert (done.exit_code, done.stdout) == (1, "")
    reason = f"{peer.address} answered code 206: the consumer group[billing] not online"
    assert done.stderr == f"mqadmin: consumerStatus: {reason}\n"


# --- statsAll, brokerConsumeStats --------------------------------------------------------------------------


async def test_traffic_as_json(peer: Peer) -> None:
    found = json.loads((await run(peer, "statsAll", "--json")).stdout)
    assert [(each["topic"], each["consumerGroup"]) for each in found] == [
        ("TBW102", None),
        ("Orders", "audit"),
        ("Orders", "billing"),
        ("broker-a", None),
    ]
    assert found[1]["accumulation"] > 0
    assert (found[0]["outTps"], found[0]["outMsg24Hour"]) == (None, None)


async def test_what_was_never_counted_is_zero(peer: Peer) -> None:
    peer.answer(315, response=1, remark="The stats <TOPIC_PUT_NUMS> <Orders> not exist")
    found = json.loads((await run(peer, "statsAll", "-t", "Orders", "--json")).stdout)
    assert {(each["inMsg24Hour"], each["outMsg24Hour"], each["inTps"]) for each in found} == {(0, 0, 0.0)}


async def test_a_topic_that_fails_does_not_hide_the_others(peer: Peer) -> None:
    peer.recorded = [
        each | {"answer": 1, "remark": "broken"} if each["request"].get("statsKey") == "TBW102" else each
        for each in GROUPS["exchanges"]
    ]
    done = await run(peer, "statsAll")
    assert done.exit_code == 1
    assert done.stderr == f"mqadmin: statsAll: topic TBW102: {peer.address} answered code 1: broken\n"
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == ["Orders", "Orders", "broker-a"]


async def test_traffic_of_an_unknown_topic(peer: Peer) -> None:
    done = await run(peer, "statsAll", "-t", "Nowhere")
    assert (done.exit_code, done.stderr) == (1, "mqadmin: statsAll: no name server knows topic Nowhere\n")


async def test_queues_that_nobody_consumed_from_are_in_the_json(peer: Peer) -> None:
    command = ("brokerConsumeStats", "-b", peer.address)
    shown = (await run(peer, *command)).stdout
    found = json.loads((await run(peer, *command, "--json")).stdout)
    rows = [line for line in shown.splitlines() if line.startswith("Orders ")]
    untouched = [each for each in found["queues"] if each["lastTimestamp"] == 0]
    assert ("audit", 1) in [(each["consumerGroup"], each["queueId"]) for each in untouched]
    assert len(rows) == len([each for each in found["queues"] if each["topic"] == "Orders"]) - len(
        [each for each in untouched if each["topic"] == "Orders"]
    )
    (asked, _) = peer.asked(317)
    assert asked.ext_fields == {"isOrder": "false"}


# --- printMsgByQueue ---------------------------------------------------------------------------------------


async def test_messages_and_tags_of_a_queue_as_json(peer: Peer) -> None:
    done = await run(
        peer, "printMsgByQueue", "-t", "Orders", "-a", "broker-a", "-i", "1",
        "-p", "true", "-d", "true", "-f", "true", "--json",
    )  # fmt: skip
    *messages, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["queueOffset"] for each in messages] == [0, 1, 2, 3, 4]
    assert messages[0]["body"] == "paid 0"
    assert last == {"tags": {"paid": 3, "open": 2}}


async def test_a_batch_without_matches_does_not_end_the_reading(peer: Peer) -> None:
    """Java stops there and misses the rest of the queue."""
    last = next(
        each
        for each in GROUPS["exchanges"]
        if each["code"] == 11
        and each["request"]["queueId"] == "1"
        and each["request"]["subscription"] == "paid"
    )
    nothing = {
        "code": 11,
        "request": last["request"] | {"queueOffset": "0"},
        "answer": 20,
        "extFields": last["extFields"] | {"nextBeginOffset": "2"},
    }
    later = last | {"request": last["request"] | {"queueOffset": "2"}}
    peer.recorded = [nothing, later, *GROUPS["exchanges"]]
    done = await run(
        peer, "printMsgByQueue", "-t", "Orders", "-a", "broker-a", "-i", "1", "-s", "paid", "-f", "true"
    )
    assert done.stdout == "Tag: paid                           Count: 3\n"


async def test_a_queue_that_is_not_there(peer: Peer) -> None:
    done = await run(peer, "printMsgByQueue", "-t", "Orders", "-a", "broker-a", "-i", "7")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == "mqadmin: printMsgByQueue: broker broker-a has no queue 7 of topic Orders\n"


# --- skipAccumulatedMessage, cloneGroupOffset --------------------------------------------------------------


async def test_skipping_asks_for_the_end(peer: Peer) -> None:
    await run(peer, "skipAccumulatedMessage", "-g", "billing", "-t", "Orders", "-f", "false")
    (asked,) = peer.asked(222)
    assert (asked.ext_fields["timestamp"], asked.ext_fields["isForce"]) == ("-1", "false")


async def test_skipping_for_a_group_that_is_not_online_commits(peer: Peer) -> None:
    peer.answer(222, response=206, remark="Consumer not online")
    done = await run(peer, "skipAccumulatedMessage", "-g", "billing", "-t", "Orders")
    assert done.exit_code == 0
    heading, *rows = [line.split() for line in done.stdout.splitlines()]
    assert heading[-1] == "#rollbackOffset"
    assert [(row[1], row[5]) for row in rows] == [("0", "6"), ("1", "5")]
    assert [each.ext_fields["commitOffset"] for each in peer.asked(15)] == ["6", "5"]


async def test_cloning_copies_the_offsets_of_this_topic_only(peer: Peer) -> None:
    found = json.loads(
        (
            await run(peer, "cloneGroupOffset", "-s", "billing", "-d", "archive", "-t", "Orders", "--json")
        ).stdout
    )
    (stats,) = [
        each
        for each in GROUPS["exchanges"]
        if each["code"] == 208 and each["request"] == {"consumerGroup": "billing"}
    ]
    known = {
        dict(queue)["queueId"]: offsets["consumerOffset"]
        for queue, offsets in loads(stats["body"])["offsetTable"].items()
        if dict(queue)["topic"] == "Orders"
    }
    assert {each["queueId"]: each["offset"] for each in found["queues"]} == known
    sent = [each.ext_fields for each in peer.asked(15)]
    assert {(each["consumerGroup"], each["topic"]) for each in sent} == {("archive", "Orders")}
    assert {int(each["queueId"]): int(each["commitOffset"]) for each in sent} == known
    assert peer.asked(222) == []


async def test_cloning_to_a_group_that_is_online_moves_its_consumers(peer: Peer) -> None:
    peer.recorded = [
        each | {"request": {"consumerGroup": "archive"}}
        for each in GROUPS["exchanges"]
        if each["code"] == 203 and each["answer"] == 0
    ] + GROUPS["exchanges"]
    peer.answer(222)
    done = await run(peer, "cloneGroupOffset", "-s", "billing", "-d", "archive", "-t", "Orders")
    assert done.exit_code == 0
    moved = [each.ext_fields for each in peer.asked(222)]
    assert sorted((each["group"], each["queueId"]) for each in moved) == [("archive", "0"), ("archive", "1")]


@pytest.mark.parametrize(
    ("source", "topic", "sentence"),
    [
        ("billing", "Elsewhere", "consumer group billing has no offsets of topic Elsewhere"),
        ("nobody", "Orders", "no name server knows consumer group nobody (there is no topic %RETRY%nobody)"),
    ],
)
async def test_nothing_to_clone_is_no_success(peer: Peer, source: str, topic: str, sentence: str) -> None:
    done = await run(peer, "cloneGroupOffset", "-s", source, "-d", "archive", "-t", topic)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == f"mqadmin: cloneGroupOffset: {sentence}\n"


# --- sends -------------------------------------------------------------------------------------------------


async def test_sizes_and_counts_of_sends(peer: Peer) -> None:
    await run(peer, "sendMsgStatus", "-b", "broker-a", "-c", "2", "-s", "30")
    assert [bytes(each.body) for each in peer.asked(310)] == [b"hello jodie" * n for n in (2, 3, 3)]
    assert {each.ext_fields["a"] for each in peer.asked(310)} == {"PID_SMSC"}
    peer.requests.clear()
    await run(peer, "checkMsgSendRT", "-t", "Orders", "-a", "3", "-s", "5")
    assert [(bytes(each.body), each.ext_fields["e"]) for each in peer.asked(310)] == [
        (b"aaaaa", "0"),
        (b"aaaaa", "1"),
        (b"aaaaa", "0"),
    ]


async def test_rounds_of_times_as_json(peer: Peer) -> None:
    done = await run(peer, "clusterRT", "-a", "2", "-i", "0", "--rounds", "2", "--json")
    first, second = [json.loads(line) for line in done.stdout.splitlines()]
    del first["rtMs"], second["rtMs"]
    assert first == second == {
        "clusterName": "DefaultCluster", "brokerName": "broker-a", "successCount": 2, "failCount": 0,
    }  # fmt: skip


async def test_sends_that_fail_are_counted_and_end_with_1(peer: Peer) -> None:
    peer.answer(310, response=13, remark="too large")
    done = await run(peer, "clusterRT", "-a", "2", "--rounds", "1")
    assert done.exit_code == 1
    assert done.stdout.splitlines()[1].split()[3:] == ["0", "2"]
    assert done.stderr == (
        "mqadmin: clusterRT: broker broker-a did not store 2 of 2 messages, at last because: "
        f"{peer.address} answered code 13: too large\n"
    )
    done = await run(peer, "checkMsgSendRT", "-t", "Orders", "-a", "1")
    assert done.exit_code == 1
    assert done.stdout.splitlines()[1].split()[:3] == ["broker-a", "0", "false"]
    done = await run(peer, "sendMsgStatus", "-b", "broker-a")
    assert (done.exit_code, done.stdout) == (1, "")


async def test_no_probe_creates_a_topic(peer: Peer) -> None:
    done = await run(peer, "sendMsgStatus", "-b", "nobody")
    assert (done.exit_code, peer.asked(310)) == (1, [])
    assert done.stderr == "mqadmin: sendMsgStatus: there is no broker nobody (known: broker-a)\n"
    done = await run(peer, "checkMsgSendRT", "-t", "Nowhere")
    assert (done.exit_code, peer.asked(310)) == (1, [])
    assert done.stderr == "mqadmin: checkMsgSendRT: no name server has a route for topic Nowhere\n"


async def test_an_unknown_cluster_is_an_end_not_a_loop(peer: Peer) -> None:
    done = await run(peer, "clusterRT", "-c", "nowhere")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == "mqadmin: clusterRT: there is no cluster nowhere (known: DefaultCluster)\n"
