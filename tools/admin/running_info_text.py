"""The running info of a consumer (307) as a document: Java's text, drawn sections on a terminal, or JSON."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import attrs

from client.running_info import Hindrance
from tools.admin.java_text import boolean, seconds_text
from tools.admin.message_text import queue_text
from tools.admin.output import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from client.running_info import StuckQueue
    from remoting.protocol.admin_body import ConsumerRunningInfo, PopProcessQueueInfo, ProcessQueueInfo
    from remoting.protocol.body import MessageQueue
    from tools.admin.output import Output

__all__ = ["document", "draw", "info_value", "stuck_text"]

_PAIRS = Table(("#Name", "#Value"), "", "%-40s: %s")
_SUBSCRIPTIONS = Table(
    ("#No", "#Topic", "#ClassFilter", "#SubExpression"),
    "",
    "%03d Topic: %-40s ClassFilter: %-8s SubExpression: %s",
)
_OFFSETS = Table(
    ("#Topic", "#Broker Name", "#QID", "#Consumer Offset"),
    "%-64s  %-32s  %-4s  %-20s",
    "%-32s  %-32s  %-4d  %-20d",
    numeric=frozenset({2, 3}),
)
_QUEUES = Table(
    ("#Topic", "#Broker Name", "#QID", "#ProcessQueueInfo"),
    "%-64s  %-32s  %-4s  %-20s",
    "%-64s  %-32s  %-4d  %s",
    numeric=frozenset({2}),
)
_DRAWN_QUEUES = Table(
    (
        *_OFFSETS.headings,
        "#Cached",
        "#Cached MiB",
        "#Locked",
        "#Dropped",
        "#Last Pull",
        "#Last Consume",
    ),
    "",
    "",
    numeric=frozenset({2, 3, 4, 5}),
)
_POP_QUEUES = Table(
    _QUEUES.headings, "%-32s  %-32s  %-4s  %-20s", "%-32s  %-32s  %-4d  %s", numeric=frozenset({2})
)
_RATES = Table(
    (
        "#Topic",
        "#Pull RT",
        "#Pull TPS",
        "#Consume RT",
        "#ConsumeOK TPS",
        "#ConsumeFailed TPS",
        "#ConsumeFailedMsgsInHour",
    ),
    "%-64s  %14s %14s %14s %14s %18s %25s",
    "%-32s  %14.2f %14.2f %14.2f %14.2f %18.2f %25d",
    numeric=frozenset({1, 2, 3, 4, 5, 6}),
)


@attrs.frozen
class _Section:
    """One part of the document; `table` has no heading line where Java prints none."""

    title: str
    table: Table
    rows: list[tuple[Any, ...]]


def _queue_order(queue: MessageQueue) -> tuple[str, str, int]:
    return queue.topic, queue.broker_name, queue.queue_id


def _sections(info: ConsumerRunningInfo) -> Iterator[_Section]:
    yield _Section("#Consumer Properties#", _PAIRS, sorted(info.properties.items()))
    subscriptions = sorted(info.subscription_set, key=lambda each: f"{each.topic}@{each.sub_string}")
    yield _Section(
        "#Consumer Subscription#",
        _SUBSCRIPTIONS,
        [
            (number, each.topic, boolean(each.class_filter_mode), each.sub_string)
            for number, each in enumerate(subscriptions, 1)
        ],
    )
    queues = sorted(info.mq_table, key=_queue_order)
    yield _Section(
        "#Consumer Offset#",
        _OFFSETS,
        [(*_queue_order(queue), info.mq_table[queue].commit_offset) for queue in queues],
    )
    yield _Section(
        "#Consumer MQ Detail#",
        _QUEUES,
        [(*_queue_order(queue), _queue_state(info.mq_table[queue])) for queue in queues],
    )
    yield _Section(
        "#Consumer Pop Detail#",
        _POP_QUEUES,
        [
            (*_queue_order(queue), _pop_state(info.mq_pop_table[queue]))
            for queue in sorted(info.mq_pop_table, key=_queue_order)
        ],
    )
    yield _Section(
        "#Consumer RT&TPS#",
        _RATES,
        [
            (
                topic,
                each.pull_rt,
                each.pull_tps,
                each.consume_rt,
                each.consume_ok_tps,
                each.consume_failed_tps,
                each.consume_failed_msgs,
            )
            for topic, each in sorted(info.status_table.items())
        ],
    )
    yield _Section("#User Consume Info#", _PAIRS, sorted(info.user_consumer_info.items()))


def document(info: ConsumerRunningInfo) -> str:
    """Java's `ConsumerRunningInfo.formatString`, with the properties in the order of their names."""
    parts = []
    for section in _sections(info):
        lines = [section.title]
        if section.table.heading_format:
            lines.append(section.table.heading_format % section.table.headings)
        lines += [section.table.row_format % row for row in section.rows]
        parts.append("\n".join(lines) + "\n")
    if info.jstack is not None:
        parts.append(f"#Consumer jstack#\n{info.jstack}")
    return "\n\n".join(parts)


