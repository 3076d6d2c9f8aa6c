"""The fields of a plain SEND_MESSAGE (10), as Java's client fills them."""

from __future__ import annotations

__all__ = ["send_fields"]


def send_fields(topic: str, *, group: str = "PG") -> dict[str, str]:
    """For a message to queue 0 of `topic`, which is created if it is not there."""
    return {
        "producerGroup": group,
        "topic": topic,
        "defaultTopic": "TBW102",
        "defaultTopicQueueNums": "4",
        "queueId": "0",
        "sysFlag": "0",
        "bornTimestamp": "1700000000000",
        "flag": "0",
        "properties": "",
        "reconsumeTimes": "0",
        "unitMode": "false",
        "batch": "false",
    }
