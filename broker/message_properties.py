r"""What the broker needs to know about the properties text of a message, read once per *shape* of text.

A properties text is `key \x01 value \x02` repeated. Messages of one producer differ in little more than
the value of UNIQ_KEY, so :class:`PropertyReader` cuts that value out, and remembers what it learnt about
the rest: the hash of the tags, the index keys, the delay level and what has to be appended before
storing. A known shape costs two searches, one concatenation and one dictionary look-up; an unknown one a
full parse.

What is stored is what Java's SendMessageProcessor stores: the producer's pairs without POP_CK, UNIQ_KEY
added when missing, MSG_REGION, TRACE_ON and CLUSTER set. Java writes the pairs in the order of a hash
map, so no peer depends on their order; here the producer's bytes stay as they are and ours follow.
"""

from __future__ import annotations

import itertools
import os
import socket
import time

import attrs

from remoting.protocol.message import decode_properties, encode_properties, tags_code

__all__ = ["PropertyFacts", "PropertyReader", "UniqueIdSource"]

_SEPARATOR = "\x02"
_UNIQ_KEY_PROBE = "UNIQ_KEY\x01"
_UNIQ_KEY_MARK = _UNIQ_KEY_PROBE.encode()
_OWN_KEYS = ("MSG_REGION", "TRACE_ON", "CLUSTER")
_REMOVED_KEYS = ("POP_CK",)
_TIMER_KEYS = ("TIMER_DELIVER_MS", "TIMER_DELAY_MS", "TIMER_DELAY_SEC")
_LEFT_BY_DELAY_KEYS = (*_TIMER_KEYS, "REAL_TOPIC", "REAL_QID")
_SHAPES_MAX = 4096


@attrs.frozen
class PropertyFacts:
    """What all texts of one shape have in common."""

    tags_code: int
    keys: tuple[str, ...]
    """Parts of KEYS: index keys besides UNIQ_KEY."""
    delay_level: int
    """Value of DELAY, 0 without one. Not limited to the greatest level."""
    delay_illegal: str | None
    """The value of DELAY when it is no number."""
    timer: bool
    """A TIMER_* property asks for delivery at a time (a delay level wins over it)."""
    transaction: bool
    """TRAN_MSG=true: a half message."""
    inner_batch: bool
    """INNER_NUM is there, which only a broker may set."""
    special: bool
    """Any of the five above: the message cannot go straight to its topic."""
    wait_store: bool
    """WAIT is not false: the answer waits for the flush that the store is configured to."""
    tail: str | None
    """What to append before storing, or None when the text must be rebuilt from its pairs."""


