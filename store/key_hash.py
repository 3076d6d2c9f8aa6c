"""Hashes of index keys: Java's ``abs((topic + "#" + key).hashCode())``, one by one or many at once.

The hash is a polynomial over UTF-16 code units, u0·31⁷ + u1·31⁶ + … for the last eight. Ids of clients
differ in their last characters only, so the hash of all before is remembered. The last eight of many texts
lie side by side in one large integer, where each operation serves all of them: three steps join neighbours.

| step | lanes of | of it used | a lane becomes |
|---|---|---|---|
| 1 | 32 bits | 16 | left · 31 + right |
| 2 | 64 bits | 21 | left · 31² + right |
| 3 | 128 bits | 31 | left · 31⁴ + right |
"""

from __future__ import annotations

import struct

from remoting.protocol.message import java_string_hash

_TAIL_UNITS = 8
_TAIL_BYTES = 2 * _TAIL_UNITS
_TOGETHER = 512
_LOW_OF_32 = int.from_bytes(b"\0\0\xff\xff" * (_TOGETHER * 4), "big")
_LOW_OF_64 = int.from_bytes((bytes(4) + b"\xff" * 4) * (_TOGETHER * 2), "big")
_LOW_OF_128 = int.from_bytes((bytes(8) + b"\xff" * 8) * _TOGETHER, "big")
_POWER_1, _POWER_2, _POWER_4, _POWER_8 = 31, 31**2, 31**4, 31**8
_MASK = 0xFFFFFFFF
_GREATEST = 0x7FFFFFFF
_HEADS_MAX = 4096


class _Heads(dict[str, int]):
    """What the characters before the last eight add to a hash, modulo 2³²."""

    def __missing__(self, head: str) -> int:
        if len(self) >= _HEADS_MAX:
            self.clear()
        value = self[head] = (java_string_hash(head) & _MASK) * _POWER_8 & _MASK
        return value


_heads = _Heads()


def key_hash(topic: str, key: str) -> int:
    """What the index knows a key of a topic by; the one value without positive twin is 0."""
    return key_hashes([f"{topic}#{key}"])[0]


def key_hashes(texts: list[str]) -> list[int]:
    """`key_hash` of many ``topic#key``."""
    found: list[int] = []
    heads = _heads
    for start in range(0, len(texts), _TOGETHER):
        part = texts[start : start + _TOGETHER]
        tails = "".join([text[-_TAIL_UNITS:] for text in part])
        if len(tails) != len(part) * _TAIL_UNITS:
            tails = "".join([text[-_TAIL_UNITS:].rjust(_TAIL_UNITS, "\0") for text in part])
        units = tails.encode("utf-16-be", "surrogatepass")
        if len(units) == len(part) * _TAIL_BYTES:
            lows = _tail_hashes(units)
            values = [heads[text[:-_TAIL_UNITS]] + low & _MASK for text, low in zip(part, lows, strict=True)]
        else:  # a character of two units: the cuts lie elsewhere
            values = [java_string_hash(text) & _MASK for text in part]
        found += [value if value <= _GREATEST else -value & _GREATEST for value in values]
    return found


def _tail_hashes(units: bytes) -> tuple[int, ...]:
    lanes = int.from_bytes(units, "big")
    lanes = (lanes >> 16 & _LOW_OF_32) * _POWER_1 + (lanes & _LOW_OF_32)
    lanes = (lanes >> 32 & _LOW_OF_64) * _POWER_2 + (lanes & _LOW_OF_64)
    lanes = (lanes >> 64 & _LOW_OF_128) * _POWER_4 + (lanes & _LOW_OF_128)
    return struct.unpack(">" + "8xQ" * (len(units) // _TAIL_BYTES), lanes.to_bytes(len(units), "big"))
