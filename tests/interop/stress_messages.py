"""What the messages of the stress loads look like when they are stored, to the last field.

Message number n of a load has the body `body_of` or Java's twin of it, the key `<topic>-<n>`, the tag
`Tag<n % 3>` and the property `note`. What the broker adds, and which messages it does not add it to, is the
same for both kinds of brokers.
"""

from __future__ import annotations

import time
from collections import defaultdict
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Any

import attrs

from remoting.protocol.message import retry_topic
from tests.checked_load import number_of

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "BATCH",
    "DELAYED",
    "DELAY_TOPIC",
    "LONG_GROUP",
    "LONG_TOPIC",
    "RAW_BORN_AT",
    "RETRIED",
    "RETRY_GROUP",
    "RETRY_TOPIC",
    "SINGLE",
    "Acknowledged",
    "Library",
    "numbers_of",
    "properties_of",
]

SINGLE, BATCH, DELAYED, RETRIED = "StressSingle", "StressBatch", "StressDelayed", "StressRetried"
LONG_GROUP = "s" * 150
LONG_TOPIC = retry_topic(LONG_GROUP)
RETRY_GROUP = "stress_retriers"
RETRY_TOPIC = retry_topic(RETRY_GROUP)
DELAY_TOPIC = "SCHEDULE_TOPIC_XXXX"
RAW_BORN_AT = 1_700_000_000_000

_BY_THE_BROKER = {"DELAY": "1", "WAIT": "false"}
_BY_THE_CLIENT = {"DELAY": "2", "WAIT": "true", "RECONSUME_TIME": "1", "MAX_RECONSUME_TIMES": "16"}
_BY_A_SECOND_TRY = {"DELAY": "2", "WAIT": "true"}  # Java's client counts in the first request only
_DELAY_MS = {DELAYED: 2000, RETRY_TOPIC: 1000}
# Java's client writes these into what it received.
_OF_THE_CLIENT = ("MIN_OFFSET", "MAX_OFFSET", "CONSUME_START_TIME")
_V1_FIXED_BYTES, _V6_MORE_BYTES = 91, 12
_BORN_V6, _STORE_V6 = 0x10, 0x20
_TOPIC_BYTES_OF_V1 = 127
_UNIQUE_LENGTHS = (32, 56)  # with the address of the sender in it, IPv4 or IPv6

Place = tuple[str, int, int]
Address = tuple[IPv4Address | IPv6Address, int]


@attrs.frozen
class Acknowledged:
    """What the broker said of a message.

    Attributes:
        queue_offset: For a delayed message that in the delay topic.
        unique: The id that its producer, or else the broker, gave it.
        offset_id: The id that names its place in the log.
        born_host: From where it was sent; None when only the address of the host is known.
    """

    queue_id: int
    queue_offset: int
    unique: str
    offset_id: str
    born_host: Address | None = None


def properties_of(topic: str, number: int) -> dict[str, str]:
    """What the sender of a message says of it."""
    return {"KEYS": f"{topic}-{number}", "TAGS": f"Tag{number % 3}", "note": f"№ {number}"}


def numbers_of(messages: Iterable[dict[str, Any]]) -> set[int]:
    """The numbers of messages, all of them whole.

    Raises:
        AssertionError: One is torn.
    """
    return {number_of(message["body"].encode()) for message in messages}


def _address(text: str) -> Address:
    """Of Java's text of a socket address, with or without a host name before the slash."""
    host, _, port = text.rpartition("/")[2].rpartition(":")
    return ip_address(host.strip("[]")), int(port)


