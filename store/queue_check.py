"""Whether the files of a consume queue fit the log, as far as a few units of each tell.

Units have no checksum. Most of the first, the middle and the last unit of each file must
lead to the message that they stand for: that finds files with another one's content, and
a lost front. Single units are looked at when they are read (`store.unit_repair`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.consume_queue import PADDING_SIZE
from store.unit_repair import LMQ_PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable

    from store.consume_queue import ConsumeQueue
    from store.message_codec import StoredMessage


def unfit_file(
    queue: ConsumeQueue, log_start: int, log_end: int, message_at: Callable[[int], StoredMessage | None]
) -> int | None:
    """First byte of the first file that does not fit; None when all do.

    Args:
        log_start, log_end: Only units that lead between these offsets can be checked.
        message_at: The message at a commit log offset; None when the log is not sound there.
    """
    if queue.topic.startswith(LMQ_PREFIX):
        return None
    for base, units in queue.file_samples():
        checked = {offset: unit for offset, unit in units.items() if unit[1] != PADDING_SIZE}
        wrong = sum(size <= 0 or physical < 0 for physical, size, _ in checked.values())
        right, middle = 0, sum(units) // len(units)
        # The one in the middle first: where it is right, no more of the log has to be read.
        for offset, (physical, size, _) in sorted(checked.items(), key=lambda item: abs(item[0] - middle)):
            message = message_at(physical) if log_start <= physical < log_end and size > 0 else None
            if message is None:
                continue
            fits = (message.topic, message.queue_id, message.queue_offset, message.size) == (
                queue.topic, queue.queue_id, offset, size,
            )  # fmt: skip
            right += fits
            wrong += not fits
            if right and not wrong:
                break
        if wrong > right:
            return base
    return None


def front_is_lost(queue: ConsumeQueue, log_start: int) -> bool:
    """True when files before the first one are missing whose messages may still be in the log.

    Retention takes a file once its last unit lies before the log, so the next one begins
    there too, or at the boundary: that case cannot be told apart, and counts as lost. A log
    that begins at 0 still has all messages. Padding at the front says that nothing was before.
    """
    first = queue.first_file_offset
    if first == 0:
        return False
    physical, size, _ = queue.unit_at(first)
    return size != PADDING_SIZE and (log_start == 0 or (size > 0 and physical > log_start))
