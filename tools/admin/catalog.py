"""Every command of `mqadmin`: its name, the module it lives in, and one line about it.

The table is all that `mqadmin --help` and completion of command names need, so no command module, no event
loop and no wire code is imported for them.
"""

from __future__ import annotations

import difflib
from typing import NamedTuple

__all__ = ["COMMANDS", "Entry", "find", "nearest"]


class Entry(NamedTuple):
    """One command.

    Attributes:
        name: As users type it; upper and lower case are the same.
        module: Module of `tools.admin` that defines it.
        summary: What it does, in one line.
    """

    name: str
    module: str
    summary: str


_ENTRIES = (
    Entry("clusterList", "cluster", "Show the brokers of each cluster with their load."),
    Entry("brokerStatus", "broker", "Show the runtime figures of a broker, or of all brokers of a cluster."),
    Entry("getBrokerConfig", "broker", "Show the configuration of a broker, or of all brokers of a cluster."),
    Entry(
        "updateBrokerConfig",
        "broker",
        "Change one configuration key of a broker, or of the brokers of a cluster.",
    ),
    Entry("topicList", "topic", "List all topics."),
    Entry("topicRoute", "topic", "Show which brokers serve a topic, with queues and permissions."),
    Entry("topicStatus", "topic", "Show the offsets of each queue of a topic."),
    Entry("topicClusterList", "topic", "List the clusters that serve a topic."),
    Entry("updateTopic", "topic", "Create a topic or change it."),
    Entry("deleteTopic", "topic", "Delete a topic from the brokers of a cluster and from the name servers."),
    Entry("updateSubGroup", "group", "Create a consumer group or change it."),
    Entry("deleteSubGroup", "group", "Delete a consumer group."),
    Entry(
        "consumerProgress", "progress", "Show how far a consumer group has come, or a summary of all groups."
    ),
    Entry("consumerConnection", "connection", "List the connections and subscriptions of a consumer group."),
    Entry("producerConnection", "connection", "List the connections of a producer group."),
    Entry("queryMsgById", "query", "Show messages by their id."),
    Entry("queryMsgByKey", "query", "Find messages by a key."),
    Entry("queryMsgByUniqueKey", "query", "Show a message by the id that its producer gave it."),
    Entry("queryMsgByOffset", "query", "Show the message at an offset of a queue."),
    Entry("printMsg", "message", "Print the messages of a topic."),
    Entry("sendMessage", "message", "Send one message."),
    Entry("consumeMessage", "message", "Read messages of a topic, of a queue, or from an offset on."),
    Entry("resetOffsetByTime", "offset", "Move a consumer group to a point in time."),
    Entry("getNamesrvConfig", "namesrv", "Show the configuration of the name servers."),
    Entry("updateNamesrvConfig", "namesrv", "Change one configuration key of the name servers."),
    Entry("updateKvConfig", "namesrv", "Set a key of a name server's key-value table."),
    Entry("deleteKvConfig", "namesrv", "Remove a key of a name server's key-value table."),
    Entry(
        "wipeWritePerm", "namesrv", "Take write permission from all queues of a broker, on every name server."
    ),
    Entry(
        "addWritePerm",
        "namesrv",
        "Give write permission back to all queues of a broker, on every name server.",
    ),
)

COMMANDS: dict[str, Entry] = {entry.name: entry for entry in _ENTRIES}
_BY_LOWER_CASE = {name.lower(): entry for name, entry in COMMANDS.items()}


def find(name: str) -> Entry | None:
    """The command of that name in any case, as in Java; None if there is none."""
    return _BY_LOWER_CASE.get(name.lower())


def nearest(name: str) -> str | None:
    """The command whose name looks most like `name`, if one looks like it at all."""
    close = difflib.get_close_matches(name.lower(), _BY_LOWER_CASE, n=1, cutoff=0.6)
    return _BY_LOWER_CASE[close[0]].name if close else None