class Library:
    """Every message that was ever read, as it was when it was read first.

    Args:
        store_host: Address and port of the brokers, as they give them out.
        raw_host: Address of the sender of `LONG_TOPIC`; all others send from that of `store_host`.
        acknowledged: What was acknowledged, by topic and number.
        cluster: Name of the cluster.
    """

    def __init__(
        self,
        *,
        store_host: tuple[str, int],
        raw_host: str,
        acknowledged: dict[str, dict[int, Acknowledged]],
        cluster: str,
    ) -> None:
        self._store_host: Address = ip_address(store_host[0]), store_host[1]
        self._raw_host = ip_address(raw_host)
        self._acknowledged = acknowledged
        self._cluster = cluster
        self._known: dict[str, dict[Place, dict[str, Any]]] = defaultdict(dict)
        self._by_unique: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        self._at: dict[int, Place] = {}

    def take(self, topic: str, stored: list[dict[str, Any]]) -> None:
        """Compares all messages of a topic with what is known of them, or of how they were sent.

        Args:
            stored: The whole topic, queue by queue.

        Raises:
            AssertionError: One is gone, is not what it was, or is not what was sent.
        """
        known = self._known[topic]
        present: set[Place] = set()
        newest: dict[int, dict[str, Any]] = {}
        for message in map(_as_stored, stored):
            place = (topic, message["queueId"], message["queueOffset"])
            before = newest.get(message["queueId"])
            expected = 0 if before is None else before["queueOffset"] + 1
            assert message["queueOffset"] == expected, f"{place[0][:30]} {place[1:]} instead of {expected}"
            if before is not None:
                assert message["commitLogOffset"] > before["commitLogOffset"], (before, message)
                assert message["storeTimestamp"] >= before["storeTimestamp"], (before, message)
            newest[message["queueId"]] = message
            present.add(place)
            if place in known:
                assert message == known[place], f"was {known[place]}\nis {message}"
                continue
            assert self._at.setdefault(message["commitLogOffset"], place) == place, (
                f"two messages at one offset of the log: {place} and {self._at[message['commitLogOffset']]}"
            )
            self._check_new(topic, message)
            known[place] = message
            self._by_unique[topic, message["properties"]["UNIQ_KEY"]].append(message)
        gone = sorted(set(known) - present)
        assert not gone, f"{len(gone)} messages were read before and are gone, the first: {gone[0]}"

    def messages(self, topic: str) -> list[dict[str, Any]]:
        """All that is known of a topic."""
        return list(self._known[topic].values())

    def _check_new(self, topic: str, message: dict[str, Any]) -> None:
        number = number_of(message["body"].encode())
        assert message["topic"] == topic
        self._check_properties(topic, number, message)
        self._check_places(topic, number, message)
        self._check_hosts(topic, number, message)
        self._check_times(topic, number, message)

    def _check_places(self, topic: str, number: int, message: dict[str, Any]) -> None:
        host, port = self._store_host
        offset_id = f"{host.packed.hex()}{port:08x}{message['commitLogOffset']:016x}".upper()
        assert message["offsetMsgId"] == offset_id, message
        v6 = (_BORN_V6 if _address(message["bornHost"])[0].version == 6 else 0) | (
            _STORE_V6 if host.version == 6 else 0
        )
        assert message["sysFlag"] & (_BORN_V6 | _STORE_V6) == v6, message
        least = _V1_FIXED_BYTES + (len(topic) > _TOPIC_BYTES_OF_V1) + _V6_MORE_BYTES * v6.bit_count()
        least += len(topic) + len(message["body"].encode())
        assert message["storeSize"] > least, message
        load = self._origin(topic, message)
        told = self._acknowledged[load].get(number)
        if told is None or topic != (DELAY_TOPIC if load == DELAYED else load):
            return
        is_here = told.offset_id == offset_id
        assert is_here == ((told.queue_id, told.queue_offset) == self._told_place(topic, message)), (
            told,
            message,
        )
        if is_here:
            assert told.unique == message["properties"]["UNIQ_KEY"], (told, message)

    @staticmethod
    def _told_place(topic: str, message: dict[str, Any]) -> tuple[int, int]:
        """As the sender of `message` was told it: the queue that it chose, the offset where it was put."""
        real = int(message["properties"]["REAL_QID"]) if topic == DELAY_TOPIC else message["queueId"]
        return real, message["queueOffset"]

    @staticmethod
    def _origin(topic: str, message: dict[str, Any]) -> str:
        """The load that a message came from."""
        if topic == DELAY_TOPIC:
            topic = message["properties"]["REAL_TOPIC"]
        return RETRIED if topic == RETRY_TOPIC else topic

    def _check_properties(self, topic: str, number: int, message: dict[str, Any]) -> None:
        found = dict(message["properties"])
        unique = found.pop("UNIQ_KEY")
        assert len(unique) in _UNIQUE_LENGTHS, message
        assert message["msgId"] == unique, message
        origin = self._origin(topic, message)
        wanted = properties_of(origin, number)
        if topic != BATCH:
            wanted |= {"MSG_REGION": "DefaultRegion", "TRACE_ON": "true", "CLUSTER": self._cluster}
        if topic != LONG_TOPIC:
            wanted["WAIT"] = "true"
        if topic in (DELAYED, RETRY_TOPIC, DELAY_TOPIC):
            real_topic = RETRY_TOPIC if origin == RETRIED else origin
            queue_id = int(found["REAL_QID"]) if topic == DELAY_TOPIC else message["queueId"]
            wanted |= {"REAL_TOPIC": real_topic, "REAL_QID": str(queue_id), "DELAY": "2"}
            if origin == RETRIED:
                self._check_retry(number, unique, message)
                wanted |= {"RETRY_TOPIC": RETRIED, "ORIGIN_MESSAGE_ID": found["ORIGIN_MESSAGE_ID"]}
                wanted |= _made_by(found)
        assert found == wanted, f"{topic} {number}: {found}\nis not {wanted}"

    def _check_retry(self, number: int, unique: str, message: dict[str, Any]) -> None:
        """The broker made it when it was given back, or Java's client sent it when that failed."""
        origins = {first["offsetMsgId"] for first in self._by_unique[RETRIED, unique]}
        found = message["properties"]
        origin_ids = {unique} if found["WAIT"] == "true" else {unique, *origins}
        assert found["ORIGIN_MESSAGE_ID"] in origin_ids, (number, message)
        forgotten = _made_by(found) == _BY_A_SECOND_TRY
        assert message["reconsumeTimes"] == (0 if forgotten else 1), message

    def _check_hosts(self, topic: str, number: int, message: dict[str, Any]) -> None:
        assert _address(message["storeHost"]) == self._store_host, message
        born = _address(message["bornHost"])
        assert born[0] == (self._raw_host if topic == LONG_TOPIC else self._store_host[0]), message
        told = self._acknowledged.get(topic, {}).get(number)
        if told is not None and told.born_host is not None and told.offset_id == message["offsetMsgId"]:
            assert born == told.born_host, (told, message)

    def _check_times(self, topic: str, number: int, message: dict[str, Any]) -> None:
        born, stored = message["bornTimestamp"], message["storeTimestamp"]
        assert born <= stored <= time.time() * 1000, message
        if topic == LONG_TOPIC:
            assert born == RAW_BORN_AT + number, message
        if topic in _DELAY_MS:
            unique = message["properties"]["UNIQ_KEY"]
            waited = [
                stored - first["storeTimestamp"]
                for first in self._by_unique[DELAY_TOPIC, unique]
                if first["properties"]["REAL_TOPIC"] == topic
            ]
            assert waited, f"it never was in the delay topic: {message}"
            assert max(waited) >= _DELAY_MS[topic], f"it came after {waited} ms: {message}"


def _made_by(properties: dict[str, str]) -> dict[str, str]:
    """What a message in the retry topic has from whoever put it there."""
    if properties["WAIT"] == "false":
        return _BY_THE_BROKER
    return _BY_THE_CLIENT if "RECONSUME_TIME" in properties else _BY_A_SECOND_TRY


def _as_stored(message: dict[str, Any]) -> dict[str, Any]:
    """Without what the reader added."""
    stored = {name: value for name, value in message.items() if name != "receivedAt"}
    stored["properties"] = {
        name: value for name, value in message["properties"].items() if name not in _OF_THE_CLIENT
    }
    return stored
