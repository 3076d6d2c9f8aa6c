"""What a broker has promised, and whether its files keep it.

Every message carries its number and a checksum over all it carries, so that one that was never sent, one
that is torn and one that came twice are told apart.
"""

from __future__ import annotations

import zlib
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from tests.store_reader import SCHEDULE_TOPIC, Faults

if TYPE_CHECKING:
    from tests.interop.wire import Answer
    from tests.store_reader import StoredMessage, StoreImage

__all__ = ["Ledger", "Place", "body_of", "number_of"]

_FILLING = bytes(97 + position % 26 for position in range(16 << 10))
_STORED = (0, 10)
"""SUCCESS, and FLUSH_DISK_TIMEOUT: the message is in the log though the device did not confirm in time."""


def body_of(number: int, size_bytes: int) -> bytes:
    """A body of at least `size_bytes`, different for every number."""
    text = b"%d:" % number + _FILLING[number % 26 : number % 26 + size_bytes]
    return text + b":%d" % zlib.crc32(text)


def number_of(body: bytes) -> int | None:
    """The number of a whole body; None when it is not one of ours."""
    text, _, checksum = body.rpartition(b":")
    if not checksum.isdigit() or zlib.crc32(text) != int(checksum):
        return None
    return int(text.partition(b":")[0])


class Place(NamedTuple):
    """Where an answer said that a message is."""

    queue_offset: int
    physical: int


class Ledger:
    """Everything that was asked of one broker, over all its lives.

    Attributes:
        sent: Number to (topic, queue id).
        acknowledged: Number to its place.
        refused: Numbers whose answer said that they are not stored.
        seen: Numbers that a reader was given, with their places.
        asked: Highest offset that a commit named, by (``topic@group``, queue id).
        committed: Highest that was answered.
        codes: How often each answer came.
        delayed: Numbers that wait in the schedule topic first.
    """

    def __init__(self) -> None:
        self.sent: dict[int, tuple[str, int]] = {}
        self.acknowledged: dict[int, Place] = {}
        self.refused: set[int] = set()
        self.seen: dict[int, Place] = {}
        self.asked: dict[tuple[str, int], int] = {}
        self.committed: dict[tuple[str, int], int] = {}
        self.codes: Counter[int] = Counter()
        self.delayed: set[int] = set()
        self._places: set[tuple[str, int, int]] = set()
        self.reused: list[str] = []

    def number(self, topic: str, queue_id: int, *, delayed: bool = False) -> int:
        """A number for a new message."""
        number = len(self.sent)
        self.sent[number] = (topic, queue_id)
        if delayed:
            self.delayed.add(number)
        return number

    def answered(self, numbers: list[int], answer: Answer | None) -> None:
        """What came for the messages of one request."""
        if answer is None:
            return
        self.codes[answer.code] += 1
        if answer.code not in _STORED:
            self.refused.update(numbers)
            return
        fields = answer.header["extFields"]
        first = int(fields["queueOffset"])
        places = [int(message_id[-16:], 16) for message_id in fields["msgId"].split(",")]
        for number, (at, physical) in zip(numbers, enumerate(places, first), strict=True):
            self.acknowledged[number] = Place(at, physical)
            topic, queue_id = self.sent[number]
            if number in self.delayed:
                continue
            if (topic, queue_id, at) in self._places:
                self.reused.append(f"{topic}-{queue_id}: offset {at} was acknowledged twice")
            self._places.add((topic, queue_id, at))

    def saw(self, message: StoredMessage) -> None:
        """A reader was given this."""
        number = number_of(message.body)
        assert number in self.sent, f"a reader was given what nobody sent: {message}"
        self.seen[number] = Place(message.queue_offset, message.physical)

    def check(self, image: StoreImage, *, complete: bool = False) -> Faults:
        """Compare with what lies on disk.

        Args:
            image: The files after a kill, or after a stop in order.
            complete: It was stopped in order.
        """
        faults = image.faults(complete=complete)
        for text in self.reused:
            faults.add(text)
        numbers: dict[int, list[StoredMessage]] = {}
        for message in image.log.messages.values():
            number = number_of(message.body)
            if number is None or number not in self.sent:
                faults.add(f"at {message.physical}: nobody sent it: {message}"[:300])
                continue
            numbers.setdefault(number, []).append(message)
            if number not in self.delayed and (message.topic, message.queue_id) != self.sent[number]:
                faults.add(f"message {number} for {self.sent[number]} is in {message.topic}")
        for number, copies in numbers.items():
            if number in self.delayed:
                copies = [copy for copy in copies if copy.topic == SCHEDULE_TOPIC]
            if len(copies) > 1:
                faults.add(f"message {number} is there {len(copies)} times")
        for number in self.refused & numbers.keys():
            faults.add(f"message {number} was refused and is stored")
        for what, places in (("acknowledged", self.acknowledged), ("given to a reader", self.seen)):
            for number, place in places.items():
                if place.physical < image.log.minimum:
                    continue  # retention has had it
                message = image.log.messages.get(place.physical)
                if message is None or number_of(message.body) != number:
                    faults.add(
                        f"message {number}, {what} at {place}, is lost: the log ends at {image.log.tail}"
                    )
                elif message.queue_offset != place.queue_offset:
                    faults.add(f"message {number}, {what} at {place}, has offset {message.queue_offset}")
        return faults

    def check_offsets(self, table: dict[tuple[str, int], int]) -> Faults:
        """Compare with the committed offsets that were read from files or from a broker."""
        faults = Faults()
        for key, asked in self.asked.items():
            least = self.committed.get(key, -1)
            found = table.get(key, -1)
            if not least <= found <= asked:
                faults.add(f"{key}: offset {found}, answered {least}, asked {asked}")
        return faults
