"""Copying the place of one consumer group to another, after Java's `CloneGroupOffsetCommand`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from client.errors import AnswerError, NotFound
from remoting.protocol.response_code import ResponseCode

if TYPE_CHECKING:
    from client.admin import AdminClient
    from remoting.protocol.body import MessageQueue

__all__ = ["clone_offsets"]


async def clone_offsets(
    admin: AdminClient, source: str, destination: str, topic: str
) -> dict[MessageQueue, int]:
    """Makes `destination` go on in every queue of `topic` where `source` is now.

    Consumers of `destination` that are online go there at their next pull. Java copies the offsets of every
    other topic as well, those of the source's own retry topic among them, and leaves online consumers to
    write their own offsets over the copies; this does neither.

    Returns:
        The offset that each queue has now.

    Raises:
        NotFound: The source has no offsets of the topic, or a broker of it has no master.
        AnswerError: A broker refused; with 26 it does not have the group `destination`.

    Cancelled, or when a broker fails, the queues before have been moved already.
    """
    stats = await admin.consume_stats(source)
    moved = {
        queue: stats.offset_table[queue].consumer_offset
        for queue in sorted(stats.offset_table, key=lambda each: (each.broker_name, each.queue_id))
        if queue.topic == topic
    }
    if not moved:
        raise NotFound(f"consumer group {source} has no offsets of topic {topic}")
    online: dict[str, bool] = {}
    for queue, offset in moved.items():
        address = await admin.routes.master_of_broker(topic, queue.broker_name)
        if address not in online:
            online[address] = await _is_online(admin, destination, address)
        if online[address]:
            await admin.offsets.queue(address, destination, topic, queue.queue_id, offset)
        else:
            await admin.offsets.commit(address, destination, topic, queue.queue_id, offset)
    return moved


async def _is_online(admin: AdminClient, group: str, address: str) -> bool:
    try:
        await admin.consumer_connection(group, address)
    except AnswerError as fault:
        if fault.code != ResponseCode.CONSUMER_NOT_ONLINE:
            raise
        return False
    return True
