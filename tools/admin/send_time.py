"""`sendMsgStatus`, `clusterRT`, `checkMsgSendRT`: how long sends take."""

from __future__ import annotations

import datetime
import time
from typing import TYPE_CHECKING, Any

import click

from client import routing
from client.message import MAX_BODY_BYTES, Message
from client.send_probe import Probe, mean_ms, timed_send
from tools.admin.command import AdminContext, CommandFailed, admin_command, java_boolean
from tools.admin.java_text import boolean
from tools.admin.message_text import queue_text
from tools.admin.output import Mode, Table
from tools.admin.rows import Rows

if TYPE_CHECKING:
    from client import Producer, SendResult

__all__ = ["COMMANDS"]

_STATUS_GROUP = "PID_SMSC"
_STATUS_WORD = "hello jodie"
_FIRST_SIZE_BYTES = 16
_SENT = Table(
    ("#RT(ms)", "#Send Result", "#Broker Name", "#QID", "#Queue Offset", "#MsgId"),
    "%s %s %s %s %s %s",
    "%s %s %s %s %s %s",
    numeric=frozenset({0, 3, 4}),
)
_CLUSTER = Table(
    ("#Cluster Name", "#Broker Name", "#RT", "#successCount", "#failCount"),
    "%-24s  %-24s  %-4s  %-8s  %-8s",
    "%-24s  %-24s  %-8s  %-16s  %-16s",
    numeric=frozenset({2, 3, 4}),
)
_QUEUES = Table(
    ("#Broker Name", "#QID", "#Send Result", "#RT"),
    "%-32s  %-4s  %-20s    %s",
    "%-32s  %-4s  %-20s    %s",
    numeric=frozenset({1, 3}),
)
_CHINA = datetime.timezone(datetime.timedelta(hours=8))

_body_size = click.IntRange(1, MAX_BODY_BYTES)


