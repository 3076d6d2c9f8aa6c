"""`consumerConnection`, `producerConnection`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from remoting.protocol.mq_version import version_desc
from tools.admin.command import AdminContext, admin_command
from tools.admin.output import Mode, Table

if TYPE_CHECKING:
    from remoting.protocol.admin_body import Connection

__all__ = ["COMMANDS"]

_CONSUMERS = Table(
    ("#ClientId", "#ClientAddr", "#Language", "#Version"), "%-36s %-22s %-10s %s", "%-36s %-22s %-10s %s"
)
_SUBSCRIPTIONS = Table(("#Topic", "#SubExpression"), "%-20s %s", "%-20s %s")
_PRODUCERS = Table(
    ("#No", "#ClientId", "#ClientAddr", "#Language", "#Version"),
    "%-4s  %-32s %-22s %-8s %s",
    "%04d  %-32s %-22s %-8s %s",
)


def _value(connection: Connection) -> dict[str, Any]:
    return {
        "clientId": connection.client_id,
        "clientAddr": connection.client_addr,
        "language": connection.language,
        "version": version_desc(connection.version),
    }


def _sorted(connections: Any) -> list[Connection]:
    return sorted(connections, key=lambda each: (each.client_id, each.client_addr))


@admin_command("consumerConnection")
@click.option("group", "-g", "--consumerGroup", required=True, help="Name of the consumer group.")
@click.option("address", "-b", "--brokerAddr", metavar="HOST:PORT", help="Broker to ask.")
async def consumer_connection(context: AdminContext, group: str, address: str | None) -> None:
    found = await context.admin.consumer_connection(group.strip(), address.strip() if address else None)
    values = [_value(each) for each in _sorted(found.connection_set)]
    context.out.table(_CONSUMERS, [tuple(each.values()) for each in values])
    context.out.line()
    context.out.line("Below is subscription:")
    subscriptions = [each for _, each in sorted(found.subscription_table.items())]
    context.out.table(_SUBSCRIPTIONS, [(each.topic, each.sub_string) for each in subscriptions])
    context.out.line()
    context.out.line(f"ConsumeType: {found.consume_type}")
    context.out.line(f"MessageModel: {found.message_model}")
    context.out.line(f"ConsumeFromWhere: {found.consume_from_where}")
    context.out.value(
        {
            "consumerGroup": group.strip(),
            "connections": values,
            "subscriptions": [
                {"topic": each.topic, "expression": each.sub_string, "type": each.expression_type}
                for each in subscriptions
            ],
            "consumeType": found.consume_type,
            "messageModel": found.message_model,
            "consumeFromWhere": found.consume_from_where,
        }
    )


@admin_command("producerConnection")
@click.option("group", "-g", "--producerGroup", required=True, help="Name of the producer group.")
@click.option("topic", "-t", "--topic", required=True, help="A topic that it sends to.")
async def producer_connection(context: AdminContext, group: str, topic: str) -> None:
    found = await context.admin.producer_connection(group.strip(), topic.strip())
    values = [_value(each) for each in _sorted(found.connection_set)]
    rows = [(number, *each.values()) for number, each in enumerate(values, 1)]
    if context.out.mode is Mode.PLAIN:  # Java prints no headings here
        for row in rows:
            context.out.line(_PRODUCERS.row_format % row)
    else:
        context.out.table(_PRODUCERS, rows)
    context.out.value({"producerGroup": group.strip(), "connections": values})


COMMANDS = {"consumerConnection": consumer_connection, "producerConnection": producer_connection}
