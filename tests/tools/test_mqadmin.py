"""`mqadmin` against recorded answers of a Java cluster: its text is Java's, its exit codes are true."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest
import trio
from admin_peer import RECORDED, Peer, run, running_peer

from remoting.protocol.message import decode_message, encode_message
from tools.admin import catalog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

REPOSITORY = Path(__file__).resolve().parents[2]
GROUP = "please_rename_unique_group_name_4"
UNIQUE_KEY = "FD00000000000000000000000000000228C94E0E2F2A6857A4480000"


@pytest.fixture
async def peer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Peer]:
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    time.tzset()
    async with running_peer() as running:
        yield running
    monkeypatch.undo()
    time.tzset()


# --- finding and describing commands -----------------------------------------------------------------------


async def test_help_lists_exactly_the_commands_that_exist() -> None:
    shown = (await run(None, "--help")).output
    for name, entry in catalog.COMMANDS.items():
        assert f"  {name} " in shown
        described = await run(None, "help", name)
        assert described.exit_code == 0
        assert entry.summary.split()[0] in described.output
        assert "--json" in described.output or name == "completion"


async def test_help_imports_neither_the_event_loop_nor_the_wire() -> None:
    program = (
        "import sys; from tools.mqadmin import mqadmin\n"
        "mqadmin.main(['--help'], standalone_mode=False)\n"
        "heavy = {'trio', 'client', 'remoting', 'attrs', 'rich', 'msgspec', 'asyncio'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = await trio.run_process([sys.executable, "-c", program], cwd=REPOSITORY, capture_stdout=True)
    assert done.stdout.decode().splitlines()[-1] == "[]"


async def test_command_names_are_taken_in_any_case(peer: Peer) -> None:
    assert (await run(peer, "TOPICCLUSTERLIST", "-t", "Hello")).output == "DefaultCluster\n"


async def test_an_unknown_command_is_an_error_with_a_suggestion() -> None:
    result = await run(None, "topicRout")
    assert result.exit_code == 2
    assert "Did you mean topicRoute?" in result.output


async def test_a_missing_option_shows_the_usage() -> None:
    result = await run(None, "topicRoute")
    assert result.exit_code == 2
    assert "Usage: mqadmin topicRoute" in result.output
    assert "Missing option '-t'" in result.output


async def test_long_options_may_have_one_dash_as_in_java(peer: Peer) -> None:
    assert (await run(peer, "topicClusterList", "-topic", "Hello")).output == "DefaultCluster\n"
    assert (await run(peer, "topicClusterList", "--topic=Hello")).output == "DefaultCluster\n"


# --- name servers ------------------------------------------------------------------------------------------


async def test_the_option_wins_over_the_environment(peer: Peer) -> None:
    nobody = {"NAMESRV_ADDR": "127.0.0.1:1"}
    for arguments in (
        ("topicClusterList", "-n", peer.address, "-t", "Hello"),
        ("-n", peer.address, "topicClusterList", "-t", "Hello"),
    ):
        assert (await run(None, *arguments, environment=nobody)).output == "DefaultCluster\n"


async def test_a_name_server_that_is_down_is_passed_over(peer: Peer) -> None:
    result = await run(None, "topicClusterList", "-t", "Hello", "-n", f"127.0.0.1:1;{peer.address}")
    assert (result.output, result.exit_code) == ("DefaultCluster\n", 0)


async def test_no_name_server_at_all_is_one_sentence_that_names_it() -> None:
    result = await run(None, "topicRoute", "-t", "Hello")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("mqadmin: topicRoute: ")
    assert "127.0.0.1:1" in result.stderr


async def test_as_a_process_it_prints_that_sentence_and_nothing_else() -> None:
    argv = [sys.executable, "-m", "tools.mqadmin", "topicList", "-n", "127.0.0.1:1;127.0.0.1:2"]
    done = await trio.run_process(argv, cwd=REPOSITORY, capture_stdout=True, capture_stderr=True, check=False)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.startswith(b"mqadmin: topicList: ")
    assert len(done.stderr.splitlines()) == 1


async def test_an_address_that_is_none_is_wrong_usage() -> None:
    result = await run(None, "topicList", "-n", "host:port")
    assert result.exit_code == 2
    assert "'host:port' is not the host:port of a name server" in result.output


# --- ends --------------------------------------------------------------------------------------------------


async def test_an_interrupt_ends_it_quietly(peer: Peer) -> None:
    argv = [sys.executable, "-m", "tools.mqadmin", "clusterList", "-i", "600", "-n", peer.address, "--json"]
    pipe = subprocess.PIPE
    # A shell's background job ignores SIGINT, and so would every child: a handler of ours is not inherited.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = await trio.lowlevel.open_process(argv, cwd=REPOSITORY, stdout=pipe, stderr=pipe)
    finally:
        signal.signal(signal.SIGINT, before)
    assert process.stdout is not None
    assert process.stderr is not None
    with trio.fail_after(60):
        await process.stdout.receive_some()
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 130
        assert await process.stderr.receive_some() == b""
    await process.stdout.aclose()
    await process.stderr.aclose()


async def test_a_reader_that_goes_away_is_no_traceback(peer: Peer) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as nobody:
        done = await trio.run_process(
            [sys.executable, "-m", "tools.mqadmin", "topicList", "-n", peer.address],
            cwd=REPOSITORY,
            stdout=nobody,
            capture_stderr=True,
            check=False,
        )
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr


# --- clusters and brokers ----------------------------------------------------------------------------------


async def test_cluster_list(peer: Peer) -> None:
    result = await run(peer, "clusterList")
    heading, row = result.output.splitlines()
    assert heading == (
        "#Cluster Name           #Broker Name            #BID  #Addr                  #Version         "
        "     #InTPS(LOAD)                   #OutTPS(LOAD)  #Timer(Progress)        #PCWait(ms)  #Hour"
        "         #SPACE    #ACTIVATED"
    )
    cells = row.split()
    assert cells[:4] == ["DefaultCluster", "broker-a", "0", peer.address]
    assert cells[4] == "V5_5_0"
    assert "0.00(0,0ms)" in row
    assert "0.00(0,0ms|0,0ms)" in row
    assert "0-0(0.0w, 0.0, 0.0)" in row
    assert cells[-1] == "true"


async def test_cluster_list_with_figures_of_an_old_broker_missing(peer: Peer) -> None:
    peer.answer(28, body=b'{"table":{"putTps":"1.5 2 3","brokerVersionDesc":"V4_3_0"}}')
    row = (await run(peer, "clusterList")).output.splitlines()[1]
    assert "1.50(N,Nms)" in row
    assert row.split()[-1] == "false"


async def test_cluster_list_names_a_broker_that_does_not_answer(peer: Peer) -> None:
    peer.answer(28, response=1, remark="out of order")
    result = await run(peer, "clusterList")
    assert result.exit_code == 1
    assert result.stderr == f"mqadmin: clusterList: {peer.address} answered code 1: out of order\n"
    assert "broker-a" in result.stdout


async def test_cluster_list_of_an_unknown_cluster(peer: Peer) -> None:
    result = await run(peer, "clusterList", "-c", "Nowhere")
    assert result.exit_code == 1
    assert result.stderr == ("mqadmin: clusterList: there is no cluster Nowhere (known: DefaultCluster)\n")


async def test_cluster_list_with_more_stats(peer: Peer) -> None:
    heading, row = (await run(peer, "clusterList", "-m")).output.splitlines()
    assert heading == (
        "#Cluster Name     #Broker Name                       #InTotalYest  #OutTotalYest  #InTotalToday"
        " #OutTotalToday"
    )
    assert row.split()[:4] == ["DefaultCluster", "broker-a", "0", "0"]


async def test_broker_status(peer: Peer) -> None:
    lines = (await run(peer, "brokerStatus", "-b", peer.address)).output.splitlines()
    assert "brokerActive                    : true" in lines
    assert lines == sorted(lines)
    of_cluster = (await run(peer, "brokerStatus", "-c", "DefaultCluster")).output.splitlines()
    assert f"{peer.address:<24} brokerActive                    : true" in of_cluster


@pytest.mark.parametrize("command", ["brokerStatus", "getBrokerConfig"])
async def test_a_broker_or_a_cluster_not_both(command: str) -> None:
    for arguments in ((), ("-b", "a:1", "-c", "C")):
        result = await run(None, command, *arguments)
        assert result.exit_code == 2
        assert "either -b (a broker) or -c (a cluster)" in result.output


async def test_get_broker_config(peer: Peer) -> None:
    lines = (await run(peer, "getBrokerConfig", "-b", peer.address)).output.splitlines()
    assert lines[0] == f"============{peer.address}============"
    assert "brokerName                                        =  broker-a" in lines
    assert lines[-1] == ""
    of_cluster = (await run(peer, "getBrokerConfig", "-c", "DefaultCluster")).output.splitlines()
    assert of_cluster[0] == f"============Master: {peer.address}============"


async def test_update_broker_config(peer: Peer) -> None:
    result = await run(peer, "updateBrokerConfig", "-b", peer.address, "-k", "deleteWhen", "-v", "05")
    assert result.output == f"update broker config success, {peer.address}\n"
    assert [bytes(request.body) for request in peer.asked(25)] == [b"deleteWhen=05\n"]


async def test_a_refused_change_fails(peer: Peer) -> None:
    peer.answer(25, response=16, remark="Can not update config in black list.")
    result = await run(peer, "updateBrokerConfig", "-c", "DefaultCluster", "-k", "rocketmqHome", "-v", "/")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "code 16: Can not update config in black list." in result.stderr


# --- topics ------------------------------------------------------------------------------------------------


async def test_topic_list(peer: Peer) -> None:
    topics = (await run(peer, "topicList")).output.splitlines()
    assert "Hello" in topics
    assert f"%RETRY%{GROUP}" in topics


async def test_topic_list_with_groups(peer: Peer) -> None:
    peer.answer(206, body=b'{"topicList":["%RETRY%x","TopicTest","Hello"]}')
    assert (await run(peer, "topicList", "-c")).output.splitlines() == [
        "#Cluster Name         #Topic                                            #Consumer Group         "
        "                        ",
        f"{'DefaultCluster':<20}  {'TopicTest':<64}  {GROUP:<64}",
        f"{'DefaultCluster':<20}  {'Hello':<64}  {'':<64}",
    ]


async def test_topic_route_is_javas_json(peer: Peer) -> None:
    assert (await run(peer, "topicRoute", "-t", "Hello")).output == (
        '{\n\t"brokerDatas":[\n\t\t{\n\t\t\t"brokerAddrs":{\n\t\t\t\t0:"' + peer.address + '"\n\t\t\t},\n'
        '\t\t\t"brokerName":"broker-a",\n\t\t\t"cluster":"DefaultCluster",\n'
        '\t\t\t"enableActingMaster":false\n\t\t}\n\t],\n\t"filterServerTable":{},\n\t"queueDatas":[\n\t\t{\n'
        '\t\t\t"brokerName":"broker-a",\n\t\t\t"perm":6,\n\t\t\t"readQueueNums":4,\n'
        '\t\t\t"topicSysFlag":0,\n\t\t\t"writeQueueNums":4\n\t\t}\n\t]\n}\n'
    )


async def test_topic_route_as_standard_json(peer: Peer) -> None:
    route = json.loads((await run(peer, "topicRoute", "-t", "Hello", "--json")).output)
    assert route["brokerDatas"][0]["brokerAddrs"] == {"0": peer.address}


async def test_topic_route_as_a_list(peer: Peer) -> None:
    lines = (await run(peer, "topicRoute", "-t", "Hello", "-l")).output.splitlines()
    assert lines[0].split() == [
        "#ClusterName",
        "#BrokerName",
        "#BrokerAddrs",
        "#ReadQueue",
        "#WriteQueue",
        "#Perm",
    ]
    assert lines[1].split() == ["DefaultCluster", "broker-a", f"{{0={peer.address}}}", "4", "4", "6"]
    assert lines[2] == "-" * 158
    assert lines[3].split() == ["Total:", "1", "4", "4"]


async def test_topic_route_of_a_topic_without_route(peer: Peer) -> None:
    result = await run(peer, "topicRoute", "-t", "NoSuchTopic")
    assert result.exit_code == 1
    assert result.stderr == "mqadmin: topicRoute: no name server has a route for topic NoSuchTopic\n"


async def test_topic_status(peer: Peer) -> None:
    assert (await run(peer, "topicStatus", "-t", "Hello")).output == (
        "#Broker Name                      #QID  #Min Offset           #Max Offset           "
        "  #Last Updated\n"
        "broker-a                          0     0                     0                       \n"
        "broker-a                          1     0                     1                       "
        "2026-11-21 06:16:08,414\n"
        "broker-a                          2     0                     1                       "
        "2026-11-21 06:16:14,168\n"
        "broker-a                          3     0                     0                       \n"
        "\nTopic Put TPS: 0.0\n"
    )


async def test_update_topic(peer: Peer) -> None:
    result = await run(
        peer,
        "updateTopic",
        "-c",
        "DefaultCluster",
        "-t",
        "Hello",
        "-r",
        "4",
        "-w",
        "4",
        "-a",
        "+message.type=NORMAL",
    )
    assert result.output == (
        f"create topic to {peer.address} success.\n"
        "TopicConfig [topicName=Hello, readQueueNums=4, writeQueueNums=4, perm=RW-, "
        "topicFilterType=SINGLE_TAG, topicSysFlag=0, order=false, attributes={+message.type=NORMAL}]\n"
    )
    (request,) = peer.asked(17)
    assert request.ext_fields["attributes"] == "+message.type=NORMAL"
    assert request.ext_fields["defaultTopic"] == "TBW102"
    assert (request.ext_fields["readQueueNums"], request.ext_fields["perm"]) == ("4", "6")


async def test_update_topic_in_order_keeps_the_other_brokers_part(peer: Peer) -> None:
    peer.answer(101, value="broker-a:9;broker-b:4")
    result = await run(peer, "updateTopic", "-b", peer.address, "-t", "Hello", "-w", "2", "-o", "true")
    assert "set broker orderConf. isOrder=true, orderConf=[broker-a:2]\n" in result.output
    (request,) = peer.asked(100)
    assert request.ext_fields == {
        "namespace": "ORDER_TOPIC_CONFIG",
        "key": "Hello",
        "value": "broker-a:2;broker-b:4",
    }


@pytest.mark.parametrize("attributes", ["message.type=NORMAL", "+a", "-a=b", "+a=1,+a=2"])
async def test_bad_attributes_change_nothing(peer: Peer, attributes: str) -> None:
    result = await run(peer, "updateTopic", "-b", peer.address, "-t", "Hello", "-a", attributes)
    assert result.exit_code == 2
    assert peer.asked(17) == []


async def test_delete_topic(peer: Peer) -> None:
    result = await run(peer, "deleteTopic", "-c", "DefaultCluster", "-t", "Hello2")
    assert result.output == (
        "delete topic [Hello2] from cluster [DefaultCluster] success.\n"
        "delete topic [Hello2] from NameServer success.\n"
    )
    assert [request.ext_fields["topic"] for request in peer.asked(215) + peer.asked(216)] == ["Hello2"] * 2


async def test_delete_topic_keeps_the_route_when_a_broker_refuses(peer: Peer) -> None:
    peer.answer(215, response=1, remark="no")
    result = await run(peer, "deleteTopic", "-c", "DefaultCluster", "-t", "Hello2")
    assert (result.exit_code, result.stdout) == (1, "")
    assert peer.asked(216) == []


async def test_delete_topic_of_an_unknown_cluster_deletes_nothing(peer: Peer) -> None:
    result = await run(peer, "deleteTopic", "-c", "NoCluster", "-t", "Hello2")
    assert result.exit_code == 1
    assert peer.asked(216) == []


# --- groups ------------------------------------------------------------------------------------------------

GROUP_TEXT = (
    "SubscriptionGroupConfig{groupName=GroupX, consumeEnable=true, consumeFromMinEnable=false, "
    "consumeBroadcastEnable=false, consumeMessageOrderly=false, retryQueueNums=1, retryMaxTimes=16, "
    "groupRetryPolicy=GroupRetryPolicy{%s}, brokerId=0, whichBrokerWhenConsumeSlowly=1, "
    "notifyConsumerIdsChangedEnable=true, groupSysFlag=0, consumeTimeoutMinute=15, subscriptionDataSet=null, "
    "attributes={}}"
)


async def test_update_sub_group(peer: Peer) -> None:
    result = await run(peer, "updateSubGroup", "-b", peer.address, "-g", "GroupX")
    plain = "type=CUSTOMIZED, exponentialRetryPolicy=null, customizedRetryPolicy=null"
    assert result.output == (f"create subscription group to {peer.address} success.\n{GROUP_TEXT % plain}\n")
    sent = json.loads(bytes(peer.asked(200)[0].body))
    assert sent["groupName"] == "GroupX"
    assert sent["consumeBroadcastEnable"] is False


async def test_update_sub_group_with_a_retry_policy(peer: Peer) -> None:
    policy = '{"type":"EXPONENTIAL","exponentialRetryPolicy":{"initial":5000,"max":7200000,"multiplier":2}}'
    result = await run(peer, "updateSubGroup", "-c", "DefaultCluster", "-g", "GroupX", "-p", policy)
    text = (
        "type=EXPONENTIAL, exponentialRetryPolicy=ExponentialRetryPolicy{initial=5000, max=7200000, "
        "multiplier=2}, customizedRetryPolicy=null"
    )
    assert GROUP_TEXT % text in result.output
    assert json.loads(bytes(peer.asked(200)[0].body))["groupRetryPolicy"] == json.loads(policy)


@pytest.mark.parametrize("policy", ["{", "[]", '{"type":"OTHER"}'])
async def test_a_bad_retry_policy_changes_nothing(peer: Peer, policy: str) -> None:
    result = await run(peer, "updateSubGroup", "-b", peer.address, "-g", "GroupX", "-p", policy)
    assert result.exit_code == 2
    assert peer.asked(200) == []


async def test_delete_sub_group(peer: Peer) -> None:
    result = await run(peer, "deleteSubGroup", "-c", "DefaultCluster", "-g", "GroupX", "-r", "true")
    assert result.output == (
        f"delete subscription group [GroupX] from broker [{peer.address}] "
        "in cluster [DefaultCluster] success.\n"
    )
    (request,) = peer.asked(207)
    assert request.ext_fields == {"groupName": "GroupX", "cleanOffset": "true"}
    assert [each.ext_fields["topic"] for each in peer.asked(215)] == ["%RETRY%GroupX", "%DLQ%GroupX"]


async def test_consumer_progress(peer: Peer) -> None:
    lines = (await run(peer, "consumerProgress", "-g", GROUP)).output.splitlines()
    assert lines[0] == (
        "#Topic                                                            #Broker Name                      "
        "#QID  #Broker Offset        #Consumer Offset      #Diff                #Inflight           #LastTime"
    )
    assert (
        "TopicTest                                                         broker-a                          "
        "0     25                    25                    0                    0                    "
        "2026-11-21 06:20:52"
    ) in lines
    assert lines[-4:] == ["", "Consume TPS: 0.00", "Consume Diff Total: 0", "Consume Inflight Total: 0"]


async def test_consumer_progress_with_clients(peer: Peer) -> None:
    lines = (await run(peer, "consumerProgress", "-g", GROUP, "-s", "true")).output.splitlines()
    assert (
        "TopicTest                                                         broker-a                          "
        "0     25                    25                    192.0.2.2            0                    "
        "0                    2026-11-21 06:20:52"
    ) in lines


async def test_consumer_progress_of_all_groups(peer: Peer) -> None:
    peer.answer(206, body=f'{{"topicList":["Hello","%RETRY%{GROUP}","%RETRY%TOOLS_CONSUMER"]}}'.encode())
    assert (await run(peer, "consumerProgress")).output.splitlines() == [
        "#Group                                                            #Count  #Version                 "
        "#Type  #Model          #TPS     #Diff Total",
        f"{GROUP:<64}  1       V5_5_0                   PUSH   CLUSTERING      0        0",
        f"{'TOOLS_CONSUMER':<64}  0       OFFLINE                                         0        0",
    ]


async def test_consumer_progress_of_an_unknown_group(peer: Peer) -> None:
    result = await run(peer, "consumerProgress", "-g", "Nobody")
    assert result.exit_code == 1
    assert "no name server knows consumer group Nobody" in result.stderr


async def test_consumer_connection(peer: Peer) -> None:
    lines = (await run(peer, "consumerConnection", "-g", GROUP)).output.splitlines()
    assert lines[0] == "#ClientId                            #ClientAddr            #Language  #Version"
    assert lines[1].split()[2:] == ["JAVA", "V5_5_0"]
    assert lines[2:5] == ["", "Below is subscription:", "#Topic               #SubExpression"]
    assert lines[5:] == [
        f"%RETRY%{GROUP} *",
        "TopicTest            *",
        "",
        "ConsumeType: CONSUME_PASSIVELY",
        "MessageModel: CLUSTERING",
        "ConsumeFromWhere: CONSUME_FROM_FIRST_OFFSET",
    ]


async def test_producer_connection(peer: Peer) -> None:
    missing = await run(peer, "producerConnection", "-g", "nosuch", "-t", "Hello")
    assert missing.exit_code == 1
    assert "code 1: the producer group[nosuch] not exist" in missing.stderr
    peer.answer(
        204,
        body=b'{"connectionSet":[{"clientAddr":"10.0.0.1:5","clientId":"b@1","language":"GO","version":317},'
        b'{"clientAddr":"10.0.0.1:4","clientId":"a@1","language":"JAVA","version":513}]}',
    )
    lines = (await run(peer, "producerConnection", "-g", "some", "-t", "Hello")).output.splitlines()
    assert lines[0] == "0001  a@1                              10.0.0.1:4             JAVA     V5_5_0"
    assert lines[1].startswith("0002  b@1")


# --- messages ----------------------------------------------------------------------------------------------

DETAILS = (
    "Topic:               Hello\n"
    "Tags:                [TagB]\n"
    "Keys:                [key1]\n"
    "Queue ID:            2\n"
    "Queue Offset:        0\n"
    "CommitLog Offset:    262\n"
    "Reconsume Times:     0\n"
    "Born Timestamp:      2026-11-21 06:16:14,153\n"
    "Store Timestamp:     2026-11-21 06:16:14,168\n"
    "Born Host:           127.0.0.1:57196\n"
    "Store Host:          127.0.0.1:22911\n"
    "System Flag:         0\n"
)


async def test_query_by_the_brokers_id_asks_the_broker_in_it(peer: Peer) -> None:
    port = int(peer.address.split(":")[1])
    offset_id = f"7F000001{port:08X}{262:016X}"
    result = await run(peer, "queryMsgById", "-t", "Hello", "-i", offset_id, "-f", "UTF-8")
    assert result.exit_code == 0
    assert result.output.startswith(f"OffsetID:            7F0000010000597F0000000000000106\n{DETAILS}")
    assert "Message Body:        body two\n" in result.output
    assert result.output.endswith("\nWARN: No Consumer\n")
    (request,) = peer.asked(33)
    assert request.ext_fields["offset"] == "262"


async def test_query_by_the_producers_id(peer: Peer, tmp_path: Path) -> None:
    result = await run(peer, "queryMsgByUniqueKey", "-t", "Hello", "-i", UNIQUE_KEY)
    assert result.output.startswith(DETAILS)
    body = tmp_path / "rocketmq" / "msgbodys" / UNIQUE_KEY
    assert f"Message Body Path:   {body}\n" in result.output
    assert body.read_bytes() == b"body two"
    (request,) = peer.asked(12)
    assert request.ext_fields["_UNIQUE_KEY_QUERY"] == "true"
    assert request.ext_fields["maxNum"] == "32"


async def test_several_ids_one_of_them_unknown(peer: Peer) -> None:
    result = await run(peer, "queryMsgById", "-t", "Hello", "-i", f"{UNIQUE_KEY},{'0' * 56}", "--json")
    assert result.exit_code == 1
    assert f"topic Hello has no message with the key {'0' * 56}" in result.stderr
    (message,) = json.loads(result.stdout)
    assert (message["msgId"], message["body"], message["tracks"]) == (UNIQUE_KEY, "body two", [])


async def test_what_groups_did_with_a_message(peer: Peer) -> None:
    peer.answer(300, body=f'{{"groupList":["Nobody","{GROUP}"]}}'.encode())
    lines = (await run(peer, "queryMsgByUniqueKey", "-t", "Hello", "-i", UNIQUE_KEY)).output.splitlines()
    assert lines[-2:] == [
        "MessageTrack [consumerGroup=Nobody, trackType=UNKNOWN, exceptionDesc=no name server knows consumer "
        "group Nobody (there is no topic %RETRY%Nobody)]",
        f"MessageTrack [consumerGroup={GROUP}, trackType=NOT_CONSUME_YET, exceptionDesc=null]",
    ]


async def test_query_by_key(peer: Peer) -> None:
    lines = (await run(peer, "queryMsgByKey", "-t", "Hello", "-k", "key1")).output.splitlines()
    assert lines[0].split() == ["#Message", "ID", "#QID", "#Offset", "#IndexKey"]
    assert lines[2].rstrip() == (
        f"{UNIQUE_KEY}    2                                        0 "
        f"1795240800000@Hello@K@key1@{UNIQUE_KEY}@262"
    )
    assert len(lines) == 3


async def test_query_by_an_unknown_key(peer: Peer) -> None:
    result = await run(peer, "queryMsgByKey", "-t", "Hello", "-k", "none")
    assert result.exit_code == 1
    assert result.stderr == "mqadmin: queryMsgByKey: topic Hello has no message with the key none\n"


async def test_query_by_offset(peer: Peer) -> None:
    arguments = ("queryMsgByOffset", "-t", "Hello", "-b", "broker-a", "-i", "2")
    found = await run(peer, *arguments, "-o", "0")
    assert DETAILS in found.output
    assert "MIN_OFFSET=0, MAX_OFFSET=1}" in found.output
    missing = await run(peer, *arguments, "-o", "1")
    assert missing.exit_code == 1
    assert "has no message at 1 (it has 0 to 0; NO_NEW_MSG)" in missing.stderr


MESSAGE_LINE = (
    f"MSGID: {UNIQUE_KEY} MessageExt [brokerName=broker-a, queueId=2, storeSize=262, queueOffset=0, "
    "sysFlag=0, bornTimestamp=1795241774153, bornHost=/127.0.0.1:57196, storeTimestamp=1795241774168, "
    "storeHost=/127.0.0.1:22911, msgId=7F0000010000597F0000000000000106, commitLogOffset=262, "
    "bodyCRC=588019483, reconsumeTimes=0, preparedTransactionOffset=0, toString()=Message{topic='Hello', "
    f"flag=0, properties={{MSG_REGION=DefaultRegion, UNIQ_KEY={UNIQUE_KEY}, CLUSTER=DefaultCluster, "
    "TAGS=TagB, KEYS=key1, WAIT=true, TRACE_ON=true, MIN_OFFSET=0, MAX_OFFSET=1}, "
    "body=[98, 111, 100, 121, 32, 116, 119, 111], transactionId='null'}] BODY: "
)


async def test_print_msg(peer: Peer) -> None:
    lines = (await run(peer, "printMsg", "-t", "Hello")).output.splitlines()
    assert lines[:2] == [
        "minOffset=0, maxOffset=0, MessageQueue [topic=Hello, brokerName=broker-a, queueId=0]",
        "--------------------------------------------------------",
    ]
    assert lines[5:8] == [
        "minOffset=0, maxOffset=1, MessageQueue [topic=Hello, brokerName=broker-a, queueId=2]",
        MESSAGE_LINE + "body two",
        "--------------------------------------------------------",
    ]
    without_body = await run(peer, "printMsg", "-t", "Hello", "-d", "false")
    assert MESSAGE_LINE + "NOT PRINT BODY\n" in without_body.output


async def test_print_msg_filters_tags_itself_too(peer: Peer) -> None:
    output = (await run(peer, "printMsg", "-t", "Hello", "-s", "TagA || TagC", "--json")).output
    (message,) = [json.loads(line) for line in output.splitlines()]
    assert (message["tags"], message["body"]) == ("TagA", "body one")
    assert {request.ext_fields["subscription"] for request in peer.asked(11)} == {"TagA || TagC"}


async def test_consume_message(peer: Peer) -> None:
    lines = (
        await run(peer, "consumeMessage", "-t", "Hello", "-b", "broker-a", "-i", "2")
    ).output.splitlines()
    assert lines == [
        "Consume ok",
        MESSAGE_LINE + "body two",
        "MessageQueue [topic=Hello, brokerName=broker-a, queueId=2] print msg finished. "
        "status=NO_NEW_MSG, offset=1",
    ]


async def test_consume_message_counts_over_all_queues(peer: Peer) -> None:
    output = (await run(peer, "consumeMessage", "-t", "Hello", "-c", "1")).output
    assert output.count("MSGID:") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("-i", "1"),
        ("-b", "broker-a", "-o", "1"),
        ("-c", "0"),
        ("-s", "9999999999999"),
        ("-s", "1000", "-e", "999"),
        ("-s", "yesterday"),
    ],
)
async def test_consume_message_refuses_contradictions(peer: Peer, arguments: tuple[str, ...]) -> None:
    result = await run(peer, "consumeMessage", "-t", "Hello", *arguments)
    assert result.exit_code == 2
    assert peer.asked(11) == []


async def test_send_message(peer: Peer) -> None:
    result = await run(
        peer,
        "sendMessage",
        "-t",
        "Hello",
        "-p",
        "body",
        "-k",
        "k1",
        "-c",
        "TagA",
        "-b",
        "broker-a",
        "-i",
        "3",
    )
    heading, row = result.output.splitlines()
    assert heading == "#Broker Name                      #QID  #Send Result            #MsgId"
    assert row.split()[:3] == ["broker-a", "3", "SEND_OK"]
    (request,) = peer.asked(310)
    assert bytes(request.body) == b"body"
    assert request.ext_fields["b"] == "Hello"
    assert request.ext_fields["e"] == "3"
    assert "KEYS\x01k1\x02" in request.ext_fields["i"]
    assert f"UNIQ_KEY\x01{row.split()[3]}\x02" in request.ext_fields["i"]


async def test_send_message_says_why_it_failed(peer: Peer) -> None:
    peer.answer(310, response=14, remark="service not available now.")
    result = await run(peer, "sendMessage", "-t", "Hello", "-p", "body")
    assert result.exit_code == 1
    assert "the message was not stored after 3 attempts" in result.stderr
    assert len(peer.asked(310)) == 3


async def test_a_broker_may_be_chosen_without_a_queue(peer: Peer) -> None:
    result = await run(peer, "sendMessage", "-t", "Hello", "-p", "b", "-b", "broker-a")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1].split()[0] == "broker-a"
    peer.requests.clear()
    absent = await run(peer, "sendMessage", "-t", "Hello", "-p", "b", "-b", "nobody")
    assert (absent.exit_code, peer.asked(310)) == (1, [])
    sentence = "broker nobody has no queue of topic Hello that can be written"
    assert absent.stderr == f"mqadmin: sendMessage: {sentence}\n"


@pytest.mark.parametrize("permission", ["8", "9", "-1"])
@pytest.mark.parametrize(
    "command", [("updateTopic", "-t", "Hello"), ("updateTopicPerm", "-t", "Hello")], ids=lambda each: each[0]
)
async def test_a_permission_that_is_none_changes_nothing(
    peer: Peer, command: tuple[str, ...], permission: str
) -> None:
    result = await run(peer, *command, "-b", peer.address, "-p", permission)
    assert (result.exit_code, peer.asked(17)) == (2, [])


async def test_a_queue_needs_its_broker(peer: Peer) -> None:
    assert (await run(peer, "sendMessage", "-t", "Hello", "-p", "b", "-i", "1")).exit_code == 2


async def test_an_id_that_is_a_path_is_not_used_as_one(peer: Peer, tmp_path: Path) -> None:

    recorded = decode_message(
        next(base64.b64decode(each["bodyBase64"]) for each in RECORDED if each["code"] == 33)
    )
    evil = attrs.evolve(recorded, properties={"UNIQ_KEY": "../../evil", "KEYS": "key1"})
    peer.answer(
        11,
        body=encode_message(evil),
        nextBeginOffset="1",
        minOffset="0",
        maxOffset="1",
        suggestWhichBrokerId="0",
    )
    result = await run(peer, "queryMsgByOffset", "-t", "Hello", "-b", "broker-a", "-i", "2", "-o", "0")
    assert result.exit_code == 0
    assert [path.name for path in (tmp_path / "rocketmq" / "msgbodys").iterdir()] == [recorded.msg_id]


# --- offsets -----------------------------------------------------------------------------------------------


async def test_reset_offset_by_time(peer: Peer) -> None:
    result = await run(peer, "resetOffsetByTime", "-g", GROUP, "-t", "TopicTest", "-s", "-1")
    lines = result.output.splitlines()
    assert lines[0] == (
        f"start reset consumer offset by specified, group[{GROUP}], topic[TopicTest], force[true], "
        "timestamp(string)[-1], timestamp(long)[-1]"
    )
    assert lines[1] == f"{'#brokerName':<40}  {'#queueId':<40}  {'#offset':<40}"
    assert lines[2] == f"{'broker-a':<40}  {'0':<40}  {'25':<40}"
    (request,) = peer.asked(222)
    assert request.ext_fields["isForce"] == "true"
    assert request.ext_fields["timestamp"] == "-1"


async def test_reset_takes_javas_way_of_writing_a_time(peer: Peer) -> None:
    await run(peer, "resetOffsetByTime", "-g", GROUP, "-t", "TopicTest", "-s", "2026-11-21#06:16:14:168")
    assert peer.asked(222)[0].ext_fields["timestamp"] == "1795241774168"


async def test_reset_of_one_queue(peer: Peer) -> None:
    arguments = ("-g", GROUP, "-t", "Hello", "-s", "1795241770000", "-b", peer.address, "-q", "1")
    result = await run(peer, "resetOffsetByTime", *arguments)
    assert result.output.splitlines()[1] == "reset consumer offset to 1"
    (commit,) = peer.asked(15)
    assert commit.ext_fields["commitOffset"] == "1"
    await run(peer, "resetOffsetByTime", *arguments, "-o", "0")
    assert peer.asked(222)[-1].ext_fields["offset"] == "0"


async def test_reset_without_a_consumer_commits_instead(peer: Peer) -> None:
    peer.answer(222, response=206, remark="Consumer not online")
    peer.answer(29, offset="5")
    result = await run(peer, "resetOffsetByTime", "-g", GROUP, "-t", "TopicTest", "-s", "1795241770000")
    lines = result.output.splitlines()
    assert lines[1].split() == [
        "#brokerName",
        "#queueId",
        "#brokerOffset",
        "#consumerOffset",
        "#timestampOffset",
        "#resetOffset",
    ]
    assert lines[2].split() == ["broker-a", "0", "25", "25", "5", "5"]
    assert [request.ext_fields["commitOffset"] for request in peer.asked(15)] == ["5"] * 4


@pytest.mark.parametrize(
    "arguments",
    [("-s", "soon"), ("-s", "now", "-b", "a:1"), ("-s", "now", "-q", "1"), ("-s", "now", "-o", "1")],
)
async def test_reset_refuses_contradictions(peer: Peer, arguments: tuple[str, ...]) -> None:
    result = await run(peer, "resetOffsetByTime", "-g", GROUP, "-t", "Hello", *arguments)
    assert result.exit_code == 2
    assert peer.requests == []


# --- name server commands ----------------------------------------------------------------------------------


async def test_name_server_configuration(peer: Peer) -> None:
    lines = (await run(peer, "getNamesrvConfig")).output.splitlines()
    assert lines[0] == f"============{peer.address}============"
    assert "scanNotActiveBrokerInterval                       =  5000" in lines
    changed = await run(peer, "updateNamesrvConfig", "-k", "a", "-v", "b")
    assert changed.output == "update name server config success!\na : b\n"
    named = await run(None, "updateNamesrvConfig", "-n", peer.address, "-k", "a", "-v", "b")
    assert named.output == f"update name server config success![{peer.address}]\na : b\n"
    assert [bytes(request.body) for request in peer.asked(318)] == [b"a=b\n"] * 2


async def test_key_value_table(peer: Peer) -> None:
    put = await run(peer, "updateKvConfig", "-s", "NS", "-k", "a", "-v", "b")
    assert put.output == "create or update kv config to namespace success.\n"
    removed = await run(peer, "deleteKvConfig", "-s", "NS", "-k", "a")
    assert removed.output == "delete kv config from namespace success.\n"
    assert peer.asked(100)[0].ext_fields == {"namespace": "NS", "key": "a", "value": "b"}
    assert peer.asked(102)[0].ext_fields == {"namespace": "NS", "key": "a"}


async def test_write_permission(peer: Peer) -> None:
    for verb in ("wipe", "add"):
        result = await run(peer, f"{verb}WritePerm", "-b", "broker-a")
        assert result.output == (
            f"{verb} write perm of broker[broker-a] in name server[{peer.address}] OK, 20\n"
        )
    peer.answer(205, wipeTopicCount="0")
    absent = await run(peer, "wipeWritePerm", "-b", "nobody")
    assert absent.stdout.endswith("OK, 0\n")
    assert absent.stderr == "mqadmin: wipeWritePerm: no name server has a topic of broker nobody\n"
    assert absent.exit_code == 1
    peer.answer(205, response=1, remark="no")
    failed = await run(peer, "wipeWritePerm", "-b", "broker-a")
    assert failed.exit_code == 1
    assert failed.stdout == f"wipe write perm of broker[broker-a] in name server[{peer.address}] Failed\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("clusterList",),
        ("brokerStatus", "-c", "DefaultCluster"),
        ("getBrokerConfig", "-c", "DefaultCluster"),
        ("topicList",),
        ("topicRoute", "-t", "Hello"),
        ("topicStatus", "-t", "Hello"),
        ("topicClusterList", "-t", "Hello"),
        ("updateTopic", "-c", "DefaultCluster", "-t", "Hello"),
        ("updateSubGroup", "-c", "DefaultCluster", "-g", "G"),
        ("consumerProgress", "-g", GROUP),
        ("consumerProgress",),
        ("consumerConnection", "-g", GROUP),
        ("queryMsgByKey", "-t", "Hello", "-k", "key1"),
        ("sendMessage", "-t", "Hello", "-p", "b"),
        ("resetOffsetByTime", "-g", GROUP, "-t", "TopicTest", "-s", "now"),
        ("getNamesrvConfig",),
        ("wipeWritePerm", "-b", "broker-a"),
    ],
)
async def test_json_is_one_standard_document(peer: Peer, arguments: tuple[str, ...]) -> None:
    result = await run(peer, *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)
