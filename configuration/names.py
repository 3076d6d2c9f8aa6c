"""The mechanical way between Java's camelCase keys and snake_case fields."""

from __future__ import annotations

import re

__all__ = ["to_camel_case", "to_snake_case"]

_WHOLE_WORDS = {"DLedger": "Dledger", "DLeger": "Dleger", "RocksDB": "Rocksdb"}
"""Names that are one word to us though Java writes several capitals: `enableDLegerCommitLog`."""

_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def to_camel_case(name: str) -> str:
    """`listen_port` -> `listenPort`."""
    first, *rest = name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)


def to_snake_case(key: str) -> str:
    """`listenPort` -> `listen_port`; a run of capitals is one word: `checkCRCOnRecover`, `brokerIP1`.

    The inverse of :func:`to_camel_case` for every key without runs of capitals; the others need an explicit
    wire name at their field.
    """
    for written, word in _WHOLE_WORDS.items():
        key = key.replace(written, word)
    return _WORD_START.sub("_", key).lower()