class UniqueIdSource:
    """Makes ids in the form of Java's MessageClientIDSetter, for messages whose producer set none.

    Upper-case hex of ip (4), process id (2), instance (4), milliseconds since the start of the month (4) and
    a counter (2): 32 characters.
    """

    def __init__(self) -> None:
        try:
            address = socket.inet_aton(socket.gethostbyname(socket.gethostname()))
        except OSError:
            address = os.urandom(4)
        fixed = address + (os.getpid() & 0xFFFF).to_bytes(2, "big") + os.urandom(4)
        self._fixed = fixed.hex().upper()
        self._counter = itertools.count()
        self._month_start_ms = 0
        self._month_end_ms = 0

    def next(self, now_ms: int) -> str:
        """An id that no other call of this process returns within 65,536 calls of one millisecond."""
        if not self._month_start_ms <= now_ms < self._month_end_ms:
            self._set_month(now_ms)
        elapsed = (now_ms - self._month_start_ms) & 0xFFFFFFFF
        return f"{self._fixed}{elapsed:08X}{next(self._counter) & 0xFFFF:04X}"

    def _set_month(self, now_ms: int) -> None:
        now = time.localtime(now_ms / 1000)
        year, month = now.tm_year, now.tm_mon
        following = (year + month // 12, month % 12 + 1)
        self._month_start_ms = int(time.mktime((year, month, 1, 0, 0, 0, 0, 0, -1)) * 1000)
        self._month_end_ms = int(time.mktime((*following, 1, 0, 0, 0, 0, 0, -1)) * 1000)


class PropertyReader:
    """Reads properties texts for one broker; holds at most 4,096 shapes with a UNIQ_KEY, and as many without.

    `region_id`, `trace_on` and `cluster` are what the broker writes into every message it stores.
    """

    def __init__(self, region_id: str, *, trace_on: bool, cluster: str) -> None:
        trace = "true" if trace_on else "false"
        self._own = {"MSG_REGION": region_id, "TRACE_ON": trace, "CLUSTER": cluster}
        self._own_text = encode_properties(self._own).decode()
        self._shapes: dict[str, PropertyFacts] = {}
        self._keyless: dict[str, PropertyFacts] = {}
        self._before_key = self._behind_key = b""
        self._around_key: PropertyFacts | None = None
        self._ids = UniqueIdSource()

    def read(self, text: str, now_ms: int) -> tuple[PropertyFacts, str, bytes]:
        """Returns what is known of `text`, its UNIQ_KEY (a new one if it has none) and the bytes to store."""
        facts, unique_key = self.peek(text)
        if facts.tail is None:
            return self._rebuild(text, facts, now_ms)
        if unique_key:
            return facts, unique_key, (text + facts.tail).encode("utf-8", "replace")
        unique_key = self._ids.next(now_ms)
        return facts, unique_key, f"{text}{facts.tail}UNIQ_KEY\x01{unique_key}\x02".encode("utf-8", "replace")

    def peek(self, text: str) -> tuple[PropertyFacts, str | None]:
        """What is known of `text`, and its UNIQ_KEY if it is a plain one."""
        start = text.find(_UNIQ_KEY_PROBE)
        if start == 0 or (start > 0 and text[start - 1] == _SEPARATOR):
            begin = start + 9
            end = text.find(_SEPARATOR, begin)
            if end < 0:
                end = len(text)
            unique_key = text[begin:end]
            if unique_key:
                shape = text[:begin] + text[end:]
                return self._shapes.get(shape) or self._learn(text, self._shapes, shape), unique_key
        return self._keyless.get(text) or self._learn(text, self._keyless, text), None

    def peek_stored(self, properties: bytes) -> tuple[PropertyFacts, str | None]:
        """`peek` at a text that is stored as it is; quick when all but UNIQ_KEY is as in the call before."""
        before, behind, facts = self._before_key, self._behind_key, self._around_key
        if facts is not None and properties.startswith(before) and properties.endswith(behind):
            key = properties[len(before) : len(properties) - len(behind)]
            if key and b"\x02" not in key:
                return facts, str(key, "utf-8", "replace")
        facts, unique_key = self.peek(str(properties, "utf-8", "replace"))
        if unique_key is not None:
            start = properties.find(_UNIQ_KEY_MARK) + len(_UNIQ_KEY_MARK)
            end = properties.find(b"\x02", start)
            self._before_key = properties[:start]
            self._behind_key = b"" if end < 0 else properties[end:]
            self._around_key = facts
        return facts, unique_key

    def _learn(self, text: str, known: dict[str, PropertyFacts], shape: str) -> PropertyFacts:
        pairs = decode_properties(text)
        delay_text = pairs.get("DELAY", "0")
        delay_illegal = None
        try:
            delay_level = int(delay_text)
        except ValueError:
            delay_level, delay_illegal = 0, delay_text
        timer = (
            delay_level <= 0 and any(name in pairs for name in _TIMER_KEYS) and "TIMER_OUT_MS" not in pairs
        )
        transaction = pairs.get("TRAN_MSG", "").lower() == "true"
        inner_batch = "INNER_NUM" in pairs
        facts = PropertyFacts(
            tags_code=tags_code(pairs.get("TAGS")),
            keys=tuple([key for key in pairs.get("KEYS", "").split(" ") if key]),
            delay_level=delay_level,
            delay_illegal=delay_illegal,
            timer=timer,
            transaction=transaction,
            inner_batch=inner_batch,
            special=delay_level > 0 or delay_illegal is not None or timer or transaction or inner_batch,
            wait_store=pairs.get("WAIT", "true").lower() == "true",
            tail=self._tail(text, pairs, delay_level),
        )
        if len(known) >= _SHAPES_MAX:
            known.clear()
        known[shape] = facts
        return facts

    def _tail(self, text: str, pairs: dict[str, str], delay_level: int) -> str | None:
        """What to append to `text`, or None when appending cannot give what Java stores."""
        closing = "" if not text or text.endswith(_SEPARATOR) else _SEPARATOR
        regular = sum([len(name) + len(value) + 2 for name, value in pairs.items()])
        if regular != len(text) + len(closing):
            return None
        if any(name in pairs for name in (*_OWN_KEYS, *_REMOVED_KEYS)):
            return None
        if delay_level > 0 and any(name in pairs for name in _LEFT_BY_DELAY_KEYS):
            return None
        return closing + self._own_text

    def _rebuild(self, text: str, facts: PropertyFacts, now_ms: int) -> tuple[PropertyFacts, str, bytes]:
        pairs = decode_properties(text)
        for name in _REMOVED_KEYS:
            pairs.pop(name, None)
        if facts.delay_level > 0:
            for name in _LEFT_BY_DELAY_KEYS:
                pairs.pop(name, None)
        pairs.update(self._own)
        unique_key = pairs.get("UNIQ_KEY")
        if unique_key is None:
            unique_key = pairs["UNIQ_KEY"] = self._ids.next(now_ms)
        return facts, unique_key, encode_properties(pairs)
