"""Sends: what is stored, what is answered, what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import trio
from rig import Rig, open_rig, properties, send_request

from remoting.command import RemotingCommand
from remoting.protocol.body import MessageQueue
from remoting.protocol.message import BatchItem, encode_batch
from store import FlushDiskType

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SYNC_FLUSH = {"flush_disk_type": FlushDiskType.SYNC_FLUSH}


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with open_rig(tmp_path) as rig:
        rig.topic("T")
        yield rig


def test_a_send_is_stored_and_answered_as_java_does(rig: Rig) -> None:
    (answer,) = rig.send(send_request(e="2", h="7", i=properties(TAGS="A", KEYS="k", UNIQ_KEY="0A0B")))
    (message,) = rig.messages("T", 2)
    assert answer.code == 0
    assert answer.ext_fields == {
        "MSG_REGION": "DefaultRegion",
        "TRACE_ON": "true",
        "msgId": message.msg_id,
        "queueId": "2",
        "queueOffset": "0",
        "transactionId": "0A0B",
    }
    assert (message.body, message.flag, message.born_timestamp) == (b"hello", 7, 1_699_999_999_999)
    assert message.born_host == ("127.0.0.1", 50_000)
    assert message.store_host == ("127.0.0.1", 10_911)
    assert message.properties == {
        "TAGS": "A",
        "KEYS": "k",
        "UNIQ_KEY": "0A0B",
        "MSG_REGION": "DefaultRegion",
        "TRACE_ON": "true",
        "CLUSTER": "DefaultCluster",
    }


def test_sends_of_one_read_are_one_put(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    put = rig.context.store.put
    monkeypatch.setattr(
        rig.context.store, "put", lambda messages: sizes.append(len(messages)) or put(messages)
    )
    answers = rig.send(*[send_request(e=str(number % 4)) for number in range(10)])
    assert sizes == [10]
    assert [answer.ext_fields["queueOffset"] for answer in answers] == list("0000111122")


def test_the_bad_ones_of_a_read_do_not_hurt_the_good_ones(rig: Rig) -> None:
    answers = rig.send(
        send_request(), send_request(e="9"), send_request(h="x"), send_request(b=None), send_request()
    )
    assert [answer.code for answer in answers] == [0, 29, 1, 1, 0]
    assert len(rig.messages("T")) == 2


@pytest.mark.parametrize("name", ["b", "e", "f", "g", "h"])
def test_a_missing_field_is_named(rig: Rig, name: str) -> None:
    (answer,) = rig.send(send_request(**{name: None}))
    assert (answer.code, answer.remark) == (1, f"the custom field <{name}> is null")


def test_the_old_header_is_served_and_its_missing_fields_are_named_by_their_long_names(rig: Rig) -> None:
    fields = {
        "producerGroup": "p", "topic": "T", "defaultTopic": "TBW102", "defaultTopicQueueNums": "4",
        "queueId": "1", "sysFlag": "0", "bornTimestamp": "5", "flag": "0",
        "properties": properties(UNIQ_KEY="A"), "batch": "1",
    }  # fmt: skip
    (answer,) = rig.send(RemotingCommand.request(10, fields, b"x"))
    assert (answer.code, answer.ext_fields["queueId"]) == (0, "1")
    del fields["bornTimestamp"]
    (answer,) = rig.send(RemotingCommand.request(10, fields, b"x"))
    assert (answer.code, answer.remark) == (1, "the custom field <bornTimestamp> is null")


@pytest.mark.parametrize(
    ("changes", "code", "remark"),
    [
        ({"b": "bad name"}, 29, "contains illegal characters"),
        ({"b": "x" * 128}, 29, "is longer than topic max length: 127"),
        ({"b": " "}, 29, "The specified topic is blank."),
        ({"b": "SCHEDULE_TOPIC_XXXX"}, 16, "Sending message to topic[SCHEDULE_TOPIC_XXXX] is forbidden."),
        ({"b": "new", "c": "nothing"}, 17, "topic[new] not exist, apply first please!"),
        ({"e": "4"}, 29, "request queueId[4] is illegal"),
        ({"i": properties(TIMER_DELAY_SEC="3")}, 1, "timerWheelEnable is false"),
        ({"i": properties(TRAN_MSG="true")}, 3, "does not serve transaction messages"),
        ({"i": properties(DELAY="soon")}, 1, 'For input string: "soon"'),
        ({"i": properties(INNER_NUM="3")}, 13, "the message is illegal"),
        ({"i": properties(X="y" * 33_000)}, 13, "msg properties length limit 32KB"),
        ({"h": str(2**31)}, 1, "For input string"),
        ({"g": str(2**63)}, 1, "For input string"),
        ({"body": b""}, 13, "the message is illegal"),
        ({"body": b"x" * (4 * 1024 * 1024 + 1)}, 13, "msg body length limit 4194304B"),
    ],
)
def test_what_is_refused(rig: Rig, changes: dict[str, Any], code: int, remark: str) -> None:
    (answer,) = rig.send(send_request(**changes))
    assert answer.code == code
    assert remark in (answer.remark or "")
    assert answer.ext_fields == {"MSG_REGION": "DefaultRegion", "TRACE_ON": "true"}
    assert rig.context.store.max_phy_offset == 0


def test_transactions_can_be_refused_in_javas_words(tmp_path: Path) -> None:
    with open_rig(tmp_path, config={"reject_transaction_message": True}) as rig:
        rig.topic("T")
        (answer,) = rig.send(send_request(i=properties(TRAN_MSG="true")))
    assert (answer.code, answer.remark) == (
        16, "the broker[127.0.0.1] sending transaction message is forbidden",
    )  # fmt: skip


def test_an_unknown_topic_is_created_after_its_example(rig: Rig) -> None:
    (answer,) = rig.send(send_request("new", d="3"))
    created = rig.context.topics.get("new")
    assert answer.code == 0
    assert created is not None
    assert (created.write_queue_nums, created.read_queue_nums, created.perm) == (3, 3, 6)


def test_a_changed_topic_is_checked_anew(rig: Rig) -> None:
    rig.send(send_request(e="3"))
    rig.topic("T", queues=2)
    (answer,) = rig.send(send_request(e="3"))
    assert answer.code == 29
    rig.context.topics.delete("T")
    (answer,) = rig.send(send_request(c="nothing"))
    assert answer.code == 17


def test_a_negative_queue_id_means_any_queue(rig: Rig) -> None:
    answers = rig.send(*[send_request(e="-1") for _ in range(64)])
    assert {answer.ext_fields["queueId"] for answer in answers} == {"0", "1", "2", "3"}


def test_an_ordered_topic_needs_the_brokers_write_permission(tmp_path: Path) -> None:
    with open_rig(tmp_path, config={"broker_permission": 4}) as rig:
        rig.topic("T")
        rig.topic("ordered", order=True)
        plain, ordered = rig.send(send_request(), send_request("ordered"))
    assert plain.code == 0
    assert (ordered.code, ordered.remark) == (16, "the broker[127.0.0.1] sending message is forbidden")


def test_an_odd_transaction_id_is_answered_with_its_escapes(rig: Rig) -> None:
    (answer,) = rig.send(send_request(i=properties(UNIQ_KEY='a"é')))
    assert (answer.code, answer.ext_fields["transactionId"]) == (0, 'a"é')


def test_a_delay_lets_the_message_wait(rig: Rig) -> None:
    (answer,) = rig.send(send_request(e="3", i=properties(UNIQ_KEY="A", DELAY="2", TAGS="t")))
    assert (answer.code, answer.ext_fields["queueId"]) == (0, "3")
    assert rig.messages("T", 3) == []
    (waiting,) = rig.messages("SCHEDULE_TOPIC_XXXX", 1)
    assert waiting.properties["REAL_TOPIC"] == "T"
    assert waiting.properties["REAL_QID"] == "3"
    ((_, _, due_ms),) = rig.context.store.consume_queue_units("SCHEDULE_TOPIC_XXXX", 1, 0, 9)
    assert due_ms == rig.clock.now_ms() + 5000


def test_a_delay_beyond_the_last_level_is_the_last_level(rig: Rig) -> None:
    rig.send(send_request(i=properties(UNIQ_KEY="A", DELAY="99")))
    assert len(rig.messages("SCHEDULE_TOPIC_XXXX", 17)) == 1


# Batches


def batch_body(count: int = 3, **pairs: str) -> bytes:
    return encode_batch(
        [
            BatchItem(number, b"%d" % number, properties(UNIQ_KEY=f"K{number}", **pairs).encode())
            for number in range(count)
        ]
    )


def test_a_batch_is_stored_as_single_messages_in_a_row(rig: Rig) -> None:
    request = send_request(body=batch_body(TAGS="A"), m="true", i=properties(WAIT="true"))
    request.code = 320
    (answer,) = rig.send(request)
    stored = rig.messages("T")
    assert [message.body for message in stored] == [b"0", b"1", b"2"]
    assert [message.flag for message in stored] == [0, 1, 2]
    assert stored[1].properties == {"UNIQ_KEY": "K1", "TAGS": "A"}
    assert answer.ext_fields["msgId"] == ",".join(message.msg_id for message in stored)
    assert answer.ext_fields["queueOffset"] == "0"
    assert "transactionId" not in answer.ext_fields


@pytest.mark.parametrize(
    ("topic", "body", "outer"),
    [
        ("%RETRY%g", batch_body(), ""),
        ("T", batch_body(), properties(DELAY="3")),
        ("T", batch_body(DELAY="3"), ""),
        ("T", batch_body()[:-1], ""),
        ("T", batch_body() + b"\x00" * 3, ""),
        ("T", b"\x7f" * 40, ""),
        ("T", encode_batch([BatchItem(0, b"0", b""), BatchItem(0, b"1", b"TAGS\x01A\x02\0")]), ""),
        pytest.param("T", batch_body(5000), "", id="more than a file of the log can hold"),
    ],
)
def test_a_batch_is_refused_whole(rig: Rig, topic: str, body: bytes, outer: str) -> None:
    rig.topic("%RETRY%g")
    (answer,) = rig.send(send_request(topic, body=body, m="TRUE", i=outer))
    assert answer.code == 13
    assert rig.context.store.max_phy_offset == 0


# Consumers that send to their retry topic themselves


def test_a_retry_within_the_limit_stays_a_retry(rig: Rig) -> None:
    (answer,) = rig.send(send_request("%RETRY%g", j="16", l="16"))
    assert answer.code == 0
    assert len(rig.messages("%RETRY%g")) == 1


def test_one_retry_too_many_is_a_dead_letter_without_delay(rig: Rig) -> None:
    (answer,) = rig.send(send_request("%RETRY%g", j="4", l="3", i=properties(UNIQ_KEY="A", DELAY="5")))
    assert answer.code == 0
    (dead,) = rig.messages("%DLQ%g")
    assert dead.properties["DELAY"] == "-1"
    assert dead.reconsume_times == 4


def test_an_old_client_cannot_set_the_limit(rig: Rig) -> None:
    request = send_request("%RETRY%g", j="4", l="3")
    request.version = 120
    rig.send(request)
    assert rig.messages("%DLQ%g") == []


def test_an_ordered_group_sends_its_retries_to_the_dead_letters(rig: Rig) -> None:
    queue = MessageQueue(topic="T", broker_name="broker-a", queue_id=0)
    rig.context.locks.lock("g", "client", [queue])
    rig.send(send_request("%RETRY%g", j="1"))
    assert len(rig.messages("%DLQ%g")) == 1


def test_a_retry_of_an_unknown_group_is_refused(tmp_path: Path) -> None:
    with open_rig(tmp_path, config={"auto_create_subscription_group": False}) as rig:
        (answer,) = rig.send(send_request("%RETRY%g"))
    assert answer.code == 26


# Times and limits


def test_sends_before_the_time_to_begin_are_refused(tmp_path: Path) -> None:
    with open_rig(tmp_path, config={"start_accept_send_request_time_stamp": 1_900_000_000_000}) as rig:
        (answer,) = rig.send(send_request())
    assert answer.code == 1
    assert (answer.remark or "").startswith("broker unable to service, until 2030-")


def test_a_slave_takes_no_sends(tmp_path: Path) -> None:
    with open_rig(tmp_path, broker_id=1) as rig:
        (answer,) = rig.send(send_request())
    assert (answer.code, answer.remark) == (2, "[REJECTREQUEST]system busy, start flow control for a while")


def test_a_closed_store_answers_14(rig: Rig) -> None:
    rig.context.store.shutdown()
    (answer,) = rig.send(send_request())
    assert answer.code == 14
    assert (answer.remark or "").startswith("service not available now.")


async def test_in_sync_flush_an_answer_waits_for_the_disk(tmp_path: Path) -> None:
    with open_rig(tmp_path, store=SYNC_FLUSH) as rig:
        rig.topic("T")
        waiting, impatient = send_request(), send_request(i=properties(WAIT="false", UNIQ_KEY="B"))
        rig.sends.process_batch(rig.connection, [waiting, impatient])  # type: ignore[arg-type]
        assert waiting.opaque not in rig.connection.answers
        assert rig.connection.answer_to(impatient).code == 0
        assert rig.sends.waiting()[0] == 1
        async with trio.open_nursery() as nursery:
            await nursery.start(rig.context.store.run)
            with trio.fail_after(10):
                while waiting.opaque not in rig.connection.answers:
                    await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        assert rig.connection.answer_to(waiting).code == 0
        assert rig.sends.waiting() == (0, 0)


async def test_a_flush_that_takes_too_long_answers_10_and_the_message_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from store import PutStatus

    with open_rig(tmp_path, store=SYNC_FLUSH) as rig:
        rig.topic("T")
        gate: list[Any] = []
        monkeypatch.setattr(rig.context.store, "when_durable", lambda offset, callback: gate.append(callback))
        request = send_request()
        rig.sends.process_batch(rig.connection, [request])  # type: ignore[arg-type]
        gate[0](PutStatus.FLUSH_DISK_TIMEOUT)
        answer = rig.connection.answer_to(request)
        assert answer.code == 10
        assert answer.ext_fields["queueOffset"] == "0"
        assert answer.ext_fields["transactionId"] == "0A0B"


def test_too_many_sends_waiting_for_the_disk_turn_new_ones_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_rig(tmp_path, config={"send_thread_pool_queue_capacity": 3}, store=SYNC_FLUSH) as rig:
        rig.topic("T")
        monkeypatch.setattr(rig.context.store, "when_durable", lambda offset, callback: None)
        rig.sends.process_batch(rig.connection, [send_request() for _ in range(3)])  # type: ignore[arg-type]
        (answer,) = rig.send(send_request())
        assert (answer.code, answer.remark) == (
            2, "[OVERLOAD]system busy, start flow control for a while",
        )  # fmt: skip


def test_a_disk_that_is_far_behind_turns_new_sends_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.send.BEHIND_BYTES", 100)
    moments = iter([0.0, 0.25])
    monkeypatch.setattr("broker.send.time.monotonic", lambda: next(moments))
    with open_rig(tmp_path, store=SYNC_FLUSH) as rig:
        rig.topic("T")
        monkeypatch.setattr(rig.context.store, "when_durable", lambda offset, callback: None)
        rig.sends.process_batch(rig.connection, [send_request()])  # type: ignore[arg-type]
        (answer,) = rig.send(send_request())
    assert answer.code == 2
    assert answer.remark == (
        "[TIMEOUT_CLEAN_QUEUE]broker busy, start flow control for a while, "
        "period in queue: 250ms, size of queue: 1"
    )
