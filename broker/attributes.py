"""Attributes of a topic or group: which exist, what they may hold, and how a request changes them.

Mirrors `org.apache.rocketmq.common.attribute.AttributeUtil` and `TopicAttributes`: a request names an
attribute `+key` to add or change it and `-key` to take it away; tables keep bare keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from remoting.errors import CommandError
from remoting.protocol.response_code import ResponseCode

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["GROUP_ATTRIBUTES", "TOPIC_ATTRIBUTES", "Attribute", "altered"]


@attrs.frozen
class Attribute:
    """One attribute: allowed words, or a range of numbers when `words` is empty."""

    changeable: bool
    words: frozenset[str] = frozenset()
    least: int = 0
    most: int = 2**63 - 1

    def check(self, key: str, value: str) -> None:
        """Refuse a value that is not allowed for `key`."""
        if self.words:
            if value not in self.words:
                raise _refused(f"value is not in set: {sorted(self.words)}, key: {key}")
            return
        try:
            number = int(value)
        except ValueError:
            raise _refused(f"value of {key} is not a number: {value}") from None
        if not self.least <= number <= self.most:
            raise _refused(f"value is not in range({self.least}, {self.most}), key: {key}")


TOPIC_ATTRIBUTES: Mapping[str, Attribute] = {
    "queue.type": Attribute(changeable=False, words=frozenset({"BatchCQ", "SimpleCQ"})),
    "cleanup.policy": Attribute(changeable=False, words=frozenset({"DELETE", "COMPACTION"})),
    "message.type": Attribute(
        changeable=True,
        words=frozenset({"UNSPECIFIED", "NORMAL", "FIFO", "DELAY", "TRANSACTION", "MIXED"}),
    ),
    "reserve.time": Attribute(changeable=True, least=-1),
}
GROUP_ATTRIBUTES: Mapping[str, Attribute] = {}


def _refused(sentence: str) -> CommandError:
    return CommandError(ResponseCode.SYSTEM_ERROR, sentence)


def altered(
    known: Mapping[str, Attribute],
    current: Mapping[str, str] | None,
    requested: Mapping[str, str],
) -> dict[str, str]:
    """The attributes after a request; `current` None means that the topic or group is being created.

    Raises:
        CommandError: code 1, the request names an unknown or unchangeable attribute, a value that is not
            allowed, or takes away what is not there.
    """
    result = dict(current or {})
    seen: set[str] = set()
    for signed_key, value in requested.items():
        sign, key = signed_key[:1], signed_key[1:]
        if sign not in ("+", "-") or not key:
            if current is None:
                raise _refused(f"only add attribute is supported while creating topic. key: {signed_key}")
            raise _refused(f"wrong format key: {signed_key}")
        if key in seen:
            raise _refused(f"alter duplication key. key: {key}")
        seen.add(key)
        attribute = known.get(key)
        if current is None and sign == "-":
            raise _refused(f"only add attribute is supported while creating topic. key: {key}")
        if sign == "-" and key not in result:
            raise _refused(f"attempt to delete a nonexistent key: {key}")
        if attribute is None:
            raise _refused(f"unsupported key: {key}")
        if current is not None and not attribute.changeable:
            raise _refused(f"attempt to update an unchangeable attribute. key: {key}")
        if sign == "-":
            del result[key]
        else:
            attribute.check(key, value)
            result[key] = value
    return result