def _producer(context: AdminContext, group: str | None = None) -> Producer:
    return context.admin.producer(group or str(time.time_ns() // 1_000_000))


@admin_command("sendMsgStatus")
@click.option(
    "topic", "-b", "--brokerName", required=True, help="Name of a broker, which is also a topic that it has."
)
@click.option(
    "size", "-s", "--messageSize", type=_body_size, default=128, show_default=True, help="Bytes of each body."
)
@click.option(
    "count", "-c", "--count", type=click.IntRange(1), default=50, show_default=True, help="How many messages."
)
async def send_msg_status(context: AdminContext, topic: str, size: int, count: int) -> None:
    """One message goes first and is not shown: it opens the connection."""
    topic = topic.strip()
    brokers = (await context.admin.cluster_info()).broker_addr_table
    if topic not in brokers:  # a send would make a topic of that name, somewhere
        raise CommandFailed(f"there is no broker {topic} (known: {', '.join(sorted(brokers)) or 'none'})")
    producer = _producer(context, _STATUS_GROUP)
    await producer.send(_words(topic, _FIRST_SIZE_BYTES))
    message = _words(topic, size)
    probes: list[Probe] = []
    fault = None
    for _ in context.walk(range(count), "messages"):
        probe = await timed_send(producer, message)
        if probe.result is None:
            fault = probe.fault
            break
        probes.append(probe)
        if context.out.mode is Mode.PLAIN:
            context.out.line(f"rt={round(probe.took_ms)}ms, SendResult={_result_text(probe.result)}")
    if context.out.mode is Mode.RICH:
        context.out.table(_SENT, [_sent_row(each) for each in probes])
    context.out.value({"topic": topic, "sends": [_probe_value(each) for each in probes]})
    if fault is not None:
        raise CommandFailed(f"{len(probes)} of {count} messages were stored, then: {fault}")


def _words(topic: str, size: int) -> Message:
    """Java repeats a word of 11 bytes until there are at least so many."""
    return Message(topic=topic, body=(_STATUS_WORD * -(-size // len(_STATUS_WORD))).encode())


def _result_text(result: SendResult) -> str:
    return (
        f"SendResult [sendStatus={result.status.name}, msgId={result.message_id}, "
        f"offsetMsgId={result.offset_message_id}, messageQueue={queue_text(result.queue)}, "
        f"queueOffset={result.queue_offset}, recallHandle=null]"
    )


def _sent_row(probe: Probe) -> tuple[Any, ...]:
    value = _probe_value(probe)
    names = ("tookMs", "sendStatus", "brokerName", "queueId", "queueOffset", "msgId")
    return tuple(value[name] for name in names)


def _probe_value(probe: Probe) -> dict[str, Any]:
    value: dict[str, Any] = {"tookMs": round(probe.took_ms, 2)}
    if (result := probe.result) is None:
        return value | {"fault": probe.fault}
    return value | {
        "sendStatus": result.status.name,
        "brokerName": result.queue.broker_name,
        "queueId": result.queue.queue_id,
        "queueOffset": result.queue_offset,
        "msgId": result.message_id,
        "offsetMsgId": result.offset_message_id,
    }


@admin_command("clusterRT")
@click.option(
    "amount",
    "-a",
    "--amount",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    help="Messages to each broker.",
)
@click.option(
    "size", "-s", "--size", type=_body_size, default=128, show_default=True, help="Bytes of each body."
)
@click.option("cluster", "-c", "--cluster", help="Only this cluster.")
@click.option(
    "as_log",
    "-p",
    "--printAsTlog",
    type=java_boolean,
    default=False,
    help="One line of log for each broker instead of a table. [default: false]",
)
@click.option(
    "room", "-m", "--machineRoom", default="noname", show_default=True, help="Name of the place in the log."
)
@click.option(
    "interval_s",
    "-i",
    "--interval",
    type=click.FloatRange(min=0),
    default=10,
    show_default=True,
    help="Seconds between rounds.",
)
@click.option("rounds", "--rounds", type=click.IntRange(1), help="So many rounds, then the end.")
async def cluster_rt(
    context: AdminContext,
    amount: int,
    size: int,
    cluster: str | None,
    as_log: bool,
    room: str,
    interval_s: float,
    rounds: int | None,
) -> None:
    """Goes on until it is interrupted, unless --rounds says otherwise. The messages go to the topics that are
    named like the brokers. With --json each broker of each round is one line.
    """
    import trio

    wanted = cluster.strip() if cluster else None
    brokers = await _brokers(context, wanted)
    producer = _producer(context)
    with Rows(context.out, _CLUSTER, show=not as_log) as rows:
        done = 0
        while True:
            for name, broker in brokers:
                message = Message(topic=broker, body=b"a" * size)
                probes = await _send_all(context, producer, message, amount)
                mean = mean_ms(probes)
                stored = sum(probe.stored for probe in probes)
                if as_log:
                    context.out.line(f"{_china_time()}|{room.strip()}|{name}|{broker}|{int(mean + 0.5)}")
                rows.add((name, broker, f"{mean:.2f}", stored, amount - stored))
                context.out.record(
                    {
                        "clusterName": name,
                        "brokerName": broker,
                        "rtMs": round(mean, 2),
                        "successCount": stored,
                        "failCount": amount - stored,
                    }
                )
                _tell_of_failures(context, "clusterRT", f"broker {broker}", probes)
            rows.draw()
            done += 1
            if done == rounds:
                return
            await trio.sleep(interval_s)
            brokers = await _brokers(context, wanted)


async def _brokers(context: AdminContext, wanted: str | None) -> list[tuple[str, str]]:
    """(cluster, broker name) of every broker, or of those of one cluster."""
    info = await context.admin.cluster_info()
    clusters = [wanted] if wanted else sorted(info.cluster_addr_table)
    return [
        (name, routing.name_of(broker))
        for name in clusters
        for broker in routing.brokers_of_cluster(info, name)
    ]


async def _send_all(context: AdminContext, producer: Producer, message: Message, amount: int) -> list[Probe]:
    walked = context.walk(range(amount), message.topic)
    return [await timed_send(producer, message) for _ in walked]


def _china_time() -> str:
    """Java's log lines carry the time of GMT+8, wherever they are written."""
    return datetime.datetime.now(_CHINA).strftime("%Y-%m-%d %H:%M:%S")


def _tell_of_failures(context: AdminContext, command: str, whom: str, probes: list[Probe]) -> None:
    faults = [probe.fault for probe in probes if probe.fault is not None]
    if faults:
        context.failed(
            f"{command}: {whom} did not store {len(faults)} of {len(probes)} messages, at last because: "
            f"{faults[-1]}"
        )


@admin_command("checkMsgSendRT")
@click.option("topic", "-t", "--topic", required=True, help="Topic to send to; it must exist.")
@click.option(
    "amount",
    "-a",
    "--amount",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    help="How many messages.",
)
@click.option(
    "size", "-s", "--size", type=_body_size, default=128, show_default=True, help="Bytes of each body."
)
async def check_msg_send_rt(context: AdminContext, topic: str, amount: int, size: int) -> None:
    """The messages go to the queues of the topic in turn."""
    message = Message(topic=topic.strip(), body=b"a" * size)
    queues = routing.publish_queues(message.topic, await context.admin.route(message.topic))
    if not queues:
        raise CommandFailed(f"topic {message.topic} has no writable queue")
    producer = _producer(context)
    probes: list[Probe] = []
    values: list[dict[str, Any]] = []
    with Rows(context.out, _QUEUES) as rows:
        for number in context.walk(range(amount), "messages"):
            queue = queues[number % len(queues)]
            probe = await timed_send(producer, message, queue)
            probes.append(probe)
            rows.add((queue.broker_name, queue.queue_id, boolean(probe.stored), round(probe.took_ms)))
            values.append({"brokerName": queue.broker_name, "queueId": queue.queue_id} | _probe_value(probe))
    context.out.line(f"Avg RT: {mean_ms(probes):.2f}")
    context.out.value({"topic": message.topic, "sends": values, "meanMs": round(mean_ms(probes), 2)})
    _tell_of_failures(context, "checkMsgSendRT", f"topic {message.topic}", probes)


COMMANDS = {
    "sendMsgStatus": send_msg_status,
    "clusterRT": cluster_rt,
    "checkMsgSendRT": check_msg_send_rt,
}