def draw(out: Output, info: ConsumerRunningInfo) -> None:
    """The same as drawn tables, with the state of each queue in columns; empty parts are left out."""
    for section in _sections(info):
        if not section.rows or section.table is _OFFSETS:  # the offsets are in the table of the queues
            continue
        out.line(section.title.strip("#"))
        if section.table is _QUEUES:
            out.table(_DRAWN_QUEUES, [_queue_cells(queue, state) for queue, state in _sorted_queues(info)])
        else:
            out.table(section.table, section.rows)
        out.line()
    if info.jstack is not None:
        out.line("Consumer jstack")
        out.line(info.jstack)


def _sorted_queues(info: ConsumerRunningInfo) -> list[tuple[MessageQueue, ProcessQueueInfo]]:
    return sorted(info.mq_table.items(), key=lambda item: _queue_order(item[0]))


def _queue_cells(queue: MessageQueue, state: ProcessQueueInfo) -> tuple[Any, ...]:
    return (
        *_queue_order(queue),
        state.commit_offset,
        state.cached_msg_count,
        state.cached_msg_size_in_mib,
        boolean(state.locked),
        boolean(state.droped),
        seconds_text(state.last_pull_timestamp),
        seconds_text(state.last_consume_timestamp),
    )


def _compact_time(timestamp_ms: int) -> str:
    """`20261121061608414` in local time (Java `UtilAll.timeMillisToHumanString`)."""
    seconds, milliseconds = divmod(timestamp_ms, 1000)
    return f"{time.strftime('%Y%m%d%H%M%S', time.localtime(seconds))}{milliseconds:03d}"


def _queue_state(state: ProcessQueueInfo) -> str:
    return (
        f"ProcessQueueInfo [commitOffset={state.commit_offset}, "
        f"cachedMsgMinOffset={state.cached_msg_min_offset}, "
        f"cachedMsgMaxOffset={state.cached_msg_max_offset}, cachedMsgCount={state.cached_msg_count}, "
        f"cachedMsgSizeInMiB={state.cached_msg_size_in_mib}, "
        f"transactionMsgMinOffset={state.transaction_msg_min_offset}, "
        f"transactionMsgMaxOffset={state.transaction_msg_max_offset}, "
        f"transactionMsgCount={state.transaction_msg_count}, locked={boolean(state.locked)}, "
        f"tryUnlockTimes={state.try_unlock_times}, "
        f"lastLockTimestamp={_compact_time(state.last_lock_timestamp)}, "
        f"droped={boolean(state.droped)}, lastPullTimestamp={_compact_time(state.last_pull_timestamp)}, "
        f"lastConsumeTimestamp={_compact_time(state.last_consume_timestamp)}]"
    )


def _pop_state(state: PopProcessQueueInfo) -> str:
    return (
        f"PopProcessQueueInfo [waitAckCount:{state.wait_ack_count}, droped:{boolean(state.droped)}, "
        f"lastPopTimestamp:{state.last_pop_timestamp}]"
    )


def stuck_text(client_id: str, stuck: StuckQueue) -> str:
    """One line about a queue that does not move, as Java says it."""
    what = {
        Hindrance.NOT_LOCKED: f"can't lock for a while, {stuck.number}ms",
        Hindrance.NOT_UNLOCKED: f"unlock {stuck.number} times, still failed",
        Hindrance.NOT_CONSUMED: f"can't consume for a while, maybe blocked, {stuck.number}ms",
    }[stuck.hindrance]
    return f"{client_id} {queue_text(stuck.queue)} {what}"


def info_value(info: ConsumerRunningInfo) -> dict[str, Any]:
    """The info for `--json`: Java's names, with the queues as lists because JSON has no objects as keys."""
    value = info.to_json_object()
    for wire, table in (("mqTable", info.mq_table), ("mqPopTable", info.mq_pop_table)):
        value[wire] = [
            queue.to_json_object() | table[queue].to_json_object()
            for queue in sorted(table, key=_queue_order)
        ]
    return value
