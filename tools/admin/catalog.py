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
    Entry("addBroker", "container", "Add a broker to a running container."),
    Entry("removeBroker", "container", "Stop a broker and remove it from its container; its data stays."),
    Entry("containerStatus", "container", "Show a container and its brokers: state, disk, load, memory."),
    Entry("cleanExpiredCQ", "cleaning", "Drop consume queue entries whose messages are gone."),
    Entry("cleanUnusedTopic", "cleaning", "Drop the queues of topics that brokers no longer have."),
    Entry("deleteExpiredCommitLog", "cleaning", "Delete expired log files now instead of in their hours."),
    Entry("topicList", "topic", "List all topics."),
    Entry("topicRoute", "topic", "Show which brokers serve a topic, with queues and permissions."),
    Entry("topicStatus", "topic", "Show the offsets of each queue of a topic."),
    Entry("topicClusterList", "topic", "List the clusters that serve a topic."),
    Entry("updateTopic", "topic", "Create a topic or change it."),
    Entry("updateTopicPerm", "topic_queues", "Change whether a topic can be read and written."),
    Entry("updateOrderConf", "topic_queues", "Set, show or delete the order configuration of a topic."),
    Entry(
        "allocateMQ", "topic_queues", "Show which queues of a topic each of a group's consumers would get."
    ),
    Entry("deleteTopic", "topic", "Delete a topic from the brokers of a cluster and from the name servers."),
    Entry("updateSubGroup", "group", "Create a consumer group or change it."),
    Entry("deleteSubGroup", "group", "Delete a consumer group."),
    Entry(
        "consumerProgress", "progress", "Show how far a consumer group has come, or a summary of all groups."
    ),
    Entry("consumerStatus", "consumer", "Have the consumers of a group tell what they are doing."),
    Entry("consumerConnection", "connection", "List the connections and subscriptions of a consumer group."),
    Entry("producerConnection", "connection", "List the connections of a producer group."),
    Entry("queryMsgById", "query", "Show messages by their id."),
    Entry("queryMsgByKey", "query", "Find messages by a key."),
    Entry("queryMsgByUniqueKey", "query", "Show a message by the id that its producer gave it."),
    Entry("queryMsgByOffset", "query", "Show the message at an offset of a queue."),
    Entry("printMsg", "message", "Print the messages of a topic."),
    Entry("printMsgByQueue", "queue_message", "Print the messages of one queue, or count their tags."),
    Entry("sendMessage", "message", "Send one message."),
    Entry("consumeMessage", "message", "Read messages of a topic, of a queue, or from an offset on."),
    Entry("resetOffsetByTime", "offset", "Move a consumer group to a point in time."),
    Entry("skipAccumulatedMessage", "group_offset", "Move a consumer group to the end of a topic's queues."),
    Entry("cloneGroupOffset", "group_offset", "Move a consumer group to where another one is in a topic."),
    Entry("statsAll", "stats", "Show what goes in and out of topics, by consumer group."),
    Entry("brokerConsumeStats", "stats", "Show how far every consumer group of a broker is."),
    Entry("sendMsgStatus", "send_time", "Send messages to a broker and show how long each took."),
    Entry("clusterRT", "send_time", "Measure again and again how long sends to each broker take."),
    Entry("checkMsgSendRT", "send_time", "Measure how long sends to each queue of a topic take."),
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
    Entry("completion", "completion", "Print what completes mqadmin's commands and options in a shell."),
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
